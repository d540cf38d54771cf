"""A broker is stopped by SIGSTOP and continued: its breaker opens, tries, and closes."""

import signal
import threading
import time

from harness import happens, until
from kafka import Cluster
from load import Producers, Topics, producer, stream
from proxy import Penstock, policy
from scenarios import scenario

TOPIC, RATE, PARTITIONS = "breaker", 50, 2
OPEN_FOR = 3
BREAKER = {"error_rate": 0.5, "min_requests": 3, "window": "5s", "timeout": "2s", "open_for": f"{OPEN_FOR}s"}


class Watch(threading.Thread):
    """Notes each change of the breaker's state, in what /api/v1/state says and in the metric."""

    def __init__(self, proxy):
        super().__init__(daemon=True)
        self.proxy, self.over, self.seen, self.told = proxy, False, [], set()

    def run(self):
        while not self.over:
            try:
                for broker in self.proxy.state()["brokers"]:
                    if broker.get("breaker") and (not self.seen or self.seen[-1] != broker["breaker"]["state"]):
                        self.seen.append(broker["breaker"]["state"])
                for labels, value in self.proxy.metrics().get("penstock_breaker_state", []):
                    if "broker" in labels:
                        self.told.add(value)
            except OSError:
                pass
            time.sleep(0.05)

    def now(self):
        return self.seen[-1] if self.seen else None


@scenario(batch="apart")
def breaker(context, _):
    """On a Kafka of its own, for whoever shares it would stop as well."""
    cluster = Cluster(1, hops=True).start()
    context.at_end(cluster.stop)
    cluster.create(TOPIC, partitions=PARTITIONS)
    upstream = {"bootstrap": cluster.bootstrap, "breaker": BREAKER}
    proxy = Penstock(context, cluster, [policy("calm", TOPIC, "g-breaker", target="10M", limit="20M")],
                     extra={"upstream": upstream})
    producers = [Producers(context, kind, kind, [
        producer(f"p-{kind}", proxy.bootstrap, stream(TOPIC, RATE, size=200, partitions=PARTITIONS), idempotence=True)])
        for kind in ("java", "lrk")]
    for one in producers:
        one.begun()
    watch = Watch(proxy)
    watch.start()
    until("the breaker is seen", lambda: watch.now() == "closed")
    broker = cluster.brokers[1].process.popen
    watch.seen[:-1] = []  # on a starved machine it may have opened before, by itself
    context.say("the broker is stopped")
    broker.send_signal(signal.SIGSTOP)
    try:
        until("the breaker is open", lambda: watch.now() == "open")
        context.say("open")
        until("it has tried once", lambda: watch.seen.count("half_open") > 0)
        context.say("half open, and the broker is still stopped")
    finally:
        broker.send_signal(signal.SIGCONT)
    context.say("the broker goes on")
    until("the breaker is closed", lambda: watch.now() == "closed")
    seen, acked = list(watch.seen), [one.acked() for one in producers]
    for one, before in zip(producers, acked):
        context.check(f"{one.name}: traffic goes on", happens(lambda: one.acked() > before + RATE))
        one.stop()
    watch.over = True
    watch.join()
    judge(context, cluster, producers, seen, watch.told)
    proxy.stop()


def judge(context, cluster, producers, seen, told):
    context.check("closed, open, half-open, closed", seen[:3] == ["closed", "open", "half_open"] and
                  seen[-2:] == ["half_open", "closed"], " ".join(seen))
    context.check("three states in the metric", len(told) == 3, sorted(told))
    there = {(row[2], row[3]) for row in Topics(context, cluster.direct, [TOPIC]).records[TOPIC]}
    for one in producers:
        client = next(iter(one.each.values()))
        lost = sum(1 for row in client.acks() if (row[0], row[1]) not in there)
        context.check(f"{one.name}: every acknowledged record is there", lost == 0, lost)
        failed = list(client.failures())
        context.check(f"{one.name}: no record failed", not failed, len(failed))
    context.figure(f"the breaker's states: {' '.join(seen)}")
