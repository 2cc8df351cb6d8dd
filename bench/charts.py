"""Bar charts as SVG that stands alone: no scripts, no fonts from elsewhere, readable on light and on dark pages.

Chart libraries put the date, random names, scripts or their own style sheet into the file; here equal figures must give
equal bytes, and a page on GitHub shows neither scripts nor fonts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as Xml

_WIDTH, _LABELS, _VALUES = 860, 250, 70
_BAR, _GAP, _TOP, _LEGEND = 18, 12, 44, 26
_COLOURS = ("#2f81f7", "#d9822b", "#3fa45b", "#8f6ed5")
_STYLE = (
    "text { font: 14px sans-serif; fill: #24292f } .title { font-weight: bold; font-size: 16px }"
    " @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } }"
)


def bars(
    title: str,
    labels: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    *,
    logarithmic: bool = True,
    unit: str = "",
) -> str:
    """Return horizontal bars, the first label on top; one colour a series, a legend where there are several."""
    group = _BAR * len(series) + _GAP
    legend = _LEGEND if len(series) > 1 else 0
    height = _TOP + group * len(labels) + legend
    root = Xml.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {_WIDTH} {height}", role="img")
    Xml.SubElement(root, "title").text = title
    Xml.SubElement(root, "style").text = _STYLE
    _text(root, 8, 24, f"{title} (logarithmic)" if logarithmic else title, **{"class": "title"})
    scale = _Scale([v for values in series.values() for v in values if v], logarithmic)
    for row, label in enumerate(labels):
        top = _TOP + row * group
        _text(root, _LABELS - 10, top + (group - _GAP) / 2 + 5, label, **{"text-anchor": "end"})
        for number, values in enumerate(series.values()):
            _bar(root, top + number * _BAR, scale, values[row], _COLOURS[number % len(_COLOURS)], unit)
    for number, name in enumerate(series if legend else ()):
        x = _LABELS + 150 * number
        _rectangle(root, x, height - 18, 12, 12, _COLOURS[number % len(_COLOURS)])
        _text(root, x + 18, height - 7, name)
    Xml.indent(root, " ")
    return Xml.tostring(root, encoding="unicode") + "\n"


class _Scale:
    """From a value to the length of its bar."""

    def __init__(self, values: Sequence[float], logarithmic: bool) -> None:
        self._most = max(values, default=1.0)
        # A bar of the smallest value must still be seen: the axis begins below it.
        self._least = min(values, default=1.0) / 2 if logarithmic else None
        self._pixels = _WIDTH - _LABELS - _VALUES

    def length(self, value: float) -> float:
        if self._least is None:
            return self._pixels * value / self._most
        return self._pixels * math.log(value / self._least) / math.log(self._most / self._least)


def _bar(root: Xml.Element, top: float, scale: _Scale, value: float | None, colour: str, unit: str) -> None:
    if not value:
        return
    length = max(1.0, scale.length(value))
    _rectangle(root, _LABELS, top + 1, length, _BAR - 2, colour)
    _text(root, _LABELS + length + 6, top + _BAR - 4, f"{value:.3g}{unit}")


def _rectangle(root: Xml.Element, x: float, y: float, width: float, height: float, colour: str) -> None:
    places = {"x": x, "y": y, "width": width, "height": height}
    Xml.SubElement(root, "rect", {**{k: f"{v:g}" for k, v in places.items()}, "fill": colour})


def _text(root: Xml.Element, x: float, y: float, text: str, **attributes: str) -> None:
    Xml.SubElement(root, "text", {"x": f"{x:g}", "y": f"{y:g}", **attributes}).text = text
