"""What can be asked about a scene with no objects, and the true answers.

People try a demo with a blank picture, or with one of print alone. CLDR has no word for "nothing":
those below are ours.
"""

from __future__ import annotations

import numpy as np

from training.nano.scenes.scene import Scene
from training.nano.tasks import questions
from training.nano.tasks.questions import USUAL, Example
from training.nano.tasks.wordings import Asker

NO_OBJECTS = "no objects"
NOTHING = {
    "en": "nothing", "de": "nichts", "es": "nada", "fr": "rien", "it": "niente", "pt": "nada",
    "ru": "ничего", "ja": "何もない", "zh": "什么都没有", "ar": "لا شيء", "bn": "কিছুই না",
    "cs": "nic", "da": "ingenting", "el": "τίποτα", "fa": "هیچ", "fi": "ei mitään",
    "fil": "wala", "he": "כלום", "hi": "कुछ नहीं", "hr": "ništa", "hu": "semmi",
    "id": "tidak ada", "ko": "없음", "nl": "niets", "no": "ingenting", "pl": "nic",
    "ro": "nimic", "sv": "ingenting", "sw": "hakuna", "te": "ఏమీ లేదు", "th": "ไม่มีอะไร",
    "tr": "hiçbir şey", "uk": "нічого", "vi": "không có gì",
}  # fmt: skip


def examples(scene: Scene, rng: np.random.Generator, put: Asker = USUAL) -> list[Example]:
    """Every task that a scene without objects answers."""
    some = [str(name) for name in rng.choice(list(questions.names("en")), 3, replace=False)]
    count_all = questions.how_many(scene)[0].prefix.removeprefix("answer en ")
    return [
        *captions(scene, rng),
        *answers(scene, rng, put),
        Example("question", "question", "question en 0", count_all),
        *questions.ocr(scene),
        *(
            Example(task, f"{task} absent", f"{task} {asked}", questions.NOTHING)
            for task in ("detect", "segment")
            for asked in (some[0], " ; ".join(some[1:]))
        ),
    ]


def captions(scene: Scene, rng: np.random.Generator) -> list[Example]:
    """One caption of each length in English and some in other languages."""
    said = f"{NO_OBJECTS} on {questions.counted(scene.background, 1)} background"
    print_says = f" The text says {scene.print.text}." if scene.print else ""
    found = [
        Example("cap", "cap", "cap en", NO_OBJECTS),
        Example("caption", "caption", "caption en", said),
        Example("describe", "describe", "describe en", f"{said.capitalize()}.{print_says}"),
    ]
    for task in ("caption", "cap"):
        for language in rng.permutation(questions.LANGUAGES[1:])[: questions.OTHER_CAPS]:
            asked = f"{task} {language}"
            found.append(Example(task, asked, asked, NOTHING[str(language)]))
    return found


def answers(scene: Scene, rng: np.random.Generator, put: Asker = USUAL) -> list[Example]:
    """Questions, one of them about an object that is not there."""
    absent = str(rng.choice(list(questions.names("en"))))
    asked = {
        "what": (put("this"), NOTHING["en"]),
        "how many": (put("all"), "0"),
        "background": (put("background"), scene.background),
        "is there": (put("is there", **{"a thing": questions.counted(absent, 1)}), "no"),
    }
    return [
        Example("answer", kind, f"answer en {question}", answer)
        for kind, (question, answer) in asked.items()
    ]
