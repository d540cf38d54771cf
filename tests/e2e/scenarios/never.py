"""`loss: never` loses nothing while other actions are exercised around it, brokers restart and clients reconnect."""

import collections
import time

import actions
from harness import until
from load import Producers, Topics, producer, stream
from proxy import Penstock, policy
from scenarios import scenario

PARTITIONS, RATE, GROUP = 3, 50, "g-never-lost"
DIVERTED = "never.diverted"
WAIT = {"max": "500ms", "told_max": "500ms", "client_timeout": "10s"}
KINDS = {"java": True, "lrk": True}  # idempotent


def policies():
    """Two that lose nothing, with what they may do; and around them whatever loses."""
    def one(name, **more):
        return policy(name, f"never-{name}-*", GROUP, target="10M", limit="20M", wait=WAIT, **more)
    return [one("held", actions=["hold"], hold={"max": "2s"}),
            one("moved", actions=["hold", "divert"], hold={"max": "2s"}, divert={"topic": DIVERTED}),
            one("sampled", loss="allowed", actions=["sample"], sample={"min": 0.2, "by": "random"}),
            one("shed", loss="allowed", actions=["shed"]),
            one("dropped", loss="allowed", queue={"records": 30, "overflow": "drop_random"})]


NAMES = ["held", "moved", "sampled", "shed", "dropped"]
DOES = {"sampled": "sampled_out", "shed": "shed", "dropped": "shed", "moved": "diverted"}


@scenario(batch="never")
def never(context, cluster):
    topics = [f"never-{name}-{kind}" for name in NAMES for kind in KINDS]
    cluster.create(*topics, DIVERTED, partitions=PARTITIONS)
    cluster.commit_zero(GROUP, *topics)
    proxy = Penstock(context, cluster, policies())
    pressure = actions.Pressure(context, proxy)
    producers = {kind: Producers(context, kind, kind, [
        producer(f"p-{kind}", proxy.bootstrap, *(stream(f"never-{name}-{kind}", RATE, size=200, partitions=PARTITIONS)
                                                 for name in NAMES), idempotence=idempotent)])
        for kind, idempotent in KINDS.items()}
    for one in producers.values():
        one.begun(90)
    pressure.climb([{name} for name in ("held", "moved", "sampled", "shed")], 60)
    context.check("every ladder was climbed", pressure.armed >= {"held", "moved", "sampled", "shed"})
    context.say("broker 2 is killed under pressure")
    cluster.brokers[2].kill()
    time.sleep(4)
    pressure.put(False)
    time.sleep(2)
    cluster.brokers[2].start()
    until("broker 2 is in sync again", lambda: min(cluster.in_sync(topic) for topic in topics) == 3, 60)
    cluster.lead(topics[0], {0: 2})
    pressure.put(True)
    time.sleep(3)
    context.say("every connection is cut under pressure")
    for broker in cluster.brokers.values():
        for link in list(broker.hop.links):
            link.close()
    time.sleep(3)
    until("each action has taken something", lambda: all(done(actions.counters(proxy)).values()), 60)
    pressure.put(False)
    for one in producers.values():
        one.stop()
    said = actions.settle(proxy)
    judge(context, cluster, producers, topics)
    for name, count in done(said).items():
        context.check(f"{name}: records were {DOES[name].replace('_', ' ')}", count > 0, count)
    proxy.stop()


def done(said):
    return {name: said[name][outcome] for name, outcome in DOES.items()}


def judge(context, cluster, producers, topics):
    held = Topics(context, cluster.direct, [*topics, DIVERTED]).records
    moved = collections.Counter((row[2], row[3]) for row in held[DIVERTED])
    for kind, process in producers.items():
        client = process.each[f"p-{kind}"]
        for name, origin in zip(NAMES[:2], client.origins):
            rows = held[f"never-{name}-{kind}"]
            there = collections.Counter((row[2], row[3]) for row in rows) + moved
            acked = [row for row in client.acks() if row[0] == origin]
            lost = sum(1 for row in acked if (origin, row[1]) not in there)
            failed = sum(1 for row in client.failures() if row[0] == origin)
            context.check(f"{kind}, {name}: every acknowledged record is there", lost == 0 and len(acked) > 0,
                          f"{len(acked)} acknowledged, {lost} lost")
            context.check(f"{kind}, {name}: no record failed", failed == 0, failed)
            if name == "held":  # where batches may be diverted they lose their sequence, and with it deduplication
                twice = sum(count - 1 for count in there.values() if count > 1)
                context.check(f"{kind}, {name}: none twice", twice == 0, twice)
