"""Where tensors are computed: on an accelerator that is there, not on one that torch was only built for."""

from pathlib import Path

import pytest
import torch

from localization.device import best_device, knows_bfloat16


@pytest.mark.parametrize("built_for", ["cuda", "mps", "xpu"])
def test_an_accelerator_is_taken_only_where_it_works(monkeypatch, built_for):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device(built_for))
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    assert best_device() == torch.device(built_for)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert best_device() == torch.device("cpu")


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="where Linux says what the processor knows")
def test_bfloat16_is_known_where_the_processor_says_so():
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    assert knows_bfloat16() == ("avx512_bf16" in flags)
