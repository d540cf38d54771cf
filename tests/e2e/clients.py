"""The client libraries of the matrix: how each is installed, pinned, and what starts its driver in tests/clients/."""

import hashlib
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


def built_here(folder):
    """The driver in C is built with everything else, sanitizers and all."""
    return [BUILD / "asan/tests/clients/c/lrk_client"]


def python(folder):
    """A virtual environment with the packages that tests/clients/python/NAME.txt pins."""
    driver, packages = (DRIVERS / f"python/{folder.name}.{ending}" for ending in ("py", "txt"))

    def build():
        call(sys.executable, "-m", "venv", "--clear", folder)
        call(folder / "bin/pip", "install", "--disable-pip-version-check", "-r", packages)

    once(folder, packages.read_text() + sys.version, build)
    return [folder / "bin/python", driver]


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
    # Kafka Streams of 4.4.0 is not on Central; the one before it brings clients of its own.
    Client("java-4.4.0", ["java"], java("4.4.0", "4", streams="4.3.1")),
    Client("java-2.8.2", ["java"], java("2.8.2", "2")),
    Client("librdkafka-2.0.2", ["c"], built_here),
    Client("confluent-kafka", ["python"], python),
    Client("franz-go", ["go"], None),
    Client("sarama", ["go"], None),
    Client("kafka-python-3", ["python"], python),
    Client("kafka-python-2.0.2", ["python"], python),
    Client("kafkajs", ["js"], None),
)}
