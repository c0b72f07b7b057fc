"""How events of the page are wired: what they share, and calls of the page's own scripts."""

from __future__ import annotations

import json
from typing import Any

PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
# What only changes the page is quick, and must work while the queue is full: Stop above all.
AT_ONCE: dict[str, Any] = {**PRIVATE, "queue": False}
# What only the browser does.
SCRIPTED: dict[str, Any] = {"api_visibility": "private", "queue": False}
# Each of them goes through, also while the one before is on its way: the last click wins.
EVERY: dict[str, Any] = {"trigger_mode": "multiple"}
# What `scripts/` does with the values of an event's inputs; it may still be on its way.
_CALL = """async (...values) => {
  while (!window.paligemma?.NAME) await new Promise((soon) => setTimeout(soon, 20));
  return window.paligemma.NAME(values, ABOUT);
}"""


def call(name: str, *about: Any) -> str:
    """A call of one of the page's scripts with the inputs' values, and with what JSON can say
    `about` them."""
    more = ", ".join(json.dumps(each) for each in about)
    return _CALL.replace("NAME", name).replace(", ABOUT", f", {more}" if more else "")
