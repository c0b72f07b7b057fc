"""The mask codec: 16 `<seg>` codes <-> one 64×64 mask of what is inside a box.

The VQ-VAE of Ning et al. 2023 (arXiv 2301.02229) in the layout of big_vision's `vae-oid.npz`, so
that the weights of the real checkpoints and those of nano load into the same module. This module
does not know the text form of the codes (`models.prompts.tokens`) nor where a mask came from.

Masks are float in [-1, 1], +1 inside; the decoder is linear, so its output is only about [-1, 1]
and is cut at 0. A mask fills its *box*: `crop` and `paste` go from an image to the box and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

MASK_SIDE = 64
CODES_PER_MASK = 16
CODEBOOK_SIZE = 128
CODE_DIM = 512
HIDDEN = 128
GRID = 4  # the codes are a row-major GRID × GRID picture

Box = tuple[float, float, float, float]


class ResidualBlock(nn.Module):
    """Three convolutions with ReLU between; none after the skip is added."""

    def __init__(self, channels: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.net(x)


class _Codebook(nn.Module):
    """Holds the code vectors under the name they have in the published file."""

    _embedding: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("_embedding", torch.randn(CODEBOOK_SIZE, CODE_DIM) * 0.02)


def _encoder() -> nn.Sequential:
    layers: list[nn.Module] = []
    widths = (1, 16, 32, 64, HIDDEN)
    for narrow, wide in pairwise(widths):
        layers += [nn.Conv2d(narrow, wide, 4, stride=2, padding=1), nn.ReLU()]
    layers += [ResidualBlock(HIDDEN), ResidualBlock(HIDDEN), nn.Conv2d(HIDDEN, CODE_DIM, 1)]
    return nn.Sequential(*layers)


def _decoder() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(CODE_DIM, HIDDEN, 1), nn.ReLU()]
    layers += [ResidualBlock(HIDDEN), ResidualBlock(HIDDEN)]
    widths = (HIDDEN, HIDDEN, 64, 32, 16)
    for wide, narrow in pairwise(widths):
        layers += [nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1), nn.ReLU()]
    layers.append(nn.Conv2d(16, 1, 1))
    return nn.Sequential(*layers)


class MaskCodec(nn.Module):
    """Encoder, codebook and decoder; see the module's docstring for the ranges."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _encoder()
        self.decoder = _decoder()
        self._vq_vae = _Codebook()

    @property
    def codebook(self) -> torch.Tensor:
        """float[128, 512]."""
        return self._vq_vae._embedding

    def nearest(self, latents: torch.Tensor) -> torch.Tensor:
        """int64[N]: the code nearest to each of `latents` float[N, 512]."""
        codebook = self.codebook
        # |x|² is the same for every code and is left out.
        distances = codebook.square().sum(1) - 2 * latents @ codebook.T  # (N, 128)
        return distances.argmin(1)

    @torch.inference_mode()
    def encode(self, masks: torch.Tensor) -> torch.Tensor:
        """float[B, 1, 64, 64] in [-1, 1] -> int64[B, 16], each in [0, 128)."""
        if masks.ndim != 4 or tuple(masks.shape[1:]) != (1, MASK_SIDE, MASK_SIDE):
            raise ValueError(f"masks must be [B, 1, 64, 64], not {list(masks.shape)}")
        latents = self.encoder(masks.to(self.codebook.dtype))  # (B, 512, 4, 4)
        flat = latents.permute(0, 2, 3, 1).reshape(-1, CODE_DIM)
        return self.nearest(flat).view(-1, CODES_PER_MASK)

    @torch.inference_mode()
    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """int64[B, 16], each in [0, 128) -> float[B, 64, 64] in about [-1, 1]."""
        if codes.ndim != 2 or codes.shape[1] != CODES_PER_MASK:
            raise ValueError(f"codes must be [B, 16], not {list(codes.shape)}")
        if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < CODEBOOK_SIZE:
            raise ValueError(f"codes must be in [0, {CODEBOOK_SIZE})")
        vectors = self.codebook[codes.to(self.codebook.device)]  # (B, 16, 512)
        grid = vectors.view(-1, GRID, GRID, CODE_DIM).permute(0, 3, 1, 2)
        return self.decoder(grid).squeeze(1).float()

    @classmethod
    def load(cls, path: str | Path) -> MaskCodec:
        """Weights from a `.npz` or `.safetensors` file, in float32 on the CPU, ready to use.

        The published `.npz` also holds the running sums of its training; those are left out. A
        file without the encoder is refused, as is one with a wrong shape.
        """
        path = Path(path)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                tensors = {name: torch.from_numpy(file[name]) for name in file.files}
        elif path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors = load_file(path)
        else:
            raise ValueError(f"{path.name}: a mask codec is a .npz or a .safetensors file")
        return cls.from_tensors(tensors)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> MaskCodec:
        """A codec with these weights; raises where one is missing or has a wrong shape."""
        codec = cls()
        wanted = codec.state_dict()
        missing = sorted(set(wanted) - set(tensors))
        if missing:
            raise ValueError(f"mask codec weights lack {', '.join(missing[:4])}")
        codec.load_state_dict({name: tensors[name].float() for name in wanted})
        return codec.eval().requires_grad_(False)

    def save(self, path: str | Path, dtype: torch.dtype = torch.float16) -> None:
        """Write a `.safetensors` file (4 MB in half precision)."""
        from safetensors.torch import save_file

        tensors = {
            name: tensor.detach().to("cpu", dtype).contiguous()
            for name, tensor in self.state_dict().items()
        }
        save_file(tensors, path)


def crop(mask: np.ndarray, box_xyxy_px: Box) -> np.ndarray:
    """What `encode` takes: the part of a mask inside a box, resized to 64×64.

    `mask` is bool[H, W]; returns float32[64, 64] in [-1, 1]. The box is rounded to whole pixels
    and kept at least one pixel wide and high.
    """
    height, width = mask.shape
    x1, y1, x2, y2 = _whole_pixels(box_xyxy_px, width, height)
    inside = Image.fromarray(mask[y1:y2, x1:x2].astype(np.uint8) * 255)
    inside = inside.resize((MASK_SIDE, MASK_SIDE), Image.Resampling.BILINEAR)
    return np.asarray(inside, np.float32) / 127.5 - 1.0


def paste(
    mask64: np.ndarray | torch.Tensor, box_xyxy_px: Box, width: int, height: int
) -> np.ndarray:
    """bool[height, width]: a decoded mask, stretched over its box and cut at 0.

    `mask64` is float[64, 64] in about [-1, 1]; `width` and `height` are those of the image that
    the box is in. Outside the box everything is False.
    """
    pasted = np.zeros((height, width), bool)
    x1, y1, x2, y2 = _whole_pixels(box_xyxy_px, width, height)
    values = np.ascontiguousarray(np.asarray(mask64, np.float32))
    resized = Image.fromarray(values).resize((x2 - x1, y2 - y1), Image.Resampling.BILINEAR)
    pasted[y1:y2, x1:x2] = np.asarray(resized) > 0
    return pasted


def _whole_pixels(box_xyxy_px: Box, width: int, height: int) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (round(float(value)) for value in box_xyxy_px)
    x1, y1 = min(max(x1, 0), width - 1), min(max(y1, 0), height - 1)
    return x1, y1, min(max(x2, x1 + 1), width), min(max(y2, y1 + 1), height)
