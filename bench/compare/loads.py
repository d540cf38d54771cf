"""The load generator as a child, the loads of the comparison, and one load through one contender."""

import dataclasses
import json

from .contenders import TOPICS, policy_records, wait_policies
from .processes import Failed, Process

PATIENCE = 180  # seconds after which something that should have ended is given up
FETCH_BYTES = 1 << 20  # in a large answer to Fetch
FETCH_SMALL = 4096
LARGE_FRAME = 129500  # bytes of a request with a batch of 128 records


# --- the loads ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Work:
    """One load of the comparison."""

    name: str
    says: str  # to the reader of the table
    options: object  # (scale, share) -> options of bench_load; share: of the bytes of a closed loop
    per: str = "request"  # what its CPU time is divided by: request or gigabyte


@dataclasses.dataclass
class Scale:
    """How much is done per contender and round, and how fast."""

    gigabytes: float
    seconds: float
    rate: int  # of small requests

    def produce(self, share, *more):
        return ["--mode", "produce-large", "--topics", TOPICS, "--bytes", int(self.gigabytes * 1e9 * share),
                "--warmup", int(min(2e8, self.gigabytes * 2e8) / LARGE_FRAME), *more]

    def small(self, rate, seconds, *more):
        return ["--mode", "produce-small", "--topics", TOPICS, "--rate", rate, "--seconds", seconds,
                "--warmup", int(self.rate * min(0.5, seconds / 4)), *more]

    def fetch(self, requests, *more):
        return ["--mode", "fetch", "--depth", 2, "--requests", int(requests), "--warmup", int(requests / 10), *more]


WORKS = [
    Work("produce", "batches of 128 records of 1 kB, 8 connections, 5 requests in flight on each",
         lambda s, share: s.produce(share), per="gigabyte"),
    Work("mixed", "the same, batches of 1, 8, 32, 128 and 512 records in turn, half as many bytes",
         lambda s, share: s.produce(share / 2, "--records", "1,8,32,128,512"), per="gigabyte"),
    Work("fetch", "the shape of *produce* the other way round: answers of the same size, as many connections and in flight",
         lambda s, share: s.fetch(s.gigabytes * 1e9 * share / LARGE_FRAME, "--fetch-max", LARGE_FRAME, "--depth", 5),
         per="gigabyte"),
    Work("fetch-large", f"answers of {FETCH_BYTES >> 20} MiB, 2 requests in flight, half as many bytes",
         lambda s, share: s.fetch(s.gigabytes * 1e9 * share / 2 / FETCH_BYTES), per="gigabyte"),
    Work("fetch-small", f"answers of {FETCH_SMALL >> 10} KiB, 2 requests in flight",
         lambda s, share: s.fetch(s.gigabytes * share * 2e4, "--fetch-max", FETCH_SMALL)),
    Work("small", "single records of 100 bytes on 50 connections, open loop", lambda s, share: s.small(s.rate, s.seconds)),
    Work("pipelined", "the same in closed loop, 16 in flight on each connection",
         lambda s, share: s.small(0, s.seconds / 2, "--depth", 16)),
]


def saturation(bench, port, seconds):
    """Small requests per second through `port` when each of 50 connections has one in flight, all the time."""
    options = ["--mode", "produce-small", "--topics", TOPICS, "--rate", 0, "--depth", 1, "--seconds", seconds]
    return drive(bench, port, [*options, "--warmup", 5000])["requests_per_s"]


# --- the generator -----------------------------------------------------------------------------------------------


class Load:
    """bench_load, connected and warmed up, which waits for go() and keeps its connections until the block ends.

    `options` are those of bench_load."""

    def __init__(self, bench, port, options):
        argv = [bench.tool("bench_load"), "--connect", f"127.0.0.1:{port}", "--hold", *options]
        self.process = Process(argv, bench.directory, pipes=True, bench=bench)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.process.__exit__(*args)

    def line(self, event):
        text = self.process.child.stdout.readline()
        if not text:
            self.process.child.wait(PATIENCE)
            raise self.process.failed("the load generator gave up")
        message = json.loads(text)
        assert message["event"] == event, message
        return message

    def ready(self):
        """Waits until all connections are open and warm."""
        self.line("ready")

    def begin(self):
        self.process.child.stdin.write("go\n")
        self.process.child.stdin.flush()

    def end(self):
        """What bench_load measured, as its JSON says it."""
        result = self.line("result")
        if result["errors"] or result["dropped"] or result["closed"]:
            raise Failed(f"{result['errors']} errors, {result['dropped']} dropped, {result['closed']} closed")
        return result

    def go(self):
        self.begin()
        return self.end()


def drive(bench, port, options, proxy=None):
    """One load against `port`; with a proxy the result has its CPU time in "cpu_s", of the load alone."""
    with Load(bench, port, options) as load:
        load.ready()
        before = proxy.cpu() if proxy else 0.0
        result = load.go()
        result["cpu_s"] = proxy.cpu() - before if proxy else None
    return result


def drive_governed(bench, proxy, policies, options):
    """The same through Penstock, once so many policies bench... are active; they must count every record of the load."""
    with Load(bench, proxy.port, options) as load:
        load.ready()
        wait_policies(proxy, policies)
        counted = policy_records(proxy, "bench[^\"]*")
        before = proxy.cpu()
        result = load.go()
        result["cpu_s"] = proxy.cpu() - before
        counted = policy_records(proxy, "bench[^\"]*") - counted
        if counted != result["records"]:
            raise Failed(f"policies counted {counted:.0f} of {result['records']} records")
    return result
