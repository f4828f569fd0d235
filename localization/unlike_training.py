"""Whether a recording is unlike all that a model was trained on, so that its answer means little.

A model answers whatever it is given, and with confidence. What it was trained on is two ears on a head, loud
enough, over the whole range of frequencies; these checks find recordings of another kind.

- `UnlikeTrainingWarning`: the category of the warnings
- `found_unlike_training`: what is unlike, in words
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from binaural_feature import SILENCE, CueFormat
from database.recordings import is_clipped

Array = NDArray[np.float64]

# Of the head's shadow over all frequencies, some 20 dB are left at its side; of a dead ear, noise.
DEAF_DB = 40.0
# What is left of one channel when the best copy of the other is taken away. Measured: a talker amid noises
# 40 dB below him, straight ahead of a head whose ears are the same, leaves -40 dB.
COPY_DB = -60.0
OUT_OF_RANGE_DB = 20.0  # below the faintest peak of training, or above the loudest
# Measured on one-second clips of 16 kHz, a hundred-thousandth of the power lies above 4.7 kHz at least, and
# above 3.9 kHz at most where they went through 8 kHz; the highest band is then at 6.5 kHz. A model of a
# higher rate may have learned from such clips as well.
ROLL_OFF_SHARE, LEAST_ROLL_OFF, HIGHEST_SURE_BAND = 1e-5, 0.65, 6500.0
LEAST_DURATION = 0.5  # s, from which on the range of frequencies is judged: one vowel has no high ones
FRAME = 0.032  # s, of the spectra that are averaged


class UnlikeTrainingWarning(UserWarning):
    """A recording is unlike all that the model was trained on: its azimuth means little or nothing."""


def found_unlike_training(
    signal: Array, fs: float, cue_format: CueFormat, peak_db: tuple[float, float]
) -> list[str]:
    """What in a recording is unlike the recordings that a model was trained on.

    Parameters
    ----------
    signal : ndarray (n_samples, 2)
        As recorded, full scale 1.
    fs : float
        Its sampling rate in Hz.
    cue_format : CueFormat
        The model's.
    peak_db : tuple of float
        Lowest and highest peak in training, in dB re full scale.

    Returns
    -------
    list of str
        What was found and what it means, nothing if all is well.

    Examples
    --------
    >>> ears = np.random.default_rng(0).normal(0, 0.1, (16000, 2))
    >>> found_unlike_training(ears, 16000, CueFormat.default(), (-21, -1))
    []
    >>> found_unlike_training(0 * ears, 16000, CueFormat.default(), (-21, -1))
    ['silence: nothing is heard at either ear, and the azimuth means nothing']
    """
    centred = signal - signal.mean(axis=0)
    power = np.mean(centred**2, axis=0)
    if power.max() < SILENCE:
        return ["silence: nothing is heard at either ear, and the azimuth means nothing"]
    return [
        *_ears(centred, power),
        *_level(signal, centred, *peak_db),
        *_bandwidth(centred, fs, cue_format),
    ]


def _ears(centred: Array, power: Array) -> Iterator[str]:
    """One ear deaf, or both the same."""
    loud, faint = (1, 0) if power[1] > power[0] else (0, 1)
    if power[faint] < 10 ** (-DEAF_DB / 10) * power[loud]:
        name = ("left", "right")[faint]
        yield (
            f"the {name} channel is silent, or {DEAF_DB:g} dB and more below the other: "
            "no head does that, a microphone may be dead"
        )
        return
    copy = np.mean(centred[:, 0] * centred[:, 1]) / power[loud] * centred[:, loud]
    if np.mean((centred[:, faint] - copy) ** 2) < 10 ** (COPY_DB / 10) * power[faint]:
        yield (
            "both channels hold the same signal, with no time difference between them: a recording of one "
            "channel, copied? Nothing in it tells left from right"
        )


def _level(signal: Array, centred: Array, lowest_db: float, highest_db: float) -> Iterator[str]:
    """Too faint, too loud, or clipped."""
    found = 20 * np.log10(np.abs(centred).max())
    if found < lowest_db - OUT_OF_RANGE_DB:
        yield (
            f"the peak is {found:.0f} dB re full scale, in training it was {lowest_db:.0f} dB at least: "
            "the recording's own noise may be what is located"
        )
    if found > highest_db + OUT_OF_RANGE_DB:
        yield (
            f"the peak is {found:.0f} dB re full scale, in training it was {highest_db:.0f} dB at most: "
            "samples of whole numbers? Full scale should be 1"
        )
    elif is_clipped(signal):
        yield "many samples are at full scale: a clipped recording, whose level differences are cut short"


def _bandwidth(centred: Array, fs: float, cue_format: CueFormat) -> Iterator[str]:
    """Nothing in the highest bands."""
    if len(centred) < LEAST_DURATION * fs:
        return
    frequencies, power = _spectrum(centred, fs)
    heard = (frequencies >= cue_format.cfs[0]) & (frequencies <= cue_format.fs / 2)
    frequencies, power = frequencies[heard], power[heard]
    above = np.cumsum(power[::-1])[::-1]
    roll_off = frequencies[above >= ROLL_OFF_SHARE * above[0]][-1]
    if roll_off < LEAST_ROLL_OFF * min(cue_format.cfs[-1], HIGHEST_SURE_BAND):
        yield (
            f"there is next to no sound above {roll_off / 1000:.1f} kHz, and the model listens up to "
            f"{cue_format.cfs[-1] / 1000:.1f} kHz: a telephone, or a recording of a lower rate? "
            "The bands above tell it nothing, and it was never trained so"
        )


def _spectrum(centred: Array, fs: float) -> tuple[Array, Array]:
    """Frequencies in Hz and the power there, both ears together; a second at a time, to bound the memory."""
    n = round(FRAME * fs)
    window = np.hanning(n)[:, np.newaxis]
    power = np.zeros(n // 2 + 1)
    n_frames = len(centred) // n
    for frames in np.array_split(centred[: n_frames * n].reshape(n_frames, n, 2), -(-n_frames // 32)):
        power += np.sum(np.abs(np.fft.rfft(frames * window, axis=1)) ** 2, axis=(0, 2))
    return np.fft.rfftfreq(n, 1 / fs).astype(np.float64), power
