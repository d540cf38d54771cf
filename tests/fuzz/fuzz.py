"""Runs every fuzz driver of build/fuzz on two cores for some time altogether, and tells what that did.

    fuzz.py SECONDS

Found inputs stay in build/fuzz/corpus; tests/fuzz/README.md says how they become part of the committed ones. The first
finding ends everything: its input is kept, and the command that replays it is printed.
"""

import os
import pathlib
import re
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/fuzz"
FOUND = BUILD / "corpus"
COMMITTED = ROOT / "tests/fuzz/corpus"
LANES = 2
WEIGHTS = {"session": 5, "walk": 2, "rewrite": 2}  # the others: 1
PROGRESS = 30  # seconds between two lines of progress
LIMITS = ["-timeout=20", "-rss_limit_mb=4096"]
STATUS = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)/\S+ (?:.*?)exec/s: (\d+)")
RUNS = re.compile(r"stat::number_of_executed_units: (\d+)")
ARTIFACT = re.compile(r"Test unit written to (\S+)")


class Driver:
    def __init__(self, path):
        self.path = path
        self.name = path.name.removeprefix("fuzz_")
        self.weight = WEIGHTS.get(self.name, 1)
        self.runs = self.seconds = 0
        self.status = None  # edges, features, inputs, executions a second: of the last line

    def folders(self):
        folders = [FOUND / self.name, COMMITTED / self.name]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        return folders

    def log(self, lane):
        return BUILD / f"fuzz-{self.name}-{lane}.log"

    def read(self, log):
        """Takes in the figures of a log; returns its text."""
        text = log.read_text(errors="replace")
        found = STATUS.findall(text)
        if found:
            self.status = tuple(int(figure) for figure in found[-1])
        return text


def drivers():
    found = [Driver(path) for path in sorted((BUILD / "tests/fuzz").glob("fuzz_*"))
             if path.is_file() and os.access(path, os.X_OK)]
    if not found:
        sys.exit("no fuzz drivers were built")
    return sorted(found, key=lambda driver: -driver.weight)


def lanes(all_drivers, seconds):
    """Shares the time by weight: [(driver, seconds), ...] for each lane. Who does not fit into what is left of one lane
    goes on in the next one, where he comes first: so no driver runs twice at a time, and all lanes end together."""
    unit = LANES * seconds / sum(driver.weight for driver in all_drivers)
    shared = [[] for _ in range(LANES)]
    lane, left = 0, float(seconds)
    for driver in all_drivers:
        wanted = min(driver.weight * unit, seconds)
        while wanted > 1e-6 and lane < LANES:
            part = min(wanted, left)
            shared[lane].append((driver, part))
            wanted, left = wanted - part, left - part
            if left < 1e-6:
                lane, left = lane + 1, float(seconds)
    return shared


class Fuzzing:
    def __init__(self):
        self.failed = threading.Event()
        self.running = {}  # lane: (driver, process, log)
        self.finding = None
        self.lock = threading.Lock()

    def lane(self, number, plan):
        for driver, seconds in plan:
            if self.failed.is_set():
                return
            log = driver.log(number)
            command = [driver.path, f"-max_total_time={max(round(seconds), 1)}", "-print_final_stats=1", *LIMITS,
                       f"-artifact_prefix={BUILD}/{driver.name}-", *driver.folders()]
            dictionary = ROOT / f"tests/fuzz/{driver.name}.dict"
            if dictionary.exists():
                command.insert(1, f"-dict={dictionary}")
            begun = time.monotonic()
            with log.open("wb") as sink:
                process = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT, cwd=ROOT)
                with self.lock:
                    self.running[number] = (driver, process, log)
                code = process.wait()
            with self.lock:
                del self.running[number]
            driver.seconds += time.monotonic() - begun
            text = driver.read(log)
            driver.runs += sum(int(runs) for runs in RUNS.findall(text))
            if code != 0 and not self.failed.is_set():
                self.finding = (driver, log, text)
                self.failed.set()
                self.stop()

    def stop(self):
        with self.lock:
            for _, process, _ in self.running.values():
                process.terminate()

    def progress(self, begun):
        with self.lock:
            running = list(self.running.values())
        for driver, _, log in running:
            driver.read(log)
            if driver.status:
                edges, features, inputs, speed = driver.status
                print(f"{time.monotonic() - begun:6.0f} s  {driver.name:<10} {speed:>7}/s  {edges} edges, "
                      f"{features} features, {inputs} inputs", flush=True)

    def run(self, plans):
        begun = time.monotonic()
        threads = [threading.Thread(target=self.lane, args=(number, plan)) for number, plan in enumerate(plans)]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                until = time.monotonic() + PROGRESS
                for thread in threads:
                    thread.join(max(until - time.monotonic(), 0))
                if any(thread.is_alive() for thread in threads):
                    self.progress(begun)
        except KeyboardInterrupt:
            self.failed.set()
            self.stop()
            raise


def tell_finding(driver, log, text):
    print(text[-6000:])
    found = ARTIFACT.findall(text)
    print(f"\nFINDING in {driver.name}: the whole log is {log}")
    for path in found:
        print(f"input:   {path}\nreplay:  {driver.path} {path}")


def tell(all_drivers):
    print(f"\n{'driver':<12} {'seconds':>8} {'executions':>12} {'per second':>11} {'edges':>7} {'features':>9} "
          f"{'inputs':>7}")
    for driver in all_drivers:
        edges, features, inputs, _ = driver.status or (0, 0, 0, 0)
        print(f"{driver.name:<12} {driver.seconds:>8.0f} {driver.runs:>12} "
              f"{driver.runs / max(driver.seconds, 1):>11.0f} {edges:>7} {features:>9} {inputs:>7}")
    print(flush=True)


def main():
    if len(sys.argv) != 2 or not sys.argv[1].isdigit() or int(sys.argv[1]) == 0:
        sys.exit(__doc__)
    all_drivers = drivers()
    fuzzing = Fuzzing()
    fuzzing.run(lanes(all_drivers, int(sys.argv[1])))
    tell(all_drivers)
    if fuzzing.finding:
        tell_finding(*fuzzing.finding)
        return 1
    print("nothing was found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
