"""What a link to the page may carry, for the script that writes and reads links.

The scripts keep to what is offered here and to the ranges of numbers, also in what they restore of
the history; the handlers judge the rest, as they do what is typed. That stays, where a page is
loaded again.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from models.prompts.grammar import LANGUAGES, Task
from ui.choices import (
    DECODING_RANGES,
    DEFAULT_BOX,
    DEFAULT_DECODING,
    DEFAULT_PRECISION,
    EDGE_RANGE,
    NO_ADAPTER,
)
from ui.model_handlers import ModelHandlers

# In the order of `ui.wiring._question`; "" is not carried by its own name.
NAMES = (
    *("", "task", "language", "question", "answer", "objects", "left", "top", "right", "bottom"),
    *("text", "", "", "", "precision", "adapter"),
    *("tokens", "temperature", "top_k", "top_p", "beams", "seed"),
    "",
)


def about(model: ModelHandlers) -> dict[str, Any]:
    """Names, defaults and ranges of the fields in their order, the checkpoints by name as (size,
    variant, resolution), and, of fields with a list to choose from, what is offered."""
    first = model.backend.catalog.default_checkpoint
    return {
        "names": NAMES,
        "defaults": (
            *(None, str(Task.CAPTION), "en", "", "", "", *DEFAULT_BOX, ""),
            *(first.size, first.variant, str(first.resolution)),
            *(DEFAULT_PRECISION, NO_ADAPTER, *DEFAULT_DECODING),
            (),
        ),
        "ranges": [
            *[None] * 6,
            *[asdict(EDGE_RANGE)] * 4,
            *[None] * 6,
            *(asdict(each) for each in DECODING_RANGES),
            None,
        ],
        "models": {
            each.name: (each.size, each.variant, str(each.resolution))
            for each in model.backend.catalog.checkpoints
        },
        "offered": {
            "task": [str(task) for task in Task],
            "language": list(LANGUAGES),
            "precision": [DEFAULT_PRECISION, *model.backend.precisions()],
        },
    }
