"""What a program reads where the server does not do what it asks for: always a sentence.

Gradio answers some failures with `{"error": null}`, with a word or with a validator's list. What it
says in a sentence of its own is kept. This module knows no page and no request, only what is sent.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import JSONResponse

from models.schema import UserError

OWN_FAILURE = UserError(
    "The server could not answer because of an error of its own.",
    "Try again; if it stays, choose another model or look at the app's log.",
)
NOT_TAKEN = UserError(
    "The server did not take what was asked.",
    "Look at the fields and press Run again; if it stays, load the page again.",
)
NO_FILE = UserError("There is no file in the upload.", "Send it as multipart field `files`.")
NO_SUCH_ANSWER = UserError(
    "There is no answer under this id: it is wrong, or its answer has been read or left.",
    "Post the request again.",
)
CANCELLED = UserError("The answer was cancelled.", "Post the request again.")
NO_SESSION = UserError(
    "The server does not know this session, or its answer was left.", "Post the request again."
)
_NOT_FOUND = "404: Not Found"  # an HTTPException as text
_BY_STATUS = {
    400: UserError("This address takes another form.", "See /gradio_api/info."),
    401: UserError("This is not for everybody.", "Use the page, or what /gradio_api/info names."),
    403: UserError("This is not handed out.", "Use the page, or what /gradio_api/info names."),
    404: UserError("There is nothing at this address.", "The page is at /."),
    405: UserError("This address does not take this method.", "See /gradio_api/info."),
    413: UserError("The request is too large.", "Send less."),
    503: UserError("The queue is full.", "Try again in a minute."),
}
_UPLOAD = {
    400: UserError("The upload is not a form with a file.", "Send it as multipart field `files`."),
    413: UserError("A file is larger than 20 MB, or all together than 80.", "Send less."),
}


class Refusal(Exception):
    """A request that is answered with a status and a sentence."""

    def __init__(self, status: int, error: UserError) -> None:
        super().__init__(str(error))
        self.status = status


def say(sentence: str, status: int) -> JSONResponse:
    """A refusal as it is sent."""
    # In `detail` as Gradio's clients look for it, in `error` for all others.
    detail = [{"__type__": "validate", "is_valid": False, "message": sentence}]
    return JSONResponse({"error": sentence, "detail": detail}, status)


def worded(status: int, body: bytes, is_upload: bool = False) -> bytes:
    """The body of a refusal, of a status from 400, as `say` writes it."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    sentence = given.get("error") if isinstance(given, dict) else None
    if not isinstance(sentence, str) or not sentence:
        known = (_UPLOAD if is_upload else {}) | ({422: _unfit(given)} if status == 422 else {})
        sentence = str((_BY_STATUS | known).get(status, OWN_FAILURE))
    return bytes(say(sentence, status).body)


def _unfit(given: Any) -> UserError:
    """What a validator found first."""
    try:
        where = given["detail"][0]["loc"][-1]
    except (KeyError, IndexError, TypeError):
        where = "body"
    return UserError(
        f"The request's {where} is missing or of the wrong type.", "See /gradio_api/info."
    )


def is_unknown_answer(event: bytes) -> bool:
    """Whether the first event of an answer's stream says that there is no such answer."""
    name, data = _event(event)
    return name == "error" and isinstance(data, str) and data.startswith(_NOT_FOUND)


def worded_event(event: bytes) -> bytes:
    """An event of an answer's stream with a sentence where it tells a failure without one."""
    name, data = _event(event)
    if name == "complete" and data is None:
        sentence, rest = str(CANCELLED), {}
    elif name == "error":
        said = data.get("error") if isinstance(data, dict) else data
        sentence, rest = _or_own(said), data if isinstance(data, dict) else {}
    else:
        return event
    return f"event: error\ndata: {json.dumps({**rest, 'error': sentence})}\n\n".encode()


def worded_message(message: bytes) -> bytes:
    """The same for a message of the page's stream."""
    if b'"success":false' not in message:
        return message
    _, data = _event(message)
    if not isinstance(data, dict):
        return message
    if data.get("msg") == "unexpected_error":
        known = NO_SESSION if data.get("session_not_found") else None
        data["message"] = str(known) if known else _or_own(data.get("message"))
    elif isinstance(data.get("output"), dict) and not data.get("success"):
        data["output"]["error"] = _or_own(data["output"].get("error"))
    return f"data: {json.dumps(data)}\n\n".encode()


def _or_own(said: Any) -> str:
    return said if isinstance(said, str) and said.strip() else str(OWN_FAILURE)


def _event(event: bytes) -> tuple[str, Any]:
    """(Its name, its data) of one event; ("", None) where it is none."""
    name, data = "", None
    for line in event.decode("utf-8", "replace").split("\n"):
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            try:
                data = json.loads(value)
            except (ValueError, RecursionError):
                return "", None
    return name, data
