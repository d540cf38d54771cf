"""The end-to-end suite: real Kafka, unmodified clients, and Penstock between them.

    python3 tests/e2e [--list] [--direct] [--strict] [--keep] [--connections N] [--counts FILE] [SCENARIO...]

--direct leaves Penstock out, and slows the producers to 1.5 times what the consumers can do: lag then grows without
bound, and the scenarios that bound it must fail. That is how the suite is tested itself.
"""

import argparse
import pathlib
import sys
import threading
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import scenarios  # noqa: E402
from harness import Context, say  # noqa: E402
from kafka import TELEMETRY, Cluster  # noqa: E402


def run_one(scenario, options, cluster, results, name=None):
    context = Context(name or scenario.name, options)
    begun = time.monotonic()
    say(scenario.name, "begins")
    try:
        scenario.run(context, cluster)
        if not context.checks:
            context.check("something was checked", False)
    except Exception as error:
        (context.folder / "traceback.txt").write_text(traceback.format_exc())
        context.check("ran to its end", False, f"{error!r:.600}")
    finally:
        context.finish()
    results.append((scenario, context, time.monotonic() - begun))


def run_together(batch, options, cluster):
    """Scenarios that leave each other's figures alone run at the same time on one cluster."""
    results = []
    threads = [threading.Thread(target=run_one, args=(scenario, options, cluster, results)) for scenario in batch]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def once_more(result, options, cluster):
    """Alone, and told beside the first time; fails if it fails again."""
    scenario, first, seconds = result
    again = []
    run_one(scenario, options, cluster, again, f"{scenario.name}-again")
    _, context, more = again[0]
    context.figures[:0] = [*(f"MEASURED AGAIN, because at first: {what}" for what in first.spoiled()),
                           *(f"at first: {line}" for line in first.figures)]
    return scenario, context, seconds + more


def run_batch(batch, options, cluster, fresh):
    """fresh(): another cluster of the same kind, for the topics of the first are used."""
    results = run_together(batch, options, cluster)
    if any(context.spoiled() for _, context, _ in results):
        cluster = fresh()
        results = [once_more(one, options, cluster) if one[1].spoiled() else one for one in results]
    return results


class Clusters:
    """One at a time."""
    current = None

    def start(self, shape):
        if self.current:
            self.current.stop()
        self.current = Cluster(*shape, settings=TELEMETRY) if shape else None
        return self.current and self.current.start()


def summary(results):
    print()
    print(f"{'scenario':<20} {'passed':>6} {'failed':>6} {'seconds':>8}")
    good = bad = 0
    for scenario, context, seconds in results:
        passed = sum(1 for _, ok, _ in context.checks if ok)
        failed = len(context.checks) - passed
        good, bad = good + passed, bad + failed
        print(f"{scenario.name:<20} {passed:>6} {failed:>6} {seconds:>8.0f}")
        for line in context.figures:
            print(f"    {line}")
        for what, ok, detail in context.checks:
            if not ok:
                print(f"    FAILED  {what}  {detail}")
        if failed:
            print(f"    logs: {context.folder}")
    print()
    return good, bad


def main():
    parser = argparse.ArgumentParser(prog="tests/e2e", description=__doc__.split("\n")[0])
    parser.add_argument("--list", action="store_true", help="the names of the scenarios")
    parser.add_argument("--direct", action="store_true", help="without Penstock, to see the scenarios fail")
    parser.add_argument("--strict", action="store_true", help="bounds of quality count too: for a machine at rest")
    parser.add_argument("--keep", action="store_true", help="keep the logs of what passed, too")
    parser.add_argument("--connections", type=int, default=40, help="of each kind in large_frames (default 40)")
    parser.add_argument("--keys", type=int, default=5000, help="of each codec in sampling (default 5000)")
    parser.add_argument("--counts", help="write 'PASSED FAILED' to this file")
    parser.add_argument("names", nargs="*", metavar="SCENARIO")
    options = parser.parse_args()
    if options.list:
        print("\n".join(scenario.name for scenario in scenarios.all_of_them()))
        return 0
    unknown = set(options.names) - {scenario.name for scenario in scenarios.all_of_them()}
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}: see --list")
    results, clusters, shape = [], Clusters(), None
    try:
        for wanted, batch in scenarios.batches(options.names):
            if wanted != shape:
                clusters.start(wanted)
            shape = wanted
            results += run_batch(batch, options, clusters.current, lambda: clusters.start(shape))
    finally:
        clusters.start(None)
    good, bad = summary(results)
    if options.counts:
        pathlib.Path(options.counts).write_text(f"{good} {bad}\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
