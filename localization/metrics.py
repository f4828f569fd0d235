"""How well azimuths were estimated.

A model gives each clip a probability for each of the 72 classes. `outcomes` judges clip by clip; `summary`
takes means with a 95 % interval, over all clips or, with `grouped`, over each group of them. One measure is
no mean of single clips: the root mean square error, the root of the mean of the squared errors.

Conventions: shares lie in [0, 1]; errors are in degrees, the short way round. The interval is a bootstrap
over speakers: the clips of one speaker are not independent, so whole speakers are drawn with replacement,
never single clips.

- `outcomes`: everything that is measured, for each clip
- `summary`, `grouped`: means and intervals
- `known_only`: probabilities of the classes alone that can be
- `in_blocks`: clips in blocks, for what is computed clip by clip
- `snr_bin`: SNRs into bins, for `grouped`
- `confusion`: counts of true against estimated class
- `order_from_right`: whether the clips are in the order of how far to the left they lie
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax
from scipy.stats import kendalltau

from localization.angles import (
    DEGREES_PER_CLASS,
    N_CLASSES,
    angular_difference,
    check_classes,
    class_azimuth,
    front_back_mirror,
    lateral_step,
)

MEANS = (  # of what `Outcomes` holds of each clip
    "top1",
    "top5",
    "top5_within_10deg",
    "angular_error_deg",
    "within_5deg",
    "within_10deg",
    "front_back_confusion",
)
MEASURES = (*MEANS, "rms_error_deg")
SNR_BIN = 5.0  # dB
CLIPS_AT_ONCE = 4096


class Outcomes(NamedTuple):
    """What became of each clip: arrays of shape (n_clips,).

    `estimate` is the most probable class and `confidence` its probability; `rank` counts the classes held
    more probable than the true one. `top5` asks whether the true class is among the five most probable,
    `top5_within_10deg` whether any of these five lies within 10 degrees of the truth. The others judge the
    estimate.
    """

    estimate: NDArray[np.intp]
    confidence: NDArray[np.float64]
    rank: NDArray[np.intp]
    top1: NDArray[np.bool_]
    top5: NDArray[np.bool_]
    top5_within_10deg: NDArray[np.bool_]
    angular_error_deg: NDArray[np.float64]
    within_5deg: NDArray[np.bool_]
    within_10deg: NDArray[np.bool_]
    front_back_confusion: NDArray[np.bool_]


class Interval(NamedTuple):
    """A mean over clips, or its root, and the 95 % interval, NaN where one speaker leaves it unknown."""

    value: float
    low: float
    high: float


class Summary(NamedTuple):
    """Means over a set of clips: one `Interval` for each name in `MEASURES`."""

    n_clips: int
    n_speakers: int
    measures: dict[str, Interval]


class Order(NamedTuple):
    """Whether clips are in the order of sin(azimuth), from right to left; NaN where all have the same.

    `pair_accuracy` is the share of pairs of clips, of different sin(azimuth), that are in the right order;
    equal expectations count as half. `kendall_tau` is tau-b, and `highest_tau` what it would be were all
    expectations different and in the right order: clips of the same sin(azimuth) keep it below 1.
    """

    pair_accuracy: float
    kendall_tau: float
    highest_tau: float


def outcomes(probabilities: ArrayLike, true_class: ArrayLike) -> Outcomes:
    """Judge each clip.

    Parameters
    ----------
    probabilities : array_like (n_clips, 72)
        Of each class; each row sums to 1. Of equally probable classes the lower counts as the more probable.
    true_class : array_like of int (n_clips,)
        0 … 71.

    Returns
    -------
    Outcomes
        A front-back confusion is an estimate within 10 degrees of the truth's mirror image through the axis
        of the ears, where the truth is more than 10 degrees away from that axis.

    Raises
    ------
    ValueError
        If a shape, a class or a probability cannot be what it is said to be.

    Examples
    --------
    >>> probabilities = np.zeros((2, 72))
    >>> probabilities[0, 6], probabilities[1, 30] = 1, 1
    >>> result = outcomes(probabilities, [6, 6])
    >>> result.angular_error_deg, result.front_back_confusion
    (array([  0., 120.]), array([False,  True]))
    """
    p, true = _checked(probabilities, true_class)
    parts = [_outcomes(*block) for block in zip(in_blocks(p), in_blocks(true), strict=True)]
    return Outcomes(*map(np.concatenate, zip(*parts, strict=True)))


def in_blocks(clips: NDArray[Any]) -> list[NDArray[Any]]:
    """Rows in blocks of a few thousand, at least one, for what is computed row by row in little memory."""
    return np.array_split(clips, max(1, len(clips) // CLIPS_AT_ONCE))


def _outcomes(p: NDArray[np.float64], true: NDArray[np.intp]) -> Outcomes:
    order = np.argsort(-p, axis=1, kind="stable")
    rank = np.argmax(order == true[:, None], axis=1)
    truth, estimate = class_azimuth(true), class_azimuth(order[:, 0])
    nearest_of_five = np.abs(angular_difference(class_azimuth(order[:, :5]), truth[:, None])).min(
        axis=1, initial=180.0
    )
    error = np.abs(angular_difference(estimate, truth))
    return Outcomes(
        estimate=order[:, 0],
        confidence=p.max(axis=1, initial=0.0),
        rank=rank,
        top1=rank == 0,
        top5=rank < 5,
        top5_within_10deg=nearest_of_five <= 10.0,
        angular_error_deg=error,
        within_5deg=error <= 5.0,
        within_10deg=error <= 10.0,
        front_back_confusion=_front_back_confusion(truth, estimate),
    )


def summary(
    judged: Outcomes, speakers: ArrayLike, rng: np.random.Generator, n_resamples: int = 1000
) -> Summary:
    """Means over clips, each with a 95 % interval from a bootstrap over speakers.

    Parameters
    ----------
    judged : Outcomes
        Of n_clips clips.
    speakers : array_like (n_clips,)
        Who speaks in each clip.
    rng : Generator
        Draws the speakers.
    n_resamples : int
        How many times as many speakers as there are get drawn, with replacement.

    Returns
    -------
    Summary
        With the 2.5 and 97.5 % points of the resampled means (Efron's percentile interval). Of the root mean
        square error, value and both points are roots of those of the mean squared error.

    Raises
    ------
    ValueError
        If there are no clips, not one speaker for each, or no resamples.

    Examples
    --------
    >>> judged = outcomes(np.eye(72)[[0, 1, 2, 3]], [0, 1, 2, 4])
    >>> result = summary(judged, ["a", "a", "b", "b"], np.random.default_rng(0))
    >>> result.measures["top1"]
    Interval(value=0.75, low=0.5, high=1.0)
    """
    speakers = np.asarray(speakers)
    if speakers.shape != judged.rank.shape or speakers.size == 0:
        raise ValueError(
            f"speakers: one for each of at least one clip expected, found shape {speakers.shape} for "
            f"{judged.rank.size} clips"
        )
    if n_resamples < 1:
        raise ValueError(f"n_resamples: at least 1 expected, found {n_resamples}")
    names, speaker = np.unique(speakers, return_inverse=True)
    counts = np.bincount(speaker)
    of_clips = [*(getattr(judged, name) for name in MEANS), judged.angular_error_deg**2]
    sums = np.stack([np.bincount(speaker, weights=values) for values in of_clips], axis=1)
    # The mean of a resample needs only how often each speaker was drawn, and sums over each speaker's clips.
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=n_resamples)
    means = (drawn @ sums) / (drawn @ counts)[:, None]
    low, high = (
        np.percentile(means, [2.5, 97.5], axis=0) if len(names) > 1 else np.full((2, len(MEASURES)), np.nan)
    )
    rows = np.stack([sums.sum(axis=0) / counts.sum(), low, high], axis=1)
    rows[-1] = np.sqrt(rows[-1])
    intervals = {name: Interval(*map(float, row)) for name, row in zip(MEASURES, rows, strict=True)}
    return Summary(int(speakers.size), len(names), intervals)


def grouped(
    judged: Outcomes,
    groups: ArrayLike,
    speakers: ArrayLike,
    rng: np.random.Generator,
    n_resamples: int = 1000,
) -> dict[Any, Summary]:
    """A summary of each group of clips.

    Parameters
    ----------
    judged, speakers, rng, n_resamples
        As for `summary`.
    groups : array_like (n_clips,)
        The group of each clip: a noise type, an azimuth, the lower edge of its `snr_bin`.

    Returns
    -------
    dict
        From each group, in ascending order, to its `Summary`.

    Raises
    ------
    ValueError
        If there is not one group for each clip, or one is no number; and as by `summary`.

    Examples
    --------
    >>> judged = outcomes(np.eye(72)[[0, 1, 2, 3]], [0, 1, 2, 4])
    >>> speakers, rng = ["a", "a", "b", "b"], np.random.default_rng(0)
    >>> by_noise = grouped(judged, ["rain", "dog", "rain", "dog"], speakers, rng)
    >>> {noise: found.measures["top1"].value for noise, found in by_noise.items()}
    {'dog': 0.5, 'rain': 1.0}
    """
    groups, speakers = np.asarray(groups), np.asarray(speakers)
    if groups.shape != judged.rank.shape:
        raise ValueError(
            f"groups: one for each of {judged.rank.size} clips expected, found shape {groups.shape}"
        )
    if (groups != groups).any():
        raise ValueError("groups: found NaN, which is no group")
    return {
        group.item(): summary(
            Outcomes(*(values[groups == group] for values in judged)),
            speakers[groups == group],
            rng,
            n_resamples,
        )
        for group in np.unique(groups)
    }


def snr_bin(snr_db: ArrayLike) -> NDArray[np.float64]:
    """Lower edge, in dB, of the bin in which an SNR lies; bins begin at whole multiples of `SNR_BIN`.

    Examples
    --------
    >>> snr_bin([-0.5, 0, 4.9, 12])
    array([-5.,  0.,  0., 10.])
    """
    return np.floor(np.asarray(snr_db, dtype=np.float64) / SNR_BIN) * SNR_BIN


def known_only(log_probabilities: ArrayLike, known: ArrayLike) -> NDArray[np.float64]:
    """Logarithms of probabilities, given that the class is one of those that can be.

    Parameters
    ----------
    log_probabilities : array_like (n_clips, 72)
        Natural logarithms of those of each class.
    known : array_like of bool (n_clips, 72)
        The classes that can be; at least one of each clip.

    Returns
    -------
    ndarray (n_clips, 72)
        Minus infinity for all other classes. Known classes share a row evenly that had nothing for any of
        them.

    Examples
    --------
    >>> p, known = np.eye(72)[[5, 9]] / 2 + 1 / 144, np.zeros((2, 72), dtype=bool)
    >>> known[0, 5:7] = known[1, 6:8] = True
    >>> np.exp(known_only(np.log(p), known))[:, 4:9].round(3)
    array([[0.   , 0.986, 0.014, 0.   , 0.   ],
           [0.   , 0.   , 0.5  , 0.5  , 0.   ]])
    """
    known = np.asarray(known)
    possible = np.where(known, np.asarray(log_probabilities, dtype=np.float64), -np.inf)
    nothing = np.isneginf(possible).all(axis=1, keepdims=True)
    return log_softmax(np.where(known & nothing, 0.0, possible), axis=1)


def confusion(true_class: ArrayLike, estimate: ArrayLike) -> NDArray[np.intp]:
    """How often each class was taken for each.

    Parameters
    ----------
    true_class, estimate : array_like of int (n_clips,)
        0 … 71.

    Returns
    -------
    ndarray of int (72, 72)
        Counts, [true class, estimated class].

    Raises
    ------
    ValueError
        If something is no class, or one of the two has more of them than the other.

    Examples
    --------
    >>> counts = confusion([0, 0, 36], [0, 36, 36])
    >>> counts[[0, 0, 36], [0, 36, 36]]
    array([1, 1, 1])
    """
    true, estimated = check_classes(true_class, "true_class"), check_classes(estimate, "estimate")
    if true.shape != estimated.shape:
        raise ValueError(f"estimate: one for each of {true.shape} expected, found {estimated.shape}")
    counts = np.zeros((N_CLASSES, N_CLASSES), dtype=np.intp)
    np.add.at(counts, (true, estimated), 1)
    return counts


def order_from_right(probabilities: ArrayLike, true_class: ArrayLike) -> Order:
    """Whether the expected sine of the azimuth orders the clips as their true azimuths do.

    Parameters
    ----------
    probabilities, true_class
        As for `outcomes`.

    Returns
    -------
    Order

    Raises
    ------
    ValueError
        As by `outcomes`.

    Examples
    --------
    >>> order_from_right(np.eye(72)[[18, 0, 54]], [15, 70, 50]).pair_accuracy
    1.0
    """
    p, true = _checked(probabilities, true_class)
    left = lateral_step(true)
    sines = np.sin(np.radians(DEGREES_PER_CLASS * lateral_step(np.arange(N_CLASSES))))
    score = (p * sines).sum(axis=1)  # a product of matrices may round equal rows differently
    n_pairs, tied_scores, tied = len(p) * (len(p) - 1) / 2, _tied_pairs(score), _tied_pairs(left)
    if n_pairs == tied:
        return Order(np.nan, np.nan, np.nan)
    tau = float(kendalltau(score, left).statistic) if tied_scores < n_pairs else 0.0
    excess = tau * np.sqrt((n_pairs - tied_scores) * (n_pairs - tied))  # of pairs in order over the others
    return Order(float(1 + excess / (n_pairs - tied)) / 2, tau, float(np.sqrt(1 - tied / n_pairs)))


def _tied_pairs(values: NDArray[Any]) -> float:
    counts = np.unique(values, return_counts=True)[1].astype(np.float64)
    return float((counts * (counts - 1) / 2).sum())


def _front_back_confusion(truth: NDArray[np.float64], estimate: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the estimate lies near the mirror image of a truth that is not near the axis of the ears."""
    near_mirror = np.abs(angular_difference(estimate, front_back_mirror(truth))) <= 10.0
    away_from_axis = np.abs(np.abs(angular_difference(truth, 0.0)) - 90.0) > 10.0
    return near_mirror & away_from_axis


def _checked(probabilities: ArrayLike, true_class: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Probabilities and classes as arrays; refuses what cannot be either."""
    p, true = np.asarray(probabilities, dtype=np.float64), np.asarray(true_class)
    if p.ndim != 2 or p.shape[1] != N_CLASSES:
        raise ValueError(f"probabilities: shape (n_clips, {N_CLASSES}) expected, found {p.shape}")
    if true.shape != p.shape[:1]:
        raise ValueError(f"true_class: one for each of {len(p)} clips expected, found shape {true.shape}")
    if not np.isfinite(p).all() or (p < 0).any() or (np.abs(p.sum(axis=1) - 1.0) > 1e-2).any():
        raise ValueError("probabilities: rows of finite numbers that sum to 1 expected (are these logits?)")
    return p, check_classes(true, "true_class")
