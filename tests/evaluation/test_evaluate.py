"""Scores of answerers whose quality is known: one that is always right, and some that are not."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from data import documents
from evaluation.compare.answer_store import Answer, AnswerPart
from evaluation.nano import precisions
from evaluation.nano.asking import ANY_CODES, MAIN_SHARES, SHARES, choose, group_of, opened
from evaluation.nano.evaluate import IN_ANY_STYLE, SMALL, evaluate, main, rows_of_other_scenes
from evaluation.nano.score import SceneAnswer, finder, score
from evaluation.report import tables
from models.catalog.catalog import Catalog
from models.masks.codec import MaskCodec, crop
from models.prompts.tokens import encode_codes
from training.nano.scenes.scene import HELD_OUT, draw
from training.nano.tasks import questions

NANO = Path(__file__).parents[2] / "checkpoints" / "nano-224"
SCENES = [draw(HELD_OUT + i) for i in range(40)]


@pytest.fixture(scope="module")
def codec() -> MaskCodec:
    return MaskCodec.load(NANO.parent / "mask_codec.safetensors")


@pytest.fixture(scope="module")
def right(codec) -> list[SceneAnswer]:
    """Every prompt with its true answer, true masks included."""

    def true_text(scene, example) -> str:
        things = iter(
            thing
            for kind in example.prefix.split(" ", 1)[1].split(" ; ")
            for thing in scene.objects
            if thing.name == kind
        )
        parts = example.suffix.split(ANY_CODES)
        text = parts[0]
        for part in parts[1:]:
            thing = next(things)
            mask = torch.from_numpy(crop(thing.mask, thing.box_xyxy_px))[None, None]
            text += encode_codes(codec.encode(mask)[0].tolist()) + part
        return text

    asked = []
    for scene in SCENES:
        for example in choose(scene, np.random.default_rng(scene.seed)):
            text = true_text(scene, example) if example.task == "segment" else example.suffix
            asked.append(SceneAnswer(scene, example, answer(text)))
    return asked


def answer(text: str, finished: bool = True) -> Answer:
    parts = (AnswerPart(part, 0.9) for part in text.split(" ; ") if part.startswith("<loc"))
    return Answer(text, tuple(parts), finished)


def values(scores: dict) -> dict[tuple[str, str], float]:
    return {(row["task"], row["measure"]): row["value"] for row in scores["rows"]}


def test_true_answers_score_full_marks(right, codec):
    scores = score(right, codec)
    found = values(scores)
    for task, measure in found:
        if measure.startswith("character error") or measure == "share of masks too many":
            assert found[task, measure] == 0
        elif (task, measure) == ("segment", "mean IoU"):
            assert found[task, measure] > 0.9  # what the codec itself loses
        else:
            assert found[task, measure] == pytest.approx(1, abs=1e-6), (task, measure)
    assert scores["invalid_objects"] == scores["unknown_labels"] == scores["cut_off"] == 0
    assert not scores["wrong"]


def test_every_task_and_style_is_in_the_table(right, codec):
    scores = score(right, codec)
    tasks_in_table = {row["task"] for row in scores["rows"]}
    wanted = {"cap", "caption", "describe", "answer", "question", "ocr", "detect", "segment"}
    assert wanted | {"region", "detect and segment"} <= tasks_in_table
    kinds = {f"answer: {kind}" for kind in ("what", "how many", "background", "where", "is there")}
    assert kinds <= tasks_in_table
    assert {row["style"] for row in scores["styles"]} == {
        "noto",
        "fluent-flat",
        "fluent-3d",
        "twemoji",
    }


def test_silence_scores_nothing(right, codec):
    scores = score([SceneAnswer(a.scene, a.example, answer("")) for a in right], codec)
    for (task, measure), value in values(scores).items():
        if not measure.startswith("character error") and measure != "share of masks too many":
            assert value == 0, (task, measure)
    assert len(scores["wrong"]["caption"]) == len(SCENES)


def test_answering_yes_to_everything_shows(right, codec):
    scores = score([SceneAnswer(a.scene, a.example, answer("yes")) for a in right], codec)
    found = values(scores)
    assert found["answer: is there, true answer yes", "accuracy"] == 1
    assert found["answer: is there, true answer no", "accuracy"] == 0


def test_half_a_mask_is_invalid_and_a_made_up_label_is_counted(right, codec):
    broken = []
    for item in right:
        text = item.answer.text
        if item.example.task == "segment" and text.startswith("<loc"):
            text = text[: text.index("<seg") + len("<seg000>") * 3] + " cat"
        elif item.example.task == "detect" and text.startswith("<loc"):
            text = text[: len("<loc0000>") * 4] + " unicorn"
        broken.append(SceneAnswer(item.scene, item.example, answer(text, finished=False)))
    scores = score(broken, codec)
    found = values(scores)
    assert found["segment", "mean IoU"] == 0
    assert found["detect", "AP50"] == 0
    assert scores["invalid_objects"] > 0
    assert scores["unknown_labels"] > 0
    assert scores["cut_off"] == len(broken)


def test_scores_survive_json_and_print_as_tables(right, codec):
    about = {
        "checkpoint": "oracle",
        "scenes": 40,
        "first_seed": HELD_OUT,
        "resolution": 224,
        "prompts": len(right),
        "dtype": "none",
        "device": "none",
        "machine": "none",
    }
    scores = json.loads(json.dumps(about | score(right, codec), allow_nan=False))
    plain, markdown = tables.tables(scores), tables.tables(scores, markdown=True)
    assert "≥ 0.85 reached" in plain
    assert "≤ 0.05 reached" in plain
    assert "MISSED" not in plain
    assert markdown.count("| caption ") >= 3
    assert "by art style" in plain


def test_small_things_and_unseen_styles_are_told_apart_and_have_no_goal_but_small_print(
    right, codec
):
    usual = score(right, codec)
    assert any(row["needed"] for row in usual["rows"] if row["task"] == "caption")
    rows = rows_of_other_scenes(usual, "small things", SMALL)
    assert {("caption, small things", "objects F1"), ("detect, small things", "AP50")} <= {
        (row["task"], row["measure"]) for row in rows
    }
    assert all(row["needed"] is None for row in rows)
    assert all(task in ("caption", "answer", "detect", "segment") for task, _ in IN_ANY_STYLE)


def test_prompts_are_the_same_each_time_and_of_every_group():
    first = [choose(s, np.random.default_rng(s.seed)) for s in SCENES]
    again = [choose(s, np.random.default_rng(s.seed)) for s in SCENES]
    assert first == again
    asked = Counter(group_of(example) for examples in first for example in examples)
    assert set(asked) == {share.group for share in SHARES}
    for examples in first:
        kinds = [e.kind for e in examples if e.task == "answer"]
        assert len(kinds) == len(set(kinds))


@pytest.mark.parametrize("language", questions.LANGUAGES)
def test_true_captions_name_the_objects_of_the_scene(language):
    own = questions.names(language)
    for scene in SCENES:
        wanted: Counter[str] = Counter()
        for name, count in questions.tally(scene).items():
            wanted[own[name]] += count
        assert finder(language).count(questions.caption(scene, language)) == wanted


def test_tables_replace_what_stands_between_their_marks(tmp_path):
    document = tmp_path / "README.md"
    document.write_text("# a\n<!-- scores -->\nold\n<!-- /scores -->\nb\n")
    for table in ("| 1 |", "| 2 \\1 |"):
        documents.write(document, {"scores": table, "other": "no"})
        assert document.read_text() == f"# a\n<!-- scores -->\n\n{table}\n\n<!-- /scores -->\nb\n"
    with pytest.raises(ValueError, match="has none of the marks other"):
        documents.write(document, {"other": "no"})


def test_precisions_stand_side_by_side():
    def scores(value: float) -> dict:
        row = {"task": "ocr", "measure": "exact", "value": value, "count": 7, "needed": 0.5}
        others = [row | {"task": "cap", "needed": None}, row | {"task": "caption fil"}]
        return {"rows": [row, *others]}

    lines = precisions.table({"bf16": scores(0.75), "nf4": scores(0.5)}).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["task", "measure", "bf16", "nf4", "n"]
    assert cells[2:] == [["ocr", "exact", "0.750", "0.500", "7"]]


def refuse(catalog):
    raise AssertionError("asked again")


def test_scores_are_of_what_is_served_and_a_second_run_asks_nothing(tmp_path):
    """The texts are those of a request to the backend; a folder is read as the nano it is."""
    with opened(Catalog(), "nano-224", "fp32", tmp_path / "work") as answerer:
        first = evaluate(answerer, 2, shares=MAIN_SHARES)
    assert (first["checkpoint"], first["resolution"], first["dtype"]) == (
        "nano-224",
        224,
        "float32",
    )
    assert first["prompts"] >= 12
    assert values(first)["answer", "accuracy"] > 0.5
    with opened(Catalog(), "nano-224", "fp32", tmp_path / "work", open_backend=refuse) as answerer:
        again = evaluate(answerer, 2, shares=MAIN_SHARES)
    assert json.dumps(again) == json.dumps(first)
    tuned = tmp_path / "tuned"
    shutil.copytree(NANO, tuned)
    with opened(Catalog(), str(tuned), "fp32", tmp_path / "work", open_backend=refuse) as answerer:
        assert evaluate(answerer, 2, shares=MAIN_SHARES)["rows"] == first["rows"]


def test_a_checkpoint_that_is_none_is_told_in_one_line(capsys):
    assert main(["--checkpoint", "nano-1000"]) == 2
    assert capsys.readouterr().err.startswith("error: There is no checkpoint 'nano-1000'")
