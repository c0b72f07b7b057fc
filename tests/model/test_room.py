"""What keeps a model from running here, in words: files, licence, memory; and who makes room."""

from __future__ import annotations

import shutil
import threading

import pytest
import torch

from models.catalog.catalog import Catalog
from models.catalog.checkpoints import NANO
from models.catalog.model_key import ModelKey
from models.schema import Readiness, StatusEvent, UserError
from models.serving import model_pool, validation
from models.serving.local_backend import LocalBackend
from models.serving.validation import Offer
from tests.choosing import answer_of, nano_in

SOON_S = 120.0


def test_what_is_missing_is_said(backend, monkeypatch):
    monkeypatch.setattr("models.hub.download.local_folder", lambda hub_id, **_: None)
    monkeypatch.setattr("models.hub.download.has_token", lambda: False)
    monkeypatch.setattr("models.hub.download.is_offline", lambda: False)
    sentence = backend.missing("3b-mix-448")
    for fact in ("google/paligemma2-3b-mix-448", "6.1 GB", "licence", "HF_TOKEN", "memory"):
        assert fact in sentence
    assert backend.missing("nano-224") is None


def test_all_reasons_are_said_at_once_and_memory_first(backend, monkeypatch):
    monkeypatch.setattr("models.hub.download.local_folder", lambda hub_id, **_: None)
    monkeypatch.setattr("models.hub.download.has_token", lambda: False)
    monkeypatch.setattr("models.hub.download.is_offline", lambda: False)
    monkeypatch.setattr(model_pool, "available_bytes", lambda device: 1_000_000_000)
    sentence = backend.missing("28b-mix-224")
    facts = ("GB free", "55.3 GB to download", "token", "Choose nano", "licence", "HF_TOKEN")
    places = [sentence.find(fact) for fact in facts]
    assert places == sorted(places) and places[0] > 0
    assert sentence.count(". ") == 1
    assert sentence.endswith("start again on a machine with more memory.")


def test_a_download_is_announced_and_keeps_nobody_away(backend, monkeypatch):
    monkeypatch.setattr("models.hub.download.local_folder", lambda hub_id, **_: None)
    monkeypatch.setattr("models.hub.download.has_token", lambda: True)
    monkeypatch.setattr("models.hub.download.is_offline", lambda: False)
    monkeypatch.setattr(model_pool, "available_bytes", lambda device: 10**12)
    assert backend.missing("3b-mix-448") is None
    page = "https://huggingface.co/google/paligemma2-3b-mix-448"
    assert backend.notice("3b-mix-448") == f"The first use downloads 6.1 GB (licence: {page})."
    assert backend.notice("nano-224") is None
    monkeypatch.setattr("models.hub.download.local_folder", lambda hub_id, **_: "/somewhere")
    assert backend.notice("3b-mix-448") is None


def test_how_ready_a_choice_is(backend, monkeypatch):
    assert backend.readiness("nano-224").state in ("ready", "loads")
    backend.warm("nano-224")
    assert backend.readiness("nano-224") == Readiness("ready")
    monkeypatch.setattr("models.hub.download.local_folder", lambda hub_id, **_: "/somewhere")
    monkeypatch.setattr(model_pool, "available_bytes", lambda device: 10**12)
    loads = backend.readiness("3b-mix-448", "bf16")
    assert loads.state == "loads" and 1 < loads.seconds < 60
    monkeypatch.setattr("models.hub.download.local_folder", lambda hub_id, **_: None)
    monkeypatch.setattr("models.hub.download.has_token", lambda: True)
    monkeypatch.setattr("models.hub.download.is_offline", lambda: False)
    downloads = backend.readiness("3b-mix-448")
    assert downloads.state == "downloads" and downloads.bytes == pytest.approx(6.1e9, rel=0.02)
    monkeypatch.setattr("models.hub.download.has_token", lambda: False)
    assert backend.readiness("3b-mix-448") == Readiness("gated")
    monkeypatch.setattr("models.hub.download.is_offline", lambda: True)
    assert backend.readiness("3b-mix-448") == Readiness("missing")
    monkeypatch.setattr(model_pool, "available_bytes", lambda device: 10**9)
    needs = backend.readiness("28b-mix-224", "bf16")
    assert needs.state == "needs" and needs.bytes > 5e10


def test_offline_is_said(backend, monkeypatch):
    monkeypatch.setattr("models.hub.download.local_folder", lambda hub_id, **_: None)
    monkeypatch.setattr("models.hub.download.is_offline", lambda: True)
    monkeypatch.setattr("models.hub.download.has_token", lambda: True)
    missing = backend.missing("3b-mix-448")
    assert missing.endswith("Choose nano, or unset HF_HUB_OFFLINE and start again.")
    monkeypatch.setattr("models.hub.download.has_token", lambda: False)
    missing = backend.missing("3b-mix-448")
    assert "unset HF_HUB_OFFLINE, accept the Gemma licence at https://" in missing
    assert missing.endswith("set HF_TOKEN and start again.")


def test_too_little_memory_is_said(monkeypatch):
    backend = LocalBackend()  # whose pool is empty: what could be evicted counts as free
    monkeypatch.setattr("models.hub.download.local_folder", lambda hub_id, **_: "/somewhere")
    monkeypatch.setattr(model_pool, "available_bytes", lambda device: 1_000_000_000)
    assert "this machine has 1.0 GB free" in backend.missing("28b-mix-224")
    monkeypatch.setattr(model_pool, "available_bytes", lambda device: 10**11)
    assert backend.missing("28b-mix-224") is None
    assert "in float32 needs 11" in backend.missing("28b-mix-224", "fp32")


def test_a_remedy_names_first_what_is_possible_without_a_token(monkeypatch):
    backend = LocalBackend()
    monkeypatch.setattr("models.hub.download.local_folder", lambda hub_id, **_: None)
    monkeypatch.setattr("models.hub.download.has_token", lambda: False)
    monkeypatch.setattr("models.hub.download.is_offline", lambda: False)
    monkeypatch.setattr(model_pool, "available_bytes", lambda device: 20 * 10**9)
    problem, _, remedy = backend.missing("28b-mix-224", "bf16").partition("token is set. ")
    assert "28b-mix-224 in bfloat16 needs" in problem
    assert remedy.startswith("Choose nano, or accept the Gemma licence")
    assert "start again; then try " in remedy and "nf4 or" not in remedy


def test_a_copy_without_weights_is_said(tmp_path, ask, nano_checkpoint):
    for file in nano_checkpoint.glob("*[!x].json"):  # all but the index of the weights
        shutil.copy(file, tmp_path)
    backend = LocalBackend(Catalog(checkpoints=(nano_in(tmp_path),)))
    assert "weights of nano-224 are missing" in backend.missing("nano-224")
    with pytest.raises(UserError, match="weights of nano-224 are missing"):
        list(backend.answer(ask()))
    backend.close()


def test_an_idle_model_makes_room_for_another(ask, monkeypatch):
    backend = LocalBackend()
    answer_of(backend, ask(tokens=1, precision="fp32"))
    held = [key for key, each in backend._pool.items() if each.is_loaded]
    free = iter([0])  # too little until something was let go
    monkeypatch.setattr(model_pool, "available_bytes", lambda device: next(free, 10**12))
    answer_of(backend, ask(tokens=1, precision="bf16"))
    assert held == [ModelKey(NANO, "fp32")]
    assert [key for key, _ in backend._pool.items()] == [ModelKey(NANO, "bf16")]
    backend.close()


def test_one_model_is_loaded_at_a_time_and_the_wait_can_be_left(monkeypatch, nano):
    backend = LocalBackend()
    loading, let_go, loaded = threading.Event(), threading.Event(), []

    def load(loader, key, status):
        loading.set()
        assert let_go.wait(SOON_S)
        loaded.append(key.precision)
        return nano

    def leave(event: StatusEvent) -> None:
        assert "another model" in event.message
        raise TimeoutError

    monkeypatch.setattr("models.loading.loader.Loader.load", load)
    first = threading.Thread(target=backend._pool.load_for(ModelKey(NANO, "fp32")), args=(print,))
    first.start()
    assert loading.wait(SOON_S)
    with pytest.raises(TimeoutError):
        backend._pool.load_for(ModelKey(NANO, "bf16"))(leave)
    assert loaded == []
    let_go.set()
    first.join()
    backend._pool.load_for(ModelKey(NANO, "bf16"))(leave)
    assert loaded == ["fp32", "bf16"]


def test_no_room_is_refused_in_words(ask, monkeypatch):
    backend = LocalBackend()
    monkeypatch.setattr(model_pool, "available_bytes", lambda device: 0)
    with pytest.raises(UserError, match=r"MB; this machine has 0 MB free"):
        list(backend.answer(ask()))
    backend.close()


def test_what_would_fit_is_named():
    chosen = Catalog().find("10b-pt-448")
    offer = Offer(Catalog().checkpoints, ("bf16", "fp32", "nf4"))

    def smaller(precision: str, room: float) -> tuple[str, ...]:
        return validation.smaller(ModelKey(chosen, precision), offer, int(room), False)

    assert smaller("bf16", 9e9) == ("nf4", "3b-pt-896")
    assert smaller("bf16", 7.6e9) == ("3b-pt-896",)
    assert smaller("nf4", 1e9) == ("nano-448",)
    assert smaller("nf4", 1e6) == ()
    error = validation.too_little_memory(ModelKey(chosen, "bf16"), offer, 76 * 10**8, False)
    assert str(error).endswith("this machine has 7.6 GB free. Try 3b-pt-896.")


@pytest.mark.parametrize(
    "failure",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_when_memory_runs_out_it_is_said_and_others_make_room(ask, monkeypatch, failure):
    backend = LocalBackend()
    _, first = answer_of(backend, ask(precision="fp32"))
    answer_of(backend, ask(precision="bf16"))

    def fail(*arguments, **options):
        raise failure

    ((_, light),) = [each for each in backend._pool.items() if each[0].precision == "bf16"]
    monkeypatch.setattr(light._engine._decoder, "prefill", fail)
    with pytest.raises(UserError, match=r"memory ran out.*Another model has made room; try again"):
        list(backend.answer(ask(precision="bf16")))
    assert [key for key, _ in backend._pool.items()] == [ModelKey(NANO, "bf16")]
    with pytest.raises(UserError, match=r"memory ran out with nano-224 in bf16\. Choose "):
        list(backend.answer(ask(precision="bf16")))
    monkeypatch.undo()
    assert answer_of(backend, ask(precision="fp32"))[1].text == first.text
    backend.close()
