"""The wide world: its parts say nothing of each other, and what is said of its pictures is true."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from models.catalog.checkpoints import NANO
from models.prompts import grammar, not_known
from training.nano.scenes import canvas, outsiders, palette, sprites, things, typefaces
from training.nano.scenes.canvas import Shape, Sheet
from training.nano.scenes.scene import FINE, GROUNDS, HELD_OUT, LETTERS, MIXED, USUAL, draw, seen
from training.nano.scenes.traits import Traits
from training.nano.scenes.wide import OTHER, WIDE
from training.nano.stages.batches import Batches
from training.nano.stages.point import Pointer
from training.nano.stages.rows import Maker
from training.nano.tasks import questions, unknown

SEEDS = range(HELD_OUT + 500, HELD_OUT + 580)
OLD = (236.76399739583334, 238.55094401041666)
MANY = range(HELD_OUT + 1000, HELD_OUT + 1700)
SMALL = 64  # pixels a side, where only kinds are counted


@pytest.fixture(scope="module")
def scenes():
    return [draw(seed, world=WIDE) for seed in SEEDS]


@pytest.fixture(scope="module")
def others():
    return [draw(seed, world=OTHER) for seed in SEEDS]


@pytest.fixture(scope="module")
def many():
    return [draw(seed, SMALL, world=WIDE) for seed in MANY]


def dependence(pairs: list[tuple[str, str]]) -> float:
    """By how many deviations chi-square exceeds what two independent labels would give."""
    firsts, seconds = (sorted(set(each)) for each in zip(*pairs, strict=True))
    table = np.zeros((len(firsts), len(seconds)))
    for first, second in pairs:
        table[firsts.index(first), seconds.index(second)] += 1
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    chi_square = ((table - expected) ** 2 / expected).sum()
    freedom = (len(firsts) - 1) * (len(seconds) - 1)
    return float((chi_square - freedom) / (2 * freedom) ** 0.5)


def test_a_seed_gives_the_same_picture_each_time(scenes):
    for scene in scenes[:6]:
        again = draw(scene.seed, world=WIDE)
        assert np.array_equal(np.asarray(again.image), np.asarray(scene.image))
        assert [o.box_xyxy_px for o in again.objects] == [o.box_xyxy_px for o in scene.objects]
        assert again.traits == scene.traits


def test_no_ground_goes_with_an_object(many):
    grounds = [(s.traits.ground, str(o.noun.index // 20)) for s in many for o in s.objects[:1]]
    colours = [(s.background, str(o.noun.index // 20)) for s in many for o in s.objects[:1]]
    assert dependence(grounds) < 4
    assert dependence(colours) < 4
    # What the bound is for: a ground that follows from the object is far beyond it.
    assert dependence([(first, first) for first, _ in grounds]) > 40


@pytest.mark.parametrize("other", ["canvas", "colour", "print"])
def test_no_ground_goes_with_a_shape_a_colour_or_a_print(many, other):
    assert dependence([(s.traits.ground, getattr(s.traits, other)) for s in many]) < 4


def test_every_kind_of_ground_shape_and_print_is_drawn(many):
    assert {s.traits.ground for s in many} == set(canvas.KINDS)
    assert {s.traits.canvas for s in many} == {"square", "wide", "very wide", "high", "very high"}
    assert {s.traits.layout for s in many} >= {"one", "tiny", "row", "framed", "collage"}
    assert {s.traits.print for s in many} == {"none", "plain", "plate", "label", "sign", "over"}
    assert {s.background for s in many} == set(GROUNDS)


def test_boxes_fit_the_visible_pixels_and_no_pixel_has_two_owners(scenes):
    assert sum(len(scene.objects) for scene in scenes) > 100
    for scene in scenes:
        assert scene.image.size == (224, 224)
        for item in scene.objects:
            rows, columns = np.nonzero(item.mask)
            fitted = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert item.box_xyxy_px == fitted
        assert sum((o.mask.astype(int) for o in scene.objects), np.zeros((224, 224), int)).max() < 2


def one_object(aspect: float, seed: int):
    """An object alone on magenta: the picture and the object."""
    shape = Shape(aspect, 224)
    sheet = Sheet(Image.new("RGB", (224, 224), (255, 0, 255)), ((0, 0, 224, 224),), "plain", "")
    board = things.Board.of(sheet)
    rng = np.random.default_rng(seed)
    wanted = things.Plan("one", ((sprites.nouns()[seed], "noto", 90.0),), ())
    placed = things.put(rng, board, shape, sheet, wanted)
    return np.asarray(board.image).astype(int), *seen(board.owner, placed)


@pytest.mark.parametrize("aspect", [1 / 3, 1.0, 3.0])
def test_masks_are_where_the_pixels_are_on_squashed_canvases(aspect):
    for seed in range(12):
        pixels, item = one_object(aspect, seed)
        changed = np.abs(pixels - (255, 0, 255)).sum(-1) > 30
        assert changed[item.mask].mean() > 0.97
        assert not item.mask[~changed].mean() > 0.02


def test_an_object_is_squashed_as_its_canvas_is():
    for seed in range(12):
        sides = {}
        for aspect in (1.0, 3.0):
            _, item = one_object(aspect, seed)
            x_min, y_min, x_max, y_max = item.box_xyxy_px
            sides[aspect] = (x_max - x_min) / (y_max - y_min)
        assert sides[1.0] / sides[3.0] == pytest.approx(3, rel=0.12)


def test_a_print_stands_where_its_letters_are_said_to_be(scenes):
    printed = [scene for scene in scenes if scene.print]
    assert len({scene.print.text.isupper() for scene in printed}) == 2
    for scene in printed:
        left, top, right, bottom = scene.print.box_xyxy_px
        placed = list(scene.print.placed())
        assert "".join(char for char, *_ in placed) == scene.print.text
        assert set(scene.print.text) <= set(LETTERS)
        for _, x_min, y_min, x_max, y_max in placed:
            assert left - 3 <= (x_min + x_max) / 2 <= right + 3
            assert top - 3 <= (y_min + y_max) / 2 <= bottom + 3


def test_forty_families_and_more_are_printed_with_their_licences_beside_them():
    assert len(typefaces.families()) >= 40
    assert set(typefaces.CAPITALS_ONLY) <= set(typefaces.families())
    for family in typefaces.families():
        assert (typefaces.FOLDER / f"{family}-LICENSE.txt").exists()


def test_a_ground_is_called_by_the_colour_that_most_of_it_has():
    yellow, blue = np.full((80, 3), (246, 222, 92)), np.full((20, 3), (72, 128, 214))
    assert palette.name_of(np.concatenate([yellow, blue]))[0] == "yellow"
    assert palette.name_of(np.concatenate([yellow[:50], blue, blue]))[0] == MIXED
    assert palette.name_of(np.zeros((0, 3)))[0] == MIXED


def test_outsiders_are_no_objects_and_those_kept_for_tests_are_never_trained_on():
    trained, kept = ({each.emoji for each in outsiders.outsiders(kept)} for kept in (False, True))
    assert len(trained) >= 100
    assert len(kept) >= 40
    assert not trained & kept
    assert not (trained | kept) & {noun.emoji for noun in sprites.nouns()}
    indices = {each.index for each in outsiders.outsiders()}
    planned = [
        index
        for seed in range(200)
        for index, _, _ in things.plan(
            np.random.default_rng(seed), Shape(1.0, 224), 1, sprites.STYLES, known=True
        ).unknown
    ]
    assert planned
    assert set(planned) <= indices


def test_a_picture_of_another_world_is_answered_in_one_way(others):
    assert {scene.traits.ground for scene in others} > {"document", "chart", "photo-like"}
    assert set(not_known.NOT_KNOWN) == set(questions.LANGUAGES)
    for scene in others:
        assert not scene.objects
        for example in unknown.examples(scene, np.random.default_rng(scene.seed)):
            grammar.check(example.prefix)
            if example.task in ("cap", "caption"):
                assert example.suffix == not_known.NOT_KNOWN[example.prefix.split()[1]]
            elif example.task == "answer":
                assert example.suffix == not_known.UNKNOWN
            elif example.task in ("detect", "segment"):
                assert example.suffix == questions.NOTHING
            elif example.task == "ocr":
                assert example.suffix == (scene.print.text if scene.print else questions.NO_TEXT)


def test_a_ground_without_one_colour_is_not_asked_for_it(scenes):
    kinds = Counter(
        (scene.background == MIXED, bool(questions.background(scene))) for scene in scenes
    )
    assert set(kinds) == {(True, False), (False, True)}


def test_lower_case_print_is_a_token_a_letter(nano, scenes):
    make = Maker(nano.processor.tokenizer, str(NANO.codec), 480, 3, 4, not_known=True)
    lower = next(s for s in scenes if s.print and s.print.text.islower() and len(s.print.text) > 3)
    (example,) = questions.ocr(lower)
    prompt = make.prompt(example, Pointer(lower))
    assert nano.processor.tokenizer.decode(prompt.suffix[:-1]) == lower.print.text
    assert len(prompt.suffix) == len(lower.print.text) + 1


def test_rows_of_the_wide_world_are_made_of_all_its_pictures(nano, scenes, others):
    make = Maker(nano.processor.tokenizer, str(NANO.codec), 200, 3, 4, not_known=True)
    batch = make([*scenes[:6], *others[:6]])
    assert len(batch["pixels"]) == 12
    assert int(batch["background"].max()) < len(GROUNDS)


def test_a_share_of_the_scenes_is_wide_and_the_old_ones_stay_as_they_were():
    plain = Batches(len, 8, 0, 1, SMALL, HELD_OUT)
    mixed = Batches(len, 8, 0, 1, SMALL, HELD_OUT, wide=0.6)
    seeds = range(HELD_OUT, HELD_OUT + 60)
    drawn = {seed: mixed.scene(seed) for seed in seeds}
    wide = [seed for seed in seeds if drawn[seed].traits != Traits()]
    assert 24 <= len(wide) <= 48
    for seed in set(seeds) - set(wide):
        assert np.array_equal(np.asarray(drawn[seed].image), np.asarray(plain.scene(seed).image))


def test_the_older_worlds_are_drawn_as_before():
    # Means of pixels that these seeds had before there was a wide world.
    assert np.asarray(draw(HELD_OUT, 64, world=USUAL).image).mean() == pytest.approx(OLD[0])
    assert np.asarray(draw(HELD_OUT, 64, world=FINE).image).mean() == pytest.approx(OLD[1])
