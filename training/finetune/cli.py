"""Fine-tunes a checkpoint on your own pictures and answers.

    python -m training.finetune --method lora --checkpoint nano-224 --data easy-vqa
    python -m training.finetune --data mine.jsonl --checkpoint 3b-pt-448 --method qlora
    python -m training.finetune --data instances.json --task segment --epochs 10
    accelerate launch --num_processes 4 -m training.finetune --checkpoint 3b-pt-448 \\
        --data vqav2-small --checkpointing

What comes of it is in OUT: `adapter` (or `model`, of a full fine-tune) with a card, `merged` on
request. A run that was stopped goes on from its last state when the same command is given again,
and ends, on a CPU, with the weights that it would have had.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    HfArgumentParser,
    PaliGemmaProcessor,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)

from data import documents
from data.changes import Changes
from data.items import checked
from data.sources import read
from models.catalog.catalog import Catalog
from models.loading.device import memory_watched
from models.loading.loader import Loader, find_codec, local_codec
from models.loading.precision import resolve_precision
from models.schema import StatusEvent, UserError
from training.autocast import has_bf16_instructions
from training.finetune import adapt, card
from training.finetune.collate import Collator, Items, suffix_loss
from training.finetune.optimizers import check_optimizer
from training.finetune.options import Options
from training.finetune.pack import Packer, in_rows
from training.finetune.progress import Progress, Stopping
from training.finetune.states import check_state, last_state, step_of


def finetune(given: Options, catalog: Catalog, command: str = "") -> Path:
    """Run a fine-tune of a checkpoint of the catalog, or go on with it; the folder of what came of
    it.

    Under `accelerate launch` every process calls this, each on its own GPU.

    UserError where the options contradict each other, the data cannot be read, or the checkpoint
    cannot be had; all of that before a step is made. `command` is shown in the card.
    """
    checkpoint = catalog.find(given.checkpoint)
    given.check(checkpoint)
    options = given.settled(checkpoint)
    check_optimizer(options.optimizer)
    _check_push(options)
    arguments = training_arguments(options)
    resolve_precision(checkpoint, options.precision, arguments.device)
    device, is_first = arguments.device, arguments.process_index == 0
    arguments._n_gpu = min(arguments.n_gpu, 1)  # one a process: several are for `accelerate launch`
    tell = _tell if is_first else _keep_quiet
    folder = Loader(device).fetch(checkpoint, tell)
    codec = local_codec(checkpoint, folder)
    if options.task == "segment":  # whose masks have to be written as codes
        codec = find_codec(checkpoint, folder, tell)
    changes = Changes()
    items = read(options.source(codec), changes)
    if is_first and changes:
        print(f"{Path(options.data).name}: {changes}", flush=True)
    digest = checked(items)
    is_packed = options.pack > 1
    made = in_rows(items, options.pack) if is_packed else items
    if is_first:
        given.keep(digest, arguments.world_size)
    set_seed(options.seed)
    processor = PaliGemmaProcessor.from_pretrained(folder, local_files_only=True)
    model = adapt.prepare(options, checkpoint, folder, device)
    learnt, parameters = adapt.counts(model)
    at_once = options.batch * options.accumulate * arguments.world_size
    steps = _plan(options, arguments, len(made))
    what = f"{len(items):,} items" + (f" in {len(made):,} rows" if is_packed else "")
    about = f"{what}, {steps:,} steps of {at_once}; {learnt:,} of {parameters:,} learn"
    per_step = min(at_once, len(made)) * len(items) / len(made)
    arguments.logging_steps = min(options.log_steps, steps)  # so that there is a loss to state
    if is_first:
        print(about, flush=True)
    stopping = Stopping()
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=Items(made),
        data_collator=(Packer if is_packed else Collator)(processor, _dtype(model)),
        compute_loss_func=suffix_loss,
        callbacks=[Progress(per_step), stopping],
    )
    trainer.remove_callback(PrinterCallback)
    began = time.monotonic()
    out = options.folder / ("model" if options.method == "full" else "adapter")
    state = last_state(options.folder)
    is_made = state is not None and step_of(state) >= steps
    if state is not None and is_made and not out.exists():
        # The Trainer would make one step too many from the last state; so from the one before.
        shutil.rmtree(state, ignore_errors=True)
        state, is_made = last_state(options.folder), False
    if not is_made:
        if state is not None:
            check_state(state)
        # Several processes would not stop at the same step.
        watched = stopping.watching() if arguments.world_size == 1 else nullcontext()
        with memory_watched(_too_much), watched:
            trainer.train(resume_from_checkpoint=state)
        if stopping.is_wished and trainer.state.global_step < steps:
            raise KeyboardInterrupt
    if is_first and not is_made:
        losses = [each["loss"] for each in trainer.state.log_history if "loss" in each]
        outcome = card.Outcome(
            items=round((trainer.state.epoch or 0) * len(items)),
            steps=trainer.state.global_step,
            seconds=time.monotonic() - began,
            began_at=step_of(state) if state else 0,
            loss=losses[-1] if losses else float("nan"),
            learnt=learnt,
            parameters=parameters,
            peak_bytes=card.peak_bytes(device),
            machine=card.machine(device, arguments.world_size),
            computed=_computed(arguments, model),
        )
        aside = out.with_name(out.name + ".part")
        shutil.rmtree(aside, ignore_errors=True)
        adapt.save(model, processor, checkpoint, codec, aside)
        shown = replace(options, epochs=arguments.num_train_epochs)
        card.write(shown, checkpoint, outcome, aside, command)
        shutil.rmtree(out, ignore_errors=True)
        aside.rename(out)
    if is_first and options.merge:
        adapt.merge(out, processor, folder, codec, options.folder / "merged")
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.end_training()  # else a process that ends may abort
    if options.push and is_first:
        _push(options, out)
    return out


def training_arguments(options: Options) -> TrainingArguments:
    """What transformers' Trainer is told."""
    has_gpu = torch.cuda.is_available()
    has_bf16 = has_bf16_instructions(torch.device("cuda" if has_gpu else "cpu"))
    autocast = has_bf16 or has_gpu if options.autocast is None else options.autocast
    return TrainingArguments(
        output_dir=str(options.folder / "states"),
        max_steps=options.max_steps or -1,
        per_device_train_batch_size=options.batch,
        gradient_accumulation_steps=options.accumulate,
        learning_rate=options.rate,
        lr_scheduler_type=options.schedule,
        weight_decay=options.weight_decay,
        optim=options.optimizer,
        max_grad_norm=options.clip,
        seed=options.seed,
        data_seed=options.seed,
        bf16=autocast and (has_bf16 or not has_gpu),
        fp16=autocast and not has_bf16 and has_gpu,
        use_cpu=not has_gpu,
        dataloader_num_workers=options.workers,
        dataloader_pin_memory=has_gpu,
        save_strategy="steps",
        save_steps=options.save_steps,
        save_total_limit=2,
        logging_steps=options.log_steps,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,  # items are no rows of columns
        ddp_find_unused_parameters=False,
    )


def _plan(options: Options, arguments: TrainingArguments, rows: int) -> int:
    """Settle how often the data are gone through and how long the rate rises; the steps of all.

    Like the Trainer's, a part of a batch or of a step at the end of the data is one.
    """
    batches = math.ceil(math.ceil(rows / options.batch) / arguments.world_size)
    once = math.ceil(batches / options.accumulate)
    arguments.num_train_epochs = options.times(once)
    steps = options.max_steps or math.ceil(arguments.num_train_epochs * once)
    # In a short run it does not rise, as the first of such steps learns nothing.
    rising = options.warmup * steps
    arguments.warmup_steps = math.ceil(rising) if rising >= 1 else 0
    return steps


def _dtype(model: nn.Module) -> torch.dtype:
    """The format of the vision tower's first layer, which pictures must have."""
    names = (name for name in model.state_dict() if "patch_embedding.weight" in name)
    return model.state_dict()[next(names)].dtype


def _computed(arguments: TrainingArguments, model: nn.Module) -> str:
    """The format of products, in words."""
    if arguments.bf16 or arguments.fp16:
        return "bfloat16" if arguments.bf16 else "float16"
    return str(_dtype(model)).removeprefix("torch.")


def _tell(event: StatusEvent) -> None:
    print(event.message, flush=True)


def _too_much() -> UserError:
    return UserError(
        "There was not enough memory.",
        "Use a smaller --batch with --accumulate, --pack 1, --checkpointing or --method qlora, and "
        "another --out, as a run goes on only with the options that it began with.",
    )


def _keep_quiet(event: StatusEvent) -> None:
    """Several processes would say the same."""


def _check_push(options: Options) -> None:
    """UserError where a push could not work, before hours are spent."""
    if not options.push:
        return
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    try:
        HfApi().whoami()
    except (LocalTokenNotFoundError, HfHubHTTPError, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"The Hub does not know who pushes: {reason}",
            "Set HF_TOKEN to a token that may write.",
        ) from None


def _push(options: Options, out: Path) -> None:
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo(options.push, private=not options.public, exist_ok=True)
    api.upload_folder(repo_id=options.push, folder_path=out, commit_message="Add a fine-tune")
    print(f"Pushed to {options.push}", flush=True)


def main(given: Sequence[str] | None = None) -> int:
    """Command line; 2 where the options, the data or the checkpoint cannot be used."""
    given = sys.argv[1:] if given is None else given
    fields: Any = Options  # the types there take only what was made by `NewType`
    parser = HfArgumentParser(fields, description=__doc__.split("\n")[0])
    options, unknown = parser.parse_args_into_dataclasses(
        list(given), return_remaining_strings=True
    )
    if unknown:
        print(f"There is no option {unknown[0]}. See --help.", file=sys.stderr)
        return 2
    command = documents.command("training.finetune", given)
    try:
        out = finetune(options, Catalog.from_environment(os.environ), command)
    except UserError as error:
        # One of a process that reads pictures comes with that process's traceback before it.
        print(str(error).rpartition("UserError: ")[2].strip(), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        state = last_state(options.folder)
        after = f"goes on after step {step_of(state)}" if state else "begins anew"
        print(f"Stopped. The same command {after}.", file=sys.stderr)
        return 130
    print(f"The result is in {out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
