"""Files from the Hugging Face Hub: downloads with progress, and every failure as a sentence.

The token is read by huggingface_hub (HF_TOKEN or `hf auth login`) and is never shown. This module
does not know what the files are for.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from models.schema import Status, StatusEvent, UserError

logger = logging.getLogger(__name__)

CHECKPOINT_FILES = ("*.json", "*.safetensors", "tokenizer.model")
CODEC_SPACE, CODEC_FILE = "google/paligemma-hf", "vae-oid.npz"

_SHA256 = re.compile(r"[0-9a-f]{64}")
_TOKENS = "https://huggingface.co/settings/tokens"
_SPARE_BYTES = 500_000_000
_REPORT_EVERY_S = 0.5
_CONTINUES = "Try again; it goes on where it stopped."


def has_token() -> bool:
    """Whether a token is set, be it valid or not."""
    from huggingface_hub import get_token

    return bool(get_token())


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network."""
    from huggingface_hub import is_offline_mode

    return is_offline_mode()


def local_folder(
    repo_id: str,
    files: Sequence[str] = CHECKPOINT_FILES,
    probe: str = "config.json",
    revision: str | None = None,
) -> Path | None:
    """The folder of an earlier, complete download; no network. None where there is none.

    `probe` is a file that the folder must have; `revision` a branch, tag or commit.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = snapshot_download(
            repo_id, allow_patterns=list(files), revision=revision, local_files_only=True
        )
    except LocalEntryNotFoundError:
        return None
    folder = Path(found)
    return folder if (folder / probe).is_file() and _has_all_shards(folder) else None


def fetch(
    repo_id: str,
    status: Status,
    files: Sequence[str] = CHECKPOINT_FILES,
    size_bytes: int = 0,
    probe: str = "config.json",
    revision: str | None = None,
    is_public: bool = False,
    is_gated: bool = False,
) -> Path:
    """The folder with a repository's files, downloaded unless it is here already.

    `status` gets a sentence with the bytes so far, about twice a second; what it raises ends the
    download. `size_bytes` is the expected size. The token stays here where `is_public`: the name is
    a visitor's, who must not read with the owner's rights. `is_gated` says that the repository has
    a licence to be accepted. UserError where the download fails.
    """
    found = local_folder(repo_id, files, probe, revision)
    if found:
        return found
    from huggingface_hub import snapshot_download

    _check_disk(size_bytes)
    status(StatusEvent(f"Downloading {repo_id}{_size(size_bytes)} …"))
    failures = _failures()
    try:
        found = Path(
            snapshot_download(
                repo_id,
                allow_patterns=list(files),
                revision=revision,
                token=False if is_public else None,
                tqdm_class=_progress(repo_id, status, size_bytes),
            )
        )
    except failures as error:
        raise explain(error, repo_id, is_public, is_gated) from None
    status(StatusEvent(f"Checking {repo_id} …"))
    for file in sorted(found.glob("*.safetensors")):
        _check_hash(file, repo_id)
    return found


def public_size(repo_id: str, file: str) -> int:
    """Bytes of a file in a public repository, asked without the token; UserError as `fetch`."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    failures = _failures()
    try:
        return get_hf_file_metadata(hf_hub_url(repo_id, file), token=False).size or 0
    except failures as error:
        raise explain(error, repo_id, is_public=True) from None


def fetch_codec(status: Status) -> Path:
    """The published weights of the mask codec (8 MB), downloaded unless they are here already."""
    from huggingface_hub import hf_hub_download

    status(StatusEvent("Fetching the mask decoder …"))
    failures = _failures()
    try:
        found = Path(hf_hub_download(CODEC_SPACE, CODEC_FILE, repo_type="space"))
    except failures as error:
        raise explain(error, CODEC_SPACE) from None
    _check_hash(found, CODEC_SPACE)
    return found


def explain(
    error: BaseException, repo_id: str, is_public: bool = False, is_gated: bool = False
) -> UserError:
    """What went wrong in a download, without the token where `is_public`, and a remedy.

    Where it `is_gated` and no token is set, the remedy for a missing network says that too.
    """
    from huggingface_hub import errors

    page = f"https://huggingface.co/{repo_id}"
    access = (
        f"accept the licence at {page}, create a token with read access at {_TOKENS} and set "
        "HF_TOKEN"
    )
    then = f", then {access}" if is_gated and not has_token() else ""
    cause = error
    while isinstance(cause, errors.LocalEntryNotFoundError) and cause.__cause__ is not None:
        cause = cause.__cause__
    code = getattr(getattr(cause, "response", None), "status_code", None)
    gated = isinstance(cause, errors.GatedRepoError)
    if isinstance(cause, errors.OfflineModeIsEnabled):
        return UserError(
            f"{repo_id} is not on this machine and HF_HUB_OFFLINE forbids downloads.",
            f"Choose nano, or unset HF_HUB_OFFLINE{then}.",
        )
    if is_public and (code in (401, 403) or isinstance(cause, errors.RepositoryNotFoundError)):
        return UserError(
            f"{repo_id} is no public repository on Hugging Face.",
            "Check the name; only adapters that everyone may read can be named here.",
        )
    if isinstance(cause, errors.EntryNotFoundError) and not isinstance(
        cause, errors.LocalEntryNotFoundError
    ):
        return UserError(
            f"{repo_id} lacks a file that is needed.", "Check that it is what it should be."
        )
    if code == 401 and not has_token():
        return UserError(
            f"{repo_id} needs a Hugging Face token and none is set.",
            f"{access[0].upper()}{access[1:]}.",
        )
    if code == 401:
        return UserError(
            f"Hugging Face did not accept the token for {repo_id}.",
            f"Create a new one with read access at {_TOKENS} and set HF_TOKEN.",
        )
    if isinstance(cause, errors.DisabledRepoError):
        return UserError(f"{repo_id} has been disabled on Hugging Face.", "Choose another.")
    if code == 403 or gated:
        return UserError(
            f"The licence of {repo_id} has not been accepted by the owner of the token, or the "
            "token may not read gated repositories.",
            f"Accept it at {page} and try again.",
        )
    if isinstance(cause, errors.RevisionNotFoundError):
        return UserError(
            f"{repo_id} has no such revision on Hugging Face.", "Check what follows the @."
        )
    if code == 404 or isinstance(cause, errors.RepositoryNotFoundError):
        return UserError(f"There is no {repo_id} on Hugging Face.", "Check the name.")
    if code == 429:
        return UserError("Hugging Face got too many requests from here.", "Wait a few minutes.")
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"The disk is full, so {repo_id} could not be stored.",
            "Make room, or point HF_HOME at a larger disk, and try again.",
        )
    if isinstance(cause, PermissionError):
        return UserError(
            "The download folder cannot be written.", "Point HF_HOME at a folder that can be."
        )
    # What follows tells little of the cause, which may be anything.
    logger.warning("the download of %s failed", repo_id, exc_info=error)
    if isinstance(cause, errors.LocalEntryNotFoundError) or _is_unreachable(cause):
        return UserError(
            f"{repo_id} is not on this machine and Hugging Face could not be reached.",
            f"Choose nano, or check the network connection{then}.",
        )
    return UserError(f"The download of {repo_id} was interrupted.", _CONTINUES)


def _check_hash(file: Path, repo_id: str) -> None:
    """UserError where a large file is not what the Hub says it is; it is removed then.

    The Hub names large files by their SHA-256, and the cache keeps each under that name.
    """
    blob = file.resolve()
    if not _SHA256.fullmatch(blob.name):
        return
    with blob.open("rb") as opened:
        if hashlib.file_digest(opened, "sha256").hexdigest() == blob.name:
            return
    file.unlink()
    blob.unlink(missing_ok=True)
    raise UserError(f"{file.name} of {repo_id} arrived damaged and was removed.", "Try again.")


def _failures() -> tuple[type[BaseException], ...]:
    """What a download raises: HTTP and system errors, and what the transfer library throws."""
    from huggingface_hub import errors

    # Of whichever HTTP library it uses, which it does not say that it offers.
    from_http = errors.HTTPError  # type: ignore[attr-defined]
    own = (errors.LocalEntryNotFoundError, errors.XetDownloadError)
    return (from_http, OSError, *own, RuntimeError)


def _is_unreachable(error: BaseException) -> bool:
    """Whether no connection came about at all."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"ConnectError", "ConnectTimeout", "ConnectionError", "ProxyError"})


def _has_all_shards(folder: Path) -> bool:
    """Whether every file that the index of the weights names is there."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return any(folder.glob("*.safetensors"))
    try:
        shards = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    return all((folder / shard).is_file() for shard in shards)


def _check_disk(size_bytes: int) -> None:
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < size_bytes + _SPARE_BYTES:
        raise UserError(
            f"The download needs {size_bytes / 1e9:.1f} GB and {free / 1e9:.1f} GB of disk are "
            "free.",
            "Make room, or point HF_HOME at a larger disk.",
        )


def _size(size_bytes: int) -> str:
    return f" ({size_bytes / 1e9:.1f} GB)" if size_bytes else ""


def _progress(repo_id: str, status: Status, size_bytes: int) -> type[Any]:
    """A progress bar class that reports bytes in words and draws nothing.

    It has what snapshot_download uses of tqdm but is none: a tqdm that is left by an exception,
    which is how a download is ended, keeps the lock that every other bar in the process needs.
    """
    bars: list[Any] = []
    said_at = 0.0

    def report() -> None:
        nonlocal said_at
        # One bar counts what arrived, one what is on disk; the first is ahead.
        done = max(bar.n for bar in bars)
        total = max([size_bytes, *(bar.total or 0 for bar in bars)])
        if done and time.monotonic() - said_at >= _REPORT_EVERY_S:
            said_at = time.monotonic()
            part = f"{min(done, total) / 1e9:.2f} of {total / 1e9:.2f} GB"
            share = min(done / total, 1.0) if total else None
            status(StatusEvent(f"Downloading {repo_id}: {part} …", share))

    class Progress:
        format_dict: ClassVar[dict[str, Any]] = {}

        def __init__(self, iterable: Iterable[Any] = (), **options: Any):
            self._iterable = iterable
            self.total = options.get("total")
            self.n = options.get("initial") or 0
            if options.get("unit") == "B":
                bars.append(self)

        def __iter__(self) -> Iterator[Any]:
            return iter(self._iterable)

        def __enter__(self) -> Progress:
            return self

        def __exit__(self, *error: Any) -> None:
            """There is nothing to close."""

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            if self in bars:
                report()

        def refresh(self, *arguments: Any, **options: Any) -> None:
            """Nothing is drawn; the same holds for what follows."""

        close = set_description = set_description_str = set_postfix_str = refresh

    return Progress
