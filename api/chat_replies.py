"""The routes in OpenAI's form: `/v1/chat/completions`, whole or streamed, and `/v1/models`."""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from api import bodies, chat
from api.answer import failures
from api.chat import ChatBody, Stopper
from api.choosing import choose, offered
from api.errors import ApiError, Route, told
from api.pictures import open_all
from api.remote_pictures import RemotePictures
from api.running import Runner, chain
from models import schema
from models.results import result_to_json
from models.schema import Result, TokenEvent
from models.serving.backend import Event

OWNER = "paligemma2-demo"
EXTRA = "paligemma"  # the field of a reply that other servers do not have


@dataclass
class _Reply:
    """A completion while it is written."""

    body: ChatBody
    model: str
    notes: list[str]
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def chunk(self, choices: list[dict[str, Any]], **more: Any) -> str:
        """An event of a stream."""
        head = {"id": self.id, "object": "chat.completion.chunk", "created": self.created}
        return _event(head | {"model": self.model, "choices": choices} | more)

    def whole(self, choice: dict[str, Any], result: Result) -> dict[str, Any]:
        """The reply without a stream."""
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [choice],
            "usage": chat.usage(result.prompt_tokens, result.timings.tokens),
            EXTRA: result_to_json(result, self.notes),
        }


def chat_router(runner: Runner, remote: RemotePictures) -> APIRouter:
    """The routes, over a backend."""
    router = APIRouter(route_class=Route)
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/ChatBody"}}}

    @router.post(
        "/chat/completions",
        summary="Answer a prompt about a picture, in OpenAI's form",
        description="The text of the user's last message is the prompt. Boxes and masks are in "
        f"the field `{EXTRA}`.",
        responses=failures(400, 401, 404, 408, 413, 415, 422, 429, 500, 503),
        openapi_extra={"requestBody": {"required": True, "content": content}},
    )
    async def completions(request: Request) -> Response:
        if bodies.kind_of(request) != "application/json":
            raise ApiError(415, "The body is not JSON. Send Content-Type: application/json.")
        body = ChatBody.model_validate(await bodies.read_json(request), strict=True)
        what = chat.asked(body.messages)
        choice = choose(runner.backend, body.model, None, body.precision)
        runner.check_room()
        opened = await open_all(what.images, remote)
        asked = chat.to_request(body, what, opened, choice)
        reply = _Reply(body, choice.name, chat.notes(body, opened))
        if body.stream:
            events = runner.events(asked)
            first = await anext(events)  # what is refused gets a status of its own
            stream = _stream(runner, reply, asked, first, events)
            return StreamingResponse(stream, media_type="text/event-stream")
        result, written = await runner.result(asked, request.is_disconnected)
        stopper = Stopper(body.stops)
        for each in written:
            stopper.add(each.piece)
        stopper.rest()
        tokens = _within(written, stopper.text)
        finish = "stop" if stopper.is_over else _finish_reason(result)
        logprobs = await _logprobs(runner, body, asked, tokens) if body.logprobs else None
        message = {"role": "assistant", "content": stopper.text, "refusal": None}
        found = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": finish}
        return JSONResponse(reply.whole(found, result))

    @router.get(
        "/models", summary="The models that can be asked", responses=failures(401, 429, 500)
    )
    async def models() -> dict[str, Any]:
        found = [_model(each.name, each.checkpoint.max_images) for each in offered(runner.backend)]
        return {"object": "list", "data": found}

    @router.get(
        "/models/{name:path}",
        summary="One model",
        responses=failures(401, 404, 429, 500, 503),
    )
    async def model(name: str) -> dict[str, Any]:
        choice = choose(runner.backend, name)
        return _model(choice.name, choice.checkpoint.max_images)

    return router


def _model(name: str, images: int) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": OWNER,
        "input_modalities": ["text", "image"],
        "output_modalities": ["text"],
        "max_images": images,
    }


async def _stream(
    runner: Runner,
    reply: _Reply,
    asked: schema.Request,
    first: Event,
    rest: AsyncGenerator[Event, None],
) -> AsyncIterator[str]:
    """The events of a completion; what fails on the way is the last one."""
    body, stopper = reply.body, Stopper(reply.body.stops)
    tokens: list[TokenEvent] = []  # that were not told of yet

    def choice(delta: dict[str, Any], finish: str | None = None, logprobs: Any = None) -> Any:
        return [{"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}]

    def logprobs_of(told_of: Sequence[TokenEvent]) -> Any:
        return {"content": [_token(each) for each in told_of]} if body.logprobs else None

    try:
        yield reply.chunk(choice({"role": "assistant", "content": ""}))
        async for event in chain(first, rest):
            if isinstance(event, TokenEvent):
                if stopper.is_over:
                    continue
                tokens.append(event)
                text = stopper.add(event.piece)
                told_of = [each for each in tokens if len(each.text) <= stopper.sent]
                tokens = tokens[len(told_of) :]  # the others go with the text that is held back
                if text:
                    yield reply.chunk(choice({"content": text}, logprobs=logprobs_of(told_of)))
            elif isinstance(event, Result):
                text = stopper.rest()
                told_of = _within(tokens, stopper.text)
                if text or told_of:
                    yield reply.chunk(choice({"content": text}, logprobs=logprobs_of(told_of)))
                finish = "stop" if stopper.is_over else _finish_reason(event)
                extra = {EXTRA: result_to_json(event, reply.notes)}
                yield reply.chunk(choice({}, finish), **extra)
                if body.stream_options and body.stream_options.include_usage:
                    used = chat.usage(event.prompt_tokens, event.timings.tokens)
                    yield reply.chunk([], usage=used)
        yield "data: [DONE]\n\n"
    except Exception as error:
        yield _event(told(error).body.model_dump())
    finally:
        await rest.aclose()


async def _logprobs(
    runner: Runner, body: ChatBody, asked: schema.Request, tokens: Sequence[TokenEvent]
) -> dict[str, Any]:
    """Log-probabilities of the tokens, with the likeliest others where they are asked for."""
    tokens = [each for each in tokens if each.piece]
    content = [_token(each) for each in tokens]
    if body.top_logprobs and tokens:
        ids = tuple(each.token_id for each in tokens)
        explained = await runner.explanation(replace(asked, answer_ids=ids))
        for found, token in zip(content, explained.tokens, strict=True):
            found["top_logprobs"] = [
                _entry(text, math.log(share) if share > 0 else -math.inf)
                for text, share in token.others[: body.top_logprobs]
            ]
    return {"content": content, "refusal": None}


def _within(tokens: Sequence[TokenEvent], text: str) -> list[TokenEvent]:
    """The tokens that a text has at least a part of."""
    return [each for each in tokens if len(each.text) - len(each.piece) < len(text)]


def _token(event: TokenEvent) -> dict[str, Any]:
    return _entry(event.piece, event.logprob or 0.0) | {"top_logprobs": []}


def _entry(text: str, logprob: float) -> dict[str, Any]:
    return {
        "token": text,
        "logprob": max(logprob, -9999.0),  # JSON has no infinity; OpenAI's servers say so too
        "bytes": list(text.encode("utf-8", "replace")),
    }


def _finish_reason(result: Result) -> str:
    """OpenAI's word: a time limit cuts off as a length does."""
    return "stop" if result.finish_reason == "eos" else "length"


def _event(data: Any) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
