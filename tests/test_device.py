"""Where tensors are computed: on an accelerator that is there, not on one that torch was only built for."""

import pytest
import torch

from localization.device import best_device


@pytest.mark.parametrize("built_for", ["cuda", "mps", "xpu"])
def test_an_accelerator_is_taken_only_where_it_works(monkeypatch, built_for):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device(built_for))
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    assert best_device() == torch.device(built_for)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert best_device() == torch.device("cpu")
