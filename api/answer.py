"""`POST /v1/answer`: a task or a prompt about pictures, as JSON or as a form with files."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from api import bodies
from api.asking import request_about, tokens_for
from api.choosing import LONGEST_NAME, Choice, choose
from api.errors import ApiError, ErrorBody, Route, told
from api.pictures import open_all
from api.remote_pictures import RemotePictures
from api.running import Runner, chain
from models import schema
from models.images import OpenedImage
from models.limits import MAX_IMAGES, MAX_NEW_TOKENS
from models.prompts import grammar
from models.prompts.grammar import Task
from models.results import result_to_json
from models.schema import Box, Decoding, Result, StatusEvent, TokenEvent
from models.serving.backend import Event

EXAMPLE: dict[str, Any] = {
    "image": "data:image/png;base64,iVBORw0KGgo…",
    "task": "detect",
    "objects": "cat, dog",
    "model": "nano-224",
}
_TASKS = Literal[
    "cap", "caption", "describe", "answer", "question", "ocr", "detect", "segment", "caption box"
]


_OF_TASKS = {"language", "question", "answer", "objects", "box"}


class AnswerBody(BaseModel):
    """What is asked. A `prompt` as the model gets it, or a `task` and its fields."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    image: str | None = Field(None, description="a data URL; an address only where allowed")
    images: list[str] = Field(
        default_factory=list, max_length=MAX_IMAGES, description="in place of image: several"
    )
    prompt: str | None = Field(None, description='such as "caption en"')
    task: _TASKS | None = Field(None, description="in place of prompt")
    language: str = Field("en", max_length=LONGEST_NAME, description="of the tasks that write text")
    question: str = Field("", description="of the task answer")
    answer: str = Field("", description="of the task question")
    objects: str = Field("", description="of detect and segment: names, by commas")
    box: list[float] | None = Field(
        None,
        min_length=4,
        max_length=4,
        description="of the task caption box: left, top, right, bottom as shares of the picture",
    )
    model: str | None = Field(
        None, max_length=LONGEST_NAME, description="such as nano-224 or nano-224+easy-vqa"
    )
    adapter: str | None = Field(None, max_length=LONGEST_NAME)
    precision: str = Field("auto", max_length=LONGEST_NAME)
    max_new_tokens: int | None = Field(None, description=f"1 to {MAX_NEW_TOKENS}")
    temperature: float = Field(0.0, description="0 is greedy")
    top_k: int = 0
    top_p: float = 1.0
    num_beams: int = 1
    seed: int = 0
    deadline_s: float | None = None
    stream: bool = Field(False, description="events in place of one reply")

    @model_validator(mode="after")
    def _says_one_thing(self) -> AnswerBody:
        if (self.prompt is None) == (self.task is None):
            raise ValueError("send either prompt or task")
        if self.image is not None and self.images:
            raise ValueError("send either image or images")
        taken = set() if self.task is None else grammar.inputs_of(Task(self.task))
        for name in sorted(_OF_TASKS & self.model_fields_set - taken):
            if self.prompt is not None:
                raise ValueError(f"{name} goes with task; a prompt is sent as it is")
            raise ValueError(f"{name} is no field of the task {self.task}; leave it out")
        return self

    @property
    def addresses(self) -> list[str]:
        """Of the pictures, in order."""
        return [self.image] if self.image is not None else self.images


def to_request(body: AnswerBody, opened: Sequence[OpenedImage], choice: Choice) -> schema.Request:
    """The request for a backend; UserError where the task lacks something."""
    if body.prompt is not None:
        prompt = grammar.normalize(body.prompt)
    else:
        box = None
        if body.box is not None:
            left, top, right, bottom = body.box
            if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
                raise ApiError(422, "box is no box. Send shares from 0 to 1.", param="box")
            box = Box(top, left, bottom, right)
        assert body.task is not None  # one of the two is there
        prompt = grammar.build(
            Task(body.task), body.language, body.question, body.objects, box, answer=body.answer
        )
    tokens = tokens_for(body.max_new_tokens, prompt, choice)
    decoding = Decoding(tokens, body.temperature, body.top_k, body.top_p, body.num_beams, body.seed)
    return request_about(
        opened, prompt, choice, body.precision, decoding, body.stream, body.deadline_s
    )


def notes_of(opened: Sequence[OpenedImage]) -> list[str]:
    """What was changed about the pictures on the way."""
    return [note for each in opened for note in each.notes]


def answer_router(runner: Runner, remote: RemotePictures) -> APIRouter:
    """The route, over a backend."""
    router = APIRouter(route_class=Route)
    of_body = {"schema": {"$ref": "#/components/schemas/AnswerBody"}}
    form = {
        "schema": {
            "type": "object",
            "required": ["image"],
            "properties": {
                "image": {"type": "array", "items": {"type": "string", "format": "binary"}},
                "prompt": {"type": "string"},
                "task": {"type": "string"},
            },
            "additionalProperties": {"type": "string"},
        }
    }

    @router.post(
        "/answer",
        summary="Answer a prompt about a picture",
        description="The result as JSON, or, with `stream`, the events `status`, `token`, "
        "`result` and `error` as text/event-stream.",
        responses=failures(400, 401, 404, 408, 413, 415, 422, 429, 500, 503),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": of_body, "multipart/form-data": form},
            }
        },
    )
    async def answer(request: Request) -> Response:
        body, files = await _read(request)
        choice = choose(runner.backend, body.model, body.adapter, body.precision)
        if files and body.addresses:
            raise ApiError(422, "The form has pictures as files and as texts. Send one kind.")
        sources: list[str | bytes] = [*files, *body.addresses]
        if not sources:
            raise ApiError(422, "There is no picture. Send image, a data URL.", param="image")
        if len(sources) > MAX_IMAGES:
            raise ApiError(422, f"Send at most {MAX_IMAGES} pictures.", param="images")
        runner.check_room()
        opened = await open_all(sources, remote)
        asked = to_request(body, opened, choice)
        notes = notes_of(opened)
        if body.stream:
            events = runner.events(asked)
            first = await anext(events)  # what is refused gets a status of its own
            stream = _events(first, events, notes)
            return StreamingResponse(stream, media_type="text/event-stream")
        result, _ = await runner.result(asked, request.is_disconnected)
        return JSONResponse(result_to_json(result, notes))

    return router


async def _read(request: Request) -> tuple[AnswerBody, list[bytes]]:
    kind = bodies.kind_of(request)
    if kind == "application/json":
        return AnswerBody.model_validate(await bodies.read_json(request), strict=True), []
    if kind == "multipart/form-data":
        fields, files = await bodies.read_form(request)
        if "box" in fields:
            fields["box"] = fields["box"].replace(",", " ").split()
        return AnswerBody.model_validate(fields), files
    raise ApiError(
        415, "The body is neither JSON nor a form. Send application/json or multipart/form-data."
    )


async def _events(
    first: Event, rest: AsyncGenerator[Event, None], notes: Sequence[str]
) -> AsyncIterator[str]:
    """The events of an answer as text; what fails on the way is the last one."""
    said = None
    try:
        async for event in chain(first, rest):
            if isinstance(event, TokenEvent):
                token = {"piece": event.piece, "index": event.index, "logprob": event.logprob}
                yield event_text("token", token)
            elif isinstance(event, StatusEvent) and event != said:
                said = event
                yield event_text("status", {"message": event.message, "share": event.share})
            elif isinstance(event, Result):
                yield event_text("result", result_to_json(event, notes))
    except Exception as error:
        yield event_text("error", told(error).body.model_dump())
    finally:
        await rest.aclose()


def event_text(name: str, data: Any) -> str:
    """A named event as it is sent."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Replies for a route's description."""
    return {each: {"model": ErrorBody} for each in statuses}
