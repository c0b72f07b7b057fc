"""What an owner sees of the engine, where it was switched on."""

from __future__ import annotations

import httpx
import pytest
from gradio_client import Client, handle_file

from models.serving.metrics import Metrics, Snapshot, prometheus
from tests.serving import app_process, save_scene
from ui import markup


@pytest.mark.slow
def test_metrics_are_at_their_address_only_where_switched_on(tmp_path):
    with app_process(tmp_path, PALIGEMMA_METRICS="1") as app:
        client = Client(app.url, verbose=False)
        picture = handle_file(str(save_scene(tmp_path, 1)))
        for task in ("caption", "ocr"):
            client.predict(image=picture, task=task, api_name="/answer")
        found = httpx.get(f"{app.url}/metrics")
        page = httpx.get(app.url).text
    assert found.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = dict(line.rsplit(" ", 1) for line in found.text.splitlines() if line[0] != "#")
    assert (
        float(lines['paligemma_answered_total{model="nano-224",precision="fp32"}']) == 3
    )  # one warmed it up
    assert float(lines['paligemma_image_cache_hits_total{model="nano-224",precision="fp32"}']) == 1
    assert float(lines['paligemma_first_token_s{model="nano-224",precision="fp32"}']) > 0
    assert '"Engine"' in page


def test_without_the_switch_there_is_nothing(served):
    assert "paligemma_" not in httpx.get(f"{served.url}/metrics").text
    assert '"Engine"' not in httpx.get(served.url).text


def test_counts_are_of_what_happened():
    metrics = Metrics()
    assert metrics.snapshot("a", "fp32", 0, 0, 0, 0).first_token_s is None
    metrics.record_tokens(1, first_token_s=0.5)
    metrics.record_tokens(2)
    metrics.record_end(has_failed=False, is_stopped=False)
    metrics.record_end(has_failed=False, is_stopped=True)
    metrics.record_end(has_failed=True, is_stopped=True)
    found = metrics.snapshot("a", "fp32", 2, 1, 3, 4)
    assert (found.tokens, found.answered, found.stopped, found.failed) == (3, 1, 1, 1)
    assert found.tokens_per_s == pytest.approx(0.3)
    assert found.first_token_s == 0.5


def test_the_text_for_prometheus_and_the_table_name_the_model():
    found = Snapshot("nano<224", "nf4", 1, 2, 3, 9, 4, 5, None, 6.0, 7, 8)
    text = prometheus([found])
    for name, value in (
        ("queued", 1),
        ("running", 2),
        ("image_cache_hits_total", 7),
        ("image_cache_lookups_total", 8),
    ):
        assert f'paligemma_{name}{{model="nano<224",precision="nf4"}} {value}\n' in text
    assert "# TYPE paligemma_tokens_total counter\n" in text
    assert "paligemma_first_token_s{" not in text
    table = markup.engine_figures([found])
    assert "nano&lt;224" in table and "7 of 8" in table and "<td>–</td>" in table
