"""The body of a request: read within bounds of bytes and time, and parsed as JSON or as a form."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import anyio
from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from api.errors import ApiError
from models.limits import MAX_IMAGES

LARGEST_BODY = 64_000_000  # bytes: four pictures of ten megabytes in base 64
LARGEST_PICTURE = 20_000_000  # bytes of a file
READ_WITHIN_S = 60.0  # for all of the body
MOST_COMMAS = 20_000  # of JSON: each value takes microseconds, in which nobody else is served
_FORM_FIELDS = 40


async def read_json(request: Request) -> dict[str, Any]:
    """The object that the body is; ApiError where it is none."""
    body = await read_values(request)
    try:
        given = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ApiError(400, "The body is not JSON. Send an object.", code="invalid_json") from None
    if not isinstance(given, dict):
        raise ApiError(422, "The body is no JSON object. Send one.", code="invalid_json")
    return given


async def read_values(request: Request, largest: int = LARGEST_BODY) -> bytes:
    """The body, of at most `largest` bytes and not more values than are read in little time;
    ApiError where it is another."""
    body = await _read(request, largest)
    if body.count(b",") > MOST_COMMAS:
        raise ApiError(
            413, f"The body has more than {MOST_COMMAS:,} commas, so too many values. Send fewer."
        )
    return body


async def read_form(request: Request) -> tuple[dict[str, Any], list[bytes]]:
    """The texts of a form by name, and the files of its fields `image`; ApiError where there is
    none."""
    body = await _read(request)

    async def once() -> Any:
        yield body

    try:
        parser = MultiPartParser(
            request.headers,
            once(),
            max_files=MAX_IMAGES,
            max_fields=_FORM_FIELDS,
            max_part_size=1_000_000,
        )
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError):
        raise ApiError(
            400,
            f"The form cannot be read. Send fields, and at most {MAX_IMAGES} files named image.",
            code="invalid_form",
        ) from None
    try:
        return await _parts(form)
    finally:
        await form.close()


def kind_of(request: Request) -> str:
    """The media type of the body, in lower case and without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _parts(form: FormData) -> tuple[dict[str, Any], list[bytes]]:
    texts: dict[str, Any] = {}
    files: list[bytes] = []
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if name not in ("image", "images"):
                raise ApiError(422, "Files belong into the field image.", param=name)
            files.append(await value.read())
        elif name in texts:
            raise ApiError(422, f"{name} stands in the form twice. Send it once.", param=name)
        else:
            texts[name] = value
    return texts, files


async def _read(request: Request, largest: int = LARGEST_BODY) -> bytes:
    too_large = ApiError(
        413, f"The body is larger than {largest // 1_000_000} MB. Send smaller pictures."
    )
    length = request.headers.get("content-length", "0")
    if "transfer-encoding" in request.headers and "content-length" in request.headers:
        # A server in front may have believed the other one (RFC 9112, 6.3).
        raise ApiError(400, "The request tells its length in two ways. Send Content-Length alone.")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise ApiError(415, "The body is compressed. Send it as it is.")
    if length.isdigit() and int(length[:20]) > largest:
        raise too_large
    body = bytearray()
    try:
        with anyio.fail_after(READ_WITHIN_S):
            async for part in request.stream():
                body += part
                if len(body) > largest:
                    raise too_large
    except TimeoutError:
        raise ApiError(408, "The body took too long to come. Send it again.") from None
    return bytes(body)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
