"""Scenes: what is said about them is true of their pixels."""

from __future__ import annotations

import numpy as np
import pytest

from training.nano.scenes import sprites
from training.nano.scenes.scene import BACKGROUNDS, BARE, CHARACTERS, FINE, HELD_OUT, draw

SEEDS = range(HELD_OUT, HELD_OUT + 40)


@pytest.fixture(scope="module")
def scenes():
    return [draw(seed) for seed in SEEDS]


def test_a_seed_gives_the_same_pixels_each_time(scenes):
    again = draw(SEEDS[0])
    assert np.array_equal(np.asarray(again.image), np.asarray(scenes[0].image))
    assert not np.array_equal(np.asarray(draw(SEEDS[1]).image), np.asarray(again.image))


def test_every_style_draws_every_object():
    drawn = sprites.load()
    assert len(sprites.nouns()) >= 100
    assert set(drawn) == {(n.index, style) for n in sprites.nouns() for style in sprites.STYLES}
    assert all(max(sprite.size) > 100 for sprite in drawn.values())


def test_a_box_fits_the_visible_pixels(scenes):
    for scene in scenes:
        for item in scene.objects:
            rows, columns = np.nonzero(item.mask)
            fitted = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert item.box_xyxy_px == fitted


def test_no_pixel_belongs_to_two_objects(scenes):
    for scene in scenes:
        assert sum(item.mask.astype(int) for item in scene.objects).max() == 1


def test_a_print_is_hidden_by_nothing(scenes):
    printed = [scene for scene in scenes if scene.print]
    assert printed
    for scene in printed:
        left, top, right, bottom = scene.print.box_xyxy_px
        assert set(scene.print.text) <= set(CHARACTERS)
        assert not any(item.mask[top:bottom, left:right].any() for item in scene.objects)


def test_the_background_has_about_the_colour_it_is_named_after(scenes):
    for scene in scenes:
        free = ~np.any([item.mask for item in scene.objects], axis=0)
        median = np.median(np.asarray(scene.image)[free], axis=0)
        distance = {name: np.abs(median - np.array(rgb)).sum() for name, rgb in BACKGROUNDS.items()}
        assert sorted(distance, key=distance.get).index(scene.background) <= 1


def test_a_larger_picture_shows_a_scene_of_the_same_kind():
    scene = draw(HELD_OUT, 448)
    assert scene.image.size == (448, 448)
    assert all(item.mask.shape == (448, 448) for item in scene.objects)


def test_fine_scenes_hold_more_and_smaller_things_than_usual_ones():
    usual = [draw(seed) for seed in SEEDS]
    fine = [draw(seed, 448, world=FINE) for seed in SEEDS]

    def smallest(scenes, unit: float) -> float:
        return min(max(np.ptp(np.nonzero(o.mask), 1)) / unit for s in scenes for o in s.objects)

    assert max(len(scene.objects) for scene in usual) <= 6 < max(len(s.objects) for s in fine) <= 10
    assert smallest(fine, 2) < 16 < smallest(usual, 1) + 6
    letters = [scene.print.height_px / 2 for scene in fine if scene.print]
    assert min(letters) < 10
    assert max(letters) <= 26


def test_bare_scenes_hold_no_object_and_at_times_a_print():
    bare = [draw(seed, world=BARE) for seed in SEEDS]
    assert not any(scene.objects for scene in bare)
    assert {scene.print is None for scene in bare} == {True, False}
