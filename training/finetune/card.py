"""The model card of a fine-tune: data, settings, what was learnt, and room for its scores.

`evaluation.compare.cli --write` puts the scores between the marks.
"""

from __future__ import annotations

import dataclasses
import platform
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import datasets
import peft
import psutil
import torch
import transformers

from data import documents
from models.catalog.checkpoints import Checkpoint
from training.finetune.options import Options

# What says nothing about the result.
_LEFT_OUT = frozenset("out push public save_steps log_steps workers merge".split())


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    `items` seen in all, `steps`, `seconds` of learning since it was last started, which was after
    step `began_at`, `loss` in nats per suffix token over the last steps, how many parameters
    `learnt` of `parameters`, `peak_bytes` the most memory that the first process had since then, on
    its GPU where it has one, and what products were `computed` in.
    """

    items: int
    steps: int
    seconds: float
    began_at: int
    loss: float
    learnt: int
    parameters: int
    peak_bytes: int
    machine: str
    computed: str


def machine(device: torch.device, processes: int) -> str:
    """The hardware in words, of which each process has a GPU or its threads."""
    if device.type == "cuda":
        return f"{processes} × {torch.cuda.get_device_name(device)}"
    times = f"{processes} × " if processes > 1 else ""
    return f"{platform.machine()} CPU, {times}{torch.get_num_threads()} threads"


def peak_bytes(device: torch.device) -> int:
    """The most memory that this process has had: on its GPU, or else resident in all, where pages
    of files count that the system could drop."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def write(
    options: Options, checkpoint: Checkpoint, outcome: Outcome, folder: Path, command: str
) -> None:
    """`README.md` in `folder`, with the metadata that the Hub reads."""
    is_adapter = options.method != "full"
    base = [f"base_model: {checkpoint.hub_id}"] if checkpoint.hub_id else []
    library = "peft" if is_adapter else "transformers"
    front = ["---", *base, f"library_name: {library}", "pipeline_tag: image-text-to-text"]
    front += ["tags:", "  - paligemma2", *(["  - lora"] if is_adapter else []), "---"]
    name = documents.data_name(options.data)
    mark = documents.scores_mark(options.data, options.task)
    what = f"A {_METHOD[options.method]} of {checkpoint.name} on {name}"
    changed = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(options)
        if field.name not in _LEFT_OUT
    }
    if not is_adapter:
        changed.pop("dropout")
    if not options.limit:
        changed.pop("limit")
    if options.max_steps:
        changed.pop("epochs")
    else:
        changed.pop("max_steps")
    settings = [
        f"| {key} | {' '.join(value) if isinstance(value, list) else documents.shown(str(value))} |"
        for key, value in changed.items()
        if value is not None and value is not False and value not in ("", [])
    ]
    versions = f"torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__}"
    versions += f", peft {peft.__version__}, datasets {datasets.__version__}"
    since = f" since step {outcome.began_at:,}, where it was started again" * (outcome.began_at > 0)
    learnt = (
        f"{outcome.learnt:,} of {outcome.parameters:,} parameters learnt from {outcome.items:,} "
        f"items in {outcome.steps:,} steps and {outcome.seconds / 60:.1f} minutes{since} "
        f"({outcome.machine}, computed in {outcome.computed}; {versions}), with "
        f"{outcome.peak_bytes / 1e9:.1f} GB of memory at most. The loss of the last steps was "
        f"{outcome.loss:.4f} nats per token of a suffix."
    )
    text = f"""
# {what}

`{command}`

{textwrap.fill(learnt, 100)}

| setting | value |
|---|---|
{chr(10).join(settings)}

## Scores

<!-- {mark} -->

Not measured yet; `python -m evaluation.compare` writes them here.

<!-- /{mark} -->
"""
    (folder / "README.md").write_text("\n".join(front) + "\n" + text, "utf-8")


_METHOD = {"lora": "LoRA", "qlora": "QLoRA", "full": "full fine-tune"}
