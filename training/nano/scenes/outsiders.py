"""Drawings that nano has no word for: they stand in scenes and are neither named nor counted.

They come from the same sets as the objects. Those of KEPT are never trained on: only tests and
tables show them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

from PIL import Image

from training.nano.scenes.sprites import HERE, SHEETS

TRAINED = (
    "🍇 🍈 🍊 🥭 🍒 🥦 🥒 🥔 🌰 🍞 🥖 🥞 🧇 🍖 🍗 🥓 🍟 🥪 🌯 🥗 🍿 🧂 🍙 🍜 "
    "🍣 🍤 🥟 🥠 🥧 🍫 🍬 🍮 🍯 ☕ 🍹 🥤 🦏 🦛 🐿 🦝 🐗 🦥 🦦 🦨 🦘 🦎 🐉 🦕 "
    "🦑 🐚 🐛 🐜 🦂 🌍 🌙 ☀ ⚡ ❄ 🔥 💧 🌈 🎄 🎀 🎯 🎮 🧩 🧵 🧶 👓 🧣 🧤 🧦 "
    "👟 👢 💍 💎 🎤 🎧 📻 🪕 🖥 🖨 💾 📚 📖 💰 ✉ 📦 ✂ 📌 📎 🔒 🏹 🛡 ⚙ 🔗 "
    "🧰 🧪 🧬 📡 💉 💊 🛏 🚽 🛁 🧻 🛒 🚦 🚧 🛑 ⛽ 🎡 🎠 ⛲ 🗽 ⛪ 😀 😍 😎 🤡 "
    "💀 👶 👮 👸 🖐 👍 👂 👁 👄 🦷 🦴 🧠 ❤ 💔 💣 💤 🚩 🏁"
).split()
KEPT = (
    "🥬 🫑 🧈 🥩 🍝 🥫 🥛 🍾 🦡 🦫 🦃 🐣 🕊 🦖 🦐 🪲 🌛 🌊 🎱 🎨 🧢 👠 👛 📢 "
    "🎹 🖱 📓 💳 📫 📏 🪚 ⚖ 🧫 🩹 🛋 🚿 🧽 🎢 🗼 🏭 🤠 😱 👴 🦵 👃 💘 🏳 🗿 "
    "🪙 🪣 🪞 🛶 🚠"
).split()


@dataclass(frozen=True)
class Outsider:
    """One drawing without a word: its number in the sheets, CLDR name, and whether it is kept."""

    index: int
    emoji: str
    name: str
    kept: bool


INDEX = HERE / "outsiders.json"
SIDE_PX = 112
COLUMNS = 14


def sheet_of(style: str) -> str:
    """The file name of a style's sheet."""
    return f"outsiders-{style}.webp"


@cache
def outsiders(kept: bool = False) -> tuple[Outsider, ...]:
    """Those that are trained with, or those that are kept for tests."""
    entries = json.loads(INDEX.read_text("utf-8"))
    found = (Outsider(i, e["emoji"], e["name"], e["kept"]) for i, e in enumerate(entries))
    return tuple(each for each in found if each.kept is kept)


@cache
def load(style: str) -> dict[int, Image.Image]:
    """RGBA drawings of at most SIDE_PX a side, cropped tight, by number."""
    sheet = Image.open(SHEETS / sheet_of(style)).convert("RGBA")
    found = {}
    for index in range(len(json.loads(INDEX.read_text("utf-8")))):
        x, y = index % COLUMNS * SIDE_PX, index // COLUMNS * SIDE_PX
        drawing = sheet.crop((x, y, x + SIDE_PX, y + SIDE_PX))
        box = drawing.getchannel("A").point(lambda a: 255 * (a > 24)).getbbox()
        if box:
            found[index] = drawing.crop(box)
    return found
