"""The checkpoints of this project and of the family, as data.

This module knows neither torch nor the network. Bytes are estimates from the parameter count.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.catalog.architectures import SHAPES, Shape
from models.limits import MAX_IMAGES

LONGEST_TEXT = 128  # tokens of prompt and answer that a sequence is surely to have room for
_CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"
NANO_CODEC = _CHECKPOINTS / "mask_codec.safetensors"  # of both sizes of nano


@dataclass(frozen=True)
class Checkpoint:
    """One set of weights: on the Hub (`hub_id`, at `revision` or the newest) or in a folder
    (`path`), never both.

    `codec` is the mask codec's file where the folder has none of its own; None for the published
    one. `resolution` is the side of the square picture in pixels. `is_gated` says that a download
    surely needs a token whose owner accepted the licence.
    """

    name: str
    size: str
    variant: str
    resolution: int
    shape: Shape
    hub_id: str | None = None
    revision: str | None = None
    path: Path | None = None
    codec: Path | None = None
    is_gated: bool = False

    @property
    def is_local(self) -> bool:
        """Whether the weights are in a folder of this machine, be it of this repository or not."""
        return self.path is not None

    @property
    def image_tokens(self) -> int:
        """How many tokens a picture becomes."""
        return self.shape.vision.tokens(self.resolution)

    @property
    def max_images(self) -> int:
        """How many pictures a prompt may have: 1 to MAX_IMAGES, as many as its context holds."""
        room = self.shape.text.context - LONGEST_TEXT
        return max(1, min(MAX_IMAGES, room // self.image_tokens))

    @property
    def parameters(self) -> int:
        """All parameters."""
        return self.shape.parameters(self.resolution)

    @property
    def download_bytes(self) -> int:
        """What has to be fetched before the first use; the published weights are bf16."""
        return 0 if self.is_local else self.parameters * 2

    @property
    def licence_url(self) -> str | None:
        """Where the licence is accepted; None where there is nothing to accept."""
        return f"https://huggingface.co/{self.hub_id}" if self.hub_id else None


_REAL_GRID = tuple(
    (size, variant, resolution)
    for size in ("3B", "10B", "28B")
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
    return Checkpoint(
        name=name,
        size=size,
        variant=variant,
        resolution=resolution,
        shape=SHAPES[size],
        hub_id=f"google/paligemma2-{name}",
        is_gated=True,
    )


def _nano(resolution: int) -> Checkpoint:
    name = f"nano-{resolution}"
    shape = SHAPES["nano"]
    return Checkpoint(
        name, "nano", "mix", resolution, shape, path=_CHECKPOINTS / name, codec=NANO_CODEC
    )


NANO = _nano(224)
BUILT_IN: tuple[Checkpoint, ...] = (
    NANO,
    _nano(448),
    *(_real(*choice) for choice in _REAL_GRID),
)
