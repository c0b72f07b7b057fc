"""Renders the sprites and the vocabulary that scenes are drawn from, out of openly licensed art.

Run once (`python -m training.nano.scenes.art`); the results are committed, so that training and
evaluation need neither npm nor a rasterizer. Needs `npm` and the packages of
`training/nano/requirements.txt`.
Sources: Noto Emoji (Apache-2.0), Fluent Emoji flat and 3D (MIT), Twemoji and Emoji One 2.3
(CC-BY-4.0), each as SVG from the Iconify packages; object names from Unicode CLDR (Unicode-3.0).
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from training.nano.scenes import outsiders
from training.nano.scenes.sprites import HELD_OUT_STYLE, SHEETS, SPRITE_PX, STYLES, VOCABULARY

SETS = {
    "noto": "noto",
    "fluent-flat": "fluent-emoji-flat",
    "fluent-3d": "fluent-emoji",
    "twemoji": "twemoji",
    HELD_OUT_STYLE: "emojione",
}
LANGUAGES = (
    "ar bn cs da de el en es fa fi fil fr he hi hr hu id it ja ko "
    "mi nl no pl pt ro ru sv sw te th tr uk vi zh"
).split()
OBJECTS = (
    # animals
    "🐈 🐕 🐎 🐄 🐖 🐘 🦒 🦓 🐒 🦊 🐇 "
    "🐁 🦔 🐻 🐼 🐧 🦉 🦆 🐓 🦩 🦜 🐸 🐢 🐍 🐊 🐋 🐬 🐟 🦈 🐙 🦀 🐌 🦋 🐝 "
    # food and drink
    "🍎 🍌 🍉 🍋 🍍 🍓 🍐 🍑 🥕 🍄 🥑 🍅 🍆 🥐 🥨 🍔 🍕 🌭 🌮 🍩 🍪 🧁 🍭 🥚 🍺 🫖 "
    # plants
    "🌵 🌻 🌷 🌹 🌴 🌲 "
    # vehicles
    "🚗 🚌 🚑 🚒 🚜 🚲 🛵 🚂 🚁 🚀 🚢 ⛵ 🛹 "
    # things
    "🏠 🏰 🎈 🎁 🏆 🏀 🪁 🎲 🧸 🎸 🎻 🎺 🥁 📷 "
    "📺 💻 📱 💡 🔑 🔨 🧲 🔭 🔬 ⌚ ✏ 🔔 👑 🎩 👕 👗 🎒 🪑 🚪 🧹 👻 🤖 "
    # more of each
    "🐑 🐐 🦌 🐫 🦁 🐅 🐨 🦇 🦅 🦢 🦚 🐞 🕷 🦞 🥝 🥥 🌽 🌶 🧅 🧀 🍦 🎂 🍷 🍁 "
    "🚚 🚕 🚓 ✈ 🏍 🛸 ⚓ ⛺ 🪓 🔧 🕯 ☂ ⚽ 🏈 ⏰ 🎃 👽 ⭐ 🎷 🪜"
).split()


def install_art(folder: Path) -> Path:
    """Fetches the art and the names with npm into `folder`; returns its node_modules."""
    packages = [f"@iconify-json/{name}" for name in SETS.values()] + ["cldr-annotations-full"]
    subprocess.run(["npm", "install", "--silent", "--prefix", str(folder), *packages], check=True)
    return folder / "node_modules"


def read_names(modules: Path) -> list[dict]:
    """One entry per object: its emoji and its CLDR name in each language that has one."""
    entries: list[dict[str, Any]] = [{"emoji": emoji, "names": {}} for emoji in OBJECTS]
    for language in LANGUAGES:
        path = modules / "cldr-annotations-full" / "annotations" / language / "annotations.json"
        if not path.exists():
            continue
        annotations = json.loads(path.read_text())["annotations"]["annotations"]
        for entry in entries:
            name = annotations.get(entry["emoji"], {}).get("tts", [None])[0]
            if name:
                entry["names"][language] = name
    return entries


def read_svg(icons: dict, name: str) -> str:
    """The drawing `name` of an Iconify set as an SVG document."""
    icon = icons["icons"][icons.get("aliases", {}).get(name, {}).get("parent", name)]
    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", 16))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">{icon["body"]}</svg>'
    )


def render(svg: str, side: int = SPRITE_PX) -> Image.Image:
    """RGBA sprite of `side` squared, the drawing scaled until its longer side fits."""
    import resvg_py

    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=400, height=400))
    big = Image.open(io.BytesIO(png)).convert("RGBA")
    big = big.crop(big.getchannel("A").point(lambda a: 255 * (a > 24)).getbbox())
    scale = side / max(big.size)
    size = (max(1, round(big.width * scale)), max(1, round(big.height * scale)))
    sprite = Image.new("RGBA", (side, side))
    sprite.paste(
        big.resize(size, Image.Resampling.LANCZOS),
        ((side - size[0]) // 2, (side - size[1]) // 2),
    )
    return sprite


def build(modules: Path) -> None:
    """Writes the vocabulary and one sheet of sprites per art style beside this file."""
    entries = read_names(modules)
    lines = (json.dumps(each, ensure_ascii=False, separators=(",", ":")) for each in entries)
    VOCABULARY.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    columns = 12
    rows = -(-len(entries) // columns)
    SHEETS.mkdir(exist_ok=True)
    for style, package in SETS.items():
        folder = modules / "@iconify-json" / package
        icons = json.loads((folder / "icons.json").read_text())
        sheet = Image.new("RGBA", (columns * SPRITE_PX, rows * SPRITE_PX))
        for index, entry in enumerate(entries):
            name = entry["names"]["en"].lower().replace("’", "").replace(" ", "-")
            if style == HELD_OUT_STYLE and name not in icons["icons"] | icons.get("aliases", {}):
                continue  # this set is older than some of the objects
            sheet.paste(
                render(read_svg(icons, name)),
                (index % columns * SPRITE_PX, index // columns * SPRITE_PX),
            )
        sheet.save(SHEETS / f"{style}.webp", quality=90, method=6)


def build_outsiders(modules: Path) -> None:
    """Writes the drawings that have no word: one sheet per trained style, and their index."""
    path = modules / "cldr-annotations-full" / "annotations" / "en" / "annotations.json"
    annotations = json.loads(path.read_text())["annotations"]["annotations"]
    icons = {
        style: json.loads((modules / "@iconify-json" / SETS[style] / "icons.json").read_text())
        for style in STYLES
    }
    entries = []
    for emoji in (*outsiders.TRAINED, *outsiders.KEPT):
        name = annotations[emoji]["tts"][0]
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower().replace("’", "")).strip("-")
        if emoji not in OBJECTS and all(_has(each, slug) for each in icons.values()):
            kept = emoji in outsiders.KEPT
            entries.append({"emoji": emoji, "name": name, "kept": kept, "slug": slug})
    side, columns = outsiders.SIDE_PX, outsiders.COLUMNS
    for style, found in icons.items():
        sheet = Image.new("RGBA", (columns * side, -(-len(entries) // columns) * side))
        for index, entry in enumerate(entries):
            drawing = render(read_svg(found, entry["slug"]), side)
            sheet.paste(drawing, (index % columns * side, index // columns * side))
        sheet.save(SHEETS / outsiders.sheet_of(style), quality=74, method=6)
    lines = (
        json.dumps({key: entry[key] for key in ("emoji", "name", "kept")}, ensure_ascii=False)
        for entry in entries
    )
    outsiders.INDEX.write_text("[\n" + ",\n".join(lines) + "\n]\n")


def _has(icons: dict, name: str) -> bool:
    return name in icons["icons"] or name in icons.get("aliases", {})


def main() -> None:
    """Command line: fetch the art (or use a node_modules that is there) and render it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", type=Path, help="an existing node_modules with the art")
    parser.add_argument(
        "--outsiders", action="store_true", help="only the drawings that have no word"
    )
    arguments = parser.parse_args()
    steps = [build_outsiders] if arguments.outsiders else [build, build_outsiders]
    with tempfile.TemporaryDirectory() as folder:
        modules = arguments.modules or install_art(Path(folder))
        for step in steps:
            step(modules)


if __name__ == "__main__":
    main()
