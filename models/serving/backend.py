"""What the page, the command line and the evaluation talk to: requests in, answers out."""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

from models.catalog.catalog import Catalog
from models.schema import Explanation, Need, Readiness, Request, Result, StatusEvent, TokenEvent
from models.serving.metrics import Snapshot

Event = StatusEvent | TokenEvent | Result | Explanation


class Backend(Protocol):
    """Answers requests, here or elsewhere."""

    @property
    def catalog(self) -> Catalog:
        """What can be chosen here."""
        ...

    def answer(self, request: Request) -> Generator[Event, None, None]:
        """StatusEvents, TokenEvents and at last a Result; closing the iterator stops the work.

        Where the request has an answer already, an Explanation comes instead of tokens and Result.

        UserError for a request that is refused or fails.
        """
        ...

    def missing(self, checkpoint: str, precision: str = "auto") -> str | None:
        """What keeps a checkpoint from being used in a precision and what to do; None where
        nothing does."""
        ...

    def notice(self, checkpoint: str) -> str | None:
        """What the first use of a checkpoint brings with it, such as a download; else None."""
        ...

    def readiness(self, checkpoint: str, precision: str = "auto") -> Readiness:
        """What is between a checkpoint in a precision and its first token."""
        ...

    def adapters(self, checkpoint: str) -> tuple[str, ...]:
        """The adapters that a checkpoint has."""
        ...

    def precisions(self) -> tuple[str, ...]:
        """The precisions that can run, "auto" not among them."""
        ...

    def needs(self, checkpoint: str) -> tuple[Need, ...]:
        """What a checkpoint takes in each precision that can run."""
        ...

    def snapshots(self) -> tuple[Snapshot, ...]:
        """What the loaded models do now."""
        ...

    def warm(self, checkpoint: str) -> None:
        """Load a checkpoint ahead of its first request."""
        ...

    def close(self) -> None:
        """Stop everything."""
        ...
