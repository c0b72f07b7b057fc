"""An explanation as HTML: the answer's words by probability, each with its heat map and its rivals.

Tokens are put together to what a person reads: words, boxes, masks. The picture and the maps are
small and come inside the page; `scripts/explain.js` shows the map of the chosen word.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from models.schema import Explanation, TokenExplanation
from ui.markup import escape

PICTURE_PX = 480  # of the longer side
HOT = (255, 60, 0)  # RGB of a heat map, whose opacity is the heat
OPACITY = 215  # of 255, where it is hottest
CAVEAT = (
    "The map shows where the last three layers attended when the words were predicted. It tells "
    "where the model looked, not that it was right, nor that the place made it say so."
)


@dataclass(frozen=True)
class Unit:
    """Neighbouring tokens that are read as one: a word, or the codes of a box or of a mask."""

    name: str
    tokens: tuple[TokenExplanation, ...]
    is_code: bool

    @property
    def probability(self) -> float | None:
        """Of its least likely token; None for codes, each of which has neighbours as good."""
        return None if self.is_code else min(each.probability for each in self.tokens)

    @property
    def heat(self) -> np.ndarray:
        """The mean of its tokens' maps, float[pictures, side, side], scaled to [0, 1]."""
        heat = np.mean([each.heat for each in self.tokens], axis=0)
        heat = heat - heat.min()
        return heat / heat.max() if heat.max() > 0 else heat


def units(tokens: Sequence[TokenExplanation]) -> list[Unit]:
    """The tokens by units, in order: four `<loc>` are a box, neighbouring `<seg>` a mask, and a
    word goes on until the next space."""
    found: list[list[TokenExplanation]] = []
    kinds: list[str] = []
    for token in tokens:
        kind = next((name for name in ("loc", "seg") if token.piece.startswith(f"<{name}")), "")
        is_full = kind == "loc" and len(found[-1] if found else ()) == 4
        goes_on = kind != "" or not token.piece.startswith((" ", "\n"))
        if found and kinds[-1] == kind and goes_on and not is_full:
            found[-1].append(token)
        else:
            found.append([token])
            kinds.append(kind)
    names = {"loc": "box", "seg": "mask"}
    made = [
        Unit(names.get(kind) or "".join(e.piece for e in own).strip(), tuple(own), kind != "")
        for kind, own in zip(kinds, found, strict=True)
    ]
    return [each for each in made if each.name]


def to_html(explanation: Explanation, pictures: Sequence[Image.Image]) -> str:
    """The pictures, the words as buttons, and for each its maps and a table of its tokens."""
    found = units(explanation.tokens)
    looked_at = "".join(_looked_at(each, number, found) for number, each in enumerate(pictures))
    buttons = "".join(_button(index, unit) for index, unit in enumerate(found))
    tables = "".join(_table(index, unit) for index, unit in enumerate(found))
    return (
        '<div class="explained"><div class="words" role="group" aria-label="Words of the answer">'
        f'{buttons}</div>{looked_at}<div class="rivals" aria-live="polite">{tables}</div>'
        f'<p class="caveat">{escape(CAVEAT)}</p></div>'
    )


def _looked_at(picture: Image.Image, number: int, found: Sequence[Unit]) -> str:
    """Picture `number`, with the map of each unit over it."""
    picture = picture.copy()
    picture.thumbnail((PICTURE_PX, PICTURE_PX))
    maps = "".join(
        f'<img class="heat" data-unit="{index}" alt="" '
        f'src="{_data(_layer(unit.heat[number]), "png")}">'
        for index, unit in enumerate(found)
    )
    name = "The picture that was asked about" if number == 0 else f"Picture {number + 1}"
    return f'<div class="looked-at"><img alt="{name}" src="{_data(picture, "webp")}">{maps}</div>'


def _button(index: int, unit: Unit) -> str:
    sure = unit.probability
    share = "" if sure is None else f"<span>{sure:.0%}</span>"
    return (
        f'<button type="button" class="unit" data-unit="{index}" aria-pressed="false" '
        f'style="--sure: {sure or 0:.2f}">{escape(unit.name)}{share}</button>'
    )


def _table(index: int, unit: Unit) -> str:
    rows = "".join(
        f'<tr><th scope="row"><code>{escape(token.piece.strip() or "space")}</code></th>'
        f"<td>{token.probability:.1%}</td><td>{_rivals(token)}</td></tr>"
        for token in unit.tokens
    )
    head = "".join(
        f'<th scope="col">{name}</th>' for name in ("Token", "Probability", "Likeliest here")
    )
    return (
        f'<table data-unit="{index}"><caption>{escape(unit.name)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _rivals(token: TokenExplanation) -> str:
    return ", ".join(
        f"<code>{escape(text.strip() or 'space')}</code> {share:.1%}"
        for text, share in token.others
    )


def _layer(heat: np.ndarray) -> Image.Image:
    """RGBA[side, side] of a map in [0, 1]."""
    layer = Image.new("RGB", heat.shape[::-1], HOT)
    layer.putalpha(Image.fromarray((heat * OPACITY).astype(np.uint8)))
    return layer


def _data(picture: Image.Image, form: str) -> str:
    file = io.BytesIO()
    picture.save(file, form)
    return f"data:image/{form};base64,{base64.b64encode(file.getvalue()).decode()}"
