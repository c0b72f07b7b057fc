"""Second stage: image to text, many prompts of one scene in one row.

A row holds the image once and then prompt after prompt, each of which sees the image and itself.
That is five times cheaper than a row per prompt, with one difference from the real prefix mask:
image tokens do not see the prompt. `exact` rows hold a single prompt under the real mask; some are
mixed in from the start and the last stage has nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import PaliGemmaForConditionalGeneration, PreTrainedTokenizerBase
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from models.mask_codec import MaskCodec
from models.tokens import encode_codes
from training.nano import dense, look
from training.nano.scenes import Scene, SceneObject
from training.nano.tasks import Example, examples

IGNORED = -1
SEGMENTED = 0.6  # share of scenes that are also asked for masks
LOCATION_SHARE, CODE_SHARE = 3.0, 0.4  # weight of such a token relative to one of a word
LONGEST_EXACT = 72  # text tokens of a row of its own
WEIGHTS = {  # how often a kind is drawn, relative to 1
    "cap": 0.5, "describe": 0.6, "question": 0.5, "ocr": 1.5, "is there": 2.0, "relation": 1.2,
    "segment one": 1.0, "segment several": 0.25, "segment absent": 0.1, "detect absent": 0.15,
    "detect one": 2.5, "region": 0.6, "largest": 1.2, "where": 0.6, "how many": 0.7,
}  # fmt: skip


@dataclass(frozen=True)
class Vocabulary:
    """The token ids that training needs to know."""

    bos: int
    eos: int
    locations: tuple[int, ...]
    codes: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
        """Reads them off a tokenizer."""
        locations = tokenizer.convert_tokens_to_ids([f"<loc{i:04d}>" for i in range(1024)])
        codes = tokenizer.convert_tokens_to_ids([f"<seg{i:03d}>" for i in range(128)])
        return cls(tokenizer.bos_token_id, tokenizer.eos_token_id, tuple(locations), tuple(codes))


def mask_crop(item: SceneObject) -> torch.Tensor:
    """float[1, 64, 64] in [-1, 1]: the object's visible pixels, cropped to its box."""
    x_min, y_min, x_max, y_max = item.box_xyxy_px
    crop = torch.from_numpy(item.mask[y_min:y_max, x_min:x_max].astype(np.float32))[None, None]
    return functional.interpolate(crop, (64, 64), mode="bilinear", antialias=True)[0] * 2 - 1


class Maker:
    """Shapes scenes into rows; picklable, so that workers can hold it."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        codec_path: str,
        text_budget: int,
        exact_prompts: int,
        exact_every: int,
    ):
        """Each `exact_every`-th batch has exact rows (1 = all), `exact_prompts` of a scene."""
        self.tokenizer, self.codec_path = tokenizer, codec_path
        self.text_budget, self.exact_prompts, self.exact_every = (
            text_budget,
            exact_prompts,
            exact_every,
        )
        self.vocabulary = Vocabulary.of(tokenizer)
        self.codec: MaskCodec | None = None
        self.share = np.ones(len(tokenizer))
        self.share[list(self.vocabulary.locations)] = LOCATION_SHARE
        self.share[list(self.vocabulary.codes)] = CODE_SHARE

    def codes(self, scene: Scene, item: SceneObject) -> str:
        """The 16 mask tokens of an object."""
        if self.codec is None:
            self.codec = MaskCodec.load(self.codec_path)
        with torch.no_grad():
            return encode_codes(self.codec.encode(mask_crop(item)[None])[0].tolist())

    def tokens(self, example: Example) -> tuple[list[int], list[int]]:
        """(prefix ids with BOS and newline, suffix ids with EOS)."""
        prefix, suffix = (
            self.tokenizer(text, add_special_tokens=False)["input_ids"]
            for text in (example.prefix + "\n", example.suffix)
        )
        return [self.vocabulary.bos, *prefix], [*suffix, self.vocabulary.eos]

    def choose(
        self, scene: Scene, rng: np.random.Generator
    ) -> Iterator[tuple[list[int], list[int]]]:
        """Prompts of a scene in random order, kinds of more weight earlier."""
        found = examples(scene, rng, self.codes if rng.random() < SEGMENTED else None)
        kinds: dict[str, int] = {}
        for example in found:
            kinds[example.kind] = kinds.get(example.kind, 0) + 1
        weight = np.array([WEIGHTS.get(e.kind, 1.0) / kinds[e.kind] ** 0.5 for e in found])
        order = np.argsort(rng.exponential(1.0, len(found)) / weight)
        for i in order:
            yield self.tokens(found[i])

    def __call__(self, scenes: list[Scene]) -> dict[str, torch.Tensor]:
        """A batch: dense targets, and rows of text tokens padded to one length."""
        batch = look.make(scenes)
        exact = (scenes[0].seed // max(1, len(scenes))) % self.exact_every == 0
        rows, owners = [], []
        for number, scene in enumerate(scenes):
            chosen = self.choose(scene, np.random.default_rng(scene.seed + 1))
            if exact:
                short = (c for c in chosen if len(c[0]) + len(c[1]) <= LONGEST_EXACT)
                found = [[c] for c in islice(short, self.exact_prompts)]
            else:
                found = [self.fill(chosen)]
            rows += found
            owners += [number] * len(found)
        batch |= self.pack(rows)
        batch["owner"] = torch.tensor(owners)
        batch["exact"] = torch.tensor(exact)
        return batch

    def fill(
        self, chosen: Iterator[tuple[list[int], list[int]]]
    ) -> list[tuple[list[int], list[int]]]:
        """Prompts in turn, as long as the text budget is not used up."""
        row, left = [], self.text_budget
        for prefix, suffix in chosen:
            if len(prefix) + len(suffix) <= left:
                row.append((prefix, suffix))
                left -= len(prefix) + len(suffix)
            if left < 10:
                break
        return row

    def pack(self, rows: list[list[tuple[list[int], list[int]]]]) -> dict[str, torch.Tensor]:
        """ids, which prompt of the row, place in it, prefix or not, next token and its weight."""
        length = max(sum(len(p) + len(s) for p, s in row) for row in rows)
        shape = (len(rows), length)
        ids, prompt = np.zeros(shape, np.int64), np.full(shape, -2, np.int64)
        place, prefixed = np.zeros(shape, np.int64), np.zeros(shape, bool)
        target, weight = np.full(shape, IGNORED, np.int64), np.zeros(shape, np.float32)
        for r, row in enumerate(rows):
            start = 0
            for number, (prefix, suffix) in enumerate(row):
                whole = [*prefix, *suffix]
                window = slice(start, start + len(whole))
                ids[r, window], prompt[r, window] = whole, number
                place[r, window] = np.arange(len(whole))
                prefixed[r, start : start + len(prefix)] = True
                first = start + len(prefix) - 1
                target[r, first : first + len(suffix)] = suffix
                share = [self.share[t] for t in suffix]
                weight[r, first : first + len(suffix)] = np.array(share) / len(suffix) ** 0.5
                start += len(whole)
        names = ("ids", "prompt", "place", "prefixed", "target", "target_weight")
        arrays = (ids, prompt, place, prefixed, target, weight)
        return {n: torch.from_numpy(a) for n, a in zip(names, arrays, strict=True)}


def attention_mask(batch: dict[str, torch.Tensor], image_tokens: int) -> torch.Tensor:
    """bool[B, L, L], True where a query (row) may see a key (column); image tokens come first."""
    prompt, place, prefixed = batch["prompt"], batch["place"], batch["prefixed"]
    same = prompt[:, :, None] == prompt[:, None, :]
    text = same & (prefixed[:, None, :] | (place[:, None, :] <= place[:, :, None]))  # (B, T, T)
    mask = functional.pad(text, (image_tokens, 0, image_tokens, 0))
    mask[:, :, :image_tokens] = True
    if batch["exact"]:
        mask[:, :image_tokens, image_tokens:] = (prefixed & (prompt == 0))[:, None, :]
    return mask


def packed_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float,
    image_tokens: int,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Attention of packed rows: the first `image_tokens` see each other, text sees all.

    Shapes (B, heads, L, head_dim); leaves out the soft cap, which hardly bends logits this small
    and which the last stage has again.
    """
    groups = module.num_key_value_groups
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    query, image = query * scaling, image_tokens
    looks = query[:, :, :image] @ key[:, :, :image].transpose(2, 3)  # (B, heads, image, image)
    reads = query[:, :, image:] @ key.transpose(2, 3) + attention_mask[:, :, image:]
    seen = looks.softmax(-1) @ value[:, :, :image]
    said = reads.softmax(-1) @ value
    return torch.cat([seen, said], 2).transpose(1, 2).contiguous(), None


def text_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    vocabulary: Vocabulary,
    spread: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted cross entropy; a `<loc>` target is a bell `spread` bins wide: near is not wrong."""
    log_likely = logits.float().log_softmax(-1)
    losses = -log_likely.gather(1, target[:, None])[:, 0]
    first, last = vocabulary.locations[0], vocabulary.locations[-1]
    located = (target >= first) & (target <= last)
    bins = torch.arange(len(vocabulary.locations), device=target.device)
    distance = (bins - (target[located] - first)[:, None]) / spread
    bell = torch.softmax(-0.5 * distance**2, -1)
    losses[located] = -(bell * log_likely[located, first : last + 1]).sum(-1)
    return (losses * weight).sum() / weight.sum(), losses


def suffix_logits(
    model: PaliGemmaForConditionalGeneration, batch: dict[str, torch.Tensor]
) -> tuple[torch.Tensor, ...]:
    """Logits (N, V) and targets (N,) of all suffix tokens, and image features (S, P, WIDTH)."""
    device, text = model.device, model.model.language_model
    # 1. The tower once a scene.
    features = model.get_image_features(batch["pixels"]).pooler_output
    # 2. Rows: image tokens, then text tokens.
    image = features[batch["owner"]]
    embeds = torch.cat([image.float(), text.embed_tokens(batch["ids"])], 1)  # (B, L, WIDTH)
    count = image.shape[1]
    where = torch.arange(1, count + 1, device=device).expand(len(image), -1)
    positions = torch.cat([where, batch["place"] + count + 1], 1)
    allowed = attention_mask(batch, count)[:, None]
    bias = torch.zeros(allowed.shape, dtype=torch.bfloat16, device=device)
    bias.masked_fill_(~allowed, torch.finfo(torch.bfloat16).min)
    ALL_ATTENTION_FUNCTIONS.register("packed", packed_attention)
    text.config._attn_implementation = "eager" if batch["exact"] else "packed"
    hidden = text(
        inputs_embeds=embeds,
        attention_mask={"full_attention": bias, "sliding_attention": bias},
        position_ids=positions,
        use_cache=False,
        image_tokens=count,
    ).last_hidden_state[:, count:]
    text.config._attn_implementation = "eager"
    # 3. Logits only where a suffix token comes next.
    wanted = batch["target"] != IGNORED
    logits = 30 * torch.tanh(model.lm_head(hidden[wanted]) / 30)
    return logits, batch["target"][wanted], features


def loss(
    model: PaliGemmaForConditionalGeneration,
    heads: dense.Heads,
    batch: dict[str, torch.Tensor],
    vocabulary: Vocabulary,
    dense_share: float,
    spread: float,
) -> tuple[torch.Tensor, dict[str, float]]:
    """Text loss plus `dense_share` of the dense one; returns (loss, report)."""
    device = model.device
    batch = {key: value.to(device, non_blocking=True) for key, value in batch.items()}
    with torch.autocast(device.type, torch.bfloat16):
        logits, target, features = suffix_logits(model, batch)
        seen = heads(features, model.model.language_model.embed_tokens.weight)
    dense_loss, report = dense.loss(seen, batch)
    weight = batch["target_weight"][batch["target"] != IGNORED]
    words, losses = text_loss(logits, target, weight, vocabulary, spread)
    with torch.no_grad():
        located = (target >= vocabulary.locations[0]) & (target <= vocabulary.locations[-1])
        coded = (target >= vocabulary.codes[0]) & (target <= vocabulary.codes[-1])
        right = logits.argmax(-1) == target
        report |= {
            "text": words.item(),
            "word_right": right[~located & ~coded].float().mean().item(),
            "loc_loss": losses[located].mean().item(),
            "seg_loss": losses[coded].mean().item(),
            "rows": len(batch["owner"]),
        }
    return words + dense_share * dense_loss, report
