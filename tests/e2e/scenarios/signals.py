"""When the signal is poor: a group that never committed, consumers that die, a lag source that is cut."""

import collections
import time

from load import Consumers, Producers, group, producer, stream
from measure import Records, judge_band, judge_client, judge_lag, lag_series, settles, within
from proxy import Penstock, policy
from scenarios import scenario
from scenarios.lag import RATE, TARGET

COMMIT = 5         # s, auto-commit
COLD = 0.05        # of the target, admitted per second while the consume rate is unknown
STALE_AFTER = 5    # s
DEAD, CUT, STEADY = 25, 25, 10  # s that consumers are dead, that the lag source is cut, that settled lag is looked at


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
    settled_ms = settles(context, TARGET, (consumers, name))
    time.sleep(STEADY)
    ended_ms = time.time() * 1000
    watcher.kill()
    series, begun_ms = lag_series(watcher.samples(name), consumers.samples(name))
    came = (next(t for t, _, _, done in consumers.samples(name) if done) - begun_ms) / 1000
    known = came + 3 * COMMIT  # s: two commits tell the consume rate
    judge_lag(context, "with consumers", series, TARGET, (settled_ms - begun_ms) / 1000, (ended_ms - begun_ms) / 1000,
              peak_max=exposed(known) / TARGET)
    finish(context, proxy, [producers], consumers)
    records = Records(consumers)
    records.judge_delivery(context)
    records.judge(context, producers.each["p-never"], ordered=True)


def exposed(second):
    """At once what fits below the target, then COLD of it per second, as long as no consume rate is known."""
    return TARGET * (1.1 + COLD * (second + 2))  # the first sample may come late


def judge_exposure(context, series):
    bounded = [(t, lag, exposed(t)) for t, lag in series if t <= 30]
    worst = max(bounded, key=lambda row: row[1] / row[2])
    context.check("exposure is bounded: target and 5 % of it per second", worst[1] <= worst[2],
                  f"{worst[1]} at {worst[0]:.0f} s, bound {worst[2]:.0f}")
    late = within(series, 10, 30)
    rate = (late[-1] - late[0]) / 20 if late else 0
    context.check("no standstill: at least a quarter of that rate passes", rate >= COLD * TARGET / 4, f"{rate:.0f}/s")
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
    settled_ms = settles(context, TARGET, (first, name))
    time.sleep(STEADY)
    context.say("consumers die")
    first.kill()
    died_ms = time.time() * 1000
    time.sleep(DEAD)
    context.say("consumers return")
    second = Consumers(context, "second", cluster, [members])
    back_ms = time.time() * 1000
    again_ms = settles(context, TARGET, (second, name))
    time.sleep(STEADY)
    ended_ms = time.time() * 1000
    judge_death(context, [watcher, first, second], name, (settled_ms, died_ms, back_ms, again_ms, ended_ms))
    watcher.kill()
    finish(context, proxy, [producers], second)
    records = Records(first, second)
    records.judge(context, producers.each["p-dying"], ordered=True)


def judge_death(context, consumers, name, moments):
    """CONTROL.md's bound: what flows until the silence is longer than commits explain; and what must be read again."""
    series, begun_ms = lag_series(*(one.samples(name) for one in consumers))
    noticed = 1.4 * COMMIT + 1.0  # s: 1.4 commit periods, a poll and its round trip
    strict = TARGET + 1.1 * RATE * noticed + RATE * COMMIT
    bound = strict + 5 * RATE  # what a busy machine may notice later; unnoticed it would be DEAD * RATE and more
    settled, died, back, again, ended = ((t - begun_ms) / 1000 for t in moments)
    peak = max(within(series, died, back))
    context.measure("while they are dead: lag bounded by what flows until it is noticed", peak <= bound,
                    f"{peak}, bound {bound:.0f}")
    context.quality("while they are dead: lag within the bound of CONTROL.md", peak <= strict,
                    f"{peak / TARGET:.2f} of {strict / TARGET:.2f} targets")
    judge_band(context, "before", within(series, settled, died), TARGET)
    judge_band(context, "after their return", within(series, again, ended), TARGET)
    context.quality("20 s after their return it has settled", again - back <= 20, f"{again - back:.0f} s")


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
    judge_cut(context, consumers, names,
              *cut_and_return(context, cluster, proxy, [(consumers, f"g-{name}") for name in names]))
    finish(context, proxy, producers, consumers)
    records = Records(consumers)
    records.judge_delivery(context)
    for one in producers:
        for client in one.each.values():
            records.judge(context, client, ordered=True)


def learned(proxy):
    """{group: records/s that the proxy takes its consumers to be able to read}, or what they are made for."""
    rows = proxy.metrics().get("penstock_consume_rate", []) if proxy else []
    return collections.defaultdict(lambda: RATE, {labels["group"]: value for labels, value in rows})


def held_open(proxy):
    """Seconds that requests of the open policy have waited."""
    return proxy.total("penstock_throttle_seconds_total", policy="cut-open") if proxy else 0


def cut_and_return(context, cluster, proxy, groups):
    """(when lag had settled, was cut, was noticed, came back, had settled again, the end; all in ms), how long requests
    of the open policy waited while its signal was stale, and what was the last that was learned before."""
    moments = [settles(context, TARGET, *groups)]

    def passes(seconds):
        time.sleep(seconds)
        moments.append(time.time() * 1000)
    passes(3)
    last = learned(proxy)
    context.say("the lag source is cut")
    hop = cluster.brokers[1].hop
    if proxy:  # its lag thread alone: the clients' connections that it relays carry their own client ids
        hop.freeze(lambda link: link.client_id.startswith("penstock") and link.owner == proxy.process.pid)
    passes(STALE_AFTER + 4)
    held = held_open(proxy)
    time.sleep(CUT - STALE_AFTER - 4)
    if proxy:
        age = max((value for _, value in proxy.metrics().get("penstock_signal_age_seconds", [])), default=0)
        context.check("the age of the signal is told", age >= CUT - 5, f"{age:.1f} s")
        context.check("ready all the same", proxy.status("/readyz") == 200)
    held = held_open(proxy) - held
    hop.thaw()
    passes(0)
    context.say("the lag source is back")
    moments.append(settles(context, TARGET, *groups))
    passes(STEADY)
    return moments, held, last


def judge_cut(context, consumers, names, moments, held, last):
    _, _, stale_ms, back_ms, again_ms, ended_ms = moments
    rates = {}
    for name in names:
        samples = consumers.samples(f"g-{name}")
        # What was learned while the signal was there is what the answer goes by; on a busy machine it is less than RATE.
        admitted = rate_of(within_ms(samples, stale_ms, back_ms))
        rates[name] = admitted / (RATE if name == "cut-open" else last[f"g-{name}"])
        context.check(f"{name}: what was learned of its consumers", 0.4 <= last[f"g-{name}"] / RATE <= 1.5,
                      f"{last[f'g-{name}']:.0f} of {RATE}/s")
        series, begun_ms = lag_series(samples)
        judge_lag(context, name, series, TARGET, (again_ms - begun_ms) / 1000, (ended_ms - begun_ms) / 1000,
                  peak_max=2.0 if name != "cut-open" else 4.0)
    context.measure("hold_last: the last consume rate is admitted", 0.7 <= rates["cut-hold"] <= 1.2,
                    f"{rates['cut-hold']:.2f} of it")
    context.measure("open: nobody waits, or everything passes all the same", held <= 1 or rates["cut-open"] >= 0.9 * 1.5,
                    f"{held:.1f} s")
    context.quality("open: everything passes", rates["cut-open"] >= 0.95 * 1.5, f"{rates['cut-open']:.2f} of 1.5")
    context.measure("factor 0.5: half the consume rate is admitted", 0.35 <= rates["cut-factor"] <= 0.65,
                    f"{rates['cut-factor']:.2f} of it")
