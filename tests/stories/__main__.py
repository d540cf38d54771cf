"""Stories on a real Kafka beside what the simulator predicts of them. See README.md.

Exit status 1: something measured is beyond the larger of 1.5 times and 10 points over what was predicted.
"""

import argparse
import os
import pathlib
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

import curves  # noqa: E402
import real  # noqa: E402
import simulated  # noqa: E402
from harness import ROOT, WORK, Context  # noqa: E402
from kafka import Cluster  # noqa: E402
from plot import plot  # noqa: E402
from stories import STORIES  # noqa: E402


def compare(context, story, measured, predicted):
    """Of the seeds the worst counts. Returns rows of the table."""
    of_seeds = [curves.figures(story, rows) for rows in predicted]
    for measure, value in curves.figures(story, measured).items():
        worst = max(figures[measure] for figures in of_seeds)
        allowed = curves.allowed(worst)
        ok = context.check(f"{measure} is what the simulator says", value <= allowed,
                           f"{value:.1f} %, predicted {worst:.1f} %, allowed {allowed:.1f} %")
        yield story.name, measure, worst, value, allowed, ok


def run(story, options, cluster, ready):
    """(rows of the table, whether all is well). ready: the barrier at which stories wait for each other."""
    context = Context(f"story-{story.name}", options)
    table = []
    try:
        predicted = simulated.predict(story, range(options.seed, options.seed + options.seeds))
        measured = real.play(context, cluster, story, ready)
        folder = ROOT / "docs" if options.record else WORK / "stories"
        curves.write(folder / "measured" / f"story-{story.name}.csv", story, measured)
        drawing = folder / "plots" / f"story-{story.name}.svg"
        drawing.parent.mkdir(parents=True, exist_ok=True)
        drawing.write_text(plot(story, measured, predicted))
        table = list(compare(context, story, measured, predicted))
    except Exception as error:
        ready.abort()
        (context.folder / "traceback.txt").write_text(traceback.format_exc())
        context.check("ran to its end", False, f"{error!r:.600}")
    finally:
        context.finish()
    return table, all(passed for _, passed, _ in context.checks)


class Busy:
    """How much of the machine was used meanwhile: where there was no rest, what was measured says little."""

    def __init__(self):
        self.begin()

    def begin(self):
        self._begun = self._read()

    @staticmethod
    def _read():
        ticks = [int(word) for word in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
        return sum(ticks), ticks[3] + ticks[4]  # idle, waiting for disks

    def share(self):
        (total0, idle0), (total1, idle1) = self._begun, self._read()
        return 100.0 * (1.0 - (idle1 - idle0) / (total1 - total0))


def show(table):
    print("\n| story | | predicted | measured | allowed | |\n|---|---|---|---|---|---|")
    for name, measure, worst, value, allowed, ok in table:
        print(f"| {name} | {measure} | {worst:.1f} % | {value:.1f} % | {allowed:.1f} % | {'ok' if ok else '**no**'} |")


def main():
    parser = argparse.ArgumentParser(prog="./run stories", description=__doc__.split("\n")[0])
    parser.add_argument("--list", action="store_true", help="the names of the stories")
    parser.add_argument("--seed", type=int, default=1, help="the first one of the simulator's seeds (1)")
    parser.add_argument("--seeds", type=int, default=10, help="how many of them (10)")
    parser.add_argument("--record", action="store_true", help="write curves and plots to docs/, not to build/e2e/stories/")
    parser.add_argument("--keep", action="store_true", help="keep the logs of what passed, too")
    parser.add_argument("names", nargs="*", metavar="STORY")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{story.name:<22} {story.about}" for story in STORIES))
        return 0
    chosen = [story for story in STORIES if not options.names or story.name in options.names]
    unknown = set(options.names) - {story.name for story in STORIES}
    if unknown:
        parser.error(f"no story {', '.join(sorted(unknown))}: see --list")
    options.direct = False
    os.environ["JAVA_TOOL_OPTIONS"] = "-XX:TieredStopAtLevel=1"  # programs of three minutes are not worth optimising
    cluster = Cluster(1, hops=True, owners=False).start()
    busy = Busy()
    try:
        with ThreadPoolExecutor(len(chosen)) as pool:
            ready = threading.Barrier(len(chosen), action=busy.begin)
            results = list(pool.map(lambda story: run(story, options, cluster, ready), chosen))
    finally:
        cluster.stop()
    show([row for table, _ in results for row in table])
    print(f"\nThe machine's {os.cpu_count()} CPUs were busy for {busy.share():.0f} % of the time.")
    return 0 if all(good for _, good in results) else 1


if __name__ == "__main__":
    sys.exit(main())
