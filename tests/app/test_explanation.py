"""The explanation of an answer as it stands on the page."""

from __future__ import annotations

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from models.images import OpenedImage
from models.schema import Explanation, Request, TokenExplanation
from models.serving.local_backend import LocalBackend
from training.nano.scenes.scene import HELD_OUT, draw
from ui.explain_handlers import ExplainHandlers
from ui.explanation import to_html, units
from ui.runs import Runs


def token(piece: str, probability: float = 0.9, side: int = 4) -> TokenExplanation:
    heat = np.zeros((1, side, side), np.float32)
    heat[0, 1, 2] = 0.5
    return TokenExplanation(piece, probability, ((piece, probability), (" other", 0.05)), heat)


def test_tokens_are_put_together_to_what_people_read():
    locs = [token(f"<loc{each:04d}>") for each in range(8)]
    codes = [token(f"<seg{each:03d}>") for each in range(16)]
    found = units(
        [*locs[:4], *codes, token(" lady"), token(" beet"), token("le"), token(" ;"), token(" "),
         *locs[4:], token(" dog")]
    )  # fmt: skip
    names = [each.name for each in found]
    assert names == ["box", "mask", "lady", "beetle", ";", "box", "dog"]
    assert [len(each.tokens) for each in found] == [4, 16, 1, 2, 1, 4, 1]


def test_boxes_in_a_row_are_a_unit_each():
    assert [each.name for each in units([token("<loc0001>")] * 8)] == ["box", "box"]


def test_a_word_is_as_sure_as_its_least_likely_token_and_codes_say_nothing():
    word, box = units([token(" sun", 0.9), token("flower", 0.4), *[token("<loc0001>")] * 4])
    assert word.probability == 0.4 and box.probability is None


def test_its_map_is_the_mean_of_its_tokens_and_reaches_from_0_to_1():
    (word,) = units([token(" sun"), token("flower")])
    assert word.heat.min() == 0 and word.heat.max() == 1
    assert np.unravel_index(word.heat.argmax(), word.heat.shape) == (0, 1, 2)


def test_what_the_model_wrote_is_escaped():
    html = to_html(Explanation((token("<b>${x}{{y}}"),)), [Image.new("RGB", (1000, 500), "white")])
    assert "<b>" not in html and "${" not in html and "{{" not in html


@pytest.fixture(scope="module")
def backend():
    found = LocalBackend()
    yield found
    found.close()


def explain(backend, image, details) -> list[str]:
    handlers = ExplainHandlers(backend, Runs())
    return list(handlers.explain(image, details, "fp32", gr.Request(session_hash="one")))


def test_nanos_answer_is_explained_word_by_word(backend):
    scene = draw(HELD_OUT + 3)
    *_, result = backend.answer(Request(scene.image, "caption en", precision="fp32"))
    details = {
        "prompt": "caption en", "checkpoint": "nano-224", "adapter": None,
        "token_ids": list(result.token_ids),
    }  # fmt: skip
    *_, html = explain(backend, OpenedImage(scene.image, scene.image.size), details)
    for word in result.text.split():
        assert f">{word.strip(',')}" in html
    assert html.count('class="heat"') == html.count('class="unit"') == len(result.text.split())


WHOLE = {"prompt": "caption en", "checkpoint": "nano-224", "adapter": None, "token_ids": [1]}


@pytest.mark.parametrize(
    "details",
    [
        None,
        "text",
        {},
        *({**WHOLE, "token_ids": ids} for ids in ([], "12", [1.5], [True], [10**9], [1] * 2000)),
        {**WHOLE, "prompt": 3},
        {**WHOLE, "checkpoint": "no"},
        {**WHOLE, "adapter": ["x"]},
    ],
)
def test_what_is_no_answer_is_said_in_words(backend, details):
    *_, html = explain(backend, OpenedImage(Image.new("RGB", (9, 9)), (9, 9)), details)
    assert "notice-error" in html and "error of its own" not in html


def test_without_a_picture_too(backend):
    assert "notice-error" in explain(backend, None, {})[-1]
