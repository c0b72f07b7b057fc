"""Greedy answers to many prompts at once, for tables rather than for a person who waits.

The image features of a scene are computed once and shared by all its prompts; prompts run in padded
batches of about equal length, with `generate` and this project's attention, which at 448 pixels
saves a third of the time. It knows nothing of scores and of what the answers should be.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from PIL import Image
from torch import nn
from transformers import PaliGemmaForConditionalGeneration, PaliGemmaProcessor
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, eager_mask
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from models.catalog.checkpoints import NANO
from models.catalog.lookup import find
from models.layers.attention import attend
from models.loading.device import best_device
from models.loading.loader import CODEC_FILE, Loader, read_model
from models.loading.precision import resolve_precision
from models.masks.codec import MaskCodec
from models.prompts.grammar import default_max_new_tokens, parse

IN_BLOCKS = "in-blocks"  # the name under which transformers finds this project's attention


@dataclass(frozen=True)
class Prompt:
    """A prefix about image number `image`.

    `tokens` is about how long its answer should be; it only groups prompts into batches.
    """

    image: int
    prefix: str
    tokens: int


@dataclass(frozen=True)
class Piece:
    """One object's part of a `detect` or `segment` answer; `score` in (0, 1] is the geometric mean
    of its tokens' probabilities."""

    text: str
    score: float


@dataclass(frozen=True)
class Answer:
    """What the model said; `finished` is False where it was cut off at the token limit."""

    text: str
    pieces: tuple[Piece, ...]
    finished: bool


@dataclass(frozen=True)
class Answerer:
    """A model with its processor and mask codec, ready to answer batches."""

    name: str
    model: PaliGemmaForConditionalGeneration
    processor: PaliGemmaProcessor
    codec: MaskCodec | None

    def token_count(self, text: str) -> int:
        """Tokens of an answer, the end mark included."""
        return len(self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]) + 1

    @torch.inference_mode()
    def features(self, images: Sequence[Image.Image], batch: int) -> torch.Tensor:
        """float[N, image tokens, width] of `images`."""
        parts = []
        for start in range(0, len(images), batch):
            pixels = self.processor.image_processor(
                list(images[start : start + batch]), return_tensors="pt"
            )["pixel_values"]
            pixels = pixels.to(self.model.device, self.model.dtype)
            parts.append(self.model.get_image_features(pixels).pooler_output)
        return torch.cat(parts)

    def answers(
        self,
        images: Sequence[Image.Image],
        prompts: Sequence[Prompt],
        batch: int,
        progress: Callable[[int], None] = lambda done: None,
    ) -> list[Answer]:
        """An answer per prompt, in their order; `progress` hears how many are done."""
        features = self.features(images, batch)
        order = sorted(range(len(prompts)), key=lambda i: -prompts[i].tokens)
        answers: list[Answer | None] = [None] * len(prompts)
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            rows = [prompts[i] for i in chosen]
            for i, answer in zip(chosen, self._batch(images, features, rows), strict=True):
                answers[i] = answer
            progress(min(start + batch, len(order)))
        return answers

    @torch.inference_mode()
    def _batch(
        self, images: Sequence[Image.Image], features: torch.Tensor, rows: Sequence[Prompt]
    ) -> Iterator[Answer]:
        inputs = self.processor(
            text=["<image>" + row.prefix for row in rows],
            images=[[images[row.image]] for row in rows],
            return_tensors="pt",
            padding="longest",
            padding_side="left",
        ).to(self.model.device)
        inputs.pop("pixel_values")
        shared = BaseModelOutputWithPooling(pooler_output=features[[row.image for row in rows]])
        out = self.model.generate(
            **inputs,
            mm_encoder_outputs={"image": shared},
            do_sample=False,
            max_new_tokens=max(_token_limit(row.prefix) for row in rows),
            return_dict_in_generate=True,
            output_logits=any(_has_objects(row.prefix) for row in rows),
        )
        new = out.sequences[:, inputs["input_ids"].shape[1] :]  # (B, T)
        chances = torch.ones(new.shape)
        if out.logits is not None:
            logits = torch.stack(out.logits, 1).float()  # (B, T, vocabulary)
            chances = logits.log_softmax(-1).gather(-1, new[..., None])[..., 0].exp().cpu()
        end = self._end_tokens()
        for row, ids, chance in zip(rows, new.tolist(), chances.tolist(), strict=True):
            length = next((i for i, token in enumerate(ids) if token in end), len(ids))
            pieces = ()
            if _has_objects(row.prefix):
                pieces = self._pieces(ids[:length], chance[:length])
            yield Answer(self._text(ids[:length]), pieces, length < len(ids))

    def _end_tokens(self) -> set[int]:
        end = self.model.generation_config.eos_token_id
        return set(end) if isinstance(end, list) else {end}

    def _text(self, ids: Sequence[int]) -> str:
        return self.processor.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        ).strip()

    def _pieces(self, ids: Sequence[int], chances: Sequence[float]) -> tuple[Piece, ...]:
        """The answer cut before every first `<loc>` of an object."""
        names = self.processor.tokenizer.convert_ids_to_tokens(ids)
        coded = [name.startswith(("<loc", "<seg")) for name in names]
        starts = [i for i, is_code in enumerate(coded) if is_code and (i == 0 or not coded[i - 1])]
        pieces = []
        for start, stop in pairwise([*starts, len(ids)]):
            mean = torch.tensor(chances[start:stop]).clamp(min=1e-9).log().mean().exp()
            pieces.append(Piece(self._text(ids[start:stop]).rstrip(" ;"), float(mean)))
        return tuple(pieces)


def _token_limit(prefix: str) -> int:
    """As many tokens as the page allows for such a prompt."""
    return default_max_new_tokens(parse(prefix).task)


def _has_objects(prefix: str) -> bool:
    return prefix.startswith(("detect", "segment"))


def load(checkpoint: str, precision: str = "auto") -> Answerer:
    """A checkpoint by its catalog name, or by the path of a folder that holds one.

    A folder is read as nano is, and without a mask codec of its own it gets nano's.
    """
    if not Path(checkpoint).is_dir():
        loaded = Loader().load(checkpoint, precision)
        _attend_in_blocks(loaded.model)
        return Answerer(loaded.name, loaded.model, loaded.processor, loaded.codec)

    folder, device = Path(checkpoint), best_device()
    model = read_model(folder, resolve_precision(find("nano-224"), precision, device), device)
    processor = PaliGemmaProcessor.from_pretrained(folder)
    codecs = (folder / CODEC_FILE, NANO.codec)
    codec = next((MaskCodec.load(path) for path in codecs if path.exists()), None)
    _attend_in_blocks(model)
    return Answerer(folder.name, model.eval(), processor, codec)


def _attend_in_blocks(model: PaliGemmaForConditionalGeneration) -> None:
    """Lets the text model attend by `models.layers.attention`."""
    ALL_ATTENTION_FUNCTIONS.register(IN_BLOCKS, _attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(IN_BLOCKS, eager_mask)
    model.model.language_model.config._attn_implementation = IN_BLOCKS


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float,
    softcap: float | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """What transformers asks for, where every query sees all keys but the padding.

    So it is when answering: picture and prefix see all of each other, a new token all before it.
    `attention_mask` is float(rows, 1, queries, keys), 0 where a key is seen; padding stands first,
    so the last query tells which keys are. Of the last layer only the newest place is read.
    """
    hidden = attention_mask[:, 0, -1, : key.shape[2]] < 0
    if module.layer_idx == module.config.num_hidden_layers - 1:
        mixed = torch.zeros_like(query)
        mixed[:, :, -1:] = attend(query[:, :, -1:], key, value, scaling, softcap, hidden)
    else:
        mixed = attend(query, key, value, scaling, softcap, hidden)
    return mixed.transpose(1, 2).contiguous(), None


def timer() -> Callable[[], float]:
    """A clock that tells the seconds since it was made."""
    started = time.monotonic()
    return lambda: time.monotonic() - started
