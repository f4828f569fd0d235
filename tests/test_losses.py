"""What training minimises."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from localization.losses import LOSSES, CrossEntropy, build_loss


@given(smoothing=st.floats(0, 0.9), seed=st.integers(0, 1000))
def test_cross_entropy_is_its_definition(smoothing, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(5, 72, generator=generator, dtype=torch.float64)
    classes = torch.randint(0, 72, (5,), generator=generator)
    target = torch.full((5, 72), smoothing / 72, dtype=torch.float64)
    target[torch.arange(5), classes] += 1 - smoothing
    expected = -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(CrossEntropy(smoothing)(logits, classes), expected)


def test_knowing_nothing_costs_the_logarithm_of_the_number_of_classes():
    loss = CrossEntropy(0.0)(torch.zeros(3, 72), torch.tensor([0, 1, 71]))
    assert loss.item() == pytest.approx(math.log(72))


def test_a_loss_is_built_by_name_with_its_options():
    assert isinstance(build_loss(), CrossEntropy)
    assert build_loss("cross_entropy", smoothing=0.3).smoothing == 0.3


def test_an_unknown_loss_is_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match=f"unknown loss 'hinge', expected one of: {', '.join(LOSSES)}"):
        build_loss("hinge")


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_smoothing_outside_its_range_is_refused(smoothing):
    with pytest.raises(ValueError, match="smoothing must lie in"):
        CrossEntropy(smoothing)
