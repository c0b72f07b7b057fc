"""What differs between two answers: their words, and their boxes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from models.matching import box_iou, match, overlaps
from models.schema import Detection

OBJECTS_JOINED_BY = ";"  # never marked: it goes with the names around it
SAME_BOX_IOU = 0.5  # from which on two boxes of one label are the same object

# A letter of a script that puts no spaces between words counts as a word, Thai with its marks.
_LETTER = (
    r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|"
    r"[\u0e01-\u0e7f][\u0e31\u0e34-\u0e3a\u0e47-\u0e4e]*"
)
_MARK = r"[.,;:!?()\[\]\"«»„“”。、！？؟،।]"
_WORD = re.compile(rf"{_LETTER}|{_MARK}|(?:(?!{_LETTER}|{_MARK})\S)+")

Part = tuple[str, bool]  # a stretch of an answer, and whether the other one differs there


def mark_words(text: str, *others: str) -> list[Part]:
    """`text` in stretches whose words are, or are not, at the same place in all of `others`.

    The stretches together are `text`. Punctuation marks are words of their own, and upper and lower
    case differ.
    """
    spans = [found.span() for found in _WORD.finditer(text)]
    words = [text[start:end] for start, end in spans]
    differs = [False] * len(words)
    joins = {index for index, word in enumerate(words) if word == OBJECTS_JOINED_BY}
    for other in others:
        matcher = SequenceMatcher(None, words, _WORD.findall(other), autojunk=False)
        same = set(joins)
        for block in matcher.get_matching_blocks():
            same.update(range(block.a, block.a + block.size))
        differs = [each or index not in same for index, each in enumerate(differs)]
    return _stretches(text, spans, differs)


def _stretches(text: str, spans: list[tuple[int, int]], differs: list[bool]) -> list[Part]:
    """Neighbouring words of one kind together, with what stands between them."""
    parts: list[Part] = []
    place = 0
    for index, ((start, end), is_marked) in enumerate(zip(spans, differs, strict=True)):
        between = text[place:start]
        if index and differs[index - 1] == is_marked:
            parts[-1] = (parts[-1][0] + between + text[start:end], is_marked)
        else:
            if between:
                parts.append((between, False))
            parts.append((text[start:end], is_marked))
        place = end
    if text[place:]:
        parts.append((text[place:], False))
    return parts


def match_boxes(first: Sequence[Detection], second: Sequence[Detection]) -> list[int | None]:
    """For each of `first` the index of the same object in `second`, or None.

    The same object has the same label and a box with an IoU of at least SAME_BOX_IOU; the best
    pairs come first, and each object is used once.
    """
    true, given = (
        [(each.label.strip().casefold(), each.box_xyxy_px) for each in objects]
        for objects in (first, second)
    )
    overlap = overlaps(true, given, box_iou)
    return match(overlap * (overlap >= SAME_BOX_IOU))
