"""A mask codec that is found and read when the first mask has to be decoded, not before.

This module does not know where codecs are kept: whoever makes one says how its file is found.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile

from safetensors import SafetensorError

from models.masks.codec import MaskCodec
from models.schema import UserError

RETRY_AFTER_S = 60.0


class LazyCodec:
    """Finds and reads one codec once, from any thread."""

    def __init__(self, find: Callable[[], Path], clock: Callable[[], float] = time.monotonic):
        """`find` returns the file, downloading it if it must, or raises UserError."""
        self._find, self._clock = find, clock
        self._lock = threading.Lock()
        self._codec: MaskCodec | None = None
        self._failure: UserError | None = None
        self._failed_at = 0.0

    def get(self) -> MaskCodec:
        """The codec; UserError where its file cannot be had or read.

        A failure is repeated for RETRY_AFTER_S without another attempt, since every answer with a
        mask would wait for the network.
        """
        with self._lock:
            if self._codec is not None:
                return self._codec
            if self._failure and self._clock() - self._failed_at < RETRY_AFTER_S:
                raise UserError(self._failure.problem, self._failure.remedy)
            try:
                self._codec = self._read()
            except UserError as error:
                self._failure, self._failed_at = error, self._clock()
                raise
            return self._codec

    def _read(self) -> MaskCodec:
        path = self._find()
        try:
            return MaskCodec.load(path)
        except (ValueError, RuntimeError, OSError, EOFError, BadZipFile, SafetensorError) as error:
            raise _damaged(path) from error


def _damaged(path: Path) -> UserError:
    return UserError(
        f"The mask decoder in {path.name} is damaged or of another model.",
        "Delete the file, or put the right one in its place.",
    )
