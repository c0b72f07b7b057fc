"""What people put right, and what no format takes, in the exports of a run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from data.exports.formats import FORMATS, export
from data.exports.names import flat_stems
from data.sources import Source, read
from models.schema import UserError
from tests.runs import PROMPTS, SIZES, exported, make_run, save_pictures


def corrected(tmp_path: Path, *lines: dict) -> Path:
    save_pictures(tmp_path / "images")
    run = make_run(tmp_path / "run", tmp_path / "images")
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run / "corrections.jsonl").write_text(text + '{"image": "torn', "utf-8")
    return run


def test_corrections_take_the_place_of_what_was_answered(tmp_path):
    kept = {"label": "dog", "box_xyxy_px": [10, 20, 110, 120], "confidence": None, "mask": None}
    run = corrected(
        tmp_path,
        {"image": "a/1.jpg", "prompt": PROMPTS[0], "detections": []},
        {"image": "a/1.jpg", "prompt": PROMPTS[0], "detections": [kept]},
        {"image": "b/1.jpg", "prompt": PROMPTS[0], "detections": []},
        {"image": "b/1.jpg", "prompt": PROMPTS[2], "text": "right"},
    )
    items = read(Source(str(exported(run, "finetune") / "train.jsonl")))
    learned = {(Path(each.picture.parent.name, each.picture.name), each.prefix): each.suffix
               for each in items}  # fmt: skip
    moved = "<loc0102><loc0032><loc0614><loc0352> dog"
    assert learned[Path("a/1.jpg"), PROMPTS[0]] == moved
    assert learned[Path("b/1.jpg"), PROMPTS[0]] == "none"
    assert learned[Path("b/1.jpg"), PROMPTS[2]] == "right"
    content = json.loads((exported(run, "coco") / "annotations.json").read_text("utf-8"))
    assert "dog" in [each["name"] for each in content["categories"]]
    assert [10.0, 20.0, 100.0, 100.0] in [each["bbox"] for each in content["annotations"]]


def test_what_no_format_takes_is_left_out_of_labels(tmp_path):
    given = {"label": " a\x01\nb\ufffe", "box_xyxy_px": [1, 2, 30, 40]}
    run = corrected(tmp_path, {"image": "a/1.jpg", "prompt": PROMPTS[0], "detections": [given]})
    root = ElementTree.parse(exported(run, "voc") / "Annotations" / "a_1.xml").getroot()
    assert [each.text for each in root.iter("name")] == ["a b", "ring"]


def test_a_name_that_is_no_text_is_a_file_all_the_same(tmp_path):
    save_pictures(tmp_path / "images")
    images = os.fsencode(tmp_path / "images")
    os.rename(images + b"/a/1.jpg", images + b"/\xff.jpg")  # noqa: PTH104 (a name of bytes)
    run = make_run(tmp_path / "run", tmp_path / "images")
    lines = (run / "results.jsonl").read_text("utf-8").replace('"a/1.jpg"', r'"\udcff.jpg"')
    (run / "results.jsonl").write_text(lines, "utf-8")
    for name in FORMATS:
        if name == "cvat":
            with pytest.raises(UserError, match=r"'\\udcff\.jpg' is no text in UTF-8"):
                list(export(run, [name]))
        else:
            assert exported(run, name).is_dir()
    items = read(Source(str(run / "exports" / "finetune" / "train.jsonl")))
    assert items[0].open().size == SIZES["a/1.jpg"]


def test_a_box_that_an_answer_repeats_is_there_once_as_it_is_shown(tmp_path):
    box = {"label": "dog", "box_xyxy_px": [10, 20, 110, 120], "confidence": 0.5, "mask": None}
    again, other = box | {"box_xyxy_px": [10, 20, 110, 121]}, box | {"label": "cat"}
    given = {"image": "a/1.jpg", "prompt": PROMPTS[0], "detections": [box, again, other]}
    run = corrected(tmp_path, given)
    items = read(Source(str(exported(run, "finetune") / "train.jsonl")))
    suffix = "<loc0102><loc0032><loc0614><loc0352> dog ; <loc0102><loc0032><loc0614><loc0352> cat"
    assert items[0].suffix == suffix


def test_an_answer_with_masks_is_not_learned_without_them(tmp_path):
    drawn = {"label": "ring", "box_xyxy_px": [1, 2, 30, 40], "confidence": None, "mask": None}
    run = corrected(
        tmp_path,
        {"image": "a/1.jpg", "prompt": PROMPTS[1], "detections": [drawn]},
        {"image": "b/1.jpg", "prompt": PROMPTS[1], "detections": []},
    )
    (written,) = export(run, ["finetune"])
    assert "segment that are left out: 1." in str(written)
    items = read(Source(str(written.folder / "train.jsonl")))
    learned = {each.picture.parent.name: each.suffix for each in items if each.prefix == PROMPTS[1]}
    assert "a" not in learned and learned["b"] == "none"


def test_long_names_in_any_script_become_files_of_their_own(tmp_path):
    names = [f"{'写真' * 30}/{'夏休み' * 20}{number}.png" for number in range(3)]
    names += ["हिन्दी.png", "U\u0308ber.png", "Über.jpg", "قطة.png", "🐱.png", "🐶.png"]
    stems = flat_stems(names)
    for stem in stems.values():
        (tmp_path / f"{stem}.png").write_bytes(b"")
    assert len(list(tmp_path.iterdir())) == len({each.casefold() for each in stems.values()}) == 9
    assert stems[names[0]].endswith("夏休み0") and stems["हिन्दी.png"] == "हिन्दी"
    assert [stems["U\u0308ber.png"], stems["Über.jpg"]] == ["Über", "Über-2"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"label": "a ; b"}, "separates objects"),
        ({"box_xyxy_px": [0, 0, 999, 10]}, r"a/1\.jpg are damaged: the box .* none within 320"),
        ({"box_xyxy_px": [0, 0, float("nan"), 10]}, "damaged: the box"),
        ({"mask": {"size": [1, 1], "counts": "0"}}, "a mask is of another size"),
    ],
)
def test_a_correction_that_cannot_be_is_refused_with_its_picture(tmp_path, change, word):
    given = {"label": "dog", "box_xyxy_px": [1, 2, 30, 40], "confidence": None, "mask": None}
    run = corrected(
        tmp_path, {"image": "a/1.jpg", "prompt": PROMPTS[0], "detections": [given | change]}
    )
    with pytest.raises(UserError, match=word):
        list(export(run, ["finetune"]))
    assert not (run / "exports" / "finetune").exists()
