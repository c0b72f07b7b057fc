"""What a link to the page may carry, for the script that writes and reads links.

The script keeps to what is offered here; the handlers judge the rest, as they do what is typed.
"""

from __future__ import annotations

from typing import Any

from models.prompts.grammar import LANGUAGES, Task
from ui.choices import DEFAULT_DECODING, DEFAULT_PRECISION, NO_ADAPTER
from ui.model_handlers import ModelHandlers

# In the order of `ui.wiring._question`; "" is not carried by its own name.
NAMES = (
    *("", "task", "language", "question", "answer", "objects", "left", "top", "right", "bottom"),
    *("text", "", "", "", "precision", "adapter"),
    *("tokens", "temperature", "top_k", "top_p", "beams", "seed"),
)
BOX = (25, 25, 75, 75)  # percent of the picture, as the page begins


def about(model: ModelHandlers) -> dict[str, Any]:
    """Names and defaults of the fields in their order, the checkpoints by name as (size, variant,
    resolution), and, of fields with a list to choose from, what is offered."""
    first = model.backend.catalog.default_checkpoint
    return {
        "names": NAMES,
        "defaults": (
            *(None, str(Task.CAPTION), "en", "", "", "", *BOX, ""),
            *(first.size, first.variant, str(first.resolution)),
            *(DEFAULT_PRECISION, NO_ADAPTER, *DEFAULT_DECODING),
        ),
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
