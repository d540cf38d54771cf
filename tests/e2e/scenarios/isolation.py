"""One slow topic and nine healthy ones over one connection: partial rejection beside the connection-wide throttle, and
beside a producer that no policy is about."""

import time

import actions
from load import Producers, producer, stream
from measure import percentile
from proxy import Penstock, policy
from scenarios import scenario

HEALTHY, PARTITIONS, RATE = 9, 2, 60
CALM, PRESSED, IN_TIME = 3, 13, 2  # s
GROUP = "g-isolation"
KINDS = ("java", "lrk")
MODES = {"free": "without a policy", "isolated": "partial rejection", "together": "connection-wide throttle"}


def topics_of(kind, mode):
    return [f"{kind}-{mode}-{'slow' if n == 0 else n}" for n in range(HEALTHY + 1)]


def pressed_policy(kind, mode):
    name = f"{kind}-{mode}"
    return policy(name, f"{name}-slow", GROUP, target="10M", limit="20M", isolate=mode == "isolated",
                  wait={"max": "5s", "told_max": "5s", "client_timeout": "15s"})


class Kept:
    """What became of the records that a producer was offered in this time."""

    def __init__(self, client, begin_ms, end_ms):
        seconds = (end_ms - begin_ms) / 1000
        rows = [row for row in client.acks() if begin_ms <= row[4] - row[5] < end_ms]
        took = [row[5] for row in rows if row[0] != client.origins[0]]
        self.rate = sum(1 for ms in took if ms <= IN_TIME * 1000) / seconds
        self.delay = percentile(took, 0.99)
        slow = sum(1 for row in client.acks() if row[0] == client.origins[0] and begin_ms <= row[4] < end_ms)
        self.slow = slow / seconds


@scenario(batch="isolation")
def isolation(context, cluster):
    pairs = [(kind, mode) for kind in KINDS for mode in MODES]
    every = [topic for pair in pairs for topic in topics_of(*pair)]
    slow = [topics_of(*pair)[0] for pair in pairs]
    cluster.create(*every, partitions=PARTITIONS)
    cluster.commit_zero(GROUP, *slow)
    proxy = Penstock(context, cluster, [pressed_policy(*pair) for pair in pairs if pair[1] != "free"])
    pressure = actions.Pressure(context, proxy)
    producers = {kind: Producers(context, kind, kind, [
        producer(f"p-{kind}-{mode}", proxy.bootstrap,
                 *(stream(topic, RATE, size=200, partitions=PARTITIONS) for topic in topics_of(kind, mode)),
                 idempotence=True, linger_ms=5) for mode in MODES]) for kind in KINDS}
    for one in producers.values():
        one.begun(90)
    time.sleep(CALM)
    pressure.put(True)
    begin_ms = time.time() * 1000
    time.sleep(PRESSED)
    end_ms = time.time() * 1000
    pressure.put(False)
    for one in producers.values():
        one.stop()
    for kind in KINDS:
        clients = producers[kind].each
        kept = {mode: Kept(clients[f"p-{kind}-{mode}"], begin_ms, end_ms - IN_TIME * 1000) for mode in MODES}
        judge(context, kind, producers[kind], kept)
    proxy.stop()


def judge(context, kind, process, kept):
    """The yardstick is what a producer without a policy has in the same seconds: both suffer from a busy machine."""
    free = kept["free"].rate
    for mode, what in MODES.items():
        client, one = process.each[f"p-{kind}-{mode}"], kept[mode]
        context.figure(f"{kind}, {what}: nine healthy topics {one.rate:.0f}/s acknowledged within {IN_TIME} s, "
                       f"{100 * one.rate / free:.0f} % of those without; p99 {one.delay:.0f} ms; "
                       f"the slow one {one.slow:.0f}/s")
        context.check(f"{kind}, {mode}: no record failed", not list(client.failures()), client.errors()[:1] or "")
    isolated = kept["isolated"]
    context.check(f"{kind}: the nine keep at least 95 % of their rate", isolated.rate >= 0.95 * free > 0,
                  f"{isolated.rate:.0f} of {free:.0f}/s")
    context.check(f"{kind}: the slow topic is held back", isolated.slow < 0.5 * kept["free"].slow,
                  f"{isolated.slow:.0f} of {kept['free'].slow:.0f}/s")
    if kind == "java":
        paused = process.clients()[f"p-{kind}-isolated"]["produce-throttle-time-max"]
        context.check("java: nobody asks the whole connection to pause", paused == 0, f"{paused:.0f} ms")
