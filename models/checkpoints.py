"""The checkpoints of this project and of the family, as data.

This module knows neither torch nor the network. Bytes are estimates from the parameter count.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Checkpoint:
    """One set of weights: on the Hub (`hub_id`, at `revision` or the newest) or in a folder
    (`path`), never both.

    `resolution` is the side of the square picture in pixels, `patch` that of a patch;
    `linear_parameters` are those of the text model's linear layers, its head not among them: what
    8-bit and 4-bit shrink. `attention_heads` are those of the text model. `is_gated` says
    that a download surely needs a token whose owner accepted the licence.
    """

    name: str
    size: str
    variant: str
    resolution: int
    parameters: int
    linear_parameters: int
    attention_heads: int
    patch: int = 14
    hub_id: str | None = None
    revision: str | None = None
    path: Path | None = None
    is_gated: bool = False

    @property
    def is_local(self) -> bool:
        """Whether the weights are in a folder of this machine, be it of this repository or not."""
        return self.path is not None

    @property
    def image_tokens(self) -> int:
        """How many tokens a picture becomes."""
        return (self.resolution // self.patch) ** 2

    @property
    def download_bytes(self) -> int:
        """What has to be fetched before the first use; the published weights are bf16."""
        return 0 if self.is_local else self.parameters * 2

    @property
    def licence_url(self) -> str | None:
        """Where the licence is accepted; None where there is nothing to accept."""
        return f"https://huggingface.co/{self.hub_id}" if self.hub_id else None


# Parameters of a real size at 224 px, those of its linear layers, and its heads; a larger picture
# only adds position embeddings of width 1152.
_REAL_SIZES = {
    "3B": (3_032_094_960, 26 * 77_856_768, 8),
    "10B": (9_662_409_456, 42 * 198_180_864, 16),
    "28B": (27_650_192_112, 46 * 566_231_040, 32),
}
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
    parameters, linear, heads = _REAL_SIZES[size]
    return Checkpoint(
        name=name,
        size=size,
        variant=variant,
        resolution=resolution,
        parameters=parameters + _POSITIONS[resolution],
        linear_parameters=linear,
        attention_heads=heads,
        hub_id=f"google/paligemma2-{name}",
        is_gated=True,
    )


NANO = Checkpoint(
    name="nano-224",
    size="nano",
    variant="mix",
    resolution=224,
    parameters=12_274_688,
    linear_parameters=5_898_240,
    attention_heads=4,
    patch=16,
    path=_HERE / "nano-224",
)
BUILT_IN: tuple[Checkpoint, ...] = (NANO, *(_real(*choice) for choice in _REAL_GRID))
