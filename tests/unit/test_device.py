"""Device, free memory, ZeroGPU."""

from __future__ import annotations

import sys
import types

import torch

from models.loading import device

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


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
