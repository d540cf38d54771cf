"""What the simulator predicts of a story: the same rows, from the same figures, for several seeds."""

import subprocess
import tempfile
from pathlib import Path

from curves import Row
from harness import BUILD, ROOT

PENSTOCK = BUILD / "release/penstock"


def scenario_of(story):
    return ROOT / f"sim/scenarios/story-{story.name}.yaml"


def rows_of(path):
    """Of a trace with several samples a second: the lag at the end of each second, the means of the rates within it."""
    raise NotImplementedError


def predict(story, seeds):
    """{seed: rows}"""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            trace = Path(folder) / f"{seed}.csv"
            subprocess.run([PENSTOCK, "simulate", scenario_of(story), "--seed", str(seed), "--trace", trace],
                           check=True, stdout=subprocess.DEVNULL)
            found[seed] = rows_of(trace)
    return found
