"""One unlimited producer against slower consumers: the lag stays at its target, and no client notices."""

import time

from load import Consumers, Producers, group, producer, stream
from measure import Records, judge_busy, judge_client, judge_lag, lag_series, settles
from proxy import Penstock, policy
from scenarios import scenario

RATE, TARGET = 2000, 20000
SECONDS = 25  # that are looked at, once the lag is at its target

# name, kind, acks, idempotence: clients as their users have them, idempotence given explicitly.
CELLS = [
    ("java-0", "java", "0", False),
    ("java-1", "java", "1", False),
    ("java-all", "java", "all", True),
    ("lrk-0", "lrk", "0", False),
    ("lrk-1", "lrk", "1", False),
    ("lrk-all", "lrk", "all", False),
    ("lrk-idem", "lrk", "all", True),
]


def open_cells(context, cluster, cells):
    """(proxy, producers' bootstrap): one proxy with a policy for each cell, or none of it with --direct."""
    cluster.create(*[f"{context.name}-{name}" for name, *_ in cells])
    if context.options.direct:
        return None, cluster.direct
    proxy = Penstock(context, cluster, [policy(name, f"{context.name}-{name}", f"g-{context.name}-{name}")
                                        for name, *_ in cells])
    return proxy, proxy.bootstrap


def start_cells(context, bootstrap, cells, rate):
    """One process of each kind: {kind: Producers}. Each fills all partitions alike, or a consumer could be idle while the
    lag of the topic stands at its target in the partitions of the other."""
    return {kind: Producers(context, f"{kind}-producers", kind, [
        producer(f"p-{name}", bootstrap, stream(f"{context.name}-{name}", rate, partitions=4), acks=acks,
                 idempotence=idempotence)
        for name, of, acks, idempotence in cells if of == kind]) for kind in ("java", "lrk")}


@scenario(batch="lag")
def one_producer(context, cluster):
    proxy, bootstrap = open_cells(context, cluster, CELLS)
    consumers = Consumers(context, "consumers", cluster, [
        group(f"g-{context.name}-{name}", f"{context.name}-{name}", cluster.direct, RATE) for name, *_ in CELLS])
    producers = start_cells(context, bootstrap, CELLS, RATE * 1.5 if context.options.direct else 0)
    settled_ms, ended_ms = watch(context, producers, SECONDS, *((consumers, f"g-{context.name}-{name}") for name, *_ in CELLS))
    if proxy:
        context.check("bypass opens the valves", proxy.bypass(True) == 200)
    for one in producers.values():
        one.stop()
    consumers.drain()
    judge_cells(context, consumers, producers, settled_ms, ended_ms)
    if proxy:
        proxy.stop()


def watch(context, producers, seconds, *groups):
    """Lets time pass from the moment when the lag of all is at its target, and says how things go. Returns when that was,
    and the end (ms)."""
    for one in producers.values():
        one.begun()
    settled_ms = settles(context, TARGET, *groups)
    for passed in range(0, seconds, 10):
        time.sleep(min(10, seconds - passed))
        total = "  ".join(f"{name} {one.acked()}" for name, one in producers.items())
        context.say(f"{min(passed + 10, seconds)} s of {seconds}: acknowledged {total}")
    return settled_ms, time.time() * 1000


def judge_cells(context, consumers, producers, settled_ms, ended_ms):
    records = Records(consumers)
    records.judge_delivery(context)
    context.check("no consumer error", not consumers.errors(), consumers.errors()[:1] or "")
    for name, kind, _, idempotence in CELLS:
        client = producers[kind].each[f"p-{name}"]
        samples = consumers.samples(f"g-{context.name}-{name}")
        series, begun_ms = lag_series(samples)
        lag = judge_lag(context, name, series, TARGET, (settled_ms - begun_ms) / 1000, (ended_ms - begun_ms) / 1000)
        busy = judge_busy(context, name, samples, RATE, begun_ms + 5000, ended_ms)
        judge_client(context, client)
        records.judge(context, client, ordered=idempotence)
        if lag:
            context.figure(f"{name:<9} lag in targets: peak {lag[0]:.2f}, settled {lag[1]:.2f} to {lag[2]:.2f}, "
                           f"mean {lag[3]:.2f}; busy {busy:.3f}")
