"""What training minimises, each loss under its name in `LOSSES`, and any weighted sum of them.

Conventions: a loss is a module called with logits (n_clips, n_classes) and classes (n_clips,); it returns one
number, a mean over clips or over pairs of clips. What it has learned about the training is in its buffers,
which checkpoints hold; in evaluation mode it learns nothing and weighs all clips alike. A further loss is a
further class and a further line in `LOSSES`.

- `build_loss`: a loss from its name, or a weighted sum from a mapping
- `harmonizers`: the parts of a loss that keep statistics of gradient norms
- `only_orders`: whether a loss teaches no azimuth, but which clip lies further to the left

Modules
-------
classification : Cross-entropy against hard, smoothed or circular targets.
harmonizing : Cross-entropy harmonized over gradient norms (GHM-C).
ranking : Margin ranking of pairs, and the same harmonized.
"""

import inspect
from collections.abc import Mapping
from math import isfinite
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from localization.losses.classification import Circular, CrossEntropy
from localization.losses.harmonizing import GHM, Harmonizer
from localization.losses.ranking import GHMRanking, Ranking, pair_accuracy

__all__ = [
    "GHM",
    "LOSSES",
    "Circular",
    "CrossEntropy",
    "GHMRanking",
    "Harmonizer",
    "Loss",
    "Ranking",
    "WeightedSum",
    "build_loss",
    "harmonizers",
    "only_orders",
    "pair_accuracy",
]

Loss = str | dict[str, float | dict[str, float]]

LOSSES: dict[str, type[nn.Module]] = {
    "cross_entropy": CrossEntropy,
    "circular": Circular,
    "ghm": GHM,
    "ranking": Ranking,
    "ghm_ranking": GHMRanking,
}


class WeightedSum(nn.Module):
    """A sum of losses.

    Parameters
    ----------
    terms : dict of Module
        The losses, each under its name.
    weights : dict of float
        What each is multiplied by.
    """

    def __init__(self, terms: dict[str, nn.Module], weights: dict[str, float]) -> None:
        super().__init__()
        self.terms = nn.ModuleDict(terms)
        self.weights = weights

    def forward(self, logits: Tensor, classes: Tensor) -> Tensor:
        values = [self.weights[name] * term(logits, classes) for name, term in self.terms.items()]
        return torch.stack(values).sum()


def build_loss(loss: Loss) -> nn.Module:
    """A loss from its name, or a weighted sum from a mapping.

    Parameters
    ----------
    loss : str or dict
        One of `LOSSES`; or a weighted sum, which maps each name to its weight, or to its options, among them
        `weight`, 1 if left out.

    Returns
    -------
    Module
        loss(logits, classes) -> Tensor ().

    Raises
    ------
    ValueError
        If there is no loss of a name; if it does not take an option; if a weight is not positive.

    Examples
    --------
    >>> build_loss("cross_entropy").smoothing
    0.1
    >>> build_loss({"circular": {"std": 10}, "ranking": {"weight": 0.3, "margin": 0.1}}).weights
    {'circular': 1.0, 'ranking': 0.3}
    """
    if not isinstance(loss, Mapping):
        return _single(loss, {})
    if not loss:
        raise ValueError(f"loss: a sum of at least one loss expected, found {loss}")
    given = {
        name: dict(entry) if isinstance(entry, Mapping) else {"weight": entry} for name, entry in loss.items()
    }
    weights = {name: _number(name, "weight", entry.pop("weight", 1.0)) for name, entry in given.items()}
    for name, weight in weights.items():
        if weight <= 0:
            raise ValueError(f"loss {name!r}: weight must be positive, found {weight}")
    return WeightedSum({name: _single(name, entry) for name, entry in given.items()}, weights)


def harmonizers(loss: nn.Module) -> dict[str, Harmonizer]:
    """The parts of a loss that keep statistics of gradient norms, each under its loss's name.

    Examples
    --------
    >>> list(harmonizers(build_loss({"ghm": 1, "ranking": 0.3, "ghm_ranking": 0.3})))
    ['ghm', 'ghm_ranking']
    >>> harmonizers(build_loss("circular"))
    {}
    """
    names = {kind: name for name, kind in LOSSES.items()}
    harmonizing = (term for term in loss.modules() if isinstance(term, GHM | GHMRanking))
    return {names[type(term)]: term.harmonizer for term in harmonizing}


def only_orders(loss: nn.Module) -> bool:
    """Whether a loss teaches no azimuth, but only which clip lies further to the left.

    Examples
    --------
    >>> only_orders(build_loss("ranking")), only_orders(build_loss({"circular": 1, "ranking": 0.3}))
    (True, False)
    """
    return all(isinstance(term, Ranking) for term in loss.modules() if type(term) in LOSSES.values())


def _single(name: Any, options: dict[str, Any]) -> nn.Module:
    if not isinstance(name, str) or name not in LOSSES:
        raise ValueError(f"unknown loss {name!r}, expected one of: {', '.join(LOSSES)}")
    known = inspect.signature(LOSSES[name]).parameters
    for option in options:
        if option not in known:
            raise ValueError(f"loss {name!r} has no option {option!r}, expected one of: {', '.join(known)}")
    return LOSSES[name](**{option: _number(name, option, value) for option, value in options.items()})


def _number(name: str, option: str, value: Any) -> float:
    if not isinstance(value, Real) or isinstance(value, bool) or not isfinite(value):
        raise ValueError(f"loss {name!r}: {option} must be a finite number, found {value!r}")
    return float(value)
