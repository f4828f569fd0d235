"""Gradient harmonizing: the many easy examples and the few hopeless ones do not drown what can be learned.

Li, Liu & Wang (2019), "Gradient harmonized single-stage detector", AAAI, 33, 8577-8584.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Statistics(NamedTuple):
    """Of the examples since the last reset, in each bin of gradient norms: arrays (n_bins,) of float.

    `share` of all examples; `weight`, their mean loss weight, NaN where there were none.
    """

    share: list[float]
    weight: list[float]


class Harmonizer(nn.Module):
    """Loss weights that make up for how many examples have a similar gradient norm.

    The norms, in [0, 1], are counted in bins of equal width, and each example is weighted by the inverse of
    its bin's count, so that each bin that holds examples weighs the same. The weights are divided by the
    number of bins that hold examples, as in the authors' program (in their article, of all bins): their mean
    is then near 1, so that a weighted sum of losses means about what it says. Where most bins are seldom
    filled, as by a model that is nearly always right, it is more: in batches of 128, of which 1 % are spread
    over ten bins and the others lie in the lowest, 1.8 with a momentum of 0.75, and 2.7 with 0.9. Counts are
    running means over the steps, here without the bias of a mean that begins at zero; a step without examples
    is none.

    Parameters
    ----------
    bins : int
        Of gradient norms.
    momentum : float
        Of the running counts, in [0, 1): 0 counts the batch alone.

    Attributes
    ----------
    density : Tensor (bins,)
        The running counts, before the correction of their beginning.
    n_steps : Tensor ()
        How many steps they are made of.

    Raises
    ------
    ValueError
        If `bins` is no whole number from 1 to 1000, or `momentum` lies outside.

    Examples
    --------
    >>> Harmonizer(bins=2)(torch.tensor([0.1, 0.2, 0.3, 0.9]))
    tensor([0.6667, 0.6667, 0.6667, 2.0000])
    """

    density: Tensor
    n_steps: Tensor
    counts: Tensor
    weighted: Tensor

    def __init__(self, bins: float = 10, momentum: float = 0.75) -> None:
        super().__init__()
        if not (1 <= bins <= 1000 and bins == int(bins)):
            raise ValueError(f"bins must be a whole number from 1 to 1000, found {bins}")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), found {momentum}")
        self.n_bins, self.momentum = int(bins), momentum
        self.register_buffer("density", torch.zeros(self.n_bins))
        self.register_buffer("n_steps", torch.zeros((), dtype=torch.int64))
        # Since the last reset; an epoch begins with one, so no checkpoint needs them.
        self.register_buffer("counts", torch.zeros(self.n_bins, dtype=torch.int64), persistent=False)
        self.register_buffer("weighted", torch.zeros(self.n_bins), persistent=False)

    def forward(self, norms: Tensor) -> Tensor:
        """Weights of examples by their gradient norms, (n,) both; all 1 in evaluation mode."""
        if not self.training:
            return torch.ones_like(norms)
        # What is no number falls into some bin: a scaler drops such a step, a report ends such a training.
        bins = (norms.detach().nan_to_num() * self.n_bins).long().clamp(max=self.n_bins - 1)
        counts = (bins[:, None] == torch.arange(self.n_bins, device=bins.device)).sum(dim=0)
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(counts)
        if not counts.any():
            return torch.ones_like(norms)
        self.density.mul_(self.momentum).add_((1 - self.momentum) * counts)
        self.n_steps.add_(1)
        density = self.density / (1 - self.momentum**self.n_steps)
        held = counts > 0
        weights = torch.where(held, counts.sum() / (held.sum() * density), 0.0)
        self.counts.add_(counts)
        self.weighted.add_(weights * counts)
        return weights[bins]

    def statistics(self) -> Statistics:
        """Of the examples since the last reset."""
        share = self.counts / self.counts.sum()
        return Statistics(share.tolist(), (self.weighted / self.counts).tolist())

    def reset(self) -> None:
        """Forget the examples of which `statistics` tells; the running counts stay."""
        self.counts.zero_()
        self.weighted.zero_()


class GHM(nn.Module):
    """Cross-entropy, its clips weighted so that all gradient norms have the same say (GHM-C).

    For softmax the gradient norm is 1 - p, p the probability of the true class.

    Parameters
    ----------
    bins, momentum
        As of `Harmonizer`.

    Examples
    --------
    >>> GHM()(torch.zeros(3, 72), torch.tensor([0, 1, 2])).exp().round().item()
    72.0
    """

    def __init__(self, bins: float = 10, momentum: float = 0.75) -> None:
        super().__init__()
        self.harmonizer = Harmonizer(bins, momentum)

    def forward(self, logits: Tensor, classes: Tensor) -> Tensor:
        losses = nn.functional.cross_entropy(logits, classes, reduction="none")
        return (self.harmonizer(-torch.expm1(-losses)) * losses).mean()
