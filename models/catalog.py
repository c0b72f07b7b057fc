"""The checkpoints that exist, as data and rules: what a choice of size forces on the rest.

This module knows neither torch nor the network. Bytes are estimates from the parameter count.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.schema import UserError

PRECISIONS = ("bf16", "fp32")
BYTES_PER_PARAMETER = {"bf16": 2, "fp32": 4}

_HERE = Path(__file__).parent
_LONGEST_TEXT = 128  # tokens of prompt and answer that a memory estimate allows for


@dataclass(frozen=True)
class Checkpoint:
    """One set of weights: on the Hub (`hub_id`) or in this repository (`path`), never both.

    `resolution` is the side of the square picture in pixels, `patch` that of a patch;
    `attention_heads` are those of the text model.
    """

    name: str
    size: str
    variant: str
    resolution: int
    parameters: int
    attention_heads: int
    patch: int = 14
    hub_id: str | None = None
    path: Path | None = None

    @property
    def is_embedded(self) -> bool:
        """Whether the weights ship with this repository."""
        return self.path is not None

    @property
    def image_tokens(self) -> int:
        """How many tokens a picture becomes."""
        return (self.resolution // self.patch) ** 2

    @property
    def download_bytes(self) -> int:
        """What has to be fetched before the first use; the published weights are bf16."""
        return 0 if self.is_embedded else self.parameters * 2

    @property
    def licence_url(self) -> str | None:
        """Where the Gemma licence is accepted; None where there is nothing to accept."""
        return f"https://huggingface.co/{self.hub_id}" if self.hub_id else None


# Parameters of a real size at 224 px; a larger picture only adds position embeddings of width 1152.
_REAL_SIZES = {"3B": (3_032_094_960, 8), "10B": (9_662_409_456, 16), "28B": (27_650_192_112, 32)}
_POSITIONS = {224: 0, 448: (1024 - 256) * 1152, 896: (4096 - 256) * 1152}
_REAL_GRID = tuple(
    (size, variant, resolution)
    for size in _REAL_SIZES
    for variant, resolutions in (
        ("mix", (224, 448)),
        ("pt", (224, 448, 896)),
        ("ft-docci", (448,)),
    )
    for resolution in resolutions
    if not (size == "28B" and variant == "ft-docci")
)


def _real(size: str, variant: str, resolution: int) -> Checkpoint:
    name = f"{size.lower()}-{variant}-{resolution}"
    parameters, heads = _REAL_SIZES[size]
    return Checkpoint(
        name=name,
        size=size,
        variant=variant,
        resolution=resolution,
        parameters=parameters + _POSITIONS[resolution],
        attention_heads=heads,
        hub_id=f"google/paligemma2-{name}",
    )


CHECKPOINTS: tuple[Checkpoint, ...] = (
    Checkpoint(
        name="nano-224",
        size="nano",
        variant="mix",
        resolution=224,
        parameters=10_307_584,
        attention_heads=4,
        patch=16,
        path=_HERE / "nano-224",
    ),
    *(_real(*choice) for choice in _REAL_GRID),
)


def find(name: str) -> Checkpoint:
    """The checkpoint of that name; UserError naming the valid ones where there is none."""
    for checkpoint in CHECKPOINTS:
        if checkpoint.name == name:
            return checkpoint
    known = ", ".join(checkpoint.name for checkpoint in CHECKPOINTS)
    raise UserError(f"There is no checkpoint {name!r}.", f"Choose one of {known}.")


def sizes() -> tuple[str, ...]:
    """The sizes, smallest first."""
    return tuple(dict.fromkeys(checkpoint.size for checkpoint in CHECKPOINTS))


def variants(size: str, resolution: int | None = None) -> tuple[str, ...]:
    """The variants of a size, at one resolution or at any."""
    return tuple(
        dict.fromkeys(
            checkpoint.variant
            for checkpoint in CHECKPOINTS
            if checkpoint.size == size and resolution in (None, checkpoint.resolution)
        )
    )


def resolutions(size: str, variant: str | None = None) -> tuple[int, ...]:
    """The resolutions in pixels of a size, of one variant or of any, smallest first."""
    return tuple(
        sorted(
            {
                checkpoint.resolution
                for checkpoint in CHECKPOINTS
                if checkpoint.size == size and variant in (None, checkpoint.variant)
            }
        )
    )


def check_precision(precision: str) -> None:
    """UserError naming the valid precisions where this is not one; "auto" is one."""
    if precision != "auto" and precision not in PRECISIONS:
        known = ", ".join(("auto", *PRECISIONS))
        raise UserError(f"There is no precision {precision!r}.", f"Choose one of {known}.")


def memory_bytes(checkpoint: Checkpoint, precision: str) -> int:
    """Bytes that answering takes: the weights and the largest attention score matrix.

    `precision` is a name from PRECISIONS. Eager attention holds heads × sequence² scores in
    float32 and their softmax.
    """
    check_precision(precision)
    sequence = checkpoint.image_tokens + _LONGEST_TEXT
    scores = checkpoint.attention_heads * sequence**2 * 8
    return checkpoint.parameters * BYTES_PER_PARAMETER[precision] + scores
