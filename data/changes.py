"""What reading data changed on the way: merged, cut, left out or added, counted for one line.

A reader counts, and the command that reads prints the line before its run begins.
"""

from __future__ import annotations

from dataclasses import dataclass, field

LONGEST_EXAMPLE = 80  # characters


@dataclass
class Changes:
    """How often each thing was done, in the order in which it was first done."""

    _counts: dict[str, int] = field(default_factory=dict)
    _examples: dict[str, str] = field(default_factory=dict)

    def count(self, what: str, example: str = "") -> None:
        """Something was done once more; the first `example` is shown."""
        self._counts[what] = self._counts.get(what, 0) + 1
        if example:
            self._examples.setdefault(what, example)

    def __getitem__(self, what: str) -> int:
        """How often something was done."""
        return self._counts.get(what, 0)

    def __bool__(self) -> bool:
        return bool(self._counts)

    def __str__(self) -> str:
        """All in one line: "crowds left out: 2 (annotation 5); …"; empty where nothing was done."""
        return "; ".join(
            f"{what}: {times}{self._shown(what)}" for what, times in self._counts.items()
        )

    def _shown(self, what: str) -> str:
        example = self._examples.get(what, "")
        if len(example) > LONGEST_EXAMPLE:
            example = f"{example[:LONGEST_EXAMPLE]} …"
        return f" ({example})" if example else ""
