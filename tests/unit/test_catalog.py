"""The catalog lists what exists and nothing else."""

from __future__ import annotations

import pytest

from models.catalog import memory
from models.catalog.catalog import Catalog
from models.catalog.checkpoints import BUILT_IN, LONGEST_TEXT
from models.schema import UserError

CATALOG = Catalog()
REAL = [each for each in BUILT_IN if not each.is_local]


def test_the_seventeen_real_checkpoints_are_listed():
    hub_ids = {each.hub_id for each in REAL}
    assert len(REAL) == len(hub_ids) == 17
    assert "google/paligemma2-3b-ft-docci-448" in hub_ids
    assert "google/paligemma2-28b-ft-docci-448" not in hub_ids
    assert "google/paligemma2-3b-mix-896" not in hub_ids


@pytest.mark.parametrize(
    "name, parameters",
    [
        ("3b-mix-224", 3_032_094_960),
        ("3b-pt-448", 3_032_979_696),
        ("3b-pt-896", 3_036_518_640),
        ("10b-ft-docci-448", 9_663_294_192),
        ("10b-pt-896", 9_666_833_136),
        ("28b-mix-224", 27_650_192_112),
    ],
)
def test_parameters_are_those_published(name, parameters):
    assert CATALOG.find(name).parameters == parameters


@pytest.mark.parametrize("size, gigabytes", [("3b", 6.1), ("10b", 19.3), ("28b", 55.3)])
def test_downloads_are_as_large_as_published(size, gigabytes):
    assert CATALOG.find(f"{size}-mix-224").download_bytes / 1e9 == pytest.approx(
        gigabytes, abs=0.05
    )


def test_nano_needs_no_download():
    nano = CATALOG.find("nano-224")
    assert (nano.is_local, nano.download_bytes, nano.licence_url) == (True, 0, None)
    assert nano.image_tokens == 196


def test_nano_has_the_parameters_it_claims(nano):
    assert (
        sum(each.numel() for each in nano.model.parameters()) == CATALOG.find("nano-224").parameters
    )


def test_nano_has_the_linear_layers_it_claims(nano):
    layers = nano.model.model.language_model.layers
    linear = sum(each.weight.numel() for each in layers.modules() if hasattr(each, "in_features"))
    assert linear == CATALOG.find("nano-224").shape.text.linear_parameters


@pytest.mark.parametrize("side, tokens", [(224, 256), (448, 1024), (896, 4096)])
def test_image_tokens(side, tokens):
    assert CATALOG.find(f"3b-pt-{side}").image_tokens == tokens


def test_an_unknown_name_is_answered_with_the_valid_ones():
    with pytest.raises(UserError, match="nano-224") as caught:
        CATALOG.find("3b-mix-896")
    assert "3b-mix-896" in caught.value.problem


def test_choices_narrow_each_other():
    assert CATALOG.sizes() == ("nano", "3B", "10B", "28B")
    assert CATALOG.variants("28B") == ("mix", "pt")
    assert CATALOG.variants("3B", 896) == ("pt",)
    assert CATALOG.resolutions("3B") == (224, 448, 896)
    assert CATALOG.resolutions("10B", "ft-docci") == (448,)


def test_memory_grows_with_precision_and_resolution():
    small, large = CATALOG.find("3b-pt-224"), CATALOG.find("3b-pt-896")
    single, half = (memory.estimate(small, each, False) for each in ("fp32", "bf16"))
    assert (single.weights, single.cache) == (2 * half.weights, 2 * half.cache)
    gated = 3 * (4096 + LONGEST_TEXT) * 9216 * 2
    assert memory.estimate(large, "bf16", False).workspace == gated
    head = 2 * 2304 * 257_152
    assert memory.estimate(small, "bf16", True).workspace == head > half.workspace
    assert half.total > half.weights + half.cache + half.workspace


def test_an_unknown_precision_is_refused():
    memory.check_precision("auto")
    with pytest.raises(UserError, match="bf16"):
        memory.check_precision("int3")
