"""What every baseline can do.

- `Baseline`: a fitted localizer, from the clips of a dataset to the probabilities of the azimuth classes
- `of_all_classes`: values of these classes as values of all 72
"""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from binaural_feature import CueFormat
from localization.angles import N_CLASSES
from localization.calibration import fit_temperature
from localization.dataset import CueDataset


class Baseline(ABC):
    """A fitted localizer.

    Parameters
    ----------
    cue_format : CueFormat
        Of the clips it was fitted on.

    Attributes
    ----------
    format : CueFormat
    temperature : float
        What log-likelihoods are divided by, 1 until `calibrate` chooses it: the sum over bands and frames
        takes them for independent, which they are not, so that its scale means little.
    """

    def __init__(self, cue_format: CueFormat) -> None:
        self.format = cue_format
        self.temperature = 1.0

    @abstractmethod
    def log_likelihoods(self, dataset: CueDataset) -> NDArray[np.float64]:
        """Natural logarithm of how probable each clip is at each azimuth.

        Parameters
        ----------
        dataset : CueDataset
            Of the format that the baseline was fitted on.

        Returns
        -------
        ndarray (n_clips, 72)
            Up to a constant of the clip; minus infinity for classes that it was not fitted on.
        """

    def calibrate(self, dataset: CueDataset) -> None:
        """Choose the temperature that fits a dataset best, one that the baseline was not fitted on.

        Raises
        ------
        ValueError
            If the baseline knows no azimuth of the dataset.
        """
        log_likelihoods = self.log_likelihoods(dataset)
        # No temperature makes a class likely that it was not fitted on.
        possible = np.isfinite(log_likelihoods[np.arange(len(dataset)), dataset.classes])
        if not possible.any():
            raise ValueError(f"{dataset.database.folder}: no azimuth of its {dataset.split} split is known")
        self.temperature = fit_temperature(log_likelihoods[possible], dataset.classes[possible])

    def log_probabilities(self, dataset: CueDataset) -> NDArray[np.float64]:
        """Natural logarithms of the azimuth classes' probabilities, all being as probable before a clip.

        Parameters
        ----------
        dataset : CueDataset
            Of the format that the baseline was fitted on.

        Returns
        -------
        ndarray (n_clips, 72)
            In the dataset's order; minus infinity for classes that the baseline was not fitted on.
        """
        return log_softmax(self.log_likelihoods(dataset) / self.temperature, axis=1)


def of_all_classes(values: NDArray[np.float64], known: NDArray[np.intp]) -> NDArray[np.float64]:
    """Log-likelihoods of known classes, (n_clips, n_known), as those of all 72, the others impossible."""
    all_classes = np.full((len(values), N_CLASSES), -np.inf)
    all_classes[:, known] = values
    return all_classes
