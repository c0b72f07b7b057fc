"""Room for the pictures of all askers together: decoded at once, and held until they are forgotten.

A file of some kilobytes may hold 50 million pixels. One such picture is bounded by `open_image`;
here is what bounds many at once, for whoever opens pictures for strangers side by side.
"""

from __future__ import annotations

import threading
import weakref
from pathlib import Path

from models.images.opening import OpenedImage, open_image, stored_size
from models.schema import Busy

HELD_PIXELS = 400_000_000  # of opened pictures, at four bytes each in memory
DECODED_PIXELS = 64_000_000  # of files that are decoded at once, at up to sixteen bytes each
WAIT_S = 30.0  # for others to be decoded


class PictureRoom:
    """Opens pictures as long as there is room for them. Safe to use from every thread."""

    def __init__(
        self, held: int = HELD_PIXELS, decoded: int = DECODED_PIXELS, wait_s: float = WAIT_S
    ):
        """Bounds in pixels; a picture that alone has more than `decoded` is decoded alone."""
        self._most_held, self._most_decoded, self._wait_s = held, decoded, wait_s
        self._held = self._decoded = 0
        # Reentrant: a picture may be forgotten by the very thread that has the lock.
        self._changed = threading.Condition(threading.RLock())

    @property
    def held(self) -> int:
        """Pixels of the pictures that were opened here and are still in use."""
        with self._changed:
            return self._held

    def open(self, source: str | Path | bytes) -> OpenedImage:
        """As `open_image`; it waits while others are decoded. Busy where too many are held."""
        width, height = stored_size(source).size
        pixels = width * height
        self._enter(pixels)
        try:
            opened = open_image(source)
            self._hold(opened)
        finally:
            self._leave(pixels)
        return opened

    def _enter(self, pixels: int) -> None:
        def has_room() -> bool:
            return not self._decoded or self._decoded + pixels <= self._most_decoded

        with self._changed:
            is_free = self._changed.wait_for(has_room, self._wait_s)
            if not is_free or self._held + pixels > self._most_held:
                raise Busy("The server has no room for more pictures.", "Try again in a minute.")
            self._decoded += pixels

    def _leave(self, pixels: int) -> None:
        with self._changed:
            self._decoded -= pixels
            self._changed.notify_all()

    def _hold(self, opened: OpenedImage) -> None:
        pixels = opened.image.width * opened.image.height
        with self._changed:
            self._held += pixels
        weakref.finalize(opened.image, self._forget, pixels).atexit = False

    def _forget(self, pixels: int) -> None:
        with self._changed:
            self._held -= pixels


ROOM = PictureRoom()  # of this process
