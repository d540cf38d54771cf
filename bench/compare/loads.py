"""The load generator as a child, and one load through one contender."""

import json

from .contenders import policy_records, wait_policy
from .processes import Failed, Process

PATIENCE = 180  # seconds after which something that should have ended is given up


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


def drive_governed(bench, proxy, policy, options, records):
    """The same through Penstock with a policy that is active, which must count all records of the load: `records` in
    each request, those of the warm-up left out."""
    with Load(bench, proxy.port, options) as load:
        load.ready()
        wait_policy(proxy, policy)
        counted = policy_records(proxy, policy)
        before = proxy.cpu()
        result = load.go()
        result["cpu_s"] = proxy.cpu() - before
        counted = policy_records(proxy, policy) - counted
        if counted != result["requests"] * records:
            raise Failed(f"the policy counted {counted:.0f} of {result['requests'] * records} records")
    return result
