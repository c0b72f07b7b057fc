"""One picture is the same pixels wherever it is opened: page, API, command line, tools."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import datasets
import numpy as np
import pytest
from gradio.data_classes import ImageData
from PIL import Image, ImageCms

from data.sources import Source, read
from models.generate import main
from tests.serving import WatchedBackend
from ui.components import SafeImage

PROMPT = "caption en"


def digest(image: Image.Image) -> str:
    return hashlib.sha256(repr((image.mode, image.size)).encode() + image.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    """A file of each kind that is changed when it is opened, one of them too large to be whole."""
    folder = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(0).normal(128, 40, (60, 90, 3)).clip(0, 255).astype(np.uint8)
    picture = Image.fromarray(noise)
    exif = Image.Exif()
    exif[0x0112] = 6
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    forms = {
        "turned.jpg": (picture, {"exif": exif}),
        "turned.tif": (picture, {"exif": exif}),
        "other-profile.png": (picture, {"icc_profile": lab}),
        "clear.webp": (picture.convert("RGBA").rotate(10), {"lossless": True}),
        "deep.png": (Image.fromarray(noise[..., 0].astype(np.uint16) << 8), {}),
        "ink.jpg": (picture.convert("CMYK"), {}),
        "large.jpg": (picture.resize((4200, 4200)), {}),
    }
    for name, (image, options) in forms.items():
        image.save(folder / name, **options)
    whole = io.BytesIO()
    picture.save(whole, "JPEG")
    (folder / "cut.jpg").write_bytes(whole.getvalue()[:-2])
    return sorted(folder.iterdir())


def on_the_page(files: list[Path], folder: Path) -> list[str]:
    """Through the input of the page, which is the API's too."""
    field = SafeImage(render=False)
    field.GRADIO_CACHE = str(folder)
    return [digest(field.preprocess(ImageData(path=str(each))).image) for each in files]


def from_the_terminal(files: list[Path], backend, folder: Path) -> list[str]:
    """One by one and, as a batch, from a file of requests."""
    watched = WatchedBackend(backend)
    for each in files:
        main(["--image", str(each), "--prompt", PROMPT, "--max-new-tokens", "1"], watched)
    lines = folder / "requests.jsonl"
    fields = {"prompt": PROMPT, "max_new_tokens": 1}
    lines.write_text("\n".join(json.dumps({"image": str(each)} | fields) for each in files))
    main(["--jsonl", str(lines)], watched)
    found = [digest(request.image) for request in watched.requests]
    assert sorted(found[: len(files)]) == sorted(found[len(files) :])
    return found[: len(files)]


def for_training_and_evaluation(files: list[Path], folder: Path) -> list[list[str]]:
    """As both read them: a file of items, and rows of a dataset."""
    lines = folder / "items.jsonl"
    fields = {"prefix": PROMPT, "suffix": "something"}
    lines.write_text("\n".join(json.dumps({"image": str(each)} | fields) for each in files))
    pictures = [{"bytes": each.read_bytes(), "path": None} for each in files]
    rows = datasets.Dataset.from_dict(
        {"image": pictures, "answer": ["something"] * len(files)},
        features=datasets.Features(
            {"image": datasets.Image(decode=False), "answer": datasets.Value("string")}
        ),
    )
    rows.to_parquet(folder / "train.parquet")
    sources = (
        Source(str(lines)),
        Source(str(folder), split="train", answer="answer", template=PROMPT),
    )
    return [[digest(item.open()) for item in read(source)] for source in sources]


def test_one_picture_is_the_same_pixels_wherever_it_is_opened(files, backend, tmp_path, capsys):
    page = on_the_page(files, files[0].parent)
    assert len(set(page)) == len(files)
    assert from_the_terminal(files, backend, tmp_path) == page
    for found in for_training_and_evaluation(files, tmp_path):
        assert found == page
