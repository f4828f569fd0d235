"""Whether probabilities mean what they say, and what makes them.

Of all estimates held with 80 % confidence, 80 % should be right (Guo, Pleiss, Sun & Weinberger 2017, "On
calibration of modern neural networks").

- `reliability`: confidence against accuracy, in bins
- `calibration_error`: how far they are apart, as one number
- `fit_temperature`, `at_temperature`: one number that calibrates a model
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

TEMPERATURES = 0.05, 100.0  # within which the best is sought: where no clip is wrong, 0 would be


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

    Raises
    ------
    ValueError
        If there are no clips, or a confidence is no number.

    Examples
    --------
    >>> reliability([0.3, 0.8, 1.0], [False, True, True], n_bins=2)
    Reliability(confidence=array([0.3, 0.9]), accuracy=array([0., 1.]), n_clips=array([1, 2]))
    """
    confidence = np.asarray(confidence, dtype=np.float64)
    if confidence.size == 0 or not np.isfinite(confidence).all():
        raise ValueError("confidence: that of at least one clip expected, all finite numbers")
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


def fit_temperature(log_probabilities: ArrayLike, true_class: ArrayLike) -> float:
    """The temperature at which probabilities fit the truth best (Guo et al. 2017, section 4.2).

    Parameters
    ----------
    log_probabilities : array_like (n_clips, n_classes)
        Natural logarithms; logits will do.
    true_class : array_like of int (n_clips,)

    Returns
    -------
    float
        What the logits should be divided by: the least mean negative log-likelihood, from 0.05 to 100.

    Raises
    ------
    ValueError
        If there is no clip, a true class is held to be impossible, at every temperature, or something is no
        number.

    Examples
    --------
    >>> held = np.log([[0.9, 0.1]] * 4)
    >>> temperature = fit_temperature(held, [0, 0, 0, 1])  # right in three of four
    >>> at_temperature(held[0], temperature).round(3)
    array([0.75, 0.25])
    """
    logits, true = np.asarray(log_probabilities, dtype=np.float64), np.asarray(true_class)
    clips = np.arange(len(true))
    if not len(true) or not np.isfinite(logits[clips, true]).all() or np.isnan(logits).any():
        raise ValueError(
            "log_probabilities: those of the true classes must be finite, of one clip at least, and none NaN"
        )

    def mean_loss(log_temperature: float) -> float:
        return -log_softmax(logits / np.exp(log_temperature), axis=1)[clips, true].mean()

    found = minimize_scalar(mean_loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def at_temperature(log_probabilities: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Probabilities of a model whose logits are divided by a temperature.

    Parameters
    ----------
    log_probabilities : array_like (..., n_classes)
        Natural logarithms of those of the model as it is; logits will do.
    temperature : float
        Above 1 they become more even, below 1 less.

    Returns
    -------
    ndarray
        Of the same shape; each row sums to 1.

    Examples
    --------
    >>> at_temperature(np.log([0.8, 0.2]), 0.5).round(3)
    array([0.941, 0.059])
    """
    return softmax(np.asarray(log_probabilities, dtype=np.float64) / temperature, axis=-1)
