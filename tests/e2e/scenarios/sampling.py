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
KEEP, ROUNDS = 0.2, 2   # every key comes so often while everything is sampled at KEEP
PARTITIONS = 3          # as many as the readers of other libraries read


# Clients are told to stay away for less than they would have to, so that some are refused: whoever does as he is told is
# held by that alone, and nothing is armed.
HARD = {"max": "500ms", "told_max": "100ms", "client_timeout": "15s"}
GENTLE = {"max": "5s", "told_max": "5s", "client_timeout": "15s"}


def policy_of(codec, share, rate, wait):
    """Admits `rate` records/s."""
    return policy(f"sampled-{codec}", f"sampled-{codec}", "g-sampled", target="100M", limit="200M", loss="allowed",
                  max_rate={"records": f"{int(rate)}/s"}, wait=wait, actions=["sample"], sample={share: KEEP, "by": "key"})


def come_down(context, proxy):
    """Producers that are held back bring only what passes; all the same it is found out how much too much they have."""
    down, begun = {}, time.monotonic()

    def all_are():
        for one in proxy.state()["policies"]:
            if one["keep"] <= KEEP + 0.0005:
                down.setdefault(one["policy"], time.monotonic() - begun)
        return len(down) == len(CODECS)
    until("five times too much is sampled at the least share", all_are)
    context.figure(f"sampling came down to its least within {max(down.values()):.0f} s of the first records")


def fix(context, proxy, rate):
    """From now on no share but this one, whatever comes. What producers have kept back may come as well."""
    proxy.config["policies"] = [policy_of(codec, "keep", rate, GENTLE) for codec in CODECS]
    proxy.write()
    context.check("a fixed share is asked for by a reload", proxy.status("/api/v1/reload", "POST") == 200)
    until("everything is sampled at it", lambda: {one["keep"] for one in proxy.state()["policies"]} == {KEEP})
    refused = [None]

    def calm():
        refused.append(proxy.total("penstock_records_total", outcome="rejected"))
        return refused[-5:] == refused[-1:] * 5
    until("nobody has been refused for as long as a refusal is waited for", calm, pause=2)


@scenario(batch="sampling")
def sampling(context, cluster):
    keys = context.options.keys
    offered = max(2000, keys // 20)
    topics = [f"sampled-{codec}" for codec in CODECS]
    cluster.create(*topics, partitions=PARTITIONS)
    cluster.commit_zero("g-sampled", *topics)
    proxy = Penstock(context, cluster, [policy_of(codec, "min", 0.19 * offered, HARD) for codec in CODECS],
                     preset="release" if keys > 20000 else "asan")
    java = Producers(context, "java", "java", [
        producer(f"p-{codec}", proxy.bootstrap, stream(f"sampled-{codec}", offered, size=60, keys=keys), idempotence=True,
                 codec=codec, linger_ms=10, batch_size=8 * offered) for codec in CODECS])
    java.begun()
    come_down(context, proxy)
    fix(context, proxy, 0.6 * offered)
    begin_ms, said = time.time() * 1000, len(java.process.err())
    sent = {origin: one["sent"] for origin, one in java.status().items()}
    cpu, offered_before = proxy.cpu_seconds(), proxy.total("penstock_offered_records_total")

    def all_came():
        return all(one["acked"] - sent[origin] >= ROUNDS * keys * 1.1 + 2 * offered for origin, one in java.status().items())
    until("every key came often enough", all_came, 240, pause=0.5)
    end_ms = time.time() * 1000
    cpu, passed = proxy.cpu_seconds() - cpu, proxy.total("penstock_offered_records_total") - offered_before
    context.figure(f"{passed:,.0f} records in {(end_ms - begin_ms) / 1000:.0f} s for {cpu:.1f} s of the proxy's CPU time"
                   f" ({proxy.preset}): {passed / cpu:,.0f} records/s per core, with all that forwarding costs")
    proxy.bypass(True)
    java.stop()
    held = Topics(context, cluster.direct, topics).records
    judge_readers(context, cluster, topics, held)
    judge_producer(context, java, said)
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


def judge_producer(context, java, before):
    """Before the fixed share held it was warned of what was refused, and sent it again."""
    errors, log = java.errors(), java.process.err()
    context.check("no error reached the producer's application", not errors, errors[:1] or "")
    said = [line for line in log.splitlines() if " ERROR " in line]
    said += [line for line in log[before:].splitlines() if " WARN " in line]
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
