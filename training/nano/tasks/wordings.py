"""The ways in which a question about a scene is put.

The first of each is the usual one, all but the last are trained on, and the last is kept for tests:
whoever asks in their own words does what nobody trained for.
"""

from __future__ import annotations

import numpy as np

WORDINGS = {
    "this": (
        "what is this?",
        "what object is this?",
        "what do you see?",
        "what is in the picture?",
        "what can be seen here?",
        "what does the picture show?",
        "name the object",
        "what is shown here?",
    ),
    "side": (
        "what is {place}?",
        "what object is {place}?",
        "which object is {place}?",
        "what do you see {place}?",
        "what stands {place}?",
        "what is the object {place}?",
        "name the object {place}",
        "what can be seen {place}?",
    ),
    "all": (
        "how many objects are there?",
        "how many things are there?",
        "how many objects do you see?",
        "how many objects are in the picture?",
        "how many objects does the picture show?",
        "what is the number of objects?",
        "count the objects",
        "how many things can be seen?",
    ),
    "kind": (
        "how many {things} are there?",
        "how many {things} do you see?",
        "how many {things} are in the picture?",
        "how many {things} does the picture show?",
        "what is the number of {things}?",
        "number of {things}?",
        "count the {things}",
        "how many {things} can be seen?",
    ),
    "background": (
        "what color is the background?",
        "what is the color of the background?",
        "what is the background color?",
        "which color is the background?",
        "what color is behind the objects?",
        "what color do you see in the background?",
        "name the background color",
        "which color does the background have?",
    ),
    "where": (
        "where is the {thing}?",
        "where do you see the {thing}?",
        "where does the {thing} stand?",
        "where in the picture is the {thing}?",
        "what is the place of the {thing}?",
        "in which part of the picture is the {thing}?",
        "find the {thing}",
        "where can the {thing} be seen?",
    ),
    "is there": (
        "is there {a thing}?",
        "do you see {a thing}?",
        "can you see {a thing}?",
        "is {a thing} in the picture?",
        "is there {a thing} in the picture?",
        "does the picture show {a thing}?",
        "is {a thing} there?",
        "can {a thing} be seen?",
    ),
    "relation": (
        "is the {first} {side} the {second}?",
        "does the {first} stand {side} the {second}?",
        "do you see the {first} {side} the {second}?",
        "is it true that the {first} is {side} the {second}?",
        "is the place of the {first} {side} the {second}?",
        "tell me: is the {first} {side} the {second}?",
        "yes or no: is the {first} {side} the {second}?",
        "can the {first} be seen {side} the {second}?",
    ),
    "largest": (
        "what is the largest object?",
        "which object is the largest?",
        "what is the biggest object?",
        "which object is the biggest?",
        "what object takes the most space?",
        "what is the largest thing in the picture?",
        "name the largest object",
        "which thing is the biggest?",
    ),
}
CASUAL = 0.1  # of the trained questions begin with a capital, and as many lack what ends them


class Asker:
    """Puts questions: the usual way, or drawn by `rng` from those that are trained on."""

    def __init__(self, rng: np.random.Generator | None = None):
        self._rng = rng

    def __call__(self, form: str, **parts: str) -> str:
        """A question of a form of WORDINGS with its parts filled in."""
        if self._rng is None:
            return WORDINGS[form][0].format_map(parts)
        trained = WORDINGS[form][:-1]
        asked = trained[int(self._rng.integers(len(trained)))].format_map(parts)
        if self._rng.random() < CASUAL:
            asked = asked[0].upper() + asked[1:]
        return asked.rstrip("?") if self._rng.random() < CASUAL else asked


class Stranger(Asker):
    """Puts every question in the way that is never trained on."""

    def __call__(self, form: str, **parts: str) -> str:
        """As `Asker`, with the last of WORDINGS."""
        return WORDINGS[form][-1].format_map(parts)
