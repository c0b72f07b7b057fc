"""Training nano: rows are packed right, targets are true, a few steps make it better."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from models.catalog.checkpoints import NANO
from models.loading.loader import CODEC_FILE
from training.nano import build, checkpoint, tokenizer
from training.nano.codec.codes import SceneCodes, code_bells, drawn_loss, writer
from training.nano.model import PATCH, config
from training.nano.scenes import sprites
from training.nano.scenes.scene import BARE, HELD_OUT, draw
from training.nano.stages import answer, dense
from training.nano.stages.batches import BARE_SHARE, Batches
from training.nano.stages.point import Pointer
from training.nano.stages.rows import IGNORED, Maker, Vocabulary
from training.nano.tasks.questions import LANGUAGES, Example, caption, examples, tally

CODEC = build.read_arguments([]).codec
SCENES = range(HELD_OUT + 100, HELD_OUT + 104)


@pytest.fixture(scope="module")
def scenes():
    return [draw(seed) for seed in SCENES]


@pytest.fixture(scope="module")
def make(nano, nano_checkpoint):
    """Shapes batches: `make(exact)`."""

    def maker(exact: bool) -> Maker:
        every = 1 if exact else 10**12
        codec = str(NANO.codec)
        return Maker(nano.processor.tokenizer, codec, 160, 2, every)

    return maker


def suffix_losses(nano, batch, rows: slice) -> torch.Tensor:
    """Loss of each suffix token of `rows`, without soft targets."""
    keys = ("ids", "prompt", "place", "prefixed", "target", "target_weight", "owner")
    pointing = torch.zeros(0, dtype=torch.int64)
    batch = batch | {key: batch[key][rows] for key in keys}
    batch |= {"point_row": pointing, "point_at": pointing}
    with torch.no_grad():
        logits, target, _, _ = answer.suffix_logits(nano.model, batch)
    return torch.nn.functional.cross_entropy(logits.float(), target, reduction="none")


def test_an_exact_row_trains_what_the_model_computes(nano, make, scenes):
    batch = make(exact=True)(scenes)
    tokens = nano.processor.tokenizer
    prefix = tokens.decode(batch["ids"][0][batch["prefixed"][0]][1:-1])
    suffix = tokens.decode(batch["target"][0][batch["target"][0] != IGNORED][:-1])
    inputs = nano.processor(
        images=scenes[int(batch["owner"][0])].image,
        text=f"<image>{prefix}",
        suffix=suffix,
        return_tensors="pt",
    )
    labels = inputs.pop("labels")[0, 1:]
    with torch.no_grad():
        logits = nano.model(**inputs).logits[0, :-1]
    wanted = labels != -100
    true = torch.nn.functional.cross_entropy(logits[wanted], labels[wanted], reduction="none")
    packed = suffix_losses(nano, batch, slice(0, 1))
    assert len(packed) == len(true)
    assert torch.allclose(packed, true, atol=1e-3)


def test_prompts_in_one_row_do_not_see_each_other(nano, make, scenes):
    maker = make(exact=False)
    batch = maker(scenes)
    rows = [
        maker.fill(maker.choose(s, maker.codes_of(s), np.random.default_rng(s.seed + 1)))
        for s in scenes
    ]
    alone = maker.pack([[rows[0][-1]]]) | {"pixels": batch["pixels"], "exact": batch["exact"]}
    alone["owner"] = torch.tensor([0])
    last = len(rows[0][-1].suffix)
    together = suffix_losses(nano, batch, slice(0, 1))[-last:]
    assert len(rows[0]) > 3
    assert torch.allclose(together, suffix_losses(nano, alone, slice(0, 1)), atol=1e-3)


def test_dense_targets_say_what_stands_in_each_patch(scenes, nano_checkpoint):
    codes_of = SceneCodes(str(NANO.codec))
    for scene in scenes:
        codes = codes_of(scene)
        wanted = dense.targets(scene, codes)
        side = scene.image.width // PATCH
        shown = {int(n) - 1 for n in wanted["noun"] if n}
        assert shown <= {item.noun.index for item in scene.objects}
        assert wanted["center"].sum() <= len(scene.objects)
        for patch in np.flatnonzero(wanted["noun"]):
            y, x = patch // side * PATCH, patch % side * PATCH
            name = wanted["noun"][patch] - 1
            masks = [o.mask for o in scene.objects if o.noun.index == name]
            assert any(mask[y : y + PATCH, x : x + PATCH].any() for mask in masks)
            owners = [i for i, o in enumerate(scene.objects) if o.noun.index == name]
            assert set(wanted["codes"][patch]) <= set(codes[owners].ravel())


def test_a_text_points_at_what_it_speaks_of(make, scenes):
    maker = make(exact=False)
    tokens = maker.tokenizer
    for scene in scenes:
        pointer, side = Pointer(scene), scene.image.width // PATCH
        for example in examples(scene, np.random.default_rng(0), writer(maker.codes_of(scene))):
            prompt = maker.prompt(example, pointer)
            spoken = (*prompt.prefix, *prompt.suffix)
            for at, on in prompt.points:
                assert on.sum() == pytest.approx(1, abs=1e-3)
                said = tokens.decode(spoken[at + 1 if at >= len(prompt.prefix) - 1 else at])
                if example.task == "ocr":
                    y, x = np.unravel_index(on.argmax(), (side, side))
                    found = [c for c, a, b in scene.print.letters if a - 16 < x * 16 < b]
                    assert said in found
                    assert abs(y * 16 + 8 - sum(scene.print.box_xyxy_px[1::2]) / 2) < 24
                elif example.kind == "detect one":
                    kind = example.prefix.removeprefix("detect ")
                    seen = [p for o in scene.objects if o.name == kind for p in [o.mask]]
                    blocks = np.any(seen, 0).reshape(side, PATCH, side, PATCH).any((1, 3))
                    assert set(np.flatnonzero(on)) <= set(np.flatnonzero(blocks))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_caption_points_at_each_of_its_objects_in_turn(language):
    """Scenes of two kinds, each kind of the world beside the next one."""
    kinds = [noun.name for noun in sprites.nouns()]
    scene = next(s for s in map(draw, SCENES) if len(tally(s)) > 1)
    there = list(tally(scene))[:2]
    pointer = Pointer(scene)
    pointer.named = lambda name: np.array([kinds.index(name)])
    pairs = [*pairwise(kinds), ("bat", "duck")]  # in Swahili "popo na bata", with "a bat" in it
    for first, second in pairs:
        renamed = dict(zip(there, (first, second), strict=True))
        objects = tuple(
            replace(each, noun=sprites.nouns()[kinds.index(renamed[each.name])])
            for each in scene.objects
            if each.name in renamed
        )
        pointer.scene = replace(scene, objects=objects)
        text = caption(pointer.scene, language)
        spans = list(pointer.said(Example("caption", f"caption {language}", "", text)))
        assert [kinds[int(span.on[0])] for span in spans] == list(tally(pointer.scene))
        assert all(a.end <= b.start for a, b in pairwise(spans))


def test_scenes_without_objects_are_trained_on_beside_others(nano, make, scenes, nano_checkpoint):
    drawn = Batches(list, 400, 0, 1, 224, HELD_OUT)
    bare = sum(not scene.objects for scene in next(iter(drawn)))
    assert bare / 400 == pytest.approx(BARE_SHARE, abs=0.02)
    mixed = [scenes[0], draw(HELD_OUT, world=BARE), draw(HELD_OUT + 1, world=BARE)]
    for exact in (False, True):
        batch = make(exact)(mixed)
        assert not batch["noun"][1:].any()
        assert not batch["count"][1:].any()
        heads = checkpoint.resume_from(nano_checkpoint, 224, None, "cpu").heads
        bells, codec = code_bells(nano.codec.codebook), nano.codec
        ids = Vocabulary.of(nano.processor.tokenizer)
        with torch.no_grad():
            loss, _ = answer.loss(nano.model, heads, batch, ids, 0.1, 4.0, bells, codec)
        assert torch.isfinite(loss)


def test_near_locations_are_nearly_right(nano):
    ids = Vocabulary.of(nano.processor.tokenizer)
    target = torch.tensor([ids.locations[500]])

    def loss_of(guess: int) -> float:
        logits = torch.zeros(1, len(nano.processor.tokenizer))
        logits[0, ids.locations[guess]] = 10
        return answer.text_loss(logits, target, torch.ones(1), ids, 4.0, torch.eye(128))[0].item()

    assert loss_of(500) < loss_of(504) < loss_of(520)


def test_codes_that_draw_alike_are_nearly_right(nano):
    book = nano.codec.codebook
    bells = code_bells(book)
    near = torch.cdist(book, book).argsort(1)
    rows = torch.arange(128)
    assert torch.allclose(bells.sum(1), torch.ones(128))
    assert torch.equal(bells.argmax(1), rows)
    assert (bells[rows, near[:, 1]] > bells[rows, near[:, 60]]).all()


def test_codes_are_taught_by_what_they_draw(nano, scenes):
    codes = torch.from_numpy(SceneCodes(str(CODEC))(scenes[0])).flatten()
    logits = torch.zeros(len(codes), 128).scatter_(1, codes[:, None], 10.0)
    right = drawn_loss(logits, codes, nano.codec)
    mixed = drawn_loss(logits.roll(5, 0), codes, nano.codec)
    assert right < 0.3 * mixed

    learned = torch.nn.Parameter(logits.roll(5, 0))
    optimizer = torch.optim.Adam([learned], 0.3)
    for _ in range(60):
        optimizer.zero_grad()
        drawn_loss(learned, codes, nano.codec).backward()
        optimizer.step()
    assert drawn_loss(learned, codes, nano.codec) < 0.5 * mixed
    assert drawn_loss(logits[:0], codes[:0], nano.codec) == 0


def test_capitals_are_letters_and_everything_survives_the_tokenizer(nano):
    tokens = nano.processor.tokenizer
    assert tokens.tokenize("HELLO7") == list("HELLO7")
    for text in (
        "two cats",
        "2 × Katze und Hund",
        "猫、犬",
        "🐈 ünknown ☃",
        "<loc0007><seg001> cat",
    ):
        ids = tokens(text, add_special_tokens=False)["input_ids"]
        assert tokens.decode(ids) == text


def test_a_new_tokenizer_makes_a_model_of_its_size():
    made = tokenizer.train(["two cats and a dog on a blue background"] * 4, pieces=420)
    processor = tokenizer.processor(made, 224, PATCH)
    settings = config(224, processor.tokenizer.get_vocab())
    assert settings.text_config.vocab_size == len(processor.tokenizer)
    assert settings.text_config.num_image_tokens == processor.image_seq_length == 196


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_like_one_that_was_not(tmp_path, nano_checkpoint):
    new = checkpoint.resume_from(nano_checkpoint, 224, None, "cpu")
    heads = checkpoint.save_heads(new, tmp_path)

    def train(work: Path, stops: tuple[int, ...]) -> dict[str, torch.Tensor]:
        work.mkdir()
        command = ["--work", str(work), "--workers", "0", "--init", str(nano_checkpoint)]
        options = build.read_arguments(command)
        state: dict = {"stage": "look", "step": 0}
        for steps in stops:
            trained = checkpoint.resume_from(nano_checkpoint, 224, None, "cpu", heads)
            if state["step"]:
                trained.model.load_state_dict(state["model"])
                trained.heads.load_state_dict(state["heads"])
            build.run(build.Stage("look", steps, 2, 1e-3, 1e-3, 0.0), trained, state, options)
            state = torch.load(work / "state.pt")
        return state["model"]

    whole, stopped = train(tmp_path / "whole", (3,)), train(tmp_path / "stopped", (1, 3))
    assert all(torch.equal(stopped[name], value) for name, value in whole.items())
    before = new.model.state_dict()
    assert not all(torch.equal(before[name], value) for name, value in whole.items())


def test_dense_heads_go_on_from_the_work_folder_or_begin_anew(tmp_path, nano_checkpoint):
    first = checkpoint.resume_from(nano_checkpoint, 224, None, "cpu")
    file = checkpoint.save_heads(first, tmp_path)
    again = checkpoint.resume_from(nano_checkpoint, 224, None, "cpu", file).heads.state_dict()
    anew = checkpoint.resume_from(nano_checkpoint, 224, None, "cpu").heads.state_dict()
    for name, value in first.heads.state_dict().items():
        assert torch.equal(again[name], value.bfloat16().float())
    assert not all(torch.equal(anew[name], value) for name, value in again.items())


def test_a_checkpoint_has_its_codec_unless_it_is_the_shared_one(tmp_path, nano_checkpoint):
    nano = checkpoint.resume_from(nano_checkpoint, 224, None, "cpu")
    own = tmp_path / "own.safetensors"
    own.write_bytes(NANO.codec.read_bytes())
    for name, codec in (("shared", NANO.codec), ("alone", own)):
        checkpoint.export(nano, tmp_path / name, codec)
        found = {each.name for each in (tmp_path / name).iterdir()}
        assert (CODEC_FILE in found) == (codec is own)
        assert checkpoint.HEADS_FILE not in found


# What the short run must have learned, on scenes that it had not seen before. By chance it would be
# 2.3 nats for one of ten colours, and hardly a word.
COLOUR_NATS, WORDS_RIGHT = 1.0, 0.1


@pytest.mark.slow
def test_all_of_nano_is_made_from_nothing_and_learns(tmp_path):
    """`make nano` in its short form: codec, both sizes, scores."""
    work, out = tmp_path / "work", tmp_path / "models"
    command = [sys.executable, "-m", "training.nano.make", "--short", "--work", str(work)]
    command += ["--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    done = {path.stem for path in work.glob("*.done")}
    assert done == {"codec", "nano-224", "nano-448", "scores-224", "scores-448"}

    lines = [json.loads(line) for line in (work / "nano-224" / "log.jsonl").open()]
    looked = [line for line in lines if line["stage"] == "look"]
    assert looked[-1]["loss"] < 0.8 * looked[0]["loss"]
    assert [line["stage"] for line in lines][-2:] == ["finish", "finish"]
    assert looked[-1]["background"] < COLOUR_NATS
    assert lines[-1]["word_right"] > WORDS_RIGHT

    for size in (224, 448):
        folder = out / f"nano-{size}"
        assert (folder / "model.safetensors.index.json").exists()
        assert max(f.stat().st_size for f in folder.iterdir()) < 10_000_000
        heads = work / f"nano-{size}" / checkpoint.HEADS_FILE
        again = checkpoint.resume_from(folder, size, None, "cpu", heads)
        assert {n for n, _ in again.parameters() if n.startswith("heads.")}
        assert torch.equal(
            again.model.lm_head.weight, again.model.model.language_model.embed_tokens.weight
        )
        scores = json.loads((work / f"nano-{size}.json").read_text())
        assert scores["resolution"] == size
        assert scores["prompts"] > 0

    # Once more, nothing is left to do.
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "==" not in again.stdout
