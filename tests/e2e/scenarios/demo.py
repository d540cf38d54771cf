"""The demonstration that a newcomer sees first, from the release build."""

import json
import subprocess

from harness import BUILD
from scenarios import scenario


@scenario(batch="apart")
def demo(context, _):
    path = context.folder / "demo.json"
    done = subprocess.run([BUILD / "release/penstock", "demo", "--seconds", "30", "--json", path], timeout=120,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    (context.folder / "demo.out").write_text(done.stdout + done.stderr)
    if not context.check("exit 0", done.returncode == 0, done.stderr[-500:] if done.returncode else ""):
        return
    told = json.loads(path.read_text())
    free, held, target = told["uncontrolled"], told["controlled"], told["target"]
    context.check("without: lag far beyond the target", free["lag_peak"] > 2 * target, f"{free['lag_peak']:.0f}")
    context.check("without: records are lost unread", free["records_lost"] > 0, free["records_lost"])
    context.measure("with: lag about its target", held["lag_mean_abs_error"] <= 0.5 and held["lag_peak"] <= 2 * target,
                    held["lag_mean_abs_error"])
    context.quality("with: lag within 20 % of the target", held["lag_mean_abs_error"] <= 0.2, held["lag_mean_abs_error"])
    context.measure("with: consumers work", held["consumer_utilisation"] >= 0.7, held["consumer_utilisation"])
    context.quality("with: consumers at least 95 % busy", held["consumer_utilisation"] >= 0.95,
                    held["consumer_utilisation"])
    context.check("with: nothing is lost", held["records_lost"] == 0, held["records_lost"])
    context.figure(f"target {target}; without: peak {free['lag_peak']:.0f}, lost {free['records_lost']}; with: peak "
                   f"{held['lag_peak']:.0f}, mean error {held['lag_mean_abs_error']:.3f}, busy "
                   f"{held['consumer_utilisation']:.3f}")
