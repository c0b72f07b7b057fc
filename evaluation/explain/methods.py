"""Ways to say which patches of a picture support some tokens of an answer.

Each takes a pass and the tokens' indices in the answer, and gives float[image_tokens], larger where
the support is said to be stronger. Only the order and the proportions of its values matter.

Sources: attention of late layers as in "attention rollout"'s baselines (Abnar and Zuidema 2020);
attention · gradient and its rollout (Chefer, Gur and Wolf 2021); token activation maps, here the
last hidden states of the image through the head (Li et al. 2025); input · gradient (Shrikumar et
al. 2016); occlusion (Zeiler and Fergus 2014).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from evaluation.explain import forced_pass
from evaluation.explain.forced_pass import Asked, ForcedPass
from models.loading.loader import LoadedModel

WINDOW, STRIDE = 3, 2  # of occlusion, in patches
AT_ONCE = 16  # occluded pictures
Map = np.ndarray


@dataclass(frozen=True)
class Subject:
    """What a method may look at: the model, what was asked, its pass, the tokens' indices in the
    answer, and the gradients of their log-probability's sum by features and by attentions."""

    loaded: LoadedModel
    question: Asked
    found: ForcedPass
    tokens: tuple[int, ...]
    feature_gradient: torch.Tensor
    attention_gradients: tuple[torch.Tensor, ...]


def subject(
    loaded: LoadedModel, question: Asked, found: ForcedPass, tokens: tuple[int, ...]
) -> Subject:
    """What the methods need about some tokens; `found` was made with gradients."""
    chosen = question.answer_ids[list(tokens)]
    total = found.logprobs[list(tokens), chosen].sum()
    gradients = torch.autograd.grad(total, (found.features, *found.attentions), retain_graph=True)
    return Subject(loaded, question, found, tokens, gradients[0], gradients[1:])


def late_attention(it: Subject, layers: int = 3) -> Map:
    """Mean attention of the last layers' heads, from where the tokens are predicted."""
    return _mean([it.found.to_image(each, it.tokens) for each in it.found.attentions[-layers:]])


def all_attention(it: Subject) -> Map:
    """The same of all layers."""
    return late_attention(it, len(it.found.attentions))


def attention_gradient(it: Subject, layers: int = 3) -> Map:
    """Attention times its gradient where that is positive, mean of the last layers' heads."""
    pairs = zip(it.found.attentions, it.attention_gradients, strict=True)
    positive = [it.found.to_image((each * slope).clamp(min=0), it.tokens) for each, slope in pairs]
    return _mean(positive[-layers:])


def activation(it: Subject) -> Map:
    """The image's last hidden states through the head, at the tokens: softmax over the vocabulary,
    mean of the tokens."""
    model: Any = it.loaded.model
    logits = model.lm_head(it.found.states[-1]).float()
    cap = model.config.text_config.final_logit_softcapping
    logits = logits if cap is None else torch.tanh(logits / cap) * cap
    chosen = it.question.answer_ids[list(it.tokens)]
    return _numpy(torch.softmax(logits, -1)[:, chosen].mean(1))


def input_gradient(it: Subject) -> Map:
    """Image features times their gradient, summed over the width."""
    return _numpy((it.feature_gradient * it.found.features).sum(-1))


def occlusion(it: Subject) -> Map:
    """How much less likely the tokens are where a window of the picture has its mean colour."""
    side = round(len(it.found.features) ** 0.5)
    pixels = it.question.pixels
    patch = pixels.shape[-1] // side
    corners = [
        (y, x) for y in range(1 - WINDOW, side, STRIDE) for x in range(1 - WINDOW, side, STRIDE)
    ]
    windows = []
    for y, x in corners:
        rows, columns = (slice(max(0, each), max(0, each + WINDOW)) for each in (y, x))
        windows.append((rows, columns))
    likely = []
    for start in range(0, len(windows), AT_ONCE):
        hidden = pixels.repeat(len(windows[start : start + AT_ONCE]), 1, 1, 1)
        for each, (rows, columns) in zip(hidden, windows[start:], strict=False):
            area = (
                slice(rows.start * patch, rows.stop * patch),
                slice(columns.start * patch, columns.stop * patch),
            )
            each[:, area[0], area[1]] = pixels.mean((0, 2, 3))[:, None, None]
        likely.append(_likelihood(it, hidden))
    drops = _likelihood(it, pixels) - torch.cat(likely)
    total, count = np.zeros((side, side)), np.zeros((side, side))
    for drop, (rows, columns) in zip(drops.tolist(), windows, strict=True):
        total[rows, columns] += drop
        count[rows, columns] += 1
    return (total / count.clip(1)).ravel()


def centre(it: Subject) -> Map:
    """The middle of the picture, whatever was said: what a map has to beat."""
    side = round(len(it.found.features) ** 0.5)
    axis = np.arange(side) - (side - 1) / 2
    return -np.hypot(axis[:, None], axis[None]).ravel()


def random(it: Subject) -> Map:
    """Any patch, by a fixed seed."""
    return np.random.default_rng(int(it.tokens[0])).random(len(it.found.features))


METHODS: dict[str, Callable[[Subject], Map]] = {
    "attention, last 3 layers": late_attention,
    "attention, all layers": all_attention,
    "attention · gradient, last 3 layers": attention_gradient,
    "token activation": activation,
    "feature · gradient": input_gradient,
    "occlusion, windows of 3 × 3 patches": occlusion,
    "centre of the picture": centre,
    "random": random,
}


def _likelihood(it: Subject, pixels: torch.Tensor) -> torch.Tensor:
    """The log-probability of the tokens on n pictures, float[n]."""
    with torch.no_grad():
        features = forced_pass.encode(it.loaded, pixels)
        return forced_pass.answer_logprobs(it.loaded, features, it.question)[
            :, list(it.tokens)
        ].sum(1)


def _mean(parts: list[torch.Tensor]) -> Map:
    """The mean of float[heads, tokens, image_tokens] of several layers."""
    return _numpy(torch.stack([each.mean((0, 1)) for each in parts]).mean(0))


def _numpy(values: torch.Tensor) -> Map:
    return values.detach().float().cpu().numpy()
