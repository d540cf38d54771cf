#!/usr/bin/env python3
"""What Penstock costs beside proxies that only pass bytes on.

Starts the null broker, then each contender in turn, round after round, and drives the same load through each. A
contender's CPU time is read from the scheduler's own accounting (nanoseconds, all threads) right before and after the
load. One table comes out: medians over the rounds, their spread, and ratios that are taken within a round before
the median is. See bench/README.md.
"""

import argparse
import datetime
import json
import os
import platform
import random
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
YARDSTICK, PEER = "relay uv_poll", "HAProxy TCP"  # what ratios are taken against
POLICY_CONTENDER = "Penstock policy"
FETCH_BYTES = 1 << 20
PATIENCE = 180  # seconds after which something that should have ended is given up


class Failed(Exception):
    """This contender cannot be measured; the others can."""


# --- processes ---------------------------------------------------------------------------------------------------


def free_ports(count):
    """The first of `count` neighbouring ports that are free, below the range that outgoing connections use."""
    for _ in range(200):
        first = random.randrange(12000, 31000)
        sockets = []
        try:
            for port in range(first, first + count):
                sockets.append(socket.socket())
                sockets[-1].bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
        finally:
            for s in sockets:
                s.close()
    raise SystemExit("no free ports")


class Process:
    """A child that is stopped when the block ends, its output kept for the case that it fails."""

    def __init__(self, argv, directory, port=None, pipes=False):
        self.log = Path(directory) / f"{Path(argv[0]).name}-{time.monotonic_ns()}.log"
        stdio = subprocess.PIPE if pipes else None
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(
                [str(a) for a in argv],
                stdin=stdio or subprocess.DEVNULL,
                stdout=stdio or log,
                stderr=log,
                text=True,
            )
        self.port = port

    def __enter__(self):
        if self.port is not None:
            self.wait_port()
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe:
                pipe.close()

    def failed(self, what):
        tail = self.log.read_text(errors="replace").strip().splitlines()[-3:]
        return Failed(f"{what}: " + (" / ".join(tail) or "no output"))

    def wait_port(self):
        for _ in range(200):
            if self.child.poll() is not None:
                raise self.failed(f"ended with status {self.child.returncode}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise self.failed("does not listen")

    def cpu(self):
        """Seconds on a CPU, of all threads that live."""
        nanoseconds = 0
        for task in Path(f"/proc/{self.child.pid}/task").iterdir():
            nanoseconds += int((task / "schedstat").read_text().split()[0])
        return nanoseconds / 1e9

    def rss(self):
        """Resident bytes."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) * 1024


def machine_cpu():
    """(seconds that all CPUs were busy, seconds that the host took away), since boot."""
    fields = [int(f) for f in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    tick = os.sysconf("SC_CLK_TCK")
    user, nice, system, _, _, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq) / tick, steal / tick


# --- contenders --------------------------------------------------------------------------------------------------


class Contender:
    def __init__(self, name, prepare, missing=None):
        self.name = name
        self.prepare = prepare  # (setup, port, broker port) -> argv, admin port or None
        self.missing = missing  # why it cannot run here
        self.failure = None


def relay(option):
    def prepare(setup, port, broker):
        return [setup.tool("bench_relay"), "--listen", f"127.0.0.1:{port}", "--broker", f"127.0.0.1:{broker}"] + option, None

    return prepare


def haproxy(setup, port, broker):
    config = setup.directory / "haproxy.cfg"
    config.write_text(
        f"""global
    maxconn {setup.args.idle + 200}
    nbthread {setup.args.threads}
defaults
    mode tcp
    timeout connect 5s
    timeout client 10m
    timeout server 10m
listen bench
    bind 127.0.0.1:{port}
    server null 127.0.0.1:{broker}
"""
    )
    return ["haproxy", "-db", "-f", config], None


def penstock(policy):
    def prepare(setup, port, broker):
        config = setup.directory / "penstock.yaml"
        config.write_text(
            f"""upstream: {{bootstrap: ["127.0.0.1:{broker}"]}}
listeners:
  - {{name: bench, bind: "127.0.0.1:{port}", broker_ports: {port + 1}-{port + 2}}}
admin: {{bind: "127.0.0.1:{port + 3}"}}
workers: {setup.args.threads}
"""
            + policy
        )
        return [setup.penstock, "run", "-c", config], port + 3

    return prepare


# A target that the null broker's steady lag of 1000 never reaches: everything is decoded, counted and let through.
POLICY = """policies:
  - {name: bench, topics: ["bench*"], signal: {groups: [bench], target: 1000M}}
"""


def contenders(setup):
    no_haproxy = None if shutil.which("haproxy") else "haproxy is not installed"
    no_penstock = None if setup.penstock.exists() else f"{setup.penstock} does not exist: ./run build"
    return [
        Contender(YARDSTICK, relay([])),
        Contender("relay libuv streams", relay(["--streams"])),
        Contender("relay splice", relay(["--splice"])),
        Contender(PEER, haproxy, no_haproxy),
        Contender("Penstock observe", penstock(""), no_penstock),
        Contender(POLICY_CONTENDER, penstock(POLICY), no_penstock),
    ]


def metric(admin, pattern):
    """The sum of the samples whose series matches; None if there is none."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    values = [float(line.split()[-1]) for line in lines if re.match(pattern, line)]
    return sum(values) if values else None


def wait_policy(admin):
    """The policy counts as active once its signal has an age: then every batch is weighed against it."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if metric(admin, r'penstock_signal_age_seconds\{.*policy="bench"') is not None:
            return
        time.sleep(0.1)
    raise Failed("the policy has had no signal for 15 s")


# --- measuring ---------------------------------------------------------------------------------------------------


class Setup:
    def __init__(self, args, directory):
        self.args = args
        self.directory = Path(directory)
        self.penstock = args.build / "penstock"
        self.own_cpu = 0.0  # of everything that was started here

    def tool(self, name):
        return self.args.build / "bench" / name

    def workloads(self):
        a = self.args
        large_frame = 129500
        return {
            "produce": ["--mode", "produce-large", "--bytes", int(a.gigabytes * 1e9), "--warmup", int(2e8 / large_frame)],
            "small": ["--mode", "produce-small", "--rate", a.rate, "--seconds", a.seconds, "--warmup", a.rate // 2],
            "fetch": ["--mode", "fetch", "--depth", 2, "--requests", int(a.gigabytes * 1e9 / FETCH_BYTES), "--warmup", 100],
        }


class Load:
    """bench_load, which waits at the start line and keeps its connections until told."""

    def __init__(self, setup, port, options):
        argv = [setup.tool("bench_load"), "--connect", f"127.0.0.1:{port}", "--hold"] + options
        self.process = Process(argv, setup.directory, pipes=True)

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
        self.line("ready")

    def go(self):
        self.process.child.stdin.write("go\n")
        self.process.child.stdin.flush()
        result = self.line("result")
        if result["errors"] or result["dropped"] or result["closed"]:
            raise Failed(f"{result['errors']} errors, {result['dropped']} dropped, {result['closed']} closed")
        return result


def run_load(setup, port, options, proxy, admin, counts_policy):
    """One load through one contender (proxy None: straight to the broker). What it took."""
    with Load(setup, port, options) as load:
        load.ready()
        if counts_policy:
            wait_policy(admin)
            time.sleep(0.3)  # counters are published some times a second
            forwarded = metric(admin, r'penstock_records_total\{.*policy="bench".*outcome="forwarded"')
        before = proxy.cpu() if proxy else 0.0
        result = load.go()
        result["cpu_s"] = proxy.cpu() - before if proxy else None
        setup.own_cpu += load.process.cpu()
        if counts_policy:
            time.sleep(0.3)
            now = metric(admin, r'penstock_records_total\{.*policy="bench".*outcome="forwarded"')
            result["policy_records"] = now - (forwarded or 0)
    return result


def measure_round(setup, contender, broker):
    """All loads through one fresh process of this contender: a new layout in memory every round."""
    port = free_ports(8)
    argv, admin = contender.prepare(setup, port, broker)
    with Process(argv, setup.directory, port) as proxy:
        figures = {}
        for name, options in setup.workloads().items():
            counts_policy = contender.name == POLICY_CONTENDER and name != "fetch"
            result = run_load(setup, port, options, proxy, admin, counts_policy)
            figures[name] = result
            expected = result["requests"] * (1 if name == "small" else 128)
            if counts_policy and result["policy_records"] != expected:
                raise Failed(f"the policy counted {result['policy_records']:.0f} of {expected} records")
        setup.own_cpu += proxy.cpu()
    return figures


def measure_idle(setup, contender, broker):
    """Bytes at rest, with everything started that traffic starts; and bytes per connection that does nothing."""
    port = free_ports(8)
    argv, admin = contender.prepare(setup, port, broker)
    with Process(argv, setup.directory, port) as proxy:
        with Load(setup, port, ["--mode", "idle", "--connections", 10]) as few:
            few.ready()
            if contender.name == POLICY_CONTENDER:
                wait_policy(admin)
            time.sleep(1)
            rest = proxy.rss()
            with Load(setup, port, ["--mode", "idle", "--connections", setup.args.idle]) as many:
                many.ready()
                time.sleep(1)
                grown = proxy.rss() - rest
        setup.own_cpu += proxy.cpu()
    return {"rest_bytes": rest, "idle_bytes": grown / setup.args.idle}


def attempt(contender, function, *args):
    """Runs it unless the contender has failed before; remembers a failure and goes on."""
    if contender.failure or contender.missing:
        return None
    try:
        return function(*args)
    except (Failed, OSError) as error:
        contender.failure = str(error)
        print(f"    {contender.name}: {error}", file=sys.stderr)
        return None


def measure(setup):
    """{contender: {"rounds": [...], "idle": {...}}}, and the contenders."""
    everybody = contenders(setup)
    results = {c.name: {"rounds": []} for c in everybody}
    direct = []
    broker_port = free_ports(1)
    argv = [setup.tool("bench_null_broker"), "--listen", f"127.0.0.1:{broker_port}", "--fetch-bytes", FETCH_BYTES]
    with Process(argv, setup.directory, broker_port) as broker:
        for number in range(setup.args.rounds):
            print(f"round {number + 1} of {setup.args.rounds}", file=sys.stderr)
            direct.append({name: run_load(setup, broker_port, options, None, None, False)
                           for name, options in setup.workloads().items()})
            for contender in everybody:
                figures = attempt(contender, measure_round, setup, contender, broker_port)
                if figures:
                    results[contender.name]["rounds"].append(figures)
        print(f"{setup.args.idle} idle connections", file=sys.stderr)
        for contender in everybody:
            results[contender.name]["idle"] = attempt(contender, measure_idle, setup, contender, broker_port)
        setup.own_cpu += broker.cpu()
    return everybody, results, direct


# --- the table ---------------------------------------------------------------------------------------------------

PER_GB = {
    "produce": lambda r: r["cpu_s"] / r["bytes"] * 1e9,
    "fetch": lambda r: r["cpu_s"] / r["bytes"] * 1e9,
    "small": lambda r: r["cpu_s"] / r["requests"] * 1e6,
}


def cost(results, name, load):
    """The cost of each round."""
    return [PER_GB[load](r[load]) for r in results[name]["rounds"]]


def ratio(results, name, load, against):
    pairs = list(zip(cost(results, name, load), cost(results, against, load)))
    return statistics.median(a / b for a, b in pairs) if pairs else None


def spread(values, form):
    middle = form.format(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({form.format(min(values))}–{form.format(max(values))})"


def times(rounds):
    """Median over the rounds of each quantile."""
    quantiles = ("p50", "p99", "p999")
    return " / ".join(f"{statistics.median(r['small']['latency_us'][q] for r in rounds):.0f}" for q in quantiles)


def absence(contender):
    """Why this contender has no row; None if it has one."""
    if contender.missing:
        return f"{contender.name} was not measured: {contender.missing}"
    return f"{contender.name} FAILED: {contender.failure}" if contender.failure else None


def row(results, contender):
    entry = results[contender.name]
    cells = [contender.name]
    for load, form in (("produce", "{:.3f}"), ("small", "{:.2f}"), ("fetch", "{:.3f}")):
        cells.append(spread(cost(results, contender.name, load), form))
        ratios = [ratio(results, contender.name, load, against) for against in (YARDSTICK, PEER)]
        cells.append(" / ".join("–" if r is None else f"{r:.2f}" for r in ratios))
    cells.append(times(entry["rounds"]))
    cells.append(f"{statistics.median(r['produce']['mb_per_s'] for r in entry['rounds']) / 1000:.2f}")
    cells.append(f"{entry['idle']['idle_bytes'] / 1024:.1f}")
    cells.append(f"{entry['idle']['rest_bytes'] / 2**20:.1f}")
    return cells


HEADER = ["", "CPU s/GB produced", "×relay / ×HAProxy", "CPU µs/request", "×relay / ×HAProxy", "CPU s/GB fetched",
          "×relay / ×HAProxy", "p50 / p99 / p99.9 µs", "GB/s", "KiB/idle conn.", "MiB at rest"]


def table(everybody, results, direct):
    rows = [HEADER, ["(no proxy)", "", "", "", "", "", "", times(direct),
                     f"{statistics.median(r['produce']['mb_per_s'] for r in direct) / 1000:.2f}", "", ""]]
    rows += [row(results, c) for c in everybody if not absence(c)]
    widths = [max(len(r[i]) for r in rows) for i in range(len(HEADER))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(r, widths)) + " |" for r in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines + [""] + [absence(c) for c in everybody if absence(c)])


def git(*args):
    done = subprocess.run(["git", "-C", str(ROOT), *args], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def facts(args):
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    dirty = git("status", "--porcelain", "--", "protocol", "policy", "proxy", "include", "bench", ":!bench/results")
    haproxy_version = subprocess.run(["haproxy", "-v"], capture_output=True, text=True, check=False).stdout.split("\n")[0] \
        if shutil.which("haproxy") else "none"
    return {
        "date": datetime.datetime.now().isoformat(timespec="seconds"),
        "commit": (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("-dirty" if dirty else ""),
        "command": " ".join(["bench/run.py"] + sys.argv[1:]),
        "cpu": cpu.group(1) if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "haproxy": haproxy_version,
        "rounds": args.rounds,
        "cpus": args.cpus or "0-" + str(os.cpu_count() - 1),
        "threads": args.threads,
    }


def explain(args, about):
    warning = "\n**Too much else ran: these figures are not to be quoted.**" if about["foreign_share"] > 0.1 else ""
    return f"""{about['date']} · commit {about['commit']} · `{about['command']}`
{about['cpu']}, {about['cores']} cores, Linux {about['kernel']} · {about['haproxy']} · {about['threads']} thread(s) per proxy, all on CPUs {about['cpus']}
Other work on this machine took {about['foreign_share']:.1%} of its CPUs meanwhile, its host {about['steal_share']:.1%}.{warning}

{args.rounds} round(s), interleaved; medians (least–most); ratios are medians of the ratios within each round.
Produced: {args.gigabytes} GB a round in 128 KiB batches of 1 kB records, 8 connections, 5 requests in flight on each.
Requests: single records of 100 bytes, {args.rate}/s on 50 connections, {args.seconds} s a round, open loop; times count from
when each was due. Fetched: {args.gigabytes} GB a round in responses of 1 MiB. Idle: {args.idle} connections after one request each; at rest: ten.
"""


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="a smoke test of half a minute; its figures mean little")
    parser.add_argument("--rounds", type=int, help="default 5; quick 1")
    parser.add_argument("--gigabytes", type=float, help="per contender and round; default 2, quick 0.5")
    parser.add_argument("--seconds", type=float, help="of small requests per contender and round; default 5, quick 1")
    parser.add_argument("--rate", type=int, default=6000, help="small requests per second")
    parser.add_argument("--idle", type=int, help="idle connections; default 10000, quick 500")
    parser.add_argument("--threads", type=int, default=1, help="of HAProxy and Penstock; the relays have one")
    parser.add_argument("--cpus", help="run everything on these, as in 0,1; on a single one nobody is woken on another, "
                        "which costs the same for all and varies most; the default is all")
    parser.add_argument("--build", type=Path, default=ROOT / "build/release", help="where the binaries are")
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    args = parser.parse_args()
    defaults = {"rounds": 1, "gigabytes": 0.5, "seconds": 1.0, "idle": 500} if args.quick else \
               {"rounds": 5, "gigabytes": 2.0, "seconds": 5.0, "idle": 10000}
    for name, value in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


def raise_descriptors(args):
    """A proxy has two sockets per connection; HAProxy wants some more."""
    wanted = 2 * args.idle + 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), max(hard, wanted)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        args.idle = min(args.idle, (hard - 1000) // 2)


def main():
    args = parse()
    raise_descriptors(args)
    if args.cpus:
        os.sched_setaffinity(0, [int(c) for c in args.cpus.split(",")])  # children inherit it
    missing = [t for t in ("bench_null_broker", "bench_load", "bench_relay") if not (args.build / "bench" / t).exists()]
    if missing:
        raise SystemExit(f"{args.build}/bench has no {', '.join(missing)}: ./run build")
    about = facts(args)
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as directory:
        setup = Setup(args, directory)
        began, (busy, steal) = time.monotonic(), machine_cpu()
        try:
            everybody, results, direct = measure(setup)
        except Failed as failure:
            raise SystemExit(f"without any proxy: {failure}") from failure
        span = (time.monotonic() - began) * about["cores"]
        busy_now, steal_now = machine_cpu()
        about["foreign_share"] = max(0.0, busy_now - busy - setup.own_cpu - time.process_time()) / span
        about["steal_share"] = (steal_now - steal) / span
    text = table(everybody, results, direct) + "\n\n" + explain(args, about)
    print("\n" + text)
    everything = {"about": about, "direct": direct, "contenders": results,
                  "absent": [absence(c) for c in everybody if absence(c)]}
    files = [args.json] if args.json else []
    if not args.quick:
        name = ROOT / "bench/results" / f"{about['date'][:10]}-{about['commit']}"
        name.parent.mkdir(exist_ok=True)
        name.with_suffix(".md").write_text("# What Penstock costs\n\n" + text)
        files.append(name.with_suffix(".json"))
        print(f"written to {name}.md and .json")
    for file in files:
        file.write_text(json.dumps(everything, indent=1) + "\n")
    return 1 if any(c.failure for c in everybody) else 0


if __name__ == "__main__":
    sys.exit(main())
