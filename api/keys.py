"""Who may ask, and how often: keys, and a rate for each key or address."""

from __future__ import annotations

import hashlib
import hmac
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from fastapi import Request

from api.errors import ApiError
from api.settings import ApiSettings

ASKERS_KEPT = 10_000  # whose rates are remembered; the one that was quiet longest goes


class Gate:
    """Lets a request in or refuses it. Safe to use from every thread."""

    def __init__(self, settings: ApiSettings, now: Callable[[], float] = time.monotonic):
        """`now` is a clock in seconds."""
        self._keys = [_digest(key) for key in settings.keys]
        self._rate, self._now = settings.rate, now
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # left, and when

    async def __call__(self, request: Request) -> None:
        """ApiError where the request has no right key, or came too soon after others."""
        self.count(self.asker(request))

    def count(self, asker: str) -> None:
        """Count a request of an asker; ApiError where it came too soon after others."""
        wait_s = self._take(asker)
        if wait_s > 0:
            raise ApiError(
                429,
                f"There were more than {self._rate} requests in a minute. Wait a little.",
                code="rate_limit_exceeded",
                retry_after_s=math.ceil(wait_s),
            )

    def asker(self, request: Request) -> str:
        """Who asks, by key or address; ApiError where the key is not right."""
        if not self._keys:
            return request.client.host if request.client else ""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        digest = _digest(given.strip())
        # All are compared, so that the time it takes says nothing.
        matches = [hmac.compare_digest(digest, key) for key in self._keys]
        if scheme.lower() != "bearer" or not any(matches):
            raise ApiError(
                401,
                "The key is missing or wrong. Send the header Authorization: Bearer KEY.",
                code="invalid_api_key",
            )
        return digest.hex()

    def _take(self, asker: str) -> float:
        """Seconds to wait; 0 where the asker may ask now, which is counted."""
        if self._rate == 0:
            return 0.0
        with self._lock:
            now = self._now()
            left, at = self._buckets.pop(asker, (float(self._rate), now))
            left = min(self._rate, left + (now - at) * self._rate / 60)
            is_enough = left >= 1
            self._buckets[asker] = (left - 1 if is_enough else left), now
            if len(self._buckets) > ASKERS_KEPT:
                self._buckets.popitem(last=False)
        return 0.0 if is_enough else (1 - left) * 60 / self._rate


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
