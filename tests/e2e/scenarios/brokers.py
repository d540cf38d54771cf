"""Three brokers: leaders that move under traffic, and a broker that dies and comes back."""

import struct
import time

from harness import happens, until
from load import Consumers, Producers, group, producer, stream
from measure import Records, judge_client
from proxy import Penstock, policy
from scenarios import scenario
from scenarios.wire import FETCH, PRODUCE, api_of_requests, frames

PARTITIONS = 6


def start(context, cluster, topic):
    """Everything passes the proxy, consumers as well. There is a policy, and no pressure."""
    cluster.create(topic, partitions=PARTITIONS)
    proxy = None if context.options.direct else Penstock(context, cluster, [policy("calm", topic, f"g-{topic}")])
    bootstrap = ",".join(cluster.bootstrap) if proxy is None else proxy.bootstrap
    consumers = Consumers(context, "consumers", cluster, [
        group(f"g-{topic}", topic, bootstrap, rate=0, partitions=PARTITIONS)])
    producers = [
        Producers(context, "java", "java", [producer("p-java", bootstrap, stream(topic, 500), idempotence=True)]),
        Producers(context, "lrk", "lrk", [producer("p-lrk", bootstrap, stream(topic, 500), idempotence=True)])]
    for one in producers:
        one.begun()
    return proxy, consumers, producers


def finish(context, proxy, consumers, producers):
    for one in producers:
        one.stop()
    consumers.drain()
    records = Records(consumers)
    for one in producers:
        for client in one.each.values():
            records.judge(context, client, ordered=True)
    if proxy:
        proxy.stop()


def judge_owners(context, cluster, proxy):
    """The address that a broker advertises leads to a hop, which noted the process behind every connection.

    What never sent a request (the proxy's own look whether a broker accepts connections) is not counted.
    """
    links = [link for broker in cluster.brokers.values() for link in broker.hop.links if link.client_id is not None]
    strangers = {(link.owner, link.client_id) for link in links if proxy is None or link.owner != proxy.process.pid}
    context.check("no process but the proxy ever connected to a broker's own port", links and not strangers,
                  f"{len(links)} connections" if not strangers else f"by {sorted(map(str, strangers))}")


def forget(cluster, record):
    """What the hops have seen; and whether they shall record from now on."""
    for broker in cluster.brokers.values():
        broker.hop.links.clear()
        broker.hop.record = record


def endpoints_sent(cluster):
    """Produce and Fetch answers of brokers in which the address of a broker stands (KIP-951)."""
    addresses = [b"\x0a127.0.0.1" + struct.pack(">i", broker.advertised) for broker in cluster.brokers.values()]
    found = {PRODUCE: 0, FETCH: 0}
    for broker in cluster.brokers.values():
        for link in broker.hop.links:
            if link.up is None:
                continue
            apis = api_of_requests(link)
            for frame in frames(link.down):
                api = apis.get(struct.unpack_from(">i", frame, 4)[0])
                if api in found and any(address in frame for address in addresses):
                    found[api] += 1
    return found


@scenario(batch="leaders")
def leaders_moved(context, cluster):
    topic = "moved"
    forget(cluster, record=True)
    proxy, consumers, producers = start(context, cluster, topic)
    for turn in range(10):
        cluster.lead(topic, {partition: 1 + (turn + partition) % 3 for partition in range(PARTITIONS)})
        time.sleep(3)
    context.say(f"leaders at the end: {cluster.leaders(topic)}")
    acked = sum(one.acked() for one in producers)
    context.check("traffic goes on after the last move",
                  happens(lambda: sum(one.acked() for one in producers) > acked + 1500))
    finish(context, proxy, consumers, producers)
    for one in producers:
        for client in one.each.values():
            judge_client(context, client)
    judge_owners(context, cluster, proxy)
    sent = endpoints_sent(cluster)
    context.check("brokers did send the addresses of new leaders", sent[PRODUCE] > 0 and sent[FETCH] > 0,
                  f"in {sent[PRODUCE]} Produce and {sent[FETCH]} Fetch answers")
    forget(cluster, record=False)


@scenario(batch="broker killed")
def broker_killed(context, cluster):
    topic = "killed"
    forget(cluster, record=False)
    proxy, consumers, producers = start(context, cluster, topic)
    victim = cluster.brokers[2]
    context.say("broker 2 is killed")
    victim.kill()
    killed_ms = time.time() * 1000
    time.sleep(15)  # it is away for so long at least: a partition that hangs is silent all the while
    judge_resumed(context, producers, "without it")
    context.say("broker 2 is started")
    away = time.time() - killed_ms / 1000
    victim.start()
    until("broker 2 is in sync again", lambda: cluster.in_sync(topic) == 3)
    seen = len(victim.hop.links)
    cluster.lead(topic, {partition: 2 for partition in range(0, PARTITIONS, 2)})
    time.sleep(10)
    judge_resumed(context, producers, "with it leading again")
    context.check("the proxy connects to it again", len(victim.hop.links) > seen or links_open(victim),
                  f"{len(victim.hop.links) - seen} new connections")
    finish(context, proxy, consumers, producers)
    judge_owners(context, cluster, proxy)
    for one in producers:
        errors = [line for line in one.errors() if "error" in line]
        context.check(f"{one.name}: no record failed", not errors, errors[0] if errors else "")
        gap = longest_gap(one, killed_ms)
        context.check(f"{one.name}: every partition went on while the broker was away", gap < away,
                      f"silent for {gap:.1f} s of {away:.1f} s")
        context.quality(f"{one.name}: longest silence of a partition after the kill at most 20 s", gap <= 20, f"{gap:.1f} s")


def links_open(broker):
    return any(link.client.fileno() >= 0 for link in broker.hop.links)


def goes(one, seconds=4):
    """At nine tenths of its pace."""
    acked, begun = one.acked(), time.monotonic()
    time.sleep(seconds)
    return one.acked() - acked >= 450 * (time.monotonic() - begun)


def judge_resumed(context, producers, when):
    for one in producers:
        context.check(f"{one.name}: traffic has resumed {when}", happens(lambda: goes(one)))


def longest_gap(producers, since_ms):
    """The longest time in which a partition that was written to before acknowledged nothing."""
    gap = 0
    for client in producers.each.values():
        last = {}
        for _, _, partition, _, at, _ in client.acks():
            if at >= since_ms:
                gap = max(gap, at - last.get(partition, since_ms))
                last[partition] = at
    return gap / 1000
