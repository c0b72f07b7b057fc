"""What a model is fine-tuned on or asked about: pictures with a prefix, a suffix and what is true.

A `Source` names where items come from; `read` gives them, pictures unopened:

- `easy-vqa`, the questions of the package of that name from PyPI;
- a `.jsonl` file, a line an item: {"image", "prefix", "suffix"}, the image relative to the file;
- a `.json` file, annotations in COCO's format (`data.coco`);
- anything else is a dataset of the Hugging Face Hub by its id, or a folder of parquet, JSON or CSV
  that `datasets` can read, with columns named in the source; `PRESETS` has some by a short name.

This module knows no tokenizer and no model.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np

from data import coco
from data.changes import Changes
from data.finder import Finder
from data.items import Item, check
from models.prompts import grammar
from models.schema import UserError

COCO_TASKS = ("detect", "segment")
SPLIT_SEED = 42
MOST_NEGATIVES = 100  # questions about absent kinds for each about one that is there


@dataclass(frozen=True)
class Source:
    """Where items come from.

    `name` is as the module's docstring says; `split` belongs to datasets that have several. `half`,
    "first" or "second", takes one half of it in an order of its own. To COCO files belong: `task`,
    of COCO_TASKS; `images`, a folder (the annotations' own where None); `codec`, the file of the
    mask codec of the checkpoint (nano's where None); `negatives`, how many questions about absent
    kinds there are for each about one that is there; and `prompt`, of `data.coco.PROMPTS`. The
    other fields are columns of a Hub dataset: the prefix is `template` with the row's values in
    braces, the suffix the `answer` column, where several answers are listed the commonest. `limit`
    takes so many items from the beginning, 0 all.
    """

    name: str
    split: str = "train"
    half: str = ""
    task: str = "detect"
    images: Path | None = None
    codec: Path | None = None
    negatives: float = 0.0
    prompt: str = "each"
    image: str = "image"
    template: str = "answer en {question}"
    answer: str = "answer"
    limit: int = 0


# The announcement's fine-tune saw one half of the validation questions of this small VQAv2.
PRESETS = {
    "vqav2-small": Source(
        "merve/vqav2-small", "validation", half="first", answer="multiple_choice_answer"
    ),
    "vqav2-small-rest": Source(
        "merve/vqav2-small", "validation", half="second", answer="multiple_choice_answer"
    ),
    "vqav2": Source("HuggingFaceM4/VQAv2", "validation", answer="answers"),
    "textvqa": Source("facebook/textvqa", "validation", answer="answers"),
    "docci": Source("google/docci", "test", template="describe en", answer="description"),
}


def source(name: str, **given: Any) -> Source:
    """The source of a name or of a preset's, with the fields of `given` that are not None."""
    found = PRESETS.get(name, Source(name))
    return replace(found, **{key: value for key, value in given.items() if value is not None})


def has_columns(name: str) -> bool:
    """Whether data of a name are a dataset, whose columns have names."""
    return name != "easy-vqa" and not name.endswith((".json", ".jsonl"))


def refused(name: str, **given: Any) -> list[tuple[str, str]]:
    """Each thing that was `given` in vain or wrongly for data of a name, and what to do.

    `given` are options by the names that commands have, None where they were not given.
    """
    is_coco, is_file = name.endswith(".json"), name.endswith((".json", ".jsonl"))
    in_vain = {
        "task": ("a COCO file", not is_coco),
        "images": ("a COCO file", not is_coco),
        "negatives": ("a COCO file", not is_coco),
        "prompt": ("a COCO file", not is_coco),
        "split": (f"datasets, and {Path(name).name} is all of its items", is_file),
    }
    for each in ("image_column", "answer_column", "template"):
        in_vain[each] = (f"datasets with columns, and {name} has none", not has_columns(name))
    found = [
        (f"--{option} belongs to {whose}.", "Leave it out.")
        for option, (whose, is_vain) in in_vain.items()
        if is_vain and given.get(option) is not None
    ]
    if is_coco and given.get("task") not in (None, *COCO_TASKS):
        found.append((f"The task is {given['task']!r}.", f"Choose one of {', '.join(COCO_TASKS)}."))
    if is_coco and given.get("prompt") not in (None, *coco.PROMPTS):
        found.append(
            (f"The prompt is {given['prompt']!r}.", f"Choose one of {', '.join(coco.PROMPTS)}.")
        )
    if is_coco and not 0 <= (given.get("negatives") or 0) <= MOST_NEGATIVES:
        found.append((f"--negatives is {given['negatives']}.", f"It may be 0 to {MOST_NEGATIVES}."))
    if given.get("half") not in (None, "", "first", "second"):
        found.append((f"There is no half {given['half']!r}.", "Choose first or second."))
    return found


def read(source: Source, changes: Changes | None = None) -> Sequence[Item]:
    """The items of a source; UserError saying what is wrong with it.

    What was merged, cut or left out of a file is counted in `changes`.
    """
    is_coco = source.name.endswith(".json")
    wanted: dict[str, Any] = {}
    if is_coco:  # of others these say nothing
        wanted = {"task": source.task, "prompt": source.prompt, "negatives": source.negatives}
    changes = Changes() if changes is None else changes
    for problem, remedy in refused(source.name, half=source.half, **wanted):
        raise UserError(problem, remedy)
    items: Sequence[Item]
    if source.name == "easy-vqa":
        items = _easy_vqa(source.split)
    elif source.name.endswith(".jsonl"):
        items = _jsonl(Path(source.name), changes)
    elif is_coco:
        asked = coco.Wanted(source.task == "segment", source.negatives, source.prompt)
        items = coco.read(Path(source.name), source.images, asked, source.codec, changes)
    else:
        items = _dataset(source)
    if source.half:
        order = np.random.default_rng(SPLIT_SEED).permutation(len(items))
        middle = len(items) // 2
        chosen = order[:middle] if source.half == "first" else order[middle:]
        items = _Some(items, tuple(int(i) for i in chosen))
    if source.limit:
        items = _Some(items, tuple(range(min(source.limit, len(items)))))
    if not len(items):
        raise UserError(f"{source.name} has no items.", "Check its split and its contents.")
    return items


class _Items(Sequence[Item]):
    """Items that are made when they are asked for."""

    @abstractmethod
    def item(self, index: int) -> Item:
        """One of them; IndexError where there is none."""

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...

    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self.item(each) for each in range(*index.indices(len(self)))]
        return self.item(index)


@dataclass(frozen=True)
class _Some(_Items):
    """Some of the items, in an order."""

    items: Sequence[Item]
    chosen: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.chosen)

    def item(self, index: int) -> Item:
        """The item at a place of the order."""
        return self.items[self.chosen[index]]


# easy-VQA


def _easy_vqa(split: str) -> list[Item]:
    try:
        import easy_vqa
    except ImportError:
        raise UserError(
            "The package easy-vqa is not installed.", "pip install -r training/requirements.txt"
        ) from None
    if split not in ("train", "test"):
        raise UserError(f"easy-vqa has no split {split!r}.", "Choose train or test.")
    is_train = split == "train"
    asked = easy_vqa.get_train_questions() if is_train else easy_vqa.get_test_questions()
    paths = easy_vqa.get_train_image_paths() if is_train else easy_vqa.get_test_image_paths()
    return [
        Item(Path(paths[image]), f"answer en {question}", answer, (answer,))
        for question, answer, image in zip(*asked, strict=True)
    ]


# Files


def _jsonl(file: Path, changes: Changes) -> list[Item]:
    try:
        lines = file.read_text("utf-8-sig").split("\n")
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.", "Check the path.") from None
    except UnicodeDecodeError:
        raise UserError(f"{file} is not in UTF-8.", "Save it in that encoding.") from None
    items = []
    finder = Finder(file, None, changes)
    said: dict[tuple[Path, str], tuple[int, str]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            image, prefix, suffix = (entry[key] for key in ("image", "prefix", "suffix"))
            answers = tuple(entry.get("answers", [suffix]))
            if not all(isinstance(each, str) for each in (image, prefix, suffix, *answers)):
                raise TypeError("not a text")
        except (ValueError, KeyError, TypeError, RecursionError):
            raise UserError(
                f"Line {number} of {file} is no item.",
                'Write {"image": "a.jpg", "prefix": "answer en what?", "suffix": "that"}.',
            ) from None
        try:
            path = finder.find(image)
            item = Item(path, grammar.normalize(prefix), suffix, answers)
            check(item)
        except UserError as error:
            raise UserError(f"Line {number} of {file}: {error.problem}", error.remedy) from None
        if grammar.yields_boxes(grammar.parse(item.prefix).task):
            first, other = said.setdefault((path, item.prefix), (number, item.suffix))
            if other != item.suffix:
                raise UserError(
                    f"Lines {first} and {number} of {file} ask {path.name} for the same objects, "
                    "and differ in the answer.",
                    "Write all objects of a prompt in one line.",
                )
        items.append(item)
    return items


# Datasets

_TEMPLATES = "Write columns in braces, such as 'answer en {question}'."


@dataclass(frozen=True)
class _Rows(_Items):
    """Rows of a Hugging Face dataset as items; a row is decoded when its picture is opened."""

    rows: Any  # datasets.Dataset
    texts: Any  # the same without its pictures, so that reading a text decodes none
    source: Source

    def __len__(self) -> int:
        return len(self.rows)

    def item(self, index: int) -> Item:
        """The item of a row."""
        row = self.texts[index]
        answers = _answers(row[self.source.answer])
        return Item(
            partial(_picture, self.rows, index, self.source.image),
            grammar.normalize(self.source.template.format_map(row)),
            Counter(answers).most_common(1)[0][0],
            answers,
        )


def _picture(rows: Any, index: int, column: str) -> Path | bytes:
    """What is to be opened as an upload is: the file as it was put into the dataset."""
    found = rows[index][column]
    if isinstance(found, dict):
        found = found["bytes"] or found["path"]
    if not found:
        raise UserError(f"Row {index + 1} of the dataset has no picture.", "Take it out.")
    return Path(found) if isinstance(found, str) else found


def _answers(value: Any) -> tuple[str, ...]:
    """A text, a list of texts, or VQAv2's list of {"answer": text}."""
    values = value if isinstance(value, list) else [value]
    found = [v["answer"] if isinstance(v, Mapping) else v for v in values]
    return tuple(str(each) for each in found if each is not None) or ("",)


def _dataset(source: Source) -> _Rows:
    try:
        import datasets
    except ImportError:
        raise UserError(
            "The package datasets is not installed.", "pip install -r training/requirements.txt"
        ) from None
    try:
        rows = datasets.load_dataset(source.name, split=source.split)
    except Exception as error:  # it raises whatever the Hub, the disk or the format does
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"The dataset {source.name}, split {source.split}, cannot be read: {reason}",
            "Check its id, its split, HF_TOKEN where it is gated, and the network.",
        ) from error
    missing = sorted({source.image, source.answer, *_fields(source.template)} - {*rows.features})
    if missing:
        raise UserError(
            f"The dataset {source.name} has no column {', '.join(missing)}.",
            f"It has {', '.join(rows.features)}.",
        )
    kind = rows.features[source.image]
    if isinstance(kind, datasets.Image):
        rows = rows.cast_column(source.image, datasets.Image(decode=False))
    elif getattr(kind, "dtype", "") not in ("string", "large_string", "binary", "large_binary"):
        raise UserError(
            f"The column {source.image} of {source.name} has no pictures.",
            "Name another with --image_column.",
        )
    return _Rows(rows, rows.remove_columns(source.image), source)


def _fields(template: str) -> set[str]:
    """The columns that a template names in braces."""
    from string import Formatter

    try:
        parts = [(name, how) for _, name, how, _ in Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise UserError(f"{template!r} is no template: {error}.", _TEMPLATES) from None
    if any(how or not name for name, how in parts):
        raise UserError(f"{template!r} has braces without the name of a column.", _TEMPLATES)
    return {name for name, _ in parts}
