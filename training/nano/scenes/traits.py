"""How a scene was made, in a word each: what its tables are split by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Traits:
    """The kinds of ground, canvas, layout, colours and print of a scene."""

    ground: str = "own"
    canvas: str = "square"
    layout: str = "scattered"
    colour: str = "as drawn"
    print: str = "plain"


OWN = Traits()  # of the older worlds
