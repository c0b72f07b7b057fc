"""Builds nano: tokenizer, vision tower, image to text, and the folder that from_pretrained reads.

    python -m training.nano.build --work build/nano-224 --out checkpoints/nano-224

Stages: `look` (dense targets), `answer` (many prompts a row), `finish` (every fourth batch under
the exact prefix mask, falling rate). The state is saved every few minutes and a second start goes
on from it; `--init` starts from a checkpoint that was exported before, `--heads` from the dense
heads that its work folder has. Runs on two CPU cores or one
GPU; logs a JSON line every LOG_EVERY steps to `log.jsonl` in the work folder.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from models.masks.codec import MaskCodec
from training.nano.checkpoint import (
    Nano,
    export,
    make_processor,
    resume_from,
    save_heads,
    start,
)
from training.nano.codec.codes import code_bells
from training.nano.model import Optimizers
from training.nano.scenes.scene import Scene
from training.nano.stages import answer, look, rows
from training.nano.stages.batches import Batches, load

LOG_EVERY = 20
SAVE_EVERY_S = 240
WARMUP = 60
STAGES = ("look", "answer", "finish")


@dataclass(frozen=True)
class Stage:
    """Steps, scenes a step, base rates and the share of steps over which the rate falls to zero.

    `spread` is the width of soft `<loc>` targets in bins: wide while boxes are new, narrow at last.
    """

    name: str
    steps: int
    batch: int
    rate: float
    muon_rate: float
    decay: float
    vision_share: float = 1.0
    spread: float = 1.0

    def factor(self, step: int) -> float:
        """The rate at `step` relative to the base: warm-up, plateau, linear fall."""
        fall = self.decay * self.steps
        rising = min(1.0, (step + 1) / WARMUP)
        falling = min(1.0, (self.steps - step) / fall) if fall else 1.0
        return rising * max(0.02, falling)


def batches(stage: Stage, nano: Nano, first: int, arguments: argparse.Namespace) -> DataLoader:
    """The loader of a stage from step `first` on; each stage draws from seeds of its own."""
    make: Callable[[list[Scene]], dict]
    if stage.name == "look":
        make = look.Maker(str(arguments.codec))
    else:
        exact_every = getattr(arguments, f"{stage.name}_exact_every")
        make = rows.Maker(
            nano.processor.tokenizer,
            str(arguments.codec),
            arguments.text_budget,
            3,
            exact_every,
            not_known=arguments.wide_share > 0,
        )
    offset = STAGES.index(stage.name) * 100_000_000 + arguments.skip_scenes
    source = Batches(
        make,
        stage.batch,
        first,
        stage.steps - first,
        arguments.resolution,
        offset,
        arguments.fine_share,
        arguments.wide_share,
    )
    return load(source, arguments.workers)


def run(stage: Stage, nano: Nano, state: dict, arguments: argparse.Namespace) -> None:
    """Trains a stage from where `state` says it stopped."""
    first = state["step"]
    named = [(n, p) for n, p in nano.parameters() if stage.name != "look" or not _is_text(n)]
    optimizers = Optimizers(named, stage.rate, stage.muon_rate, stage.vision_share)
    if state.get("optimizers"):
        optimizers.load_state_dict(state["optimizers"])
    ids = rows.Vocabulary.of(nano.processor.tokenizer)
    codec = MaskCodec.load(arguments.codec).to(nano.model.device)
    bells = code_bells(codec.codebook)
    nano.model.train()
    began = saved = time.time()
    for step, batch in enumerate(batches(stage, nano, first, arguments), start=first):
        if stage.name == "look":
            frozen = step < arguments.look_freeze_steps
            loss, report = look.loss(nano.model, nano.heads, batch, bells, frozen)
        else:
            loss, report = answer.loss(
                nano.model, nano.heads, batch, ids, arguments.dense_share, stage.spread, bells,
                codec, frozen=stage.name == "answer" and step < arguments.freeze_steps,
            )  # fmt: skip
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for _, p in named], 1.0)
        optimizers.step(stage.factor(step))
        if step % LOG_EVERY == 0 or step + 1 == stage.steps:
            pace = (step + 1 - first) * stage.batch / (time.time() - began)
            line = {
                "stage": stage.name,
                "step": step,
                "scenes_per_s": round(pace, 2),
                "loss": loss.item(),
            }
            line |= {key: round(value, 4) for key, value in report.items()}
            with (arguments.work / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
        if time.time() - saved > SAVE_EVERY_S:
            saved = time.time()
            save_state(nano, stage, step + 1, optimizers, arguments.work)
    save_state(nano, stage, stage.steps, optimizers, arguments.work)


def _is_text(name: str) -> bool:
    return ".language_model.layers." in name or ".language_model.norm" in name


def save_state(nano: Nano, stage: Stage, step: int, optimizers: Optimizers, work: Path) -> None:
    """Everything needed to go on; replaces the old state in one move."""
    state = {
        "stage": stage.name,
        "step": step,
        "model": nano.model.state_dict(),
        "heads": nano.heads.state_dict(),
        "optimizers": optimizers.state_dict(),
    }
    torch.save(state, work / "state.tmp")
    (work / "state.tmp").replace(work / "state.pt")


def read_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Every option with its unit, from `given` or the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/nano-224"), help="state and log")
    parser.add_argument(
        "--out", type=Path, default=Path("checkpoints/nano-224"), help="the checkpoint"
    )
    parser.add_argument("--codec", type=Path, default=Path("checkpoints/mask_codec.safetensors"))
    parser.add_argument("--init", type=Path, help="an exported checkpoint to go on from")
    parser.add_argument("--heads", type=Path, help="with --init: its dense heads, else new ones")
    parser.add_argument(
        "--new-tokenizer", action="store_true", help="with --init: learn the words of now"
    )
    parser.add_argument("--resolution", type=int, default=224, help="pixels a side")
    parser.add_argument(
        "--fine-share", type=float, default=0.0, help="share of scenes of small things and print"
    )
    parser.add_argument(
        "--wide-share",
        type=float,
        default=0.0,
        help="share of scenes of the wide world; with some, pictures of nothing known are answered "
        "so, and --fine-share is of the rest",
    )
    parser.add_argument(
        "--skip-scenes", type=int, default=0, help="with --init: how many a stage has had before"
    )
    parser.add_argument("--look-steps", type=int, default=1600, help="steps of the first stage")
    parser.add_argument("--answer-steps", type=int, default=4000, help="steps of the second stage")
    parser.add_argument("--finish-steps", type=int, default=700, help="steps of the last stage")
    parser.add_argument("--look-batch", type=int, default=32, help="scenes a step")
    parser.add_argument("--answer-batch", type=int, default=16, help="scenes a step")
    parser.add_argument("--finish-batch", type=int, default=16, help="scenes a step")
    parser.add_argument(
        "--rate", type=float, default=1.5e-3, help="AdamW's rate (embeddings, heads, norms)"
    )
    parser.add_argument(
        "--muon-rate", type=float, default=3e-3, help="Muon's rate (hidden matrices)"
    )
    parser.add_argument(
        "--freeze-steps", type=int, default=1200, help="steps of answer before the tower learns too"
    )
    parser.add_argument(
        "--look-freeze-steps",
        type=int,
        default=0,
        help="steps of look in which only the heads learn: with --init, where they are new",
    )
    parser.add_argument(
        "--vision-share", type=float, default=0.35, help="the tower's part of the rates later on"
    )
    parser.add_argument(
        "--dense-share", type=float, default=0.15, help="weight of dense targets later on"
    )
    parser.add_argument(
        "--spread", type=float, default=12.0, help="width of soft <loc> targets, in bins"
    )
    parser.add_argument("--text-budget", type=int, default=480, help="text tokens a row")
    parser.add_argument(
        "--answer-exact-every", type=int, default=6, help="every n-th batch has exact rows"
    )
    parser.add_argument(
        "--finish-exact-every", type=int, default=4, help="the same for the last stage"
    )
    parser.add_argument(
        "--corpus", type=int, default=2500, help="scenes whose texts teach the tokenizer"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes that draw scenes")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch on CPU")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--export-only", action="store_true", help="write --out from the saved state"
    )
    return parser.parse_args(given)


def main() -> None:
    """Runs what is left of the three stages, then writes the checkpoint."""
    arguments = read_arguments()
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    folder = arguments.work / "processor"
    if arguments.new_tokenizer or not arguments.init:
        make_processor(arguments.resolution, folder, arguments.corpus)
    if arguments.init:
        renewed = folder if arguments.new_tokenizer else None
        nano = resume_from(
            arguments.init, arguments.resolution, renewed, arguments.device, arguments.heads
        )
    else:
        nano = start(arguments.resolution, folder, arguments.device)
    a, rates = arguments, (arguments.rate, arguments.muon_rate)
    stages = (
        Stage("look", a.look_steps, a.look_batch, *rates, decay=0.15),
        Stage("answer", a.answer_steps, a.answer_batch, *rates, 0.0, a.vision_share, a.spread),
        Stage("finish", a.finish_steps, a.finish_batch, *rates, 1.0, a.vision_share, a.spread / 3),
    )
    state: dict[str, Any] = {"stage": "look", "step": 0}
    if (arguments.work / "state.pt").exists():
        state = torch.load(arguments.work / "state.pt", map_location=arguments.device)
        nano.model.load_state_dict(state["model"])
        nano.heads.load_state_dict(state["heads"])
    if not arguments.export_only:
        for stage in stages[STAGES.index(state["stage"]) :]:
            if state["step"] < stage.steps:
                run(stage, nano, state, arguments)
            state = {"stage": stage.name, "step": 0}
    save_heads(nano, arguments.work)
    export(nano, arguments.out, arguments.codec)


if __name__ == "__main__":
    main()
