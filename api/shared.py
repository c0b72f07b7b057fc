"""What `/v1` and `/mcp` have together: one queue, one set of limits, keys and hosts of pictures."""

from __future__ import annotations

from dataclasses import dataclass

from api.keys import Gate
from api.remote_pictures import RemotePictures
from api.running import Runner
from api.settings import ApiSettings
from models.serving.backend import Backend


@dataclass(frozen=True)
class Shared:
    """Who runs answers, who lets askers in, and who fetches pictures."""

    runner: Runner
    gate: Gate
    remote: RemotePictures

    @classmethod
    def over(
        cls, backend: Backend, settings: ApiSettings, remote: RemotePictures | None = None
    ) -> Shared:
        """For a backend; `remote` None fetches pictures from the hosts of `settings`."""
        remote = remote or RemotePictures(settings.image_hosts)
        return cls(Runner(backend), Gate(settings), remote)
