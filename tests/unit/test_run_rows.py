"""The rows of a run: read while it grows, looked through, and put right for the exports."""

from __future__ import annotations

import json

import pytest

from data.run_results import RunResults
from data.run_rows import RunRows, Sought
from data.runs import CORRECTIONS, RESULTS
from models.schema import UserError
from tests.runs import PROMPTS, make_run, save_pictures


@pytest.fixture
def run(tmp_path):
    save_pictures(tmp_path / "images")
    return make_run(tmp_path / "run", tmp_path / "images")


def objects_of(row):
    return [{"label": each.label, "box_xyxy_px": list(each.box_xyxy_px)} for each in objects(row)]


def objects(row):
    return row.answer.objects


def number_of(rows, image, prompt):
    found = (rows.read(number) for number in range(len(rows)))
    return next(r.number for r in found if (r.line["image"], r.line["prompt"]) == (image, prompt))


def test_rows_come_as_the_run_goes_on_and_a_torn_line_waits(run):
    whole = (run / RESULTS).read_bytes()
    lines = whole.splitlines(keepends=True)
    (run / RESULTS).write_bytes(b"".join(lines[:3]) + lines[3][:20])
    rows = RunRows(run)
    assert len(rows) == 3
    (run / RESULTS).write_bytes(whole)
    rows.refresh()
    assert len(rows) == len(lines)
    assert rows.failed == len(PROMPTS)
    assert [rows.read(at).line["image"] for at in rows.find(Sought(kind="failed"))] == [
        "broken.jpg"
    ] * len(PROMPTS)


def test_rows_are_found_by_label_confidence_and_what_was_corrected(run):
    rows = RunRows(run)
    rings = rows.find(Sought(label="ring"))
    assert [rows.read(each).line["image"] for each in rings] == ["a/1.jpg", "b/1.jpg"]
    assert rows.find(Sought(label="ring", high=0.5)) == []
    assert rows.find(Sought(label="ring", low=0.8)) == rings
    rows.correct(rings[0], objects=[])
    assert rows.find(Sought(label="ring")) == rings[1:]
    assert rows.find(Sought(kind="corrected")) == rings[:1]
    assert rings[0] in rows.find(Sought(kind="empty"))
    assert rings[0] not in rows.find(Sought(kind="untouched"))
    assert rows.labels["ring"] == 1
    again = RunRows(run)  # as after a restart
    assert again.find(Sought(kind="corrected")) == rings[:1] and again.corrected == 1


def test_an_object_keeps_of_the_answer_what_still_holds(run):
    rows = RunRows(run)
    number = number_of(rows, "a/1.jpg", PROMPTS[1])
    (said,) = objects(rows.read(number))
    (named,) = objects(
        rows.correct(number, objects=[{**objects_of(rows.read(number))[0], "label": "hoop"}])
    )
    assert (named.label, named.confidence) == ("hoop", None) and named.rle == said.rle
    box = [said.box_xyxy_px[0] + 5, *said.box_xyxy_px[1:]]
    (moved,) = objects(rows.correct(number, objects=[{"label": "ring", "box_xyxy_px": box}]))
    assert (moved.confidence, moved.rle) == (None, None)
    back = rows.correct(number, objects=[{"label": "ring", "box_xyxy_px": list(said.box_xyxy_px)}])
    assert objects(back) == (said,) and not back.is_corrected


def test_corrections_of_text_and_objects_stand_beside_each_other_in_exports(run):
    rows = RunRows(run)
    number = number_of(rows, "a/1.jpg", PROMPTS[0])
    rows.correct(number, text="by hand")
    rows.correct(number, objects=[{"label": "dog", "box_xyxy_px": [10, 20, 110, 120]}])
    answer = next(iter(RunResults(run))).answers[0]
    assert answer.text == "by hand"
    assert [each.label for each in answer.objects] == ["dog"]
    assert answer.line["is_corrected"]
    rows.correct(number, is_as_answered=True)
    answer = next(iter(RunResults(run))).answers[0]
    assert "is_corrected" not in answer.line


@pytest.mark.parametrize(
    "given, said",
    [
        ({"label": " ", "box_xyxy_px": [1, 2, 3, 4]}, "cannot be a label"),
        ({"label": "a ; b", "box_xyxy_px": [1, 2, 3, 4]}, "cannot be a label"),
        ({"label": "a"}, "no four edges"),
        ({"label": "a", "box_xyxy_px": [1, 2, True, "4"]}, "no four edges"),
        ({"label": "a", "box_xyxy_px": [10, 2, 3, 4]}, "encloses no pixel"),
        ({"label": "a", "box_xyxy_px": [float("nan"), 2, 30, 40]}, "encloses no pixel"),
        ({"label": "a", "box_xyxy_px": [900, 2, 999, 40]}, "encloses no pixel"),
        ([], "no label"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(run, given, said):
    rows = RunRows(run)
    with pytest.raises(UserError, match=said):
        rows.correct(0, objects=[given])
    assert not (run / CORRECTIONS).exists()


def test_a_box_of_the_answer_below_a_pixel_hinders_no_correction(run):
    lines = [json.loads(each) for each in (run / RESULTS).read_text("utf-8").splitlines()]
    lines[0]["detections"][0]["box_xyxy_px"] = [10, 10, 10.3, 30]
    (run / RESULTS).write_text("".join(f"{json.dumps(each)}\n" for each in lines), "utf-8")
    rows = RunRows(run)
    added = {"label": "dog", "box_xyxy_px": [1, 2, 30, 40]}
    row = rows.correct(0, objects=[*objects_of(rows.read(0)), added])
    assert objects(row)[0].box_xyxy_px == (10, 10, 10.3, 30) and objects(row)[-1].label == "dog"


def test_a_box_that_leaves_the_picture_ends_at_its_edge(run):
    rows = RunRows(run)
    row = rows.correct(0, objects=[{"label": "a", "box_xyxy_px": [-9, 10.456, 5000, 20]}])
    assert objects(row)[0].box_xyxy_px == (0, 10.46, row.line["width"], 20)
    kept = json.loads((run / CORRECTIONS).read_text("utf-8"))
    assert kept["detections"][0]["box_xyxy_px"] == [0, 10.46, row.line["width"], 20]


def test_an_error_has_nothing_to_correct(run):
    rows = RunRows(run)
    with pytest.raises(UserError, match="no answer to correct"):
        rows.correct(rows.find(Sought(kind="failed"))[0], text="right")
