"""Children that end with the block that started them, free ports, and what a process and the machine have spent."""

import os
import random
import re
import socket
import subprocess
import time
from pathlib import Path


class Failed(Exception):
    """This contender cannot be measured; the others can."""


class Placement:
    """On which CPUs the contender runs, and on which all else does: the same ones for every contender, or the scheduler's
    choice of the moment decides more than what is to be compared. None: anywhere."""

    def __init__(self, others=None, contender=None):
        self.others, self.contender = others, contender
        self.everywhere = os.sched_getaffinity(0)

    @classmethod
    def of(cls, text, threads):
        """"0:1", "0-2:3", "all"; None: the last CPUs, one for each thread, are the contender's."""
        if text == "all":
            return cls()
        if text is None:
            cpus = sorted(os.sched_getaffinity(0))
            own = min(threads, len(cpus) - 1)
            return cls(set(cpus[:-own]), set(cpus[-own:])) if own > 0 else cls()
        others, contender = (set(cls.numbers(part)) for part in text.split(":"))
        return cls(others, contender)

    @staticmethod
    def numbers(text):
        for part in text.split(","):
            first, _, last = part.partition("-")
            yield from range(int(first), int(last or first) + 1)

    def says(self):
        if self.others is None:
            return "everything on any CPU"
        name = {True: "CPU", False: "CPUs"}
        listed = [f"{name[len(c) == 1]} {', '.join(map(str, sorted(c)))}" for c in (self.contender, self.others)]
        return f"the contender on {listed[0]}, generator and broker on {listed[1]}"


class Bench:
    """What every measurement needs: where the tools are, a folder that goes away, and what was spent here."""

    def __init__(self, build, directory, threads=1, connections=10000, placement=None):
        self.placement = placement or Placement()
        self.build = Path(build)  # of the release preset
        self.directory = Path(directory)
        self.threads = threads  # of every proxy that can have more than one
        self.connections = connections  # the most that a load opens
        self.own_cpu = 0.0  # seconds, of everything that was started here and has ended

    def tool(self, name):
        return self.build / "bench" / name

    @property
    def penstock(self):
        return self.build / "penstock"


def free_ports(count):
    """The first of `count` neighbouring ports that are free, below the range that outgoing connections use."""
    for _ in range(200):
        first = random.randrange(12000, 31000)
        sockets = []
        try:
            for port in range(first, first + count):
                sockets.append(socket.socket())
                sockets[-1].bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
        finally:
            for s in sockets:
                s.close()
    raise SystemExit("no free ports")


class Process:
    """A child that is stopped when the block ends, its output kept for the case that it fails.

    With a port the block begins when the child listens there. With pipes its stdin and stdout are text streams."""

    def __init__(self, argv, directory, port=None, pipes=False, environment=None, bench=None, cpus=None):
        self.log = Path(directory) / f"{Path(argv[0]).name}-{time.monotonic_ns()}.log"
        self.port = port
        self.bench = bench  # is told at the end what was spent
        cpus = cpus or (bench.placement.others if bench else None)
        stdio = subprocess.PIPE if pipes else None
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(
                [str(a) for a in argv],
                stdin=stdio or subprocess.DEVNULL,
                stdout=stdio or log,
                stderr=log,
                text=True,
                cwd=directory,
                env=os.environ | (environment or {}),
                preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None,
            )

    def __enter__(self):
        if self.port is not None:
            try:
                self.wait_port()
            except Failed:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            if self.bench:
                self.bench.own_cpu += self.cpu()
            self.child.terminate()
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe:
                pipe.close()

    def failed(self, what):
        tail = self.log.read_text(errors="replace").strip().splitlines()[-3:]
        return Failed(f"{what}: " + (" / ".join(tail) or "no output"))

    def wait_port(self, seconds=30):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.child.poll() is not None:
                raise self.failed(f"ended with status {self.child.returncode}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise self.failed("does not listen")

    def cpu(self):
        """Seconds on a CPU, in the scheduler's nanoseconds, of all its threads: also of those that have ended, which
        /proc/PID/task does not tell. The number of a process's clock is the kernel's encoding of CPUCLOCK_SCHED."""
        return time.clock_gettime((~self.child.pid << 3) | 2)

    def rss(self):
        """Resident bytes."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) * 1024


def machine_cpu():
    """(seconds that all CPUs were busy, seconds that the host took away), since boot."""
    fields = [int(f) for f in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    tick = os.sysconf("SC_CLK_TCK")
    user, nice, system, _, _, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq) / tick, steal / tick


class Foreign:
    """What share of the machine's CPUs others took since it was made: their work, and the host's."""

    def __init__(self, bench):
        self.bench = bench
        self.began, self.cpu = time.monotonic(), machine_cpu()
        self.own = bench.own_cpu + time.process_time()

    def shares(self):
        span = (time.monotonic() - self.began) * os.cpu_count()
        (busy, steal), (busy_then, steal_then) = machine_cpu(), self.cpu
        own = self.bench.own_cpu + time.process_time() - self.own
        return {"foreign_share": max(0.0, busy - busy_then - own) / span, "steal_share": (steal - steal_then) / span}
