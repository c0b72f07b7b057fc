"""What can be asked about a picture of nothing that is known, and the one way it is answered.

Such a picture is of another world: a photograph, noise, a document, a chart, drawings without a
word. No language has a name for that in CLDR: the phrases below are ours.
"""

from __future__ import annotations

import numpy as np

from models.prompts.not_known import NOT_KNOWN, UNKNOWN
from training.nano.scenes.scene import Scene
from training.nano.tasks import questions
from training.nano.tasks.questions import USUAL, Example
from training.nano.tasks.wordings import Asker

SENTENCE = f"{NOT_KNOWN['en'][0].upper()}{NOT_KNOWN['en'][1:]}."
OCR_UNTOLD = ("document", "chart", "screenshot", "photo")  # whose small print is not asked for


def examples(scene: Scene, rng: np.random.Generator, put: Asker = USUAL) -> list[Example]:
    """Every task, answered in the one way; print alone is read."""
    names = list(questions.names("en"))
    some = [str(name) for name in rng.choice(names, 3, replace=False)]
    read = [] if scene.traits.ground in OCR_UNTOLD else questions.ocr(scene)
    return [
        *captions(rng),
        *answers(rng, put),
        Example("question", "question", f"question en {UNKNOWN}", "what is this?"),
        *read,
        *(
            Example(task, f"{task} absent", f"{task} {asked}", questions.NOTHING)
            for task in ("detect", "segment")
            for asked in (some[0], " ; ".join(some[1:]))
        ),
    ]


def captions(rng: np.random.Generator) -> list[Example]:
    """One caption of each length in English and some in other languages."""
    phrase = NOT_KNOWN["en"]
    found = [
        Example("cap", "cap", "cap en", phrase),
        Example("caption", "caption", "caption en", phrase),
        Example("describe", "describe", "describe en", SENTENCE),
    ]
    for task in ("caption", "cap"):
        for language in rng.permutation(questions.LANGUAGES[1:])[: questions.OTHER_CAPS]:
            asked = f"{task} {language}"
            found.append(Example(task, asked, asked, NOT_KNOWN[str(language)]))
    return found


def answers(rng: np.random.Generator, put: Asker = USUAL) -> list[Example]:
    """One question of each kind."""
    first, second = (str(name) for name in rng.choice(list(questions.names("en")), 2, False))
    sides = ("left of", "right of", "above", "below")
    places = ("on the left", "on the right", "at the top", "at the bottom")
    asked = {
        "what": put("this") if rng.random() < 0.5 else put("side", place=str(rng.choice(places))),
        "how many": put("all") if rng.random() < 0.5
        else put("kind", things=questions.plural(first)),
        "background": put("background"),
        "is there": put("is there", **{"a thing": questions.counted(first, 1)}),
        "where": put("where", thing=first),
        "relation": put("relation", first=first, side=str(rng.choice(sides)), second=second),
        "largest": put("largest"),
    }  # fmt: skip
    return [
        Example("answer", kind, f"answer en {question}", UNKNOWN)
        for kind, question in asked.items()
    ]
