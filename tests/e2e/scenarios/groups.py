"""Which groups govern: consumers below an open transaction, an advisory group, an ignored one, one that nobody is in;
and lag in time of records that are older than the proxy."""

import time

from harness import until
from load import Consumers, Producers, group, producer, stream
from measure import Records, judge_client
from proxy import Penstock, policy
from scenarios import scenario
from scenarios.lag import RATE, TARGET

GRACE = 8    # s
OLD = 600    # s: the age of a record that was there before the proxy
PACE = 3000  # records/s below the open transaction: more than what its consumers take


@scenario(batch="signals")
def group_rules(context, cluster):
    cluster.create("stable", "roles", "aged")
    cluster.write_aged("aged", OLD, 20)
    for name in ("g-roles-left", "g-roles-ignored"):  # they have committed, and have no members
        cluster.commit_zero(name, "roles")
    cluster.commit_zero("g-aged", "aged")
    proxy = Penstock(context, cluster, [
        policy("aged", "aged", "g-aged", target="30s", limit="1m"),
        policy("stable", "stable", "g-stable", signal={"isolation": "read_committed"}),
        policy("roles", "roles", "g-roles-*", signal={
            "advisory": ["g-roles-slow"], "ignore": ["*-ignored"], "empty_grace": f"{GRACE}s"})])
    consumers = Consumers(context, "consumers", cluster, [
        group("g-stable", "stable", cluster.direct, RATE, commit_ms=1000, isolation_level="read_committed"),
        group("g-roles-fast", "roles", cluster.direct, RATE, commit_ms=1000),
        group("g-roles-slow", "roles", cluster.direct, RATE / 10, commit_ms=1000)])
    producers = Producers(context, "lrk", "lrk", [
        producer("p-stable", proxy.bootstrap, stream("stable", 500)),
        producer("p-roles", proxy.bootstrap, stream("roles", partitions=4))])
    until("a group without members governs while its grace runs",
          lambda: standings(proxy).get("g-roles-left") == "empty", 30)
    producers.begun()
    begun = time.monotonic()
    fast = Producers(context, "fast", "lrk", [producer("p-fast", proxy.bootstrap, stream("stable", PACE))])
    cluster.begin_transaction("stable")
    context.say("a transaction is open")
    fast.begun()
    before, before_at = fast.acked(), time.monotonic()
    time.sleep(max(12.0, begun + GRACE + 9 - time.monotonic()))
    passed = (fast.acked() - before) / (time.monotonic() - before_at)
    judge_open_transaction(context, proxy, passed)
    judge_roles(context, proxy)
    judge_age(context, proxy)
    cluster.abort_transaction("stable")
    until("the backlog behind the transaction is seen",
          lambda: proxy.total("penstock_consumer_lag_records", group="g-stable") > TARGET / 2, 5)
    back = Consumers(context, "back", cluster, [group("g-roles-left", "roles", cluster.direct, RATE)])
    until("a group that has members again governs", lambda: standings(proxy).get("g-roles-left") == "governing", 15)
    context.check("... and is no longer abandoned", proxy.total("penstock_group_abandoned", policy="roles") == 0)
    proxy.bypass(True)
    for one in (producers, fast):
        one.stop()
    for one in (consumers, back):
        one.drain()
    records = Records(consumers)
    for one in (producers, fast):
        for client in one.each.values():
            judge_client(context, client)
            if client.client_id != "p-roles":  # which several groups have read
                records.judge(context, client, ordered=False)
    proxy.stop()
    told = [line for line in proxy.process.err().splitlines() if "group=g-roles-left " in line]
    context.check("the alarm stands once in the log", sum(" group_abandoned " in line for line in told) == 1)
    context.check("... and the return", sum(" group_returned " in line for line in told) == 1)


def of_policy(proxy, name):
    return next(one for one in proxy.state()["policies"] if one["policy"] == name)


def standings(proxy):
    of_roles = [one for one in proxy.state()["policies"] if one["policy"] == "roles"]
    return {one["group"]: one["standing"] for roles in of_roles for one in roles["groups"]}


def judge_open_transaction(context, proxy, passed):
    """Its consumers have read all that they may: producers are not held for what nobody can read yet."""
    stable = of_policy(proxy, "stable")
    context.check("below an open transaction nobody is behind", stable["lag_committed"] < TARGET / 4,
                  f"{stable['lag_committed']:.0f} records")
    context.check("... and nobody is held", passed >= 0.9 * PACE, f"{passed:.0f}/s of {PACE}")
    context.figure(f"open transaction: lag {stable['lag_committed']:.0f} up to the last stable offset, {passed:.0f}/s pass")


def records_of_roles(proxy):
    return sum(proxy.total("penstock_records_total", policy="roles", outcome=one) for one in ("forwarded", "over_limit"))


def judge_roles(context, proxy):
    found = standings(proxy)
    wanted = {"g-roles-fast": "governing", "g-roles-slow": "advisory", "g-roles-left": "abandoned"}
    context.check("each group stands as it should, and the ignored one nowhere", found == wanted, found)
    roles = of_policy(proxy, "roles")
    before, began = records_of_roles(proxy), time.monotonic()
    time.sleep(6)
    pace = (records_of_roles(proxy) - before) / (time.monotonic() - began)
    context.check("the slow group's lag is shown", proxy.total("penstock_consumer_lag_records", group="g-roles-slow") > 0)
    context.check("the fast group governs", roles["groups"][0]["group"] == "g-roles-fast" and roles["groups"][0]["governs"])
    context.check("producers go at its pace, and not at the slow one's", pace >= 0.6 * RATE, f"{pace:.0f}/s of {RATE}")
    context.check("the alarm is a metric",
                  proxy.total("penstock_group_abandoned", group="g-roles-left", policy="roles") == 1)


def judge_age(context, proxy):
    """Asked for by timestamps: between two ages of a ladder, because nobody reads the record itself."""
    seconds = of_policy(proxy, "aged")["groups"][0]["lag_seconds"]
    context.check("lag in time knows of records from before the proxy", seconds is not None
                  and OLD / 1.5 <= seconds <= OLD * 1.5 + 60, f"{seconds} s, really {OLD} s")
