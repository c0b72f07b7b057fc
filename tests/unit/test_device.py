"""Device, number format, free memory, ZeroGPU."""

from __future__ import annotations

import sys
import types

import pytest
import torch

from models.catalog.lookup import find
from models.loading import device
from models.schema import UserError

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
    assert device.resolve_precision(find(name), "auto", where) == expected


def test_a_wish_is_kept_and_nonsense_refused():
    assert device.resolve_precision(find("nano-224"), "bf16", CPU) == "bf16"
    with pytest.raises(UserError, match="bf16"):
        device.resolve_precision(find("nano-224"), "fp8", CPU)


def test_only_what_can_run_is_offered(monkeypatch):
    assert device.precisions(CPU) == ("bf16", "fp32", "int8", "nf4")
    with pytest.raises(UserError, match="a CPU has no fast float16"):
        device.resolve_precision(find("3b-mix-224"), "fp16", CPU)
    monkeypatch.setattr(device, "find_spec", lambda name: None)
    assert device.precisions(CPU) == ("bf16", "fp32")
    with pytest.raises(UserError, match="bitsandbytes is not installed"):
        device.resolve_precision(find("3b-mix-224"), "nf4", CPU)


def test_an_older_gpu_computes_float16(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert device.precisions(CUDA) == ("fp16", "fp32", "int8", "nf4")
    assert device.resolve_precision(find("3b-mix-224"), "auto", CUDA) == "fp16"
    assert device.dtype_of("nf4", CUDA) == torch.float16
    with pytest.raises(UserError, match="does not compute bfloat16"):
        device.resolve_precision(find("3b-mix-224"), "bf16", CUDA)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")  # whose parent process must not ask CUDA
    assert "bf16" in device.precisions(CUDA)


def test_available_memory_is_plausible():
    assert 10**7 < device.available_bytes(CPU) < 10**14


def test_a_container_limit_counts(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 100000\ninactive_file 50000\n")
    monkeypatch.setattr(device, "_CGROUP", tmp_path)
    assert device.available_bytes(CPU) == 150_000


def test_without_a_container_limit_the_machine_counts(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("max\n")
    monkeypatch.setattr(device, "_CGROUP", tmp_path)
    assert device.available_bytes(CPU) > 10**7


def test_on_zero_gpu_the_function_is_decorated(monkeypatch):
    def decorate(**options):
        return lambda function: (options, function)

    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setitem(sys.modules, "spaces", types.SimpleNamespace(GPU=decorate))
    decorated = device.zero_gpu(len, "xlarge")(print)
    assert decorated == ({"duration": len, "size": "xlarge"}, print)
    assert device.best_device() == CUDA
