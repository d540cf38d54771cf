"""Every client family under every action, on a real Kafka: what docs/actions-measured.md is printed from.

    ./run actions [--client NAME ...] [--action NAME ...] [--seconds 120] [--list] [--json FILE] [--no-store]

Each cell is one topic with a policy of its own and one producer on one connection. Pressure is a rate far below what
comes; it is switched on and off at random, by reloads. At the end each record is accounted for: what the proxy says
of it (penstock_records_total), what the topics hold, what the client was told. A cell that the matrix (`penstock check
--matrix`) forbids must show the next safer action.
"""

import argparse
import collections
import json
import pathlib
import random
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import actions_table  # noqa: E402
import clients  # noqa: E402
from harness import BUILD, Context, until  # noqa: E402
from kafka import Cluster  # noqa: E402
from load import Producers, Topics, producer, stream  # noqa: E402
from proxy import Penstock, policy, yaml  # noqa: E402

PARTITIONS = 2
GROUP = "pressed"
RATE = 40             # records/s of each cell
PRESSED = 1           # admitted a second under pressure: the head of a line waits longer than wait.max
WARM, CALM = 4, 8     # s without pressure before and after; after a refusal franz-go may rest for 5 s
LAST = 2              # s of them in which producers must be healthy
ARMING = 7            # s of pressure until the first rung is armed, and a moment more
DIVERTED = "actions.diverted"

# kind: of the matrix (plain, idempotent); load: what starts it (load.Producers). Batches shall hold several records.
Client = collections.namedtuple("Client", "name load family kind")
LINGER_MS = 100
CLIENTS = [
    Client("java", "java", "java", "idempotent"),
    Client("java-plain", "java", "java", "plain"),
    Client("librdkafka", "lrk", "librdkafka", "plain"),
    Client("librdkafka-idempotent", "lrk", "librdkafka", "idempotent"),
    Client("franz-go", "franz-go", "franz-go", "idempotent"),
    Client("sarama", "sarama", "sarama", "plain"),
    Client("sarama-idempotent", "sarama", "sarama", "idempotent"),
    Client("kafka-python-3", "kafka-python-3", "kafka-python-3", "idempotent"),
    Client("kafka-python-2.0.2", "kafka-python-2.0.2", "kafka-python-2", "plain"),
    Client("unknown", "kafka-python-2.0.2", "unknown", "plain"),  # the same: nothing but its default client id tells
    Client("kafkajs", "kafkajs", "kafkajs", "plain"),
]

# does: the action of the matrix that it tries, and how. outcomes: what it may make of records, beside forwarding them.
Action = collections.namedtuple("Action", "name does silent policy outcomes")
SHORT = {"max": "500ms", "told_max": "500ms", "client_timeout": "10s"}
HASTY = {**SHORT, "told_max": "100ms"}  # who obeys comes too early all the same
LONG = {"max": "8s", "told_max": "5s", "client_timeout": "10s"}
QUEUE = {"records": 2}  # one request that waits fills it: what others of its cell bring is too much
AT_A_TIME = 1           # clients
CROWD = 3               # producers of a cell with a queue
LOSS = {"loss": "allowed"}
ACTIONS = [
    Action("throttle", "throttle", False, {"wait": LONG}, ["rejected"]),
    Action("reject", "reject", False, {"wait": SHORT}, ["rejected"]),
    Action("hold", "hold", False, {"wait": HASTY, "actions": ["hold"], "hold": {"max": "6s"}}, ["rejected"]),
    Action("sample", "sample", False,
           {"wait": SHORT, "actions": ["sample"], "sample": {"min": 0.2, "by": "key"}, **LOSS},
           ["sampled_out", "rejected"]),
    Action("divert", "divert", False, {"wait": SHORT, "actions": ["divert"], "divert": {"topic": DIVERTED}},
           ["diverted", "rejected"]),
    Action("shed", "shed", False, {"wait": SHORT, "actions": ["shed"], **LOSS}, ["shed", "rejected"]),
    Action("shed-silent", "shed", True, {"wait": SHORT, "actions": ["shed"], "shed": {"silent": True}, **LOSS},
           ["shed", "rejected"]),
    Action("queue-block", "throttle", False, {"wait": LONG, "queue": {**QUEUE, "overflow": "block"}}, ["rejected"]),
    Action("queue-reject", "reject", False, {"wait": LONG, "queue": {**QUEUE, "overflow": "reject"}}, ["rejected"]),
    Action("drop-newest", "shed", False, {"wait": LONG, "queue": {**QUEUE, "overflow": "drop_newest"}, **LOSS},
           ["shed", "rejected"]),
    Action("drop-oldest", "shed", False, {"wait": LONG, "queue": {**QUEUE, "overflow": "drop_oldest"}, **LOSS},
           ["shed", "rejected"]),
    Action("drop-random", "shed", False, {"wait": LONG, "queue": {**QUEUE, "overflow": "drop_random"}, **LOSS},
           ["shed", "rejected"]),
    Action("ladder", "hold", False,
           {"wait": SHORT, "actions": ["hold", "sample", "divert", "shed"], "hold": {"max": "1s"},
            "sample": {"min": 0.5, "by": "random"}, "divert": {"topic": DIVERTED}, **LOSS},
           ["sampled_out", "diverted", "shed", "rejected"]),
]
PASSED = ["forwarded", "over_limit", "exempt"]
OUTCOMES = [*PASSED, "sampled_out", "shed", "diverted", "rejected", "dropped"]
SHOWS = {"sample": "sampled_out", "divert": "diverted", "shed": "shed", "reject": "rejected"}


def matrix():
    """{(action, silent, kind, family): never, whole or part} with acknowledgements, as the proxy itself says."""
    said = subprocess.run([BUILD / "asan/penstock", "check", "--matrix", "--json"], stdout=subprocess.PIPE, check=True)
    return {(cell["action"], cell["silent"], cell["producer"], cell["family"]): cell["cell"]
            for cell in json.loads(said.stdout)["cells"] if cell["answered"]}


class Cell:
    """A client under an action: one topic, one policy, one producer (or some, where they queue)."""

    def __init__(self, client, action, allowed):
        self.client, self.action, self.allowed = client, action, allowed
        self.name = f"{client.name}.{action.name}"
        self.crowd = CROWD if "queue" in action.policy else 1
        self.streams = [stream(self.name, RATE / self.crowd, size=200, partitions=PARTITIONS, keys=50)
                        for _ in range(self.crowd)]
        self.said = {}       # outcome: records, as the proxy says
        self.wrong = []      # what did not hold
        self.acked = self.failed = 0
        self.armed = not action.policy.get("actions")  # some rung has been, if there is any

    def pressed(self):
        """Records/s under pressure. An answer is held for as long as the request would have waited, but not too long:
        so there it is a good part of what comes, except to those who pipeline what waits and so never wait long."""
        if self.action.name != "hold":
            return PRESSED
        return 5 if self.client.load == "lrk" else RATE // 2

    def policy(self):
        return policy(self.name, self.name, GROUP, target="10M", limit="20M", **self.action.policy)

    def ordered(self):
        """Kafka promises order to idempotent producers; it is given up where batches lose their sequence."""
        stripped = {"sample", "divert"} & set(self.action.policy.get("actions", []))
        return self.client.kind == "idempotent" and not stripped

    def expect(self, what, holds, detail=""):
        if not holds:
            self.wrong.append(f"{what} ({detail})" if detail != "" else what)


class Pressure:
    """Switched on, the policies admit next to nothing (max_rate, by a reload); else there is no bound."""

    def __init__(self, context, proxy):
        self.context, self.proxy, self.switched = context, proxy, 0
        self.armed = set()  # policies that have had some action armed

    def look(self):
        for labels, value in self.proxy.metrics().get("penstock_policy_armed", []):
            if value:
                self.armed.add(labels["policy"])

    def put(self, on, rates=None):
        """rates: {policy: records/s}; without it all policies are pressed alike."""
        self.look()
        for one in self.proxy.config["policies"]:
            one.pop("max_rate", None)
            if on:
                one["max_rate"] = {"records": f"{(rates or {}).get(one['name'], PRESSED)}/s"}
        self.proxy.write()
        self.switched += 1
        status = self.proxy.status("/api/v1/reload", "POST")
        if status != 200:
            raise RuntimeError(f"reload: {status}")

    def climb(self, groups, timeout):
        """On, until in each of these sets of policies some ladder is climbed, but not for longer."""
        deadline = time.monotonic() + timeout
        self.put(True)
        while time.monotonic() < deadline and not all(group & self.armed for group in groups):
            time.sleep(0.5)
            self.look()

    def play(self, seconds, seed, rates=None):
        """As hard as can be and long enough to arm the first rung, and others if there is the time; then off and on at
        random, at these rates; then off."""
        dice, end = random.Random(seed), time.monotonic() + seconds
        self.put(True)
        time.sleep(max(0.3 * seconds, min(ARMING, seconds)))
        on = True
        while time.monotonic() < end:
            on = not on
            self.put(on, rates)
            time.sleep(min(dice.uniform(2, 5) if on else dice.uniform(1, 3), max(0.0, end - time.monotonic())))
        self.put(False)


def supported(context, cells):
    """Those of the actions whose configuration this proxy takes, found out by asking it."""
    taken = {}
    for action in {cell.action.name: cell.action for cell in cells}.values():
        path = context.folder / f"check-{action.name}.yaml"
        path.write_text(yaml({"upstream": {"bootstrap": ["127.0.0.1:9"]},
                              "policies": [policy("p", "p", "g", **action.policy)]}))
        done = subprocess.run([BUILD / "asan/penstock", "check", "-c", path], capture_output=True, text=True)
        taken[action.name] = done.returncode == 0
        context.check(f"{action.name}: the configuration is taken", done.returncode == 0, done.stderr[:200])
    return [cell for cell in cells if taken[cell.action.name]]


def start_producers(context, bootstrap, cells):
    """One process of each library with all its producers; they write from now on."""
    by_load = collections.defaultdict(list)
    for cell in cells:
        for number, one in enumerate(cell.streams):
            spec = producer(f"{cell.name}-{number}", bootstrap, one, idempotence=cell.client.kind == "idempotent",
                            linger_ms=LINGER_MS)
            spec["default_client_id"] = cell.client.family == "kafka-python-2"
            by_load[cell.client.load].append(spec)
    started = {load: Producers(context, f"{load}-of-{cells[0].client.name}", load, specs)
               for load, specs in by_load.items()}
    for one in started.values():
        one.begun(90)
    return started


def counters(proxy):
    """{policy: what the proxy counts of it}: records by outcome and "offered", requests by "action X", "waits", and
    "forbidden"."""
    metrics, found = proxy.metrics(), collections.defaultdict(collections.Counter)
    for metric, name in (("penstock_offered_records_total", "offered"), ("penstock_records_total", "{outcome}"),
                         ("penstock_actions_total", "action {action}"), ("penstock_waits_total", "waits"),
                         ("penstock_throttle_told_seconds_total", "told"),
                         ("penstock_refusals_forbidden_total", "forbidden")):
        for labels, value in metrics.get(metric, []):
            found[labels["policy"]][name.format(**labels)] += int(value)
    return found


# --- judging ------------------------------------------------------------------------------------------------------

def judge_proxy(cell):
    """Every record that came has one end."""
    said = cell.said
    ends = sum(said[outcome] for outcome in OUTCOMES)
    cell.expect("offered = the sum of the outcomes", said["offered"] == ends, f"{said['offered']} and {ends}")
    cell.expect("nobody's records were dropped", said["dropped"] == 0, said["dropped"])
    foreign = {o: said[o] for o in ("sampled_out", "shed", "diverted", "rejected")
               if said[o] and o not in cell.action.outcomes}
    cell.expect("no other action took any", not foreign, foreign)


def judge_topics(cell, kept, moved):
    """What the topics hold is what the proxy says: kept, moved are rows of read_back.c of this cell's producers.
    Returns the records: (origin, number)."""
    passed = sum(cell.said[outcome] for outcome in PASSED)
    cell.expect("the topic holds what was forwarded", len(kept) == passed, f"{len(kept)} and {passed}")
    cell.expect("the divert topic holds what was diverted", len(moved) == cell.said["diverted"],
                f"{len(moved)} and {cell.said['diverted']}")
    numbers = collections.Counter((row[2], row[3]) for row in [*kept, *moved])
    twice = sum(1 for count in numbers.values() if count > 1)
    cell.expect("no record twice", twice == 0, twice)
    if cell.ordered():
        last, disorder = {}, 0
        for partition, _, origin, number, *_ in kept:
            disorder += number < last.get((origin, partition), -1)
            last[origin, partition] = number
        cell.expect("in order", disorder == 0, f"{disorder} behind a later one")
    return numbers


def judge_clients(cell, clients, numbers, calm_ms, paced=True):
    """What they were told is true, and they are healthy to the end. calm_ms: from when on nothing is pressed. paced: so
    fast as they should be, on a machine that has the time."""
    acked = [row for client in clients for row in client.acks()]
    failed = [row for client in clients for row in client.failures()]
    cell.acked, cell.failed = len(acked), len(failed)
    missing = sum(1 for row in acked if row[:2] not in numbers)
    unseen = cell.said["sampled_out"] + (cell.said["shed"] if cell.action.silent else 0)
    cell.expect("acknowledged and not there: what was sampled out or shed silently", missing == unseen,
                f"{missing} and {unseen}")
    shed = 0 if cell.action.silent else cell.said["shed"]
    # franz-go gives up all that it has in its buffer for the partition.
    cell.expect("failed: what was shed", len(failed) == shed or cell.client.family == "franz-go" and
                len(failed) >= shed > 0, f"{len(failed)} and {shed}")
    cell.expect("what failed is not there", not any(row[:2] in numbers for row in failed))
    errors = [line for client in clients for line in client.errors() if "client_error" in line]
    cell.expect("no error of the client itself", not errors, errors[:1])
    late = [row for row in acked if row[4] >= calm_ms]
    cell.expect("healthy at the end", len(late) >= (0.7 * RATE * LAST if paced else 1),
                f"{len(late)} acknowledged of the last {LAST} s")


def judge_action(cell, paced=True):
    """It was done where it is allowed; where not, the next safer one was, and that is counted. paced: there was the time
    for each client to meet it."""
    shows = SHOWS.get(cell.action.does)
    if cell.action.name in ("throttle", "queue-block"):
        cell.expect("requests waited, or clients were told to", cell.said["waits"] + cell.said["told"] > 0)
    elif not cell.allowed:
        cell.expect(f"no {cell.action.does} towards this client", not shows or cell.said[shows] == 0)
        cell.expect("that it is forbidden was counted", cell.said["forbidden"] > 0 or not cell.armed)
    elif not (cell.armed and paced):
        pass  # saturation is counted by seconds: whoever rests for some when refused arms nothing so soon
    elif shows:
        cell.expect(f"{shows} records", cell.said[shows] > 0)
    elif cell.action.name == "hold":
        cell.expect("answers were held", cell.said["action hold"] > 0)


def settle(proxy):
    """The counters, once they stand still."""
    def still():
        first = counters(proxy)
        time.sleep(0.3)
        return first if first == counters(proxy) else None
    return until("the counters stand still", still, 15)


def judge_all(context, cells, paced):
    """Of all cells of an action together: its ladder was climbed, and it took something from those who bear it."""
    for action in {cell.action.name: cell.action for cell in cells}.values():
        of_it = [cell for cell in cells if cell.action is action]
        armed = [cell.client.name for cell in of_it if cell.armed]
        resting = [cell.client.name for cell in of_it if not cell.armed]
        enough = len(armed) > len(resting) if paced else armed
        if action.policy.get("actions"):
            context.check(f"{action.name}: its ladder was climbed", enough,
                          f"not by {', '.join(resting)}" if resting else "")
        shows = SHOWS.get(action.does)
        took = sum(cell.said[shows] for cell in of_it if cell.allowed) if shows else 0
        if shows and any(cell.allowed for cell in of_it):
            context.check(f"{action.name}: it was done", took > 0, f"{took} records {shows.replace('_', ' ')}")


def run(context, cluster, chosen, press, paced=True):
    """Plays the cells and judges each. press: what is done with the Pressure."""
    cells = supported(context, chosen)
    topics = [cell.name for cell in cells]
    cluster.create(*topics, partitions=PARTITIONS)
    cluster.commit_zero(GROUP, *topics)
    group = cells[0].client.name  # of this run: several may have one folder
    proxy = Penstock(context, cluster, [cell.policy() for cell in cells], name=f"penstock-{group}")
    pressure = Pressure(context, proxy)
    producers = start_producers(context, proxy.bootstrap, cells)
    context.say(f"{len(cells)} cells, {sum(cell.crowd for cell in cells)} producers in {len(producers)} processes")
    time.sleep(WARM)
    press(pressure, cells)
    context.say(f"pressure was switched {pressure.switched} times")
    time.sleep(CALM - LAST)
    calm_ms = time.time() * 1000
    time.sleep(LAST)
    for one in producers.values():
        one.stop()
    said = settle(proxy)
    held = Topics(context, cluster.direct, [*topics, DIVERTED], name=f"topics-{group}").records
    moved = collections.defaultdict(list)
    for row in held[DIVERTED]:
        moved[row[2]].append(row)
    for cell in cells:
        cell.said = said[cell.name]
        cell.armed = cell.armed or cell.name in pressure.armed
        process = producers[cell.client.load]
        of_cell = [process.each[f"{cell.name}-{number}"] for number in range(cell.crowd)]
        judge_proxy(cell)
        diverted = [row for one in cell.streams for row in moved[one["origin"]]]
        judge_clients(cell, of_cell, judge_topics(cell, held[cell.name], diverted), calm_ms, paced)
        judge_action(cell, paced)
        context.check(cell.name, not cell.wrong, "; ".join([*cell.wrong, tell(cell)]))
    judge_all(context, cells, paced)
    proxy.stop()


def tell(cell):
    return ", ".join(f"{cell.said[outcome]} {outcome}" for outcome in ["offered", *OUTCOMES] if cell.said[outcome])


def cells_of(client_names, action_names):
    table = matrix()
    return [Cell(client, action, table[action.does, action.silent, client.kind, client.family] != "never")
            for client in CLIENTS if client.name in (client_names or [c.name for c in CLIENTS])
            for action in ACTIONS if action.name in (action_names or [a.name for a in ACTIONS])]


def rates_of(cells):
    return {cell.name: cell.pressed() for cell in cells}


def by_clients(cells):
    """Some clients at a time: hundreds of producers are more than two cores bear, and time out of themselves."""
    names = list(dict.fromkeys(cell.client.name for cell in cells))
    for at in range(0, len(names), AT_A_TIME):
        yield [cell for cell in cells if cell.client.name in names[at:at + AT_A_TIME]]


def install(cells):
    for name in {cell.client.load for cell in cells} & set(clients.CLIENTS):
        clients.CLIENTS[name].install()


def main():
    parser = argparse.ArgumentParser(prog="./run actions", description=__doc__.split("\n")[0])
    parser.add_argument("--client", action="append", choices=[c.name for c in CLIENTS], help="otherwise all")
    parser.add_argument("--action", action="append", choices=[a.name for a in ACTIONS], help="otherwise all")
    parser.add_argument("--seconds", type=int, default=120, help="of pressure (default 120)")
    parser.add_argument("--seed", type=int, help="of when it is switched")
    parser.add_argument("--list", action="store_true", help="the cells, and what the matrix says of them")
    parser.add_argument("--json", help="write the results to this file")
    parser.add_argument("--keep", action="store_true", help="keep the logs of what passed, too")
    parser.add_argument("--no-store", dest="store", action="store_false", help="leave the stored results and docs/actions-measured.md alone")
    options = parser.parse_args()
    options.direct = False
    cells = cells_of(options.client, options.action)
    if options.list:
        print("\n".join(f"{cell.name:<36} {'allowed' if cell.allowed else 'never'}" for cell in cells))
        return 0
    install(cells)
    context, cluster = Context("actions", options), Cluster(1).start()
    done = []  # results, by client
    try:
        cluster.create(DIVERTED, partitions=PARTITIONS)
        for group in by_clients(cells):
            seed = options.seed or random.randrange(1 << 30)
            context.say(f"{options.seconds} s of pressure, seed {seed}")
            run(context, cluster, group, lambda pressure, cells: pressure.play(options.seconds, seed, rates_of(cells)))
            done.append(actions_table.result(group, options.seconds))
            if options.store and not options.action:
                actions_table.store(done[-1])
    finally:
        context.finish()
        cluster.stop()
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(done, indent=1) + "\n")
    if options.store and not options.action:
        actions_table.write_page()
    print(actions_table.table(done))
    wrong = [f"{what} {detail}" for what, passed, detail in context.checks if not passed]
    print("\n".join(f"FAILED  {text}" for text in wrong) or "nothing wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
