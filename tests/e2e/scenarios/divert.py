"""Diverted records: every acknowledged one is in its topic or in the divert topic, and `penstock replay` brings it back,
also if it is killed half way."""

import json
import random
import signal
import subprocess
import time
from collections import Counter

from harness import BUILD, PATIENCE, until
from load import Consumers, Producers, group, producer, stream
from measure import Records, judge_client
from proxy import SANITIZERS, Penstock, policy, yaml
from scenarios import scenario

ORIGINS = [("back-a", 0), ("back-a", 1), ("back-a", 2), ("back-b", 0), ("back-b", 1)]
EACH = 2000         # records of each origin
RATE, BATCH = 2500, 1000
FEW = 300           # as BATCH, of fewer records
LATER = 3000        # records of the run that SIGTERM ends
PARTITIONS, PLACES = 4, 3  # of the topic under pressure, and of its divert topic
PRESSURE = 14       # s
ADMITTED = 150      # records/s to the topic; what the divert topic may take is twice that
AT = 1_700_000_000_000  # ms: the first record's timestamp


def kcat_write(cluster, topic, partition, lines, *headers):
    marks = [word for header in headers for word in ("-H", header)]
    subprocess.run(["kcat", "-P", "-b", cluster.direct, "-t", topic, "-p", str(partition), "-K:", *marks],
                   input="".join(f"{line}\n" for line in lines), text=True, check=True, timeout=PATIENCE)


def kcat_read(cluster, topic, *options):
    """[(partition, key, value, timestamp, headers)] in the order of the partitions' offsets."""
    done = subprocess.run(["kcat", "-C", "-q", "-b", cluster.direct, "-t", topic, "-o", "beginning", "-e",
                           "-f", r"%p\t%k\t%s\t%T\t%h\n", *options], capture_output=True, text=True, check=True,
                          timeout=PATIENCE)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return [(int(p), key, value, int(at), headers) for p, key, value, at, headers in rows]


def written(cluster, *places):
    """Records in these (topic, partition)s."""
    asked = [word for topic, partition in places for word in ("-t", f"{topic}:{partition}:-1")]
    told = subprocess.run(["kcat", "-Q", "-b", cluster.direct, *asked], capture_output=True, text=True, check=True,
                          timeout=PATIENCE).stdout
    return sum(int(line.split()[-1]) for line in told.splitlines() if "offset" in line)


class Replay:
    """One run of `penstock replay`."""
    number = 0

    def __init__(self, context, path, policy_name, *options):
        Replay.number += 1
        self.context = context
        self.json = context.folder / f"replay-{Replay.number}.json"
        self.process = context.spawn(f"replay-{Replay.number}", [
            BUILD / "asan/penstock", "replay", "-c", path, "--policy", policy_name, "--json", self.json, *options],
            SANITIZERS)

    def told(self):
        """Records back, as the newest line of progress says."""
        lines = [line for line in self.process.err().splitlines() if line.startswith("replay ") and " of " in line]
        return int(lines[-1].split(": ")[1].split()[0]) if lines else 0

    def summary(self):
        return json.loads(self.json.read_text())

    def ended(self, what, code=0, within=PATIENCE):
        found = self.process.wait(within)
        return self.context.check(what, found == code, f"exit {found}: {self.process.err().splitlines()[-1:]}")


def fill(cluster, first, count):
    """So many records of each origin, in order, as the divert producer would store them."""
    for index, (topic, partition) in enumerate(ORIGINS):
        kcat_write(cluster, "over", index % 3, [f"k{n % 7}:{n}" for n in range(first, first + count)],
                   f"penstock-origin-topic={topic}", f"penstock-origin-partition={partition}",
                   f"penstock-origin-timestamp={AT + first}", "penstock-origin-policy=over", "mine=kept")


def judge_back(context, cluster, expected, bound):
    """What came back, against what was diverted."""
    wrong, twice, disorder, missing = [], 0, 0, 0
    for topic in ("back-a", "back-b"):
        rows = kcat_read(cluster, topic)
        wrong += [row for row in rows if row[4] != "mine=kept" or row[3] < AT or row[1] != f"k{int(row[2]) % 7}"]
        for origin in (o for o in ORIGINS if o[0] == topic):
            numbers = [int(value) for partition, _, value, _, _ in rows if partition == origin[1]]
            firsts = list(dict.fromkeys(numbers))
            twice += len(numbers) - len(firsts)
            disorder += sum(1 for a, b in zip(firsts, firsts[1:]) if b < a)
            missing += expected - len(set(firsts) & set(range(expected)))
    context.check("every diverted record is back in its partition", missing == 0, missing)
    context.check("... in order", disorder == 0, disorder)
    context.check("... with its key, timestamp and own headers alone", not wrong, wrong[:2])
    context.check(f"at most {bound} came twice", twice <= bound, twice)
    return twice


@scenario(batch="divert")
def replay(context, cluster):
    cluster.create("back-a", partitions=3)
    cluster.create("back-b", partitions=2)
    cluster.create("over", partitions=3)
    fill(cluster, 0, EACH)
    path = context.folder / "replay.yaml"
    path.write_text(yaml({"upstream": {"bootstrap": cluster.bootstrap}, "policies": [
        policy("over", "back-*", "g-back", actions=["divert"], divert={"topic": "over"})]}))
    options = ("--rate", str(RATE), "--batch", str(BATCH))

    killed = Replay(context, path, "over", *options)
    enough = random.randrange(EACH, 4 * EACH)
    until("a part of it is back", lambda: written(cluster, *ORIGINS) >= enough, pause=0.01)
    killed.process.kill()
    first = written(cluster, *ORIGINS)
    kcat_write(cluster, "over", 0, ["x:lost"] * 30)
    kcat_write(cluster, "over", 1, ["x:gone"] * 40, "penstock-origin-topic=gone", "penstock-origin-partition=0")
    kcat_write(cluster, "over", 2, ["x:gone"] * 50, "penstock-origin-topic=back-b", "penstock-origin-partition=2")
    second = Replay(context, path, "over", *options)
    second.ended("the next one goes on and ends by itself")
    found = second.summary()
    context.check("it says that it has caught up", found["ended"] == "caught_up" and found["not_committed"] == 0, found)
    context.check("records without a way back are skipped and counted",
                  (found["skipped_without_origin"], found["skipped_gone"]) == (30, 90), found)
    rate = found["replayed"] / found["seconds"]
    context.check("it keeps to its rate", rate <= 1.05 * RATE, f"{rate:.0f}/s")
    twice = judge_back(context, cluster, EACH, BATCH)
    context.figure(f"killed with {first} of {len(ORIGINS) * EACH} records back: {twice} came twice, of at most {BATCH}")

    fill(cluster, EACH, LATER // len(ORIGINS))
    stopped = Replay(context, path, "over", "--rate", "1000", "--batch", str(BATCH))
    until("some of it is back", lambda: stopped.told() > 0)
    stopped.process.popen.send_signal(signal.SIGTERM)
    stopped.ended("SIGTERM ends it in order")
    last = Replay(context, path, "over", *options)
    last.ended("what was left is brought back")
    found = [one.summary() for one in (stopped, last)]
    context.check("after SIGTERM nothing comes twice", sum(one["replayed"] for one in found) == LATER, found)
    context.check("... and nothing was left open", found[0]["ended"] == "stopped" and found[0]["not_committed"] == 0)
    judge_back(context, cluster, EACH + LATER // len(ORIGINS), twice)

    kcat_write(cluster, "over", 0, ["x:lost"])
    strict = Replay(context, path, "over", "--strict")
    strict.ended("--strict fails at a record without origin", 1)
    context.check("... and says which", "has no origin" in strict.process.err(), strict.process.err()[-200:])
    through_penstock(context, cluster, path)
    keys = Counter(value for _, _, value, _, _ in kcat_read(cluster, "back-b"))
    context.check("what could not go back went nowhere", keys["gone"] + keys["lost"] == 0, keys.most_common(1))


def through_penstock(context, cluster, path):
    """--follow goes on where others end; --bootstrap sends through a Penstock, whose policies hold for what comes back."""
    proxy = Penstock(context, cluster, [policy("over", "back-*", "g-back", target="10M", limit="20M",
                                               actions=["divert"], divert={"topic": "over"})])
    replay = Replay(context, path, "over", "--follow", "--bootstrap", proxy.bootstrap)
    begun, first = written(cluster, *ORIGINS), EACH + LATER // len(ORIGINS)
    for turn in range(2):
        fill(cluster, first + turn * FEW, FEW)
        until("what was diverted meanwhile is back",
              lambda: written(cluster, *ORIGINS) >= begun + (turn + 1) * FEW * len(ORIGINS), 60)
        context.check("--follow goes on", replay.process.alive())
    replay.process.popen.send_signal(signal.SIGTERM)
    replay.ended("--follow ends when it is told to")
    found, count = replay.summary(), 2 * FEW * len(ORIGINS)
    context.check("... with everything committed", (found["ended"], found["replayed"], found["not_committed"]) ==
                  ("stopped", count, 0), found)
    passed = proxy.total("penstock_records_total", policy="over", outcome="forwarded")
    context.check("--bootstrap sends through Penstock", passed == count, passed)
    proxy.stop()


def by_partition(rows):
    """{partition: ["client sequence-number", ...]} of the producers of load.py, in order."""
    found = {}
    for partition, _, value, _, _ in rows:
        found.setdefault(partition, []).append(value)
    return found


def by_origin(rows):
    """The same of a divert topic, by the partition that each record came from; and where those of each stand."""
    found, places = {}, {}
    for partition, _, value, _, headers in rows:
        marks = dict(mark.split("=", 1) for mark in headers.split(","))
        origin = int(marks["penstock-origin-partition"])
        found.setdefault(origin, []).append(value)
        places.setdefault(origin, set()).add(partition)
    return found, places


def press(context, cluster):
    """Producers of two kinds under a policy that admits a part of what they write: the rest is diverted, or refused and
    sent again. Returns the proxy and the producers, after their end."""
    wait = {"max": "500ms", "told_max": "500ms", "client_timeout": "10s"}
    bound = {"hot": ADMITTED, "hot.overflow": 2 * ADMITTED}
    hot = policy("hot", "hot", "g-hot", target="10M", limit="20M", actions=["divert"],
                 divert={"topic": "hot.overflow"}, wait=wait)
    over = policy("overflow", "hot.overflow", "g-over", target="10M", limit="20M", wait=wait)
    proxy = Penstock(context, cluster, [hot, over])
    producers = [Producers(context, "java", "java", [
        producer("hot-java", proxy.bootstrap, stream("hot", 250, size=200), idempotence=True, linger_ms=50)]),
        Producers(context, "lrk", "lrk", [
            producer("hot-lrk", proxy.bootstrap, stream("hot", 250, size=200, partitions=PARTITIONS), linger_ms=50)])]
    for one in producers:
        one.begun()
    for one in proxy.config["policies"]:
        one["max_rate"] = {"records": f"{bound[one['topics'][0]]}/s"}
    proxy.write()
    context.check("pressure is put on by a reload", proxy.status("/api/v1/reload", "POST") == 200)
    begun = time.monotonic()
    until("the ladder is armed", lambda: proxy.total("penstock_policy_armed", policy="hot", action="divert"))
    time.sleep(max(4.0, PRESSURE - (time.monotonic() - begun)))
    stored, passed = written(cluster, *[("hot.overflow", n) for n in range(PLACES)]), time.monotonic() - begun
    context.check("the divert topic is governed", 0 < stored <= 1.2 * bound["hot.overflow"] * passed, f"{stored} in {passed:.0f} s")
    proxy.bypass(True)
    for one in producers:
        one.stop()
    return proxy, producers


@scenario(batch="divert")
def divert(context, cluster):
    cluster.create("hot", partitions=PARTITIONS)
    cluster.create("hot.overflow", partitions=PLACES)
    proxy, producers = press(context, cluster)
    consumers = Consumers(context, "consumers", cluster, [
        group("g-hot", "hot", cluster.direct, 100_000, partitions=PARTITIONS),
        group("g-over", "hot.overflow", cluster.direct, 100_000, partitions=PLACES)])
    consumers.drain()
    records = Records(consumers)
    for one in producers:
        for client in one.each.values():
            judge_client(context, client)
            records.judge(context, client, ordered=False)
    words = ("-s", "value=>iq")
    before, over = by_partition(kcat_read(cluster, "hot", *words)), kcat_read(cluster, "hot.overflow", *words)
    reasons = Counter(mark for row in over for mark in row[4].split(",") if "-reason=" in mark)
    context.check("each says why", set(reasons) == {"penstock-origin-reason=saturated"}, reasons)
    origins, places = by_origin(over)
    counted = proxy.total("penstock_records_total", policy="hot", outcome="diverted")
    context.check("what is counted as diverted is in the divert topic", counted == len(over) > 0, f"{counted:.0f}, {len(over)}")
    context.check("each partition's records stand in one place", all(len(place) == 1 for place in places.values()), places)
    proxy.stop()
    bring_back(context, cluster, proxy.path, before, origins)


def bring_back(context, cluster, path, before, origins):
    """The replay is killed half way; what stands behind `before` in the end is what was diverted, in its order."""
    hot = [("hot", n) for n in range(PARTITIONS)]
    there, diverted = written(cluster, *hot), sum(len(one) for one in origins.values())
    options = ("--rate", str(max(diverted // 3, 100)), "--batch", str(FEW))
    killed = Replay(context, path, "hot", *options)
    until("a part of it is back", lambda: written(cluster, *hot) - there >= diverted // 2, pause=0.01)
    killed.process.kill()
    Replay(context, path, "hot", *options).ended("the next replay goes on and ends by itself")
    after = by_partition(kcat_read(cluster, "hot", "-s", "value=>iq"))
    back = {partition: values[len(before.get(partition, [])):] for partition, values in after.items()}
    firsts = {partition: list(dict.fromkeys(values)) for partition, values in back.items()}
    twice = sum(len(values) for values in back.values()) - sum(len(values) for values in firsts.values())
    context.check("every diverted record is back in its partition, in order",
                  all(firsts.get(partition, []) == values for partition, values in origins.items()),
                  f"{sum(len(v) for v in firsts.values())} of {diverted}")
    context.check(f"at most {FEW} came twice", twice <= FEW, twice)
    context.figure(f"{diverted} diverted, replay killed half way: {twice} came twice, of at most {FEW}")
