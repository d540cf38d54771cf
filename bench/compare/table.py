"""From figures to ratios and a table. A figure is a list with one value per round."""

import statistics


def spread(values, form="{:.2f}"):
    """median (least-most)"""
    if not values:
        return "–"
    middle = form.format(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({form.format(min(values))}–{form.format(max(values))})"


def ratio(values, against):
    """The median of the ratios within each round; None if there are none."""
    pairs = [(a, b) for a, b in zip(values, against) if b]
    return statistics.median(a / b for a, b in pairs) if pairs else None


def markdown(header, rows):
    rows = [header, *rows]
    widths = [max(len(r[i]) for r in rows) for i in range(len(header))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(r, widths)) + " |" for r in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)
