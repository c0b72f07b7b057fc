"""The address under which somebody asks for the page, as far as the request can be believed.

The headers that name it are the client's to write. They end up in the page and in its samples, so
only what has the form of a host is passed on; whether it is this server's is not known here.
"""

from __future__ import annotations

import ipaddress
import re

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

LONGEST_HOST = 255
# RFC 3986's host without its sub-delimiters and percent signs, which no DNS name has.
_HOST = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|[A-Za-z0-9._~-]+)(?::(?P<port>[0-9]{1,5}))?")
# Gradio's own front server says where it is in the last of them; here there is none.
_SAYING_WHERE = (b"host", b"x-forwarded-host", b"x-forwarded-proto", b"x-gradio-server")
VARIES_WITH = "Host, X-Forwarded-Host, X-Forwarded-Proto"


def is_host(text: str) -> bool:
    """Whether a text is a host with or without a port, as in "example.org:8000" or "[::1]"."""
    found = _HOST.fullmatch(text)
    if not found or len(text) > LONGEST_HOST:
        return False
    if found["ipv6"]:
        try:
            ipaddress.IPv6Address(found["ipv6"])
        except ValueError:
            return False
    return found["port"] is None or 0 < int(found["port"]) < 2**16


def with_checked_headers(scope: Scope) -> Scope:
    """The request without headers that name an address in another form than an address has."""
    kept = [
        (name, value)
        for name, value in scope["headers"]
        if name.lower() not in _SAYING_WHERE or _is_believable(name.lower(), value)
    ]
    return {**scope, "headers": kept}


def _is_believable(name: bytes, value: bytes) -> bool:
    first = value.decode("latin-1").split(",")[0].strip()
    if name == b"x-forwarded-proto":
        return first in ("http", "https")
    return name != b"x-gradio-server" and is_host(first)


def own_address(scope: Scope) -> str | None:
    """The page's address without a slash at its end; None where the request does not name it.

    `scope` is one of `with_checked_headers`.
    """
    headers = Headers(scope=scope)
    if "host" not in headers:
        return None
    base = Request(scope).base_url
    forwarded = headers.get("x-forwarded-proto", "").split(",")[0].strip()
    if forwarded:
        base = base.replace(scheme=forwarded)
    return str(base).rstrip("/")
