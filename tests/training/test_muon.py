"""Muon in float32 takes the steps of torch's."""

from __future__ import annotations

import pytest
import torch

from training.nano.muon import Float32Muon, muon, orthogonal


@pytest.mark.parametrize("shape", [(24, 16), (16, 24)])
def test_the_steps_are_those_of_torch(shape):
    torch.manual_seed(0)
    first = torch.nn.Parameter(torch.randn(shape))
    second = torch.nn.Parameter(first.detach().clone())
    before = first.detach().clone()
    optimizers = tuple(
        kind([each], lr=0.1, weight_decay=0.01, ns_steps=4, adjust_lr_fn="match_rms_adamw")
        for kind, each in ((torch.optim.Muon, first), (Float32Muon, second))
    )
    for _ in range(3):
        gradient = torch.randn(shape)
        for parameter, optimizer in zip((first, second), optimizers, strict=True):
            parameter.grad = gradient.clone()
            optimizer.step()
    moved = (first - before).norm()
    assert moved > 0.5
    assert (first - second).norm() < 0.02 * moved  # torch's is in bfloat16


def test_singular_values_come_near_one():
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(16, 40), 5))
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.3


@pytest.mark.parametrize(("quick", "kind"), [(True, torch.optim.Muon), (False, Float32Muon)])
def test_the_format_is_the_one_that_the_processor_has_instructions_for(monkeypatch, quick, kind):
    monkeypatch.setattr("training.nano.muon.has_bf16_instructions", lambda device: quick)
    groups = [{"params": [torch.nn.Parameter(torch.ones(2, 2))], "lr": 1.0}]
    assert isinstance(muon(groups, 0.0, 4), kind)
