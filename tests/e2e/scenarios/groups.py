"""Which groups govern: consumers below an open transaction, an advisory group, an ignored one, one that nobody is in;
and lag in time of records that are older than the proxy."""

import time

from harness import happens, until
from load import Consumers, Producers, group, producer, stream
from measure import Records, judge_client
from proxy import Penstock, policy
from scenarios import scenario
from scenarios.lag import RATE, TARGET

LONG, GRACE = 3600, 8  # s: the first leaves time to look, whenever clients have started
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
            "advisory": ["g-roles-slow"], "ignore": ["*-ignored"], "empty_grace": f"{LONG}s"})])
    consumers = Consumers(context, "consumers", cluster, [
        group("g-stable", "stable", cluster.direct, RATE, commit_ms=1000, isolation_level="read_committed"),
        group("g-roles-fast", "roles", cluster.direct, RATE, commit_ms=1000),
        group("g-roles-slow", "roles", cluster.direct, RATE / 10, commit_ms=1000)])
    producers = Producers(context, "lrk", "lrk", [
        producer("p-stable", proxy.bootstrap, stream("stable", 500)),
        producer("p-roles", proxy.bootstrap, stream("roles", partitions=4))])
    until("a group without members governs while its grace runs", lambda: standings(proxy).get("g-roles-left") == "empty")
    producers.begun()
    end_grace(context, proxy)
    fast = Producers(context, "fast", "lrk", [producer("p-fast", proxy.bootstrap, stream("stable", PACE))])
    cluster.begin_transaction("stable")
    context.say("a transaction is open")
    fast.begun()
    judge_open_transaction(context, proxy, fast)
    judge_roles(context, proxy, producers, consumers)
    judge_age(context, proxy)
    cluster.abort_transaction("stable")
    until("the backlog behind the transaction is seen",
          lambda: proxy.total("penstock_consumer_lag_records", group="g-stable") > TARGET / 2)
    back = Consumers(context, "back", cluster, [group("g-roles-left", "roles", cluster.direct, RATE)])
    until("a group that has members again governs", lambda: standings(proxy).get("g-roles-left") == "governing")
    context.check("... and is no longer abandoned",
                  happens(lambda: proxy.total("penstock_group_abandoned", policy="roles") == 0))
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
    alarms = [float(line.split(" empty_for_s=")[1].split()[0]) for line in told if " group_abandoned " in line]
    context.check("the alarm stands once in the log, after the grace", len(alarms) == 1 and alarms[0] >= GRACE, alarms)
    context.check("... and the return", sum(" group_returned " in line for line in told) == 1)


def of_policy(proxy, name):
    return next(one for one in proxy.state()["policies"] if one["policy"] == name)


def standings(proxy):
    of_roles = [one for one in proxy.state()["policies"] if one["policy"] == "roles"]
    return {one["group"]: one["standing"] for roles in of_roles for one in roles["groups"]}


def end_grace(context, proxy):
    """The grace is made as short as it is long over."""
    proxy.config["policies"][2]["signal"]["empty_grace"] = f"{GRACE}s"
    proxy.write()
    context.check("a shorter grace is loaded", proxy.status("/api/v1/reload", "POST") == 200)
    until("the group is abandoned", lambda: standings(proxy).get("g-roles-left") == "abandoned")


def behind_transaction(proxy):
    return of_policy(proxy, "stable")["lag_committed"]


class Unheld:
    """Some seconds in which records pass and nobody waits: who is held would not see any."""

    def __init__(self, proxy, producers):
        self.proxy, self.producers, self.held = proxy, producers, 0.0

    def looks(self):
        acked, held = self.producers.acked(), self._waited()
        time.sleep(4)
        self.held = self._waited() - held
        return self.held <= 0.2 and self.producers.acked() > acked

    def _waited(self):
        return self.proxy.total("penstock_throttle_seconds_total", policy="stable")


def judge_open_transaction(context, proxy, fast):
    """Its consumers have read all that they may: producers are not held for what nobody can read yet."""
    context.check("below an open transaction nobody is behind", happens(lambda: behind_transaction(proxy) < TARGET / 4),
                  f"{behind_transaction(proxy):.0f} records")
    before, before_at = fast.acked(), time.monotonic()
    until("much more is written than the target", lambda: fast.acked() - before > 1.5 * TARGET)
    passed = (fast.acked() - before) / (time.monotonic() - before_at)
    unheld = Unheld(proxy, fast)
    context.check("... and nobody is held", passed >= 0.9 * PACE or happens(unheld.looks), f"{passed:.0f}/s, {unheld.held:.1f} s")
    context.quality("... and everything passes", passed >= 0.9 * PACE, f"{passed:.0f}/s of {PACE}")
    lag = behind_transaction(proxy)
    context.check("... nor is anybody behind then", lag < TARGET / 4, f"{lag:.0f} records")
    context.figure(f"open transaction: lag {lag:.0f} up to the last stable offset, {passed:.0f}/s pass")


class Pace:
    """Of the producer and of the fast consumers, records/s in a window of some seconds."""

    def __init__(self, producers, consumers):
        self.producers, self.consumers, self.passed, self.read = producers, consumers, 0, 0
        self.origin = producers.each["p-roles"].origins[0]

    def fits(self):
        """One window: producers go at the pace of the fast group, whatever that is on this machine."""
        acked, done, begun = self._acked(), self._done(), time.monotonic()
        time.sleep(6)
        seconds = time.monotonic() - begun
        self.passed, self.read = (self._acked() - acked) / seconds, (self._done() - done) / seconds
        return self.passed >= max(0.6 * self.read, 2 * RATE / 10)

    def _acked(self):
        return self.producers.status()[self.origin]["acked"]

    def _done(self):
        return self.consumers.samples("g-roles-fast")[-1][3]


def governing(proxy):
    return [one["group"] for one in of_policy(proxy, "roles")["groups"] if one["governs"]]


def judge_roles(context, proxy, producers, consumers):
    found = standings(proxy)
    wanted = {"g-roles-fast": "governing", "g-roles-slow": "advisory", "g-roles-left": "abandoned"}
    context.check("each group stands as it should, and the ignored one nowhere", found == wanted, found)
    pace = Pace(producers, consumers)
    fits = happens(pace.fits)
    context.check("the slow group's lag is shown", proxy.total("penstock_consumer_lag_records", group="g-roles-slow") > 0)
    context.check("the fast group governs", governing(proxy) == ["g-roles-fast"], governing(proxy))
    context.check("producers go at its pace, and not at the slow one's", fits,
                  f"{pace.passed:.0f}/s, read {pace.read:.0f}/s of {RATE}")
    context.check("the alarm is a metric",
                  proxy.total("penstock_group_abandoned", group="g-roles-left", policy="roles") == 1)


def judge_age(context, proxy):
    """Asked for by timestamps: between two ages of a ladder, because nobody reads the record itself."""
    seconds = of_policy(proxy, "aged")["groups"][0]["lag_seconds"]
    context.check("lag in time knows of records from before the proxy", seconds is not None
                  and OLD / 1.5 <= seconds <= OLD * 1.5 + 60, f"{seconds} s, really {OLD} s")
