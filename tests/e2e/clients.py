"""The client libraries of the matrix: how each is installed, pinned, and what starts its driver in tests/clients/."""

import hashlib
import shutil
import subprocess

from harness import ROOT, WORK, say

DRIVERS = ROOT / "tests/clients"
PLACE = WORK / "clients"
TOOLS_BEFORE = {"4.4.0": "4.3.1"}  # Kafka's tools of that version are not on Central; the server does not need them


def once(folder, recipe, build):
    """Runs build() unless it was done before for the same recipe (a text that says all that matters)."""
    stamp, wanted = folder / "stamp", hashlib.sha256(recipe.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    say("install", folder.name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    build()
    stamp.write_text(wanted)


def call(*argv, **more):
    done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout[-3000:]}")


def maven(folder, pom, **properties):
    """The jars of a pom, fetched once, by the same marks as ./run uses."""
    if (folder / "complete").exists():
        return
    say("install", folder.name)
    shutil.rmtree(folder, ignore_errors=True)
    call("mvn", "-q", "-B", "-f", pom, *(f"-D{key.replace('_', '.')}={value}" for key, value in properties.items()),
         "dependency:copy-dependencies", f"-DoutputDirectory={folder}")
    (folder / "complete").touch()


def server_jars(version):
    maven(WORK / f"kafka-{version}", ROOT / "tests/e2e/kafka.xml", kafka_version=version,
          tools_version=TOOLS_BEFORE.get(version, version))


class Client:
    """command: the driver's command line, known once install() has run."""

    def __init__(self, name, sources, install):
        self.name, self._sources, self._install = name, sources, install
        self.command = None

    def exists(self):
        return all((DRIVERS / source).exists() for source in self._sources)

    def install(self):
        self.command = self._install(PLACE / self.name)

    def argv(self):
        return self.command

    def version(self):
        return subprocess.run([*map(str, self.command), "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True, timeout=60).stdout.strip()


CLIENTS = {client.name: client for client in (
    Client("java-4.4.0", ["java"], None),
    Client("java-2.8.2", ["java"], None),
    Client("librdkafka-2.0.2", ["c"], None),
    Client("confluent-kafka", ["python"], None),
    Client("franz-go", ["go"], None),
    Client("sarama", ["go"], None),
    Client("kafka-python-3", ["python"], None),
    Client("kafka-python-2.0.2", ["python"], None),
    Client("kafkajs", ["js"], None),
)}
