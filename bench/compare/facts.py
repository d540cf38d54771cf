"""What a reader must know to judge figures: when, where, which commit, which command."""

import datetime
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEASURED = ["protocol", "policy", "codec", "proxy", "include", "bench"]  # what makes the binaries that are measured


def git(*args):
    done = subprocess.run(["git", "-C", str(ROOT), *args], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def facts(script):
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    dirty = git("status", "--porcelain", "--", *MEASURED, ":!bench/results")
    return {
        "date": datetime.datetime.now().isoformat(timespec="seconds"),
        "commit": (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("-dirty" if dirty else ""),
        "command": " ".join([script] + sys.argv[1:]),
        "cpu": cpu.group(1) if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
    }


def heading(about):
    """The first lines below every table."""
    foreign = about.get("foreign_share")  # absent if it cannot be told from what is measured
    others = "" if foreign is None else f"Other work on this machine took {foreign:.1%} of its CPUs meanwhile. "
    warning = "\n**Too much else ran: these figures are not to be quoted.**" if (foreign or 0) > 0.1 else ""
    return f"""{about['date']} · commit {about['commit']} · `{about['command']}`
{about['cpu']}, {about['cores']} cores, Linux {about['kernel']}
{others}The host took {about['steal_share']:.1%} of them.{warning}
"""


def write_results(name, about, text, everything):
    """bench/results/DATE-COMMIT[-name].md and .json; the path without its ending."""
    stem = f"{about['date'][:10]}-{about['commit']}" + (f"-{name}" if name else "")
    path = ROOT / "bench/results" / stem
    path.parent.mkdir(exist_ok=True)
    Path(f"{path}.md").write_text(text)
    write_json(f"{path}.json", everything)
    return path


def write_json(path, everything):
    Path(path).write_text(json.dumps(everything, indent=1) + "\n")
