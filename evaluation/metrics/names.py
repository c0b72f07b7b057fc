"""Which objects a caption names, and how many of each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.metrics.estimates import Estimate, bootstrap

NUMBER_WORDS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6,
    "seven": 7, "eight": 8, "nine": 9, "ten": 10,
}  # fmt: skip
# Scripts that put no space between words: a name may begin and end anywhere.
_UNSPACED = frozenset({"ja", "zh", "th"})
_AND = {"ar": "و", "he": "ו"}  # "and" where it is written as one word with what follows


@dataclass(frozen=True)
class Hits:
    """How many of the true objects an answer named (`found`, `missed`), and how many others."""

    found: int
    extra: int
    missed: int


class NameFinder:
    """Finds object names with their numbers in a caption.

    `names` are all the forms of each object by a key of its own, e.g. {"cat": ("cat", "cats")}.
    A number is a word ("two cats") or digits with or without a cross ("2 × Katze"); no number is
    one. Where one name is part of another, the longer is taken: a hot dog is not a dog.
    """

    def __init__(self, names: Mapping[str, Sequence[str]], language: str = "en"):
        self._key_of = {form.casefold(): key for key, forms in names.items() for form in forms}
        ordered = sorted(self._key_of, key=len, reverse=True)
        numbers = "|".join(sorted(NUMBER_WORDS, key=len, reverse=True))
        edge_before, edge_after = ("", "") if language in _UNSPACED else (r"(?<!\w)", r"(?!\w)")
        if language in _AND:
            edge_before = rf"(?:(?<!\w)|(?<=(?<!\w){_AND[language]}))"
        self._pattern = re.compile(
            rf"(?:(?P<word>(?<!\w)(?:{numbers})|(?<!\d)\d{{1,2}})\s*×?\s*)?"
            rf"{edge_before}(?P<name>{'|'.join(map(re.escape, ordered))}){edge_after}"
        )

    def count(self, caption: str) -> Counter[str]:
        """How many of each object the caption names."""
        found: Counter[str] = Counter()
        for match in self._pattern.finditer(caption.casefold()):
            word = match["word"]
            number = 1 if word is None else NUMBER_WORDS.get(word) or int(word)
            found[self._key_of[match["name"]]] += number
        return found


def compare_names(given: Counter[str], true: Counter[str]) -> Hits:
    """Multiset comparison: three cats for two are two found and one extra."""
    found = (given & true).total()
    return Hits(found, given.total() - found, true.total() - found)


def pooled_f1(hits: Iterable[Hits]) -> Estimate:
    """F1 of all items together: 2·tp / (2·tp + fp + fn); 1 where there was nothing to find."""
    counts = np.array([(h.found, h.extra, h.missed) for h in hits], np.float64).reshape(-1, 3)

    def f1(drawn: np.ndarray) -> float:
        found, extra, missed = drawn.sum(0)
        total = 2 * found + extra + missed
        return float(2 * found / total) if total else 1.0

    return bootstrap(counts, f1)
