"""The options of a fine-tune, each once, with its unit; contradictions are refused at the start.

This module knows neither torch nor what the options do.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from data.sources import Source, has_columns, refused, source
from models.catalog.checkpoints import Checkpoint
from models.schema import UserError

METHODS = ("lora", "qlora", "full")
EASY_VQA_EPOCHS = 2.0
NEGATIVES = 1.0  # for each question about what is there
FEWEST_STEPS = 100  # where no epochs are given
PARTS = ("vision_tower", "projector", "language_model")
FILE = "options.json"
# What may differ when a run goes on: nothing that changes the weights it ends with.
_MAY_DIFFER = frozenset("merge push public out save_steps log_steps workers".split())


def _option(default: Any, told: str) -> Any:
    return field(default=default, metadata={"help": told})


@dataclass(frozen=True)
class Options:
    """What `training.finetune` is told; the names are those of its command line."""

    checkpoint: str = _option("nano-224", "a name of the catalog")
    method: Literal["lora", "qlora", "full"] = _option(
        "lora", "lora; qlora on a base in 4 bits (nf4); full: all weights that are not frozen"
    )
    data: str = _option("easy-vqa", "easy-vqa, FILE.jsonl, a COCO FILE.json, a preset or Hub id")
    out: str = _option("", "folder for states and result; runs/METHOD-DATA where empty")

    split: str | None = _option(None, "split of the data")
    half: str | None = _option(None, "first or second: one half of the split")
    task: str | None = _option(None, "of a COCO file: detect or segment")
    images: str | None = _option(None, "folder of a COCO file's pictures; its own by default")
    negatives: float | None = _option(
        None,
        "of a COCO file: questions about kinds that a picture lacks, for each about one that it "
        "has; 1 where the file allows, 0: none",
    )
    prompt: str | None = _option(
        None, "of a COCO file: each kind by itself, or all of the file in one prompt"
    )
    image_column: str | None = _option(None, "of a Hub dataset")
    answer_column: str | None = _option(None, "of a Hub dataset; the commonest of several is taken")
    template: str | None = _option(None, "prefix with columns in braces: 'answer en {question}'")
    limit: int = _option(0, "items, from the beginning; 0: all")

    freeze: list[str] = field(
        default_factory=list,
        metadata={"help": "parts that stay as they are: vision_tower projector language_model"},
    )
    rank: int = _option(0, "of the LoRA matrices; 0: 16 for nano, else 8")
    alpha: float = _option(0.0, "of LoRA, whose updates count alpha / rank; 0: as the rank")
    dropout: float = _option(0.0, "of LoRA, 0 to 0.9")

    pack: int = _option(
        0,
        "most questions about a picture in a row that looks at it once; 0: 16 for nano "
        "on JSONL and easy-vqa, else 1",
    )
    epochs: float = _option(
        0.0, "times through the data; 0: 2 of easy-vqa, of others 1, or as many as make 100 steps"
    )
    max_steps: int = _option(0, "steps, whatever the epochs say; 0: all of the epochs")
    batch: int = _option(0, "rows at once on a device; 0: 16, or 4 where they are packed")
    accumulate: int = _option(1, "batches per step")
    rate: float = _option(
        0.0, "highest learning rate; 0: 2e-4 for LoRA (nano 2e-3), 2e-5 for full (nano 3e-4)"
    )
    warmup: float = _option(0.05, "share of the steps in which the rate rises, 0 to 0.99")
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = _option(
        "cosine", "how the rate falls"
    )
    weight_decay: float = _option(0.0, "of AdamW")
    optimizer: str = _option("adamw_torch", "a name of transformers' optimizers")
    clip: float = _option(1.0, "largest norm of the gradient")
    seed: int = _option(0, "of the order of the data and of new matrices")

    precision: Literal["auto", "fp32", "bf16", "fp16"] = _option(
        "auto", "format of weights that do not learn; those that do are float32"
    )
    autocast: bool | None = _option(
        None,
        "compute in bfloat16, on a GPU without it in float16; by default on GPUs and on CPUs with "
        "instructions for bfloat16; --autocast false: in the precision of the weights",
    )
    checkpointing: bool = _option(False, "compute activations twice: less memory, slower")
    workers: int = _option(0, "processes that read pictures")

    save_steps: int = _option(200, "steps between states that a stopped run goes on from")
    log_steps: int = _option(20, "steps between lines of progress")
    merge: bool = _option(False, "also write the base with the adapter merged into it")
    push: str = _option("", "owner/name on the Hub to put the result at; needs HF_TOKEN")
    public: bool = _option(False, "push where everybody can read it")

    @property
    def folder(self) -> Path:
        """Where states and result go."""
        return Path(self.out or f"runs/{self.method}-{Path(self.data).stem}")

    def settled(self, checkpoint: Checkpoint) -> Options:
        """With what was left to the size, method and data filled in: negatives, rank,
        alpha, rate, pack and batch. `checkpoint` is the one that is named."""
        is_nano, is_full = checkpoint.size == "nano", self.method == "full"
        rank = self.rank if is_full else self.rank or (16 if is_nano else 8)
        rates = (3e-4, 2e-5) if is_full else (2e-3, 2e-4)
        is_short = self.data == "easy-vqa" or self.data.endswith(".jsonl")
        pack = self.pack or (16 if is_short and is_nano else 1)
        is_coco = self.data.endswith(".json")
        return dataclasses.replace(
            self,
            negatives=NEGATIVES if self.negatives is None and is_coco else self.negatives,
            rank=rank,
            alpha=self.alpha or float(rank),
            rate=self.rate or rates[0 if is_nano else 1],
            pack=pack,
            batch=self.batch or (16 if pack == 1 else 4),
        )

    @property
    def is_hub(self) -> bool:
        """Whether the data are a dataset with columns."""
        return has_columns(self.data)

    def times(self, steps: int) -> float:
        """Times through data that are `steps` steps: the given ones, or what suits them."""
        usual = EASY_VQA_EPOCHS if self.data == "easy-vqa" else 1.0
        return self.epochs or max(usual, float(math.ceil(FEWEST_STEPS / steps)))

    def source(self, codec: Path | None = None) -> Source:
        """The data; `codec` is the file of the checkpoint's mask codec."""
        return source(
            self.data,
            split=self.split,
            half=self.half,
            task=self.task,
            images=Path(self.images) if self.images else None,
            negatives=self.negatives,
            prompt=self.prompt,
            codec=codec,
            image=self.image_column,
            answer=self.answer_column,
            template=self.template,
            limit=self.limit or None,
        )

    def check(self, checkpoint: Checkpoint) -> None:
        """UserError for a value out of range or two that contradict each other, or the checkpoint
        that is named."""
        for problem, remedy in self._problems(checkpoint):
            raise UserError(problem, remedy)

    def _problems(self, checkpoint: Checkpoint) -> list[tuple[str, str]]:
        found = []

        def refuse(when: bool, problem: str, remedy: str) -> None:
            if when:
                found.append((problem, remedy))

        is_full = self.method == "full"
        refuse(
            self.method not in METHODS,
            f"There is no method {self.method!r}.",
            f"Choose one of {', '.join(METHODS)}.",
        )
        unknown = sorted({*self.freeze} - {*PARTS})
        refuse(
            bool(unknown),
            f"There is no part {', '.join(unknown)} to freeze.",
            f"Choose of {', '.join(PARTS)}.",
        )
        refuse({*self.freeze} >= {*PARTS}, "Every part is frozen.", "Leave one to learn.")
        refuse(
            is_full and bool(self.merge),
            "A full fine-tune has no adapter to merge.",
            "Leave out --merge; the result is a whole checkpoint.",
        )
        refuse(
            is_full and (self.rank != 0 or self.alpha != 0 or self.dropout != 0),
            "Rank, alpha and dropout belong to LoRA, and full has none.",
            "Leave them out, or use --method lora.",
        )
        refuse(
            self.method == "qlora" and self.precision != "auto",
            f"QLoRA keeps its base in 4 bits, not in {self.precision}.",
            "Leave out --precision, or use --method lora.",
        )
        refuse(
            is_full and self.precision in ("bf16", "fp16"),
            f"Weights that learn are kept in float32, and a full fine-tune keeps all of them so; "
            f"{self.precision} would lose small steps.",
            "Leave out --precision; --autocast computes in 16 bits.",
        )
        found += refused(
            self.data,
            split=self.split,
            half=self.half,
            task=self.task,
            images=self.images,
            negatives=self.negatives,
            prompt=self.prompt,
            image_column=self.image_column,
            answer_column=self.answer_column,
            template=self.template,
        )
        refuse(
            self.pack > 1 and self.is_hub,
            "Pictures of a dataset have no names by which to see that they are the same.",
            "Leave out --pack.",
        )
        refuse(
            self.pack > 1 and checkpoint.resolution == 896,
            "A picture of 896 pixels fills the 4,096 tokens that every second layer looks back.",
            "Leave out --pack.",
        )
        refuse(
            self.public and not self.push, "--public says how to push.", "Add --push owner/name."
        )
        refuse(
            bool(self.push) and self.push.count("/") != 1,
            f"{self.push!r} is no place on the Hub.",
            "Write owner/name.",
        )
        found += self._out_of_range()
        return found

    def _out_of_range(self) -> list[tuple[str, str]]:
        ranges = {
            "rank": (0, 256),
            "alpha": (0, 1000),
            "dropout": (0, 0.9),
            "epochs": (0, 1000),
            "max_steps": (0, 10**9),
            "batch": (0, 4096),
            "pack": (0, 256),
            "accumulate": (1, 4096),
            "rate": (0, 1),
            "warmup": (0, 0.99),
            "weight_decay": (0, 1),
            "clip": (0.0001, 1000),
            "limit": (0, 10**9),
            "workers": (0, 64),
            "seed": (0, 2**32 - 1),
            "save_steps": (1, 10**9),
            "log_steps": (1, 10**9),
        }
        return [
            (f"--{name} is {getattr(self, name)}.", f"It may be {low} to {high}.")
            for name, (low, high) in ranges.items()
            if not low <= getattr(self, name) <= high
        ]

    def keep(self, items: str = "", processes: int = 1) -> None:
        """Write the options beside the states, with a digest of the items and over how many
        processes a step is divided.

        UserError where the folder has the run of others or cannot be written.
        """
        try:
            self._keep({"items": items, "processes": processes})
        except OSError as error:
            raise UserError(
                f"{self.folder} cannot be written: {error.strerror}.", "Give another --out."
            ) from None

    def _keep(self, run: dict[str, Any]) -> None:
        file = self.folder / FILE
        mine = dataclasses.asdict(self) | run
        if file.exists():
            try:
                other = dict(json.loads(file.read_text("utf-8")))
            except (ValueError, TypeError):
                raise UserError(
                    f"{file} is damaged.", "Give another --out, or remove that folder."
                ) from None
            differing = sorted(key for key, value in mine.items() if other.get(key) != value)
            differing = [key for key in differing if key not in _MAY_DIFFER]
            if differing:
                raise UserError(
                    f"{self.folder} has a run with other {', '.join(differing)}.",
                    "Give another --out, or remove that folder.",
                )
        self.folder.mkdir(parents=True, exist_ok=True)
        aside = file.with_suffix(".part")
        aside.write_text(json.dumps(mine, indent=1) + "\n", "utf-8")
        aside.replace(file)  # whole, or not there
