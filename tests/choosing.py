"""Names as tests write them -> the values that loading and answering take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from models.catalog.adapter import Adapter
from models.catalog.catalog import Catalog
from models.catalog.checkpoints import NANO, Checkpoint
from models.catalog.model_key import ModelKey
from models.engine.engine import generate
from models.engine.inputs import prepare
from models.engine.sequence import Finished
from models.hub import adapters
from models.hub.adapters import Selection
from models.loading.loader import LoadedModel, Loader
from models.schema import Request, Result, TokenEvent
from models.serving.backend import Backend, Event


def nano_in(folder: Path) -> Checkpoint:
    """nano with its weights, and its adapters, in another folder."""
    return replace(NANO, path=folder)


def beside_nano(folder: Path) -> Path:
    """A new folder of nano's files, as links, in `folder`: for adapters beside them."""
    root = folder / NANO.name
    (root / "adapters").mkdir(parents=True)
    assert NANO.path is not None
    for each in NANO.path.iterdir():
        if each.is_file():
            (root / each.name).symlink_to(each)
    return root


def load(precision: str = "fp32", checkpoint: Checkpoint = NANO) -> LoadedModel:
    """A model of the caller's own on the CPU: nano unless told otherwise."""
    return Loader(torch.device("cpu")).load(ModelKey(checkpoint, precision))


def adapter_of(loaded: LoadedModel, name: str | None) -> Adapter | None:
    """The adapter that a model's checkpoint has under a name."""
    return None if name is None else Catalog().find_adapter(loaded.checkpoint, name)


def select(loaded: LoadedModel, name: str | None) -> Selection:
    """Make a model answer with an adapter of its checkpoint, or with none."""
    return adapters.select(loaded.model, loaded.checkpoint, adapter_of(loaded, name))


def answer(loaded: LoadedModel, request: Request) -> Iterator[TokenEvent | Finished]:
    """As `generate`, with the adapter that the request names."""
    return generate(loaded, request, adapter=adapter_of(loaded, request.adapter))


@torch.inference_mode()
def generated(loaded: LoadedModel, request: Request) -> tuple[list[int], list[torch.Tensor]]:
    """The ids of `generate` with what is selected, and the logits (vocabulary,) of each."""
    inputs = prepare(loaded, request.image, request.prompt)
    output = loaded.model.generate(
        **inputs,
        max_new_tokens=request.decoding.max_new_tokens,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
    )
    ids = output.sequences[0, inputs["input_ids"].shape[1] :].tolist()
    return ids, [each[0].float() for each in output.logits]


def answer_of(backend: Backend, request: Request) -> tuple[list[Event], Result]:
    """A backend's events but the last, and the Result that the last has to be."""
    *events, result = backend.answer(request)
    assert isinstance(result, Result)
    return events, result
