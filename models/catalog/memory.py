"""What a checkpoint takes in memory: weights, KV cache, and the workspace of an answer.

Bytes are computed from shapes; `evaluation.speed.memory` measures them. This module knows no
device.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.catalog.checkpoints import LONGEST_TEXT, Checkpoint
from models.schema import UserError

# Bytes per parameter of the text model's linear layers, and of all others. nf4 keeps a float32 per
# 64 weights, int8 one per row.
BYTES_PER_PARAMETER = {
    "bf16": (2, 2),
    "fp16": (2, 2),
    "fp32": (4, 4),
    "int8": (1, 2),
    "nf4": (0.5 + 4 / 64, 2),
}
PRECISIONS = tuple(BYTES_PER_PARAMETER)
PRECISION_NAMES = {  # as people read them
    "bf16": "bfloat16",
    "fp16": "float16",
    "fp32": "float32",
    "int8": "8-bit",
    "nf4": "4-bit (nf4)",
}

# What fits a ZeroGPU of each size: `memory` and `xlarge_threshold` of the RTX PRO 6000 in
# `spaces/zero/configs.json`, the lesser of the two kinds of GPU there.
ZERO_GPU_BYTES = {"large": 45_097_156_608, "xlarge": 101_973_950_464}
# Of float32 scores that attention holds at one time. A CPU keeps so many in its caches.
ATTENTION_BLOCK_BYTES = {"cpu": 4_000_000, "cuda": 64_000_000}
# Most that captured CUDA graphs hold beside the model; an estimate for a GPU counts it.
CUDA_GRAPH_BYTES = 512_000_000
# Bytes beside the tensors: tokenizer, mask codec, and buffers of the kernels, which every length of
# text adds to. Measured with nano.
BESIDE = 51_000_000


@dataclass(frozen=True)
class Memory:
    """Bytes; `workspace` is the largest that lives at one time while the prompt is read."""

    weights: int
    cache: int
    workspace: int
    cuda_graphs: int = 0

    @property
    def total(self) -> int:
        """What has to be free before a checkpoint is loaded."""
        return self.weights + self.cache + self.workspace + self.cuda_graphs + BESIDE


def check_precision(precision: str) -> None:
    """UserError naming the valid precisions where this is not one; "auto" is one."""
    if precision != "auto" and precision not in PRECISIONS:
        known = ", ".join(("auto", *PRECISIONS))
        raise UserError(f"There is no precision {precision!r}.", f"Choose one of {known}.")


def weight_bytes(checkpoint: Checkpoint, precision: str) -> int:
    """Bytes of the weights in a precision of PRECISIONS."""
    linear, other = BYTES_PER_PARAMETER[precision]
    shrunk = checkpoint.shape.text.linear_parameters
    return round(shrunk * linear + (checkpoint.parameters - shrunk) * other)


def estimate(
    checkpoint: Checkpoint, precision: str, on_cpu: bool, text_tokens: int = LONGEST_TEXT
) -> Memory:
    """What answering takes with `text_tokens` of prompt and answer, in a precision of PRECISIONS.

    Attention goes by blocks of queries (`models.layers.attention`), so of S tokens and H heads a
    layer holds at most a block of the H × S² scores: in the model's format, in float32 for the
    softmax, and its result. After that the gated MLP holds three rows of its width per token. On a
    CPU a 16-bit matrix is rearranged when it is used for several rows, of which the head is the
    largest; in 4 bits a copy of the head (`models.layers.shortlist_head`) takes less than that.
    """
    text, vision = checkpoint.shape.text, checkpoint.shape.vision
    value = BYTES_PER_PARAMETER[precision][1]
    sequence = checkpoint.image_tokens + text_tokens
    scores = min(text.heads * sequence**2, ATTENTION_BLOCK_BYTES["cpu" if on_cpu else "cuda"] // 4)
    attention = scores * (2 * 4 if value == 4 else value + 4 + 4)
    mlp = 3 * sequence * text.mlp * value
    head = text.vocabulary * text.width * value if on_cpu and value == 2 else 0
    tower = checkpoint.image_tokens * (2 * vision.mlp + 4 * vision.width) * value
    return Memory(
        weights=weight_bytes(checkpoint, precision),
        cache=sequence * text.cache_values * value,
        workspace=max(attention, mlp, tower, head),
        cuda_graphs=0 if on_cpu or precision == "int8" else CUDA_GRAPH_BYTES,
    )
