"""Figures as SVG: the same input gives the same bytes, in the page and as a file.

Figures are drawn in the light palette, one colour a role. In the page each of these colours
becomes a CSS variable, so that the dark palette and print need no second drawing; the file keeps
them as drawn. Points carry a title each, which browsers show on hover and screen readers read.
"""

import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK: Final = "#1c2128"
MUTED: Final = "#59636e"
GRID: Final = "#e3e6ea"
SURFACE: Final = "#fefefe"
TARGET: Final = "#1a7f37"
BAND: Final = "#dcf2e2"
GUIDE: Final = "#b4540a"
SERIES: Final = (
    "#3b3bb3",
    "#0a6fa8",
    "#00817a",
    "#5b7a00",
    "#a06a00",
    "#c2491d",
    "#b3305f",
    "#7a2f9e",
)
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")

VARIABLES: Final = MappingProxyType(
    {
        INK: "ink",
        MUTED: "muted",
        GRID: "grid",
        SURFACE: "surface",
        TARGET: "target",
        BAND: "band",
        GUIDE: "guide",
        **{color: f"s{index}" for index, color in enumerate(SERIES)},
    }
)

_SVG: Final = "http://www.w3.org/2000/svg"
_XLINK: Final = "http://www.w3.org/1999/xlink"
# What XML 1.0 cannot hold; a name in a table may have it.
_NO_CHARACTER: Final = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FONT: Final = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_STYLE: Final = MappingProxyType(
    {
        "svg.hashsalt": "sae-analysis",
        "svg.fonttype": "none",
        "text.parse_math": False,
        "font.family": "DejaVu Sans",
        "font.size": 12.5,
        "text.color": INK,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "axes.facecolor": SURFACE,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.unicode_minus": False,
        "axes.grid": True,
        "grid.color": GRID,
        "grid.linewidth": 0.8,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.minor.visible": False,
        "figure.facecolor": SURFACE,
        "legend.frameon": False,
        "legend.fontsize": 11.5,
        "lines.linewidth": 1.8,
    }
)

_WITHOUT_DATE: Final[Mapping[str, dict[str, str | None]]] = MappingProxyType(
    {"pdf": {"CreationDate": None, "Producer": None, "Creator": None}, "png": {"Software": None}}
)
FORMATS: Final = ("svg", *_WITHOUT_DATE)
"""What figures can be written as."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """A finished figure."""

    name: str
    """File name without ending, and prefix of the ids inside."""
    title: str
    """One line; heading in the page."""
    caption: str
    """What to see in it; also its text for those who cannot see it."""
    svg: str
    """SVG with colours as drawn."""
    figure: Figure
    """The matplotlib figure, for other formats."""

    def inline(self) -> str:
        """The SVG with colours as CSS variables, for the page."""
        return re.sub(
            "|".join(VARIABLES), lambda match: f"var(--{VARIABLES[match.group()]})", self.svg
        )

    def file(self) -> bytes:
        """The SVG as a file of its own."""
        return f'<?xml version="1.0" encoding="utf-8"?>\n{self.svg}\n'.encode()

    def export(self, kind: str) -> bytes:
        """The figure as `svg`, `pdf` or `png`; the same figure gives the same bytes."""
        if kind == "svg":
            return self.file()
        stream = io.BytesIO()
        with mpl.rc_context(dict(_STYLE)):  # pyright: ignore[reportArgumentType]
            self.figure.savefig(stream, format=kind, dpi=200, metadata=_WITHOUT_DATE[kind])
        return stream.getvalue()


@dataclass(frozen=True, kw_only=True, slots=True)
class Absent:
    """A figure or table that the data do not allow."""

    name: str
    """Its name."""
    title: str
    """What it would have shown."""
    reason: str
    """Why it is not there."""


@dataclass(slots=True)
class Canvas:
    """A figure being drawn, with the titles of its points."""

    figure: Figure
    """The matplotlib figure."""
    axes: Axes
    """Its only axes."""
    titles: dict[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """Titles of the points of each scatter, by its gid."""

    def scatter(
        self,
        x: Sequence[float],
        y: Sequence[float],
        titles: Sequence[str],
        *,
        color: str,
        marker: str = "o",
        hollow: bool = False,
    ) -> None:
        """Draws points, each with its title."""
        gid = f"points-{len(self.titles)}"
        self.titles[gid] = titles
        drawn = self.axes.scatter(
            x,
            y,
            s=38,
            marker=marker,
            facecolors=SURFACE if hollow else color,
            edgecolors=color if hollow else SURFACE,
            linewidths=1.2 if hollow else 0.8,
            zorder=4,
        )
        drawn.set_gid(gid)

    def legend_above(self, title: str | None = None, columns: int = 5) -> None:
        """A legend over the axes, where no point can be."""
        self.axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=columns,
            title=title,
            alignment="left",
            handletextpad=0.4,
            columnspacing=1.4,
            borderaxespad=0.2,
        )

    def finish(self, name: str, title: str, caption: str) -> Drawing:
        """Renders the figure."""
        stream = io.StringIO()
        with warnings.catch_warnings():
            # The page draws text with the browser's fonts, which have what matplotlib's lacks.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            self.figure.tight_layout(pad=0.6)
            self.figure.savefig(
                stream,
                format="svg",
                metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
            )
        svg = _tidy(stream.getvalue(), name, f"{title}. {caption}", self.titles)
        return Drawing(name=name, title=title, caption=caption, svg=svg, figure=self.figure)


@contextmanager
def canvas(width: float = 6.3, height: float = 4.7) -> Generator[Canvas]:
    """An empty figure in the report's style; everything is to be drawn inside the context.

    Args:
        width: Inches of 72 units, the page's pixels at full size.
        height: The same.
    """
    with mpl.rc_context(dict(_STYLE)):  # pyright: ignore[reportArgumentType]
        figure = Figure(figsize=(width, height))
        yield Canvas(figure=figure, axes=figure.add_subplot())


def series(value: int, values: Sequence[int]) -> tuple[str, str]:
    """Colour and marker of one of several series, spread over the palette.

    Args:
        value: The width.
        values: All widths of the group, in order, so that a width looks the same in all figures.
    """
    index, total = values.index(value), len(values)
    if total > len(SERIES):
        spread = index * len(SERIES) // total
    else:
        spread = round(index * (len(SERIES) - 1) / max(total - 1, 1))
    return SERIES[spread], MARKERS[index % len(MARKERS)]


def _tidy(svg: str, name: str, label: str, titles: Mapping[str, Sequence[str]]) -> str:
    """One figure's SVG with ids of its own, a label, and titles on its points."""
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", _XLINK)
    root = ET.fromstring(_readable(svg))
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    for element in root.iter():
        if element.get("id") in titles:
            _add_titles(element, titles[element.get("id", "")])
        _prefix(element, name)
    for key in ("width", "height"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-label", _readable(label))
    for line in root.iter():  # matplotlib indents nothing, but ends lines
        line.tail = None if (line.tail or "").isspace() else line.tail
        line.text = None if (line.text or "").isspace() else line.text
    return ET.tostring(root, encoding="unicode")


def _readable(text: str) -> str:
    """A text with a replacement character for what XML cannot hold."""
    return _NO_CHARACTER.sub("\ufffd", text)


def _add_titles(group: ET.Element, titles: Sequence[str]) -> None:
    points = group.findall(f".//{{{_SVG}}}use")
    for point, text in zip(points, titles, strict=True):
        ET.SubElement(point, f"{{{_SVG}}}title").text = _readable(text)


def _prefix(element: ET.Element, name: str) -> None:
    """Makes ids unique in a page with several figures."""
    for key, value in element.attrib.items():
        if key == "id":
            element.set(key, f"{name}-{value}")
        elif key == f"{{{_XLINK}}}href" and value.startswith("#"):
            element.set(key, f"#{name}-{value[1:]}")
        elif "url(#" in value:
            element.set(key, value.replace("url(#", f"url(#{name}-"))
        elif key == "style" and "font" in value:
            element.set(key, re.sub(r"font-family: [^;]+", f"font-family: {_FONT}", value))
