"""What a run needs of this machine and of its last state is looked at before a step is made."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.catalog.catalog import Catalog
from models.schema import UserError
from training.finetune.cli import finetune
from training.finetune.optimizers import check_optimizer
from training.finetune.options import Options
from training.finetune.states import STATE, check_state, last_state


@pytest.fixture
def state(tmp_path) -> Path:
    """A state as the Trainer writes it."""
    folder = tmp_path / "states" / "checkpoint-7"
    folder.mkdir(parents=True)
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.save({"numbers": torch.arange(1000.0)}, folder / name)
    save_file({"weight": torch.ones(100)}, folder / "adapter_model.safetensors")
    (folder / STATE).write_text('{"global_step": 7}')
    return folder


def test_a_whole_state_is_gone_on_from(state, tmp_path):
    assert last_state(tmp_path) == str(state)
    check_state(str(state))


@pytest.mark.parametrize(
    "name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "adapter_model.safetensors", STATE]
)
def test_a_state_whose_file_is_cut_off_is_refused_by_name(state, name):
    whole = (state / name).read_bytes()
    (state / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=f"damaged: {name} cannot be read.*Remove that folder"):
        check_state(str(state))


def test_a_state_with_a_changed_byte_or_a_missing_optimizer_is_refused(state):
    whole = bytearray((state / "optimizer.pt").read_bytes())
    whole[len(whole) // 2] ^= 1
    (state / "optimizer.pt").write_bytes(whole)
    with pytest.raises(UserError, match=r"optimizer\.pt"):
        check_state(str(state))
    (state / "optimizer.pt").unlink()
    with pytest.raises(UserError, match=r"optimizer\.pt"):
        check_state(str(state))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("adam", "no optimizer 'adam'"),
        ("lomo", "lomo-optim, which is not installed"),
        ("schedule_free_adamw", "schedulefree, which is not installed"),
        ("grokadamw", "grokadamw, which is not installed"),
        ("galore_adamw", "told the layers"),
    ],
)
def test_an_optimizer_that_cannot_be_had_is_refused_at_the_start(name, words):
    with pytest.raises(UserError, match=words):
        check_optimizer(name)


@pytest.mark.parametrize("name", ["adamw_torch", "adafactor", "sgd", "adamw_bnb_8bit"])
def test_an_optimizer_that_is_here_is_taken(name):
    check_optimizer(name)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"precision": "fp16"}, "fp16 cannot run here"), ({"optimizer": "lomo"}, "lomo-optim")],
)
def test_a_run_that_cannot_be_made_here_leaves_no_folder(tmp_path, monkeypatch, options, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    out = tmp_path / "run"
    with pytest.raises(UserError, match=words):
        finetune(Options(data="easy-vqa", out=str(out), **options), Catalog())
    assert not out.exists()
