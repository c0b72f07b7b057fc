"""Pictures on other servers: off, unless the owner of this one names their hosts.

A host has to be named, its addresses have to be public, and it is asked at the very address that
was checked, so that a name which changes its address in between leads nowhere. Redirects are not
followed.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection
from urllib.parse import urlsplit, urlunsplit

import anyio
import anyio.to_thread
import httpx

from api.bodies import LARGEST_PICTURE
from api.errors import ApiError
from api.settings import IMAGE_HOSTS

WITHIN_S = 5.0  # for name, connection and all of the picture
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
Resolve = Callable[[str, int], list[str]]


def addresses_of(host: str, port: int) -> list[str]:
    """The IP addresses of a host by this machine's resolver; OSError where there are none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]


def is_public(address: str) -> bool:
    """Whether an IP address belongs to no machine of ours: not private, local, or of a network."""
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif found.sixtofour or found.teredo or found in _TRANSLATED:
            return False  # they stand for an IPv4 address, which may be any
    return found.is_global and not found.is_multicast


class RemotePictures:
    """Fetches pictures from the hosts that are named, and from no other."""

    def __init__(
        self,
        hosts: Collection[str],
        resolve: Resolve = addresses_of,
        is_allowed: Callable[[str], bool] = is_public,
        transport: httpx.AsyncBaseTransport | None = None,
    ):
        """`resolve`, `is_allowed` (by IP address) and `transport` are the network's own unless
        given."""
        self._hosts = frozenset(hosts)
        self._resolve, self._is_allowed, self._transport = resolve, is_allowed, transport

    async def fetch(self, url: str) -> bytes:
        """The bytes at an address; ApiError where they are not to be had."""
        host, port, pinned = await self._checked(url)
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=0)
        try:
            with anyio.fail_after(WITHIN_S):
                async with httpx.AsyncClient(
                    follow_redirects=False,
                    trust_env=False,
                    limits=limits,
                    transport=self._transport,
                ) as client:
                    name = host if port in (80, 443) else f"{host}:{port}"
                    async with client.stream(
                        "GET",
                        pinned,
                        headers={"Host": name, "Accept": "image/*"},
                        extensions={"sni_hostname": host},
                    ) as reply:
                        return await self._content(reply, host)
        except (TimeoutError, httpx.TimeoutException):
            raise _bad(f"{host} took longer than {WITHIN_S:.0f} s to send the picture.") from None
        except (httpx.HTTPError, httpx.InvalidURL):
            raise _bad(f"The picture could not be fetched from {host}.") from None

    async def _checked(self, url: str) -> tuple[str, int, str]:
        """Host, port, and the address with the host's checked IP address in its place."""
        try:
            parts = urlsplit(url.strip())
            host = (parts.hostname or "").lower().rstrip(".")
            port = parts.port or {"http": 80, "https": 443}.get(parts.scheme.lower(), 0)
        except ValueError:
            raise _bad("A picture's address is not one.") from None
        if parts.scheme.lower() not in ("http", "https") or parts.username is not None:
            raise _bad("A picture's address is neither a data URL nor an https one.")
        if host not in self._hosts:
            raise ApiError(
                400,
                "This server fetches no pictures from there. Send the picture as a data URL, or "
                f"let the server's owner name the host in {IMAGE_HOSTS}.",
                code="image_host_not_allowed",
            )
        try:
            with anyio.fail_after(WITHIN_S):
                found = await anyio.to_thread.run_sync(
                    self._resolve, host, port, abandon_on_cancel=True
                )
        except (OSError, UnicodeError):  # a TimeoutError is an OSError
            raise _bad(f"{host} is not to be found.") from None
        if not found or not all(self._is_allowed(each) for each in found):
            raise _bad(f"{host} is at an address that pictures are not fetched from.")
        address = f"[{found[0]}]" if ":" in found[0] else found[0]
        pinned = urlunsplit((parts.scheme, f"{address}:{port}", parts.path or "/", parts.query, ""))
        return host, port, pinned

    async def _content(self, reply: httpx.Response, host: str) -> bytes:
        if reply.is_redirect:
            raise _bad(f"{host} sends on to another address, which is not followed.")
        if reply.status_code != 200:
            raise _bad(f"{host} answers {reply.status_code} in place of the picture.")
        content = bytearray()
        async for part in reply.aiter_bytes():
            content += part
            if len(content) > LARGEST_PICTURE:
                raise _bad(f"The picture is larger than {LARGEST_PICTURE // 1_000_000} MB.")
        return bytes(content)


def _bad(problem: str) -> ApiError:
    return ApiError(400, f"{problem} Send it as a data URL.", code="bad_image")
