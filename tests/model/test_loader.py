"""A checkpoint becomes a model that can answer."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from huggingface_hub import errors

from models.catalog import memory
from models.catalog.catalog import Catalog
from models.catalog.checkpoints import BUILT_IN, NANO
from models.catalog.model_key import ModelKey
from models.hub import download
from models.loading.loader import Loader, local_folder
from models.masks.codec import MaskCodec
from models.schema import StatusEvent, UserError
from tests.choosing import load


def test_nano_is_a_paligemma_2_ready_to_answer(nano):
    assert type(nano.model).__name__ == "PaliGemmaForConditionalGeneration"
    assert nano.model.config.text_config.model_type == "gemma2"
    assert nano.model.config.text_config.attn_logit_softcapping == 50
    assert not nano.model.training
    assert not any(each.requires_grad for each in nano.model.parameters())
    assert (nano.checkpoint, nano.dtype) == (NANO, torch.float32)
    assert isinstance(nano.codec, MaskCodec)


def test_the_tokenizer_has_all_location_and_mask_tokens(nano):
    tokenizer = nano.processor.tokenizer
    wanted = [f"<loc{index:04d}>" for index in range(1024)]
    wanted += [f"<seg{index:03d}>" for index in range(128)]
    ids = tokenizer.convert_tokens_to_ids(wanted)
    assert len(set(ids)) == 1152
    assert tokenizer.unk_token_id not in ids


def test_loading_says_so():
    said: list[StatusEvent] = []
    Loader().load(ModelKey(NANO, "fp32"), said.append)
    assert said == [StatusEvent("Loading nano-224 …")]


@pytest.mark.parametrize("precision", ["int8", "nf4"])
def test_quantization_shrinks_the_layers_of_the_text_model_alone(precision):
    loaded = load(precision)
    packed = {
        name
        for name, parameter in loaded.model.named_parameters()
        if parameter.dtype in (torch.int8, torch.uint8)
    }
    layers = loaded.model.config.text_config.num_hidden_layers
    assert len(packed) == 7 * layers
    assert all(".language_model.layers." in name for name in packed)
    assert loaded.dtype == torch.bfloat16


@pytest.mark.parametrize("precision", ["bf16", "fp32", "int8", "nf4"])
def test_weights_take_the_memory_that_the_catalog_says(precision):
    loaded = load(precision)
    tensors = list(loaded.model.state_dict(keep_vars=True).items())
    sizes = {value.data_ptr(): value.numel() * value.element_size() for _, value in tensors}
    claimed = memory.weight_bytes(NANO, precision)
    assert sum(sizes.values()) == pytest.approx(claimed, rel=0.03)


def test_a_folder_that_is_empty_or_gone_is_refused(tmp_path):
    gone = dataclasses.replace(NANO, path=tmp_path / "gone")
    with pytest.raises(UserError, match="is gone"):
        local_folder(gone)
    empty = dataclasses.replace(NANO, path=tmp_path)
    with pytest.raises(UserError, match=r"nano-224 has no readable config\.json"):
        local_folder(empty)


@pytest.mark.parametrize("name, needs_licence", [("3b-mix-224", True), ("mine", False)])
def test_what_is_not_here_without_a_network_says_all_that_it_needs(
    name, needs_licence, monkeypatch
):
    def fail(*arguments, **options):
        raise errors.LocalEntryNotFoundError("not here") from errors.OfflineModeIsEnabled("offline")

    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    gated = Catalog().find("3b-mix-224")
    own = dataclasses.replace(gated, name="mine", hub_id="me/mine", is_gated=False)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE forbids downloads") as caught:
        Loader().fetch(gated if name == gated.name else own)
    assert ("accept the licence at" in caught.value.remedy) == needs_licence


def test_what_comes_from_the_hub_is_of_the_architecture_that_it_was_listed_with(
    monkeypatch, nano_checkpoint
):
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda *arguments, **options: str(nano_checkpoint)
    )
    like = {each.name: each for each in BUILT_IN}
    tuned = dataclasses.replace(like["nano-224"], name="tuned", path=None, hub_id="me/tuned")
    assert Loader().fetch(tuned) == nano_checkpoint
    wrong = dataclasses.replace(tuned, resolution=448)
    with pytest.raises(UserError) as caught:
        Loader().fetch(wrong)
    assert caught.value.problem == (
        "tuned cannot be used: it is not of the architecture that it was listed with: it has "
        "resolution 224 px and not 448 px."
    )
    assert "PALIGEMMA_CHECKPOINTS" in caught.value.remedy


def test_a_hub_checkpoint_comes_through_the_hub(monkeypatch, nano_checkpoint):
    """The path of a real checkpoint, with nano's files in the place of a download."""
    asked = []

    def fetch(repo_id, status, size_bytes, revision, is_gated):
        asked.append((repo_id, size_bytes))
        return nano_checkpoint

    monkeypatch.setattr(download, "fetch", fetch)
    monkeypatch.setattr(
        download, "fetch_codec", lambda status: nano_checkpoint.parent / "mask_codec.safetensors"
    )
    loaded = load("bf16", Catalog().find("3b-mix-224"))
    assert asked == [("google/paligemma2-3b-mix-224", 2 * 3_032_094_960)]
    assert (loaded.checkpoint.name, loaded.dtype) == ("3b-mix-224", torch.bfloat16)
