"""`POST /v1/chat/completions`: a request in OpenAI's form, read as a prompt about pictures.

Source of the form: OpenAI's API reference, Chat Completions. There is no conversation: the text of
the last message of the user is the prompt, and its pictures are those of all messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from api.answer import notes_of
from api.asking import request_about, tokens_for
from api.choosing import LONGEST_NAME, Choice
from api.errors import ApiError
from models import schema
from models.images import OpenedImage
from models.limits import MAX_IMAGES, MAX_NEW_TOKENS
from models.prompts import grammar
from models.schema import Decoding

MAX_STOPS, LONGEST_STOP = 4, 500  # characters
MAX_TOP_LOGPROBS = 5
EXAMPLE: dict[str, Any] = {
    "model": "nano-224",
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "caption en"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo…"}},
            ],
        }
    ],
}


class ImageUrl(BaseModel):
    """A picture's data URL, or an address where that is allowed."""

    url: str


class Part(BaseModel):
    """A part of a message: text or a picture."""

    type: Literal["text", "image_url"]
    text: str | None = None
    image_url: ImageUrl | str | None = None

    @model_validator(mode="after")
    def _has_its_content(self) -> Part:
        if getattr(self, self.type) is None:
            raise ValueError(f"a part of type {self.type} needs {self.type}")
        return self


class Message(BaseModel):
    """One message; texts that are not of the user are not read."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: list[Part] | None = Field(None, description="or a text in place of the list")

    @field_validator("content", mode="before")
    @classmethod
    def _as_parts(cls, given: Any) -> Any:
        return [{"type": "text", "text": given}] if isinstance(given, str) else given


class StreamOptions(BaseModel):
    """What a stream has besides the text."""

    include_usage: bool | None = False


class ChatBody(BaseModel):
    """A chat completion; fields that are not here are ignored."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    model: str | None = Field(None, max_length=LONGEST_NAME)
    messages: list[Message] = Field(min_length=1, max_length=256)
    max_tokens: int | None = Field(None, description=f"1 to {MAX_NEW_TOKENS}")
    max_completion_tokens: int | None = None
    temperature: float | None = Field(0.0, description="0, the default here, is greedy")
    top_p: float | None = 1.0
    seed: int | None = 0
    stop: str | list[str] | None = None
    n: int | None = 1
    logprobs: bool | None = False
    top_logprobs: int | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    precision: str = Field(
        "auto", max_length=LONGEST_NAME, description="an addition of this server"
    )

    @model_validator(mode="after")
    def _does_not_contradict_itself(self) -> ChatBody:
        given = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(given) > 1:
            raise ValueError("max_tokens and max_completion_tokens differ; send one")
        if self.n not in (None, 1):
            raise ValueError("n is not 1; ask again for a further answer")
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs")
        if self.top_logprobs is not None and not 0 <= self.top_logprobs <= MAX_TOP_LOGPROBS:
            raise ValueError(f"top_logprobs is not 0 to {MAX_TOP_LOGPROBS}")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream")
        if len(self.stops) > MAX_STOPS or not all(self.stops):
            raise ValueError(f"stop has more than {MAX_STOPS} texts, or an empty one")
        if any(len(each) > LONGEST_STOP for each in self.stops):
            raise ValueError(f"stop has a text of more than {LONGEST_STOP} characters")
        return self

    @property
    def stops(self) -> list[str]:
        """Texts that end the answer, and are no part of it."""
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or ())


@dataclass(frozen=True)
class Asked:
    """What the messages ask: a prompt, and the addresses of its pictures."""

    prompt: str
    images: tuple[str, ...]


def asked(messages: Sequence[Message]) -> Asked:
    """The prompt and the pictures in messages; ApiError where there is none of either."""
    prompt, images = "", []
    for number, message in enumerate(messages):
        parts = message.content or []
        if message.role != "user":  # of whom only the pictures count
            parts = [each for each in parts if each.type != "text"]
        texts = [each.text or "" for each in parts if each.type == "text"]
        prompt = " ".join(" ".join(texts).split()) or prompt
        for each in parts:
            if each.image_url is not None:
                at = each.image_url
                images.append(at if isinstance(at, str) else at.url)
        if len(images) > MAX_IMAGES:
            raise ApiError(
                422,
                f"The messages have more than {MAX_IMAGES} pictures. Leave some out.",
                param=f"messages.{number}",
            )
    if not images:
        raise ApiError(
            400, "No message has a picture. Add a part of type image_url.", param="messages"
        )
    if not prompt:
        raise ApiError(
            400,
            'No message of the user has a text. Add one such as "caption en".',
            param="messages",
        )
    return Asked(prompt, tuple(images))


def to_request(
    body: ChatBody, what: Asked, opened: Sequence[OpenedImage], choice: Choice
) -> schema.Request:
    """The request for a backend."""
    prompt = grammar.normalize(what.prompt)
    given = body.max_tokens if body.max_tokens is not None else body.max_completion_tokens
    decoding = Decoding(
        max_new_tokens=tokens_for(given, prompt, choice),
        temperature=body.temperature or 0.0,
        top_p=1.0 if body.top_p is None else body.top_p,
        seed=body.seed or 0,
    )
    return request_about(opened, prompt, choice, body.precision, decoding, bool(body.stream))


class Stopper:
    """Holds back the end of a text that may turn out to be one of the texts that stop it."""

    def __init__(self, stops: Sequence[str]):
        self._stops = stops
        self._text, self._sent = "", 0
        self.is_over = False

    def add(self, piece: str) -> str:
        """What can be sent with a new piece of text; all that comes after a stop is nothing."""
        if self.is_over:
            return ""
        self._text += piece
        places = [at for stop in self._stops if (at := self._text.find(stop)) >= 0]
        if places:
            self.is_over, self._text = True, self._text[: min(places)]
            return self.rest()
        longest = max(
            (
                length
                for stop in self._stops
                for length in range(1, len(stop))
                if self._text.endswith(stop[:length])
            ),
            default=0,
        )
        return self._send(len(self._text) - longest)

    def rest(self) -> str:
        """What was held back, at the end."""
        return self._send(len(self._text))

    @property
    def text(self) -> str:
        """All of the text, without the stop."""
        return self._text

    @property
    def sent(self) -> int:
        """Characters that could be sent so far."""
        return self._sent

    def _send(self, end: int) -> str:
        start, self._sent = self._sent, max(self._sent, end)
        return self._text[start : self._sent]


def notes(body: ChatBody, opened: Sequence[OpenedImage]) -> list[str]:
    """What was changed about the pictures, and what of the messages was not read."""
    found = notes_of(opened)
    read = [each for each in body.messages if each.role == "user"]
    if len(read) < len(body.messages) or len(read) > 1:
        found.append("Only the user's last text was read; there is no conversation.")
    return found


def usage(prompt_tokens: int, tokens: int) -> dict[str, Any]:
    """Tokens of the prompt, its pictures among them, and of the answer."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": tokens,
        "total_tokens": prompt_tokens + tokens,
    }
