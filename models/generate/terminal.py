"""What is written beside the answers: errors, notes, and what is going on."""

from __future__ import annotations

import io
import sys
import threading

from models.schema import StatusEvent


def write_utf8() -> None:
    """Write UTF-8 whatever the terminal claims to be.

    Half of a surrogate pair, which no encoding has, becomes an escape that JSON has too.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not what stands in for it in one process
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def complain(message: str) -> None:
    """An error in one line."""
    _say("error", message)


def note(message: str) -> None:
    """Something worth knowing in one line."""
    _say("note", message)


def _say(kind: str, message: str) -> None:
    print(f"{kind}: {' '.join(message.split())}", file=sys.stderr)


class StatusLine:
    """One line on a person's terminal that is written over; nothing where nobody looks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_shown = False

    def show(self, event: StatusEvent) -> None:
        """Say what is going on."""
        if not sys.stderr.isatty():
            return
        done = "" if event.share is None else f"{event.share:4.0%} "
        with self._lock:
            self._is_shown = True
            self._write(f"{done}{event.message}")

    def clear(self) -> None:
        """Make way for an answer."""
        with self._lock:
            if self._is_shown:
                self._is_shown = False
                self._write("")

    @staticmethod
    def _write(text: str) -> None:
        print(f"\r\x1b[2K{text}\r", end="", file=sys.stderr, flush=True)
