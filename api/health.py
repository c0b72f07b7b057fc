"""`/healthz`, whether the server lives, and `/readyz`, whether it answers."""

from __future__ import annotations

import time

import anyio
import anyio.to_thread
from starlette.responses import JSONResponse

from models.schema import UserError
from models.serving.backend import Backend

READY = "/readyz"
ADDRESSES = ("/healthz", READY)
KNOWN_FOR_S = 15.0  # that a token was generated
TRIED_FOR_S = 20.0


class Health:
    """Asks the default model for a token, at most once in KNOWN_FOR_S."""

    def __init__(self, backend: Backend):
        self._backend = backend
        self._ready_at = float("-inf")
        self._trying: anyio.Lock | None = None

    async def reply(self, path: str) -> JSONResponse:
        """What is said at one of ADDRESSES."""
        return await self._ready() if path == READY else JSONResponse({"status": "alive"})

    async def _ready(self) -> JSONResponse:
        """200 where a token was generated lately or is now; else 503 and why."""
        if self._trying is None:  # it belongs to the event loop
            self._trying = anyio.Lock()
        async with self._trying:
            if time.monotonic() - self._ready_at > KNOWN_FOR_S:
                try:
                    with anyio.fail_after(TRIED_FOR_S):
                        await anyio.to_thread.run_sync(
                            self._backend.warm,
                            self._backend.catalog.default,
                            abandon_on_cancel=True,
                        )
                except UserError as error:
                    return JSONResponse({"status": "not ready", "reason": str(error)}, 503)
                except TimeoutError:
                    reason = f"No token came within {TRIED_FOR_S:.0f} s."
                    return JSONResponse({"status": "not ready", "reason": reason}, 503)
                self._ready_at = time.monotonic()
        return JSONResponse({"status": "ready"})
