#!/usr/bin/env python3
"""Whether what a request costs grows with what there is of everything: connections, partitions, topics, tenants,
policies, workers. One curve for each, with a plot, the exponent of the best fit and a sentence. See bench/README.md.

Exit status 1: something of Penstock's grows faster than log n, and the bare relay beside it does not.
"""

import argparse
import contextlib
import dataclasses
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from compare import curve
from compare.contenders import OPEN, POLICY, Contender, penstock, policy, relay, running, samples, wait_policies
from compare.facts import ROOT, facts, heading, write_results
from compare.loads import Load
from compare.processes import Bench, Failed, Foreign, Placement, Process, free_ports
from compare.table import markdown

RELAY = "relay uv_poll"
REST_SHARE_MAX = 0.2  # of a CPU, beyond which the cost of a request drowns in it
REST_S = 1.0  # how long a process is looked at while nobody sends anything; lag is read once a second


# --- what is measured --------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Series:
    name: str
    contender: object  # n -> Contender
    of: str = "request"  # the figure: see FIGURES


@dataclasses.dataclass
class Dimension:
    name: str
    says: str  # what n is
    load: str  # what is sent, to the reader
    counts: tuple
    options: object  # (args, n) -> options of bench_load
    series: list
    broker: object = lambda n: []  # options of bench_null_broker
    unit: str = "CPU µs/request"
    parts: bool = False  # the figure is divided by n: a request has n of them
    per_request: bool = True  # False: told, but not what must not grow
    rest_s: float = REST_S


def open_loop(args, connections, *more):
    return ["--mode", "produce-small", "--connections", connections, "--rate", args.rate, "--seconds", args.seconds,
            "--warmup", max(args.rate // 4, connections), *more]


def closed_loop(args, *more):
    return ["--mode", "produce-small", "--connections", 4, "--rate", 0, "--depth", 1, "--seconds", args.seconds,
            "--warmup", 50, *more]


def bare(_):
    return Contender(RELAY, relay())


def governed(n):
    """One policy on all topics."""
    return Contender("Penstock, policy", penstock(POLICY), policies=n)


def elsewhere(n):
    """A hundred policies, none of them on the topics that are sent to."""
    policies = "".join(policy(f"other-{i}", f"other-{i}-*", OPEN) for i in range(100))
    return Contender("Penstock, policies elsewhere", penstock("policies:\n" + policies))


def tenants(n):
    """The generator is the last tenant; every tenant may do as it likes in the one policy, which names them all."""
    lines = "".join(f'  - {{name: t{i}, match: {{client_id: "team-{i}-*"}}}}\n' for i in range(n - 1))
    lines += '  - {name: generator, match: {client_id: "bench-*"}}\n'
    rule = policy("bench", "bench*", OPEN, ', tenants: ["t*", generator]' if n > 1 else ", tenants: [generator]")
    return Contender("Penstock, policy", penstock(f"tenants:\n{lines}policies:\n{rule}"), policies=1)


def policies(n):
    others = "".join(policy(f"other-{i}", f"other-{i}-*", OPEN) for i in range(n - 1))
    return Contender("Penstock", penstock("policies:\n" + others + policy("bench", "bench*", OPEN)), policies=1)


def policies_elsewhere(n):
    others = "".join(policy(f"other-{i}", f"other-{i}-*", OPEN) for i in range(n))
    return Contender("Penstock", penstock("policies:\n" + others))


def workers(n):
    return Contender("Penstock, policy", penstock(POLICY, workers=n), policies=1, roams=True)


TENS = (1, 10, 100, 1000, 10000)

DIMENSIONS = [
    Dimension("connections", "connections", "single records at a fixed rate, spread over all of them", TENS[1:],
              lambda a, n: open_loop(a, n),
              [Series(RELAY, bare), Series("Penstock, policy", lambda n: governed(1))]),
    Dimension("partitions", "partitions in each request", "a batch of one record for each, closed loop", TENS[:4],
              lambda a, n: closed_loop(a, "--partitions", n),
              [Series(RELAY, bare), Series("Penstock, policy", lambda n: governed(1))],
              broker=lambda n: ["--partitions", n], unit="CPU µs/partition", parts=True),
    Dimension("topics-together", "topics in each request", "a batch of one record for each, closed loop", TENS[:4],
              lambda a, n: closed_loop(a, "--together", n),
              [Series(RELAY, bare), Series("Penstock, policy on all", governed),
               Series("Penstock, policies elsewhere", elsewhere)],
              broker=lambda n: ["--topics", n, "--partitions", 1], unit="CPU µs/topic", parts=True),
    Dimension("topics", "topics, sent to in turn", "single records at a fixed rate on 50 connections", TENS,
              lambda a, n: open_loop(a, 50, "--topics", n, "--warmup", max(a.rate // 4, n)),
              [Series(RELAY, bare), Series("Penstock, policy on all", governed),
               Series("Penstock, policies elsewhere", elsewhere)],
              broker=lambda n: ["--topics", n, "--partitions", 1]),
    Dimension("topics-rest", "topics under a policy", "nothing is sent", TENS, lambda a, n: ["--mode", "idle"],
              [Series("Penstock, policy on all", governed, "rest")],
              broker=lambda n: ["--topics", n, "--partitions", 1, "--lag", 0, "--end-rate", 0],
              unit="CPU µs/s for each topic", parts=True, per_request=False, rest_s=4),
    Dimension("tenants", "tenants", "single records at a fixed rate on 50 connections", TENS,
              lambda a, n: open_loop(a, 50, "--client-id", "bench-load"),
              [Series("Penstock, policy", tenants)]),
    Dimension("tenants-binding", "tenants", "2000 connections are made, each with its first request", TENS,
              lambda a, n: ["--mode", "idle", "--connections", 2000, "--client-id", "bench-load"],
              [Series("Penstock, policy", tenants, "connection")], unit="CPU µs/connection"),
    Dimension("policies", "policies", "single records at a fixed rate on 50 connections, 100 topics in turn", TENS[:4],
              lambda a, n: open_loop(a, 50, "--topics", 100),
              [Series("the last covers the topics", policies), Series("none covers them", policies_elsewhere)],
              broker=lambda n: ["--topics", 100, "--partitions", 1]),
    Dimension("workers", "workers", "single records at a fixed rate on 50 connections", (1, 2),
              lambda a, n: open_loop(a, 50), [Series("Penstock, policy", workers)]),
]

FIGURES = {  # CPU microseconds
    "request": lambda m: m["request_s"] * 1e6,
    "connection": lambda m: m["opening_s"] / m["connections"] * 1e6,
    "rest": lambda m: m["rest_share"] * 1e6,
}


# --- measuring ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def broker(bench, options):
    port = free_ports(1)
    argv = [bench.tool("bench_null_broker"), "--listen", f"127.0.0.1:{port}", *options]
    with Process(argv, bench.directory, port, bench=bench):
        yield port


def option(options, name, otherwise):
    return options[options.index(name) + 1] if name in options else otherwise


def counted_records(proxy):
    """Records that the policy has counted: a request may wait in 16 places, and pays in the others without."""
    time.sleep(0.3)  # counters are published some times a second
    return sum(samples(proxy.admin, r'penstock_records_total\{.*policy="bench".*outcome="(forwarded|over_limit)"'))


def measure(bench, contender, options, rest_s):
    """What one load costs one fresh process. A request's share has what the process does at rest taken off."""
    idle = "idle" in options
    with running(bench, contender, bench.broker) as proxy:
        if contender.policies:
            wait_policies(proxy, contender.policies)
            time.sleep(1.5 if contender.policies > 100 else 0.2)  # what was made for the first time
        start = proxy.cpu()
        with Load(bench, proxy.port, options) as load:
            load.ready()
            measured = {"opening_s": proxy.cpu() - start, "connections": option(options, "--connections", 8)}
            time.sleep(0.1)
            start = proxy.cpu()
            time.sleep(rest_s)
            measured["rest_share"] = (proxy.cpu() - start) / rest_s
            if idle:
                return measured
            counted = counted_records(proxy) if contender.policies else 0
            start, began = proxy.cpu(), time.monotonic()
            result = load.go()
            took, spent = time.monotonic() - began, proxy.cpu() - start
            if contender.policies:
                counted = counted_records(proxy) - counted
                if counted != result["records"]:
                    raise Failed(f"the policy counted {counted:.0f} of {result['records']} records")
    measured["requests"] = result["requests"]
    measured["whole_s"] = spent / result["requests"]
    measured["request_s"] = max(spent - took * measured["rest_share"], 0.0) / result["requests"]
    measured["latency_us"] = result["latency_us"]
    return measured


def measure_dimension(bench, args, dimension):
    """{series: {n: [measurement of each round]}}"""
    results = {s.name: {} for s in dimension.series}
    for number in range(args.rounds):
        for n in dimension.counts:
            if n > args.most:
                continue
            with broker(bench, dimension.broker(n)) as bench.broker:
                for series in dimension.series:
                    try:
                        one = measure(bench, series.contender(n), dimension.options(args, n), dimension.rest_s)
                    except (Failed, OSError) as error:
                        print(f"    {dimension.name}, {series.name}, {n}: FAILED: {error}", file=sys.stderr)
                        continue
                    results[series.name].setdefault(n, []).append(one)
                    figure = FIGURES[series.of](one) / (n if dimension.parts else 1)
                    print(f"    {dimension.name} {n}, {series.name}: {figure:.2f} {dimension.unit}", file=sys.stderr)
    return results


# --- the pure parts ----------------------------------------------------------------------------------------------

PURE = {  # {what n is: the lines of bench_micro that tell it}
    "connections waiting at a valve": r"valve, (\d+) connections waiting: .*",
    "slots with somebody waiting": r"governor, (\d+) slots waiting: .*",
    "policies, to find that none covers a topic": r"names, (\d+) policies: .*",
    "tenants, to find a connection's": r"names, (\d+) tenants: .*",
}


def measure_pure(bench):
    """{what: [(n, nanoseconds)]}"""
    lines = subprocess.run([bench.tool("bench_micro")], capture_output=True, text=True, check=True).stdout.splitlines()
    found = {what: [] for what in PURE}
    for text in lines:
        for what, pattern in PURE.items():
            match = re.match(pattern + r"\s([\d.]+) ns", text)
            if match:
                found[what].append((int(match.group(1)), float(match.group(2))))
    return found


# --- what comes out ----------------------------------------------------------------------------------------------


def curve_of(dimension, series, by_count):
    """[(n, least, median, most)] over the rounds."""
    points = []
    for n, rounds in sorted(by_count.items()):
        if series.of == "request" and any(one["rest_share"] > REST_SHARE_MAX for one in rounds):
            continue  # what it does at rest is more than what is left when that is taken off
        values = [FIGURES[series.of](one) / (n if dimension.parts else 1) for one in rounds]
        points.append((n, min(values), statistics.median(values), max(values)))
    return points


def verdict(points):
    return curve.fit([p[0] for p in points], [p[2] for p in points])


def section(dimension, results):
    """(lines of the report, {series: points}, whether Penstock grows too fast)"""
    curves = {s.name: curve_of(dimension, s, results[s.name]) for s in dimension.series}
    counts = sorted({p[0] for points in curves.values() for p in points})
    middles = {name: {p[0]: f"{p[2]:.2f}" for p in points} for name, points in curves.items()}
    rows = [[name, *(found.get(n, "–") for n in counts)] for name, found in middles.items()]
    fits = {name: verdict(points) for name, points in curves.items()}
    lines = [f"## {dimension.name}", f"{dimension.unit}, by the number of {dimension.says}: {dimension.load}.", "",
             markdown(["", *(f"{n:,}" for n in counts)], rows), ""]
    lines += [f"- {name}: {found or 'too few figures'}" for name, found in fits.items()]
    drowned = [f"{name} at {n:,}" for name, points in curves.items() for n in counts
               if n in results[name] and n not in [p[0] for p in points]]
    lines += [f"- not told: {', '.join(drowned)}, where the process at rest took too much of a CPU"] if drowned else []
    relay_too = fits.get(RELAY) is not None and fits[RELAY].faster
    faster = any(f is not None and f.faster for name, f in fits.items() if name != RELAY)
    return [*lines, ""], curves, faster and dimension.per_request and not relay_too


def pure_section(pure):
    lines, faster = ["## the pure parts", "Nanoseconds for one, with warm caches (`bench_micro`).", ""], False
    for what, points in pure.items():
        found = curve.fit([n for n, _ in points], [ns for _, ns in points])
        faster = faster or (found is not None and found.faster)
        figures = ", ".join(f"{n:,}: {ns:.0f}" for n, ns in points)
        lines.append(f"- {what}: {figures} – {found}")
    return [*lines, ""], faster


def report(args, measured, pure, about):
    """(text, {file name: plot}, whether something grows too fast)"""
    lines, plots, bad = [], {}, []
    for dimension in DIMENSIONS:
        if dimension.name not in measured:
            continue
        more, curves, faster = section(dimension, measured[dimension.name])
        lines += more
        bad += [dimension.name] if faster else []
        if any(len(points) > 1 for points in curves.values()):
            title = f"{dimension.unit} by the number of {dimension.says}"
            curves = {name: points for name, points in curves.items() if points}
            plots[dimension.name] = curve.plot(title, dimension.says, dimension.unit, curves)
    if pure:
        more, faster = pure_section(pure)
        lines += more
        bad += ["the pure parts"] if faster else []
    short = f"FASTER than log n grow: {', '.join(bad)}." if bad else "Per request nothing grows faster than log n."
    return "\n".join(["# How the cost of a request grows", "", short, "", *lines, heading(about), f"{about['placement']}; of *workers*: everything on any CPU"]), plots, bool(bad)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round up to 1000: does everything work")
    parser.add_argument("--only", help="names of dimensions with commas: "
                        + ", ".join([d.name for d in DIMENSIONS] + ["pure"]))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2, help="of each load")
    parser.add_argument("--rate", type=int, default=6000, help="requests/s of open loops")
    parser.add_argument("--most", type=int, default=10000, help="leave out larger numbers")
    parser.add_argument("--build", type=Path, default=ROOT / "build/release")
    parser.add_argument("--out", help="keep plots, table and figures in bench/results/ in any case, with this name")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds, args.most = 1, 0.5, min(args.most, 1000)
    args.only = set(args.only.split(",")) if args.only else None
    return args


def raise_descriptors(wanted):
    """A proxy has two sockets per connection. What the machine allows: with 20,000 there are 9,800 connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), max(hard, wanted)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def main():
    args = parse()
    allowed = (raise_descriptors(2 * max(TENS) + 400) - 400) // 2
    for dimension in DIMENSIONS:
        if dimension.name == "connections":
            dimension.counts = tuple(min(n, allowed) for n in dimension.counts)
    with tempfile.TemporaryDirectory(prefix="penstock-growth-") as directory:
        bench = Bench(args.build, directory, placement=Placement.of(None, 1))
        foreign, about = Foreign(bench), facts("bench/growth.py") | {"placement": bench.placement.says()}
        measured = {}
        for dimension in DIMENSIONS:
            if args.only is None or dimension.name in args.only:
                measured[dimension.name] = measure_dimension(bench, args, dimension)
        pure = measure_pure(bench) if args.only is None or "pure" in args.only else None
        about |= foreign.shares()
    text, plots, bad = report(args, measured, pure, about)
    print("\n" + text)
    if args.out or not (args.quick or args.only):
        everything = {"about": about, "measured": measured, "pure": pure}
        path = write_results(args.out or "growth", about, text, everything)
        for name, svg in plots.items():
            Path(f"{path}-{name}.svg").write_text(svg)
        print(f"written to {path}.md, .json and -*.svg")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
