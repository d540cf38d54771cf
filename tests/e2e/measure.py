"""What happened, from outside: true lag, busy consumers, and the fate of every record.

The true lag is the end offset at the brokers minus what the consumers have worked through. It owes nothing to the
proxy.
"""

import struct
import time

from harness import PATIENCE, happens

CONSUMED = struct.Struct(">iiqiqi")  # group, partition, offset, origin, seq, age (ms)


def lag_series(*samples):
    """[(seconds, lag)] from the samples of one group, of one process or of several that followed each other.

    Time counts from the first record. While nobody consumes, the last known position stands.
    """
    merged = sorted((s for part in samples for s in part), key=lambda s: s[0])
    series, begun, last = [], None, {}
    for t, ends, positions, _ in merged:
        if begun is None:
            if sum(ends) == 0:
                continue
            begun = t
        lag = 0
        for partition, end in enumerate(ends):
            if positions[partition] >= 0:
                last[partition] = positions[partition]
            lag += end - last.get(partition, 0)
        series.append(((t - begun) / 1000, lag))
    return series, begun


def within(series, begin, end):
    return [lag for t, lag in series if begin <= t <= end]


def utilisation(samples, rate, begin_ms, end_ms):
    """Records that were worked through between two instants, as a share of what the consumers can."""
    inside = [(t, done) for t, _, _, done in samples if begin_ms <= t <= end_ms]
    if len(inside) < 2:
        return 0.0
    (t0, d0), (t1, d1) = inside[0], inside[-1]
    return (d1 - d0) / (rate * (t1 - t0) / 1000)


def looks_dry(samples, begin_ms, end_ms, consumers=2):
    """(looks at which a consumer had nothing left to read, looks): each sample is a look at each consumer. They share the
    partitions as Kafka's range assignor does."""
    dry = looks = 0
    for t, ends, positions, _ in samples:
        if not begin_ms <= t <= end_ms or min(positions) < 0:
            continue
        each = len(ends) // consumers
        for first in range(0, len(ends), each):
            looks += 1
            dry += sum(ends[first:first + each]) <= sum(positions[first:first + each])
    return dry, looks


def judge_busy(context, label, samples, rate, begin_ms, end_ms):
    """What holds back producers must leave consumers something to do at every time. Whether they then do all that they
    can is between them and the machine."""
    dry, looks = looks_dry(samples, begin_ms, end_ms)
    context.measure(f"{label}: consumers had something to read at 97 % of all looks", looks >= 50 and dry <= 0.03 * looks,
                    f"nothing at {dry} of {looks}")
    busy = utilisation(samples, rate, begin_ms, end_ms)
    context.quality(f"{label}: consumers >= 97 % busy", busy >= 0.97, f"{busy:.3f}")
    return busy


BAND = 0.6, 1.4  # targets


def in_band(lags, target):
    """The share of them."""
    return sum(1 for lag in lags if BAND[0] <= lag / target <= BAND[1]) / len(lags) if lags else 0.0


def settles(context, target, *named, steady_s=3, timeout=PATIENCE):
    """Waits until the lag of every (consumers, group) has been in the band for a few seconds; returns that moment (ms)."""
    begun = time.monotonic()

    def settled():
        for consumers, name in named:
            series, _ = lag_series(consumers.samples(name))
            if not series or in_band(within(series, series[-1][0] - steady_s, series[-1][0]), target) < 1:
                return False
        return True
    there = happens(settled, timeout, pause=1)
    context.check("the lag comes to its target", there, f"after {time.monotonic() - begun:.0f} s")
    return time.time() * 1000


def judge_band(context, label, lags, target):
    """Lag that has settled. A machine that stands still for a second moves it, and it comes back."""
    low, high, mean = min(lags) / target, max(lags) / target, sum(lags) / len(lags) / target
    told = f"{low:.2f} to {high:.2f}, mean {mean:.2f}"
    context.measure(f"{label}: settled, lag about its target", in_band(lags, target) >= 0.9 and 0.75 <= mean <= 1.25, told)
    context.quality(f"{label}: settled, lag always in {BAND[0]} to {BAND[1]} target", in_band(lags, target) == 1, told)
    return low, high, mean


def judge_lag(context, label, series, target, settled_s, until_s, peak_max=2.0):
    """The bounds of one controlled topic: the peak, and the band once it has settled."""
    whole, settled = within(series, 0, until_s), within(series, settled_s, until_s)
    if not settled:
        return context.check(f"{label}: lag was sampled", False, f"{len(whole)} samples")
    peak = max(whole) / target
    context.measure(f"{label}: peak lag <= {peak_max:.2f} target", peak <= peak_max, f"{peak:.2f}")
    return (peak, *judge_band(context, label, settled, target))


class Records:
    """Every record that was consumed, against every record that was acknowledged."""

    def __init__(self, *consumers):
        self.times = {}        # origin -> bytearray: how many offsets hold record seq
        self.redelivered = 0   # an offset that a group was given again
        self.skipped = 0       # offsets that nobody was given
        self.disorder = {}     # origin -> records that stand behind a later one in their partition
        self.ages = {}         # origin -> ms between sending and consuming
        self._next = {}
        self._newest = {}
        for one in consumers:
            self._read(one)

    def _read(self, consumers):
        names = [g["group"] for g in consumers.groups]
        data = consumers.consumed_path.read_bytes()
        for index, partition, offset, origin, seq, age in CONSUMED.iter_unpack(data[:len(data) - len(data) % 32]):
            place = (names[index], partition)
            expected = self._next.get(place, 0)
            if offset < expected:
                self.redelivered += 1
                continue
            self.skipped += offset - expected
            self._next[place] = offset + 1
            self._count(origin, seq)
            self.ages.setdefault(origin, []).append(age)
            if seq < self._newest.get((origin, partition), -1):
                self.disorder[origin] = self.disorder.get(origin, 0) + 1
            else:
                self._newest[(origin, partition)] = seq

    def _count(self, origin, seq):
        times = self.times.setdefault(origin, bytearray())
        if seq >= len(times):
            times.extend(bytes(seq + 1 - len(times)))
        times[seq] = min(times[seq] + 1, 255)

    def judge_delivery(self, context):
        """Each offset was given to its group once."""
        context.check("nothing redelivered or skipped", self.redelivered + self.skipped == 0,
                      f"{self.redelivered} redelivered, {self.skipped} skipped")

    def judge(self, context, client, ordered):
        """No acknowledged record lost, none twice; in order if `ordered` says that the client promises it."""
        label, lost, acked = client.client_id, 0, 0
        for origin, seq, *_ in client.acks():
            acked += 1
            times = self.times.get(origin, b"")
            if seq >= len(times) or times[seq] == 0:
                lost += 1
        twice = sum(n - 1 for o in client.origins for n in self.times.get(o, b"") if n > 1)
        wrong = sum(self.disorder.get(origin, 0) for origin in client.origins)
        context.check(f"{label}: every acknowledged record was consumed", lost == 0 and acked > 0,
                      f"{acked} acknowledged, {lost} lost")
        context.check(f"{label}: no duplicates", twice == 0, twice)
        if ordered:
            context.check(f"{label}: in order per partition", wrong == 0, wrong)


def judge_client(context, client):
    """No error came to the application, and the client gave up no request."""
    errors = client.errors()
    context.check(f"{client.client_id}: no client error", not errors, f"{len(errors)}: {errors[0]}" if errors else "")
    timeouts = client.timeouts()
    context.check(f"{client.client_id}: no client timeout", timeouts == 0, timeouts)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")
