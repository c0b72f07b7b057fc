"""What can be asked about a scene, and the true answers: every task of the page, from one scene.

Prefixes follow the prompt grammar of `models.prompts.grammar`; suffixes use the formats of
`models.prompts.tokens`. A question is asked only where its answer is beyond doubt: positions keep a
margin, "largest" a factor. Names in other languages are CLDR's and lists follow CLDR's patterns
through Babel; a repeated object is written "2 × name", so that no plural has to be guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from babel.lists import format_list

from models.prompts.tokens import encode_box
from models.schema import Box
from training.nano.scenes import sprites
from training.nano.scenes.scene import BACKGROUNDS, MIXED, Scene, SceneObject
from training.nano.tasks.lookalikes import LOOKALIKES
from training.nano.tasks.wordings import Asker

# Of the real checkpoints' 35 languages, those in which CLDR names every object.
LANGUAGES = tuple(
    "en de es fr it pt ru ja zh ar bn cs da el fa fi fil he hi hr hu id ko nl no pl ro sv sw te th "
    "tr uk vi".split()
)
NUMBERS = ("no", "a", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
OTHER_CAPTIONS, OTHER_CAPS = 12, 6  # of a scene, each in another language than English
NOTHING = "none"
USUAL = Asker()
NO_TEXT = "no text"
_IRREGULAR = {
    "mouse": "mice",
    "tomato": "tomatoes",
    "fish": "fish",
    "game die": "game dice",
    "deer": "deer",
    "ear of corn": "ears of corn",
    "maple leaf": "maple leaves",
}


@dataclass(frozen=True)
class Example:
    """A prefix and its true suffix. `accept` are all the suffixes that would be true as well."""

    task: str
    kind: str
    prefix: str
    suffix: str
    accept: tuple[str, ...] = ()


def names(language: str) -> dict[str, str]:
    """Object names of `language` by English name."""
    return {noun.name: noun.names[language] for noun in sprites.nouns()}


@cache
def plural(name: str) -> str:
    """The English plural of an object's name."""
    if name in _IRREGULAR:
        return _IRREGULAR[name]
    if name.endswith(("s", "x", "ch", "sh")):
        return name + "es"
    if name.endswith("y") and name[-2] not in "aeiou":
        return name[:-1] + "ies"
    return name + "s"


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def counted(name: str, count: int) -> str:
    """ "a cat", "an owl", "two cats"."""
    if count == 1:
        return _article(name)
    return f"{NUMBERS[count]} {plural(name)}"


def join(items: list[str], language: str) -> str:
    """A list in words, as CLDR writes it in `language`."""
    return format_list(items, style="standard", locale=language)


def tally(scene: Scene) -> dict[str, int]:
    """How often each object stands in the scene, from left to right by its first one."""
    ordered = sorted(scene.objects, key=lambda o: o.center[0])
    return dict(Counter(o.name for o in ordered))


def position(scene: Scene, item: SceneObject, margin: float = 0.0) -> str | None:
    """The ninth that holds the center, as "top left"; None within `margin` of a line."""
    words = []
    for value, whole, ends in zip(
        reversed(item.center),
        reversed(scene.image.size),
        (("top", "bottom"), ("left", "right")),
        strict=True,
    ):
        third = value / whole * 3
        if margin and min(abs(third - 1), abs(third - 2)) < margin:
            return None
        words.append(ends[0] if third < 1 else ends[1] if third > 2 else "")
    return " ".join(word for word in words if word) or "center"


# Captions


def caption(scene: Scene, language: str = "en") -> str:
    """Names and numbers of the objects, in English with the background."""
    if language == "en":
        things = join([counted(n, c) for n, c in tally(scene).items()], "en")
        return f"{things} on {_article(scene.background)} background"
    own = names(language)
    return join(
        [own[n] if c == 1 else f"{c} × {own[n]}" for n, c in tally(scene).items()], language
    )


def cap(scene: Scene, language: str = "en") -> str:
    """The names alone."""
    own = names(language)
    return join([own[n] for n in tally(scene)], language)


def describe(scene: Scene) -> str:
    """A sentence per object in reading order, with its place, and the print."""
    total = len(scene.objects)
    count = "One object" if total == 1 else f"{NUMBERS[total].capitalize()} objects"
    parts = [f"{count} on {_article(scene.background)} background."]
    for item in scene.objects:
        place = position(scene, item)
        where = "in the center" if place == "center" else f"at the {place}"
        parts.append(f"{counted(item.name, 1).capitalize()} {where}.")
    if scene.print:
        parts.append(f"The text says {scene.print.text}.")
    return " ".join(parts)


def captions(scene: Scene, rng: np.random.Generator) -> list[Example]:
    """One caption of each length in English and some in other languages."""
    found = [
        Example("cap", "cap", "cap en", cap(scene)),
        Example("caption", "caption", "caption en", caption(scene)),
        Example("describe", "describe", "describe en", describe(scene)),
    ]
    others = [str(language) for language in rng.permutation(LANGUAGES[1:])]
    for task, write, languages in (
        ("caption", caption, others[:OTHER_CAPTIONS]),
        ("cap", cap, others[OTHER_CAPTIONS : OTHER_CAPTIONS + OTHER_CAPS]),
    ):
        for language in languages:
            asked = f"{task} {language}"
            found.append(Example(task, asked, asked, write(scene, language)))
    return found


# Questions


def _ask(kind: str, question: str, answer: str) -> Example:
    return Example("answer", kind, f"answer en {question}", answer)


def _extremes(scene: Scene) -> dict[str, str]:
    """Which object is the outermost on each side, where one leads by a margin."""
    found = {}
    for side, axis, sign in (("left", 0, 1), ("right", 0, -1), ("top", 1, 1), ("bottom", 1, -1)):
        ranked = sorted(scene.objects, key=lambda o: sign * o.center[axis])
        margin = scene.image.size[axis] / 16
        if len(ranked) == 1 or sign * (ranked[1].center[axis] - ranked[0].center[axis]) > margin:
            found[side] = ranked[0].name
    return found


def what(scene: Scene, put: Asker = USUAL) -> list[Example]:
    """What stands on a side, or what the only object is."""
    places = {
        "left": "on the left",
        "right": "on the right",
        "top": "at the top",
        "bottom": "at the bottom",
    }
    if len(scene.objects) == 1:
        return [_ask("what", put("this"), scene.objects[0].name)]
    return [
        _ask("what", put("side", place=places[side]), name)
        for side, name in _extremes(scene).items()
    ]


def how_many(scene: Scene, put: Asker = USUAL) -> list[Example]:
    """Numbers of each kind and of all."""
    found = [_ask("how many", put("all"), str(len(scene.objects)))]
    for name, count in tally(scene).items():
        found.append(_ask("how many", put("kind", things=plural(name)), str(count)))
    return found


def background(scene: Scene, put: Asker = USUAL) -> list[Example]:
    """The colour of the ground, where it has one."""
    if scene.background == MIXED:
        return []
    return [_ask("background", put("background"), scene.background)]


def where(scene: Scene, put: Asker = USUAL) -> list[Example]:
    """Places of the objects that stand there once."""
    counts = tally(scene)
    return [
        _ask("where", put("where", thing=item.name), place)
        for item in scene.objects
        if counts[item.name] == 1 and (place := position(scene, item, margin=0.12))
    ]


def lookalike(name: str, present: set[str], rng: np.random.Generator) -> str:
    """An object that is absent, two times of three one that could be taken for `name`."""
    group = [n for g in LOOKALIKES if name in g for n in g if n not in present]
    pool = group if group and rng.random() < 0.67 else [n for n in names("en") if n not in present]
    return str(rng.choice(pool))


def is_there(scene: Scene, rng: np.random.Generator, put: Asker = USUAL) -> list[Example]:
    """Yes/no about presence: one "yes" and one "no" that is hard."""
    present = tally(scene)
    shown = str(rng.choice(list(present)))
    absent = lookalike(shown, set(present), rng)
    return [
        _ask("is there", put("is there", **{"a thing": counted(shown, 1)}), "yes"),
        _ask("is there", put("is there", **{"a thing": counted(absent, 1)}), "no"),
    ]


def relation(scene: Scene, rng: np.random.Generator, put: Asker = USUAL) -> list[Example]:
    """Yes/no about left, right, above, below, half of them "no"."""
    counts = tally(scene)
    single = [o for o in scene.objects if counts[o.name] == 1]
    if len(single) < 2:
        return []
    first, second = (single[i] for i in rng.permutation(len(single))[:2])
    found = []
    for axis, before, after in ((0, "left of", "right of"), (1, "above", "below")):
        gap = second.center[axis] - first.center[axis]
        if abs(gap) < scene.image.size[axis] / 14:
            continue
        asked_before = rng.random() < 0.5
        word = before if asked_before else after
        answer = "yes" if (gap > 0) == asked_before else "no"
        question = put("relation", first=first.name, side=word, second=second.name)
        found.append(_ask("relation", question, answer))
    return found


def largest(scene: Scene, put: Asker = USUAL) -> list[Example]:
    """The largest object, where it is larger than the next by a third."""
    ranked = sorted(scene.objects, key=lambda o: -o.area)
    if len(ranked) < 2 or ranked[0].area < 1.34 * ranked[1].area:
        return []
    return [_ask("largest", put("largest"), ranked[0].name)]


def answers(scene: Scene, rng: np.random.Generator, put: Asker = USUAL) -> list[Example]:
    """Every question that this scene answers, in the words of `put`."""
    return [
        *what(scene, put),
        *how_many(scene, put),
        *background(scene, put),
        *where(scene, put),
        *is_there(scene, rng, put),
        *relation(scene, rng, put),
        *largest(scene, put),
    ]


def questions(scene: Scene, rng: np.random.Generator) -> list[Example]:
    """Question generation: the answer is given; every question of the scene with it is right."""
    asked = [*what(scene), *how_many(scene), *background(scene), *where(scene), *largest(scene)]
    chosen = asked[int(rng.integers(len(asked)))]
    every = [*asked, *is_there(scene, rng), *relation(scene, rng)]
    accept = tuple(q.prefix.removeprefix("answer en ") for q in every if q.suffix == chosen.suffix)
    prefix = f"question en {chosen.suffix}"
    question = chosen.prefix.removeprefix("answer en ")
    return [Example("question", "question", prefix, question, accept)]


# Print, boxes and masks


def ocr(scene: Scene) -> list[Example]:
    """The print."""
    return [Example("ocr", "ocr", "ocr", scene.print.text if scene.print else NO_TEXT)]


def box_norm(scene: Scene, item: SceneObject) -> Box:
    """The visible box as fractions of the image."""
    width, height = scene.image.size
    x_min, y_min, x_max, y_max = item.box_xyxy_px
    return Box(y_min / height, x_min / width, y_max / height, x_max / width)


Codes = Callable[[Scene, SceneObject], str]


def _objects(scene: Scene, kinds: list[str], codes: Codes | None) -> str:
    parts = [
        f"{encode_box(box_norm(scene, o))}{codes(scene, o) if codes else ''} {o.name}"
        for kind in kinds
        for o in scene.objects
        if o.name == kind
    ]
    return " ; ".join(parts) or NOTHING


def boxes(scene: Scene, rng: np.random.Generator, codes: Codes | None = None) -> list[Example]:
    """`detect`, or `segment` where `codes` writes masks, of one, several and absent kinds."""
    task = "segment" if codes else "detect"
    present = list(tally(scene))
    shuffled = [str(kind) for kind in rng.permutation(present)]
    one = shuffled[0]
    found = [
        Example(task, f"{task} one", f"{task} {kind}", _objects(scene, [kind], codes))
        for kind in (shuffled[:1] if codes else shuffled)
    ]
    if len(present) > 1:
        several = [str(k) for k in rng.permutation(present)[: int(rng.integers(2, 4))]]
        prefix = f"{task} {' ; '.join(several)}"
        found.append(Example(task, f"{task} several", prefix, _objects(scene, several, codes)))
    absent = lookalike(one, set(present), rng)
    found.append(Example(task, f"{task} absent", f"{task} {absent}", NOTHING))
    return found


def region(scene: Scene, rng: np.random.Generator) -> list[Example]:
    """The caption of a box."""
    item = scene.objects[int(rng.integers(len(scene.objects)))]
    return [Example("region", "region", f"caption {encode_box(box_norm(scene, item))}", item.name)]


def examples(
    scene: Scene, rng: np.random.Generator, codes: Codes | None, put: Asker = USUAL
) -> list[Example]:
    """Every task on one scene, with true answers; `codes(scene, item)` gives 16 mask tokens.

    Without `codes` there are no `segment` examples.
    """
    return [
        *captions(scene, rng),
        *answers(scene, rng, put),
        *questions(scene, rng),
        *ocr(scene),
        *boxes(scene, rng),
        *(boxes(scene, rng, codes) if codes else []),
        *region(scene, rng),
    ]


def vocabulary() -> list[str]:
    """Every word that prefixes and suffixes can hold, for the tokenizer."""
    words = [*BACKGROUNDS, *NUMBERS, NOTHING, NO_TEXT]
    for language in LANGUAGES:
        words += [f" {name}" for name in names(language).values()]
    words += [f" {plural(name)}" for name in names("en")]
    return words
