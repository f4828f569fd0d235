"""What training minimises, each loss under its name in `LOSSES`.

Conventions: a loss is a module called with logits (n_clips, n_classes) and classes (n_clips,); it returns one
number, the mean over the clips. A further loss is a further class and a further line in `LOSSES`.

- `CrossEntropy`: cross-entropy with label smoothing
- `build_loss`: a loss by its name
"""

from torch import Tensor, nn


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
    >>> import torch
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


LOSSES: dict[str, type[nn.Module]] = {"cross_entropy": CrossEntropy}


def build_loss(name: str = "cross_entropy", **options: float) -> nn.Module:
    """A loss by its name.

    Parameters
    ----------
    name : str
        One of `LOSSES`.
    **options
        What the loss takes.

    Returns
    -------
    Module
        loss(logits, classes) -> Tensor ().

    Raises
    ------
    ValueError
        If there is no loss of that name.

    Examples
    --------
    >>> build_loss("cross_entropy", smoothing=0.2).smoothing
    0.2
    """
    if name not in LOSSES:
        raise ValueError(f"unknown loss {name!r}, expected one of: {', '.join(LOSSES)}")
    return LOSSES[name](**options)
