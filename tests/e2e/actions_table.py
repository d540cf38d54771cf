"""The stored results of ./run actions, and the page that is printed from them.

    python3 tests/e2e/actions_table.py            prints the table
    python3 tests/e2e/actions_table.py --write    writes docs/actions-measured.md, as actions.py does
    python3 tests/e2e/actions_table.py --check    fails if that page says anything else
"""

import datetime
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import KAFKA_VERSION, ROOT  # noqa: E402
from matrix_table import machine  # noqa: E402

RESULTS = ROOT / "tests/e2e/results/actions"
PAGE = ROOT / "docs/actions-measured.md"
HEAD = """# Actions, as measured

Every client under every action on a real Kafka ({kafka}): `./run actions`, one client at a time. Each cell is one topic with a policy of its own
and one producer (three where they queue). It is pressed hard for a third of the time, so that its ladder is climbed, then on and off at random.

A cell is **ok** if its producer was healthy to the end, each record that it offered has exactly one outcome, the topics hold what Penstock says they hold,
everything acknowledged is there once (but for what was sampled out or shed silently), in order where the client promises it, and an error came to the
application for each record that was shed, and for no other. The numbers are those of the records that something befell. **never** stands where
[the matrix](actions.md#the-matrix) forbids the action towards this client: it was not done, and the numbers are those of the next safer one.

"""
SHORT = {"h": "action hold", "s": "sampled_out", "d": "diverted", "x": "shed", "r": "rejected", "o": "over_limit"}
LEGEND = "s: sampled out, d: diverted, x: shed, r: rejected, o: let through over the limit; h: requests whose answer was held. " \
         "*not armed*: whoever rests for some seconds when refused saturates nothing in between, so the rung was not reached.\n"


def result(cells, seconds):
    """What became of the cells of one client."""
    return {"client": cells[0].client.name, "date": datetime.date.today().isoformat(), "machine": machine(),
            "kafka": KAFKA_VERSION, "seconds": seconds,
            "cells": {cell.action.name: {"allowed": cell.allowed, "armed": cell.armed, "outcomes": dict(cell.said),
                                         "acknowledged": cell.acked, "failed": cell.failed, "wrong": cell.wrong}
                      for cell in cells}}


def store(one):
    """Puts it in the place of what was known of that client."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{one['client']}.json").write_text(json.dumps(one, indent=1) + "\n")


def stored():
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]


def text(cell):
    if cell["wrong"]:
        return "**FAILED**"
    word = "never" if not cell["allowed"] else "ok" if cell["armed"] else "ok, *not armed*"
    counts = {short: cell["outcomes"].get(outcome, 0) for short, outcome in SHORT.items()}
    return word + "".join(f", {count:,} {short}" for short, count in counts.items() if count)


def table(results):
    """A row for each action, a column for each client."""
    names = list(dict.fromkeys(name for one in results for name in one["cells"]))
    rows = [["action", *(one["client"] for one in results)], ["---"] * (len(results) + 1)]
    rows += [[name, *(text(one["cells"][name]) if name in one["cells"] else "" for one in results)] for name in names]
    return "".join("| " + " | ".join(row) + " |\n" for row in rows) + "\n" + LEGEND


def runs(results):
    """When and where, and how much of it."""
    rows = [["client", "date", "machine", "pressure", "offered", "acknowledged"], ["---"] * 6]
    for one in results:
        cells = one["cells"].values()
        rows.append([one["client"], one["date"], one["machine"], f"{one['seconds']} s",
                     f"{sum(cell['outcomes'].get('offered', 0) for cell in cells):,}",
                     f"{sum(cell['acknowledged'] for cell in cells):,}"])
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def page():
    results = stored()
    kafka = ", ".join(sorted({one["kafka"] for one in results}))
    return HEAD.format(kafka=kafka) + table(results) + "\n" + runs(results)


def write_page():
    PAGE.write_text(page())


def main():
    if "--check" in sys.argv and PAGE.read_text() != page():
        print(f"{PAGE} is not what the stored results say: python3 tests/e2e/actions_table.py --write")
        return 1
    if "--write" in sys.argv:
        write_page()
    elif "--check" not in sys.argv:
        print(table(stored()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
