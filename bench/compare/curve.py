"""How something grows: the model that fits, in words, and a plot."""

import dataclasses
import math

FLAT = 1.25  # a figure that grows by less over its whole range than this does not grow: machines are not that quiet

MODELS = {  # of the part that depends on n
    "log n": math.log,
    "sqrt n": math.sqrt,
    "n": float,
}


@dataclasses.dataclass
class Fit:
    exponent: float  # of n, of the straight line through the logarithms
    times: float  # the last figure over the first
    model: str  # of MODELS, or "nothing"
    risen: float = 1.0  # the last figure over the least, or over the first where nothing falls
    log_risen: float = 1.0  # what log n would have

    @property
    def faster(self):
        """Than log n: another curve fits better, and it has grown by more than log n itself does from 2 on. A lookup that
        misses the caches at 10,000 and hit them at 1 is not of another order."""
        return self.model not in ("nothing", "log n") and self.risen > max(FLAT, self.log_risen)

    def __str__(self):
        if self.model == "nothing":
            words = "does not grow" if self.times > 1 / FLAT else "falls"
        else:
            words = "grows FASTER than log n, like " + self.model if self.faster else "grows no faster than log n"
        return f"{words} (×{self.times:.2f} over the range, exponent {self.exponent:+.3f})"


def line(xs, ys):
    """Slope and sum of squares of what is left, of the best straight line."""
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys)) / spread
    return slope, sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in zip(xs, ys))


def fit(counts, figures):
    """None if there are too few of them. Figures that fall at first, as what many share does, are fitted from their
    least on: a rise behind it counts."""
    if len(counts) < 2:
        return None
    exponent, _ = line([math.log(n) for n in counts], [math.log(y) for y in figures])
    times = figures[-1] / figures[0]
    least = figures.index(min(figures)) if times < 1.0 else 0
    counts, figures = counts[least:], figures[least:]
    if max(figures) / figures[0] < FLAT:
        return Fit(exponent, times, "nothing")
    left = {name: line([f(n) for n in counts], figures)[1] for name, f in MODELS.items()}
    log_risen = math.log(max(counts[-1], 2)) / math.log(max(counts[0], 2))
    model = min(left, key=left.get) if len(counts) > 2 else "n"
    return Fit(exponent, times, model, figures[-1] / figures[0], log_risen)


# --- plots -------------------------------------------------------------------------------------------------------

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 56, 34, 44, 48
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600; font-size: 14px }
.axis { stroke: #57606a } .grid { stroke: #d0d7de; stroke-dasharray: 2 3 } .line { fill: none; stroke-width: 2 }
.s0 { stroke: #0969da; color: #0969da } .s1 { stroke: #bc4c00; color: #bc4c00 } .s2 { stroke: #1a7f37; color: #1a7f37 }
.dot { fill: currentColor; stroke: none }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .axis { stroke: #8d96a0 } .grid { stroke: #3d444d }
.s0 { stroke: #4493f8; color: #4493f8 } .s1 { stroke: #f0883e; color: #f0883e }
.s2 { stroke: #3fb950; color: #3fb950 } }
"""


def decades(low, high):
    """Powers of ten around both."""
    return [10.0**e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


def steps(top):
    """Round numbers from 0 to a little above top, five or so."""
    size = 10 ** math.floor(math.log10(top))
    step = next(s for s in (size / 5, size / 2, size, size * 2) if top / s <= 6)
    return [i * step for i in range(math.ceil(top / step) + 1)]


def text(x, y, words, more=""):
    escaped = str(words).replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.0f}" y="{y:.0f}" {more}>{escaped}</text>'


def plot(title, x_says, y_says, series):
    """An SVG: a logarithmic x axis; y from 0, or logarithmic if the figures differ a lot. series: {name: [(n, low, middle, high)]}; at most three of them."""
    points = [p for values in series.values() for p in values]
    counts = sorted({p[0] for p in points})
    low, high = min(p[1] for p in points), max(p[3] for p in points)
    logarithmic = low > 0 and high / low > 20
    marks = decades(low, high) if logarithmic else steps(high)
    span = math.log(counts[-1] / counts[0]) or 1.0

    def x_of(n):
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(n / counts[0]) / span

    def y_of(value):
        part = math.log(value / marks[0]) / math.log(marks[-1] / marks[0]) if logarithmic else value / marks[-1]
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
           f"<style>{STYLE}</style>", text(LEFT, 20, title, 'class="title"')]
    for mark in marks:
        y = y_of(mark)
        kind = "axis" if mark == marks[0] else "grid"
        out.append(f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(text(LEFT - 8, y + 4, f"{mark:g}", 'text-anchor="end"'))
    for n in counts:
        out.append(text(x_of(n), HEIGHT - BOTTOM + 18, f"{n:,}", 'text-anchor="middle"'))
    out.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_says, 'text-anchor="middle"'))
    turned = f"translate(16 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)"
    out.append(text(0, 0, y_says, f'text-anchor="middle" transform="{turned}"'))
    for i, (name, values) in enumerate(series.items()):
        path = " ".join(f"{x_of(n):.1f},{y_of(middle):.1f}" for n, _, middle, _ in values)
        out.append(f'<g class="s{i}"><polyline class="line" points="{path}"/>')
        for n, low, middle, high in values:
            out.append(f'<line x1="{x_of(n):.1f}" x2="{x_of(n):.1f}" y1="{y_of(low):.1f}" y2="{y_of(high):.1f}"/>')
            out.append(f'<circle class="dot" cx="{x_of(n):.1f}" cy="{y_of(middle):.1f}" r="3.5"/>')
        legend = LEFT + i * 180
        out.append(f'<circle class="dot" cx="{legend + 6:.0f}" cy="33" r="4"/></g>')
        out.append(text(legend + 15, 37, name))
    return "\n".join([*out, "</svg>"]) + "\n"
