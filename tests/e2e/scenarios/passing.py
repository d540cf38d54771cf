"""What passes by is enough: with the lag source cut from early on, lag, its growth, its age and the consumers that are
wanted are known from the wire alone."""

import json
import time

from harness import PATIENCE, happens, until
from load import Consumers, Producers, group, producer, stream
from measure import Records, judge_client
from proxy import Penstock, policy
from scenarios import scenario

PACE = 900      # records/s to each topic
SLOW = 300      # records/s that the consumers of the third one take
COMMIT = 1000   # ms
LIMIT = 20000   # of the third one: reached half a minute after it began
LOOKS = 8
DEAF = 15       # s: whoever hears nothing would be off by so much traffic


@scenario(batch="wire")
def passing(context, cluster):
    topics = ["pass-plain", "pass-txn", "pass-grow"]
    cluster.create(*topics)
    proxy = Penstock(context, cluster, [
        *[policy(name, name, f"g-{name}", signal={"stale_after": "3s"}) for name in topics[:2]],
        policy("pass-grow", "pass-grow", "g-pass-grow", target="6k", limit=LIMIT, mode="shadow",
               signal={"stale_after": "3s"})])
    consumers = Consumers(context, "consumers", cluster, [
        group("g-pass-plain", "pass-plain", proxy.bootstrap, 3 * PACE, commit_ms=COMMIT),
        group("g-pass-txn", "pass-txn", proxy.bootstrap, 3 * PACE, commit_ms=COMMIT, transactional=True),
        group("g-pass-grow", "pass-grow", proxy.bootstrap, SLOW, commit_ms=COMMIT)])
    until("the brokers list the members", lambda: proxy.total("penstock_consumers", group="g-pass-grow") == 2)
    producers = Producers(context, "lrk", "lrk", [
        producer(f"p-{name}", proxy.bootstrap, stream(name, PACE, partitions=4)) for name in topics])
    producers.begun()
    begun = time.monotonic()
    hop = cluster.brokers[1].hop
    hop.freeze(lambda link: link.client_id.startswith("penstock") and link.owner == proxy.process.pid)
    context.say("the lag source is cut")
    watch_growth(context, proxy, consumers, begun)
    time.sleep(max(0.0, begun + DEAF - time.monotonic()))
    judge_wire_alone(context, proxy, consumers)
    judge_time(context, proxy, consumers)
    judge_scale(context, proxy)
    hop.thaw()
    producers.stop()
    consumers.drain()
    context.check("no consumer error", not consumers.errors(), consumers.errors()[:1] or "")
    records = Records(consumers)
    for client in producers.each.values():
        judge_client(context, client)
        records.judge(context, client, ordered=False)
    proxy.stop()
    log = proxy.process.err()
    context.check("the log tells of the growth", " lag_grows policy=pass-grow " in log)
    context.check("... and of no other", log.count(" lag_grows ") == 1, log.count(" lag_grows "))


def group_of(proxy, name):
    for one in proxy.state()["policies"]:
        if one["policy"] == name and one["groups"]:
            return one["groups"][0]
    return None


def watch_growth(context, proxy, consumers, begun):
    """Growth is told before the limit, and when the limit will be there."""
    told = None
    while told is None and time.monotonic() - begun < PATIENCE:
        grown = group_of(proxy, "pass-grow")
        told = grown if grown and grown["grows"] else None
        time.sleep(0.2)
    if not context.check("growth is told", told is not None):
        return
    second, lag, left = time.monotonic() - begun, told["lag_estimated"], told["time_to_limit"]
    context.check("... before the limit", lag < 0.8 * LIMIT, f"at {lag:.0f} records")
    lags = [(t, sum(ends) - sum(positions)) for t, ends, positions, _ in consumers.samples("g-pass-grow")]
    past = [row for row in lags if row[0] >= lags[-1][0] - 10000]
    rate = (past[-1][1] - past[0][1]) / (past[-1][0] - past[0][0]) * 1000
    context.check("... with the rate of growth", 0.4 * rate <= told["growth_rate"] <= 2.5 * rate,
                  f"{told['growth_rate']:.0f}/s, by the samples of 10 s {rate:.0f}/s")
    context.check("... and the time that is left", left is not None and
                  abs(left - (LIMIT - lag) / told["growth_rate"]) <= 0.2 * left + 1, f"{left} s")
    context.figure(f"growth of {told['growth_rate']:.0f}/s told after {second:.0f} s, at {lag:.0f} of {LIMIT} records")


def truth(consumers, name):
    _, ends, positions, _ = consumers.samples(name)[-1]
    return sum(end - position for end, position in zip(ends, positions))


def judge_wire_alone(context, proxy, consumers):
    """Polls have been silent for longer than they may be; the estimate is compared with what the consumers say."""
    ages = {}
    for name in ("pass-plain", "pass-txn", "pass-grow"):
        errors = []
        for _ in range(LOOKS):
            seen = group_of(proxy, name)
            ages[name] = (seen["signal"], seen["passive"], seen["signal_age"])
            errors.append(abs(seen["lag_estimated"] - truth(consumers, f"g-{name}")))
            time.sleep(0.3)
        bound = 4 * PACE  # what is said and what is sampled are seconds apart on a busy machine; deaf it would be off by more
        context.check(f"{name}: the lag is right from the wire alone", sorted(errors)[LOOKS // 2] <= bound,
                      f"median error {sorted(errors)[LOOKS // 2]:.0f} records, bound {bound:.0f}")
        context.figure(f"{name}: lag from the wire alone off by {sorted(errors)[LOOKS // 2]:.0f} records (median)")
    context.check("the signal is fresh, and it is the passive one",
                  all(signal == "fresh" and passive for signal, passive, _ in ages.values()), ages)
    context.check("the lag source is known to be gone", proxy.total("penstock_lag_source_up") == 0)


def age(consumers, name, places_back=1):
    """Seconds since the log was as long as the group has read by now, by the samples."""
    samples = [(t, sum(ends), sum(positions)) for t, ends, positions, _ in consumers.samples(name)]
    now, _, position = samples[-places_back]
    return (now - max((t for t, end, _ in samples if end <= position), default=samples[0][0])) / 1000


def judge_time(context, proxy, consumers):
    for name in ("pass-plain", "pass-txn"):
        oldest = max(age(consumers, f"g-{name}", back) for back in range(1, 60))
        delay = group_of(proxy, name)["commit_delay"]
        good = delay["p50"] is not None and 0.05 <= delay["p50"] <= delay["p95"] <= delay["p99"]
        context.check(f"{name}: delay of commits", good and delay["p50"] <= oldest + 5 * COMMIT / 1000,
                      f"{delay}, records were up to {oldest:.1f} s old when read")
        context.figure(f"{name}: delay from append to commit p50 {delay['p50']:.1f} s, p95 {delay['p95']:.1f} s")
    told, true = group_of(proxy, "pass-grow")["lag_seconds"], age(consumers, "g-pass-grow")
    context.check("lag in seconds is the age of the oldest unread record", 0.6 * true <= told <= 1.4 * true + 3,
                  f"{told:.1f} s, by the samples {true:.1f} s")
    context.figure(f"pass-grow: lag of {told:.1f} s, by the samples {true:.1f} s")
    counted = proxy.total("penstock_commit_delay_seconds_count", group="g-pass-grow")
    context.check("the histogram counts records", counted >= LIMIT / 10, counted)


def wish(proxy):
    with proxy._open("/api/v1/scale/pass-grow?group=g-pass-grow") as answer:
        return json.load(answer)["desired_consumers"]


def judge_scale(context, proxy):
    """Two take 300/s, 900/s are written: six, but there are four partitions."""
    def all_of_them():
        return wish(proxy) == 4
    context.check("as many consumers are wanted as there are partitions", happens(all_of_them), wish(proxy))
    context.check("an unknown policy is 404", proxy.status("/api/v1/scale/nothing") == 404)
