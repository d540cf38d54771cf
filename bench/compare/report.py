"""The tables of the comparison, and which of its claims hold. Everything is computed from the JSON that is kept."""

import statistics

from .contenders import GOVERNED, ONE_WORKER, PEER, TWO_WORKERS, YARDSTICK
from .latency import DIRECT
from .loads import WORKS
from .table import markdown, ratio, spread

QUANTILES = "p50", "p99", "p999", "max"
PER = {"gigabyte": ("CPU s/GB", lambda r: r["cpu_s"] / r["bytes"] * 1e9, "{:.3f}"),
       "request": ("CPU µs/request", lambda r: r["cpu_s"] / r["requests"] * 1e6, "{:.2f}")}
WORK = {work.name: work for work in WORKS}


class Report:
    """`data` is what a run has measured; see run.py."""

    def __init__(self, data):
        self.data = data
        self.names = [n for n in data["contenders"] if n not in (ONE_WORKER, TWO_WORKERS)]

    def results(self, name, load):
        """Of each round, if the contender had this load."""
        rounds = self.data["direct"] if name == DIRECT else self.data["contenders"].get(name, {"rounds": []})["rounds"]
        return [r[load] for r in rounds if load in r]

    def cost(self, name, load):
        return [PER[WORK[load].per][1](r) for r in self.results(name, load)]

    def cost_ratio(self, name, load, against):
        return ratio(self.cost(name, load), self.cost(against, load))

    def late(self, load, name, quantile):
        """Microseconds, of each window; `load` is "half" or "beside"."""
        return [r["latency_us"][quantile] for r in self.data[load].get(name, [])]

    def late_ratio(self, load, name, quantile):
        return ratio(self.late(load, name, quantile), self.late(load, YARDSTICK, quantile))

    # --- tables

    def has(self, load):
        return any(self.results(name, load) for name in self.names)

    def costs(self, loads):
        """A row for each contender: cost and ratios under each of the loads, and the speed of closed loops."""
        loads = [load for load in loads if self.has(load)]
        header = [""]
        for load in loads:
            header += [f"{load}: {PER[WORK[load].per][0]}", "×relay / ×HAProxy"]
        rows = []
        for name in self.names:
            if not any(self.results(name, load) for load in loads):
                continue
            cells = [name]
            for load in loads:
                cells.append(spread(self.cost(name, load), PER[WORK[load].per][2]))
                cells.append(" / ".join(number(self.cost_ratio(name, load, against)) for against in (YARDSTICK, PEER)))
            rows.append(cells)
        return markdown(header, rows) if loads else ""

    def speeds(self):
        """Closed loops: how much passes when generator, proxy and broker share the machine's cores."""
        loads = [load for load in ("produce", "mixed", "fetch", "fetch-large", "fetch-small", "pipelined") if self.has(load)]
        unit = {"gigabyte": ("GB/s", lambda r: r["mb_per_s"] / 1000, "{:.2f}"),
                "request": ("1000 requests/s", lambda r: r["requests_per_s"] / 1000, "{:.1f}")}
        header = [""] + [f"{load}: {unit[WORK[load].per][0]}" for load in loads]
        rows = []
        for name in [DIRECT, *self.names]:
            if not any(self.results(name, load) for load in loads):
                continue
            units = [unit[WORK[load].per] for load in loads]
            rows.append([name] + [spread([value(r) for r in self.results(name, load)], form)
                                  for load, (_, value, form) in zip(loads, units)])
        return markdown(header, rows) if loads else ""

    def latencies(self, load):
        """Times, what they are above those without a proxy, and their ratio to the yardstick's."""
        names = [name for name in [DIRECT, *self.names] if self.late(load, name, "p50")]
        header = ["", "p50 µs", "p99", "p99.9", "max", "added: p50", "p99", "p99.9", "×relay: p50", "p99", "p99.9"]
        rows = []
        for name in names:
            cells = [name] + [spread(self.late(load, name, q), "{:.0f}") for q in QUANTILES]
            for quantile in QUANTILES[:3]:
                pairs = zip(self.late(load, name, quantile), self.late(load, DIRECT, quantile))
                added = [a - b for a, b in pairs]
                cells.append("" if name == DIRECT or not added else f"{statistics.median(added):.0f}")
            cells += ["" if name == DIRECT else number(self.late_ratio(load, name, q)) for q in QUANTILES[:3]]
            rows.append(cells)
        return markdown(header, rows) if names else ""

    def memory(self):
        rows = [[name, f"{idle['idle_bytes'] / 1024:.1f}", f"{idle['rest_bytes'] / 2**20:.1f}"]
                for name in self.names if (idle := self.data["contenders"][name].get("idle"))]
        return markdown(["", "KiB/idle connection", "MiB at rest"], rows) if rows else ""

    def workers(self):
        rows = []
        for load in ("produce", "small", "pipelined"):
            if not self.results(TWO_WORKERS, load):
                continue
            speeds = [[r["requests_per_s"] for r in self.results(name, load)] for name in (TWO_WORKERS, ONE_WORKER)]
            rows.append([load, spread(self.cost(ONE_WORKER, load), "{:.3f}"), spread(self.cost(TWO_WORKERS, load), "{:.3f}"),
                         number(self.cost_ratio(TWO_WORKERS, load, ONE_WORKER)), number(ratio(*speeds))])
        return markdown(["Penstock policy", "1 worker: CPU", "2 workers: CPU", "ratio", "ratio of requests/s"],
                        rows) if rows else ""

    def calls(self, load):
        figures = {name: found[load] for name, found in self.data["syscalls"].items() if load in found}
        total = {name: sum(calls.values()) for name, calls in figures.items()}
        often = sorted({call for calls in figures.values() for call, n in calls.items() if n >= 0.01},
                       key=lambda call: -max(calls.get(call, 0) for calls in figures.values()))
        rows = [[name, f"{total[name]:.2f}"] + [f"{calls[c]:.2f}" if c in calls else "" for c in often]
                for name, calls in figures.items()]
        return markdown([f"{load}: calls per request", "all", *often], rows) if rows else ""

    # --- claims

    def claims(self):
        """(what, figure, bound, whether it holds) for all that was measured."""
        idle = self.data["contenders"].get(GOVERNED, {}).get("idle")
        rows = [("CPU per GB produced, an active policy, × HAProxy's", self.cost_ratio(GOVERNED, "produce", PEER), 0.85),
                ("the same × the relay's", self.cost_ratio(GOVERNED, "produce", YARDSTICK), 1.15),
                ("CPU per small request × HAProxy's", self.cost_ratio(GOVERNED, "small", PEER), 1.0)]
        rows.append(("CPU per GB fetched × per GB produced", ratio(self.cost(GOVERNED, "fetch"), self.cost(GOVERNED, "produce")),
                     1.0))
        if idle:
            rows += [("KiB per idle connection", idle["idle_bytes"] / 1024, 3.0),
                     ("MiB at rest", idle["rest_bytes"] / 2**20, 16.0)]
        for load, says in (("half", "at half of saturation"), ("beside", "beside a throttled topic")):
            rows += [(f"p50 {says} × the relay's", self.late_ratio(load, GOVERNED, "p50"), 1.2),
                     (f"p99.9 {says} × the relay's", self.late_ratio(load, GOVERNED, "p999"), 1.5)]
        rows.append(("CPU per small request of two workers × of one", self.cost_ratio(TWO_WORKERS, "small", ONE_WORKER), 1.05))
        return [(what, value, bound, value <= bound) for what, value, bound in rows if value is not None]

    def claims_table(self):
        rows = [[what, f"{value:.2f}", f"≤ {bound:.2f}", "holds" if holds else "**FAILS**"]
                for what, value, bound, holds in self.claims()]
        return markdown([GOVERNED, "measured", "bound", ""], rows) if rows else ""

    def text(self):
        data = self.data
        half = f"{data['saturation'] / 2:.0f}/s" if data.get("saturation") else "–"
        parts = [("What must hold", self.claims_table()),
                 ("CPU per gigabyte", self.costs(["produce", "mixed", "fetch", "fetch-large"])),
                 ("CPU per request", self.costs(["small", "pipelined", "fetch-small"])),
                 ("Throughput", self.speeds()),
                 (f"Latency at half of saturation ({half})", self.latencies("half")),
                 (f"Latency beside a throttled topic ({half})", self.latencies("beside")),
                 ("Memory", self.memory()),
                 ("Two workers", self.workers()),
                 ("System calls", "\n\n".join(t for t in (self.calls("small"), self.calls("produce")) if t))]
        texts = [f"## {title}\n\n{table}" for title, table in parts if table]
        return "\n\n".join(["# What Penstock costs", *texts] + data["absent"]) + "\n"


def number(value):
    return "–" if value is None else f"{value:.2f}"
