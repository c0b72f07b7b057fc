"""The second generator: what is said of its pictures is true, and nano's painters are not in it."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from data import documents
from evaluation.compare.answer_store import Answer, AnswerPart
from evaluation.nano.score import SceneAnswer
from evaluation.nano.strange import backdrops, drawings, measure, signs, tables, treatments
from evaluation.nano.strange.generator import FIRST, LAYOUTS, OTHER_KINDS, SHAPES, draw, draw_other
from models.prompts import not_known
from training.nano.scenes import typefaces
from training.nano.scenes.scene import HELD_OUT, MIXED, WORDS

SEEDS = range(FIRST, FIRST + 75)
FEW = 14  # of them where answers are scored
FOLDER = Path(measure.__file__).parent
# Records and names; the painters are all else that `training.nano.scenes` has.
ALLOWED = {
    "training.nano.scenes.scene": {"MIXED", "RESOLUTION", "Print", "Scene", "SceneObject"},
    "training.nano.scenes.sprites": {"STYLES", "nouns"},
    "training.nano.scenes.traits": {"Traits"},
}


@pytest.fixture(scope="module")
def scenes():
    return [draw(seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def others():
    return [draw_other(seed) for seed in range(FIRST, FIRST + 12)]


def test_a_seed_gives_the_same_picture_each_time(scenes, others):
    for scene, again in ((scenes[0], draw(SEEDS[0])), (others[0], draw_other(FIRST))):
        assert np.array_equal(np.asarray(scene.image), np.asarray(again.image))
        assert scene.traits == again.traits
    assert FIRST >= HELD_OUT


def test_no_painter_of_nanos_own_scenes_is_imported():
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                assert not any("nano.scenes" in each.name for each in node.names), path
            elif isinstance(node, ast.ImportFrom) and "nano.scenes" in (node.module or ""):
                taken = {each.name for each in node.names}
                assert taken <= ALLOWED.get(node.module or "", set()), (path, node.module)


def test_fonts_words_and_photographs_are_others_than_those_trained_with():
    own = {name.replace("-", "").lower() for name in typefaces.families()}
    assert not own & {font.partition("-")[0].lower() for font in signs.FONTS}
    assert not {word.upper() for word in signs.WORDS} & set(WORDS)


def test_every_kind_of_picture_is_drawn(scenes):
    kinds = Counter()
    for traits in (scene.traits for scene in scenes):
        kinds.update((traits.ground, traits.canvas, traits.layout, traits.colour, traits.print))
    assert set(kinds) >= {*backdrops.KINDS, *SHAPES, *LAYOUTS, *treatments.KINDS, "none", "card"}


def test_the_shape_is_the_one_that_is_named(scenes):
    for scene in scenes:
        wide, high = scene.image.size
        named = "square" if wide == high else "high" if high > wide else "wide"
        assert scene.traits.canvas.endswith(named)
        assert (wide >= 2 * high) == (scene.traits.canvas == "very wide")


def test_boxes_fit_the_masks_and_no_pixel_has_two_owners(scenes):
    for scene in scenes:
        assert scene.objects
        for item in scene.objects:
            assert item.mask.shape == scene.image.size[::-1]
            rows, columns = np.nonzero(item.mask)
            fitted = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert item.box_xyxy_px == fitted
        assert sum(item.mask.astype(int) for item in scene.objects).max() == 1


def test_masks_are_where_the_drawings_are(scenes):
    seen = 0
    for scene in scenes:
        if scene.traits.ground != "white" or scene.traits.colour != "as drawn":
            continue
        inked = np.asarray(scene.image).min(-1) < 200
        for item in scene.objects:
            left, top, right, bottom = item.box_xyxy_px
            box = inked[top:bottom, left:right]
            if box.mean() > 0.3:  # of a drawing that is not white itself
                assert not (box & ~item.mask[top:bottom, left:right]).mean() > 0.35
                seen += 1
    assert seen >= 5


def test_grey_pictures_are_grey_and_named_grounds_have_their_colour(scenes):
    checked = Counter()
    for scene in scenes:
        pixels = np.asarray(scene.image).astype(int)
        if scene.traits.colour == "grey":
            assert np.ptp(pixels, -1).max() <= 1
            checked["grey"] += 1
        if scene.background in backdrops.NAMED:
            corner = np.median(pixels.reshape(-1, 3), 0) / 255
            far = {n: np.abs(corner - rgb).sum() for n, rgb in backdrops.NAMED.items()}
            if len(scene.objects) < 3:
                assert scene.background in sorted(far, key=far.get)[:3]
                checked["named"] += 1
        if scene.traits.colour in treatments.RECOLOURED:
            assert scene.background == MIXED
    assert checked["grey"]
    assert checked["named"]


def test_print_lies_in_its_box_and_hides_no_more_than_a_third(scenes):
    printed = [scene for scene in scenes if scene.print]
    assert printed
    for scene in printed:
        left, top, right, bottom = scene.print.box_xyxy_px
        assert 0 <= left < right <= scene.image.width
        assert 0 <= top < bottom <= scene.image.height
        assert scene.print.height_px <= bottom - top + 1


def test_pictures_of_another_world_hold_nothing_that_has_a_word(others):
    assert {scene.traits.ground for scene in others} == set(OTHER_KINDS)
    assert not any(scene.objects for scene in others)
    assert len(drawings.kept_numbers()) >= 40


def answer(text: str) -> Answer:
    parts = tuple(AnswerPart(p, 0.9) for p in text.split(" ; ") if p.startswith("<loc"))
    return Answer(text, parts, True)


def asked(scenes, say) -> list[SceneAnswer]:
    pick = measure.known_examples if scenes[0].objects else measure.other_examples
    return [
        SceneAnswer(scene, example, answer(say(scene, example)))
        for scene in scenes[:FEW]
        for example in pick(scene)
        if example.task != "segment"
    ]


def test_right_answers_have_full_marks_and_wrong_ones_none(scenes, others):
    right = measure.rows(
        asked(scenes, lambda s, e: e.suffix), asked(others, lambda s, e: e.suffix), None, 0
    )
    values = {row["measure"]: row for row in right if row["by"] == "all"}
    for name in (measure.NAMED, measure.PERFECT, measure.RIGHT, measure.AP50, measure.NOT_KNOWN):
        assert values[name]["value"] == pytest.approx(1), name
    assert values[measure.INVENTED]["value"] == values[measure.WRONGLY]["value"] == 0
    assert {row["by"] for row in right} == {"all", "other", *tables.TRAITS}

    def unknowing(scene, example):
        return not_known.UNKNOWN if example.task == "answer" else "nothing that I know"

    wrong = measure.rows(asked(scenes, unknowing), [], None, 0)
    values = {row["measure"]: row["value"] for row in wrong if row["by"] == "all"}
    assert values[measure.NAMED] == values[measure.PERFECT] == values[measure.RIGHT] == 0
    assert values[measure.WRONGLY] > 0.5


def test_what_is_invented_is_counted_by_picture(scenes):
    def inventing(scene, example):
        return f"{example.suffix} and two ladders" if example.prefix == "caption en" else "x"

    rows = measure.rows(asked(scenes, inventing), [], None, 0)
    values = {row["measure"]: row["value"] for row in rows if row["by"] == "all"}
    assert values[measure.NAMED] == 1
    assert values[measure.INVENTED] == pytest.approx(2, abs=0.1)
    assert values[measure.PERFECT] == 0


def test_tables_and_the_five_lines_go_between_their_marks(scenes, others, tmp_path):
    rows = measure.rows(
        asked(scenes, lambda s, e: e.suffix), asked(others, lambda s, e: e.suffix), None, 0
    )
    rows.append({**rows[0], "measure": measure.IOU, "value": 0.5})
    scores = {
        "checkpoint": "nano-224", "rows": rows, "prompts": 1, "scenes": 40, "other": 12,
        "first_seed": FIRST, "resolution": 224, "dtype": "float32", "device": "cpu",
        "machine": "any", "cut_off": 0,
    }  # fmt: skip
    card = tmp_path / "card.md"
    card.write_text("<!-- in short nano-224 -->\n<!-- /in short nano-224 -->\n")
    documents.write(card, tables.marked(scores))
    lines = [line for line in card.read_text().splitlines() if line[:2].rstrip(".").isdigit()]
    assert [line[0] for line in lines] == list("12345")
    assert "names 1.00 of the objects and invents 0.00" in lines[0]
    split = tables.kinds(scores)
    assert all(f"ground: {kind}" in split for kind in {s.traits.ground for s in scenes[:FEW]})
