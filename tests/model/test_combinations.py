"""Every choice on offer loads, from small checkpoints in the published layout; no other does."""

from __future__ import annotations

import dataclasses
import itertools
import json

import pytest
import torch

from evaluation.speed import true_shape
from models.catalog.architectures import Shape, Text, Vision
from models.catalog.catalog import Catalog
from models.catalog.checkpoints import BUILT_IN, NANO
from models.catalog.memory import PRECISIONS
from models.catalog.model_key import ModelKey
from models.engine.engine import generate
from models.engine.sequence import Finished
from models.hub import download
from models.loading.loader import CODEC_FILE, Loader
from models.loading.precision import precisions, resolve
from models.schema import UserError
from tests.choosing import load
from ui.choices import find_checkpoint

CPU = torch.device("cpu")
SMALL = Shape(
    Vision(layers=1, width=32, mlp=64, heads=2, patch=14),
    Text(
        layers=2,
        width=64,
        mlp=64,
        heads=2,
        key_heads=1,
        head_dim=32,
        query_scalar=32,
        vocabulary=5200,
    ),
)
REAL = [each for each in BUILT_IN if not each.is_local]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Small random checkpoints by resolution."""
    found = {}
    for checkpoint in REAL:
        if checkpoint.resolution not in found:
            folder = tmp_path_factory.mktemp(str(checkpoint.resolution))
            true_shape.build(dataclasses.replace(checkpoint, shape=SMALL), folder)
            found[checkpoint.resolution] = folder
    return found


@pytest.fixture
def downloaded(folders, monkeypatch):
    """As if every checkpoint had been downloaded."""
    by_id = {each.hub_id: folders[each.resolution] for each in REAL}
    monkeypatch.setattr(download, "local_folder", lambda repo_id, *_, **__: by_id[repo_id])


def test_the_stand_ins_have_the_published_layout(folders):
    for folder in folders.values():
        names = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
        assert "language_model.model.layers.0.self_attn.q_proj.weight" in names
        assert "vision_tower.vision_model.embeddings.patch_embedding.weight" in names
        assert "multi_modal_projector.linear.weight" in names
        assert (folder / CODEC_FILE).is_file()


@pytest.mark.parametrize(
    "precision",
    [
        each if each == "bf16" else pytest.param(each, marks=pytest.mark.slow)
        for each in precisions(CPU)
    ],
)
def test_every_checkpoint_loads_in_every_precision_on_offer(downloaded, precision):
    loader = Loader(CPU)
    for checkpoint in (*REAL, NANO):
        loaded = loader.load(ModelKey(checkpoint, precision))
        settings = loaded.model.config
        assert settings.vision_config.image_size == checkpoint.resolution
        assert loaded.processor.image_seq_length == checkpoint.image_tokens
        assert all(torch.isfinite(p.float()).all() for p in loaded.model.parameters())


def test_each_resolution_answers(downloaded, ask):
    for name in ("3b-mix-224", "10b-ft-docci-448", "28b-pt-896"):
        *tokens, end = generate(load("bf16", Catalog().find(name)), ask(tokens=2))
        assert isinstance(end, Finished)
        assert tokens


def test_what_is_not_on_offer_is_refused():
    offered = {(each.size, each.variant, each.resolution) for each in Catalog().checkpoints}
    variants = sorted({variant for _, variant, _ in offered})
    choices = set(itertools.product(Catalog().sizes(), variants, (224, 448, 896)))
    assert len(choices - offered) == 17
    for size, variant, resolution in choices - offered:
        with pytest.raises(UserError, match="does not exist"):
            find_checkpoint(Catalog(), size, variant, resolution)
        with pytest.raises(UserError, match="no checkpoint"):
            Catalog().find(f"{size.lower()}-{variant}-{resolution}")


def test_a_precision_that_cannot_run_here_is_refused(ask, backend):
    for precision in set(PRECISIONS) - set(precisions(CPU)):
        with pytest.raises(UserError, match="cannot run here"):
            resolve(NANO, precision, CPU)
        with pytest.raises(UserError, match="cannot run here"):
            list(backend.answer(ask(precision=precision)))
