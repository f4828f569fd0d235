"""Margin ranking: of two clips, the one further to the left gets the larger number."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from localization.angles import DEGREES_PER_CLASS, N_CLASSES, lateral_step
from localization.losses.harmonizing import Harmonizer

LATERAL_STEPS = torch.from_numpy(lateral_step(np.arange(N_CLASSES)))
SINES = (math.radians(DEGREES_PER_CLASS) * LATERAL_STEPS).sin().float()


class Ranking(nn.Module):
    """Pairs of clips in the order of sin(azimuth), from right to left.

    A clip's number is the expected sine of its azimuth under the softmax, in [-1, 1]. Of two clips that
    differ in sin(azimuth), the left one's should be larger by a margin (a hinge loss, as of Herbrich, Graepel
    & Obermayer 2000). The margin is never more than the truth's own difference: true estimates cost nothing.
    Front and back, of the same sine, are no pair: no front-back confusion is told by this loss alone.

    Parameters
    ----------
    margin : float
        By how much the numbers of a pair should differ, in (0, 2].

    Raises
    ------
    ValueError
        If `margin` lies outside.

    Examples
    --------
    >>> left, right = torch.full((2, 72), -10.0)
    >>> left[18], right[54] = 10, 10
    >>> Ranking()(torch.stack([left, right]), torch.tensor([18, 54])).item()
    0.0
    """

    def __init__(self, margin: float = 0.1) -> None:
        super().__init__()
        if not 0 < margin <= 2:
            raise ValueError(f"margin must lie in (0, 2], found {margin}")
        self.margin = margin

    def forward(self, logits: Tensor, classes: Tensor) -> Tensor:
        violations = self._violations(logits, classes)
        return violations.sum() / max(len(violations), 1)

    def _violations(self, logits: Tensor, classes: Tensor) -> Tensor:
        """By how much each pair misses its margin, (n_pairs,), 0 where it does not."""
        left, right = _pairs(classes)
        scores, truth = expected_sine(logits), SINES.to(logits.device)[classes]
        margin = (truth[left] - truth[right]).clamp(max=self.margin)
        return (margin - (scores[left] - scores[right])).clamp(min=0)


class GHMRanking(Ranking):
    """The same, its pairs weighted so that all gradient norms have the same say.

    Every pair that misses its margin has the same gradient under a hinge. As the authors of the method do
    with the absolute value (GHM-R), the hinge is made smooth: sqrt(v² + softness²) - softness of what is
    missing, v, whose gradient v / sqrt(v² + softness²) tells a small miss from a large one.

    Parameters
    ----------
    margin
        As of `Ranking`.
    bins, momentum
        As of `Harmonizer`.
    softness : float
        The miss, in units of the sine, at which the gradient reaches 0.7.

    Raises
    ------
    ValueError
        If `softness` is not positive, and as the other two.
    """

    def __init__(
        self, margin: float = 0.1, bins: float = 10, momentum: float = 0.75, softness: float = 0.1
    ) -> None:
        super().__init__(margin)
        if not 0 < softness < math.inf:
            raise ValueError(f"softness must be positive, found {softness}")
        self.softness = softness
        self.harmonizer = Harmonizer(bins, momentum)

    def forward(self, logits: Tensor, classes: Tensor) -> Tensor:
        violations = self._violations(logits, classes)
        root = (violations.square() + self.softness**2).sqrt()
        losses = self.harmonizer((violations / root).detach()) * (root - self.softness)
        return losses.sum() / max(len(losses), 1)


def expected_sine(logits: Tensor) -> Tensor:
    """Expected sine of the azimuth under the softmax: logits (n_clips, 72) -> (n_clips,) in [-1, 1].

    Examples
    --------
    >>> expected_sine(torch.eye(72)[[0, 18]] * 100)
    tensor([0., 1.])
    """
    # A product of matrices would be in half precision where the model is.
    return (logits.softmax(dim=1) * SINES.to(logits.device)).sum(dim=1)


def pair_accuracy(logits: Tensor, classes: Tensor) -> tuple[Tensor, int]:
    """Share of a batch's pairs in the right order, equal numbers counting as half, and how many there are.

    The share is 0 where there are none.
    """
    left, right = _pairs(classes)
    scores = expected_sine(logits)
    return ((scores[left] - scores[right]).sign() + 1).sum() / 2 / max(len(left), 1), len(left)


def _pairs(classes: Tensor) -> tuple[Tensor, Tensor]:
    """All pairs of clips of which the first lies further to the left: their numbers, (n_pairs,) each."""
    steps = LATERAL_STEPS.to(classes.device)[classes]
    left, right = torch.nonzero(steps[:, None] > steps, as_tuple=True)
    return left, right
