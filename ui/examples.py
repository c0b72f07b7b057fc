"""The examples on the page, read from `examples/examples.json`.

Each entry has "image" (a file beside the JSON), "prompt" and "expect", and may name "checkpoint",
"adapter" and "title". What the page's fields must hold is read from the prompt itself.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from models.catalog.catalog import Catalog
from models.catalog.checkpoints import Checkpoint
from models.prompts.grammar import ParsedPrompt, parse

FOLDER = Path(__file__).parent.parent / "examples"
DEFAULT_CHECKPOINT = "nano-224"


@dataclass(frozen=True)
class Example:
    """One picture with a prompt that a click fills in and runs; `expect` says what should come."""

    image: Path
    prompt: str
    parsed: ParsedPrompt
    expect: str
    checkpoint: Checkpoint
    adapter: str | None
    title: str


def read_examples(catalog: Catalog, folder: Path = FOLDER) -> tuple[Example, ...]:
    """The examples of a folder, none where it has no examples.json.

    Raises UserError for a prompt that is none, or a checkpoint or adapter that is not in the
    catalog, and FileNotFoundError for a missing picture: a broken example must not reach the page.
    """
    index = folder / "examples.json"
    if not index.exists():
        return ()
    return tuple(_example(catalog, folder, entry) for entry in json.loads(index.read_text("utf-8")))


def _example(catalog: Catalog, folder: Path, entry: dict[str, str]) -> Example:
    image = folder / entry["image"]
    if not image.is_file():
        raise FileNotFoundError(f"{image}, named in examples.json, does not exist")
    prompt, adapter = entry["prompt"], entry.get("adapter")
    checkpoint = catalog.find(entry.get("checkpoint", DEFAULT_CHECKPOINT))
    if adapter:
        catalog.find_adapter(checkpoint, adapter)
    return Example(
        image=image,
        prompt=prompt,
        parsed=parse(prompt),
        expect=entry.get("expect", ""),
        checkpoint=checkpoint,
        adapter=adapter,
        title=entry.get("title") or re.sub(r"(<loc\d{4}>){4}", "(a box)", prompt),
    )
