"""The model of a request by its name: `nano-224`, or `nano-224+easy-vqa` with an adapter."""

from __future__ import annotations

from dataclasses import dataclass

from api.errors import ApiError
from models.catalog.checkpoints import Checkpoint
from models.schema import UserError
from models.serving.backend import Backend

LONGEST_NAME = 200  # characters


@dataclass(frozen=True)
class Choice:
    """A checkpoint that can be used here, and the name of one of its adapters or None."""

    checkpoint: Checkpoint
    adapter: str | None

    @property
    def name(self) -> str:
        """As it stands in `model`."""
        return self.checkpoint.name + (f"+{self.adapter}" if self.adapter else "")


def choose(
    backend: Backend, model: str | None, adapter: str | None = None, precision: str = "auto"
) -> Choice:
    """What `model` names, None being the default; ApiError 404 where there is none such, 503 where
    it cannot be used here."""
    name, _, given = (model or backend.catalog.default).partition("+")
    if given and adapter and given != adapter:
        raise ApiError(
            400,
            f"model names the adapter {given}, and adapter is {adapter}. Name one.",
            param="adapter",
        )
    adapter = given or adapter or None
    try:
        checkpoint = backend.catalog.find(name)
        if adapter is not None:
            backend.catalog.find_adapter(checkpoint, adapter)
    except UserError as error:
        raise ApiError(404, str(error), param="model", code="model_not_found") from None
    missing = backend.missing(checkpoint.name, precision)
    if missing:
        raise ApiError(503, missing, param="model", code="model_unavailable")
    return Choice(checkpoint, adapter)


def offered(backend: Backend) -> list[Choice]:
    """All that can be used here, the default first."""
    catalog = backend.catalog
    first = catalog.default_checkpoint
    checkpoints = [first, *(each for each in catalog.checkpoints if each != first)]
    found = []
    for checkpoint in checkpoints:
        if backend.missing(checkpoint.name) is None:
            adapters = backend.adapters(checkpoint.name)
            found += [Choice(checkpoint, each) for each in (None, *adapters)]
    return found
