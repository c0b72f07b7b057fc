"""A picture is looked at once, and what is kept is bounded."""

from __future__ import annotations

import torch
from PIL import Image

from models.engine import Engine
from models.features import FeatureCache, fingerprint


def numbers(count: int) -> torch.Tensor:
    return torch.zeros(count, dtype=torch.float32)


def never() -> torch.Tensor:
    raise AssertionError("computed again")


def test_what_is_kept_is_not_computed_again():
    cache = FeatureCache(100)
    first = cache.get("a", lambda: numbers(5))
    assert cache.get("a", never) is first
    assert (cache.hits, cache.misses, cache.bytes) == (1, 1, 20)


def test_the_longest_unused_goes_when_the_bytes_are_used_up():
    cache = FeatureCache(100)
    for name in "ab":
        cache.get(name, lambda: numbers(10))
    cache.get("a", never)
    cache.get("c", lambda: numbers(10))
    cache.get("a", never)
    cache.get("b", lambda: numbers(10))
    assert (cache.misses, cache.bytes) == (4, 80)


def test_what_is_too_large_is_not_kept():
    cache = FeatureCache(100)
    cache.get("small", lambda: numbers(10))
    assert len(cache.get("large", lambda: numbers(26))) == 26
    cache.get("small", never)
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
    hook = nano.model.model.vision_tower.register_forward_hook(lambda *_: seen.append(1))
    try:
        run_all(engine, [ask("describe en", tokens=2), ask("ocr", tokens=2)])
        again = run_all(engine, [ask("describe en", tokens=2)])
    finally:
        hook.remove()
    assert len(seen) == 1
    assert again == run_all(Engine(nano), [ask("describe en", tokens=2)])
