"""Fine-tuning from end to end, a few steps at a time."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import PaliGemmaForConditionalGeneration

from data.sources import Source, read
from models.catalog.catalog import Catalog
from models.catalog.checkpoints import NANO
from models.engine.inputs import prepare
from models.hub import adapter_config, adapters
from models.schema import Request, UserError
from models.serving.local_backend import LocalBackend
from tests.choosing import load
from training.finetune import adapt
from training.finetune.cli import finetune, training_arguments
from training.finetune.options import Options
from training.finetune.states import last_state

ROOT = Path(__file__).parents[2]
CATALOG = Catalog()
SHORT = Options(data="easy-vqa", limit=24, pack=1, batch=4, max_steps=3, log_steps=1, rank=4)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The folder of an adapter that was trained for three steps."""
    return finetune(
        replace(SHORT, out=str(tmp_path_factory.mktemp("lora"))), CATALOG, "the command"
    )


def ask(catalog: Catalog, checkpoint: str, prompt: str, adapter: str | None = None) -> str:
    backend = LocalBackend(catalog)
    try:
        picture = read(Source("easy-vqa", "test", limit=1))[0].open()
        *_, result = backend.answer(Request(picture, prompt, checkpoint, adapter=adapter))
        return result.text
    finally:
        backend.close()


def test_an_adapter_is_a_plain_lora_of_the_base_with_a_card(trained):
    found = adapter_config.read(trained)
    assert found.r == 4
    config = json.loads((trained / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "nano-224"
    card = (trained / "README.md").read_text()
    assert "the command" in card
    assert "<!-- compared easy-vqa -->" in card
    about = " ".join(card.split())
    assert "12 items in 3 steps" in about
    resident = re.search(r"with (\d+\.\d) GB of memory at most", about)
    assert 0.3 < float(resident[1]) < 16  # of a process that holds torch, nano and this test
    assert "| limit | 24 |" in card


def test_a_finished_run_that_is_started_again_keeps_its_card_and_its_scores(tmp_path):
    options = replace(SHORT, max_steps=2, save_steps=1, out=str(tmp_path / "run"))
    out = finetune(options, CATALOG)
    weights, card = load_file(out / adapter_config.WEIGHTS), out / "README.md"
    card.write_text("measured")
    finetune(replace(options, merge=True), CATALOG)
    assert card.read_text() == "measured"
    assert (tmp_path / "run" / "merged" / "config.json").exists()
    # Stopped between the last state and its adapter, it makes the same one.
    shutil.rmtree(out)
    again = load_file(finetune(options, CATALOG) / adapter_config.WEIGHTS)
    assert all(torch.equal(weights[key], again[key]) for key in weights)


def test_the_page_lists_the_adapter_and_answers_with_it(trained):
    catalog, adapter = CATALOG.with_adapter(str(trained), NANO)
    assert adapter.name == trained.parent.name
    question = "answer en what color is the shape?"
    model = load()
    assert adapters.select(model.model, NANO, adapter)
    picture = read(Source("easy-vqa", "test", limit=1))[0].open()
    inputs = prepare(model, picture, question)
    out = model.model.generate(**inputs, do_sample=False, max_new_tokens=8)
    new = out[0, inputs["input_ids"].shape[1] :]
    text = model.processor.tokenizer.decode(new, skip_special_tokens=True).strip()
    assert ask(catalog, "nano-224", question, adapter.name) == text


def test_a_merged_checkpoint_is_the_base_with_the_adapter(trained, tmp_path):
    loaded = load()
    adapt.merge(trained, loaded.processor, NANO.path, NANO.codec, tmp_path / "merged")
    model = PaliGemmaForConditionalGeneration.from_pretrained(tmp_path / "merged")
    base = loaded.model.state_dict()
    config = json.loads((trained / "adapter_config.json").read_text())
    weights = load_file(trained / adapter_config.WEIGHTS)
    key = "model.language_model.layers.0.self_attn.q_proj"
    a, b = (weights[f"base_model.model.{key}.lora_{side}.weight"] for side in "AB")
    wanted = base[f"{key}.weight"] + config["lora_alpha"] / config["r"] * b @ a
    found = model.state_dict()[f"{key}.weight"].float()
    assert torch.allclose(found, wanted, atol=0.005 * float(wanted.abs().max()))  # bfloat16
    assert (tmp_path / "merged" / "mask_codec.safetensors").exists()


def test_even_a_single_step_learns(tmp_path):
    out = finetune(replace(SHORT, limit=2, max_steps=1, out=str(tmp_path)), CATALOG)
    weights = load_file(out / adapter_config.WEIGHTS)
    assert any(bool(tensor.any()) for key, tensor in weights.items() if "lora_B" in key)


def test_frozen_parts_get_no_matrices_and_still_load(tmp_path):
    options = replace(SHORT, out=str(tmp_path / "run"), freeze=["vision_tower"], max_steps=1)
    out = finetune(options, CATALOG)
    keys = load_file(out / adapter_config.WEIGHTS)
    assert not any("vision_tower" in key for key in keys)
    assert any("language_model" in key for key in keys)
    assert any("multi_modal_projector" in key for key in keys)
    catalog, _ = CATALOG.with_adapter(str(out), NANO)
    assert ask(catalog, "nano-224", "answer en what color is the shape?", "run")


def test_a_full_fine_tune_is_a_checkpoint_whose_frozen_parts_are_the_bases(tmp_path):
    options = replace(
        SHORT,
        method="full",
        rank=0,
        out=str(tmp_path / "tuned"),
        freeze=["vision_tower"],
        max_steps=2,
    )
    out = finetune(options, CATALOG)
    base = load().model.state_dict()
    catalog, own = CATALOG.with_checkpoint(str(out), "nano-224")
    tuned = load(checkpoint=own).model.state_dict()
    assert base.keys() == tuned.keys()
    same = {key for key in base if torch.allclose(base[key].float(), tuned[key].float(), atol=1e-7)}
    assert {key for key in base if "vision_tower" in key} <= same
    assert "model.language_model.layers.0.mlp.up_proj.weight" not in same
    assert ask(catalog, "tuned", "answer en what color is the shape?")


def test_qlora_learns_on_a_base_in_four_bits(tmp_path):
    options = replace(SHORT, method="qlora", out=str(tmp_path), max_steps=8, rate=5e-3)
    out = finetune(options, CATALOG)
    states = json.loads((Path(last_state(tmp_path)) / "trainer_state.json").read_text())
    losses = [each["loss"] for each in states["log_history"] if "loss" in each]
    assert losses[-1] < losses[0] - 0.5
    assert adapter_config.read(out).r == 4


def test_a_checkpointed_and_accumulated_step_is_the_plain_one(tmp_path):
    """Same weights to rounding: four at once, or two twice with activations computed again."""
    plain = replace(SHORT, max_steps=2, autocast=False, out=str(tmp_path / "plain"))
    folded = replace(plain, batch=2, accumulate=2, checkpointing=True, out=str(tmp_path / "folded"))
    first, second = (
        load_file(finetune(each, CATALOG) / adapter_config.WEIGHTS) for each in (plain, folded)
    )
    for key in first:
        assert torch.allclose(first[key], second[key], atol=2e-4), key


def test_steps_and_items_are_counted_where_batches_do_not_divide(tmp_path, capsys):
    """Five items in batches of two and steps of two batches: two steps each time through."""
    options = replace(SHORT, limit=5, batch=2, accumulate=2, epochs=2, max_steps=0)
    out = finetune(replace(options, out=str(tmp_path)), CATALOG)
    told = capsys.readouterr().out
    assert "5 items, 4 steps of 4;" in told
    assert "step 4/4" in told
    assert "10 items in 4 steps" in " ".join((out / "README.md").read_text().split())


@pytest.mark.parametrize("quick", [True, False])
def test_products_are_in_bfloat16_where_there_are_instructions_unless_told_otherwise(
    monkeypatch, quick
):
    monkeypatch.setattr("training.finetune.cli.has_bf16_instructions", lambda device: quick)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    made = [training_arguments(replace(SHORT, autocast=each)) for each in (None, True, False)]
    assert [each.bf16 for each in made] == [quick, True, False]
    assert not any(each.fp16 for each in made)


def test_two_processes_learn_what_one_does_from_twice_the_batch(tmp_path):
    """On a CPU, where accelerate leaves the launching to torchrun: the same to rounding."""
    options = ["-m", "training.finetune", "--data", "easy-vqa", "--limit", "16", "--rank", "2"]
    options += ["--max_steps", "2", "--autocast", "false", "--pack", "1"]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    for name, batch, through in (("one", "4", []), ("two", "2", launch)):
        given = [*through, *options, "--batch", batch, "--out", str(tmp_path / name)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        told = subprocess.run(
            [sys.executable, *given], cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE
        )
        assert b"2 steps of 4;" in told.stdout
    first, second = (
        load_file(tmp_path / name / "adapter" / adapter_config.WEIGHTS) for name in ("one", "two")
    )
    for key in first:
        assert torch.allclose(first[key], second[key], atol=2e-4), key


def test_a_run_that_is_stopped_or_killed_goes_on_to_the_same_weights(tmp_path):
    """Told to stop, it keeps its step; killed, it has lost some; either way it ends as one that was
    left alone."""
    options = ["--data", "easy-vqa", "--limit", "40", "--batch", "2", "--max_steps", "8"]
    options += ["--save_steps", "2", "--log_steps", "1", "--dropout", "0.1", "--rank", "2"]
    options += ["--pack", "2"]
    command = [sys.executable, "-m", "training.finetune", *options]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def end(step: str, how: signal.Signals) -> int:
        with subprocess.Popen(
            [*command, "--out", str(broken)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as running:
            for line in running.stdout:
                if line.startswith(f"step {step}/8"):
                    running.send_signal(how)
        return running.returncode

    assert end("1", signal.SIGTERM) == 130
    kept = int(last_state(broken).rpartition("-")[2])
    assert 1 <= kept < 5  # whichever step it was at
    assert end("5", signal.SIGKILL) == -signal.SIGKILL
    assert last_state(broken).endswith("checkpoint-4")
    for folder in (whole, broken):
        subprocess.run([*command, "--out", str(folder)], cwd=ROOT, env=environment, check=True)
    first, second = (
        load_file(each / "adapter" / adapter_config.WEIGHTS) for each in (whole, broken)
    )
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_state_that_was_being_written_is_not_gone_on_from(tmp_path):
    for name, is_whole in (
        ("checkpoint-9", True),
        ("checkpoint-10", True),
        ("checkpoint-11", False),
    ):
        folder = tmp_path / "states" / name
        folder.mkdir(parents=True)
        if is_whole:
            (folder / "trainer_state.json").write_text("{}")
    assert last_state(tmp_path).endswith("checkpoint-10")
    assert not (tmp_path / "states" / "checkpoint-11").exists()
    assert last_state(tmp_path / "elsewhere") is None


def test_data_and_checkpoint_are_looked_at_before_a_run_begins(tmp_path):
    for given, word in (
        ({"checkpoint": "5b"}, "nano-224"),
        ({"optimizer": "descent"}, "no optimizer"),
        ({"data": str(tmp_path / "gone.jsonl")}, "cannot be read"),
    ):
        with pytest.raises(UserError, match=word):
            finetune(replace(SHORT, out=str(tmp_path / "run"), **given), CATALOG)
        assert not (tmp_path / "run").exists()


def test_boxes_and_masks_of_a_coco_file_are_learnt(tmp_path, capsys):
    """The loss on a picture of one's own falls; how much boxes get better is measured elsewhere."""
    picture = Image.new("RGB", (96, 96), "white")
    picture.paste("navy", (20, 30, 60, 80))
    picture.save(tmp_path / "a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 96, "height": 96}],
        "categories": [{"id": 1, "name": "slab"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "bbox": [20, 30, 40, 50],
                "segmentation": [[20, 30, 60, 30, 60, 80, 20, 80]],
            }
        ],
    }
    content["annotations"].append(content["annotations"][0])
    (tmp_path / "slabs.json").write_text(json.dumps(content))
    for task in ("detect", "segment"):
        options = replace(
            SHORT, data=str(tmp_path / "slabs.json"), task=task, out=str(tmp_path / task)
        )
        out = finetune(replace(options, limit=0, batch=1, max_steps=12, save_steps=12), CATALOG)
        assert str(tmp_path) not in (out / "README.md").read_text()
        state = Path(last_state(tmp_path / task)) / "trainer_state.json"
        losses = [e["loss"] for e in json.loads(state.read_text())["log_history"] if "loss" in e]
        assert losses[-1] < losses[0] / 2
        said = capsys.readouterr().out
        assert said.count("slabs.json: objects that stand twice, merged: 1 (annotation 1)\n") == 1
