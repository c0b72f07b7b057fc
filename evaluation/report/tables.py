"""Scores as tables for a terminal or for Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

_LANGUAGE = re.compile(r"caption [a-z]{2,3}$")


def has_goal(row: dict) -> bool:
    """Whether a row is one of the main ones: it has a goal, and is not of a single language."""
    return row["needed"] is not None and not _LANGUAGE.match(row["task"])


def tables(scores: dict, markdown: bool = False, needed_only: bool = False) -> str:
    """All that `evaluation.evaluate` found: about the run, by task, by art style.

    `needed_only` leaves out the measures that have no goal, single languages and the art styles.
    """
    about = (
        f"{scores['checkpoint']}: {scores['prompts']} prompts on {scores['scenes']} scenes from "
        f"seed {scores['first_seed']} on, {scores['resolution']} px, greedy, {scores['dtype']} on "
        f"{scores['device']} ({scores['machine']})"
    )
    rows = [
        (
            row["task"],
            row["measure"],
            _number(row["value"]),
            f"{_number(row['low'])}–{_number(row['high'])}",
            str(row["count"]),
            _verdict(row),
        )
        for row in scores["rows"]
        if not needed_only or has_goal(row)
    ]
    head = ("task", "measure", "value", "95 % interval", "n", "needed")
    tail = (
        f"boxes or masks that make no sense: {scores['invalid_objects']}; labels that are no "
        f"object of the scenes: {scores['unknown_labels']}; answers cut off: {scores['cut_off']}"
    )
    parts = [about, table(head, rows, markdown)]
    if not needed_only:
        parts.append(styles_table(scores["styles"], markdown))
    return "\n\n".join([*parts, tail])


def styles_table(rows: Sequence[dict], markdown: bool = False) -> str:
    """One line per measure, one column per art style, with the number of items."""
    styles = list(dict.fromkeys(row["style"] for row in rows))
    cells = {(row["task"], row["style"]): row for row in rows}
    lines = []
    for task in dict.fromkeys(row["task"] for row in rows):
        found = [cells.get((task, style)) for style in styles]
        lines.append((task, *(f"{_number(r['value'])} ({r['count']})" if r else "" for r in found)))
    return table(("by art style", *styles), lines, markdown)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], markdown: bool) -> str:
    """A table with columns of even width; Markdown puts bars between them."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        return f"| {' | '.join(padded)} |" if markdown else "  ".join(padded).rstrip()

    return "\n".join([line(head), line(["-" * width for width in widths]), *map(line, rows)])


def wrong_answers(scores: dict, count: int) -> str:
    """The first `count` wrong answers of each task, for reading."""
    lines = []
    for task, items in scores["wrong"].items():
        lines.append(f"\n{task}: {len(items)} wrong")
        lines += [
            f"  {miss['seed']}: {miss['prefix']}\n"
            f"    true   {miss['true']}\n    given  {miss['given']}"
            for miss in items[:count]
        ]
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:.3f}"


def _verdict(row: dict) -> str:
    if row["needed"] is None:
        return ""
    if "error" in row["measure"]:
        reached, bound = row["value"] <= row["needed"], "≤"
    else:
        reached, bound = row["value"] >= row["needed"], "≥"
    return f"{bound} {row['needed']:.2f} {'reached' if reached else 'MISSED'}"
