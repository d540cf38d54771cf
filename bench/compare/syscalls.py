"""System calls per request, by name, counted with strace, in runs of their own: being traced takes time, so nothing
else is measured here. The rates are low, so that requests do not pile up behind the tracer: what is counted is a request that
comes alone, which is the dearest case.
"""

import re
import signal
import subprocess
import time
from pathlib import Path

from .contenders import TOPICS, running, wait_policies
from .loads import Load
from .processes import Failed, Process

LOADS = {
    "small": ["--mode", "produce-small", "--topics", TOPICS, "--rate", 400],
    "produce": ["--mode", "produce-large", "--topics", TOPICS, "--rate", 200],
}
WARMUP = 100
LINE = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$")


def traced(pid):
    """All threads have their tracer."""
    texts = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return not any("TracerPid:\t0\n" in text for text in texts)


def count(bench, proxy, options):
    """{name of a call: so many per request}"""
    output = bench.directory / "strace.txt"
    with Load(bench, proxy.port, [*options, "--warmup", WARMUP]) as load:
        load.ready()
        with Process(["strace", "-c", "-f", "-o", output, "-p", proxy.child.pid], bench.directory) as strace:
            deadline = time.monotonic() + 10
            while not traced(proxy.child.pid):
                if strace.child.poll() is not None or time.monotonic() > deadline:
                    raise strace.failed("strace cannot attach")
                time.sleep(0.05)
            result = load.go()
            bench.own_cpu += strace.cpu()
            strace.child.send_signal(signal.SIGINT)
            try:
                strace.child.wait(10)
            except subprocess.TimeoutExpired as error:
                raise Failed("strace does not end") from error
    calls = [LINE.match(line) for line in output.read_text().splitlines()]
    return {m[2]: int(m[1]) / result["requests"] for m in calls if m and m[2] != "total"}


def measure(bench, contender, broker, seconds):
    """{load: {call: per request}}"""
    figures = {}
    with running(bench, contender, broker) as proxy:
        for name, options in LOADS.items():
            if contender.policies:
                with Load(bench, proxy.port, ["--mode", "idle", "--topics", TOPICS, "--connections", 10]) as idle:
                    idle.ready()
                    wait_policies(proxy, 1)
            figures[name] = count(bench, proxy, [*options, "--seconds", seconds])
    return figures
