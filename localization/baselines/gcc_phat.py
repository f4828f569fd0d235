"""Generalized cross-correlation with phase transform, and ILD to tell front from back.

One delay for all frequencies: the cross-spectrum of the two ears is divided by its magnitude, so that every
frequency counts alike, and the delay is where its inverse transform is highest (Knapp & Carter 1976, IEEE
TASSP 24, 320-327). The delay of each azimuth is learned from the training clips. An azimuth and its mirror
image through the axis of the ears have nearly the same one; of these two, the ILD of the bands decides.

It needs the mixtures: a database built with `--keep-audio`.

- `fit`: the delays and ILDs of a dataset's clips, as a `DelayLocalizer`
- `gcc_phat`: the delay of one signal
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import csd

from auditory_model import check_signal
from binaural_feature import CueFormat
from localization.angles import N_CLASSES, azimuth_class, class_azimuth, front_back_mirror
from localization.baselines.base import Baseline, of_all_classes
from localization.baselines.template import RESOLUTION, Templates, clip_means
from localization.dataset import CueDataset

FRAME = 0.064  # s, of the cross-spectrum, of which the mean over a clip is taken
STEPS = 16  # delays between two samples
MAX_DELAY = 1e-3  # s

MIRROR = azimuth_class(front_back_mirror(class_azimuth(np.arange(N_CLASSES))))


def gcc_phat(signal: ArrayLike, fs: float) -> float:
    """By how much the right ear's signal comes later than the left's.

    Parameters
    ----------
    signal : array_like (n_samples, 2)
        Left ear first.
    fs : float
        Sampling rate in Hz.

    Returns
    -------
    float
        Delay in s, positive for a source on the left, at most 1 ms, in whole sixteenths of a sample;
        0 in silence.

    Raises
    ------
    ValueError
        If the signal is not of two channels, not finite, or shorter than 2 ms.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal(16000)
    >>> gcc_phat(np.stack([noise[5:], noise[:-5]], axis=1), fs=16000)
    0.0003125
    """
    ears, fs = check_signal(signal, fs)
    farthest = int(MAX_DELAY * fs)
    if len(ears) < 2 * farthest:
        raise ValueError(f"signal: at least {2 * farthest} samples (2 ms) expected, found {len(ears)}")
    frame = min(round(FRAME * fs), len(ears)) // 2 * 2
    _, cross = csd(*ears.T, nperseg=frame, detrend=False)
    phase = np.exp(1j * np.angle(cross)) * (cross != 0)
    correlation = np.fft.irfft(phase, STEPS * frame)
    lags = np.array(sorted(range(-STEPS * farthest, STEPS * farthest + 1), key=abs))
    return float(lags[np.argmax(correlation[lags])] / (STEPS * fs))


class DelayLocalizer(Baseline):
    """The delay and the ILD of the bands of each azimuth.

    Parameters
    ----------
    cue_format : CueFormat
        Of the clips they are from.
    delay : Templates
        (1,) for each azimuth, in s.
    ild : Templates
        (n_bands,) for each azimuth, in dB.
    """

    def __init__(self, cue_format: CueFormat, delay: Templates, ild: Templates) -> None:
        super().__init__(cue_format)
        self.delay = delay
        self.ild = ild

    def log_likelihoods(self, dataset: CueDataset) -> NDArray[np.float64]:
        """As of `Baseline`: of the delay, and of the ILD in comparison with the mirror image's."""
        known = self.ild.classes
        mirror = np.where(np.isin(MIRROR[known], known), MIRROR[known], known)
        ild = self.ild.log_likelihoods(clip_means(dataset)[:, 1])
        front_back = ild[:, known] - np.logaddexp(ild[:, known], ild[:, mirror])
        return self.delay.log_likelihoods(_delays(dataset)) + of_all_classes(front_back, known)


def fit(dataset: CueDataset) -> DelayLocalizer:
    """The delays and ILDs of a dataset's clips.

    Parameters
    ----------
    dataset : CueDataset
        To learn from.

    Returns
    -------
    DelayLocalizer

    Raises
    ------
    ValueError
        If the database was built without audio.
    """
    fs = dataset.database.format.fs
    return DelayLocalizer(
        dataset.database.format,
        Templates.of(_delays(dataset), dataset.classes, 1 / (STEPS * fs)),
        Templates.of(clip_means(dataset)[:, 1], dataset.classes, RESOLUTION[1]),
    )


def _delays(dataset: CueDataset) -> NDArray[np.float64]:
    """The delay of each clip in s, (n_clips, 1)."""
    read, fs = dataset.database.read_audio, dataset.database.format.fs
    return np.array([[gcc_phat(read(int(index)), fs)] for index in dataset.indices])
