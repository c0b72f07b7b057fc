"""The Gemma 2 decoder over rows: a prefix fills a row of the cache, a step adds a token to each.

The layers' own modules do the linear algebra, so that LoRA and quantized weights work as they do
in transformers; what stands between them is done here, with a cache that is allocated once. This
module knows nothing of requests, tokens' meaning, or when an answer ends.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Sequence

import torch
from transformers import PaliGemmaForConditionalGeneration
from transformers.models.gemma2.modeling_gemma2 import Gemma2RMSNorm

from models.layers.attention import attend
from models.layers.chunking import blocks, joined
from models.layers.onednn import Linear, filled, then_gelu, then_times


class Cache:
    """Keys and values of `rows` rows of at most `length` tokens, by layer.

    A row's place is fixed: rows join and leave without a copy of their neighbours. On Linux
    and a CPU, memory is only taken where a row has written. The last column is no row's: a row's
    newest token is never in the cache.
    """

    def __init__(
        self,
        devices: Sequence[torch.device],
        rows: int,
        heads: int,
        length: int,
        head_dim: int,
        dtype: torch.dtype,
    ):
        """`devices` has one for every layer."""
        self.rows, self.length = rows, length
        shape = (2, rows, heads, length, head_dim)
        is_lazy = devices[0].type == "cpu" and hasattr(mmap, "MADV_NOHUGEPAGE")
        self._layers = [
            _untouched(shape, dtype) if is_lazy else torch.zeros(shape, dtype=dtype, device=device)
            for device in devices
        ]

    def layer(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of a layer, each (rows, heads, length, head_dim)."""
        keys, values = self._layers[index]
        return keys, values


class Decoder:
    """The text side of a loaded model, which may be spread over several GPUs by layers."""

    def __init__(self, model: PaliGemmaForConditionalGeneration, rows: int, length: int):
        text = model.model.language_model
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
        self._gains = {
            module: module.weight.float() + 1.0
            for module in text.modules()
            if isinstance(module, Gemma2RMSNorm)
        }
        is_by_onednn = any(isinstance(module, Linear) for module in text.modules())
        self._filled = filled if is_by_onednn else lambda states: states
        weight = text.embed_tokens.weight
        devices = [layer.input_layernorm.weight.device for layer in text.layers]
        self.cache = Cache(
            devices, rows, config.num_key_value_heads, length, self._head_dim, weight.dtype
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

    def prefill(self, embedded: torch.Tensor, row: int) -> Iterator[torch.Tensor | None]:
        """Fill a row of the cache from a prefix of (tokens, width).

        None after each layer but the last, so that others may be served in between; at the end
        the logits of the next token, (vocabulary,). Each token of a prefix sees all of it, in the
        sliding layers too.
        """
        tokens = len(embedded)
        cos, sin = self._cos[:tokens], self._sin[:tokens]
        states = self._filled(embedded)
        for index, layer in enumerate(self._text.layers):
            states, cos, sin = _beside(layer, states, cos, sin)
            # 1. Queries, keys and values, turned by their position.
            parts = [self._project(layer, part) for (part,) in blocks(states)]
            query, key, value = (joined(each, 1)[:, :tokens] for each in zip(*parts, strict=True))
            query, key = _turn(query, cos, sin), _turn(key, cos, sin)  # (heads, tokens, head_dim)
            # 2. Keys and values are kept.
            keys, values = self.cache.layer(index)
            keys[row, :, :tokens], values[row, :, :tokens] = key, value
            # 3. In the last layer only the last token looks around, and goes on.
            if index == len(self._windows) - 1:
                query, states = query[:, -1:], states[tokens - 1 : tokens]
            # 4. It, and before that every token, sees everything.
            mixed = attend(query[None], key[None], value[None], self._scale, self._softcap)[0]
            flat = self._filled(mixed.transpose(0, 1).flatten(1))  # (tokens, heads · head_dim)
            states = joined([self._finish(layer, *part) for part in blocks(states, flat)], 0)
            if index < len(self._windows) - 1:
                yield None
        yield self._logits(states)[0]

    def step(self, ids: Sequence[int], rows: Sequence[int], lengths: Sequence[int]) -> torch.Tensor:
        """One token for some rows -> logits (n, vocabulary).

        `rows` are distinct and ascend, and `lengths` are the tokens that each has before this one.
        """
        numbers = torch.tensor([ids, rows, lengths], device=self.device)
        return self.advance(*numbers, max(rows) + 1, max(lengths) + 1)

    def advance(
        self, ids: torch.Tensor, place: torch.Tensor, at: torch.Tensor, high: int, longest: int
    ) -> torch.Tensor:
        """As `step`, with int64[n] on the device: nothing here waits for it, or depends on values.

        Rows below `high` are looked at, and of each the first `longest` tokens.
        """
        rows = len(ids)
        everywhere = rows == high
        # 1. What a row must not see: what it has not written, and beyond a sliding window.
        position = torch.zeros(high, dtype=at.dtype, device=at.device)
        position[place] = at
        column = torch.arange(longest, device=at.device)
        hidden: dict[int | None, torch.Tensor] = {None: column > position[:, None]}
        for window in {each for each in self._windows if each is not None}:
            too_old = column <= position[:, None] - window
            hidden[window] = hidden[None] | too_old if longest > window else hidden[None]
        cos, sin = self._cos[at], self._sin[at]  # (n, head_dim)
        states = self._filled(self._text.embed_tokens(ids))  # (n, width)
        for index, layer in enumerate(self._text.layers):
            states, cos, sin, place, at, unseen = _beside(
                layer, states, cos, sin, place, at, hidden[self._windows[index]]
            )
            # 2. Queries, keys and values: the rows stand where a prefix has its tokens.
            projected = self._project(layer, states)
            query, key, value = (each[:, :rows] for each in projected)  # (heads, n, head_dim)
            query, key = _turn(query, cos, sin), _turn(key, cos, sin)
            # 3. Each row's key and value go to its end.
            keys, values = self.cache.layer(index)
            keys[place, :, at], values[place, :, at] = key.transpose(0, 1), value.transpose(0, 1)
            # 4. Each row sees its own past; rows between that do not take part are computed too.
            query = query.transpose(0, 1)[:, :, None]  # (n, heads, 1, head_dim)
            if not everywhere:
                spread = query.new_zeros(high, *query.shape[1:])
                spread[place] = query
                query = spread
            past, seen = keys[:high, :, :longest], values[:high, :, :longest]
            mixed = attend(query, past, seen, self._scale, self._softcap, unseen)
            mixed = mixed if everywhere else mixed[place]  # (n, heads, 1, head_dim)
            states = self._finish(layer, states, self._filled(mixed.flatten(1)))
        return self._logits(states)[:rows]

    def _project(
        self, layer: torch.nn.Module, states: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(tokens, width) -> query (heads, tokens, head_dim), key and value (key_heads, …)."""
        normed = self._norm(layer.input_layernorm, states)
        attention = layer.self_attn
        projected = (attention.q_proj(normed), attention.k_proj(normed), attention.v_proj(normed))
        return tuple(
            each.view(len(states), -1, self._head_dim).transpose(0, 1) for each in projected
        )

    def _finish(
        self, layer: torch.nn.Module, states: torch.Tensor, flat: torch.Tensor
    ) -> torch.Tensor:
        """The rest of a layer: (tokens, width) and attention's (tokens, heads · head_dim)."""
        attended = self._norm(layer.post_attention_layernorm, layer.self_attn.o_proj(flat))
        states = states + attended
        normed = self._norm(layer.pre_feedforward_layernorm, states)
        mlp = layer.mlp
        gate = then_gelu(mlp.gate_proj, normed)  # (tokens, mlp)
        out = mlp.down_proj(then_times(mlp.up_proj, normed, gate))
        return states + self._norm(layer.post_feedforward_layernorm, out)

    def _norm(self, norm: torch.nn.Module, states: torch.Tensor) -> torch.Tensor:
        """Gemma's root mean square norm: computed in float32, its weight is how far from 1."""
        wide = states.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True).add_(self._eps))
        return (wide * scale).mul_(self._gains[norm]).to(states.dtype)

    def _logits(self, states: torch.Tensor) -> torch.Tensor:
        (states,) = _moved(self._text.norm.weight.device, states)
        (normed,) = _moved(self.device, self._norm(self._text.norm, states))
        logits = self._model.lm_head(normed)
        if self._final_softcap is not None:
            logits = logits.div_(self._final_softcap).tanh_().mul_(self._final_softcap)
        return logits


def _beside(layer: torch.nn.Module, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The tensors on a layer's device, where most are already."""
    return _moved(layer.input_layernorm.weight.device, *tensors)


def _moved(device: torch.device, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return tuple(each if each.device == device else each.to(device) for each in tensors)


def _untouched(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Zeros that take memory page by page as they are written.

    Small pages are asked for: a large one would span several heads, and a few tokens of each would
    take all of the cache.
    """
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    pages = mmap.mmap(-1, math.prod(shape) * dtype.itemsize, flags=private)
    pages.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(pages, dtype=dtype).view(shape)


def _turn(states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding of (heads, tokens, head_dim) by (tokens, head_dim)."""
    low, high = states.chunk(2, dim=-1)
    return states * cos + torch.cat((-high, low), dim=-1) * sin
