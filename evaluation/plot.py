"""Measures of several systems as bars with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


def draw(columns: Mapping[str, Sequence[dict]], path: Path) -> None:
    """A PNG of the measures that lie between 0 and 1; `columns` are the rows of each system."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    first = next(iter(columns.values()))
    measures = [row["measure"] for row in first if 0 <= row["value"] <= 1]
    figure = Figure(figsize=(7, 0.6 + 0.25 * len(measures) * (len(columns) + 1)), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    thickness = 1 / (len(columns) + 1)
    for number, (name, rows) in enumerate(columns.items()):
        by_measure = {row["measure"]: row for row in rows}
        chosen = [by_measure[each] for each in measures]
        values = [row["value"] for row in chosen]
        # A rate of an interval may be rounded past its value.
        around = [
            [max(row["value"] - row["low"], 0) for row in chosen],
            [max(row["high"] - row["value"], 0) for row in chosen],
        ]
        places = [place + number * thickness for place in range(len(measures))]
        axes.barh(places, values, thickness, xerr=around, capsize=2, label=name)
    middle = thickness * (len(columns) - 1) / 2
    axes.set_yticks([place + middle for place in range(len(measures))], measures)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
