"""The frozen types that cross a boundary between the page, the service and the engine.

This module knows nothing of torch, of transformers or of the page. Coordinates carry their frame
in their name: `box_yxyx_norm` is (y_min, x_min, y_max, x_max) as fractions of the image in [0, 1],
`box_xyxy_px` is (x_min, y_min, x_max, y_max) in pixels of the original image.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

FINISH_REASONS = ("eos", "length", "cancelled", "deadline")
LONGEST_QUOTE = 40  # characters of a value that a sentence repeats


class UserError(Exception):
    """A failure that the person who asked can understand and act on: one sentence and a remedy."""

    def __init__(self, problem: str, remedy: str = ""):
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem} {remedy}".strip())


class Busy(UserError):
    """A refusal that has nothing to do with what was asked: too many others wait already."""


def quoted(value: Any) -> str:
    """A value of a JSON request for a sentence: as its sender wrote it, cut at LONGEST_QUOTE."""
    try:
        written = json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):  # an integer of more digits than Python writes
        return "a value too long to repeat"
    written = written.encode("utf-8", "backslashreplace").decode()
    return written if len(written) <= LONGEST_QUOTE else f"{written[:LONGEST_QUOTE]} …"


@dataclass(frozen=True)
class Decoding:
    """How the next token is chosen. `temperature` 0 is greedy; `top_k` 0 and `top_p` 1 are off."""

    max_new_tokens: int = 128
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    num_beams: int = 1
    seed: int = 0


@dataclass(frozen=True)
class Request:
    """One question about one image, or about several.

    `image` is RGB, already made safe (see `models.images`); `more_images` are the further ones of a
    prompt with several, in order. `prompt` is the prefix without `<image>`, BOS or newline, exactly
    as the processor shall get it, which puts an `<image>` per image before it; `checkpoint` is a
    catalog name such as "nano-224"; `precision` is "auto" or one of `catalog.memory.PRECISIONS`.
    `deadline_s` None allows as long as this choice may take. `full_size` is the (width, height) in
    pixels that boxes and masks of the result refer to, where `image` is a smaller copy of the
    picture (of the first, where there are several); None is the size of `image`. Where
    `is_streamed` is False nobody reads the tokens as they come, so others may join before they do.
    `answer_ids` are the tokens of an answer that was given: where they are set, nothing is written,
    and an Explanation comes instead of a Result.
    """

    image: Image.Image
    prompt: str
    checkpoint: str = "nano-224"
    precision: str = "auto"
    adapter: str | None = None
    decoding: Decoding = field(default_factory=Decoding)
    deadline_s: float | None = None
    full_size: tuple[int, int] | None = None
    is_streamed: bool = True
    answer_ids: tuple[int, ...] | None = None
    more_images: tuple[Image.Image, ...] = ()

    @property
    def images(self) -> tuple[Image.Image, ...]:
        """All images of the prompt, in order."""
        return (self.image, *self.more_images)


@dataclass(frozen=True)
class StatusEvent:
    """What is going on before the first token, in words for the person who waits.

    `share` is how much of a download is here, 0 to 1; None where it is not known or none runs.
    """

    message: str
    share: float | None = None


Status = Callable[[StatusEvent], None]  # takes what is going on; what it raises ends that


@dataclass(frozen=True)
class Need:
    """Bytes of memory that a checkpoint takes in a precision, and whether this machine has them."""

    precision: str
    bytes: int
    fits: bool


READINESS = ("ready", "loads", "downloads", "needs", "gated", "missing")


@dataclass(frozen=True)
class Readiness:
    """What is between the choice of a model and its first token, the largest thing alone.

    `state` is one of READINESS: loaded; to be loaded, in about `seconds`; to be downloaded,
    `bytes`; too large for this machine, needing `bytes` of memory; gated, without a token; not to
    be had.
    """

    state: str
    seconds: float | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class TokenEvent:
    """One generated token: `text` is all the text so far, `piece` what this token added.

    `logprob` is the natural logarithm of the model's probability for it; None with beams.
    """

    text: str
    piece: str
    token_id: int
    index: int
    elapsed_s: float
    logprob: float | None = None


@dataclass(frozen=True)
class TokenExplanation:
    """Why one token of an answer stands there.

    `probability` is its own and `others` has the likeliest tokens in its place with theirs, itself
    among them; `heat` float32[images, side, side] is how much the places of each picture were
    attended to where it was predicted (mean of the last layers' heads, in [0, 1]), rows from top to
    bottom.
    """

    piece: str
    probability: float
    others: tuple[tuple[str, float], ...]
    heat: np.ndarray


@dataclass(frozen=True)
class Explanation:
    """The tokens of an answer, explained in order."""

    tokens: tuple[TokenExplanation, ...]


@dataclass(frozen=True)
class TokenScore:
    """What the model thought of a token that it wrote, whatever the decoding was.

    `end` is how many characters the text has with it, `logprob` the natural logarithm of its
    probability. Of a `<loc>` token, `location_mass` in [0, 1] is the probability of all `<loc>`
    tokens together, and `location_spread` the standard deviation among them, in bins of 1/1023 of
    the picture; of others both are None.
    """

    end: int
    logprob: float
    location_mass: float | None = None
    location_spread: float | None = None


@dataclass(frozen=True)
class Box:
    """A box as fractions of the image: 0 ≤ y_min < y_max ≤ 1 and 0 ≤ x_min < x_max ≤ 1."""

    y_min: float
    x_min: float
    y_max: float
    x_max: float

    def to_xyxy_px(self, width: int, height: int) -> tuple[float, float, float, float]:
        """(x_min, y_min, x_max, y_max) in pixels of an image of `width` × `height`."""
        return (self.x_min * width, self.y_min * height, self.x_max * width, self.y_max * height)


@dataclass(frozen=True)
class Detection:
    """One object of a `detect` or `segment` answer.

    `mask` is bool[height, width] over the whole original image, or None where the answer had none.
    `confidence` in [0, 1] is computed by `models.prompts.confidence`; None with beams.
    """

    label: str
    box_yxyx_norm: Box
    box_xyxy_px: tuple[float, float, float, float]
    mask: np.ndarray | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class Timings:
    """Seconds of one request, and the `tokens` of its text, the end token not among them.

    `wait_s` is how long others came first. `first_token_s` counts from prefill on, that and loading
    excluded; `decode_s` from there to the last
    token of the text, so the step that only finds the end is in neither. With beams, whose text
    comes at once, `first_token_s` is all of the time and `decode_s` is 0.
    """

    load_s: float
    first_token_s: float
    decode_s: float
    tokens: int
    wait_s: float = 0.0

    @property
    def tokens_per_s(self) -> float:
        """Rate of the tokens after the first; 0 where there was only one, and with beams."""
        return (self.tokens - 1) / self.decode_s if self.tokens > 1 and self.decode_s > 0 else 0.0


@dataclass(frozen=True)
class Result:
    """The whole answer. `invalid_objects` counts named boxes that make no sense; `notes` are
    sentences on what the answer lacks or how it was made. `token_ids` are the text's tokens,
    `prompt_tokens` how many came before them, those of the pictures among them."""

    text: str
    prompt: str
    checkpoint: str
    adapter: str | None
    detections: tuple[Detection, ...]
    invalid_objects: int
    timings: Timings
    finish_reason: str
    notes: tuple[str, ...] = ()
    token_ids: tuple[int, ...] = ()
    prompt_tokens: int = 0
