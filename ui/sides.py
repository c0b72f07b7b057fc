"""The sides of a comparison: what each can be, as values of its fields, and pairs to begin with.

A way of decoding is one field, whose value is the six numbers of `DEFAULT_DECODING` with commas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from models.catalog.checkpoints import Checkpoint
from models.prompts import grammar
from models.schema import Decoding, Request, UserError, quoted
from models.serving.backend import Backend
from ui.choices import (
    DEFAULT_DECODING,
    DEFAULT_PRECISION,
    NO_ADAPTER,
    PRECISION_NAMES,
    Choice,
    describe_settings,
)
from ui.components import usable

FEWEST, MOST = 2, 4
LETTERS = "ABCD"
GREEDY, SAMPLED, BEAMS = "0,0,0,1,1,0", "0,1,0,1,1,0", "0,0,0,1,4,0"
DECODINGS: tuple[Choice, ...] = (
    ("Greedy", GREEDY),
    ("Sampled, temperature 0.5", "0,0.5,0,1,1,0"),
    ("Sampled, temperature 1", SAMPLED),
    ("Sampled, temperature 1, seed 1", "0,1,0,1,1,1"),
    ("Sampled, temperature 1, top-p 0.9", "0,1,0,0.9,1,0"),
    ("4 beams", BEAMS),
)
PRESETS: tuple[Choice, ...] = (
    ("224 against 448 px", "resolution"),
    ("Base against adapter", "adapter"),
    ("bf16 against nf4", "precision"),
    ("Greedy against sampled", "decoding"),
)


@dataclass(frozen=True)
class Side:
    """The values of a side's fields: names of a checkpoint, an adapter ("" is none), a precision,
    and a way of decoding."""

    checkpoint: str
    adapter: str = NO_ADAPTER
    precision: str = DEFAULT_PRECISION
    decoding: str = GREEDY

    @property
    def values(self) -> tuple[str, str, str, str]:
        """The values in the order of the fields."""
        return self.checkpoint, self.adapter, self.precision, self.decoding


def decoding_value(numbers: Sequence[float | UserError | None]) -> str:
    """The field's value for numbers ordered as DEFAULT_DECODING; an empty one is the default, and
    one that cannot be used is raised."""
    pairs = zip(map(usable, numbers), DEFAULT_DECODING, strict=True)
    return ",".join(f"{default if number is None else number:g}" for number, default in pairs)


def decoding_choices(value: str = GREEDY) -> list[Choice]:
    """The ways of decoding to choose from, `value` among them."""
    known = list(DECODINGS)
    if value not in {each for _, each in known}:
        known.append((decoding_name(value), value))
    return known


def decoding_name(value: str) -> str:
    """A way of decoding in words; UserError where it is none."""
    for name, known in DECODINGS:
        if value == known:
            return name
    changed = ", ".join(describe_settings(None, NO_ADAPTER, _numbers(value)))
    return changed[:1].upper() + changed[1:]


def request_of(image: object, prompt: str, side: Side, backend: Backend) -> Request:
    """What a side asks the backend; UserError where the side cannot be answered here."""
    checkpoint = backend.catalog.find(side.checkpoint)
    missing = backend.missing(checkpoint.name, side.precision)
    if missing:
        raise UserError(missing)
    tokens, temperature, top_k, top_p, beams, seed = _numbers(side.decoding)
    task = grammar.parse(prompt).task
    return Request(
        image=image,  # type: ignore[arg-type]
        prompt=prompt,
        checkpoint=checkpoint.name,
        precision=side.precision,
        adapter=side.adapter or None,
        decoding=Decoding(
            max_new_tokens=int(tokens) or grammar.default_max_new_tokens(task, checkpoint.variant),
            temperature=temperature,
            top_k=int(top_k),
            top_p=top_p,
            num_beams=int(beams),
            seed=int(seed),
        ),
    )


def describe(side: Side) -> tuple[str, ...]:
    """What a side is, in words: the checkpoint, and what differs from the defaults."""
    parts = [side.checkpoint]
    if side.adapter:
        parts.append(f"adapter {side.adapter}")
    if side.precision != DEFAULT_PRECISION:
        parts.append(PRECISION_NAMES.get(side.precision, side.precision))
    if side.decoding != GREEDY:
        parts.append(decoding_name(side.decoding))
    return tuple(parts)


def _numbers(value: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(each) for each in value.split(","))
    except ValueError:
        numbers = ()
    whole = (0, 2, 4, 5)
    if (
        len(numbers) != len(DEFAULT_DECODING)
        or not all(map(math.isfinite, numbers))
        or any(numbers[each] != int(numbers[each]) for each in whole)
    ):
        known = ", ".join(each for _, each in DECODINGS)
        raise UserError(
            f"{quoted(value)} is no way of decoding.", f"Choose one of the list, such as {known}."
        )
    return numbers


def starting_sides(presets: Presets, checkpoint: str) -> tuple[Side, ...]:
    """MOST sides to begin with, no two alike: the checkpoint, it at another resolution where there
    is one, sampled, and searched by beams."""
    sampled, beams = Side(checkpoint, decoding=SAMPLED), Side(checkpoint, decoding=BEAMS)
    first, second = Side(checkpoint), Side(checkpoint, decoding=DECODINGS[1][1])
    if any(value == "resolution" for _, value in presets.offered()):
        with suppress(UserError):  # of a checkpoint that exists at one resolution only
            first, second = presets.pair("resolution", checkpoint)
    return first, second, sampled, beams


class Presets:
    """Pairs of sides that differ in one thing, made from a checkpoint that is chosen."""

    def __init__(self, backend: Backend):
        self._backend, self._catalog = backend, backend.catalog

    def offered(self) -> list[Choice]:
        """Those that some checkpoint of this deployment can make, as (name, value)."""
        can = {
            "resolution": any(map(self._at_448, self._catalog.checkpoints)),
            "adapter": bool(self._with_adapters()),
            "precision": {"bf16", "nf4"} <= set(self._backend.precisions()),
            "decoding": True,
        }
        return [(name, value) for name, value in PRESETS if can[value]]

    def pair(self, preset: str, checkpoint: str) -> tuple[Side, Side]:
        """Both sides of a preset for a checkpoint; UserError where it does not have both."""
        chosen = self._catalog.find(checkpoint)
        name = chosen.name
        if preset == "resolution":
            small, large = self._at(chosen, 224), self._at(chosen, 448)
            if small is None or large is None:
                has = f"{chosen.size} {chosen.variant} has no {448 if small else 224} px"
                raise UserError(f"{has} to compare.", "Choose another model as A first.")
            return Side(small.name), Side(large.name)
        if preset == "adapter":
            known = self._backend.adapters(name)
            if not known:
                others = ", ".join(self._with_adapters())
                raise UserError(f"{name} has no adapter here.", f"Choose as A one of: {others}.")
            return Side(name), Side(name, known[0])
        if preset == "precision":
            return Side(name, precision="bf16"), Side(name, precision="nf4")
        if preset == "decoding":
            return Side(name), Side(name, decoding=SAMPLED)
        raise UserError(f"There is no preset {quoted(preset)}.", "Press one of the buttons.")

    def _at(self, chosen: Checkpoint, resolution: int) -> Checkpoint | None:
        alike = (chosen.size, chosen.variant, resolution)
        for each in self._catalog.checkpoints:
            if (each.size, each.variant, each.resolution) == alike:
                return each
        return None

    def _at_448(self, chosen: Checkpoint) -> bool:
        return chosen.resolution == 224 and self._at(chosen, 448) is not None

    def _with_adapters(self) -> list[str]:
        names = (each.name for each in self._catalog.checkpoints)
        return [name for name in names if self._backend.adapters(name)]
