"""The stored results of the client matrix, and the table that is printed from them.

    python3 tests/e2e/matrix_table.py            prints it
    python3 tests/e2e/matrix_table.py --write    puts it into docs/compatibility.md, as matrix.py does
    python3 tests/e2e/matrix_table.py --check    fails if that page says anything else
"""

import datetime
import json
import os
import pathlib
import platform
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import clients  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "tests/e2e/results"
PAGE = ROOT / "docs/compatibility.md"
BEGIN, END = "<!-- matrix: begin -->\n", "<!-- matrix: end -->\n"

WHAT = {
    "acks_0": "produce, acks=0", "acks_1": "produce, acks=1", "acks_all": "produce, acks=all",
    "idempotent": "produce, idempotent", "txn_commit": "transaction, committed", "txn_abort": "transaction, aborted",
    "codec_none": "codec none", "codec_gzip": "codec gzip", "codec_snappy": "codec snappy", "codec_lz4": "codec lz4",
    "codec_zstd": "codec zstd", "size_1b": "records of 1 byte", "size_20mib": "a record of 20 MiB",
    "group_classic": "classic group, rebalanced", "group_consumer": "KIP-848 group, rebalanced",
    "group_share": "share group (KIP-932)", "admin": "administration", "streams_eos": "Streams, exactly_once_v2",
}
EXERCISES = list(WHAT)
# What a driver says of an exercise that came out well, and a reader should know.
REMARKS = {"admin": r".*(left out|lacks|not ).*", "streams_eos": r"kafka-streams \S+"}
CELLS = {"ok": "ok", "absent": "–", "broker": "broker", "FAILED": "**FAILED**"}


# --- storing ------------------------------------------------------------------------------------------------------

def store(server, name, result):
    """Puts the result of one client in the place of what was known of it on that server."""
    path = RESULTS / f"matrix-{server}.json"
    known = json.loads(path.read_text()) if path.exists() else {"server": server, "clients": {}}
    known["clients"][name] = {"date": datetime.date.today().isoformat(), "machine": machine(), **result}
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


def machine():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{os.cpu_count()} × {line.split(':')[1].strip()}, Linux {platform.release()}"
    return f"{os.cpu_count()} × {platform.machine()}"


def stored():
    """The servers, newest first."""
    found = [json.loads(path.read_text()) for path in RESULTS.glob("matrix-*.json")]
    return sorted(found, key=lambda one: [int(part) for part in one["server"].split(".")], reverse=True)


# --- printing -----------------------------------------------------------------------------------------------------

def row(*cells):
    return "| " + " | ".join(cells) + " |\n"


class Notes:
    """What cannot be said in a cell: each text once, under a number."""

    def __init__(self):
        self.texts = []

    def mark(self, text):
        if text not in self.texts:
            self.texts.append(text)
        return f"<sup>{self.texts.index(text) + 1}</sup>"

    def __str__(self):
        return "".join(f"{number}. {text}\n" for number, text in enumerate(self.texts, 1))


def cell(name, exercise, notes):
    if exercise is None:
        return ""
    text = CELLS[exercise["result"]]
    remark = exercise["result"] == "ok" and re.search(REMARKS.get(name, "$^"), exercise["detail"])
    if remark:
        text += notes.mark(remark[0])
    if exercise["result"] in ("broker", "FAILED"):
        text += notes.mark("`" + " ".join(exercise["detail"].replace("`", "'").replace("|", "/").split())[:300] + "`")
    return text


def table(one, order):
    clients = [(name, one["clients"][name]) for name in order if name in one["clients"]]
    notes = Notes()
    out = row("", *(client["version"] for _, client in clients)) + row("---", *("---" for _ in clients))
    for exercise in EXERCISES:
        out += row(WHAT[exercise], *(cell(exercise, client["exercises"].get(exercise), notes) for _, client in clients))
    figures = [client["compared"] for _, client in clients]
    out += row("connections compared", *(f"{f['connections']:,}" for f in figures))
    out += row("bytes to the broker", *(f"{f['bytes_up']:,}" for f in figures))
    out += row("bytes to the client", *(f"{f['bytes_down']:,}" for f in figures))
    out += row("answers compared", *(f"{f['answers']:,}" for f in figures))
    out += row("answers rewritten", *(f"{f['changed']:,}" for f in figures))
    out += row("other differences", *(str(len(client["wrong"])) for _, client in clients))
    dates = sorted({client["date"] for _, client in clients})
    machines = sorted({client["machine"] for _, client in clients})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return f"### Kafka {one['server']}\n\n{out}\n{notes}{chr(10) if notes.texts else ''}" \
        f"Measured {when} on {'; '.join(machines)}.\n"


def page_part():
    order = list(clients.CLIENTS)
    return "\n".join(table(one, order) for one in stored())


def pages():
    """docs/compatibility.md as it is, and as it should be."""
    page = PAGE.read_text()
    return page, page[:page.index(BEGIN)] + BEGIN + page_part() + page[page.index(END):]


def write_page():
    PAGE.write_text(pages()[1])


def main():
    if sys.argv[1:] == ["--write"]:
        write_page()
    elif sys.argv[1:] == ["--check"]:
        page, wanted = pages()
        if page != wanted:
            print("docs/compatibility.md is not what the stored results say: python3 tests/e2e/matrix_table.py --write")
            return 1
    else:
        print(page_part(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
