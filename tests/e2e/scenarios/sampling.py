"""Sampling 0.2 by key, in batches of every codec of an idempotent Java producer."""

import collections
import time

import clients
from harness import until
from load import Consumers, Producers, Topics, group, producer, stream
from measure import CONSUMED
from proxy import Penstock, policy
from scenarios import scenario

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
KEEP, PARTITIONS, ROUNDS = 0.2, 4, 2   # every key comes so often while everything is sampled at KEEP


def policy_of(codec, offered):
    """The controller lets through a little less than what sampling keeps at the least: so it keeps no more."""
    return policy(f"sampled-{codec}", f"sampled-{codec}", "g-sampled", target="100M", limit="200M", loss="allowed",
                  max_rate={"records": f"{int(0.19 * offered)}/s"}, wait={"max": "1s", "told_max": "1s",
                  "client_timeout": "15s"}, actions=["sample"], sample={"min": KEEP, "by": "key"})


def keeps(proxy):
    return [one["keep"] for one in proxy.state()["policies"]]


@scenario(batch="sampling")
def sampling(context, cluster):
    keys = context.options.keys
    offered = max(2000, keys // 5)
    topics = [f"sampled-{codec}" for codec in CODECS]
    cluster.create(*topics, partitions=PARTITIONS)
    cluster.commit_zero("g-sampled", *topics)
    proxy = Penstock(context, cluster, [policy_of(codec, offered) for codec in CODECS],
                     preset="release" if keys > 20000 else "asan")
    java = Producers(context, "java", "java", [
        producer(f"p-{codec}", proxy.bootstrap, stream(f"sampled-{codec}", offered, size=60, keys=keys), idempotence=True,
                 codec=codec, linger_ms=10) for codec in CODECS])
    java.begun()
    until("everything is sampled at the least share", lambda: max(keeps(proxy)) <= KEEP + 0.0005, 60)
    context.say(f"sampled at {KEEP} from now on")
    time.sleep(2)
    begin_ms = time.time() * 1000

    def acknowledged():
        return min(one["acked"] for one in java.status().values())
    wanted = acknowledged() + ROUNDS * keys * 1.1
    until("every key came often enough", lambda: acknowledged() >= wanted, 120, pause=0.5)
    end_ms = time.time() * 1000
    proxy.bypass(True)
    java.stop()
    held = Topics(context, cluster.direct, topics).records
    judge_readers(context, cluster, topics, held)
    judge_producer(context, java)
    for codec in CODECS:
        judge(context, codec, java.each[f"p-{codec}"], held[f"sampled-{codec}"], keys, begin_ms, end_ms)
    proxy.stop()


def judge(context, codec, client, rows, keys, begin_ms, end_ms):
    """Of the records that were sent and acknowledged between the two instants."""
    there = {row[3] for row in rows}
    window = [row for row in client.acks() if row[4] - row[5] >= begin_ms and row[4] <= end_ms]
    kept = sum(1 for row in window if row[1] in there)
    share = kept / max(1, len(window))
    context.check(f"{codec}: {KEEP} of the records are kept, within 1 point", abs(share - KEEP) <= 0.01,
                  f"{share:.4f} of {len(window)}")
    fates = collections.defaultdict(set)
    for row in window:
        fates[row[1] % keys].add(row[1] in there)
    split = sum(1 for fate in fates.values() if len(fate) > 1)
    context.check(f"{codec}: whole keys", split == 0 and len(fates) == keys, f"{split} of {len(fates)} keys split")
    whole = sum(1 for fate in fates.values() if True in fate) / max(1, len(fates))
    context.figure(f"sampling {codec}: {share:.4f} of {len(window):,} records, {whole:.4f} of {len(fates):,} keys kept")
    twice = len(rows) - len(there)
    context.check(f"{codec}: no record twice", twice == 0, twice)


def judge_producer(context, java):
    errors = java.errors()
    context.check("no error reached the producer's application", not errors, errors[:1] or "")
    said = [line for line in java.process.err().splitlines() if " ERROR " in line or " WARN " in line]
    context.check("no error in the producer's log", not said, said[:1] or "")


def judge_readers(context, cluster, topics, held):
    """librdkafka has read it, with checksums; Java and franz-go must read as much."""
    consumers = Consumers(context, "readers", cluster, [
        group(f"g-read-{topic}", topic, cluster.direct, rate=0, consumers=1, partitions=PARTITIONS) for topic in topics])
    consumers.drain()
    counts = collections.Counter()
    data = consumers.consumed_path.read_bytes()
    for index, *_ in CONSUMED.iter_unpack(data[:len(data) - len(data) % CONSUMED.size]):
        counts[topics[index]] += 1
    wanted = {topic: len(held[topic]) for topic in topics}
    context.check("readable by Java", dict(counts) == wanted, f"{sum(counts.values())} of {sum(wanted.values())}")
    for name in ("franz-go", "sarama"):
        clients.CLIENTS[name].install()
        argv = [*clients.CLIENTS[name].argv(), "--count", cluster.direct]
        for topic in topics:
            argv += [topic, wanted[topic]]
        reader = context.spawn(f"{name}-reader", argv)
        code = reader.wait(60)
        context.check(f"readable by {name}", code == 0, reader.out().strip() + reader.err()[-200:])
