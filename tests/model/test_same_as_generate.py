"""In float32 the tokens are those of transformers and PEFT alone, at both sizes and with the
adapter that is shipped."""

from __future__ import annotations

import pytest
import torch
from transformers import PaliGemmaForConditionalGeneration

from models.catalog.catalog import Catalog
from models.engine.engine import Engine
from models.engine.inputs import prepare
from tests.choosing import load
from training.nano.scenes.scene import HELD_OUT, draw

PROMPTS = ("describe en", "answer en what is this?", "detect cat ; cup", "caption de")
TOKENS = 10


@pytest.mark.parametrize(
    "name, adapter", [("nano-224", "easy-vqa"), ("nano-448", None)], ids=["easy-vqa", "448 px"]
)
@torch.inference_mode()
def test_tokens_are_those_of_transformers_alone(name, adapter, ask, serve):
    checkpoint = Catalog().find(name)
    loaded = load("fp32", checkpoint)
    requests = [
        ask(prompt, tokens=TOKENS, image=draw(HELD_OUT + number).image, adapter=adapter)
        for number, prompt in enumerate(PROMPTS)
    ]
    found = serve(Engine(loaded, max_slots=len(requests)), requests)

    plain = PaliGemmaForConditionalGeneration.from_pretrained(checkpoint.path, dtype=torch.float32)
    plain.eval()
    if adapter:
        from peft import PeftModel

        plain = PeftModel.from_pretrained(plain, checkpoint.path / "adapters" / adapter).eval()
    for request, ids in zip(requests, found, strict=True):
        inputs = prepare(loaded, request.image, request.prompt)
        output = plain.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
        expected = output[0, inputs["input_ids"].shape[1] :].tolist()
        end = loaded.processor.tokenizer.eos_token_id
        assert ids == (expected[: expected.index(end)] if end in expected else expected)
