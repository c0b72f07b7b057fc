"""Prompts with several pictures: the tokens are those of `generate`, streamed, beside others."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models.catalog.catalog import Catalog
from models.catalog.checkpoints import NANO
from models.engine.engine import Engine
from models.engine.inputs import prefix_ids, prepare
from models.engine.slots import images_that_fit
from models.loading.loader import read_model
from models.schema import Explanation, Request, UserError
from tests.choosing import answer, load, select
from training.nano.scenes.scene import HELD_OUT, draw

CPU = torch.device("cpu")
PROMPTS = ("answer en how many objects are there?", "caption en", "detect cat ; cup")


@pytest.fixture
def about(ask):
    """Makes a request about the scenes of so many seeds."""

    def make(prompt: str, images: int, first: int = HELD_OUT, **options) -> Request:
        one, *more = (draw(first + number).image for number in range(images))
        return ask(prompt, tokens=10, image=one, more_images=tuple(more), **options)

    return make


@torch.inference_mode()
def reference(model, loaded, request: Request) -> list[int]:
    """The ids that transformers generates, without the end token."""
    inputs = prepare(loaded, request.image, request.prompt, request.more_images)
    output = model.generate(
        **inputs, max_new_tokens=request.decoding.max_new_tokens, do_sample=False
    )
    ids = output[0, inputs["input_ids"].shape[1] :].tolist()
    end = loaded.processor.tokenizer.eos_token_id
    return ids[: ids.index(end)] if end in ids else ids


@pytest.mark.parametrize("images", [1, 2, 4])
def test_the_prefix_is_the_processors(nano, about, images):
    request = about("caption en", images)
    inputs = prepare(nano, request.image, request.prompt, request.more_images)
    assert torch.equal(prefix_ids(nano, request.prompt, images), inputs["input_ids"][0])


def test_side_by_side_with_one_picture_the_tokens_are_those_of_generate(nano, about, serve):
    requests = [
        about(prompt, images, HELD_OUT + 10 * number)
        for images in (2, 1, 4, 3)
        for number, prompt in enumerate(PROMPTS)
    ]
    stock = read_model(NANO.path, "fp32", CPU).eval()
    found = serve(Engine(nano, max_slots=5), requests)
    assert found == [reference(stock, nano, request) for request in requests]


def test_with_an_adapter_they_are_those_of_peft(about, serve):
    from peft import PeftModel

    own = load()
    question = "answer en what shape is in the image?"
    requests = [about(question, images, adapter="easy-vqa") for images in (2, 1, 4)]
    found = serve(Engine(own, max_slots=3), requests)
    plain = read_model(NANO.path, "fp32", CPU).eval()
    adapted = PeftModel.from_pretrained(plain, NANO.path / "adapters" / "easy-vqa").eval()
    assert found == [reference(adapted, own, request) for request in requests]
    select(own, None)


def test_in_the_higher_resolution_they_are_those_of_generate(about, serve):
    checkpoint = Catalog().find("nano-448")
    loaded = load("fp32", checkpoint)
    requests = [about(PROMPTS[1], images) for images in (1, 4)]
    stock = read_model(checkpoint.path, "fp32", CPU).eval()
    found = serve(Engine(loaded, max_slots=2), requests)
    assert found == [reference(stock, loaded, request) for request in requests]


def test_beams_see_all_of_them(nano, about):
    *_, two = answer(nano, about("caption en", 2, num_beams=2))
    *_, one = answer(nano, about("caption en", 1, num_beams=2))
    assert two.text and two.text != one.text


def test_the_order_of_the_pictures_counts(nano, about):
    request = about("describe en", 2)
    (second,) = request.more_images
    turned = replace(request, image=second, more_images=(request.image,))
    texts = [list(answer(nano, each))[-1].text for each in (request, turned)]
    assert texts[0] != texts[1]


def test_each_is_encoded_once(nano, about, serve):
    engine = Engine(nano, max_slots=1)
    serve(engine, [about("caption en", 2), about("ocr", 1), about("ocr", 3)])
    assert (engine.features.misses, engine.features.hits) == (3, 3)


def test_an_explanation_has_a_map_of_each(nano, about):
    request = about("caption en", 2)
    *_, end = answer(nano, request)
    (found,) = answer(nano, replace(request, answer_ids=end.token_ids))
    assert isinstance(found, Explanation)
    assert {token.heat.shape for token in found.tokens} == {(2, 14, 14)}


@pytest.mark.parametrize(
    "name, images",
    [
        ("nano-224", 4),
        ("nano-448", 4),
        ("3b-mix-224", 4),
        ("3b-mix-448", 4),
        ("3b-pt-896", 1),
    ],
)
def test_a_prompt_has_as_many_as_the_context_holds(name, images):
    assert Catalog().find(name).max_images == images


def test_more_than_that_are_refused_in_words(backend, about):
    with pytest.raises(UserError, match=r"There are 5 pictures; nano-224 has room for 4 .*Take"):
        list(backend.answer(about("caption en", 5)))


def test_on_a_gpu_slots_come_first(nano, monkeypatch):
    """Where longer slots would leave fewer than eight, prompts have one picture."""
    slot = nano.checkpoint.shape.text.cache_values * 4
    on_gpu = replace(nano, device=torch.device("cuda"))
    tokens = {images: 196 * images + 2048 for images in (1, 2, 4)}
    for free, expected in ((8 * tokens[4], 4), (8 * tokens[4] - 1, 3), (tokens[1], 1)):
        monkeypatch.setattr(
            "models.engine.slots.available_bytes", lambda device, free=free: 2 * free * slot
        )
        assert images_that_fit(on_gpu) == expected
