"""The prompt grammar of PaliGemma 2: building, checking and parsing it.

A prompt is the prefix without `<image>`, BOS and newline, which the processor adds. This module
does not know which checkpoint was trained on which prompt.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from models.limits import MAX_PROMPT_CHARACTERS
from models.prompts.tokens import encode_box, parse_detections
from models.schema import Box, UserError

LANGUAGES = {
    "ar": "Arabic",
    "bn": "Bengali",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fa": "Persian",
    "fi": "Finnish",
    "fil": "Filipino",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "hu": "Hungarian",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "mi": "Māori",
    "nl": "Dutch",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sv": "Swedish",
    "sw": "Swahili",
    "te": "Telugu",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
"""The languages of the pre-training captions (big_vision `coco35l.py`), code -> English name."""


class Task(StrEnum):
    """What a prompt asks for. The value is the prompt's first word, except for REGION and FREE."""

    CAP = "cap"
    CAPTION = "caption"
    DESCRIBE = "describe"
    ANSWER = "answer"
    QUESTION = "question"
    OCR = "ocr"
    DETECT = "detect"
    SEGMENT = "segment"
    REGION = "caption box"
    FREE = "free"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class ParsedPrompt:
    """A prompt in parts; those that its task does not have are empty.

    `question` belongs to ANSWER, `answer` to QUESTION, `objects` ("a ; b") to DETECT and SEGMENT,
    `box` to REGION, `text` to FREE.
    """

    task: Task
    language: str = ""
    question: str = ""
    answer: str = ""
    objects: str = ""
    box: Box | None = None
    text: str = ""


_INPUTS = {
    Task.CAP: {"language"},
    Task.CAPTION: {"language"},
    Task.DESCRIBE: {"language"},
    Task.ANSWER: {"language", "question"},
    Task.QUESTION: {"language", "answer"},
    Task.OCR: set(),
    Task.DETECT: {"objects"},
    Task.SEGMENT: {"objects"},
    Task.REGION: {"box"},
    Task.FREE: {"text"},
}
# Tokens that a whole answer needs: a box takes 5 or more, a box with a mask 21 or more.
_MAX_NEW_TOKENS = {
    Task.CAP: 32,
    Task.CAPTION: 64,
    Task.DESCRIBE: 256,
    Task.ANSWER: 32,
    Task.QUESTION: 48,
    Task.OCR: 128,
    Task.DETECT: 128,
    Task.SEGMENT: 384,
    Task.REGION: 48,
    Task.FREE: 128,
}
_DOCCI_MAX_NEW_TOKENS = 512
_ASKING_FOR_OBJECTS = ("detect", "segment")

_BOX_PROMPT = re.compile(r"caption\s+((?:<loc\d{4}>){4})")
_RESERVED = re.compile(r"<(image|bos|eos|pad|unk)>")


def inputs_of(task: Task) -> frozenset[str]:
    """What a task needs, of "language", "question", "answer", "objects", "box", "text"."""
    return frozenset(_INPUTS[Task(task)])


def yields_boxes(task: Task) -> bool:
    """Whether the answer names boxes."""
    return Task(task) in (Task.DETECT, Task.SEGMENT)


def yields_masks(task: Task) -> bool:
    """Whether the answer has masks."""
    return Task(task) is Task.SEGMENT


def default_max_new_tokens(task: Task, variant: str = "mix") -> int:
    """Tokens that leave room for a whole answer; `ft-docci` writes about 520 characters."""
    if variant == "ft-docci":
        return _DOCCI_MAX_NEW_TOKENS
    return _MAX_NEW_TOKENS[Task(task)]


def build(
    task: Task,
    language: str = "en",
    question: str = "",
    objects: str = "",
    box: Box | None = None,
    text: str = "",
    answer: str = "",
) -> str:
    """The prompt of a task.

    `objects` are names separated by `;`, `,` or a line break, which `normalize` puts in lower case.
    QUESTION takes its given answer from `answer` or, where that is empty, from `question`.
    UserError where the task lacks an input or the result does not pass `check`.
    """
    task = Task(task)
    needed = _INPUTS[task]
    if "language" in needed and language not in LANGUAGES:
        raise UserError(
            f"There is no language {language!r}.", f"Choose one of {', '.join(LANGUAGES)}."
        )
    if task is Task.ANSWER:
        prompt = f"answer {language} {_filled(question, 'question', 'Type one.')}"
    elif task is Task.QUESTION:
        given = _filled(answer, "answer", "Type the answer to find a question for.")
        prompt = f"question {language} {given}"
    elif task in (Task.DETECT, Task.SEGMENT):
        prompt = f"{task} {_names(objects)}"
    elif task is Task.REGION:
        if box is None:
            raise UserError("There is no box to caption.", "Give its four edges.")
        prompt = f"caption {encode_box(box)}"
    elif task is Task.FREE:
        prompt = _filled(text, "prompt", "Type one.")
    elif task is Task.OCR:
        prompt = "ocr"
    else:
        prompt = f"{task} {language}"
    prompt = normalize(prompt)
    check(prompt)
    return prompt


def normalize(prompt: str) -> str:
    """A prompt as the family was trained on it: `detect` and `segment` with their names in lower
    case, everything else as it is.

    Every prompt that a person writes passes here (`build` does it), so that the prompt that is
    shown is the one that is sent.
    """
    first = prompt.split(maxsplit=1)[:1]
    return prompt.lower() if first and first[0].lower() in _ASKING_FOR_OBJECTS else prompt


def check(prompt: str) -> None:
    """UserError where a prompt is empty, too long, asks for no object by name, or has what the
    processor adds itself."""
    if not isinstance(prompt, str) or not prompt.strip():
        raise UserError("The prompt is empty.", 'Type one, such as "caption en".')
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise UserError(
            f"The prompt has {len(prompt)} characters.", f"Use at most {MAX_PROMPT_CHARACTERS}."
        )
    reserved = _RESERVED.search(prompt)
    if reserved:
        raise UserError(f"The prompt has {reserved[0]}, which is added for you.", "Leave it out.")
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in prompt):
        raise UserError(
            "The prompt has a line break or another control character.", "Write it on one line."
        )
    first, *rest = prompt.split(maxsplit=1)
    if first.lower() in _ASKING_FOR_OBJECTS:
        _names("".join(rest))


def parse(prompt: str) -> ParsedPrompt:
    """The parts of a prompt; what follows no rule of the grammar is FREE. UserError as `check`."""
    check(prompt)
    words = prompt.split()
    first, rest = words[0], words[1:]
    region = _BOX_PROMPT.fullmatch(prompt.strip())
    if region:
        found = parse_detections(region[1])
        if found.objects:
            return ParsedPrompt(Task.REGION, box=found.objects[0].box)
    if first == "ocr" and not rest:
        return ParsedPrompt(Task.OCR)
    if first in ("detect", "segment") and rest:
        return ParsedPrompt(Task(first), objects=" ".join(rest))
    if rest and rest[0] in LANGUAGES:
        language, tail = rest[0], " ".join(rest[1:])
        if first in ("cap", "caption", "describe") and not tail:
            return ParsedPrompt(Task(first), language=language)
        if first == "answer" and tail:
            return ParsedPrompt(Task.ANSWER, language=language, question=tail)
        if first == "question" and tail:
            return ParsedPrompt(Task.QUESTION, language=language, answer=tail)
    return ParsedPrompt(Task.FREE, text=prompt.strip())


def _filled(value: str, name: str, remedy: str) -> str:
    """The value with every run of white space as one space; UserError where nothing is left."""
    value = " ".join(value.split())
    if not value:
        raise UserError(f"There is no {name} yet.", remedy)
    return value


def _names(objects: str) -> str:
    """Object names as the grammar separates them, each once; UserError where there is none."""
    names = (" ".join(name.split()) for name in re.split(r"[;,\n]", objects.lower()))
    wanted = list(dict.fromkeys(name for name in names if name))
    if not wanted:
        raise UserError(
            "There is no object to look for yet.", "Name one or more, such as: cat, dog."
        )
    return " ; ".join(wanted)
