"""When the signal is poor: a group that never committed, consumers that die, a lag source that is cut."""

import time

from load import Consumers, Producers, group, producer, stream
from measure import Records, judge_client, judge_lag, lag_series, within
from proxy import Penstock, policy
from scenarios import scenario
from scenarios.lag import RATE, TARGET

COMMIT = 5         # s, auto-commit
COLD = 0.05        # of the target, admitted per second while the consume rate is unknown
STALE_AFTER = 5    # s
CUT, BACK, END = 30, 60, 105


def start(context, cluster, policies):
    """(proxy, bootstrap), or no proxy with --direct."""
    if context.options.direct:
        return None, cluster.direct
    proxy = Penstock(context, cluster, policies)
    return proxy, proxy.bootstrap


def pressure(context):
    return RATE * 1.5 if context.options.direct else 0


def finish(context, proxy, producers, consumers):
    """Lets everything through, reads it, and judges the clients and the proxy's end."""
    if proxy:
        proxy.bypass(True)
    for one in producers:
        one.stop()
    consumers.drain()
    for one in producers:
        for client in one.each.values():
            judge_client(context, client)
    if proxy:
        proxy.stop()


def sleep_until(begun, second):
    time.sleep(max(0.0, begun + second - time.monotonic()))


def within_ms(samples, begin_ms, end_ms):
    """[(t, sum of the end offsets)]"""
    return [(t, sum(ends)) for t, ends, _, _ in samples if begin_ms <= t <= end_ms]


def rate_of(ends):
    if len(ends) < 2:
        return float("nan")
    return (ends[-1][1] - ends[0][1]) / ((ends[-1][0] - ends[0][0]) / 1000)


# --- a group that never committed ---------------------------------------------------------------------------------

@scenario(batch="signals")
def never_committed(context, cluster):
    """Nobody has consumed yet: bounded exposure, no standstill. Then consumers come, and the target holds."""
    topic, name = "never", "g-never"
    cluster.create(topic)
    proxy, bootstrap = start(context, cluster, [policy("never", topic, name)])
    watcher = Consumers(context, "watcher", cluster, [group(name, topic, cluster.direct, consumers=0)], wait=False)
    producers = Producers(context, "java", "java", [
        producer("p-never", bootstrap, stream(topic, pressure(context)), idempotence=True)])
    producers.begun()
    context.say("30 s without consumers")
    time.sleep(32)
    series, begun_ms = lag_series(watcher.samples(name))
    judge_exposure(context, series)
    consumers = Consumers(context, "consumers", cluster, [group(name, topic, cluster.direct, RATE)])
    context.say("consumers have come")
    came_ms = time.time() * 1000
    time.sleep(50)
    ended_ms = time.time() * 1000
    watcher.kill()
    series, begun_ms = lag_series(watcher.samples(name), consumers.samples(name))
    judge_lag(context, "with consumers", series, TARGET, (ended_ms - begun_ms) / 1000,
              settle_s=(came_ms - begun_ms) / 1000 + 30, peak_max=3.0)
    finish(context, proxy, [producers], consumers)
    records = Records(consumers)
    records.judge_delivery(context)
    records.judge(context, producers.each["p-never"], ordered=True)


def judge_exposure(context, series):
    """At once what fits below the target, then COLD of it per second, as long as no consume rate is known."""
    bounded = [(t, lag, TARGET * (1.1 + COLD * t)) for t, lag in series if t <= 30]
    worst = max(bounded, key=lambda row: row[1] / row[2])
    context.check("exposure is bounded: target and 5 % of it per second", worst[1] <= worst[2],
                  f"{worst[1]} at {worst[0]:.0f} s, bound {worst[2]:.0f}")
    late = within(series, 20, 30)
    rate = (late[-1] - late[0]) / 10 if late else 0
    context.check("no standstill: at least half of that rate passes", rate >= COLD * TARGET / 2, f"{rate:.0f}/s")
    context.figure(f"never committed: {series[-1][1]} records after {series[-1][0]:.0f} s, {rate:.0f}/s at the end")


# --- consumers die for 30 s ---------------------------------------------------------------------------------------

@scenario(batch="signals")
def consumers_die(context, cluster):
    topic, name = "dying", "g-dying"
    cluster.create(topic)
    proxy, bootstrap = start(context, cluster, [policy("dying", topic, name)])
    # Dead members are noticed after the session timeout; the default (45 s) is longer than their absence here.
    members = group(name, topic, cluster.direct, RATE, session_timeout_ms=10000, heartbeat_interval_ms=1000)
    watcher = Consumers(context, "watcher", cluster, [{**members, "consumers": 0}], wait=False)
    first = Consumers(context, "first", cluster, [members])
    producers = Producers(context, "lrk", "lrk", [
        producer("p-dying", bootstrap, stream(topic, pressure(context)), idempotence=True)])
    producers.begun()
    time.sleep(35)
    context.say("consumers die")
    first.kill()
    died_ms = time.time() * 1000
    time.sleep(30)
    context.say("consumers return")
    second = Consumers(context, "second", cluster, [members])
    back_ms = time.time() * 1000
    time.sleep(35)
    ended_ms = time.time() * 1000
    judge_death(context, [watcher, first, second], name, died_ms, back_ms, ended_ms)
    watcher.kill()
    finish(context, proxy, [producers], second)
    records = Records(first, second)
    records.judge(context, producers.each["p-dying"], ordered=True)


def judge_death(context, consumers, name, died_ms, back_ms, ended_ms):
    """CONTROL.md's bound: what flows until the silence is longer than commits explain; and what must be read again."""
    series, begun_ms = lag_series(*(one.samples(name) for one in consumers))
    noticed = 1.4 * COMMIT + 1.0  # s: 1.4 commit periods, a poll and its round trip
    bound = TARGET + 1.1 * RATE * noticed + RATE * COMMIT
    died, back, ended = ((t - begun_ms) / 1000 for t in (died_ms, back_ms, ended_ms))
    peak = max(within(series, died, back))
    context.check("while they are dead: lag bounded by what flows until it is noticed", peak <= bound,
                  f"{peak}, bound {bound:.0f}")
    context.check("before: lag in 0.6 to 1.4 target",
                  within(series, 30, died) and all(0.6 <= lag / TARGET <= 1.4 for lag in within(series, 30, died)))
    settled = within(series, back + 20, ended)
    context.check("20 s after their return: lag in 0.6 to 1.4 target",
                  settled and all(0.6 <= lag / TARGET <= 1.4 for lag in settled),
                  f"{min(settled) / TARGET:.2f} to {max(settled) / TARGET:.2f}" if settled else "no samples")
    context.figure(f"consumers dead: peak {peak / TARGET:.2f} targets, bound {bound / TARGET:.2f}")


# --- the lag source is cut for 30 s -------------------------------------------------------------------------------

@scenario(batch="signals")
def lag_source_cut(context, cluster):
    """Three policies that answer differently to a stale signal; the clients' own connections are not touched."""
    names = ["cut-hold", "cut-open", "cut-factor"]
    cluster.create(*names)
    answers = [{"do": "hold_last"}, {"do": "open"}, {"do": "factor", "factor": 0.5}]
    proxy, bootstrap = start(context, cluster, [
        policy(name, name, f"g-{name}", on_stale=answer, signal={"stale_after": f"{STALE_AFTER}s"})
        for name, answer in zip(names, answers)])
    consumers = Consumers(context, "consumers", cluster, [group(f"g-{name}", name, cluster.direct, RATE)
                                                          for name in names])
    # The open one offers 1.5 times what its consumers can, from a small queue: what it is let through stays countable.
    producers = [
        Producers(context, "java", "java", [
            producer("p-cut-factor", bootstrap, stream("cut-factor", pressure(context)), idempotence=True)]),
        Producers(context, "lrk", "lrk", [
            producer("p-cut-hold", bootstrap, stream("cut-hold", pressure(context)), idempotence=True),
            producer("p-cut-open", bootstrap, stream("cut-open", RATE * 1.5), idempotence=True,
                     queue_buffering_max_messages=2000)])]
    for one in producers:
        one.begun()
    cut_ms, back_ms, ended_ms = cut_and_return(context, cluster, proxy)
    judge_cut(context, consumers, cut_ms, back_ms, ended_ms)
    finish(context, proxy, producers, consumers)
    records = Records(consumers)
    records.judge_delivery(context)
    for one in producers:
        for client in one.each.values():
            records.judge(context, client, ordered=True)


def cut_and_return(context, cluster, proxy):
    begun = time.monotonic()
    sleep_until(begun, CUT)
    context.say("the lag source is cut")
    hop = cluster.brokers[1].hop
    if proxy:  # its lag thread alone: the clients' connections that it relays carry their own client ids
        hop.freeze(lambda link: link.client_id.startswith("penstock") and link.owner == proxy.process.pid)
    cut_ms = time.time() * 1000
    sleep_until(begun, BACK - 1)
    if proxy:
        age = max((value for _, value in proxy.metrics().get("penstock_signal_age_seconds", [])), default=0)
        context.check("the age of the signal is told", age >= BACK - CUT - 5, f"{age:.1f} s")
        context.check("ready all the same", proxy.status("/readyz") == 200)
    sleep_until(begun, BACK)
    hop.thaw()
    back_ms = time.time() * 1000
    context.say("the lag source is back")
    sleep_until(begun, END)
    return cut_ms, back_ms, time.time() * 1000


def judge_cut(context, consumers, cut_ms, back_ms, ended_ms):
    stale_ms = cut_ms + (STALE_AFTER + 4) * 1000
    rates = {}
    for name, settle in (("cut-hold", 20), ("cut-open", 40), ("cut-factor", 25)):
        samples = consumers.samples(f"g-{name}")
        rates[name] = rate_of(within_ms(samples, stale_ms, back_ms))
        series, begun_ms = lag_series(samples)
        peak = 2.0 if name != "cut-open" else 4.0
        judge_lag(context, name, series, TARGET, (ended_ms - begun_ms) / 1000, peak_max=peak,
                  settle_s=(back_ms - begun_ms) / 1000 + settle)
    context.check("hold_last: the last consume rate is admitted", 0.75 <= rates["cut-hold"] / RATE <= 1.1,
                  f"{rates['cut-hold']:.0f}/s")
    context.check("open: everything passes", rates["cut-open"] >= 0.95 * 1.5 * RATE, f"{rates['cut-open']:.0f}/s")
    context.check("factor 0.5: half the consume rate is admitted", 0.4 <= rates["cut-factor"] / RATE <= 0.6,
                  f"{rates['cut-factor']:.0f}/s")
