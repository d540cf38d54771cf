#!/usr/bin/env python3
"""What Penstock costs beside proxies that only pass bytes on.

Starts the null broker, then each contender in turn, round after round, and drives the same load through each. A
contender's CPU time is read from the scheduler's own accounting (nanoseconds, all threads) right before and after the
load. One table comes out: medians over the rounds, their spread, and ratios that are taken within a round before
the median is. See bench/README.md.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from compare.contenders import PEER, YARDSTICK, everybody, running, wait_policy
from compare.facts import ROOT, facts, heading, write_json, write_results
from compare.loads import Load, drive, drive_governed
from compare.processes import Bench, Failed, Foreign, Process, free_ports
from compare.table import markdown, ratio, spread

FETCH_BYTES = 1 << 20
LARGE_FRAME = 129500


# --- measuring ---------------------------------------------------------------------------------------------------


def workloads(a):
    """{name: options of bench_load}"""
    return {
        "produce": ["--mode", "produce-large", "--bytes", int(a.gigabytes * 1e9), "--warmup", int(2e8 / LARGE_FRAME)],
        "small": ["--mode", "produce-small", "--rate", a.rate, "--seconds", a.seconds, "--warmup", a.rate // 2],
        "fetch": ["--mode", "fetch", "--depth", 2, "--requests", int(a.gigabytes * 1e9 / FETCH_BYTES), "--warmup", 100],
    }


def measure_round(bench, args, contender, broker):
    """All loads through one fresh process of this contender: a new layout in memory every round."""
    with running(bench, contender, broker) as proxy:
        figures = {}
        for name, options in workloads(args).items():
            if contender.policy and name != "fetch":
                records = 1 if name == "small" else 128
                figures[name] = drive_governed(bench, proxy, contender.policy, options, records)
            else:
                figures[name] = drive(bench, proxy.port, options, proxy)
    return figures


def measure_idle(bench, args, contender, broker):
    """Bytes at rest, with everything started that traffic starts; and bytes per connection that does nothing."""
    with running(bench, contender, broker) as proxy:
        with Load(bench, proxy.port, ["--mode", "idle", "--connections", 10]) as few:
            few.ready()
            if contender.policy:
                wait_policy(proxy, contender.policy)
            time.sleep(1)
            rest = proxy.rss()
            with Load(bench, proxy.port, ["--mode", "idle", "--connections", args.idle]) as many:
                many.ready()
                time.sleep(1)
                grown = proxy.rss() - rest
    return {"rest_bytes": rest, "idle_bytes": grown / args.idle}


def attempt(contender, function, *args):
    """Runs it unless the contender has failed before; remembers a failure and goes on."""
    if contender.absence:
        return None
    try:
        return function(*args)
    except (Failed, OSError) as error:
        contender.failure = str(error)
        print(f"    {contender.name}: {error}", file=sys.stderr)
        return None


def measure(bench, args, contenders):
    """{contender: {"rounds": [...], "idle": {...}}}, and the rounds without any proxy."""
    results = {c.name: {"rounds": []} for c in contenders}
    direct = []
    port = free_ports(1)
    argv = [bench.tool("bench_null_broker"), "--listen", f"127.0.0.1:{port}", "--fetch-bytes", FETCH_BYTES]
    with Process(argv, bench.directory, port, bench=bench):
        for number in range(args.rounds):
            print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
            direct.append({name: drive(bench, port, options) for name, options in workloads(args).items()})
            for contender in contenders:
                figures = attempt(contender, measure_round, bench, args, contender, port)
                if figures:
                    results[contender.name]["rounds"].append(figures)
        print(f"{args.idle} idle connections", file=sys.stderr)
        for contender in contenders:
            results[contender.name]["idle"] = attempt(contender, measure_idle, bench, args, contender, port)
    return results, direct


# --- the table ---------------------------------------------------------------------------------------------------

COSTS = {  # of one round's result
    "produce": lambda r: r["cpu_s"] / r["bytes"] * 1e9,
    "fetch": lambda r: r["cpu_s"] / r["bytes"] * 1e9,
    "small": lambda r: r["cpu_s"] / r["requests"] * 1e6,
}


def cost(results, name, load):
    """The cost of each round."""
    return [COSTS[load](r[load]) for r in results[name]["rounds"]]


def times(rounds):
    """Median over the rounds of each quantile."""
    quantiles = ("p50", "p99", "p999")
    return " / ".join(f"{statistics.median(r['small']['latency_us'][q] for r in rounds):.0f}" for q in quantiles)


def row(results, name):
    entry = results[name]
    cells = [name]
    for load, form in (("produce", "{:.3f}"), ("small", "{:.2f}"), ("fetch", "{:.3f}")):
        values = cost(results, name, load)
        ratios = [ratio(values, cost(results, against, load)) for against in (YARDSTICK, PEER)]
        cells.append(spread(values, form))
        cells.append(" / ".join("–" if r is None else f"{r:.2f}" for r in ratios))
    cells.append(times(entry["rounds"]))
    cells.append(f"{statistics.median(r['produce']['mb_per_s'] for r in entry['rounds']) / 1000:.2f}")
    cells.append(f"{entry['idle']['idle_bytes'] / 1024:.1f}")
    cells.append(f"{entry['idle']['rest_bytes'] / 2**20:.1f}")
    return cells


HEADER = ["", "CPU s/GB produced", "×relay / ×HAProxy", "CPU µs/request", "×relay / ×HAProxy", "CPU s/GB fetched",
          "×relay / ×HAProxy", "p50 / p99 / p99.9 µs", "GB/s", "KiB/idle conn.", "MiB at rest"]


def table(contenders, results, direct):
    rows = [["(no proxy)", "", "", "", "", "", "", times(direct),
             f"{statistics.median(r['produce']['mb_per_s'] for r in direct) / 1000:.2f}", "", ""]]
    rows += [row(results, c.name) for c in contenders if not c.absence]
    return "\n".join([markdown(HEADER, rows), ""] + [c.absence for c in contenders if c.absence])


def explain(args, about):
    return f"""{heading(about)}{about['haproxy']} · {args.threads} thread(s) per proxy, all on CPUs {about['cpus']}

{args.rounds} round(s), interleaved; medians (least–most); ratios are medians of the ratios within each round.
Produced: {args.gigabytes} GB a round in 128 KiB batches of 1 kB records, 8 connections, 5 requests in flight on each.
Requests: single records of 100 bytes, {args.rate}/s on 50 connections, {args.seconds} s a round, open loop; times count from
when each was due. Fetched: {args.gigabytes} GB a round in responses of 1 MiB. Idle: {args.idle} connections after one request each; at rest: ten.
"""


# --- the command -------------------------------------------------------------------------------------------------


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


def all_facts(args):
    version = subprocess.run(["haproxy", "-v"], capture_output=True, text=True, check=False).stdout.split("\n")[0] \
        if shutil.which("haproxy") else "none"
    return facts("bench/run.py") | {
        "haproxy": version,
        "rounds": args.rounds,
        "cpus": args.cpus or "0-" + str(os.cpu_count() - 1),
        "threads": args.threads,
    }


def main():
    args = parse()
    raise_descriptors(args)
    if args.cpus:
        os.sched_setaffinity(0, [int(c) for c in args.cpus.split(",")])  # children inherit it
    missing = [t for t in ("bench_null_broker", "bench_load", "bench_relay") if not (args.build / "bench" / t).exists()]
    if missing:
        raise SystemExit(f"{args.build}/bench has no {', '.join(missing)}: ./run build")
    about = all_facts(args)
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as directory:
        bench = Bench(args.build, directory, args.threads, args.idle)
        contenders = everybody(bench)
        foreign = Foreign(bench)
        try:
            results, direct = measure(bench, args, contenders)
        except Failed as failure:
            raise SystemExit(f"without any proxy: {failure}") from failure
        about |= foreign.shares()
    text = table(contenders, results, direct) + "\n\n" + explain(args, about)
    print("\n" + text)
    everything = {"about": about, "direct": direct, "contenders": results,
                  "absent": [c.absence for c in contenders if c.absence]}
    if args.json:
        write_json(args.json, everything)
    if not args.quick:
        print(f"written to {write_results('', about, '# What Penstock costs' + chr(10) * 2 + text, everything)}.md and .json")
    return 1 if any(c.failure for c in contenders) else 0


if __name__ == "__main__":
    sys.exit(main())
