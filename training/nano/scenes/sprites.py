"""The committed sprites and the names of what they show."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
SHEETS = HERE / "atlases"
VOCABULARY = HERE / "vocabulary.json"
SPRITE_PX = 160
STYLES = ("noto", "fluent-flat", "fluent-3d", "twemoji")
HELD_OUT_STYLE = "emojione"  # never trained on; it does not have all objects


@dataclass(frozen=True)
class Noun:
    """One object of the scenes: its number, emoji and CLDR names by language code."""

    index: int
    emoji: str
    names: dict[str, str]

    @property
    def name(self) -> str:
        """The English name, singular, as prompts and answers use it."""
        return self.names["en"]


@cache
def nouns() -> tuple[Noun, ...]:
    """Every object that scenes may hold, in the order of the sheets."""
    entries = json.loads(VOCABULARY.read_text())
    return tuple(Noun(i, entry["emoji"], entry["names"]) for i, entry in enumerate(entries))


@cache
def load(styles: tuple[str, ...] = STYLES) -> dict[tuple[int, str], Image.Image]:
    """RGBA sprites of at most SPRITE_PX a side, cropped tight, by (object number, style)."""
    sprites = {}
    for style in styles:
        sheet = Image.open(SHEETS / f"{style}.webp").convert("RGBA")
        columns = sheet.width // SPRITE_PX
        for noun in nouns():
            x, y = noun.index % columns * SPRITE_PX, noun.index // columns * SPRITE_PX
            sprite = sheet.crop((x, y, x + SPRITE_PX, y + SPRITE_PX))
            box = sprite.getchannel("A").point(lambda a: 255 * (a > 24)).getbbox()
            if box:
                sprites[noun.index, style] = sprite.crop(box)
    return sprites


@cache
def drawn_in(styles: tuple[str, ...]) -> tuple[Noun, ...]:
    """The objects that every one of some styles has."""
    sheets = load(styles)
    return tuple(n for n in nouns() if all((n.index, style) in sheets for style in styles))
