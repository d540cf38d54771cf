"""What is compared: curves of one row per second, and the one formula that judges a measured and a simulated one alike."""

import csv
import dataclasses
import math

COLUMNS = ("t_s", "lag", "target", "admitted", "consumed", "offered")
# Measured may exceed predicted by half of it, or by so many points, whichever is more.
FACTOR, POINTS = 1.5, 10.0


@dataclasses.dataclass
class Row:
    """One second: the true lag at its end, and what was admitted and consumed within it."""
    t_s: float
    lag: float
    admitted: float
    consumed: float


def overshoot(rows, target, begin, end):
    """The highest lag of (begin, end] over the target, in percent of the target; never below 0."""
    return max(0.0, 100.0 * (max(row.lag for row in rows if begin < row.t_s <= end) / target - 1.0))


def ripple(rows, capacity, windows):
    """How unevenly records are admitted while nothing happens: the standard deviation of what is admitted per second, in
    percent of what the consumers can. Each window has a mean of its own, so that only what changes within one counts."""
    squares, count = 0.0, 0
    for begin, end in windows:
        inside = [row.admitted for row in rows if begin < row.t_s <= end]
        mean = sum(inside) / len(inside)
        squares += sum((admitted - mean) ** 2 for admitted in inside)
        count += len(inside)
    return 100.0 * math.sqrt(squares / count) / capacity


def figures(story, rows):
    """{measure: percent}, of a measured curve as of a simulated one."""
    found = {"overshoot before": overshoot(rows, story.target, 0, story.event_s)} if story.event_s else {}
    found["overshoot after" if story.event_s else "overshoot"] = overshoot(rows, story.target, story.event_s,
                                                                           story.seconds)
    found["ripple"] = ripple(rows, story.capacity, story.steady)
    return found


def allowed(predicted):
    return max(FACTOR * predicted, predicted + POINTS)


def write(path, story, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        for text in story.notes:
            file.write(f"# {text}\n")
        out = csv.writer(file, lineterminator="\n")
        out.writerow(COLUMNS)
        for row in rows:
            out.writerow([f"{row.t_s:g}", round(row.lag), round(story.target), round(row.admitted), round(row.consumed),
                          round(story.offered) if story.offered else ""])


def read(path):
    with open(path) as file:
        table = csv.DictReader(line for line in file if not line.startswith("#"))
        return [Row(*(float(row[name]) for name in ("t_s", "lag", "admitted", "consumed"))) for row in table]
