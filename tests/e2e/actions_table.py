"""The results of ./run actions, and the table that is printed from them into docs/actions-measured.md."""

import datetime
import pathlib

from harness import KAFKA_VERSION
from matrix_table import machine

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs/actions-measured.md"
HEAD = """# Actions, as measured

Every client under every action on Apache Kafka {kafka}, {date}, {machine}: `./run actions --seconds {seconds}`. One topic, one
policy and one producer for each cell; pressure is switched on and off at random for {seconds} s. A cell is **ok** if its producer was healthy to the end, each
record that it offered has exactly one outcome, the topics hold what Penstock says they hold, everything acknowledged is there once (but
for what was sampled out or shed silently), in order where the client promises it, and an error came to the application for each record that
was shed, and for no other. The number is that of the records which the action took. **never** stands where the matrix forbids the action towards this
client: it was not done, the next safer one was, and the number is what that one took (r: rejected, o: let through over the limit).

"""


def results(cells, seconds):
    return {"date": datetime.date.today().isoformat(), "machine": machine(), "kafka": KAFKA_VERSION, "seconds": seconds,
            "cells": [{"client": cell.client.name, "action": cell.action.name, "allowed": cell.allowed, "armed": cell.armed,
                       "outcomes": dict(cell.said), "acknowledged": cell.acked, "failed": cell.failed,
                       "wrong": cell.wrong} for cell in cells]}


def text(cell):
    said = cell["outcomes"]
    if cell["wrong"]:
        return "**FAILED**"
    taken = {short: said.get(outcome, 0) for short, outcome in
             (("s", "sampled_out"), ("d", "diverted"), ("x", "shed"), ("r", "rejected"), ("o", "over_limit"))}
    if not cell["allowed"]:
        return "never" + "".join(f" {taken[short]:,} {short}" for short in ("r", "o") if taken[short])
    if not cell["armed"]:
        return "ok, not armed"
    return "ok" + "".join(f" {count:,} {short}" for short, count in taken.items() if count)


def table(results):
    actions = list(dict.fromkeys(cell["action"] for cell in results["cells"]))
    clients = list(dict.fromkeys(cell["client"] for cell in results["cells"]))
    at = {(cell["client"], cell["action"]): cell for cell in results["cells"]}
    rows = [["client", *actions], ["---"] * (len(actions) + 1)]
    rows += [[client, *(text(at[client, action]) if (client, action) in at else "" for action in actions)]
             for client in clients]
    offered = sum(cell["outcomes"].get("offered", 0) for cell in results["cells"])
    acked = sum(cell["acknowledged"] for cell in results["cells"])
    return "".join("| " + " | ".join(row) + " |\n" for row in rows) + \
        f"\ns: sampled out, d: diverted, x: shed, r: rejected, o: let through over the limit. " \
        f"{offered:,} records offered, {acked:,} acknowledged.\n"


def write_page(results):
    PAGE.write_text(HEAD.format(**results) + table(results))
