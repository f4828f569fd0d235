"""Localizers that are no networks, to be judged as networks are.

What a network is worth shows beside what simpler means reach on the same clips. Each of these learns from the
training split of a database in seconds or a few minutes.

- `BASELINES`: what fits the baseline of each name
- `OF_AUDIO`: those that hear the mixtures themselves, and so need databases with their audio
- `Baseline`: what that gives

Modules
-------
base : What every baseline can do.
template : The mean ITD and ILD of each band, compared with those of each azimuth.
gcc_phat : One delay for all frequencies, and ILD to tell front from back.
gaussian_mixture : Mixtures of Gaussians over ITD and ILD for each azimuth and band.
"""

from collections.abc import Callable

from localization.baselines import gaussian_mixture, gcc_phat, template
from localization.baselines.base import Baseline
from localization.dataset import CueDataset

__all__ = ["BASELINES", "OF_AUDIO", "Baseline"]

BASELINES: dict[str, Callable[[CueDataset], Baseline]] = {
    "template": template.fit,
    "gcc_phat": gcc_phat.fit,
    "gaussian_mixture": gaussian_mixture.fit,
}
OF_AUDIO = ("gcc_phat",)
