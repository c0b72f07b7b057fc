"""The page inside other pages: who may frame it, and who is told what it answered.

`PALIGEMMA_EMBED_ORIGINS` names origins by commas, such as `https://example.org`: their pages may
show this one in a frame, and get each result posted. `*` lets any page show it; results go to those
alone that are named. Without the variable no other page may, but for Hugging Face's on a Space,
where a Space is itself a frame. Framing by strangers is off because what a frame shows can be laid
under other things to be clicked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.schema import UserError

ORIGINS = "PALIGEMMA_EMBED_ORIGINS"
ANY = "*"
SCRIPT_PATH = "/embed.js"
SCRIPT = Path(__file__).with_name("embed.js")
# For pages of all origins and for those that isolate themselves; an owner may change the version.
SCRIPT_HEADERS = {
    "cache-control": "public, max-age=3600",
    "access-control-allow-origin": "*",
    "cross-origin-resource-policy": "cross-origin",
}
HUGGING_FACE = ("https://huggingface.co", "https://*.hf.space")
_ORIGIN = re.compile(r"(https?)://([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)(?::([0-9]{1,5}))?")
_USUAL_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Embedding:
    """`origins` as browsers write them; `anywhere` where any page may frame this one; `is_space`
    where Hugging Face's pages do."""

    origins: tuple[str, ...] = ()
    anywhere: bool = False
    is_space: bool = False

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> Embedding:
        """As the variables of a process say; UserError naming a bad one."""
        given = variables.get(ORIGINS, "").replace("\n", ",").split(",")
        entries = [each.strip() for each in given if each.strip()]
        origins = [_origin(each) for each in entries if each != ANY]
        is_space = bool(variables.get("SPACE_ID"))
        return cls(tuple(dict.fromkeys(origins)), ANY in entries, is_space)

    @property
    def policy(self) -> str:
        """The directive of `Content-Security-Policy` that says which pages may frame this one."""
        if self.anywhere:
            return f"frame-ancestors {ANY}"
        others = (*(HUGGING_FACE if self.is_space else ()), *self.origins)
        return " ".join(("frame-ancestors 'self'", *others))

    def for_script(self) -> dict[str, Any]:
        """What the page's script has to know: the origins that get results."""
        return {"origins": list(self.origins)}


def _origin(entry: str) -> str:
    """An entry in the form in which browsers write an origin; UserError where it is none."""
    found = _ORIGIN.fullmatch(entry.lower())
    port = found[4] if found else None
    if not found or (port is not None and not 0 < int(port) < 2**16):
        raise UserError(
            f"{ORIGINS} has a bad entry, {entry!r}.",
            "Write origins such as https://example.org or http://localhost:8000: without a path, "
            "and names of other scripts as xn--….",
        )
    scheme, host = found[1], found[2]
    if port is None or int(port) == _USUAL_PORTS[scheme]:
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{int(port)}"
