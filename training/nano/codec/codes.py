"""The mask codes of a scene's objects: what `<seg>` tokens and the dense targets of masks share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from models.masks.codec import CODE_DIM, CODES_PER_MASK, GRID, MaskCodec
from models.prompts.tokens import encode_codes
from training.nano.scenes.scene import Scene, SceneObject

CODE_SPREAD = 0.7  # of soft targets, in mean distances to the nearest code
SHARPNESS = 4.0  # what turns the codec's [-1, 1] into logits


def mask_crop(item: SceneObject) -> torch.Tensor:
    """float[1, 64, 64] in [-1, 1]: the object's visible pixels, cropped to its box."""
    x_min, y_min, x_max, y_max = item.box_xyxy_px
    crop = torch.from_numpy(item.mask[y_min:y_max, x_min:x_max].astype(np.float32))[None, None]
    return functional.interpolate(crop, (64, 64), mode="bilinear", antialias=True)[0] * 2 - 1


class SceneCodes:
    """Encodes the masks of a scene; picklable, so that workers can hold it."""

    def __init__(self, path: str):
        """`path` is the mask codec's file."""
        self.path = path
        self.codec: MaskCodec | None = None

    def __call__(self, scene: Scene) -> np.ndarray:
        """int64[objects, 16], each in [0, 128), in the order of the scene's objects."""
        if not scene.objects:
            return np.zeros((0, CODES_PER_MASK), np.int64)
        if self.codec is None:
            self.codec = MaskCodec.load(self.path)
        with torch.no_grad():
            return self.codec.encode(torch.stack([mask_crop(o) for o in scene.objects])).numpy()


def writer(codes: np.ndarray) -> Callable[[Scene, SceneObject], str]:
    """Writes the 16 mask tokens of an object of a scene, from the scene's codes [objects, 16]."""

    def written(scene: Scene, item: SceneObject) -> str:
        number = next(i for i, other in enumerate(scene.objects) if other is item)
        return encode_codes(codes[number].tolist())

    return written


def code_bells(codebook: torch.Tensor) -> torch.Tensor:
    """float[128, 128]: for each code of `codebook` (128, D) a soft target over those near it.

    Near codes draw nearly the same, so the bell reaches to about the nearest neighbours.
    """
    distances = torch.cdist(codebook, codebook)
    nearest = distances.topk(2, largest=False).values[:, 1].mean()
    return torch.softmax(-0.5 * (distances / (CODE_SPREAD * nearest)) ** 2, -1)


def drawn_loss(logits: torch.Tensor, codes: torch.Tensor, codec: MaskCodec) -> torch.Tensor:
    """How far the masks of the likeliest codes are from those of the right ones, in nats a pixel.

    `logits` is float[N * 16, 128] and `codes` int64[N * 16], mask after mask. Many codes draw
    nearly the same, and a wrong one beside a right one may draw something else altogether: the
    picture says which. What is drawn are the likeliest codes, and the gradient goes to all of them
    (straight-through, Bengio et al. 2013, arXiv 1308.3432).
    """
    if not len(codes):
        return logits.new_zeros(())
    chance = logits.float().softmax(-1)
    likeliest = functional.one_hot(chance.argmax(-1), chance.shape[1])
    vectors = (likeliest + chance - chance.detach()) @ codec.codebook
    drawn = codec.decoder(vectors.view(-1, GRID, GRID, CODE_DIM).permute(0, 3, 1, 2))[:, 0]
    right = (codec.decode(codes.view(-1, CODES_PER_MASK)) > 0).float().clone()
    return functional.binary_cross_entropy_with_logits(SHARPNESS * drawn.float(), right)
