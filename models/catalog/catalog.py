"""Which checkpoints and adapters can be chosen: a value, made at the start and passed on.

This module asks no network. Of folders it reads configurations and which adapters are there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from models.catalog import deployment
from models.catalog.adapter import ANNOUNCED, Adapter, shipped_with
from models.catalog.checkpoints import BUILT_IN, NANO, Checkpoint
from models.schema import UserError

_HUB_ID = re.compile(r"(?!.*(\.\.|--))[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


@dataclass(frozen=True)
class Catalog:
    """The choices that there are; without arguments, the built-in ones.

    `checkpoints` and `adapters` have the built-in ones first; `default` is the name of the
    checkpoint that is chosen at first. `any_adapter` lets visitors name further adapters on the
    Hub, `metrics` lets them see what the loaded models do.
    """

    checkpoints: tuple[Checkpoint, ...] = BUILT_IN
    adapters: tuple[Adapter, ...] = (ANNOUNCED,)
    default: str = NANO.name
    any_adapter: bool = False
    metrics: bool = False

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> Catalog:
        """With what variables of a process add; UserError naming a bad entry.

        `models.catalog.deployment` describes the variables.
        """
        checkpoints = (*BUILT_IN, *deployment.read_checkpoints(variables))
        return cls(
            checkpoints=checkpoints,
            adapters=(ANNOUNCED, *deployment.read_adapters(variables, checkpoints)),
            default=deployment.read_default(variables, checkpoints),
            any_adapter=deployment.is_on(variables, deployment.ANY_ADAPTER),
            metrics=deployment.is_on(variables, deployment.METRICS),
        )

    @property
    def default_checkpoint(self) -> Checkpoint:
        """The checkpoint that is chosen at first."""
        return self.find(self.default)

    def find(self, name: str) -> Checkpoint:
        """The checkpoint of that name; UserError naming the valid ones where there is none."""
        for checkpoint in self.checkpoints:
            if checkpoint.name == name:
                return checkpoint
        known = ", ".join(checkpoint.name for checkpoint in self.checkpoints)
        raise UserError(f"There is no checkpoint {name!r}.", f"Choose one of {known}.")

    def sizes(self) -> tuple[str, ...]:
        """The sizes, smallest first."""
        return tuple(dict.fromkeys(each.size for each in self.checkpoints))

    def variants(self, size: str, resolution: int | None = None) -> tuple[str, ...]:
        """The variants of a size, at one resolution or at any."""
        of_size = (each for each in self.checkpoints if each.size == size)
        found = (each.variant for each in of_size if resolution in (None, each.resolution))
        return tuple(dict.fromkeys(found))

    def resolutions(self, size: str, variant: str | None = None) -> tuple[int, ...]:
        """The resolutions in pixels of a size, of one variant or of any, smallest first."""
        of_size = (each for each in self.checkpoints if each.size == size)
        found = {each.resolution for each in of_size if variant in (None, each.variant)}
        return tuple(sorted(found))

    def adapters_of(self, checkpoint: Checkpoint) -> tuple[Adapter, ...]:
        """The adapters of a checkpoint, those in its folder first.

        One that has a name already in use is offered as NAME-own.
        """
        found: dict[str, Adapter] = {}
        for each in (*shipped_with(checkpoint), *self.adapters):
            is_new = not any(each.has_files_of(other) for other in found.values())
            if each.checkpoint == checkpoint.name and is_new:
                name = each.name
                while name in found:
                    name += "-own"
                found[name] = replace(each, name=name)
        return tuple(found.values())

    def find_adapter(self, checkpoint: Checkpoint, name: str) -> Adapter:
        """The adapter that a checkpoint has under a name; UserError naming the valid ones where
        there is none.

        Where visitors may name one, that is any Hub id.
        """
        offered = {each.name: each for each in self.adapters_of(checkpoint)}
        if name in offered:
            return offered[name]
        if not self.any_adapter:
            remedy = f"Choose one of {', '.join(offered)}." if offered else "Use none."
            raise UserError(f"{checkpoint.name} has no adapter {name!r}.", remedy)
        if not _HUB_ID.fullmatch(name):
            raise UserError(
                f"{name[:80]!r} is no adapter.", "Write a Hugging Face id, such as owner/name."
            )
        return Adapter(name, checkpoint.name, hub_id=name, is_visitors=True)

    def with_checkpoint(self, source: str, like: str) -> tuple[Catalog, Checkpoint]:
        """With a checkpoint, a folder or Hub id, written as in the environment, that has the
        architecture of the built-in one named `like`; and that checkpoint.

        UserError where it cannot be one.
        """
        try:
            added = deployment.checkpoint_at(source, like, self.checkpoints)
        except deployment.BadSource as error:
            raise UserError(f"{source} cannot be used: {error.reason}.", error.remedy) from None
        return replace(self, checkpoints=(*self.checkpoints, added)), added

    def with_adapter(self, source: str, base: Checkpoint) -> tuple[Catalog, Adapter]:
        """With an adapter of `base`, a folder or Hub id, written as in the environment; and that
        adapter by the name under which it is offered.

        UserError where it cannot be one.
        """
        try:
            added = deployment.adapter_at(source, base.name, self.checkpoints)
        except deployment.BadSource as error:
            raise UserError(f"{source} cannot be used: {error.reason}.", error.remedy) from None
        catalog = replace(self, adapters=(*self.adapters, added))
        offered = catalog.adapters_of(base)
        return catalog, next(each for each in offered if each.has_files_of(added))
