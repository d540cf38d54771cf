"""The same question in front of a real Kafka: its own ProducerPerformance through the yardsticks and Penstock.

The broker is the one of tests/e2e. A proxy that cannot rewrite addresses needs a broker that advertises the proxy's: one of the
broker's listeners does. Penstock is told of the other one, which advertises itself.
"""

import re
import subprocess
import sys

from . import contenders
from .contenders import running, wait_policies
from .facts import ROOT
from .latency import DIRECT
from .processes import Failed, Process, free_ports
from .table import markdown, ratio, spread

sys.path.insert(0, str(ROOT / "tests/e2e"))  # its modules find one another like this

TOPIC, RECORD = "bench", 1000
LINE = re.compile(r"(\d+) records sent, ([\d.]+) records/sec.*?([\d.]+) ms avg latency.*?(\d+) ms 99th")
SETTINGS = {"log.retention.check.interval.ms": 2000, "log.segment.delete.delay.ms": 0}  # the disk need not hold it all


def produce(bench, port, records, java):
    """What ProducerPerformance says of so many records of 1 kB in batches of 128 KiB."""
    properties = [f"bootstrap.servers=127.0.0.1:{port}", "acks=1", "batch.size=131072", "linger.ms=5",
                  "compression.type=none", "max.in.flight.requests.per.connection=5"]
    argv = java("org.apache.kafka.tools.ProducerPerformance", "--topic", TOPIC, "--num-records", records,
                "--record-size", RECORD, "--throughput", -1, "--producer-props", *properties)
    with Process(argv, bench.directory, pipes=True, bench=bench) as process:
        try:
            output = process.child.communicate(timeout=300)[0]
        except subprocess.TimeoutExpired as error:
            raise process.failed("ProducerPerformance does not end") from error
        found = LINE.findall(output)
        if process.child.returncode != 0 or not found or int(found[-1][0]) != records:
            raise process.failed(f"ProducerPerformance: {output[-200:]}")
    return {"bytes": records * RECORD, "mb_per_s": float(found[-1][1]) * RECORD / 1e6, "mean_ms": float(found[-1][2]),
            "p99_ms": float(found[-1][3])}


def entries():
    """The contenders, and whether each stands in front of the listener that advertises the proxy's own port."""
    found = {contenders.YARDSTICK: contenders.relay(), contenders.PEER: contenders.haproxy,
             contenders.GOVERNED: contenders.penstock(contenders.POLICY)}
    return [contenders.Contender(name, prepare, policies=int(name == contenders.GOVERNED))
            for name, prepare in found.items()]


class RealKafka:
    """A running cluster of one broker; a block."""

    def __init__(self):
        import harness
        import kafka

        self.java = harness.java
        self.port = free_ports(contenders.PORTS)  # where the blind proxies listen
        self.cluster = kafka.Cluster(1)
        [self.broker] = self.cluster.brokers.values()
        self.cluster.settings = SETTINGS | {
            "advertised.listeners": f"DIRECT://127.0.0.1:{self.broker.direct},PROXIED://127.0.0.1:{self.port}"}

    def __enter__(self):
        try:
            self.cluster.start()
            self.cluster.create(TOPIC, partitions=4, retention_bytes=64 << 20, segment_bytes=64 << 20)
            self.cluster.commit_zero(contenders.POLICY_GROUP, TOPIC)
        except BaseException:
            self.cluster.stop()
            raise
        return self

    def __exit__(self, *_):
        self.cluster.stop()


def through(bench, kafka, contender, records):
    """One run through a fresh proxy."""
    blind = not contender.policies
    upstream = kafka.broker.proxied if blind else kafka.broker.direct
    with running(bench, contender, upstream, kafka.port if blind else None) as proxy:
        if contender.policies:
            wait_policies(proxy, contender.policies)
        before = proxy.cpu()
        result = produce(bench, proxy.port, records, kafka.java)
        result["cpu_s"] = proxy.cpu() - before
        if contender.policies:
            counted = contenders.policy_records(proxy, "bench")
            if counted != records:
                raise Failed(f"the policy counted {counted:.0f} of {records} records")
    return result


def measure(bench, rounds, records, say):
    """{name: [a result per round]}; `say` is told what is going on."""
    results = {name: [] for name in [DIRECT] + [c.name for c in entries()]}
    with RealKafka() as kafka:
        say("warming the broker")
        produce(bench, kafka.broker.direct, records // 4, kafka.java)
        for number in range(1, rounds + 1):
            say(f"round {number}: {DIRECT}")
            results[DIRECT].append(produce(bench, kafka.broker.direct, records, kafka.java))
            for contender in entries():
                say(f"round {number}: {contender.name}")
                results[contender.name].append(through(bench, kafka, contender, records))
    return results


def text(results):
    cost = {name: [r["cpu_s"] / r["bytes"] * 1e9 for r in found if "cpu_s" in r] for name, found in results.items()}
    rows = []
    for name, found in results.items():
        ratios = [ratio(cost[name], cost[against]) for against in (contenders.YARDSTICK, contenders.PEER)]
        rows.append([name, spread(cost[name], "{:.3f}"),
                     " / ".join(f"{r:.2f}" for r in ratios if r is not None) or "–",
                     spread([r["mb_per_s"] for r in found], "{:.0f}"),
                     spread([r["mean_ms"] for r in found], "{:.1f}"), spread([r["p99_ms"] for r in found], "{:.0f}")])
    header = ["", "CPU s/GB", "×relay / ×HAProxy", "MB/s", "mean ms", "p99 ms"]
    return "# What Penstock costs in front of Kafka\n\n" + markdown(header, rows) + "\n"
