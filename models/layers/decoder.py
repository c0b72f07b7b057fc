"""The Gemma 2 decoder: prefill writes a prefix to a slot, a step decodes one token in several.

The layers' own modules do the linear algebra, so that LoRA and quantized weights work as they do
in transformers; what stands between them is done here, with a cache that is allocated once. This
module knows nothing of requests, tokens' meaning, or when an answer ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PaliGemmaForConditionalGeneration
from transformers.models.gemma2.modeling_gemma2 import Gemma2RMSNorm

from models.layers.attention import attend, attend_with_weights
from models.layers.chunking import chunks, concatenate
from models.layers.kv_cache import KeyValueCache
from models.layers.onednn import OneDnnLinear, linear_gelu, linear_mul, pad_rows


class Decoder:
    """The text side of a loaded model, which may be spread over several GPUs by layers."""

    def __init__(self, model: PaliGemmaForConditionalGeneration, slots: int, length: int):
        text: Any = (
            model.model.language_model
        )  # torch types the parts of modules as Tensor | Module
        config = text.config
        self._model, self._text = model, text
        self._head_dim, self._eps = config.head_dim, config.rms_norm_eps
        self._scale = config.query_pre_attn_scalar**-0.5
        self._softcap = config.attn_logit_softcapping
        self._final_softcap = config.final_logit_softcapping
        self._windows = [
            config.sliding_window if kind == "sliding_attention" else None
            for kind in config.layer_types
        ]
        self._gains: dict[torch.nn.Module, torch.Tensor] = {
            module: module.weight.float() + 1.0
            for module in text.modules()
            if isinstance(module, Gemma2RMSNorm)
        }
        is_by_onednn = any(isinstance(module, OneDnnLinear) for module in text.modules())
        self._pad_rows = pad_rows if is_by_onednn else lambda states: states
        weight = text.embed_tokens.weight
        devices = [layer.input_layernorm.weight.device for layer in text.layers]
        self.cache = KeyValueCache(
            devices, slots, config.num_key_value_heads, length, self._head_dim, weight.dtype
        )
        # Positions count from 1.
        cos, sin = text.rotary_emb(weight[:1], torch.arange(1, length + 1, device=weight.device))
        self._cos, self._sin = cos, sin  # (length, head_dim)

    @property
    def device(self) -> torch.device:
        """Where ids and logits are."""
        return self._text.embed_tokens.weight.device

    def embed(
        self, ids: torch.Tensor, image_id: int, features: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(tokens, width) for int64[tokens]; those that are `image_id` become `features`, in order.

        The features are not scaled as the embeddings of words are.
        """
        is_image = ids == image_id
        embedded = self._text.embed_tokens(ids.masked_fill(is_image, 0))
        if features is not None:
            embedded[is_image] = features.to(embedded)
        return embedded

    def prefill(
        self, prefixes: Sequence[torch.Tensor], slots: Sequence[int]
    ) -> Iterator[torch.Tensor | None]:
        """Fill a slot of the cache from each prefix of (its tokens, width).

        None after each layer but the last, so that others may be served in between; at the end
        the logits of the next tokens, (prefixes, vocabulary). Each token of a prefix sees all of
        that prefix, in the sliding layers too.
        """
        # 1. The rows are padded to the longest; what is padding is not seen.
        lengths = [len(each) for each in prefixes]
        rows, tokens = len(prefixes), max(lengths)
        cos, sin = self._cos[:tokens], self._sin[:tokens]
        padded = pad_sequence(list(prefixes), batch_first=True)  # (rows, tokens, width)
        states = self._pad_rows(padded.flatten(0, 1))
        masked = None
        if min(lengths) < tokens:
            column = torch.arange(tokens, device=states.device)
            masked = column >= torch.tensor(lengths, device=states.device)[:, None]
        last = [row * tokens + length - 1 for row, length in enumerate(lengths)]
        for index, layer in enumerate(self._text.layers):
            states, cos, sin = _to_device_of(layer, states, cos, sin)
            if masked is not None:
                (masked,) = _to_device_of(layer, masked)
            # 2. Queries, keys and values, rotated by their position.
            parts = [self._queries_keys_values(layer, part) for (part,) in chunks(states)]
            query, key, value = (
                concatenate(each, 1)[:, : rows * tokens]
                .unflatten(1, (rows, tokens))
                .transpose(0, 1)
                for each in zip(*parts, strict=True)
            )  # (rows, heads, tokens, head_dim)
            query, key = apply_rotary(query, cos, sin), apply_rotary(key, cos, sin)
            # 3. Keys and values go to the cache.
            keys, values = self.cache.layer(index)
            for row, (slot, length) in enumerate(zip(slots, lengths, strict=True)):
                keys[slot, :, :length] = key[row, :, :length]
                values[slot, :, :length] = value[row, :, :length]
            # 4. In the last layer only the last token attends, and goes on.
            if index == len(self._windows) - 1:
                ends = [query[row, :, length - 1] for row, length in enumerate(lengths)]
                query, states = torch.stack(ends)[:, :, None], self._pad_rows(states[last])
            # 5. Attention is bidirectional over the prefix.
            mixed = attend(query, key, value, self._scale, self._softcap, masked)
            flat = mixed.transpose(1, 2).flatten(2).flatten(0, 1)  # (…, heads · head_dim)
            flat = self._pad_rows(flat)
            states = concatenate(
                [self._attention_output_and_mlp(layer, *part) for part in chunks(states, flat)], 0
            )
            if index < len(self._windows) - 1:
                yield None
        yield self._logits(states)[:rows]

    def step(
        self, ids: Sequence[int], slots: Sequence[int], lengths: Sequence[int]
    ) -> torch.Tensor:
        """One token in each of n slots -> logits (n, vocabulary).

        `slots` are distinct and ascend; `lengths` are the tokens that each has before this one.
        """
        token_ids, taken, written = torch.tensor([ids, slots, lengths], device=self.device)
        return self.step_tensors(token_ids, taken, written, max(slots) + 1, max(lengths) + 1)

    def step_tensors(
        self,
        ids: torch.Tensor,
        slots: torch.Tensor,
        lengths: torch.Tensor,
        slot_count: int,
        key_count: int,
    ) -> torch.Tensor:
        """As `step`, from int64[n] on the device; never synchronizes, so it can be captured.

        The first `slot_count` slots are computed, attending to their first `key_count` tokens.
        """
        is_every_slot = len(ids) == slot_count
        # 1. The mask: what a slot has not written, and what is beyond a sliding window.
        position = torch.zeros(slot_count, dtype=lengths.dtype, device=lengths.device)
        position[slots] = lengths
        column = torch.arange(key_count, device=lengths.device)
        masked: dict[int | None, torch.Tensor] = {None: column > position[:, None]}
        for window in {each for each in self._windows if each is not None}:
            too_old = column <= position[:, None] - window
            masked[window] = masked[None] | too_old if key_count > window else masked[None]
        cos, sin = self._cos[lengths], self._sin[lengths]  # (n, head_dim)
        states = self._pad_rows(self._text.embed_tokens(ids))  # (n, width)
        for index, layer in enumerate(self._text.layers):
            states, cos, sin, slots, lengths, mask = _to_device_of(
                layer, states, cos, sin, slots, lengths, masked[self._windows[index]]
            )
            # 2. Queries, keys and values, a sequence's token each.
            projected = self._queries_keys_values(layer, states)
            query, key, value = (each[:, : len(ids)] for each in projected)  # (heads, n, head_dim)
            query, key = apply_rotary(query, cos, sin), apply_rotary(key, cos, sin)
            # 3. Each key and value goes to the end of its slot.
            keys, values = self.cache.layer(index)
            keys[slots, :, lengths], values[slots, :, lengths] = (
                key.transpose(0, 1),
                value.transpose(0, 1),
            )
            # 4. Each attends to its own slot; idle slots in between are computed too.
            query = query.transpose(0, 1)[:, :, None]  # (n, heads, 1, head_dim)
            if not is_every_slot:
                spread = query.new_zeros(slot_count, *query.shape[1:])
                spread[slots] = query
                query = spread
            keys, values = keys[:slot_count, :, :key_count], values[:slot_count, :, :key_count]
            mixed = attend(query, keys, values, self._scale, self._softcap, mask)
            mixed = mixed if is_every_slot else mixed[slots]  # (n, heads, 1, head_dim)
            states = self._attention_output_and_mlp(layer, states, self._pad_rows(mixed.flatten(1)))
        return self._logits(states)[: len(ids)]

    def read(
        self,
        ids: torch.Tensor,
        slot: int,
        start: int,
        prefix: int,
        image_tokens: int,
        layers: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Read n given tokens into a slot at once, int64[n], of which the first is at `start`.

        Returns the logits of what follows each, (n, vocabulary), and how much each attends to the
        first `image_tokens` tokens: float32[n, image_tokens], the mean over the heads of the last
        `layers` layers. Tokens before `prefix` belong to the prefix and see all of it, so the first
        one may be its last.
        """
        count, stop = len(ids), start + len(ids)
        position = torch.arange(start, stop, device=ids.device)
        column = torch.arange(stop, device=ids.device)
        future = column > position[:, None]  # (n, keys)
        cos, sin = self._cos[start:stop], self._sin[start:stop]
        states = self._pad_rows(self._text.embed_tokens(ids))
        attended = torch.zeros(count, image_tokens)
        for index, layer in enumerate(self._text.layers):
            window = self._windows[index]
            masked = future
            if window is not None:
                is_old = column <= position[:, None] - window
                masked = future | (is_old & (position >= prefix)[:, None])
            states, cos, sin, masked = _to_device_of(layer, states, cos, sin, masked)
            projected = self._queries_keys_values(layer, states)
            query, key, value = (each[:, :count] for each in projected)  # (heads, n, head_dim)
            query, key = apply_rotary(query, cos, sin), apply_rotary(key, cos, sin)
            keys, values = (each[slot] for each in self.cache.layer(index))
            keys[:, start:stop], values[:, start:stop] = key, value
            mixed, weights = attend_with_weights(
                query, keys[:, :stop], values[:, :stop], self._scale, self._softcap, masked
            )
            if index >= len(self._windows) - layers:
                attended += weights[:, :, :image_tokens].float().mean(0).cpu() / layers
            flat = self._pad_rows(mixed.transpose(0, 1).flatten(1))
            states = self._attention_output_and_mlp(layer, states, flat)
        return self._logits(states)[:count], attended

    def _queries_keys_values(
        self, layer: Any, states: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(tokens, width) -> query (heads, tokens, head_dim), key and value (key_heads, …)."""
        normed = self._norm(layer.input_layernorm, states)
        attention = layer.self_attn
        projected = (attention.q_proj(normed), attention.k_proj(normed), attention.v_proj(normed))
        return tuple(
            each.view(len(states), -1, self._head_dim).transpose(0, 1) for each in projected
        )

    def _attention_output_and_mlp(
        self, layer: Any, states: torch.Tensor, flat: torch.Tensor
    ) -> torch.Tensor:
        """The rest of a layer: (tokens, width) and attention's (tokens, heads · head_dim)."""
        attended = self._norm(layer.post_attention_layernorm, layer.self_attn.o_proj(flat))
        states = states + attended
        normed = self._norm(layer.pre_feedforward_layernorm, states)
        mlp = layer.mlp
        gate = linear_gelu(mlp.gate_proj, normed)  # (tokens, mlp)
        out = mlp.down_proj(linear_mul(mlp.up_proj, normed, gate))
        return states + self._norm(layer.post_feedforward_layernorm, out)

    def _norm(self, norm: torch.nn.Module, states: torch.Tensor) -> torch.Tensor:
        """Gemma's root mean square norm: computed in float32, its weight is how far from 1."""
        wide = states.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True).add_(self._eps))
        return (wide * scale).mul_(self._gains[norm]).to(states.dtype)

    def _logits(self, states: torch.Tensor) -> torch.Tensor:
        (states,) = _to_device(self._text.norm.weight.device, states)
        (normed,) = _to_device(self.device, self._norm(self._text.norm, states))
        logits = self._model.lm_head(normed)
        if self._final_softcap is not None:
            logits = logits.div_(self._final_softcap).tanh_().mul_(self._final_softcap)
        return logits


def _to_device_of(layer: Any, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The tensors on a layer's device, where most are already."""
    return _to_device(layer.input_layernorm.weight.device, *tensors)


def _to_device(device: torch.device, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return tuple(each if each.device == device else each.to(device) for each in tensors)


def apply_rotary(states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding of (heads, tokens, head_dim) by (tokens, head_dim)."""
    low, high = states.chunk(2, dim=-1)
    return states * cos + torch.cat((-high, low), dim=-1) * sin
