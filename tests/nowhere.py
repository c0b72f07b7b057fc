"""A backend for tests of the page that need no answer."""

from __future__ import annotations

from models.catalog.catalog import Catalog
from models.schema import Need, Readiness

CATALOG = Catalog()


class Nowhere:
    """A backend whose real sizes are all missing; it is never asked for an answer."""

    def __init__(self, catalog: Catalog = CATALOG):
        self.catalog = catalog

    def missing(self, checkpoint: str, precision: str = "auto") -> str | None:
        if precision == "fp32":
            return f"{checkpoint} in fp32 needs 58 GB."
        return None if checkpoint == "nano-224" else f"{checkpoint} has no weights here."

    def notice(self, checkpoint: str) -> str | None:
        return None if checkpoint == "nano-224" else "The first use downloads 6.1 GB."

    def readiness(self, checkpoint: str, precision: str = "auto") -> Readiness:
        return Readiness("ready" if checkpoint == "nano-224" else "gated")

    def adapters(self, checkpoint: str) -> tuple[str, ...]:
        return ("vqa",) if checkpoint == "nano-224" else ()

    def needs(self, checkpoint: str) -> tuple[Need, ...]:
        return (Need("bf16", 10**9, checkpoint == "nano-224"),)

    def precisions(self) -> tuple[str, ...]:
        return ("bf16",)
