"""Bars with intervals: a panel for each measure, a bar for each system.

This module knows only the rows of `evaluation.compare.measures`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

PANELS_ACROSS = 3
PANEL_INCHES = (3.6, 0.8)  # and for each system
BAR_INCHES = 0.35
DOTS_PER_INCH = 120


def bars(rows: Mapping[str, Sequence[dict]], title: str, file: Path) -> None:
    """Write a PNG of the rows of each system, by its name; measures without numbers are left out.

    Shares have one scale, from 0 to 1; characters, sentences and CIDEr each their own.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    measures = [
        name
        for name in dict.fromkeys(row["measure"] for own in rows.values() for row in own)
        if any(_row(own, name) for own in rows.values())
    ]
    across = max(1, min(PANELS_ACROSS, len(measures)))
    down = max(1, math.ceil(len(measures) / across))
    width, height = PANEL_INCHES
    figure, panels = pyplot.subplots(
        down,
        across,
        figsize=(width * across, (height + BAR_INCHES * len(rows)) * down),
        squeeze=False,
        sharey=True,
        layout="constrained",
    )
    figure.suptitle(title)
    for panel in panels.flat[len(measures) :]:
        panel.axis("off")
    for panel, measure in zip(panels.flat, measures, strict=False):
        own = ((place, _row(each, measure)) for place, each in enumerate(rows.values()))
        found = {place: row for place, row in own if row}
        for place, row in found.items():
            value = row["value"]
            spread = [[max(0.0, value - row["low"])], [max(0.0, row["high"] - value)]]
            panel.barh(place, value, 0.7, xerr=spread, capsize=3, ecolor="dimgrey")
        panel.set_title(measure, fontsize=9)
        is_share = all(row["high"] <= 1 for row in found.values())
        panel.set_xlim(0, 1.02 if is_share else None)  # the last mark of an interval shows
        panel.tick_params(labelsize=8)
    first = panels[0, 0]
    first.set_yticks(range(len(rows)), list(rows))
    first.set_ylim(len(rows) - 0.4, -0.6)  # the first system is at the top
    figure.savefig(file, dpi=DOTS_PER_INCH)
    pyplot.close(figure)


def _row(rows: Sequence[dict], measure: str) -> dict | None:
    """The row of a measure that has a number and an interval."""
    found = next((row for row in rows if row["measure"] == measure), None)
    is_number = found and all(math.isfinite(found[key]) for key in ("value", "low", "high"))
    return found if is_number else None
