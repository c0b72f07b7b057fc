"""What stands in for the person of the loop: right answers stay, wrong ones are put right."""

from __future__ import annotations

import json

from data.run_results import RunResults
from data.runs import Run
from evaluation.absent import shapes
from evaluation.loop.correct import correct, main

PROMPTS = [f"detect {kind}" for kind in shapes.KINDS]


def answered(folder, images, boxes_of):
    """A run whose answer about a kind in a picture is what `boxes_of(name, prompt)` says."""
    run = Run(folder, {"images": [str(images)], "prompts": PROMPTS})
    for path in sorted(images.glob("*.png")):
        size = {"width": shapes.SIDE, "height": shapes.SIDE}
        run.add(
            [
                {"image": path.name, **size, "prompt": prompt, "text": "none"}
                | {"detections": boxes_of(path.name, prompt)}
                for prompt in PROMPTS
            ]
        )
    run.add([{"image": "broken.png", "prompt": each, "error": "No picture."} for each in PROMPTS])
    run.close()
    return folder


def found_in(run):
    """(label, box) of all objects of a run's pictures, by (picture, prompt)."""
    return {
        (each.name, answer.prompt): [(one.label, one.box_xyxy_px) for one in answer.objects]
        for each in RunResults(run)
        for answer in each.answers
    }


def test_a_run_that_finds_nothing_is_put_right_and_then_nothing_is_left_to_do(tmp_path, capsys):
    truth = shapes.write(tmp_path / "images", 12, seed=4)
    content = json.loads(truth.read_text())
    run = answered(tmp_path / "run", truth.parent, lambda name, prompt: [])
    asked = {(each["image_id"], each["category_id"]) for each in content["annotations"]}
    assert correct(run, truth) == (36, len(asked))
    found = found_in(run)
    for each in content["annotations"]:
        x, y, w, h = each["bbox"]
        kind = list(shapes.KINDS)[each["category_id"] - 1]
        near = [
            box
            for label, box in found[f"{each['image_id']}.png", f"detect {kind}"]
            if label == kind
        ]
        assert any(
            max(abs(a - b) for a, b in zip(box, (x, y, x + w, y + h), strict=True)) < 0.1
            for box in near
        )
    assert sum(map(len, found.values())) == len(content["annotations"])

    def as_corrected(name, prompt):
        return [{"label": label, "box_xyxy_px": box} for label, box in found[name, prompt]]

    again = answered(tmp_path / "again", truth.parent, as_corrected)
    assert main([str(again), "--truth", str(truth)]) == 0
    assert capsys.readouterr().out == "36 answers, 0 of them put right\n"


def test_boxes_that_are_off_or_too_many_are_put_right(tmp_path):
    truth = shapes.write(tmp_path / "images", 4, seed=4, empty=0.0)
    right = answered(tmp_path / "run", truth.parent, lambda name, prompt: [])
    correct(right, truth)
    boxes = found_in(right)
    for dx, extra, expected in ((2, 0, 0), (25, 0, 1), (0, 1, 1)):

        def answer(name, prompt, dx=dx, extra=extra):
            given = [
                {"label": label, "box_xyxy_px": [max(0, x0 - dx), y0, max(1, x1 - dx), y1]}
                for label, (x0, y0, x1, y1) in boxes[name, prompt]
            ]
            more = {"label": prompt.removeprefix("detect "), "box_xyxy_px": [0, 0, 9, 9]}
            return given + [more] * extra

        run = answered(tmp_path / f"{dx} {extra}", truth.parent, answer)
        answers, wrong = correct(run, truth)
        assert answers == 12 and bool(wrong) == bool(expected)
