"""Line charts as inline SVG, drawn by pygal.

pygal writes a style sheet and a script into each drawing. Both are taken out: the page has one style sheet for all
charts, so that they follow dark and light, and no script at all. Each chart is drawn twice, for wide and for narrow
screens, since letters in an SVG shrink with it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any
from xml.etree import ElementTree

import pygal
from markupsafe import Markup
from pygal.style import Style

from copier.page.series import Points, short, thin, ticks, time_label, time_ticks

# pygal hooks into every later import for plugins that are not used here; in Python 3.11 each of them then warns.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != pygal.__name__]

_FONT_PX = 12
_SIZES = {"wide": (860, 250, 8, 240), "narrow": (360, 230, 4, 100)}
"""Width, height, most ticks of the time axis, most points of a line."""

_STYLE = Style(
    font_family="system-ui, sans-serif",
    label_font_size=_FONT_PX,
    major_label_font_size=_FONT_PX,
    colors=tuple(["currentColor"] * 8),
    value_colors=tuple(["currentColor"] * 8),  # else pygal computes them from colours it would have to know
)
_NUMBER = re.compile(r"-?\d+\.\d{2,}")


@dataclass(frozen=True, slots=True)
class Line:
    """One line: (seconds, value) points, None where there is no value."""

    name: str
    points: Points
    limit: bool = False
    """A target, drawn as such."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of figures over time."""

    id: str
    """Unique on the page; letters, digits and hyphens."""
    title: str
    unit: str
    lines: Sequence[Line]
    spikes: bool = False
    """A point that stands for many shows the highest of them, else their mean."""
    note: str = ""
    drawings: dict[str, Markup] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """Return what a reader who cannot see the chart should know."""
        return " ".join(map(self._told, self.lines))

    def _told(self, line: Line) -> str:
        values = [y for _, y in line.points if y is not None]
        if line.limit or not values:
            return f"{line.name}: {short(values[0])} {self.unit}." if values else f"{line.name}: nothing."
        return f"{line.name}: median {short(median(values))}, highest {short(max(values))} {self.unit}."


def draw(chart: Chart) -> Chart | None:
    """Return the chart with its drawings, None when there are too few points to draw one."""
    if not any(sum(y is not None for _, y in line.points) >= 2 for line in chart.lines if not line.limit):
        return None
    for size in _SIZES:
        chart.drawings[size] = _draw(chart, size)
    return chart


def _draw(chart: Chart, size: str) -> Markup:
    width, height, most_ticks, most_points = _SIZES[size]
    lines = [(one, thin(one.points, most_points, max if chart.spikes else _mean)) for one in chart.lines]
    times_s = [x for _, points in lines for x, _ in points]
    first_s, last_s = min(times_s), max(*times_s, min(times_s) + 0.001)
    highest = max((y for _, points in lines for _, y in points if y is not None), default=1.0)
    y_ticks, x_ticks = ticks(highest, 4), time_ticks(first_s, last_s, most_ticks)
    plot: Any = pygal.XY(
        width=width, height=height, style=_STYLE, js=(), css=(), explicit_size=False, show_legend=False,
        show_dots=False, allow_interruptions=True, no_prefix=True, margin=2, margin_right=14, spacing=6,
        range=(0, y_ticks[-1]), xrange=(first_s, last_s), disable_xml_declaration=True,
    )  # fmt: skip
    plot.x_labels = [{"value": x, "label": time_label(x, last_s)} for x in x_ticks]
    plot.y_labels = [{"value": y, "label": short(y)} for y in y_ticks]
    for one, points in lines:
        plot.add(one.name, points)
    plot.add_xml_filter(lambda root: _dress(root, chart, size))
    return Markup(plot.render(is_unicode=True))  # ElementTree has escaped every text in it


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _dress(root: ElementTree.Element, chart: Chart, size: str) -> ElementTree.Element:
    """Take out what the page must not have, and say what the drawing shows."""
    name = f"{chart.id}-{size}"
    # Texts of the axes only: a line's name is in the legend beside the drawing, pygal's tooltips need its script.
    for parent in list(root.iter()):
        for child in list(parent):
            if not isinstance(child.tag, str) or child.tag in ("script", "style", "desc", "title", "defs"):
                parent.remove(child)
    for one in root.iter("path"):
        one.set("d", _NUMBER.sub(lambda m: f"{float(m[0]):.1f}", one.get("d", "")))
    for n, line in enumerate(chart.lines):
        for group in (g for g in root.iter("g") if f"serie-{n} " in g.get("class", "")):
            group.set("class", f"series {'limit' if line.limit else f'line-{n}'}")
    root.attrib.pop("id", None)
    root.set("class", f"chart-drawing {size}")
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-t {name}-d")
    for tag, short_id, text in (("desc", "d", chart.summary), ("title", "t", f"{chart.title}, {chart.unit}")):
        element = ElementTree.Element(tag, {"id": f"{name}-{short_id}"})
        element.text = text
        root.insert(0, element)
    return root
