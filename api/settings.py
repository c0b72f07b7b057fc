"""What the owner of a deployment decides about `/v1` and `/mcp`, from the environment.

- `PALIGEMMA_API_KEYS`: keys by commas; with some, both ask for one of them. None by default.
- `PALIGEMMA_API_RATE`: requests a minute for each key, or for each address where there are no
  keys; 0 is no limit. 120 by default.
- `PALIGEMMA_IMAGE_HOSTS`: names of hosts, by commas, that pictures may be fetched from; none by
  default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from models.schema import UserError

KEYS, RATE, IMAGE_HOSTS = "PALIGEMMA_API_KEYS", "PALIGEMMA_API_RATE", "PALIGEMMA_IMAGE_HOSTS"
DEFAULT_RATE = 120
_KEY = re.compile(r"[!-~]{8,256}")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


@dataclass(frozen=True)
class ApiSettings:
    """`keys` and `image_hosts` may be empty; `rate` is requests a minute, 0 for no limit."""

    keys: frozenset[str] = frozenset()
    rate: int = DEFAULT_RATE
    image_hosts: frozenset[str] = frozenset()

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> ApiSettings:
        """As the variables of a process say; UserError naming a bad one."""
        keys = _entries(variables, KEYS)
        for number, key in enumerate(keys, start=1):
            if not _KEY.fullmatch(key):
                raise UserError(
                    f"Key {number} of {KEYS} is not one.",
                    "Use 8 to 256 letters, digits and signs of ASCII.",
                )
        hosts = [each.lower() for each in _entries(variables, IMAGE_HOSTS)]
        for host in hosts:
            if not _HOST.fullmatch(host):
                raise UserError(
                    f"{IMAGE_HOSTS} has a bad entry, {host!r}.",
                    "Write names such as images.example.org, without https:// and port.",
                )
        rate = variables.get(RATE, "").strip() or str(DEFAULT_RATE)
        if not (rate.isascii() and rate.isdigit() and len(rate) < 8):
            raise UserError(f"{RATE} is {rate!r}.", "Set it to requests a minute, or to 0.")
        return cls(frozenset(keys), int(rate), frozenset(hosts))


def _entries(variables: Mapping[str, str], name: str) -> list[str]:
    given = variables.get(name, "").replace("\n", ",").split(",")
    return [each.strip() for each in given if each.strip()]
