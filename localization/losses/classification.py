"""Cross-entropy against hard, smoothed or circular targets."""

import math

import torch
from torch import Tensor, nn

from localization.angles import N_CLASSES


class CrossEntropy(nn.Module):
    """Cross-entropy in nats, with label smoothing (Szegedy et al. 2016, CVPR, section 7).

    Parameters
    ----------
    smoothing : float
        Share of the probability, in [0, 1), that is spread evenly over all classes.

    Raises
    ------
    ValueError
        If `smoothing` lies outside.

    Examples
    --------
    >>> CrossEntropy()(torch.zeros(3, 72), torch.tensor([0, 1, 2])).exp().round().item()
    72.0
    """

    def __init__(self, smoothing: float = 0.1) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing must lie in [0, 1), found {smoothing}")
        self.smoothing = smoothing

    def forward(self, logits: Tensor, classes: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits, classes, label_smoothing=self.smoothing)


class Circular(nn.Module):
    """Cross-entropy against a von Mises distribution round the true azimuth: near misses cost less.

    Parameters
    ----------
    std : float
        Width of the target in degrees: its concentration is 1 / std² (std in radians), that of the von Mises
        distribution which a normal one of this standard deviation resembles where it is narrow. With 2.5
        each neighbour has a tenth.

    Raises
    ------
    ValueError
        If `std` is below 0.1, where the target is a single class and the numbers overflow, or above 360.

    Examples
    --------
    >>> loss = Circular(std=5)
    >>> loss.targets[0, [71, 0, 1]]
    tensor([0.2418, 0.3986, 0.2418])
    """

    targets: Tensor

    def __init__(self, std: float = 2.5) -> None:
        super().__init__()
        if not 0.1 <= std <= 360:
            raise ValueError(f"std must lie in [0.1, 360], in degrees, found {std}")
        steps = torch.arange(N_CLASSES, dtype=torch.float64)
        distance = 2 * math.pi / N_CLASSES * (steps[:, None] - steps)
        targets = (distance.cos() / math.radians(std) ** 2).softmax(dim=1)
        self.register_buffer("targets", targets.float(), persistent=False)

    def forward(self, logits: Tensor, classes: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits, self.targets[classes])
