"""Every client library, every exercise, through Penstock: what the table in docs/compatibility.md is printed from.

    python3 tests/e2e/matrix.py [--server V ...] [--client NAME ...] [--exercise E ...] [--direct] [--keep]

Each client's driver (tests/clients/) performs the exercises through Penstock, while hops on both sides record every
byte; each connection is then compared at its two ends. What fails is tried again straight at the broker: if it fails
there too, in the same way, it is the broker that lacks it. With --direct Penstock is left out altogether.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import clients  # noqa: E402
import ends  # noqa: E402
import matrix_table  # noqa: E402
from harness import Context, Process, say, until  # noqa: E402
from hop import Hop  # noqa: E402
from kafka import Cluster  # noqa: E402
from proxy import Penstock, policy  # noqa: E402

EXERCISES = matrix_table.EXERCISES
SERVERS = ["4.3.1", "4.4.0", "3.9.2"]
AT_A_TIME = 3
PATIENCE = 75          # seconds for one exercise; a driver ends it itself after 60
WATCHER = "watcher"    # the group of the policy: committed once, and far from its target for ever
NEAR = "127.0.0.2"     # where clients reach the recording hops before Penstock
LARGEST = 32 << 20


# --- what runs ----------------------------------------------------------------------------------------------------

def settings(version):
    """What a server needs besides, to be able to do what is exercised."""
    common = {
        "message.max.bytes": LARGEST,
        "replica.fetch.max.bytes": LARGEST,
        "transaction.state.log.num.partitions": 4,
        "group.min.session.timeout.ms": 1000,
        "group.consumer.min.heartbeat.interval.ms": 500,
        "group.consumer.heartbeat.interval.ms": 1000,
    }
    if version.startswith("3."):
        return {**common, "group.coordinator.new.enable": "true",
                "group.coordinator.rebalance.protocols": "classic,consumer"}
    return {**common, "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1, "share.coordinator.state.topic.num.partitions": 4}


class Bench:
    """A server, and Penstock before it with a recording hop on either side."""

    def __init__(self, version, options):
        self.version, self.options = version, options
        self.wire_diff = clients.wire_diff()
        self.context = Context(f"matrix-{version}", options)
        self.cluster = Cluster(1, hops=True, version=version, settings=settings(version)).start()
        self.lock = threading.Lock()
        self.proxy, self.near = None, []
        if not options.direct:
            self.far = self.cluster.brokers[1].hop
            self.far.record, self.far.owners = True, False
            self.proxy = Penstock(self.context, self.cluster,
                                  [policy("all", "*", WATCHER, target="10M", limit="20M", on_stale="open")],
                                  advertise=NEAR, preset=options.preset)
            for port in (self.proxy.port, self.proxy.port + 1):
                self.near.append(Hop((NEAR, port), ("127.0.0.1", port), record=True, owners=False))

    def prepare(self, prefix, exercises):
        """The topics and groups that the contract promises to drivers."""
        topics = [f"{prefix}-{exercise}" for exercise in exercises]
        if "streams_eos" in exercises:
            topics.append(f"{prefix}-streams_eos-out")
        with self.lock:
            self.cluster.create(*topics, partitions=3, max_message_bytes=LARGEST)
            until("the new topics are known", lambda: self._commits(topics), 20)
            if "group_share" in exercises and not self.version.startswith("3."):
                self.cluster.share_from_the_beginning(f"{prefix}-group_share")

    def _commits(self, topics):
        """Brokers learn of a topic a moment after it was made."""
        try:
            self.cluster.commit_zero(WATCHER, *topics)
            return True
        except RuntimeError:
            return False

    def address(self, direct):
        return self.cluster.direct if direct else f"{NEAR}:{self.proxy.port}"

    def stop(self):
        try:
            if self.proxy:
                strangers = [link.client_id for hop in self.near for link in hop.links if link.up]
                self.context.check("every connection was compared", not strangers, strangers or "")
                judged = self.proxy.total("penstock_records_total")
                waited = self.proxy.total("penstock_throttle_seconds_total")
                self.context.check("the policy judged, and held nobody back", judged > 0 and waited == 0,
                                   f"{judged:.0f} records, {waited} s")
                self.proxy.stop()
        finally:
            for hop in self.near:
                hop.close()
            self.cluster.stop()
            self.context.finish()


class Driver:
    """One client's driver, started again behind an exercise that it did not survive."""

    def __init__(self, bench, name, argv, direct):
        self.bench, self.name, self.argv, self.direct = bench, name, argv, direct
        self.prefix = f"direct-{name}" if direct else name
        self.starts = 0

    def perform(self, exercises):
        """{exercise: {"result", "detail", "seconds"}}"""
        self.bench.prepare(self.prefix, exercises)
        found, left = {}, list(exercises)
        while left:
            reason = self._run(left, found)
            left = [exercise for exercise in left if exercise not in found]
            if left:
                found[left[0]] = {"result": "failed", "detail": reason, "seconds": 0}
                left = left[1:]
        return found

    def _run(self, exercises, found):
        self.starts += 1
        argv = [*self.argv, "--bootstrap", self.bench.address(self.direct), "--prefix", self.prefix, *exercises]
        process = Process(f"{self.prefix}-{self.starts}", argv, self.bench.context.folder)
        seen, last = 0, time.monotonic()
        try:
            while True:
                ended = not process.alive()
                lines = process.out().split("\n")[:-1]
                for line in lines[seen:]:
                    self._take(line, found)
                    last = time.monotonic()
                seen = len(lines)
                if ended:
                    tail = [text for text in process.err().splitlines() if text.strip()][-1:]
                    return f"the driver ended with {process.popen.returncode}: {tail}"
                if time.monotonic() - last > PATIENCE:
                    return f"the driver hung for {PATIENCE} s"
                time.sleep(0.1)
        finally:
            process.kill()

    def _take(self, line, found):
        try:
            report = json.loads(line)
            found[report["exercise"]] = {"result": report["result"], "detail": str(report.get("detail", "")),
                                         "seconds": report.get("seconds", 0)}
        except (ValueError, KeyError, TypeError):
            say(self.prefix, f"not a report: {line[:200]}")
            return
        report = found[report["exercise"]]
        if report["result"] != "ok" or self.bench.options.verbose:
            say(self.prefix, f"{report['result']:<7} {line[:300]}")


# --- judging ------------------------------------------------------------------------------------------------------

def alike(one, other):
    """Whether two errors are one: the same but for names, numbers and addresses."""
    def words(text):
        return set(re.findall(r"[a-z_]{3,}", re.sub(r"direct-", "", text.lower())))
    a, b = words(one), words(other)
    return len(a & b) >= 0.5 * max(1, min(len(a), len(b)))


def judge(bench, name, argv, found):
    """Turns what failed into "broker" (it fails without Penstock too) or "FAILED"."""
    failed = [exercise for exercise in EXERCISES if found.get(exercise, {}).get("result") == "failed"]
    if not failed or bench.options.direct:
        return
    say(name, f"again without Penstock: {' '.join(failed)}")
    direct = Driver(bench, name, argv, True).perform(failed)
    for exercise in failed:
        through, alone = found[exercise], direct[exercise]
        if alone["result"] == "failed" and alike(through["detail"], alone["detail"]):
            found[exercise] = {**through, "result": "broker", "detail": alone["detail"]}
        else:
            found[exercise] = {**through, "result": "FAILED",
                               "detail": f"{through['detail']}; without Penstock: {alone['result']} {alone['detail']}"}


def compare(bench, driver):
    """Compares every connection that this driver made; returns the account."""
    account = ends.Account()

    def its_own(link):
        return (link.client_id or "").startswith(f"{driver.prefix}-")

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(its_own(link) and not link.over
                                              for hop in [*bench.near, bench.far] for link in list(hop.links)):
        time.sleep(0.1)
    near = [link for hop in bench.near for link in hop.take(its_own)]
    near.sort(key=lambda link: len(link.up), reverse=True)
    wanted = {link.client_id for link in near}
    far = bench.far.take(lambda link: link.client_id in wanted)
    path = bench.context.folder / f"{driver.name}.pairs"
    with open(path, "wb") as pairs:
        for one, other in ends.pair_up(near, far):
            if one.up or one.down:
                ends.compare(account, one, other, pairs)
    decode(bench, path, account)
    if not account.wrong:
        path.unlink()
    return account


def decode(bench, path, account):
    """Kafka's own classes judge the answers of rewritten APIs: nothing but what is meant to may have changed."""
    broker = bench.cluster.brokers[1]
    moved = f"127.0.0.1:{broker.advertised}={NEAR}:{bench.proxy.port + 1}"
    done = subprocess.run(["java", "-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp",
                           bench.wire_diff, "WireDiff", str(path), moved],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    *differences, summary = done.stdout.splitlines() or [""]
    match = re.match(r"decoded (\d+) answers, (\d+) of them changed", summary)
    if not match:
        account.wrong.append(f"WireDiff ended with {done.returncode}: {done.stdout[-300:]}")
        return
    account.decoded, account.changed = int(match[1]), int(match[2])
    account.wrong += differences


# --- one client, one server ---------------------------------------------------------------------------------------

def run_client(bench, client, exercises):
    begun = time.monotonic()
    argv = client.argv()
    driver = Driver(bench, client.name, argv, bench.options.direct)
    found = driver.perform(exercises)
    account = None if bench.options.direct else compare(bench, driver)
    judge(bench, client.name, argv, found)
    counts = {result: sum(one["result"] == result for one in found.values())
              for result in ("ok", "absent", "broker", "failed", "FAILED")}
    say(client.name, f"{time.monotonic() - begun:.0f} s: " +
        ", ".join(f"{count} {result}" for result, count in counts.items() if count) +
        (f"; {account.connections} connections, {account.bytes_up} bytes up, {account.bytes_down} down, "
         f"{len(account.wrong)} differences" if account else ""))
    return found, account


def settle(bench, client, exercises, found, account):
    """Stores the results of a client that did everything; returns what is wrong."""
    options = bench.options
    wrong = [f"{exercise}: {one['result']} {one['detail']}" for exercise, one in found.items()
             if one["result"] in ("FAILED", "failed")]
    if account:
        if client.checks_nodes(bench.version) and account.node_checks == 0:
            account.wrong.append("no connection named the broker that it was meant for (KIP-1242)")
        wrong += account.wrong
        if options.store and exercises == EXERCISES:
            matrix_table.store(bench.version, client.name, {
                "version": client.version(), "exercises": found, "compared": account.figures(), "wrong": account.wrong})
    return [f"{client.name} on {bench.version}: {text:.600}" for text in wrong]


def run_server(version, chosen, exercises, options):
    """Runs the clients, some at a time, and returns all that is wrong."""
    bench = Bench(version, options)
    waiting, wrong = list(chosen), []

    def work():
        while True:
            with bench.lock:
                if not waiting:
                    return
                client = waiting.pop(0)
            try:
                found, account = run_client(bench, client, exercises)
                with bench.lock:
                    wrong.extend(settle(bench, client, exercises, found, account))
            except Exception as error:  # the others must still run
                wrong.append(f"{client.name} on {version}: {error!r:.600}")
                say(client.name, wrong[-1])
    workers = [threading.Thread(target=work) for _ in range(options.jobs)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        options.keep = options.keep or bool(wrong)
        bench.stop()
    return wrong + [f"{version}: {what} {detail}" for what, passed, detail in bench.context.checks if not passed]


def main():
    parser = argparse.ArgumentParser(prog="matrix", description=__doc__.split("\n")[0])
    parser.add_argument("--server", action="append", choices=SERVERS, help="a version of Kafka; otherwise all")
    parser.add_argument("--client", action="append", choices=list(clients.CLIENTS), help="otherwise all")
    parser.add_argument("--exercise", action="append", choices=EXERCISES, help="otherwise all")
    parser.add_argument("--driver", help="the command of the driver, instead of the registered one")
    parser.add_argument("--direct", action="store_true", help="without Penstock")
    parser.add_argument("--preset", default="asan", help="the build of Penstock")
    parser.add_argument("--jobs", type=int, default=AT_A_TIME, help="drivers at a time")
    parser.add_argument("--keep", action="store_true", help="keep the logs of what passed, too")
    parser.add_argument("--verbose", action="store_true", help="say what passes, too")
    parser.add_argument("--no-store", dest="store", action="store_false", help="leave the stored results alone")
    options = parser.parse_args()
    options.verbose = options.verbose or len(options.client or ()) == 1
    chosen = [clients.CLIENTS[name] for name in options.client or clients.CLIENTS]
    chosen = [client for client in chosen if options.driver or client.exists()]
    if options.driver:
        chosen[0].command = options.driver.split()
    for client in chosen:
        if not options.driver:
            client.install()
    wrong, stored_before = [], matrix_table.stored()
    for version in options.server or SERVERS:
        try:
            clients.server_jars(version)
            wrong += run_server(version, chosen, options.exercise or EXERCISES, options)
        except Exception as error:  # the other servers must still run
            wrong.append(f"{version}: {error!r:.600}")
    if matrix_table.stored() != stored_before:
        matrix_table.write_page()
    for text in wrong:
        print(f"FAILED  {text}")
    print(f"{len(wrong)} wrong" if wrong else "nothing wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
