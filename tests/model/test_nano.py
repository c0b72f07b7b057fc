"""nano as it is shipped: small, and at an end with every picture, also where it knows nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import PaliGemmaForConditionalGeneration, PaliGemmaProcessor

from evaluation.compare.answers import Answerer
from evaluation.nano.asking import opened
from models.catalog.catalog import Catalog
from models.catalog.checkpoints import BUILT_IN

NANOS = [each.name for each in BUILT_IN if each.size == "nano"]
PHOTOGRAPHS = sorted((Path(__file__).parents[2] / "examples").glob("photo-*.jpg"))
PROMPTS = (
    "cap en",
    "caption en",
    "caption de",
    "caption ja",
    "describe en",
    "answer en what is this?",
    "answer en how many objects are there?",
    "question en yes",
    "ocr",
    "detect cat ; cup",
    "segment cat",
    "caption <loc0100><loc0100><loc0800><loc0900>",
    "what is this about?",
)


@pytest.fixture(scope="module", params=NANOS)
def answerer(request) -> Iterator[Answerer]:
    with opened(Catalog(), request.param, "fp32") as found:
        yield found


@pytest.mark.slow
def test_every_answer_to_a_photograph_comes_to_an_end(answerer):
    pictures = [Image.open(path).convert("RGB") for path in PHOTOGRAPHS]
    pictures.append(Image.new("RGB", (5, 5), "white"))
    if answerer.system.checkpoint.name == "nano-224":  # nano-448 runs on here, as its card says
        noise = np.random.default_rng(0).integers(0, 256, (300, 200, 3), np.uint8)
        pictures += [Image.fromarray(noise), Image.new("RGB", (5, 5))]
    assert len(pictures) >= 3
    prompts = [answerer.prompt(i, text) for i in range(len(pictures)) for text in PROMPTS]
    for prompt, answer in zip(prompts, answerer.answers(pictures, prompts), strict=True):
        assert answer.finished, (prompt.image, prompt.text, answer.text)


@pytest.mark.parametrize("name", NANOS)
def test_a_checkpoint_is_small_and_needs_no_large_file_storage(name):
    sizes = [file.stat().st_size for file in Catalog().find(name).path.iterdir() if file.is_file()]
    assert sum(sizes) < 60_000_000
    assert max(sizes) < 10_000_000


@pytest.mark.slow
def test_answers_side_by_side_are_those_of_plain_generate(answerer):
    pictures = [Image.open(path).convert("RGB") for path in PHOTOGRAPHS]
    prompts = [answerer.prompt(i % len(pictures), text) for i, text in enumerate(PROMPTS)]
    path = answerer.system.checkpoint.path
    plain = PaliGemmaForConditionalGeneration.from_pretrained(path, dtype=torch.float32)
    processor = PaliGemmaProcessor.from_pretrained(path)
    for prompt, answer in zip(prompts, answerer.answers(pictures, prompts), strict=True):
        inputs = processor(
            images=pictures[prompt.image], text=f"<image>{prompt.text}", return_tensors="pt"
        )
        limit = prompt.max_new_tokens
        ids = plain.generate(**inputs, do_sample=False, max_new_tokens=limit)[0]
        new = ids[inputs["input_ids"].shape[1] :]
        assert answer.text == processor.decode(new, skip_special_tokens=True).strip()
