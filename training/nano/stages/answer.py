"""Second stage: image to text, many prompts of one scene in one row.

A row holds the image once and then prompt after prompt, each of which sees the image and itself.
That is five times cheaper than a row per prompt, with one difference from the real prefix mask:
image tokens do not see the prompt. `exact` rows hold a single prompt under the real mask; some are
mixed in from the start and the last stage has nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import PaliGemmaForConditionalGeneration
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from models.masks.codec import MaskCodec
from training.autocast import autocast_dtype, bf16_autocast
from training.nano.codec.codes import drawn_loss
from training.nano.stages import dense
from training.nano.stages.rows import IGNORED, Vocabulary

POINTING_LAYERS = (1, 2, 3)  # of the text model: their first head is taught where to look
POINTING_SHARE = 0.5
DRAWN_SHARE = 2.0


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


@dataclass
class Pointing:
    """Places of a batch that point: N rows and text places, float[N, P] what at, losses so far."""

    row: torch.Tensor
    at: torch.Tensor
    on: torch.Tensor
    losses: list[torch.Tensor] = field(default_factory=list)

    def learn(self, reads: torch.Tensor) -> None:
        """Takes logits (B, T, L) of a head from text to everything; image tokens come first."""
        if len(self.row):
            likely = reads[self.row, self.at].float().log_softmax(-1)[:, : self.on.shape[1]]
            self.losses.append(-(self.on * likely).sum(-1).mean())


def attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float,
    image_tokens: int,
    exact: bool,
    pointing: Pointing,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Attention of rows whose first `image_tokens` are the image; shapes (B, heads, L, head_dim).

    Unless `exact`, image tokens see only each other, and the soft cap is left out: it hardly bends
    logits this small, and the last stage has it again.
    """
    groups: Any = module.num_key_value_groups
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    query, image = query * scaling, image_tokens
    if exact:
        logits = 50 * torch.tanh(query @ key.transpose(2, 3) / 50) + attention_mask
        reads, out = logits[:, :, image:], logits.softmax(-1) @ value
    else:
        looks = query[:, :, :image] @ key[:, :, :image].transpose(2, 3)  # (B, heads, image, image)
        reads = query[:, :, image:] @ key.transpose(2, 3) + attention_mask[:, :, image:]
        seen = looks.softmax(-1) @ value[:, :, :image]
        out = torch.cat([seen, reads.softmax(-1) @ value], 2)
    if module.layer_idx in POINTING_LAYERS:
        pointing.learn(reads[:, 0])
    return out.transpose(1, 2).contiguous(), None


def text_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    vocabulary: Vocabulary,
    spread: float,
    bells: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted cross entropy; near is not wrong.

    A `<loc>` target is a bell `spread` bins wide, a `<seg>` target one of `code_bells`.
    """
    log_likely = logits.float().log_softmax(-1)
    losses = -log_likely.gather(1, target[:, None])[:, 0]
    first, last = vocabulary.locations[0], vocabulary.locations[-1]
    located = (target >= first) & (target <= last)
    bins = torch.arange(len(vocabulary.locations), device=target.device)
    distance = (bins - (target[located] - first)[:, None]) / spread
    bell = torch.softmax(-0.5 * distance**2, -1)
    losses[located] = -(bell * log_likely[located, first : last + 1]).sum(-1)
    lowest, highest = vocabulary.codes[0], vocabulary.codes[-1]
    coded = (target >= lowest) & (target <= highest)
    likely = log_likely[coded, lowest : highest + 1]
    losses[coded] = -(bells[target[coded] - lowest] * likely).sum(-1)
    return (losses * weight).sum() / weight.sum(), losses


def suffix_logits(
    model: PaliGemmaForConditionalGeneration, batch: dict[str, torch.Tensor], frozen: bool = False
) -> tuple[torch.Tensor, ...]:
    """Logits (N, V) and targets (N,) of all suffix tokens, features (S, P, WIDTH), pointing loss.

    Nothing before the features learns where `frozen`.
    """
    device, text = model.device, model.model.language_model
    # 1. The tower once a scene.
    with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
        features = model.get_image_features(batch["pixels"]).pooler_output
    # 2. Rows: image tokens, then text tokens.
    image = features[batch["owner"]]
    embeds = torch.cat([image.float(), text.embed_tokens(batch["ids"])], 1)  # (B, L, WIDTH)
    count = image.shape[1]
    where = torch.arange(1, count + 1, device=device).expand(len(image), -1)
    positions = torch.cat([where, batch["place"] + count + 1], 1)
    allowed = attention_mask(batch, count)[:, None]
    bias = torch.zeros(allowed.shape, dtype=autocast_dtype(device), device=device)
    bias.masked_fill_(~allowed, torch.finfo(bias.dtype).min)
    pointing = Pointing(batch["point_row"], batch["point_at"], batch["point_on"].float())
    ALL_ATTENTION_FUNCTIONS.register("rows", attention)
    text.config._attn_implementation = "rows"
    hidden = text(
        inputs_embeds=embeds,
        attention_mask={"full_attention": bias, "sliding_attention": bias},
        position_ids=positions,
        use_cache=False,
        image_tokens=count,
        exact=bool(batch["exact"]),
        pointing=pointing,
    ).last_hidden_state[:, count:]
    text.config._attn_implementation = "eager"
    # 3. Logits only where a suffix token comes next.
    wanted = batch["target"] != IGNORED
    logits = 30 * torch.tanh(model.lm_head(hidden[wanted]) / 30)
    looked = sum(pointing.losses, torch.zeros((), device=device)) / len(POINTING_LAYERS)
    return logits, batch["target"][wanted], features, looked


def loss(
    model: PaliGemmaForConditionalGeneration,
    heads: dense.Heads,
    batch: dict[str, torch.Tensor],
    vocabulary: Vocabulary,
    dense_share: float,
    spread: float,
    bells: torch.Tensor,
    codec: MaskCodec,
    frozen: bool = False,
) -> tuple[torch.Tensor, dict[str, float]]:
    """Text loss plus shares of the others: dense, pointing, drawn masks; returns (loss, report)."""
    device = model.device
    batch = {key: value.to(device, non_blocking=True) for key, value in batch.items()}
    with bf16_autocast(device):
        logits, target, features, pointing = suffix_logits(model, batch, frozen)
        seen = heads(features, model.model.language_model.embed_tokens.weight)
    dense_loss, report = dense.loss(seen, batch, bells)
    weight = batch["target_weight"][batch["target"] != IGNORED]
    words, losses = text_loss(logits, target, weight, vocabulary, spread, bells)
    first, last = vocabulary.codes[0], vocabulary.codes[-1]
    coded = (target >= first) & (target <= last)
    drawn = drawn_loss(logits[coded, first : last + 1], target[coded] - first, codec)
    with torch.no_grad():
        located = (target >= vocabulary.locations[0]) & (target <= vocabulary.locations[-1])
        right = logits.argmax(-1) == target
        report |= {
            "text": words.item(),
            "word_right": right[~located & ~coded].float().mean().item(),
            "loc_loss": losses[located].mean().item(),
            "seg_loss": losses[coded].mean().item(),
            "drawn": drawn.item(),
            "pointing": pointing.item(),
            "rows": len(batch["owner"]),
        }
    shared = dense_share * dense_loss + POINTING_SHARE * pointing + DRAWN_SHARE * drawn
    return words + shared, report
