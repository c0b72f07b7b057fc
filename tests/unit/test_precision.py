"""Which number formats run where, and what "auto" means."""

from __future__ import annotations

import pytest
import torch

from models.catalog.catalog import Catalog
from models.loading import precision
from models.schema import UserError

find = Catalog().find
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    "name, where, expected",
    [
        ("nano-224", CPU, "fp32"),
        ("nano-224", CUDA, "bf16"),
        ("3b-mix-224", CPU, "bf16"),
        ("28b-pt-896", CUDA, "bf16"),
    ],
)
def test_auto_depends_on_size_and_device(name, where, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert precision.resolve_precision(find(name), "auto", where) == expected


def test_a_wish_is_kept_and_nonsense_refused():
    assert precision.resolve_precision(find("nano-224"), "bf16", CPU) == "bf16"
    with pytest.raises(UserError, match="bf16"):
        precision.resolve_precision(find("nano-224"), "fp8", CPU)


def test_only_what_can_run_is_offered(monkeypatch):
    assert precision.precisions(CPU) == ("bf16", "fp32", "int8", "nf4")
    with pytest.raises(UserError, match="a CPU has no fast float16"):
        precision.resolve_precision(find("3b-mix-224"), "fp16", CPU)
    monkeypatch.setattr(precision, "find_spec", lambda name: None)
    assert precision.precisions(CPU) == ("bf16", "fp32")
    with pytest.raises(UserError, match="bitsandbytes is not installed"):
        precision.resolve_precision(find("3b-mix-224"), "nf4", CPU)


def test_an_older_gpu_computes_float16(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert precision.precisions(CUDA) == ("fp16", "fp32", "int8", "nf4")
    assert precision.resolve_precision(find("3b-mix-224"), "auto", CUDA) == "fp16"
    assert precision.dtype_of("nf4", CUDA) == torch.float16
    with pytest.raises(UserError, match="does not compute bfloat16"):
        precision.resolve_precision(find("3b-mix-224"), "bf16", CUDA)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")  # whose parent process must not ask CUDA
    assert "bf16" in precision.precisions(CUDA)
