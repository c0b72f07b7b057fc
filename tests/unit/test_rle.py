"""COCO RLE, against pycocotools."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pycocotools import mask as coco

from models.masks import rle


@pytest.mark.parametrize("density", [0.0, 0.01, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (5, 7), (64, 64), (120, 250)])
def test_codes_are_those_of_pycocotools(shape, density):
    mask = np.random.default_rng(0).random(shape) < density
    code = json.loads(json.dumps(rle.encode(mask)))
    expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert code["size"] == expected["size"]
    assert code["counts"].encode() == expected["counts"]
    assert (rle.decode(code) == mask).all()


def test_a_solid_shape_survives():
    mask = np.zeros((300, 400), bool)
    mask[50:250, 100:390] = True
    assert (coco.decode(rle.encode(mask)) == mask).all()


@pytest.mark.parametrize("counts", ["", "0", "o", "52P", "ÿ", "P" * 40, "\x00", "o0o0"])
def test_a_code_of_no_whole_mask_is_refused(counts):
    with pytest.raises(ValueError, match=r"runs|last run"):
        rle.decode({"size": [4, 4], "counts": counts})
