"""Fifty equal producers at one valve, and an innocent topic on the same connections."""

from load import Consumers, Producers, group, producer, stream
from measure import Records, judge_busy, judge_lag, lag_series, percentile
from proxy import Penstock, policy
from scenarios import scenario
from scenarios.lag import RATE, TARGET, watch

EACH_KIND, SECONDS = 25, 40
HOT, INNOCENT = "fifty-hot", "fifty-innocent"

# Forty records a second is the share of one. What a client takes must leave it within its own delivery timeout, so
# buffers are sized as a user would size them who has fifty producers: 1,000 records, 25 s of the share. librdkafka's
# requests are kept small against the share, or the measure would show their size instead of the valve.
BUFFERS = {"java": {"buffer_memory": 1 << 20}, "lrk": {"queue_buffering_max_messages": 1000, "batch_num_messages": 50}}


def many(kind, bootstrap, rate):
    """The equal ones, and one that writes the innocent topic alone: its latency is the yardstick."""
    equal = [producer(f"{kind}-{number}", bootstrap, stream(HOT, rate), stream(INNOCENT, 10),
                      idempotence=kind == "java", **BUFFERS[kind]) for number in range(EACH_KIND)]
    return equal + [producer(f"{kind}-lonely", bootstrap, stream(INNOCENT, 10), idempotence=kind == "java")]


@scenario(batch="fairness")
def fifty(context, cluster):
    cluster.create(HOT, INNOCENT)
    proxy = None if context.options.direct else Penstock(context, cluster, [policy("hot", HOT, "g-fifty")])
    bootstrap = cluster.direct if proxy is None else proxy.bootstrap
    consumers = Consumers(context, "consumers", cluster, [
        group("g-fifty", HOT, cluster.direct, RATE), group("g-innocent", INNOCENT, cluster.direct, rate=0)])
    rate = RATE * 1.5 / (2 * EACH_KIND) if proxy is None else 0
    producers = {kind: Producers(context, kind, kind, many(kind, bootstrap, rate)) for kind in ("java", "lrk")}
    settled_ms, ended_ms = watch(context, producers, SECONDS, (consumers, "g-fifty"))
    if proxy:
        proxy.bypass(True)
    for one in producers.values():
        one.stop()
    consumers.drain()
    judge(context, consumers, producers, settled_ms, ended_ms)
    judge_shares(context, producers, settled_ms, ended_ms)
    innocent_delay(context, producers, settled_ms, ended_ms)
    if proxy:
        proxy.stop()


def judge(context, consumers, producers, settled_ms, ended_ms):
    samples = consumers.samples("g-fifty")
    series, begun_ms = lag_series(samples)
    judge_lag(context, "fifty", series, TARGET, (settled_ms - begun_ms) / 1000, (ended_ms - begun_ms) / 1000)
    judge_busy(context, "fifty", samples, RATE, begun_ms + 5000, ended_ms)
    records = Records(consumers)
    records.judge_delivery(context)
    for kind, process in producers.items():
        errors, timeouts = process.errors(), sum(client.timeouts() for client in process.each.values())
        context.check(f"{kind}: no client error", not errors, f"{len(errors)}: {errors[0]}" if errors else "")
        context.check(f"{kind}: no client timeout", timeouts == 0, timeouts)
    quiet = Quiet(context)
    for process in producers.values():
        for client in process.each.values():
            records.judge(quiet, client, ordered=client.spec["idempotence"])
    quiet.tell("every record of every producer once, in order where promised")


class Quiet:
    """Many checks that count as one."""

    def __init__(self, context):
        self.context, self.failed, self.count = context, [], 0

    def check(self, what, passed, detail=""):
        self.count += 1
        if not passed:
            self.failed.append(f"{what} ({detail})")
        return passed

    def tell(self, what):
        self.context.check(what, not self.failed, f"{len(self.failed)} of {self.count} failed: {self.failed[0]}"
                           if self.failed else f"{self.count} checks")


def acked_within(client, origin, begin_ms, end_ms):
    return [row for row in client.acks() if row[0] == origin and begin_ms <= row[4] <= end_ms]


def judge_shares(context, producers, begin_ms, end_ms):
    shares = {}
    for kind, process in producers.items():
        for client in process.each.values():
            if len(client.origins) == 2:
                shares[client.client_id] = len(acked_within(client, client.origins[0], begin_ms, end_ms))
    least, most = min(shares, key=shares.get), max(shares, key=shares.get)
    ratio = shares[most] / max(1, shares[least])
    told = f"{shares[least]} ({least}) to {shares[most]} ({most}), ratio {ratio:.3f}"
    context.measure("shares of equal producers are alike", ratio <= 1.25, told)
    context.quality("shares of equal producers within 10 % of each other", ratio <= 1.10, told)
    mean = {kind: sum(n for name, n in shares.items() if name.startswith(kind)) / EACH_KIND for kind in producers}
    context.figure(f"shares: least {shares[least]}, most {shares[most]}, ratio {ratio:.3f}; mean of Java "
                   f"{mean['java']:.0f}, of librdkafka {mean['lrk']:.0f}")


def innocent_delay(context, producers, begin_ms, end_ms):
    """What the innocent topic pays for sharing connections with the hot one, beside one that shares with nobody."""
    for kind, process in producers.items():
        shared, alone = [], []
        for client in process.each.values():
            took = [row[5] for row in acked_within(client, client.origins[-1], begin_ms, end_ms)]
            (shared if len(client.origins) == 2 else alone).extend(took)
        context.check(f"{kind}: the innocent topic is served", shared and alone, f"{len(shared)} and {len(alone)}")
        context.figure(f"innocent topic, {kind}: on shared connections median {percentile(shared, 0.5)} ms, p99 "
                       f"{percentile(shared, 0.99)} ms; on one of its own {percentile(alone, 0.5)} ms, "
                       f"{percentile(alone, 0.99)} ms")
