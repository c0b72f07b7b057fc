"""What happens when somebody chooses a model, a precision, an adapter or how to decode.

Each handler takes the fields' values and returns values or updates; it knows no layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from models.catalog.checkpoints import Checkpoint
from models.schema import UserError
from models.serving.backend import Backend
from models.serving.validation import gigabytes
from ui import markup
from ui.choices import (
    DEFAULT_DECODING,
    DEFAULT_PRECISION,
    NO_ADAPTER,
    PRECISION_NAMES,
    VARIANT_PURPOSES,
    adapter_choices,
    describe_settings,
    language_limit,
    readiness_words,
    settle,
    start,
    unknown_objects,
)

NANO_LIMIT = "for drawn scenes only"


class ModelHandlers:
    """Which model answers and how, over one backend."""

    def __init__(self, backend: Backend):
        self._backend, self._catalog = backend, backend.catalog

    @property
    def backend(self) -> Backend:
        """What is chosen from."""
        return self._backend

    def choose(
        self, size: str, variant: str, resolution: str, precision: str, adapter: str | None
    ) -> tuple[Any, ...]:
        """As `show`, after a visitor changed size, variant, resolution or precision.

        What stands as it was chosen is not sent back: the next choice may have been made since.
        """
        shown = self.show(size, variant, resolution, precision, adapter)
        return _without_chosen(shown, size, variant, resolution, adapter)

    def show(
        self, size: str, variant: str, resolution: str, precision: str, adapter: str | None
    ) -> tuple[Any, ...]:
        """Settle on a checkpoint that exists, nearest to this choice.

        An adapter of another checkpoint is taken off, which the notice says. Returns updates of
        (size, variant, resolution, adapter, notice, memory by precision, what nano knows).
        """
        checkpoint = settle(self._catalog, size, variant, resolution).checkpoint
        adapter = adapter or NO_ADAPTER
        removed = ""
        if not self._may_use(checkpoint.name, adapter):
            removed = f"The adapter {adapter} is not for {checkpoint.name} and was taken off."
            adapter = NO_ADAPTER
        return self._chosen(size, variant, resolution, precision, adapter, removed)

    def restore(
        self, size: str, variant: str, resolution: str, precision: str, adapter: str | None
    ) -> tuple[Any, ...]:
        """As `choose`, for what was asked before the page was loaded again.

        Nothing, where it is as at the start: a first choice made meanwhile must stand.
        """
        first = start(self._catalog).checkpoint
        as_at_start = (first.size, first.variant, str(first.resolution), DEFAULT_PRECISION, "")
        chosen = self.choose(size, variant, resolution, precision, adapter)
        if (size, variant, str(resolution), precision, adapter or NO_ADAPTER) == as_at_start:
            return (gr.skip(),) * len(chosen)
        return chosen

    def choose_adapter(
        self, size: str, variant: str, resolution: str, precision: str, adapter: str | None
    ) -> tuple[Any, ...]:
        """As `choose`, after an adapter was chosen or typed: an unknown one stays, and is named."""
        checkpoint = settle(self._catalog, size, variant, resolution).checkpoint
        adapter = (adapter or NO_ADAPTER).strip()
        unknown = ""
        if not self._may_use(checkpoint.name, adapter):
            known = ", ".join(("None", *self._backend.adapters(checkpoint.name)))
            unknown = f"{checkpoint.name} has no adapter {adapter!r}. Choose one of: {known}."
        shown = self._chosen(size, variant, resolution, precision, adapter, unknown)
        return _without_chosen(shown, size, variant, resolution, adapter)

    def _may_use(self, checkpoint: str, adapter: str) -> bool:
        known = (NO_ADAPTER, *self._backend.adapters(checkpoint))
        return adapter in known or self._catalog.any_adapter

    def _chosen(
        self,
        size: str,
        variant: str,
        resolution: str,
        precision: str,
        adapter: str,
        warning: str,
    ) -> tuple[Any, ...]:
        choice = settle(self._catalog, size, variant, resolution)
        checkpoint = choice.checkpoint
        adapters = self._backend.adapters(checkpoint.name)
        notice = markup.notice(warning, "warning") + self.notice(checkpoint.name, precision)
        return (
            checkpoint.size,
            gr.update(choices=list(choice.variants), value=checkpoint.variant),
            gr.update(choices=list(choice.resolutions), value=str(checkpoint.resolution)),
            gr.update(choices=adapter_choices(adapters), value=adapter),
            notice,
            self.needs(checkpoint.name),
            gr.update(visible=checkpoint.size == "nano"),
        )

    def notice(self, checkpoint: str, precision: str = DEFAULT_PRECISION) -> str:
        """What to know about a checkpoint before running it in a precision.

        What is missing; otherwise what its first use brings.
        """
        try:
            missing = self._backend.missing(checkpoint, precision or DEFAULT_PRECISION)
        except UserError as error:
            missing = str(error)
        if missing:
            return markup.notice(missing, "warning")
        return markup.notice(self._backend.notice(checkpoint) or "")

    def needs(self, checkpoint: str) -> str:
        """Parameters, download and, by precision, the memory of a checkpoint."""
        chosen = self._catalog.find(checkpoint)
        about = f"{markup.count(chosen.parameters)} parameters"
        if not chosen.is_local:
            about += f", {gigabytes(chosen.download_bytes)} to download"
        return markup.needs(about, self._backend.needs(checkpoint), PRECISION_NAMES)

    def settings(
        self,
        size: str,
        variant: str,
        resolution: str,
        precision: str,
        adapter: str | None,
        *decoding: float | UserError | None,
    ) -> tuple[str, dict[str, Any]]:
        """(What will answer, in a line; the update of the button that goes back to defaults)."""
        chosen = settle(self._catalog, size, variant, resolution).checkpoint
        changed = describe_settings(precision, adapter or "", decoding)
        is_default = not changed and chosen == start(self._catalog).checkpoint
        return self.state(chosen, precision, changed), gr.update(visible=not is_default)

    def state(
        self,
        checkpoint: Checkpoint,
        precision: str | None = DEFAULT_PRECISION,
        changed: Sequence[str] = (),
    ) -> str:
        """A line: the checkpoint, how ready it is and for what, and what else was `changed`."""
        found = self._backend.readiness(checkpoint.name, precision or DEFAULT_PRECISION)
        purpose = VARIANT_PURPOSES.get(checkpoint.variant)
        if checkpoint.size == "nano":
            purpose = NANO_LIMIT
        words = ", ".join(each for each in (readiness_words(found), purpose) if each)
        return markup.settings(checkpoint.name, found.state, words, changed)

    def reset(self) -> tuple[Any, ...]:
        """Back to defaults: (precision, the six of decoding) and then what `show` returns."""
        first = start(self._catalog).checkpoint
        chosen = self.show(
            first.size, first.variant, str(first.resolution), DEFAULT_PRECISION, NO_ADAPTER
        )
        return DEFAULT_PRECISION, *DEFAULT_DECODING, *chosen

    def limits(
        self,
        size: str,
        variant: str,
        adapter: str | None,
        task: str,
        language: str,
        objects: str,
    ) -> str:
        """What to know above Run: a language or an object that the model does not know."""
        limit = language_limit(size, task, language)
        limit = limit or unknown_objects(size, variant, adapter, task, objects)
        return markup.notice(limit, "warning")


def _without_chosen(
    shown: tuple[Any, ...], size: str, variant: str, resolution: str, adapter: str | None
) -> tuple[Any, ...]:
    """What `show` returned, without the values that were chosen so."""
    shown_size, *pickers, notice, needs, knowledge = shown
    for picker, chosen in zip(pickers, (variant, resolution, adapter or NO_ADAPTER), strict=True):
        if picker["value"] == chosen:
            del picker["value"]
    kept_size = gr.skip() if shown_size == size else shown_size
    return kept_size, *pickers, notice, needs, knowledge
