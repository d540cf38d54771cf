"""What every scenario is given: a folder, processes that end with it, checks that count, and a voice."""

import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PENSTOCK_BUILD", ROOT / "build"))  # where asan/, tsan/ and release/ stand
WORK = ROOT / "build/e2e"
KAFKA_VERSION = "4.3.1"
PATIENCE = 120  # s that a test waits for what must come, on a machine that has other things to do as well

_voice = threading.Lock()
_ports_lock = threading.Lock()
_ports_given = set()
started = time.monotonic()


def say(who, text):
    with _voice:
        print(f"{time.monotonic() - started:6.1f} s  {who:<18} {text}", flush=True)


def _free(first, count, host):
    for port in range(first, first + count):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def ports(count=1, host="127.0.0.1"):
    """The first of `count` neighbouring ports that nobody uses, below the range that outgoing connections take."""
    with _ports_lock:
        for _ in range(1000):
            first = random.randrange(15000, 32000 - count)
            wanted = set(range(first, first + count))
            if not wanted & _ports_given and _free(first, count, host):
                _ports_given.update(wanted)
                return first
    raise RuntimeError("no free ports")


def until(what, condition, timeout=PATIENCE, pause=0.1):
    """Waits for a condition; returns its (true) value. The limit is for what never comes, and says nothing of speed."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout} s")
        time.sleep(pause)


def happens(condition, timeout=PATIENCE, pause=0.1):
    """True if it comes true in time."""
    try:
        return bool(until("it", condition, timeout, pause))
    except TimeoutError:
        return False


class Process:
    """A child with its output in files, so that it is never blocked by us and can be read at any time."""

    def __init__(self, name, argv, folder, env=None):
        self.name = name
        self.out_path = folder / f"{name}.out"
        self.err_path = folder / f"{name}.err"
        with open(self.out_path, "ab") as out, open(self.err_path, "ab") as err:
            self.popen = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=out, stderr=err,
                                          env={**os.environ, **(env or {})})

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def tell(self, line):
        self.popen.stdin.write(line.encode() + b"\n")
        self.popen.stdin.flush()

    def out(self):
        return self.out_path.read_text(errors="replace")

    def err(self):
        return self.err_path.read_text(errors="replace")

    def wait(self, timeout):
        return self.popen.wait(timeout)

    def kill(self):
        if self.alive():
            self.popen.send_signal(signal.SIGKILL)
            self.popen.wait(10)
        if self.popen.stdin and not self.popen.stdin.closed:
            try:
                self.popen.stdin.close()
            except OSError:
                pass


class Context:
    """One run of one scenario."""

    def __init__(self, name, options):
        self.name = name
        self.options = options
        self.folder = WORK / "logs" / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.checks = []   # (what, passed, detail)
        self.figures = []  # lines for the summary
        self._endings = []
        self._measured = set()  # which of the failed checks are figures

    def say(self, text):
        say(self.name, text)

    def check(self, what, passed, detail=""):
        self.checks.append((what, bool(passed), str(detail)))
        self.say(f"{'ok    ' if passed else 'FAILED'}  {what}{f'  ({detail})' if detail != '' else ''}")
        return bool(passed)

    def measure(self, what, passed, detail):
        """A check of a figure that a machine may spoil which stands still for seconds: see spoiled()."""
        if not passed:
            self._measured.add(what)
        return self.check(what, passed, detail)

    def spoiled(self):
        """What has failed, if nothing has but figures: then they are taken once more, and count then."""
        failed = [f"{what}  {detail}" for what, passed, detail in self.checks if not passed]
        return failed if all(passed or what in self._measured for what, passed, _ in self.checks) else []

    def quality(self, what, passed, detail):
        """A bound that says how well, and that a busy machine may miss: it counts with --strict; else it is told."""
        if getattr(self.options, "strict", False):
            return self.check(what, passed, detail)
        if passed:
            self.say(f"within  {what}  ({detail})")
        else:
            self.figure(f"BEYOND its strict bound: {what}  {detail}")
        return bool(passed)

    def figure(self, text):
        self.figures.append(text)
        self.say(f"figure  {text}")

    def spawn(self, name, argv, env=None):
        process = Process(name, argv, self.folder, env)
        self.at_end(process.kill)
        return process

    def at_end(self, ending):
        self._endings.append(ending)

    def finish(self):
        while self._endings:
            try:
                self._endings.pop()()
            except Exception as error:  # the others must still end
                self.say(f"while ending: {error!r}")
        if all(passed for _, passed, _ in self.checks) and self.checks and not self.options.keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def jars(version=KAFKA_VERSION):
    folder = WORK / f"kafka-{version}"
    if not (folder / "complete").exists():
        raise RuntimeError(f"{folder} is not there: ./run fetches it (test e2e, matrix)")
    return folder


def classes():
    """Compiles tests/java once; again when a source is newer."""
    sources = [ROOT / "tests/java" / f"{name}.java"
               for name in ("Common", "ProducerLoad", "ConsumerLoad", "AdminTool", "TelemetryReceiver")]
    target = WORK / "classes"
    stamp = target / "stamp"
    if not stamp.exists() or any(s.stat().st_mtime > stamp.stat().st_mtime for s in sources):
        target.mkdir(parents=True, exist_ok=True)
        subprocess.run(["javac", "-d", target, "-cp", f"{jars()}/*", *sources], check=True)
        stamp.touch()
    return target


def java(main, *args, heap="256m", log="warn", version=KAFKA_VERSION):
    """The command line of one of our Java programs, or of the classes of a version of Kafka."""
    return ["java", f"-Xmx{heap}", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
            f"-Dorg.slf4j.simpleLogger.defaultLogLevel={log}",
            "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.clients.NetworkClient=info",
            "-cp", f"{WORK / 'classes'}:{jars(version)}/*", main, *args]
