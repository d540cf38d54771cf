"""One slow topic and nine healthy ones over one connection: partial rejection beside the connection-wide throttle."""

import time

import actions
from load import Producers, producer, stream
from measure import percentile
from proxy import Penstock, policy
from scenarios import scenario

HEALTHY, PARTITIONS, RATE = 9, 2, 60
CALM, PRESSED = 6, 14
GROUP = "g-isolation"
KINDS = ("java", "lrk")


def topics_of(kind, mode):
    return [f"{kind}-{mode}-{'slow' if n == 0 else n}" for n in range(HEALTHY + 1)]


def pressed_policy(kind, mode):
    name = f"{kind}-{mode}"
    return policy(name, f"{name}-slow", GROUP, target="10M", limit="20M", isolate=mode == "isolated",
                  wait={"max": "5s", "told_max": "5s", "client_timeout": "15s"})


def rate_and_delay(client, begin_ms, end_ms):
    """Of the nine healthy topics: acknowledged per second, and the 99th percentile of the time that took (ms)."""
    took = [row[5] for row in client.acks() if row[0] != client.origins[0] and begin_ms <= row[4] <= end_ms]
    return len(took) / ((end_ms - begin_ms) / 1000), percentile(took, 0.99)


@scenario(batch="isolation")
def isolation(context, cluster):
    pairs = [(kind, mode) for kind in KINDS for mode in ("isolated", "together")]
    every = [topic for pair in pairs for topic in topics_of(*pair)]
    slow = [topics_of(*pair)[0] for pair in pairs]
    cluster.create(*every, partitions=PARTITIONS)
    cluster.commit_zero(GROUP, *slow)
    proxy = Penstock(context, cluster, [pressed_policy(*pair) for pair in pairs])
    pressure = actions.Pressure(context, proxy)
    producers = {kind: Producers(context, kind, kind, [
        producer(f"p-{kind}-{mode}", proxy.bootstrap,
                 *(stream(topic, RATE, size=200, partitions=PARTITIONS) for topic in topics_of(kind, mode)),
                 idempotence=True, linger_ms=5) for mode in ("isolated", "together")]) for kind in KINDS}
    for one in producers.values():
        one.begun(90)
    time.sleep(CALM)
    calm_ms = time.time() * 1000
    pressure.put(True)
    time.sleep(PRESSED)
    end_ms = time.time() * 1000
    pressure.put(False)
    time.sleep(2)
    for one in producers.values():
        one.stop()
    for kind in KINDS:
        judge(context, kind, producers[kind], calm_ms, end_ms)
    proxy.stop()


def judge(context, kind, process, calm_ms, end_ms):
    for mode in ("isolated", "together"):
        client = process.each[f"p-{kind}-{mode}"]
        # What was not sent while clients connected is made up for: more than is offered is not the yardstick.
        free = min(HEALTHY * RATE, rate_and_delay(client, calm_ms - 4000, calm_ms)[0])
        rate, delay = rate_and_delay(client, calm_ms + 1000, end_ms)
        slow = sum(1 for row in client.acks() if row[0] == client.origins[0] and calm_ms + 1000 <= row[4] <= end_ms)
        context.figure(f"{kind}, {'partial rejection' if mode == 'isolated' else 'connection-wide throttle'}: nine healthy "
                       f"topics {rate:.0f}/s of {free:.0f}/s ({100 * rate / free:.0f} %), p99 {delay:.0f} ms; "
                       f"the slow one {slow / (end_ms - calm_ms - 1000) * 1000:.0f}/s of {RATE}")
        context.check(f"{kind}, {mode}: no record failed", not list(client.failures()), client.errors()[:1] or "")
        if mode == "isolated":
            context.check(f"{kind}: the nine keep at least 95 % of their rate", rate >= 0.95 * free,
                          f"{rate:.0f} of {free:.0f}/s")
            context.check(f"{kind}: the slow topic is held back", slow < 0.5 * RATE * (end_ms - calm_ms - 1000) / 1000, slow)
