"""What matplotlib draws for strange scenes: shapes, lines and print, as arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch, Polygon, Rectangle
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

Colour = str | tuple[float, float, float]
_DPI = 100
# Of the fonts that come with matplotlib, those with letters; nano is trained with none of them.
FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSerif-Bold",
    "DejaVuSansMono", "DejaVuSansMono-Bold", "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic",
    "cmr10", "cmb10", "cmss10", "cmtt10",
)  # fmt: skip


class Painter:
    """Draws on axes in pixels, y downwards."""

    def __init__(self, axes: Axes):
        self.axes = axes

    def box(
        self, left: float, top: float, right: float, bottom: float, fill: Colour,
        edge: Colour | None = None,
    ) -> None:  # fmt: skip
        """A filled rectangle."""
        size = (right - left, bottom - top)
        self.axes.add_patch(Rectangle((left, top), *size, facecolor=fill, edgecolor=edge))

    def polygon(self, corners: np.ndarray, fill: Colour, edge: Colour, width: float) -> None:
        """A filled polygon with corners float[N, 2]."""
        self.axes.add_patch(Polygon(corners, facecolor=fill, edgecolor=edge, linewidth=width))

    def line(self, x: Sequence[float], y: Sequence[float], colour: Colour, width: float) -> None:
        """A line through points."""
        self.axes.add_line(Line2D(x, y, color=colour, linewidth=width))

    def words(self, x: float, y: float, text: str, size_px: float, colour: Colour) -> None:
        """Small print from a place on the baseline."""
        self.axes.text(x, y, text, fontsize=size_px * 72 / _DPI, color=colour)

    def outline(self, path: Outline, fill: Colour, edge: Colour, width: float) -> None:
        """A filled path, as of letters."""
        self.axes.add_patch(PathPatch(path, facecolor=fill, edgecolor=edge, linewidth=width))


def painted(width: int, height: int, paint: Callable[[Painter], None]) -> np.ndarray:
    """float32[height, width, 4] in [0, 1], colours times alpha: what `paint` draws on nothing."""
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="none")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    paint(Painter(axes))
    return _pixels(canvas)


def plotted(width: int, height: int, plot: Callable[[Axes], None]) -> np.ndarray:
    """float32[height, width, 3] in [0, 1]: a chart with axes on white."""
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    canvas = FigureCanvasAgg(figure)
    plot(figure.add_subplot())
    return _pixels(canvas)[..., :3]


def _pixels(canvas: FigureCanvasAgg) -> np.ndarray:
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba()).astype(np.float32) / 255
    pixels[..., :3] *= pixels[..., 3:]
    return pixels


def letters(text: str, font: str, capitals_px: float, degrees: float) -> tuple[Outline, float]:
    """The outlines of a text around (0, 0), y downwards, and its height before it was turned.

    Capitals are `capitals_px` high.
    """
    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font}.ttf"
    properties = FontProperties(fname=str(file))
    unit = TextPath((0, 0), "H", size=100, prop=properties).get_extents().height
    size = 100 * capitals_px / unit
    path = TextPath((0, 0), text, size=size, prop=properties)
    box = path.get_extents()
    middle = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    move = Affine2D().translate(-middle[0], -middle[1]).scale(1, -1).rotate_deg(degrees)
    return path.transformed(move), float(box.height)
