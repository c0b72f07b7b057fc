"""Runs for tests of exports: pictures with awkward names, labels and masks, as if answered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from data.exports.formats import export
from data.runs import Run
from models.prompts.tokens import encode_box, encode_codes
from models.results import result_to_json
from models.schema import Box, Detection, Result, Timings

PROMPTS = ("detect null ; a: b ; driver's seat ; قطة ; yes", "segment ring", "caption en")
LABELS = ("null", "a: b", "driver's seat", "قطة", "yes", "ring")
CODES = tuple(range(16))

# Left, top, right, bottom as <loc> numbers, so that boxes come back as a model writes them.
_BOXES = {
    "a/1.jpg": [("null", (100, 200, 400, 500)), ("a: b", (0, 0, 1023, 1023))],
    "b/1.jpg": [("driver's seat", (300, 40, 700, 80)), ("قطة", (5, 6, 70, 80))],
    "turned.jpg": [("yes", (100, 700, 300, 1000))],
    "B/1.JPG": [],
    "zürich ;#'.png": [("", (10, 10, 200, 200))],
}
SIZES = {
    "a/1.jpg": (320, 200),
    "b/1.jpg": (200, 320),
    "turned.jpg": (120, 240),  # upright; the file has 240 × 120
    "B/1.JPG": (64, 64),
    "zürich ;#'.png": (333, 217),
}


def ring_of_parts(width: int, height: int) -> np.ndarray:
    """bool[height, width]: a ring and, apart from it, a disc."""
    y, x = np.mgrid[:height, :width]
    far = np.hypot((x - width * 0.35) / width, (y - height * 0.4) / height)
    near = np.hypot((x - width * 0.8) / width, (y - height * 0.8) / height)
    return ((far < 0.3) & (far > 0.12)) | (near < 0.14)


def two_parts(width: int, height: int) -> np.ndarray:
    """bool[height, width]: two discs."""
    y, x = np.mgrid[:height, :width]
    discs = ((0.3, 0.35), (0.75, 0.7))
    return np.any([np.hypot(x / width - u, y / height - v) < 0.2 for u, v in discs], axis=0)


def save_pictures(folder: Path) -> None:
    """The pictures of SIZES; one is turned by its EXIF."""
    for number, (name, size) in enumerate(SIZES.items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image = Image.new("RGB", size, (40 * number, 90, 200))
        image.paste("white", (0, 0, size[0] // 2, size[1] // 3))  # so that turning it shows
        if name == "turned.jpg":
            exif = Image.Exif()
            exif[0x0112] = 6
            image.transpose(Image.Transpose.ROTATE_90).save(folder / name, exif=exif)
        else:
            image.save(folder / name, "PNG" if name.endswith("png") else "JPEG")


def detections(name: str, prompt: str) -> tuple[Detection, ...]:
    """What was found in a picture."""
    width, height = SIZES[name]
    if prompt == PROMPTS[1] and name in ("a/1.jpg", "b/1.jpg"):
        mask = (ring_of_parts if name == "a/1.jpg" else two_parts)(width, height)
        return (_detection("ring", (20, 20, 1000, 1000), width, height, mask),)
    if prompt == PROMPTS[0]:
        return tuple(_detection(label, box, width, height) for label, box in _BOXES[name])
    return ()


def _detection(label, edges, width, height, mask=None) -> Detection:
    x_min, y_min, x_max, y_max = (edge / 1023 for edge in edges)
    box = Box(y_min, x_min, y_max, x_max)
    return Detection(label, box, box.to_xyxy_px(width, height), mask, 0.875)


def text_of(found: tuple[Detection, ...]) -> str:
    """The answer as a model writes it."""
    codes = encode_codes(CODES)
    return " ; ".join(
        f"{encode_box(each.box_yxyx_norm)}{codes if each.mask is not None else ''} {each.label}"
        for each in found
    )


def make_run(folder: Path, images: Path) -> Path:
    """A run over the pictures of SIZES in `images`, and one that is broken."""
    roots = [str(images)]
    run = Run(
        folder,
        {"images": roots, "prompts": list(PROMPTS), "checkpoint": "nano-224", "adapter": None},
    )
    for name, (width, height) in SIZES.items():
        lines = []
        for prompt in PROMPTS:
            found = detections(name, prompt)
            text = text_of(found) or ("none" if prompt != "caption en" else "قطة, a cat\nand more")
            result = Result(
                text, prompt, "nano-224", None, found, 0, Timings(0, 0.1, 0.1, 2), "eos"
            )
            line = {"image": name, "width": width, "height": height}
            lines.append(line | result_to_json(result))
        run.add(lines)
    run.add([{"image": "broken.jpg", "prompt": each, "error": "No picture."} for each in PROMPTS])
    run.close()
    return folder


def exported(run: Path, name: str) -> Path:
    """The folder of a format that is written now."""
    (found,) = export(run, [name])
    return found.folder
