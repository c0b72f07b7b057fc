"""What nano gets wrong: its commonest confusions as tables, its worst scenes as a picture.

    python -m evaluation.evaluate --checkpoint nano-224 --json scores.json
    python -m evaluation.nano.failures scores.json --picture checkpoints/nano-224/failures.webp \\
        --write checkpoints/nano-224/README.md

Reads what `evaluation.evaluate` wrote and draws the scenes again from their seeds.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from data import documents
from evaluation.report.tables import table
from models.prompts.tokens import readable
from training.nano.scenes import sprites
from training.nano.scenes.scene import draw

SCENES, COLUMNS = 6, 3
SHOWN = 224  # pixels a side of a scene in the picture
LINES, LETTERS, LINE_PX, MARGIN = 12, 42, 18, 12
LONGEST_TABLE = 10
_INK = {"asked": (20, 20, 22), "true": (10, 94, 44), "given": (176, 20, 26)}


def pairs(misses: Iterable[dict]) -> Counter[tuple[str, str]]:
    """How often which true answer was given as which other one."""
    return Counter((miss["true"], miss["given"]) for miss in misses)


def letters(misses: Iterable[dict]) -> Counter[tuple[str, str]]:
    """The same for single letters, of prints that were read with the right number of them."""
    found: Counter[tuple[str, str]] = Counter()
    for miss in misses:
        true, given = miss["true"], miss["given"].strip()
        if len(true) == len(given):
            found.update((a, b) for a, b in zip(true, given, strict=True) if a != b)
    return found


def tables(scores: dict) -> str:
    """Confusions of objects in boxes, of counts and of printed letters, as Markdown."""
    wrong = scores["wrong"]
    prints = [
        m for task, misses in wrong.items() if task.startswith("ocr, letters") for m in misses
    ]
    kinds = {
        "object in a box": pairs(wrong.get("region", ())),
        "number of objects": pairs(wrong.get("answer: how many", ())),
        "printed letter": letters(prints),
    }
    columns = [
        [f"{true} → {given} ({n})" for (true, given), n in found.most_common(LONGEST_TABLE)]
        for found in kinds.values()
    ]
    rows = [
        tuple(column[i] if i < len(column) else "" for column in columns)
        for i in range(max(map(len, columns)))
    ]
    return table(tuple(kinds), rows, markdown=True)


def worst(scores: dict, count: int = SCENES) -> list[tuple[int, list[dict]]]:
    """The seeds with the most wrong answers in English, and those answers, the worst first."""
    by_seed: dict[int, list[dict]] = defaultdict(list)
    for misses in scores["wrong"].values():
        for miss in misses:
            task, about = miss["prefix"].split()[0], miss["prefix"].split()[-1]
            if task not in ("cap", "caption") or about == "en" or "<loc" in about:
                by_seed[miss["seed"]].append(miss)
    return sorted(by_seed.items(), key=lambda item: (-len(item[1]), item[0]))[:count]


def picture(chosen: Sequence[tuple[int, list[dict]]], resolution: int) -> Image.Image:
    """RGB: each scene with what it was asked, what is true (green) and what was given (red)."""
    font = ImageFont.truetype(str(sprites.HERE / "fonts" / "roboto-latin-700-normal.woff2"), 13)
    width = SHOWN + 3 * MARGIN + LETTERS * 7
    height = max(SHOWN, LINES * LINE_PX) + 2 * MARGIN
    rows = -(-len(chosen) // COLUMNS)
    sheet = Image.new("RGB", (width * COLUMNS, height * rows), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (seed, misses) in enumerate(chosen):
        row, column = divmod(number, COLUMNS)
        left, top = column * width + MARGIN, row * height + MARGIN
        scene = draw(seed, resolution).image.resize((SHOWN, SHOWN), Image.Resampling.LANCZOS)
        sheet.paste(scene, (left, top))
        lines = [line for miss in misses for line in _lines(miss)][:LINES]
        for at, (role, text) in enumerate(lines):
            place = (left + SHOWN + MARGIN, top + at * LINE_PX)
            pen.text(place, text, font=font, fill=_INK[role])
    return sheet


def _lines(miss: dict) -> list[tuple[str, str]]:
    """What was asked, true and given, each cut to what a line holds."""
    texts = {"asked": miss["prefix"], "true": miss["true"], "given": miss["given"] or "(nothing)"}
    lines = []
    for role, text in texts.items():
        text = readable(text)
        short = text if len(text) <= LETTERS else text[: LETTERS - 1] + "…"
        lines.append((role, short))
    return lines


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("scores", type=Path, help="the JSON file of evaluation.nano.evaluate")
    parser.add_argument("--picture", type=Path, help="draw the worst scenes here")
    parser.add_argument("--write", type=Path, nargs="+", default=[], help="documents with marks")
    options = parser.parse_args()
    scores = json.loads(options.scores.read_text())
    print(tables(scores))
    if options.picture:
        picture(worst(scores), scores["resolution"]).save(options.picture, quality=60, method=6)
    for document in options.write:
        documents.write(document, {f"confusions {scores['checkpoint']}": tables(scores)})


if __name__ == "__main__":
    main()
