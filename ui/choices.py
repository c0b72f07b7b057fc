"""What can be chosen on the page, in words: tasks, languages, checkpoints, precision, adapters.

The catalog says what exists; this module turns it into choices and settles a changed choice on the
nearest checkpoint that exists.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from models.catalog import memory
from models.catalog.catalog import Catalog
from models.catalog.checkpoints import Checkpoint
from models.limits import MAX_BEAMS, MAX_NEW_TOKENS, MAX_SEED, MAX_TEMPERATURE
from models.prompts.grammar import LANGUAGES, Task
from models.schema import Readiness, UserError
from models.serving.validation import gigabytes
from ui import nano

Choice = tuple[str, str]


@dataclass(frozen=True)
class Range:
    """The numbers that a field takes, both ends included."""

    low: float
    high: float
    is_whole: bool = False
    may_be_empty: bool = False


TASKS: tuple[Choice, ...] = (
    ("Caption", Task.CAPTION),
    ("Ask", Task.ANSWER),
    ("Detect", Task.DETECT),
    ("Segment", Task.SEGMENT),
    ("Read text", Task.OCR),
    ("Describe", Task.DESCRIBE),
    ("Alt text", Task.CAP),
    ("Caption a box", Task.REGION),
    ("Make a question", Task.QUESTION),
    ("Free prompt", Task.FREE),
)

VARIANT_PURPOSES = {
    "mix": "all tasks",
    "pt": "for fine-tuning",
    "ft-docci": "long captions",
}
NANO_LANGUAGES = tuple(  # of its captions
    "en de es fr it pt ru ja zh ar bn cs da el fa fi fil he hi hr hu id ko nl no pl "
    "ro sv sw te th tr uk vi".split()
)
DEFAULT_PRECISION, NO_ADAPTER = "auto", ""
# Maximum tokens, temperature, top-k, top-p, beams and seed, in the order of `Handlers.answer`.
DEFAULT_DECODING = (0, 0, 0, 1, 1, 0)
DECODING_RANGES = (
    Range(0, MAX_NEW_TOKENS, is_whole=True),
    Range(0, MAX_TEMPERATURE),
    Range(0, 200, is_whole=True),
    Range(0.05, 1),
    Range(1, MAX_BEAMS, is_whole=True),
    Range(0, MAX_SEED, is_whole=True, may_be_empty=True),
)
DEFAULT_BOX = (25, 25, 75, 75)  # left, top, right, bottom, in percent of the picture
EDGE_RANGE = Range(0, 100, may_be_empty=True)  # of each of them
DECODING_NAMES = ("maximum tokens", "temperature", "top-k", "top-p", "beams", "seed")
PRECISION_NAMES = {"auto": "Automatic", **memory.PRECISION_NAMES}


@dataclass(frozen=True)
class ModelChoice:
    """A checkpoint that exists, with the choices that its size and variant leave."""

    checkpoint: Checkpoint
    variants: tuple[Choice, ...]
    resolutions: tuple[Choice, ...]


def readiness_words(found: Readiness) -> str:
    """What is between a choice and its first token, in a few words."""
    words = {
        "ready": "ready",
        "loads": f"loads in about {max(1, round(found.seconds or 0))} s",
        "downloads": f"downloads {gigabytes(found.bytes or 0)} first",
        "needs": f"needs {gigabytes(found.bytes or 0)}, more than this machine has",
        "gated": "gated: licence not accepted here",
        "missing": "not on this machine",
    }
    return words[found.state]


def adapter_choices(adapters: Sequence[str]) -> list[Choice]:
    """None and the adapters as (label, value)."""
    return [("No adapter", NO_ADAPTER), *((name, name) for name in adapters)]


def task_choices() -> list[Choice]:
    """The tasks as (label, value), the most asked first."""
    return [(label, str(task)) for label, task in TASKS]


def language_choices() -> list[Choice]:
    """The 35 languages as (name, code), English first."""
    names = [(f"{name} ({code})", code) for code, name in LANGUAGES.items()]
    return sorted(names, key=lambda choice: (choice[1] != "en", choice[0]))


def language_limit(size: str, task: str, language: str) -> str:
    """Which languages a size knows for a task, where the chosen one is not among them."""
    if size != "nano":
        return ""
    if task in (Task.CAPTION, Task.CAP):
        known = NANO_LANGUAGES
        what = f"nano cannot write captions in {LANGUAGES[language]}."
    elif task in (Task.DESCRIBE, Task.ANSWER, Task.QUESTION):
        known, what = ("en",), "nano does this task only in English."
    else:
        return ""
    remedy = "Choose another language, or choose 3B or larger."
    return "" if language in known else f"{what} {remedy}"


def unknown_objects(size: str, variant: str, adapter: str | None, task: str, objects: str) -> str:
    """Which of the named objects nano has no word for; nothing for what was trained on others."""
    if size != "nano" or variant != "mix" or adapter or task not in (Task.DETECT, Task.SEGMENT):
        return ""
    names = [name.strip() for name in re.split("[,;]", objects or "") if name.strip()]
    unknown = [name for name in names if not nano.knows(name)]
    if not unknown:
        return ""
    return (
        f"nano knows no {' and no '.join(unknown)}. Choose from “What nano knows”, or choose 3B or "
        "larger."
    )


def size_choices(catalog: Catalog) -> list[Choice]:
    """Sizes as (label, value)."""
    return [(size, size) for size in catalog.sizes()]


def precision_choices(precisions: Sequence[str]) -> list[Choice]:
    """The precisions that can run here as (label, value), "auto" first."""
    return [(PRECISION_NAMES[name], name) for name in ("auto", *precisions)]


def describe_settings(
    precision: str | None, adapter: str, decoding: Sequence[float | UserError | None]
) -> tuple[str, ...]:
    """What differs from the defaults, in words; `decoding` is ordered as DEFAULT_DECODING, an error
    where a field's number cannot be used."""
    changed = [f"adapter {adapter}"] if adapter else []
    if precision and precision != DEFAULT_PRECISION:
        changed.append(PRECISION_NAMES.get(precision, precision))
    for name, value, default in zip(DECODING_NAMES, decoding, DEFAULT_DECODING, strict=True):
        if isinstance(value, UserError):
            changed.append(f"unusable {name}")
        elif value is not None and value != default:
            changed.append(f"{name} {value:g}")
    return tuple(changed)


def find_checkpoint(catalog: Catalog, size: str, variant: str, resolution: str | int) -> Checkpoint:
    """The checkpoint of exactly this choice; UserError naming the valid ones otherwise."""
    of_size = [each for each in catalog.checkpoints if each.size == size]
    if not of_size:
        raise UserError(
            f"There is no size {size!r}.", f"Choose one of {', '.join(catalog.sizes())}."
        )
    for each in of_size:
        if (each.variant, str(each.resolution)) == (variant, str(resolution)):
            return each
    known = ", ".join(f"{each.variant} at {each.resolution} px" for each in of_size)
    raise UserError(
        f"{size} does not exist as {variant!r} at {resolution} px.", f"Choose one of {known}."
    )


def start(catalog: Catalog) -> ModelChoice:
    """What is chosen at first: the catalog's default."""
    first = catalog.default_checkpoint
    return settle(catalog, first.size, first.variant, first.resolution)


def settle(catalog: Catalog, size: str, variant: str, resolution: str | int) -> ModelChoice:
    """The checkpoint nearest to a wish: its size kept, then its variant, then its resolution."""
    if size not in catalog.sizes():
        size = catalog.sizes()[0]
    variants = catalog.variants(size)
    if variant not in variants:
        variant = variants[0]
    resolutions = catalog.resolutions(size, variant)
    nearest = min(resolutions, key=lambda each: abs(each - int(resolution)))
    return ModelChoice(
        checkpoint=find_checkpoint(catalog, size, variant, nearest),
        variants=tuple((name, name) for name in variants),
        resolutions=tuple((f"{each} px", str(each)) for each in resolutions),
    )
