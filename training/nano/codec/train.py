"""Train nano's mask codec on the outlines of the objects that its scenes are made of.

A vector-quantized autoencoder in three steps: the autoencoder alone, then a codebook from k-means
over what the encoder says by then, then both with the codebook as a running mean of the vectors it
stands for. Codes that fall out of use restart at a vector that no code fits. Minutes on one core.

    python -m training.nano.codec.train --steps 2000 --out checkpoints/mask_codec.safetensors
    python -m training.nano.codec.train --steps 700 --seed 7 --decoder-only

The second command makes masks a little better and leaves the codes as a model has learned them.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from models.masks.codec import CODE_DIM, CODEBOOK_SIZE, GRID, MaskCodec, crop
from training.autocast import bf16_autocast

CPU = torch.device("cpu")
BATCH = 32
LEARNING_RATE = 1e-3
QUANTIZED_RATE = 4e-4  # higher, and the encoder runs away from its codes
WARM_UP = 0.3  # the part of the steps before the codebook comes in
COMMITMENT = 0.25
VECTORS_PER_BATCH = BATCH * GRID**2
K_MEANS_BATCHES = 24
EMA_DECAY = 0.95
DEAD_BELOW = 0.2  # of a fair share of the vectors
TURN_DEGREES = 15.0
SMALLEST_PX, LARGEST_PX = 24, 140
OCCLUDED = 0.4  # the part of the masks that something covers, by up to a third


def channels_last(codec: MaskCodec) -> MaskCodec:
    """The same codec with its convolutions' weights in the format a CPU is fastest with."""
    for parameter in codec.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return codec


def synthetic_alphas(count: int, seed: int = 0, side: int = 96) -> list[np.ndarray]:
    """uint8[side, side] outlines that no art is needed for: ellipses, polygons and their unions."""
    rng = np.random.default_rng(seed)
    alphas = []
    for _ in range(count):
        canvas = Image.new("L", (side, side))
        draw = ImageDraw.Draw(canvas)
        for _ in range(rng.integers(1, 4)):
            cx, cy = rng.uniform(0.3, 0.7, 2) * side
            if rng.random() < 0.5:
                rx, ry = rng.uniform(0.1, 0.3, 2) * side
                draw.ellipse((cx - rx, cy - ry, cx + rx, cy + ry), fill=255)
            else:
                angles = np.sort(rng.uniform(0, 2 * math.pi, rng.integers(3, 9)))
                radii = rng.uniform(0.12, 0.35, len(angles)) * side
                points = [
                    (cx + r * math.cos(a), cy + r * math.sin(a))
                    for a, r in zip(angles, radii, strict=True)
                ]
                draw.polygon(points, fill=255)
        alphas.append(np.asarray(canvas))
    return alphas


def masks_from(alphas: Sequence[np.ndarray], seed: int = 0) -> Iterator[np.ndarray]:
    """Endless float32[64, 64] masks in [-1, 1], varied and covered as objects of scenes are.

    `alphas` are uint8[H, W], 255 inside. Each mask is an outline in some size, mirrored or not,
    turned a little, perhaps behind a rectangle or another outline, cropped to what is visible.
    """
    rng = np.random.default_rng(seed)
    while True:
        outline = _posed(alphas[int(rng.integers(len(alphas)))], rng)
        if rng.random() < OCCLUDED:
            outline = _occluded(outline, alphas, rng)
        box = _tight_box(outline)
        if box is not None:
            yield crop(outline, box)


def _posed(alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    image = Image.fromarray(alpha)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    scale = math.exp(rng.uniform(math.log(SMALLEST_PX), math.log(LARGEST_PX))) / max(image.size)
    size = [max(8, round(side * scale)) for side in image.size]
    image = image.resize(size, Image.Resampling.BILINEAR)
    turn = rng.uniform(-TURN_DEGREES, TURN_DEGREES) if rng.random() < 0.7 else 0.0
    image = image.rotate(turn, Image.Resampling.BILINEAR, expand=True)
    return np.asarray(image) > 127


def _occluded(
    outline: np.ndarray, alphas: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """The outline less what is in front of it; unchanged where that would be over a third."""
    height, width = outline.shape
    if rng.random() < 0.5:
        front = np.ones((rng.integers(height // 4, height), rng.integers(width // 4, width)), bool)
    else:
        front = _posed(alphas[int(rng.integers(len(alphas)))], rng)
    top = rng.integers(-front.shape[0] + 1, height)
    left = rng.integers(-front.shape[1] + 1, width)
    cover = np.zeros_like(outline)
    y, x = max(top, 0), max(left, 0)
    part = front[y - top : height - top, x - left : width - left]
    cover[y : y + part.shape[0], x : x + part.shape[1]] = part
    visible = outline & ~cover
    return visible if visible.sum() >= outline.sum() * 2 / 3 else outline


def _tight_box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


class _CodebookTrainer:
    """Keeps the codebook at the running mean of the vectors that fall to each code."""

    def __init__(self, codec: MaskCodec, latents: torch.Tensor):
        self.codec = codec
        codec.codebook.copy_(_k_means(latents, CODEBOOK_SIZE))
        # On the scale of one batch: a heavier start would hold the codes back for long.
        self.counts = torch.full((CODEBOOK_SIZE,), VECTORS_PER_BATCH / CODEBOOK_SIZE)
        self.sums = codec.codebook * self.counts[:, None]

    @torch.no_grad()
    def update(self, latents: torch.Tensor, codes: torch.Tensor) -> None:
        """Take in `latents` float[N, 512], which fell to `codes` int64[N]."""
        counts = torch.bincount(codes, minlength=CODEBOOK_SIZE).float()
        sums = torch.zeros_like(self.sums).index_add_(0, codes, latents)
        self.counts.lerp_(counts, 1 - EMA_DECAY)
        self.sums.lerp_(sums, 1 - EMA_DECAY)
        fair = len(latents) / CODEBOOK_SIZE
        dead = (self.counts < DEAD_BELOW * fair).nonzero().flatten()
        if len(dead):
            misfit = (latents - self.codec.codebook[codes]).square().sum(1)
            dead = dead[: len(latents)]
            chosen = latents[torch.multinomial(misfit + 1e-9, len(dead))]
            self.counts[dead] = fair
            self.sums[dead] = chosen * fair
        self.codec.codebook.copy_(self.sums / self.counts[:, None])


@torch.no_grad()
def _k_means(points: torch.Tensor, count: int, rounds: int = 12) -> torch.Tensor:
    """float[count, D] centres of `points` float[N, D]; an empty one moves to a random point."""
    centres = points[torch.randperm(len(points))[:count]].clone()
    for _ in range(rounds):
        nearest = (centres.square().sum(1) - 2 * points @ centres.T).argmin(1)
        counts = torch.bincount(nearest, minlength=count)
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        used = counts > 0
        centres[used] = sums[used] / counts[used, None]
        centres[~used] = points[torch.randint(len(points), (int((~used).sum()),))]
    return centres


def _batch(masks: Iterator[np.ndarray], size: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([next(masks) for _ in range(size)]))[:, None]


def _flat(latents: torch.Tensor) -> torch.Tensor:
    return latents.permute(0, 2, 3, 1).reshape(-1, CODE_DIM)


def reconstruction_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Squared error for the range plus cross-entropy for the side of zero a pixel is on."""
    inside = (target + 1) / 2
    return F.mse_loss(output, target) + F.binary_cross_entropy_with_logits(4 * output, inside)


def _loss_of(codec: MaskCodec, grid: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    with bf16_autocast(CPU):
        output = codec.decoder(grid)
    return reconstruction_loss(output.float(), masks)


def _rate(step: int, warm_up: int, steps: int) -> float:
    """The learning rate: it falls by half a cosine in the warm-up, and from lower again after."""
    if step < warm_up:
        rise = min(1.0, (step + 1) / 20)
        return LEARNING_RATE * rise * (0.55 + 0.45 * math.cos(math.pi * step / warm_up))
    done = (step - warm_up) / (steps - warm_up)
    return QUANTIZED_RATE * (0.51 + 0.49 * math.cos(math.pi * done))


@torch.no_grad()
def round_trip_iou(codec: MaskCodec, masks: torch.Tensor) -> torch.Tensor:
    """float[B]: IoU of masks float[B, 1, 64, 64] with what their own codes decode to."""
    decoded = codec.decode(codec.encode(masks)) > 0
    wanted = masks[:, 0] > 0
    both, either = (decoded & wanted).sum((1, 2)), (decoded | wanted).sum((1, 2))
    return both / either.clamp(min=1)


def train(
    mask_iterator: Iterator[np.ndarray],
    steps: int,
    out: str | Path,
    held_out: torch.Tensor | None = None,
) -> MaskCodec:
    """Train on `mask_iterator` (float32[64, 64] in [-1, 1]) and save to `out`; returns the codec.

    Prints the loss, the round-trip IoU and the codes in use about twenty times on the way.
    `held_out` float[B, 1, 64, 64] is what the IoU is told for; without it, fresh masks are drawn.
    """
    codec = channels_last(MaskCodec())
    held_out = _batch(mask_iterator, 256) if held_out is None else held_out
    optimizer = torch.optim.AdamW(codec.parameters(), LEARNING_RATE, weight_decay=1e-4)
    warm_up = int(steps * WARM_UP)
    gathered: list[torch.Tensor] = []
    book: _CodebookTrainer | None = None
    started = time.monotonic()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = _rate(step, warm_up, steps)
        masks = _batch(mask_iterator, BATCH).contiguous(memory_format=torch.channels_last)
        with bf16_autocast(CPU):
            latents = codec.encoder(masks)  # (B, 512, 4, 4)
        latents = latents.float()
        if step < warm_up:
            loss = _loss_of(codec, latents, masks) + 1e-3 * latents.square().mean()
            if step >= warm_up - K_MEANS_BATCHES:
                gathered.append(_flat(latents).detach())
        else:
            if book is None:
                book = _CodebookTrainer(codec, torch.cat(gathered))
                gathered.clear()
            loss = _quantized_loss(codec, book, latents, masks)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
        optimizer.step()
        if book is not None and (step % max(1, steps // 20) == 0 or step == steps - 1):
            _report(codec, held_out, step, loss.item(), time.monotonic() - started)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    codec.save(out)
    return codec.eval().requires_grad_(False)


def refine_decoder(
    mask_iterator: Iterator[np.ndarray],
    steps: int,
    path: str | Path,
    held_out: torch.Tensor | None = None,
) -> MaskCodec:
    """Train the decoder of the codec at `path` a little longer and save it there again.

    Encoder and codebook stay as they are, so that codes which a model has learned keep their
    meaning, and with the codes given, overlap itself can be trained for.
    """
    codec = channels_last(MaskCodec.load(path))
    codec.decoder.requires_grad_(True)
    held_out = _batch(mask_iterator, 256) if held_out is None else held_out
    optimizer = torch.optim.AdamW(codec.decoder.parameters(), QUANTIZED_RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, QUANTIZED_RATE, total_steps=steps)
    started = time.monotonic()
    for step in range(steps):
        masks = _batch(mask_iterator, BATCH).contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            vectors = codec.codebook[codec.nearest(_flat(codec.encoder(masks)))]
        grid = vectors.view(-1, GRID, GRID, CODE_DIM).permute(0, 3, 1, 2)
        with bf16_autocast(CPU):
            output = codec.decoder(grid)
        output = output.float()
        loss = reconstruction_loss(output, masks) + overlap_loss(output, masks)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % max(1, steps // 10) == 0 or step == steps - 1:
            _report(codec, held_out, step, loss.item(), time.monotonic() - started)
    codec.save(path)
    return codec.eval().requires_grad_(False)


def overlap_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """One minus a soft intersection over union of float[B, 1, 64, 64] in about [-1, 1]."""
    given, wanted = (4 * output).sigmoid(), (target + 1) / 2
    both = (given * wanted).sum((1, 2, 3))
    return 1 - (both / ((given + wanted).sum((1, 2, 3)) - both).clamp(min=1e-6)).mean()


def _quantized_loss(
    codec: MaskCodec, book: _CodebookTrainer, latents: torch.Tensor, masks: torch.Tensor
) -> torch.Tensor:
    flat = _flat(latents)
    codes = codec.nearest(flat.detach())
    quantized = codec.codebook[codes]
    passed = flat + (quantized - flat).detach()  # the gradient goes straight through
    grid = passed.view(-1, GRID, GRID, CODE_DIM).permute(0, 3, 1, 2)
    commitment = F.mse_loss(flat, quantized) / quantized.var().clamp(min=1e-4)
    loss = _loss_of(codec, grid, masks) + COMMITMENT * commitment
    book.update(flat.detach(), codes)
    return loss


def _report(codec: MaskCodec, held_out: torch.Tensor, step: int, loss: float, s: float) -> None:
    iou = round_trip_iou(codec, held_out)
    used = codec.encode(held_out).unique().numel()
    print(
        f"step {step:5d}  loss {loss:.4f}  round-trip IoU mean {iou.mean():.4f} "
        f"worst tenth {iou.sort().values[: len(iou) // 10].mean():.4f}  "
        f"codes in use {used}/{CODEBOOK_SIZE}  {s:.0f} s",
        flush=True,
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--out", default="checkpoints/mask_codec.safetensors")
    parser.add_argument("--synthetic", action="store_true", help="simple shapes, no sprites needed")
    parser.add_argument(
        "--decoder-only", action="store_true", help="refine --out; its codes keep their meaning"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    if options.synthetic:
        alphas = synthetic_alphas(400, options.seed)
    else:
        alphas = sprite_alphas()
    print(f"{len(alphas)} outlines", flush=True)
    held_out = _batch(masks_from(alphas, options.seed + 1_000_000), 512)
    run = refine_decoder if options.decoder_only else train
    run(masks_from(alphas, options.seed), options.steps, options.out, held_out)


def sprite_alphas() -> list[np.ndarray]:
    """uint8[H, W] outlines of every sprite that scenes are drawn from."""
    from training.nano.scenes import sprites

    return [np.asarray(image)[..., 3] for image in sprites.load().values()]


if __name__ == "__main__":
    main()
