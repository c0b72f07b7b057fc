"""A picture is looked at once, and what is kept is bounded."""

from __future__ import annotations

import torch
from PIL import Image

from models.engine.engine import Engine
from models.engine.image_cache import ImageFeatureCache, fingerprint


def numbers(count: int) -> torch.Tensor:
    return torch.zeros(count, dtype=torch.float32)


def test_what_is_kept_is_found():
    cache = ImageFeatureCache(100)
    assert cache.get("a") is None
    first = numbers(5)
    cache.put("a", first)
    assert cache.get("a") is first
    assert (cache.hits, cache.misses, cache.bytes) == (1, 1, 20)


def test_what_two_found_at_the_same_time_counts_once():
    cache = ImageFeatureCache(100)
    cache.put("a", numbers(5))
    cache.put("a", numbers(5))
    assert cache.bytes == 20


def test_the_longest_unused_goes_when_the_bytes_are_used_up():
    cache = ImageFeatureCache(100)
    for name in "ab":
        cache.put(name, numbers(10))
    cache.get("a")
    cache.put("c", numbers(10))
    assert cache.get("a") is not None and cache.get("c") is not None
    assert cache.get("b") is None
    assert cache.bytes == 80


def test_what_is_too_large_is_not_kept():
    cache = ImageFeatureCache(100)
    cache.put("small", numbers(10))
    cache.put("large", numbers(26))
    assert cache.get("large") is None and cache.get("small") is not None
    assert cache.bytes == 40


def test_a_fingerprint_is_of_the_pixels_and_the_size():
    image = Image.new("RGB", (4, 2), "red")
    assert fingerprint(image) == fingerprint(image.copy())
    others = [Image.new("RGB", (2, 4), "red"), Image.new("RGB", (4, 2), "blue")]
    other = image.copy()
    other.putpixel((3, 1), (254, 0, 0))
    assert len({fingerprint(each) for each in (image, other, *others)}) == 4


def test_a_second_question_skips_the_tower(nano, ask, run_all):
    engine = Engine(nano)
    seen = []
    hook = nano.model.model.vision_tower.post_layernorm.register_forward_hook(
        lambda *_: seen.append(1)
    )
    try:
        run_all(engine, [ask("describe en", tokens=2), ask("ocr", tokens=2)])
        again = run_all(engine, [ask("describe en", tokens=2)])
    finally:
        hook.remove()
    assert len(seen) == 1
    assert again == run_all(Engine(nano), [ask("describe en", tokens=2)])
