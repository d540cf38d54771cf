"""What the simulator predicts of a story: rows of the same shape, of several seeds."""

import csv
import subprocess
import tempfile
from pathlib import Path

from curves import Row
from harness import BUILD, ROOT

PENSTOCK = BUILD / "release/penstock"
SCENARIOS = ROOT / "sim/scenarios/kafka.yaml"


def rows_of(path):
    with open(path) as file:
        return [Row(*(float(row[name]) for name in ("second", "lag", "admitted", "consumed")))
                for row in csv.DictReader(file)]


def predict(story, seeds):
    """[rows of each seed]"""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "curves.csv"

        def one(seed):
            subprocess.run([PENSTOCK, "simulate", "--scenario", story.name, "--controller", "drain",
                            "--seed", str(seed), "--csv", path, SCENARIOS], check=True, stdout=subprocess.DEVNULL)
            return rows_of(path)

        return [one(seed) for seed in seeds]
