"""Whether probabilities mean what they say.

Of all estimates held with 80 % confidence, 80 % should be right (Guo, Pleiss, Sun & Weinberger 2017, "On
calibration of modern neural networks").

- `reliability`: confidence against accuracy, in bins
- `calibration_error`: how far they are apart, as one number
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Reliability(NamedTuple):
    """Confidence against accuracy, bin by bin: arrays of shape (n_bins,), NaN in bins without clips."""

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    n_clips: NDArray[np.intp]


def reliability(confidence: ArrayLike, hit: ArrayLike, n_bins: int = 10) -> Reliability:
    """Confidence against accuracy, in equal bins of confidence.

    Parameters
    ----------
    confidence : array_like (n_clips,)
        Probability of the estimate, in [0, 1].
    hit : array_like of bool (n_clips,)
        Whether the estimate was right.
    n_bins : int
        Bins of equal width; a bin holds its upper edge.

    Returns
    -------
    Reliability
        Mean confidence, share of hits and number of clips of each bin.

    Examples
    --------
    >>> reliability([0.3, 0.8, 1.0], [False, True, True], n_bins=2)
    Reliability(confidence=array([0.3, 0.9]), accuracy=array([0., 1.]), n_clips=array([1, 2]))
    """
    confidence = np.asarray(confidence, dtype=np.float64)
    bins = np.clip(np.ceil(confidence * n_bins).astype(np.intp) - 1, 0, n_bins - 1)
    n_clips = np.bincount(bins, minlength=n_bins)
    clips = np.where(n_clips > 0, n_clips, np.nan)
    mean_confidence = np.bincount(bins, weights=confidence, minlength=n_bins) / clips
    accuracy = np.bincount(bins, weights=np.asarray(hit, dtype=np.float64), minlength=n_bins) / clips
    return Reliability(mean_confidence, accuracy, n_clips)


def calibration_error(found: Reliability) -> float:
    """Expected calibration error: how far confidence is from accuracy, a mean over clips.

    Examples
    --------
    >>> calibration_error(reliability([0.75, 0.75, 1.0, 1.0], [True, False, True, True]))
    0.125
    """
    weights = found.n_clips / found.n_clips.sum()
    return float(np.nansum(weights * np.abs(found.accuracy - found.confidence)))
