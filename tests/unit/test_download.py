"""Downloads: bytes while they run, a sentence when they fail. No test reaches the network."""

from __future__ import annotations

import errno
import io
import json
import threading

import pytest
from huggingface_hub import errors
from tqdm import tqdm

from models.hub import download
from models.schema import StatusEvent, UserError

REPO = "google/paligemma2-3b-mix-224"
TOKEN = "hf_secretsecretsecret"


def http_error(kind: type, code: int) -> Exception:
    """An error of the kind that the Hub's client raises for a status code."""
    http = pytest.importorskip(errors.HTTPError.__module__.split(".")[0])
    request = http.Request("GET", f"https://huggingface.co/{REPO}")
    return kind(f"{code} Client Error", response=http.Response(code, request=request))


def connect_error() -> Exception:
    http = pytest.importorskip(errors.HTTPError.__module__.split(".")[0])
    return http.ConnectError("no route")


def wrapped(cause: Exception) -> Exception:
    """What snapshot_download makes of a failed look-up."""
    outer = errors.LocalEntryNotFoundError("Cannot find an appropriate cached snapshot folder")
    outer.__cause__ = cause
    return outer


@pytest.fixture(params=[None, TOKEN])
def token(request, monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: request.param)
    return request.param


@pytest.fixture
def no_local_copy(monkeypatch):
    monkeypatch.setattr(download, "local_folder", lambda *arguments: None)


def test_a_missing_token_and_a_bad_one_are_told_apart(token):
    error = download.explain(http_error(errors.GatedRepoError, 401), REPO)
    assert ("none is set" in error.problem) == (token is None)
    assert "HF_TOKEN" in error.remedy
    assert TOKEN not in str(error)


def test_a_disabled_repository_is_not_taken_for_a_licence():
    error = download.explain(http_error(errors.DisabledRepoError, 403), REPO)
    assert "has been disabled" in error.problem
    assert "licence" not in str(error)


def test_a_file_that_is_not_there_is_said():
    error = download.explain(http_error(errors.RemoteEntryNotFoundError, 404), REPO)
    assert "lacks a file" in error.problem


def test_the_cause_of_an_interrupted_download_is_logged(caplog):
    cause = RuntimeError("the transfer broke")
    assert "interrupted" in str(download.explain(cause, REPO))
    (record,) = caplog.records
    assert record.exc_info[1] is cause


@pytest.mark.parametrize("wrap", [False, True])
def test_a_licence_that_is_not_accepted_is_linked(wrap, token):
    cause = http_error(errors.HfHubHTTPError if wrap else errors.GatedRepoError, 403)
    error = download.explain(wrapped(cause) if wrap else cause, REPO)
    assert "licence" in error.problem
    assert f"https://huggingface.co/{REPO}" in error.remedy


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: http_error(errors.RepositoryNotFoundError, 404), "There is no"),
        (lambda: http_error(errors.HfHubHTTPError, 429), "too many requests"),
        (lambda: http_error(errors.HfHubHTTPError, 503), "interrupted"),
        (lambda: errors.OfflineModeIsEnabled("offline"), "HF_HUB_OFFLINE"),
        (lambda: wrapped(errors.OfflineModeIsEnabled("offline")), "HF_HUB_OFFLINE"),
        (lambda: wrapped(connect_error()), "could not be reached"),
        (connect_error, "could not be reached"),
        (lambda: errors.LocalEntryNotFoundError("gone"), "could not be reached"),
        (lambda: OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
        (lambda: PermissionError(errno.EACCES, "denied"), "cannot be written"),
        (lambda: RuntimeError("transfer"), "interrupted"),
        (lambda: ConnectionResetError("reset"), "reached|interrupted"),
    ],
)
def test_every_failure_has_a_sentence_and_a_remedy(make, words, token):
    error = download.explain(make(), REPO)
    assert isinstance(error, UserError)
    assert error.remedy
    with pytest.raises(UserError, match=words):
        raise error


@pytest.mark.parametrize("cause", [errors.OfflineModeIsEnabled("offline"), connect_error()])
def test_without_a_network_a_gated_repository_says_all_that_it_needs(cause, token):
    error = download.explain(wrapped(cause), REPO, is_gated=True)
    assert "choose nano" in error.remedy.lower()
    lacks_token = f"accept the licence at https://huggingface.co/{REPO}, create a token"
    assert (lacks_token in error.remedy) == (token is None)
    assert "licence" not in download.explain(wrapped(cause), REPO).remedy


def test_a_failed_download_is_explained(no_local_copy, monkeypatch):
    def fail(*arguments, **options):
        raise wrapped(connect_error())

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(UserError, match="could not be reached"):
        download.fetch(REPO, lambda message: None)


def test_a_bug_is_not_taken_for_a_failed_download(no_local_copy, monkeypatch):
    def fail(*arguments, **options):
        raise AttributeError("a bug")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(AttributeError):
        download.fetch(REPO, lambda message: None)


def test_too_small_a_disk_is_said_before_downloading(no_local_copy, monkeypatch):
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda *arguments, **options: pytest.fail("started")
    )
    with pytest.raises(UserError, match="disk"):
        download.fetch(REPO, lambda message: None, size_bytes=10**18)


def test_a_download_reports_bytes_and_asks_only_for_weights(no_local_copy, monkeypatch, tmp_path):
    asked = {}

    def snapshot(repo_id, allow_patterns, revision, token, tqdm_class):
        asked.update(repo=repo_id, patterns=allow_patterns)
        files = tqdm_class([1, 2], desc="Fetching 2 files", total=2)
        bar = tqdm_class(total=0, initial=0, unit="B", unit_scale=True, desc="Reconstructing")
        bar.total = 6_100_000_000
        bar.update(1_000_000_000)
        bar.refresh()
        bar.set_postfix_str("1 MB/s", refresh=False)
        bar.set_description("done")
        list(files)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    said: list[StatusEvent] = []
    assert download.fetch(REPO, said.append, size_bytes=1000) == tmp_path
    (event,) = [event for event in said if "1.00 of 6.10 GB" in event.message]
    assert event.share == pytest.approx(1 / 6.1)
    assert said[0].share is None
    assert asked == {"repo": REPO, "patterns": list(download.CHECKPOINT_FILES)}
    assert not any("bin" in pattern for pattern in asked["patterns"])


def test_leaving_ends_a_download(no_local_copy, monkeypatch):
    class Gone(Exception):
        pass

    def snapshot(repo_id, allow_patterns, revision, token, tqdm_class):
        bar = tqdm_class(total=100, unit="B")
        bar.update(50)
        bar.refresh()
        pytest.fail("the download went on")

    def status(event):
        if " of " in event.message:
            raise Gone

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    with pytest.raises(Gone):
        download.fetch(REPO, status)
    # Loading a model draws a bar, in another thread: the lock of all bars must be free.
    drawn = threading.Event()

    def draw():
        tqdm(total=1, file=io.StringIO()).close()
        drawn.set()

    threading.Thread(target=draw, daemon=True).start()
    assert drawn.wait(10)


@pytest.mark.parametrize("complete", [True, False])
def test_only_a_complete_folder_counts_as_here(complete, monkeypatch, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = {"weight_map": {"a": shards[0], "b": shards[1]}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    for shard in shards[: 2 if complete else 1]:
        (tmp_path / shard).touch()
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **options: str(tmp_path))
    assert download.local_folder(REPO) == (tmp_path if complete else None)


def test_nothing_here_is_no_failure(monkeypatch):
    def absent(*arguments, local_files_only, **options):
        assert local_files_only
        raise errors.LocalEntryNotFoundError("absent")

    monkeypatch.setattr("huggingface_hub.snapshot_download", absent)
    assert download.local_folder(REPO) is None
