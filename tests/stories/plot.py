"""The plot of a story: what was measured over the band of what was predicted, lag above and admitted records below."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))
from compare.curve import steps, text  # noqa: E402

WIDTH, LEFT, RIGHT, TOP = 760, 70, 16, 62
LAG_HEIGHT, RATE_HEIGHT, GAP, BOTTOM = 230, 150, 40, 40
HEIGHT = TOP + LAG_HEIGHT + GAP + RATE_HEIGHT + BOTTOM
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600; font-size: 14px }
.axis { stroke: #57606a } .grid { stroke: #d0d7de; stroke-dasharray: 2 3 } .event { stroke: #57606a; stroke-dasharray: 5 3 }
.measured { fill: none; stroke: #bc4c00; stroke-width: 1.8 } .band { fill: #0969da; fill-opacity: .28; stroke: #0969da;
stroke-opacity: .6; stroke-width: .6 } .target { stroke: #1a7f37 } .limit { stroke: #cf222e } .note { font-size: 11px }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .axis, .event { stroke: #8d96a0 } .grid { stroke: #3d444d } .measured { stroke: #f0883e }
.band { fill: #4493f8; stroke: #4493f8 } .target { stroke: #3fb950 } .limit { stroke: #f85149 } }
"""


class Panel:
    """A rectangle with time to the right and a quantity from 0 upwards."""

    def __init__(self, y, height, seconds, top, says):
        self.y, self.height, self.seconds, self.says = y, height, seconds, says
        self.marks = steps(top)

    def at(self, t, value):
        x = LEFT + (WIDTH - LEFT - RIGHT) * t / self.seconds
        return f"{x:.1f},{self.y + self.height * (1 - value / self.marks[-1]):.1f}"

    def across(self, kind, value):
        (x0, y), (x1, _) = (self.at(t, value).split(",") for t in (0, self.seconds))
        return f'<line class="{kind}" x1="{x0}" x2="{x1}" y1="{y}" y2="{y}"/>'

    def frame(self):
        for mark in self.marks:
            yield self.across("grid" if mark else "axis", mark)
            yield text(LEFT - 8, float(self.at(0, mark).split(",")[1]) + 4, f"{mark:,.0f}", 'text-anchor="end"')
        yield text(LEFT, self.y - 8, self.says)

    def line(self, points):
        return f'<polyline class="measured" points="{" ".join(self.at(*point) for point in points)}"/>'

    def band(self, curves):
        """Between the least and the greatest of several curves of equal instants."""
        low = [(t, min(curve[i][1] for curve in curves)) for i, (t, _) in enumerate(curves[0])]
        high = [(t, max(curve[i][1] for curve in curves)) for i, (t, _) in enumerate(curves[0])]
        return f'<polygon class="band" points="{" ".join(self.at(*point) for point in high + low[::-1])}"/>'


def curve(rows, name):
    return [(row.t_s, getattr(row, name)) for row in rows]


def plot(story, measured, predicted):
    """An SVG. predicted: rows of each seed."""
    everything = [measured, *predicted]
    lag = Panel(TOP, LAG_HEIGHT, story.seconds, max(story.limit, *(row.lag for rows in everything for row in rows)),
                "true lag, records")
    rate = Panel(TOP + LAG_HEIGHT + GAP, RATE_HEIGHT, story.seconds,
                 max(row.admitted for rows in everything for row in rows if row.t_s > 5), "admitted, records/s")
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
           f"<style>{STYLE}</style>", text(LEFT, 20, f"{story.name}: {story.about}", 'class="title"'),
           f'<polyline class="measured" points="{WIDTH - 330},40 {WIDTH - 306},40"/>', text(WIDTH - 300, 44, "measured"),
           f'<rect class="band" x="{WIDTH - 220}" y="34" width="24" height="12"/>',
           text(WIDTH - 190, 44, f"simulated, {len(predicted)} seeds")]
    for panel, name in ((lag, "lag"), (rate, "admitted")):
        clip = f'<clipPath id="{name}"><rect x="{LEFT}" y="{panel.y}" width="{WIDTH - LEFT - RIGHT}" ' \
               f'height="{panel.height}"/></clipPath>'
        out += [*panel.frame(), clip, f'<g clip-path="url(#{name})">', panel.band([curve(r, name) for r in predicted]),
                panel.line(curve(measured, name)), "</g>"]
        for event in story.events:
            x, y = panel.at(event.at_s, 0).split(",")
            out.append(f'<line class="event" x1="{x}" x2="{x}" y1="{panel.y}" y2="{y}"/>')
    for i, event in enumerate(story.events):
        out.append(text(float(lag.at(event.at_s, 0).split(",")[0]) + 4, TOP + 12 + 14 * i, event.says, 'class="note"'))
    out += [lag.across("target", story.target), lag.across("limit", story.limit)]
    for name, value in (("target", story.target), ("limit", story.limit)):
        y = float(lag.at(0, value).split(",")[1])
        out.append(text(WIDTH - RIGHT - 4, y - 4, name, 'text-anchor="end" class="note"'))
    for second in range(0, int(story.seconds) + 1, 10 if story.seconds <= 130 else 20):
        x = float(rate.at(second, 0).split(",")[0])
        out.append(text(x, HEIGHT - BOTTOM + 16, second, 'text-anchor="middle"'))
    out.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "seconds", 'text-anchor="middle"'))
    return "\n".join([*out, "</svg>"]) + "\n"
