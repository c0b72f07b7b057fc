"""The HTML of a comparison: a card an answer, what they differ in, and the votes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

from models.prompts import tokens
from ui.differences import SAME_BOX_IOU, Part
from ui.markup import SHORTEST_WAIT_S, escape, notice, status
from ui.side_by_side import SideAnswer

VOTES = (("left", "{0} is better"), ("right", "{1} is better"), ("both", "Both are good"),
         ("neither", "Neither is"))  # fmt: skip
# How a side ended, with remedies that are on this tab or say where they are.
ENDED = {
    "eos": "Done.",
    "length": "Stopped at the token limit. For a longer answer, ask on the tab Ask: "
    "“Maximum tokens” is there, under Decoding.",
    "cancelled": "Stopped.",
    "deadline": "Stopped at the time limit. Compare fewer sides, or choose a smaller model.",
}
# What the browser keeps; `scripts/compare.js` counts, downloads and clears it.
KEPT = (
    '<p class="votes-refused notice notice-warning" role="alert"></p>'
    '<div class="votes-kept"><p class="votes-count" role="status"></p>'
    '<button type="button" class="votes-download">Download votes as JSON</button>'
    '<button type="button" class="votes-clear">Clear votes</button></div>'
)


def card(
    letter: str,
    about: Sequence[str],
    answer: SideAnswer | None,
    parts: Sequence[Part] | None = None,
) -> str:
    """An answer with what wrote it, its seconds and its tokens; a place for one where `answer` is
    None. `parts` are its words with the differing ones marked."""
    first, *changed = about
    others = "".join(f'<span class="changed">{escape(each)}</span>' for each in changed)
    head = (
        f'<h3 class="side-head"><span class="letter">{letter}</span>'
        f"<span>{escape(first)}</span>{others}</h3>"
    )
    if answer is None:
        body = f'{status(" ")}<p class="side-text empty">The answer will appear here.</p>'
    elif answer.error is not None and not answer.text:
        body = notice(str(answer.error), "error")
    else:
        text = _marked(parts or [(tokens.readable(answer.text), False)])
        body = f'{_status(answer)}<p class="side-text" dir="auto">{text}</p>'
    inside = f"{head}{body}{_figures(answer)}"
    return f'<article class="side-answer" aria-label="Answer {letter}">{inside}</article>'


def _status(answer: SideAnswer) -> str:
    if answer.error is not None:
        return notice(str(answer.error), "error")
    if answer.is_stopped:
        return status(ENDED["cancelled"])
    if answer.result is not None:
        notes = answer.result.notes
        return status(" ".join((ENDED[answer.result.finish_reason], *notes)))
    return status(answer.status.message, answer.status.share)


def _marked(parts: Sequence[Part]) -> str:
    made = (f"<mark>{escape(part)}</mark>" if differs else escape(part) for part, differs in parts)
    return "".join(made)


def _figures(answer: SideAnswer | None) -> str:
    seconds = "–" if answer is None or answer.seconds is None else f"{answer.seconds:.2f} s"
    count = str(answer.tokens) if answer and answer.tokens else "–"
    first = "–"
    figures = []
    if answer and answer.result:
        spent = answer.result.timings
        first = f"{spent.first_token_s:.2f} s"
        waits = (("Waited", spent.wait_s), ("Loaded", spent.load_s))
        figures = [(name, f"{each:.1f} s") for name, each in waits if each >= SHORTEST_WAIT_S]
    figures += [("First token", first), ("Whole answer", seconds), ("Tokens", count)]
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures)
    return f'<dl class="figures">{cells}</dl>'


def difference(letters: Sequence[str], texts: Sequence[str], lonely: int, boxes: int) -> str:
    """What the finished answers differ in, in words; `lonely` of all their `boxes` have no
    partner on a side that they are compared with."""
    if len(letters) < 2:
        return "There are no two whole answers to compare."
    if len(set(texts)) == 1:
        said = "The words are the same." if boxes else "The answers are the same."
    else:
        said = f"Words that differ from {letters[0]}'s are marked."
    if not boxes:
        return said
    if not lonely:
        return f"{said} All boxes match (same label, IoU of at least {SAME_BOX_IOU:g})."
    them = "box has no partner and is" if lonely == 1 else "boxes have no partner and are"
    return (
        f"{said} {lonely} of {boxes} {them} dashed: "
        f"none of the same label with an IoU of at least {SAME_BOX_IOU:g}."
    )


def votes(letters: Sequence[str], record: dict[str, Any]) -> str:
    """A vote for each pair of answers; `record` is what the browser keeps with it."""
    if len(letters) < 2:
        return ""
    groups = []
    for left, right in itertools.combinations(letters, 2):
        options = "".join(
            f'<label><input type="radio" value="{value}">'
            f"<span>{name.format(left, right)}</span></label>"
            for value, name in VOTES
        )
        pair = f"{left}{right}"
        groups.append(
            f'<fieldset class="vote" id="vote-{pair}" data-pair="{pair}" '
            f'aria-label="{left} or {right}"><legend>{left} or {right}</legend>'
            f"<div>{options}</div></fieldset>"
        )
    kept = escape(json.dumps(record, ensure_ascii=False))
    return (
        f'<section class="votes" data-comparison="{kept}">'
        f'<h2 class="section">Which answer is better?</h2>{"".join(groups)}</section>'
    )
