#!/usr/bin/env python3
"""What Penstock costs beside proxies that only pass bytes on, and beside others that understand Kafka.

Starts the null broker, then each contender in turn, round after round, and drives the same loads through each. A
contender's CPU time is read from the scheduler's own accounting (nanoseconds, all threads) right before and after each
load. Tables come out: medians over the rounds, their spread, and ratios that are taken within a round before the
median is. See bench/README.md.
"""

import argparse
import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from compare import latency, peers, real, syscalls
from compare.contenders import (GOVERNED, PEER, TOPICS, YARDSTICK, Contender, everybody, relay, running, wait_policies)
from compare.facts import ROOT, facts, heading, write_json, write_results
from compare.loads import FETCH_BYTES, WORKS, Load, Scale, drive, drive_governed, saturation
from compare.processes import Bench, Failed, Foreign, Placement, Process, free_ports
from compare.latency import DIRECT
from compare.report import Report

TRACED = YARDSTICK, PEER, "Penstock observe", GOVERNED
LATER = {"half", "beside", "idle", "syscalls"}  # measurements that --loads can name besides the loads


class Progress:
    """Says what is being done, and how long the rest will take if it goes on like this."""

    def __init__(self, steps):
        self.steps, self.done, self.began = steps, 0, time.monotonic()

    def step(self, what):
        spent = time.monotonic() - self.began
        left = spent / self.done * (self.steps - self.done) if self.done >= 3 else None
        when = "" if left is None else f"about {left / 60:.0f} min left" if left > 90 else f"about {left:.0f} s left"
        print(f"{spent:6.0f} s  {what:<55} {when}", file=sys.stderr, flush=True)
        self.done += 1


class Comparison:
    """One run: what it is asked for, and what it has measured."""

    def __init__(self, bench, args):
        self.bench, self.args = bench, args
        self.scale = Scale(args.gigabytes, args.seconds, args.rate)
        self.brokers = {}  # number of topics: port
        self.contenders = [c for c in everybody(bench) if not args.only or c.name in args.only]
        self.works = [w for w in WORKS if self.wanted(w.name)]
        self.data = {"saturation": None, "direct": [], "half": {}, "beside": {}, "syscalls": {},
                     "contenders": {c.name: {"rounds": []} for c in self.contenders}}
        self.complaints = []
        late = self.wanted("half") + self.wanted("beside")
        later = len(self.lasting()) * self.wanted("idle") + len(self.traced()) * self.wanted("syscalls")
        self.progress = Progress(args.rounds * (bool(self.works) * (1 + len(self.contenders)) + late) + later)

    def wanted(self, load):
        return not self.args.loads or load in self.args.loads

    def attempt(self, contender, function, *args):
        """Runs it unless the contender has failed before; remembers a failure and goes on."""
        if contender.absence:
            return None
        try:
            return function(contender, *args)
        except (Failed, OSError) as error:
            contender.failure = str(error)
            print(f"    {contender.name}: {error}", file=sys.stderr)
            return None

    # --- one contender

    def broker(self, topics):
        """A null broker as a block of its own; `port` is where it listens."""
        port = free_ports(1)
        argv = [self.bench.tool("bench_null_broker"), "--listen", f"127.0.0.1:{port}", "--fetch-bytes", FETCH_BYTES]
        return Process([*argv, "--topics", topics], self.bench.directory, port, bench=self.bench)

    def warm_up(self, contender, proxy):
        if contender.warm_s and not self.args.quick:
            for options in (self.scale.small(self.args.rate, contender.warm_s), self.scale.produce(contender.share)):
                drive(self.bench, proxy.port, options)

    def round(self, contender):
        """All loads through one fresh process: a new layout in memory every round."""
        figures = {}
        with running(self.bench, contender, self.brokers[contender.topics]) as proxy:
            self.warm_up(contender, proxy)
            for work in self.works:
                if contender.loads and work.name not in contender.loads:
                    continue
                options = work.options(self.scale, contender.share)
                if contender.policies and not work.name.startswith("fetch"):
                    figures[work.name] = drive_governed(self.bench, proxy, contender.policies, options)
                else:
                    figures[work.name] = drive(self.bench, proxy.port, options, proxy)
        return figures

    def idle(self, contender):
        """Bytes at rest, with everything started that traffic starts; and bytes per connection that does nothing."""
        pause = 0.2 if self.args.quick else 1  # allocators give back with a delay
        with running(self.bench, contender, self.brokers[contender.topics]) as proxy:
            with Load(self.bench, proxy.port, ["--mode", "idle", "--connections", 10, "--topics", 16]) as few:
                few.ready()
                if contender.policies:
                    wait_policies(proxy, 1)
                time.sleep(pause)
                rest = proxy.rss()
                with Load(self.bench, proxy.port, ["--mode", "idle", "--connections", self.args.idle]) as many:
                    many.ready()
                    time.sleep(pause)
                    grown = proxy.rss() - rest
        return {"rest_bytes": rest, "idle_bytes": grown / self.args.idle}

    def lasting(self):
        """Those whose memory is measured."""
        return [c for c in self.contenders if not c.roams]

    def traced(self):
        return [c for c in self.contenders if c.name in TRACED]

    # --- all of them

    def measure_latency(self, number):
        for load in ("half", "beside"):
            if not self.wanted(load):
                continue
            self.progress.step(f"round {number}: latency, {load}")
            half, seconds, count = int(self.data["saturation"] / 2), self.args.window, self.args.windows
            there = [c for c in self.contenders if not c.absence and not c.roams]
            try:
                if load == "half":
                    found, late = latency.alone(self.bench, there, self.brokers, half, seconds, count)
                else:
                    found, late = latency.beside(self.bench, [c.name for c in there], half, seconds, count)
            except Failed as failure:
                self.complaints.append(f"Latency ({load}) FAILED: {failure}")
                continue
            for name, results in found.items():
                self.data[load].setdefault(name, []).extend(results)
            slow = {c.name for c in self.contenders if c.share < 1}
            for name, reason in late.items():
                verb = "cannot keep up" if name in slow else "FAILED"
                self.complaints.append(f"Latency ({load}), round {number}: {name} {verb}: {reason}")

    def find_saturation(self):
        """The rate of the latency loads: half of what the yardstick takes, the same for everybody in this run."""
        with running(self.bench, Contender(YARDSTICK, relay()), self.brokers[TOPICS]) as proxy:
            rates = sorted(saturation(self.bench, proxy.port, self.args.seconds / 2) for _ in range(3))
        self.data["saturation"] = rates[1]

    def measure_costs(self, number):
        self.progress.step(f"round {number}: {DIRECT}")
        self.data["direct"].append({w.name: drive(self.bench, self.brokers[TOPICS], w.options(self.scale, 1.0))
                                    for w in self.works})
        for contender in self.contenders:
            self.progress.step(f"round {number}: {contender.name}")
            figures = self.attempt(contender, self.round)
            if figures:
                self.data["contenders"][contender.name]["rounds"].append(figures)

    def measure(self):
        with contextlib.ExitStack() as stack:
            for topics in {TOPICS} | {c.topics for c in self.contenders}:
                self.brokers[topics] = stack.enter_context(self.broker(topics)).port
            if self.wanted("half") or self.wanted("beside"):
                self.find_saturation()
            for number in range(1, self.args.rounds + 1):
                if self.works:
                    self.measure_costs(number)
                self.measure_latency(number)
            for contender in self.lasting() if self.wanted("idle") else []:
                self.progress.step(f"{contender.name}, {self.args.idle} idle connections")
                self.data["contenders"][contender.name]["idle"] = self.attempt(contender, self.idle)
            for contender in self.traced() if self.wanted("syscalls") else []:
                self.progress.step(f"{contender.name}, traced")
                seconds = 0.5 if self.args.quick else 5
                self.data["syscalls"][contender.name] = self.attempt(
                    contender, lambda c: syscalls.measure(self.bench, c, self.brokers[c.topics], seconds)) or {}
        self.data["absent"] = [c.absence for c in self.contenders if c.absence] + self.complaints


# --- the command -------------------------------------------------------------------------------------------------


def explain(args, about, data):
    works = "\n".join(f"- *{w.name}*: {w.says}" for w in WORKS)
    others = ", ".join(f"{name} {version}" for name, version in about["peers"].items()) or "no other proxies"
    return f"""{heading(about)}{about['haproxy']}; {others}
{args.threads} thread(s) per relay, HAProxy and Penstock, the others as they come; {about['placement']}

{args.rounds} round(s), interleaved; medians (least–most); ratios are medians of the ratios within each round.
{args.gigabytes} GB a round of produce and fetch, {args.seconds} s of small, {args.seconds / 2} s of pipelined; Toxiproxy,
kafka-proxy and Kroxylicious a quarter of the bytes. *small* is {args.rate} requests/s; times count from when a request was due.
Latency: {args.windows} windows of {args.window} s a round, ratios within each window.
Idle: {args.idle} connections after one request each; at rest: ten.

{works}
"""


QUICK = {"rounds": 1, "gigabytes": 0.15, "seconds": 0.3, "windows": 1, "window": 0.3, "idle": 300}
FULL = {"rounds": 5, "gigabytes": 2.0, "seconds": 4.0, "windows": 4, "window": 1.0, "idle": 10000}


def names(text):
    return [name.strip() for name in text.split(",") if name.strip()]


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="a smoke test of a minute; its figures mean little")
    parser.add_argument("--only", type=names, metavar="NAME,...", help="contenders; the yardsticks for ratios are among them "
                        "only if they are named; parts of names do")
    parser.add_argument("--loads", type=names, metavar="NAME,...",
                        help=", ".join([w.name for w in WORKS] + sorted(LATER)))
    parser.add_argument("--rounds", type=int, help="default 5; quick 1")
    parser.add_argument("--gigabytes", type=float, help="per contender and round; default 2, quick 0.15")
    parser.add_argument("--seconds", type=float, help="of small requests; default 4, quick 0.3")
    parser.add_argument("--windows", type=int, help="of latency, per contender and round; default 4, quick 1")
    parser.add_argument("--window", type=float, help="seconds of each; default 1, quick 0.3")
    parser.add_argument("--rate", type=int, default=6000, help="small requests per second")
    parser.add_argument("--idle", type=int, help="idle connections; default 10000, quick 300")
    parser.add_argument("--threads", type=int, default=1, help="of HAProxy and Penstock; the relays have one")
    parser.add_argument("--cpus", metavar="OTHERS:CONTENDER", help="as in 0-2:3; default: the last one is the contender's, "
                        "generator and broker have the others; all: everything anywhere, which varies most")
    parser.add_argument("--kafka", action="store_true", help="instead: real Kafka and its ProducerPerformance")
    parser.add_argument("--codec", action="store_true", help="instead: sampling in every codec, on one core; 20 s")
    parser.add_argument("--build", type=Path, default=ROOT / "build/release", help="where the binaries are")
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    args = parser.parse_args()
    for name, value in (QUICK if args.quick else FULL).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    unknown = set(args.loads or []) - {w.name for w in WORKS} - LATER
    if unknown:
        parser.error(f"no load is called {', '.join(unknown)}")
    return args


def choose(args, bench):
    """Replaces parts of names by names."""
    if args.only:
        everyone = [c.name for c in everybody(bench)]
        exact = {name for name in args.only if name in everyone}
        args.only = {full for full in everyone for name in args.only
                     if full == name or (name not in exact and name.lower() in full.lower())}
        if not args.only:
            raise SystemExit(f"--only: there are {', '.join(everyone)}")


def raise_descriptors(args):
    """A proxy has two sockets per connection; HAProxy wants some more. Where the machine does not allow as many, there
    are fewer idle connections."""
    spare = 400
    wanted = 2 * args.idle + spare
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), max(hard, wanted)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        args.idle = min(args.idle, (hard - spare) // 2)


def all_facts(args):
    version = subprocess.run(["haproxy", "-v"], capture_output=True, text=True, check=False).stdout.split("\n")[0] \
        if shutil.which("haproxy") else "no HAProxy"
    return facts("bench/run.py") | {
        "haproxy": version,
        "peers": peers.versions(),
        "rounds": args.rounds,
        "placement": args.placement.says(),
        "threads": args.threads,
    }


def compare(bench, args):
    """(data, text): everything, against the null broker."""
    comparison = Comparison(bench, args)
    foreign = Foreign(bench)
    try:
        comparison.measure()
    except Failed as failure:
        raise SystemExit(f"without any proxy: {failure}") from failure
    data = {"about": all_facts(args) | foreign.shares()} | comparison.data
    return data, Report(data).text() + "\n" + explain(args, data["about"], data)


def compare_kafka(bench, args):
    """The same in front of a real Kafka."""
    records = int(args.gigabytes * 1e9 / real.RECORD)
    bench.placement = args.placement = Placement()  # Kafka takes what it gets, and so does all else
    progress = Progress(1 + args.rounds * (1 + len(real.entries())))
    foreign = Foreign(bench)
    results = real.measure(bench, args.rounds, records, progress.step)
    about = all_facts(args) | foreign.shares() | {"records": records}
    del about["foreign_share"]  # Kafka itself is most of it
    text = f"""{real.text(results)}
{heading(about)}{about['haproxy']}; Kafka 4.3.1, one broker; {args.threads} thread(s) per proxy

{args.rounds} round(s), interleaved; medians (least–most); ratios are medians of the ratios within each round.
ProducerPerformance: {records} records of 1 kB a round, batch.size 128 KiB, acks=1, 4 partitions. Broker, producer and proxy share the
machine's cores; GB are of the records' values.
"""
    return {"about": about, "kafka": results, "absent": []}, text


def measure_codec(args):
    """Sampling alone: no proxy, no network."""
    about = facts("bench/run.py")
    print(f"{about['date']} · commit {about['commit']}\n{about['cpu']}, {about['cores']} cores\n", flush=True)
    return subprocess.run([args.build / "bench/bench_codec"], check=False).returncode


def main():
    args = parse()
    if args.codec:
        return measure_codec(args)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that blocks end, and their children with them
    raise_descriptors(args)
    args.placement = Placement.of(args.cpus, args.threads)
    missing = [t for t in ("bench_null_broker", "bench_load", "bench_relay") if not (args.build / "bench" / t).exists()]
    if missing:
        raise SystemExit(f"{args.build}/bench has no {', '.join(missing)}: ./run build")
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as directory:
        bench = Bench(args.build, directory, args.threads, args.idle, args.placement)
        choose(args, bench)
        if args.kafka:
            data, text = compare_kafka(bench, args)
        else:
            peers.install([name for name in peers.VERSIONS if not args.only or name in {n.lower() for n in args.only}])
            data, text = compare(bench, args)
    print("\n" + text)
    if args.json:
        write_json(args.json, data)
    if not args.quick and not args.only and not args.loads:
        print(f"written to {write_results('kafka' if args.kafka else '', data['about'], text, data)}.md and .json")
    return 1 if any("FAILED" in line for line in data["absent"]) else 0


if __name__ == "__main__":
    sys.exit(main())
