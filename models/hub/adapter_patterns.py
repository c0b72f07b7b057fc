"""Regular expressions over names of modules, matched in bounded time.

The configuration of an adapter names modules by patterns that somebody else wrote, and Python's own
matcher can take for ever over some of them. Here a match carries the set of all positions that it
can have reached, so its time grows with the pattern's length and the square of the name's. What
names of modules need is understood: characters, classes, groups, alternatives, repetitions, the
ends of the name, word boundaries and what must or must not follow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

LONGEST_PATTERN = 2000  # characters
MOST_REPEATS = 100  # of a counted repetition
MOST_NESTED = 8  # groups

# From positions in a name to those where a match of the part can end.
_Part = Callable[[str, frozenset[int]], frozenset[int]]
_Value = TypeVar("_Value")
_COUNTS = re.compile(r"\{(\d{1,4})(,?)(\d{0,4})\}")
_PLAIN = re.compile(r"[\w.\-]+")
_ESCAPES = {"d": str.isdigit, "w": lambda each: each.isalnum() or each == "_", "s": str.isspace}


@dataclass(frozen=True)
class Pattern:
    """A pattern that was understood."""

    text: str
    _part: _Part

    def is_all_of(self, name: str) -> bool:
        """As `re.fullmatch`."""
        return len(name) in self._part(name, frozenset({0}))

    def ends(self, name: str) -> bool:
        r"""As `re.match(rf"(.*\.)?({pattern})$", name)`: PEFT's rule for ranks and alphas."""
        starts = frozenset({0, *(at + 1 for at, each in enumerate(name) if each == ".")})
        return len(name) in self._part(name, starts)


def understood(text: str) -> Pattern:
    """The pattern; ValueError where it is none, or none of those that are matched here."""
    if len(text) > LONGEST_PATTERN:
        raise ValueError(f"the pattern {text[:40]!r}… has more than {LONGEST_PATTERN} characters")
    reader = _Reader(text)
    part = reader.alternatives()
    if reader.rest:
        raise ValueError(f"the pattern {text[:60]!r} has a ')' too many")
    return Pattern(text, part)


def values(
    by_pattern: Mapping[str, _Value], names: Iterable[str], default: _Value
) -> dict[str, _Value]:
    """The value of the first pattern that each name ends with, as PEFT chooses it, or the default.

    ValueError where a pattern is the end of no name.
    """
    names = list(names)
    found: dict[str, _Value] = {}
    for text, value in by_pattern.items():
        fits = _plain(text) if _PLAIN.fullmatch(text) else understood(text).ends
        ends = [name for name in names if fits(name)]
        if not ends:
            raise ValueError(f"its pattern {text[:60]!r} fits none of its modules")
        for name in ends:
            found.setdefault(name, value)
    return {name: found.get(name, default) for name in names}


def _plain(text: str) -> Callable[[str], object]:
    """A name as a pattern has hundreds of fellows at times, and is safe with Python's matcher."""
    return re.compile(rf"(.*\.)?({text})$").match


class _Reader:
    """A pattern while it is read."""

    def __init__(self, text: str):
        self._text, self.rest = text, text
        self._depth = 0

    def alternatives(self) -> _Part:
        """Parts with `|` between them, up to the end or a `)`."""
        parts = [self._sequence()]
        while self.rest.startswith("|"):
            self.rest = self.rest[1:]
            parts.append(self._sequence())
        return lambda name, at: frozenset().union(*(part(name, at) for part in parts))

    def _sequence(self) -> _Part:
        parts = []
        while self.rest and self.rest[0] not in "|)":
            parts.append(self._repeated(self._one()))

        def match(name: str, at: frozenset[int]) -> frozenset[int]:
            for part in parts:
                at = part(name, at)
                if not at:
                    break
            return at

        return match

    def _one(self) -> _Part:
        """A character, class, group or condition."""
        first = self._take()
        if first == "(":
            return self._group()
        if first == "[":
            return _character(self._class())
        if first == "^":
            return lambda name, at: at & {0}
        if first == "$":
            return lambda name, at: at & {len(name)}
        if first == ".":
            return _character(lambda each: each != "\n")
        if first == "\\":
            return self._escaped()
        if first in "*+?{":
            raise self._wrong()
        return _character(lambda each: each == first)

    def _group(self) -> _Part:
        self._depth += 1
        kind = next((each for each in ("?:", "?=", "?!") if self.rest.startswith(each)), "")
        self.rest = self.rest[len(kind) :]
        if self._depth > MOST_NESTED or self.rest.startswith("?"):
            raise self._wrong()
        inner = self.alternatives()
        if self._take() != ")":
            raise self._wrong()
        self._depth -= 1
        if kind in ("?=", "?!"):
            wanted = kind == "?="
            return lambda name, at: frozenset(
                each for each in at if bool(inner(name, frozenset({each}))) is wanted
            )
        return inner

    def _class(self) -> Callable[[str], bool]:
        """A class of characters after its `[`."""
        is_negated = self.rest.startswith("^")
        self.rest = self.rest[is_negated:]
        members: list[Callable[[str], bool]] = []
        while not self.rest.startswith("]") or not members:
            low = self._take()
            if low == "\\":
                low = self._take()
                if low in _ESCAPES:
                    members.append(_ESCAPES[low])
                    continue
                if low.isalnum():
                    raise self._wrong()
            if re.match(r"-[^\]\\]", self.rest):
                high = self._take() and self._take()
                members.append(_between(low, high))
            else:
                members.append(_between(low, low))
        self._take()
        return lambda each: any(member(each) for member in members) is not is_negated

    def _escaped(self) -> _Part:
        letter = self._take()
        if letter in _ESCAPES:
            return _character(_ESCAPES[letter])
        if letter == "b":
            return lambda name, at: frozenset(each for each in at if _is_boundary(name, each))
        if letter.isalnum():
            raise self._wrong()
        return _character(lambda each: each == letter)

    def _repeated(self, part: _Part) -> _Part:
        """The part with the repetition that follows it; a lazy one reaches the same positions."""
        least: int
        most: int | None
        counts = _COUNTS.match(self.rest)
        if self.rest[:1] in ("*", "+", "?"):
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[self._take()]
        elif counts:
            self.rest = self.rest[counts.end() :]
            least = int(counts[1])
            most = int(counts[3]) if counts[3] else None if counts[2] else least
            if least > MOST_REPEATS or (most is not None and not least <= most <= MOST_REPEATS):
                raise self._wrong()
        else:
            return part
        self.rest = self.rest.removeprefix("?")
        if self.rest[:1] in ("*", "+", "?"):
            raise self._wrong()

        def match(name: str, at: frozenset[int]) -> frozenset[int]:
            for _ in range(least):
                before, at = at, part(name, at)
                if at == before:
                    break  # so will it stay
            reached, count = at, least
            while at and (most is None or count < most):
                at = part(name, at) - reached
                reached |= at
                count += 1
            return reached

        return match

    def _take(self) -> str:
        if not self.rest:
            raise self._wrong()
        first, self.rest = self.rest[0], self.rest[1:]
        return first

    def _wrong(self) -> ValueError:
        return ValueError(f"the pattern {self._text[:60]!r} is not understood here")


def _character(fits: Callable[[str], bool]) -> _Part:
    return lambda name, at: frozenset(
        each + 1 for each in at if each < len(name) and fits(name[each])
    )


def _between(low: str, high: str) -> Callable[[str], bool]:
    return lambda each: low <= each <= high


def _is_boundary(name: str, at: int) -> bool:
    sides = name[at - 1 : at], name[at : at + 1]
    before, after = (each != "" and _ESCAPES["w"](each) for each in sides)
    return before != after
