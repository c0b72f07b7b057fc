"""Errors as OpenAI's clients read them: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from models.schema import Busy, UserError

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 5
LEFT = 499  # for the log of a server in front: nobody is there to read the reply
OWN_FAILURE = (
    "The server could not answer because of an error of its own. "
    "Try again; if it stays, choose another model or look at the server's log."
)
_TYPES = {
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
}


class ErrorDetail(BaseModel):
    """What went wrong, in one sentence and a remedy; the field that is to blame, if one is."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(BaseModel):
    """The body of every reply that is no answer."""

    error: ErrorDetail


class ApiError(Exception):
    """A request that is answered with a status and a sentence."""

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: int | None = None,
    ):
        super().__init__(message)
        self.status, self.retry_after_s = status, retry_after_s
        kind = _TYPES.get(status, "invalid_request_error")
        self.body = ErrorBody(error=ErrorDetail(message=message, type=kind, param=param, code=code))

    def response(self) -> JSONResponse:
        """As it is sent."""
        headers = {"Retry-After": str(self.retry_after_s)} if self.retry_after_s else {}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.body.model_dump(), self.status, headers)


def told(error: Exception, described_at: str = "/v1/openapi.json") -> ApiError:
    """Any failure as it is told; what nobody outside can act on is logged. `described_at` is where
    the fields of the request are described."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, Busy):
        return ApiError(429, str(error), code="busy", retry_after_s=RETRY_AFTER_S)
    if isinstance(error, UserError):
        return ApiError(400, str(error))
    if isinstance(error, ValidationError):
        return _invalid(error, described_at)
    if isinstance(error, ClientDisconnect):
        return ApiError(LEFT, "The request was left before all of it came.")
    if isinstance(error, HTTPException):
        return _plain(error.status_code)
    logger.exception("a request failed", exc_info=error)
    return ApiError(500, OWN_FAILURE, code="internal_error")


def _invalid(error: ValidationError, described_at: str) -> ApiError:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    first = found[0]
    field = ".".join(str(each) for each in first["loc"]) or None
    reason = first["msg"].removeprefix("Value error, ").rstrip(".")
    about = f"{field}: " if field else ""
    more = len(found) - 1
    others = f" ({more} more like it)" if more else ""
    message = f"{about}{reason}{others}. See {described_at}."
    return ApiError(422, message, param=field, code="invalid_value")


def _plain(status: int) -> ApiError:
    sentence = {
        404: "There is nothing at this address. See /v1/openapi.json.",
        405: "This address does not take this method. See /v1/openapi.json.",
    }.get(status, "The request is not one that this server reads. See /v1/openapi.json.")
    return ApiError(status, sentence)


class Route(APIRoute):
    """A route whose failures are all told in our form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with what it raises turned into a reply."""
        handler = super().get_route_handler()

        async def tell(request: Request) -> Response:
            try:
                return await handler(request)
            except Exception as error:
                return told(error).response()

        return tell
