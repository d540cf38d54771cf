"""A story on a real Kafka: producers, Penstock and consumers as processes, and the true lag seen from outside."""

import bisect
import time

from curves import Row
from harness import until
from load import Consumers, Producers, group, producer, stream
from proxy import Penstock, policy

RECORD_BYTES = 100
BUFFER_BYTES = 1 << 20  # of each producer: with 32 MiB, as is the default, small records grow older than delivery.timeout
STALE_AFTER = "5s"
CUT = set()      # processes whose connections are cut: stories share a hop
LEAD_S = 6       # how long before it joins a consumers' process is started
SAMPLED_S = 0.5  # a position that nobody has told for longer is one where nobody consumes


class Track:
    """A value seen at instants, in between on a straight line; where nobody saw it for long, the last one."""

    def __init__(self, points):
        self.points = sorted(points)
        self._times = [t for t, _ in self.points]

    def at(self, t, otherwise=0.0):
        after = bisect.bisect_right(self._times, t)
        if after == 0:
            return otherwise
        t0, before = self.points[after - 1]
        if after == len(self.points):
            return before
        t1, later = self.points[after]
        if t1 - t0 > SAMPLED_S * 1000 or later < before:
            return before
        return before + (later - before) * (t - t0) / (t1 - t0)


class Stage:
    """Everything that runs during one story."""

    def __init__(self, context, cluster, story):
        self.context, self.cluster, self.story = context, cluster, story
        self.topic, self.group = f"{story.name}", f"g-{story.name}"
        cluster.create(self.topic, partitions=story.partitions)
        self.proxy = Penstock(context, cluster, [policy(
            "story", self.topic, self.group, target=str(round(story.target)), limit=str(round(story.limit)),
            signal={"poll": story.poll, "stale_after": STALE_AFTER})], preset="release",
            extra={} if story.cuts else {"upstream": {"bootstrap": [cluster.direct]}})  # past the hop
        self.waiting = []   # consumers' processes that are held
        self.living, self.all = [], []
        self.watcher = Consumers(context, "watcher", cluster, [self._members(0, 0)], wait=False)
        self.join(story.consumers, wait=True)
        self.producers = None
        self.begun_ms = None
        self.estimates = []  # (t, lag, rate) as the proxy says, for who looks into a difference

    def _members(self, count, rate):
        story = self.story
        spec = group(self.group, self.topic, self.proxy.bootstrap if story.through else self.cluster.direct, rate,
                     consumers=count, commit_ms=round(1000 * story.commit_s), partitions=story.partitions,
                     client_id=f"c{len(self.all)}", session_timeout_ms=10000, heartbeat_interval_ms=1000,
                     max_poll_records=story.poll_records)
        return {**spec, "revoke_ms": round(1000 * story.revoke_s)}

    def prepare(self, count):
        """A process of so many consumers that is up, but has not joined."""
        story = self.story
        members = self._members(count, count * story.capacity / story.consumers)
        one = Consumers(self.context, f"consumers-{len(self.all)}", self.cluster, [members], hold=True)
        self.all.append(one)
        self.waiting.append(one)

    def join(self, count, wait=False):
        if not self.waiting:
            self.prepare(count)
        one = self.waiting.pop()
        self.living.append(one)
        one.go()
        if wait:
            until("every partition has its consumer", one._ready, 60)

    def kill(self):
        for one in self.living:
            one.kill()
        self.living = []

    def cut(self):
        """Penstock's own connections alone: what its clients' relayed ones carry still passes."""
        CUT.add(self.proxy.process.pid)
        self.cluster.brokers[1].hop.freeze(lambda link: link.client_id.startswith("penstock") and link.owner in CUT)

    def restore(self):
        CUT.discard(self.proxy.process.pid)
        self.cluster.brokers[1].hop.thaw(lambda link: link.owner == self.proxy.process.pid)

    def produce(self):
        """Producers of equal shares; the story's time begins with the first record in the log."""
        story, bootstrap = self.story, self.proxy.bootstrap
        rate = story.offered / story.producers
        self.producers = Producers(self.context, "producers", "java", [
            producer(f"p{i}", bootstrap, stream(self.topic, rate, size=RECORD_BYTES), idempotence=True,
                     batch_size=story.batch_bytes, linger_ms=story.linger_ms, buffer_memory=BUFFER_BYTES)
            for i in range(story.producers)])
        until("the first record", self._first, 60, pause=0.3)

    def _first(self):
        for t, ends, _, _ in self.watcher.samples(self.group):
            if sum(ends) > 0:
                self.begun_ms = t
                return True
        return False

    def now_s(self):
        return time.time() - self.begun_ms / 1000

    def note_estimate(self):
        try:
            metrics = self.proxy.metrics()
        except OSError:
            return
        first = lambda name: next((value for _, value in metrics.get(name, [])), float("nan"))  # noqa: E731
        self.estimates.append((self.now_s(), first("penstock_estimated_lag_records"),
                               first("penstock_policy_admitted_rate"), first("penstock_consume_rate"),
                               first("penstock_signal_age_seconds")))

    def sleep_until(self, second):
        while self.now_s() < second:
            self.note_estimate()
            time.sleep(max(0.0, min(2.0, second - self.now_s())))

    def finish(self):
        self.proxy.bypass(True)
        self.producers.stop()
        self.kill()
        self.watcher.kill()
        self.proxy.stop()
        errors = self.producers.errors()
        self.context.check("no producer saw an error", not errors, errors[:1] or "")

    def rows(self):
        """One per second, from the instant when the first record stood in the log."""
        everyone = [self.watcher, *self.all]
        samples = [sample for one in everyone for sample in one.samples(self.group)]
        end = Track([(t, sum(ends)) for t, ends, _, _ in samples])
        positions = [Track([(t, position[p]) for t, _, position, _ in samples if position[p] >= 0])
                     for p in range(self.story.partitions)]
        done = [Track([(t, count) for t, _, _, count in one.samples(self.group)]) for one in self.all]
        acked = sorted(row[4] for acks in self.producers.acks().values() for row in acks)
        found = []
        for second in range(1, round(self.story.seconds) + 1):
            t = self.begun_ms + 1000 * second
            lag = max(0.0, end.at(t) - sum(track.at(t) for track in positions))
            admitted = bisect.bisect_right(acked, t) - bisect.bisect_right(acked, t - 1000)
            found.append(Row(second, lag, admitted, sum(track.at(t) - track.at(t - 1000) for track in done)))
        return found


def play(context, cluster, story, ready):
    """Runs it in real time, together with others once all are `ready`; returns its rows."""
    stage = Stage(context, cluster, story)
    ready.wait()
    stage.produce()
    for event in story.events:
        if event.prepares:
            stage.sleep_until(event.at_s - LEAD_S)
            stage.prepare(event.prepares)
        stage.sleep_until(event.at_s)
        stage.context.say(f"{event.at_s:g} s: {event.says}")
        event.happens(stage)
        story.notes.append(f"{stage.now_s():.1f} s: {event.says}")
    stage.sleep_until(story.seconds + 1)
    stage.finish()
    with open(context.folder / "estimates.csv", "w") as file:
        file.write("t_s,lag_estimated,rate,consume_rate,signal_age\n")
        file.writelines(",".join(f"{value:.2f}" for value in row) + "\n" for row in stage.estimates)
    return stage.rows()
