"""The binaural cues, band by band and frame by frame: time difference, level difference, coherence, energy.

Conventions: `itd` in seconds, positive where the left ear leads; `ild` in dB, left over right; `ic`, the
interaural coherence, in [0, 1]; `energy` in dB re a mean square of 1. A source on the left has positive `itd`
and `ild`. Always in this order.

- `calculate_itd_ild_ic`: the cues of one band, from the running cross-correlation of Faller & Merimaa (2004).
- `get_cues` (`GetCues_clean`): the ear's periphery (`auditory_model`), then the cues of every band.
- `select_cues`: the frames whose coherence is high enough to be trusted.
- `CueFormat`: all that decides what a cue map means, for databases and models to agree upon.
"""

import math
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auditory_model import (
    FILTER_TYPES,
    MODEL_TYPES,
    auditory_peripheral,
    centre_freqs,
    check_cfs,
    check_fs,
    check_samples,
    compiled,
)

WINDOW = 10e-3  # s: time constant of the running averages, and the step between frames
MAX_ITD = 1e-3  # s
SILENCE = 1e-12  # power, -120 dB: a level is taken of no less, and less in both ears is silence


class Cues(NamedTuple):
    """The four cues, arrays of one shape: (n_frames,) of a band, (n_bands, n_frames) of all of them."""

    itd: NDArray[np.float64]
    ild: NDArray[np.float64]
    ic: NDArray[np.float64]
    energy: NDArray[np.float64]


@partial(compiled, fastmath={"reassoc", "contract"})  # the order of a sum is free, and only the order
def _product_sum(x, y):
    total = 0.0
    for k in range(x.shape[0]):
        total += x[k] * y[k]
    return total


@compiled
def _best_lag(correlation, power_1, power_2):
    """Lag of the largest normalised correlation, its refinement by a parabola, the value; powers end now."""
    max_lag = correlation.shape[0] // 2
    now = power_1.shape[0] - 1
    best, lag, before, after, last = 0.0, 0, 0.0, 0.0, 0.0
    for index in range(correlation.shape[0]):
        m = index - max_lag
        norm = math.sqrt(power_1[now - max(m, 0)]) * math.sqrt(power_2[now - max(-m, 0)])
        coherence = correlation[index] / norm if norm > 0.0 else 0.0
        if coherence > best:
            best, lag, before = coherence, m, last
        elif lag == m - 1:
            after = coherence
        last = coherence
    curvature = before - 2.0 * best + after
    refined = best > 0.0 and abs(lag) < max_lag and curvature < 0.0
    shift = 0.5 * (before - after) / curvature if refined else 0.0
    return lag, shift, min(best, 1.0)


@compiled
def _band_cues(cells, band, weights, keep, ears, powers, correlation, itd, ild, ic, energy):
    """Cues of one band at the end of every frame; the state in `ears`, `powers`, `correlation` is carried on.

    The recursion a(n) = α x(n) + (1 - α) a(n-1) is taken a frame of F samples at a time: with w(k) = α
    (1-α)^(F-1-k), a12 at the end of a frame is (1-α)^F a12 at its beginning + Σ w(k) x1(k-m) x2(k), the same
    sum in another order. The power of an ear that lags by m is its power m samples ago.

    cells, band (n_samples, 2): the hair cells and the filters; weights (F,): w; keep: 1-α; ears (4, n_past +
    F): the hair cells' ears, and the same by w; powers (4, n_past + F): the hair cells' ears, the filters'
    ears; correlation (n_lags,): a12; itd (in samples), ild, ic, energy (n_frames,).
    """
    n_shift = weights.shape[0]
    n_past = ears.shape[1] - n_shift
    max_lag = correlation.shape[0] // 2
    end = n_past + n_shift
    gain = 1.0 - keep
    decay = keep**n_shift
    for frame in range(itd.shape[0]):
        e1, e2, p1, p2 = (
            powers[0, n_past - 1],
            powers[1, n_past - 1],
            powers[2, n_past - 1],
            powers[3, n_past - 1],
        )
        for k in range(n_shift):
            n = frame * n_shift + k
            x1, x2, b1, b2 = cells[n, 0], cells[n, 1], band[n, 0], band[n, 1]
            ears[0, n_past + k] = x1
            ears[1, n_past + k] = x2
            ears[2, n_past + k] = weights[k] * x1
            ears[3, n_past + k] = weights[k] * x2
            e1 = keep * e1 + gain * (x1 * x1)
            e2 = keep * e2 + gain * (x2 * x2)
            p1 = keep * p1 + gain * (b1 * b1)
            p2 = keep * p2 + gain * (b2 * b2)
            powers[0, n_past + k] = e1
            powers[1, n_past + k] = e2
            powers[2, n_past + k] = p1
            powers[3, n_past + k] = p2
        for m in range(max_lag + 1):
            index = max_lag + m
            correlation[index] = decay * correlation[index] + _product_sum(
                ears[0, n_past - m : end - m], ears[3, n_past:end]
            )
        for m in range(1, max_lag + 1):
            index = max_lag - m
            correlation[index] = decay * correlation[index] + _product_sum(
                ears[1, n_past - m : end - m], ears[2, n_past:end]
            )
        lag, shift, coherence = _best_lag(correlation, powers[0], powers[1])
        p1, p2 = powers[2, end - 1 - max(lag, 0)], powers[3, end - 1 - max(-lag, 0)]
        if p1 < SILENCE and p2 < SILENCE:
            itd[frame], ild[frame], ic[frame] = 0.0, 0.0, 0.0
        else:
            itd[frame], ic[frame] = lag + shift, coherence
            ild[frame] = 10.0 * (math.log10(max(p1, SILENCE)) - math.log10(max(p2, SILENCE)))
        energy[frame] = 10.0 * math.log10(0.5 * (max(p1, SILENCE) + max(p2, SILENCE)))
        for row in range(4):
            for k in range(n_past):
                ears[row, k] = ears[row, n_shift + k]
                powers[row, k] = powers[row, n_shift + k]
        # What has decayed this far is over: further, it would become denormal numbers, on which the processor
        # is slow.
        for index in range(correlation.shape[0]):
            if abs(correlation[index]) < 1e-200:
                correlation[index] = 0.0
        for row in range(4):
            if powers[row, n_past - 1] < 1e-200:
                powers[row, n_past - 1] = 0.0


def _cues_of_bands(
    cells: NDArray[np.float64],
    bands: NDArray[np.float64],
    fs: float,
    window: int,
    max_lag: int,
    frame_shift: int,
) -> Cues:
    """Cues from the hair cells and the filters, both (n_bands, n_samples, 2); times in samples."""
    n_bands, n_samples, _ = cells.shape
    if n_samples < frame_shift:
        raise ValueError(f"the signal has {n_samples} samples, fewer than one frame of {frame_shift}")
    keep = 1.0 - 1.0 / window
    weights = (1.0 - keep) * keep ** np.arange(frame_shift - 1, -1, -1)
    weights[weights < 1e-200] = 0.0
    n_past = max_lag + 1
    maps = np.empty((4, n_bands, n_samples // frame_shift))
    ears = np.empty((4, n_past + frame_shift))
    powers = np.empty_like(ears)
    correlation = np.empty(2 * max_lag + 1)
    for b in range(n_bands):
        ears[:], powers[:], correlation[:] = 0.0, 0.0, 0.0
        _band_cues(cells[b], bands[b], weights, keep, ears, powers, correlation, *maps[:, b])
    maps[0] /= fs
    return Cues(*maps)


def _samples(value: Any, name: str, default: int, at_least: int = 1) -> int:
    if value is None:
        return max(default, at_least)
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < at_least:
        raise ValueError(f"{name} must be a whole number of samples, at least {at_least}; found {value!r}")
    return int(value)


def calculate_itd_ild_ic(
    left: ArrayLike,
    right: ArrayLike,
    fs: float,
    *,
    tau: float = WINDOW,
    max_itd: float = MAX_ITD,
    frame_shift: int = 1,
) -> Cues:
    """Cues of one band from its running normalised cross-correlation.

    The cross-correlation and the powers of both ears run through an exponential window; the coherence is the
    largest normalised correlation over the lags, the time difference the lag there, refined by a parabola
    through three points but at the outermost lags, and the levels those of the two ears at that lag.

    Parameters
    ----------
    left, right : array_like (n_samples,)
        The two ears of one band, as a rule from the hair cells.
    fs : float
        Sampling rate in Hz, 8 to 96 kHz.
    tau : float
        Time constant of the window in seconds, rounded to samples.
    max_itd : float
        Largest lag in seconds, rounded to samples.
    frame_shift : int
        Samples from frame to frame: frame k is read at sample ``(k + 1) * frame_shift - 1``. 1 gives every
        sample.

    Returns
    -------
    Cues of ndarray (n_samples // frame_shift,)
        `itd` in s, positive where the left ear leads; `ild` in dB, left over right; `ic` in [0, 1]; `energy`
        in dB. Silence, less than -120 dB in both ears, has itd 0, ild 0, ic 0 and energy -120.

    Raises
    ------
    ValueError
        If the ears differ in length, are not finite and scaled, are shorter than a frame, or a time is not
        positive.

    Notes
    -----
    Faller & Merimaa (2004), JASA 116, 3075-3089, equations 4 to 9.

    Examples
    --------
    The left ear leads by five samples of 62.5 µs and is twice as loud:

    >>> noise = np.random.default_rng(0).standard_normal(1605)
    >>> cues = calculate_itd_ild_ic(2 * noise[5:], noise[:-5], 16000, frame_shift=160)
    >>> [float(np.median(cue).round(5)) for cue in (cues.itd, cues.ild)]
    [0.00031, 6.0205]
    """
    fs = check_fs(fs)
    ears = [check_samples(left, "left"), check_samples(right, "right")]
    if ears[0].ndim != 1 or ears[0].shape != ears[1].shape:
        raise ValueError(
            f"left and right must be (n_samples,) of one length, found {ears[0].shape} and {ears[1].shape}"
        )
    for name, seconds in (("tau", tau), ("max_itd", max_itd)):
        if not isinstance(seconds, int | float | np.number) or not math.isfinite(seconds) or seconds <= 0:
            raise ValueError(f"{name} must be a positive time in seconds, found {seconds!r}")
    frame_shift = _samples(frame_shift, "frame_shift", 1)
    band = np.stack(ears, axis=1)[None]
    window, max_lag = max(round(tau * fs), 1), round(max_itd * fs)
    return Cues(*(cue[0] for cue in _cues_of_bands(band, band, fs, window, max_lag, frame_shift)))


@dataclass(frozen=True)
class CueFormat:
    """All that decides what a cue map means: the arguments of `get_cues`, none left open.

    Attributes
    ----------
    fs : float
        Sampling rate in Hz.
    cfs : tuple of float
        Centre frequencies in Hz, ascending.
    filter_type, model_type : str
        Filterbank and hair cell.
    frame_len, frame_shift, max_delay : int
        Time constant of the window, step from frame to frame and largest lag, in samples.

    Examples
    --------
    >>> cue_format = CueFormat.default(fs=16000, n_bands=32)
    >>> cue_format.frame_shift, cue_format.frame_rate
    (160, 100.0)
    >>> cue_format.cues(np.random.default_rng(0).standard_normal((16000, 2))).shape
    (4, 32, 100)
    >>> CueFormat.from_dict(cue_format.to_dict()) == cue_format
    True
    """

    fs: float
    cfs: tuple[float, ...]
    filter_type: str
    model_type: str
    frame_len: int
    frame_shift: int
    max_delay: int

    def __post_init__(self):
        check_cfs(self.cfs, check_fs(self.fs))
        for value, names, argument in (
            (self.filter_type, FILTER_TYPES, "filter_type"),
            (self.model_type, MODEL_TYPES, "model_type"),
        ):
            if value not in names:
                raise ValueError(
                    f"unknown {argument} {value!r}, expected one of: {', '.join(map(repr, names))}"
                )
        _samples(self.frame_len, "frame_len", 1)
        _samples(self.frame_shift, "frame_shift", 1)
        _samples(self.max_delay, "max_delay", 1, at_least=0)

    @classmethod
    def default(
        cls,
        fs: float = 16_000,
        n_bands: int = 32,
        filter_type: str = "GF_spectrogram",
        model_type: str = "Roman",
    ) -> "CueFormat":
        """The format of `get_cues` with its other arguments left out, `n_bands` from 80 Hz up."""
        fs = check_fs(fs)
        window = round(WINDOW * fs)
        cfs = tuple(float(cf) for cf in centre_freqs(fs, n_bands))
        return cls(fs, cfs, filter_type, model_type, window, window, round(MAX_ITD * fs))

    @property
    def n_bands(self) -> int:
        """How many bands."""
        return len(self.cfs)

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.fs / self.frame_shift

    def cues(self, signal: ArrayLike) -> NDArray[np.float32]:
        """Cue maps of `signal` (n_samples, 2) at `fs`: (4, n_bands, n_frames), itd, ild, ic, energy."""
        return np.stack(get_cues(signal, **asdict(self))).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {**asdict(self), "cfs": list(self.cfs)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "CueFormat":
        """From what `to_dict` returned."""
        return cls(**{**values, "cfs": tuple(values["cfs"])})


def get_cues(
    signal: ArrayLike,
    fs: float,
    frame_len: int | None = None,
    filter_type: str = "GF_spectrogram",
    cfs: ArrayLike | None = None,
    frame_shift: int | None = None,
    max_delay: int | None = None,
    model_type: str = "Roman",
) -> Cues:
    """Cue maps of a two-ear signal: the periphery, then the cues of every band, frame by frame.

    Time difference and coherence come from the hair cells' output, level difference and energy from the
    filterbank's at the same window and lag, so that 6 dB at the ears is 6 dB whatever the hair cell.

    Parameters
    ----------
    signal : array_like (n_samples, 2)
        Left ear first, full scale 1.
    fs : float
        Sampling rate in Hz, 8 to 96 kHz.
    frame_len : int, optional
        Time constant of the running window in samples; 10 ms if left out.
    filter_type : str
        Filterbank, one of `auditory_model.FILTER_TYPES`.
    cfs : array_like (n_bands,), optional
        Centre frequencies in Hz, ascending; `auditory_model.centre_freqs(fs)` if left out.
    frame_shift : int, optional
        Samples from frame to frame; 10 ms if left out. Frame k is read at sample ``(k + 1) * frame_shift -
        1``; what is left over at the end is not used.
    max_delay : int, optional
        Largest lag in samples; 1 ms if left out.
    model_type : str
        Hair cell, one of `auditory_model.MODEL_TYPES`.

    Returns
    -------
    Cues of ndarray (n_bands, n_samples // frame_shift)
        `itd` in s, positive where the left ear leads; `ild` in dB, left over right; `ic` in [0, 1]; `energy`
        in dB re a mean square of 1. Frames of silence, less than -120 dB in both ears, have itd 0, ild 0, ic
        0 and energy -120.

    Raises
    ------
    ValueError
        If the signal is not two ears of finite, scaled samples, is shorter than a frame, or an argument is
        out of range.

    Notes
    -----
    Faller & Merimaa (2004), JASA 116, 3075-3089.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal(16005)
    >>> cues = get_cues(np.stack([noise[5:], 0.5 * noise[:-5]], axis=1), 16000)
    >>> cues.itd.shape
    (32, 100)
    >>> float(np.median(cues.itd).round(6)), float(np.median(cues.ild).round(2))
    (0.000312, 6.02)
    """
    fs = check_fs(fs)
    cfs = centre_freqs(fs) if cfs is None else cfs
    window = _samples(frame_len, "frame_len", round(WINDOW * fs))
    frame_shift = _samples(frame_shift, "frame_shift", round(WINDOW * fs))
    max_lag = _samples(max_delay, "max_delay", round(MAX_ITD * fs), at_least=0)
    bands, cells = auditory_peripheral(signal, fs, cfs, filter_type, model_type)
    return _cues_of_bands(cells, bands, fs, window, max_lag, frame_shift)


def select_cues(cues: Cues, ic_min: float = 0.98) -> Cues:
    """The cues of the frames whose coherence reaches `ic_min`.

    Parameters
    ----------
    cues : Cues of ndarray, any one shape
    ic_min : float
        Threshold in [0, 1]; 0.98 is one of Faller & Merimaa's (2004).

    Returns
    -------
    Cues of ndarray (n_selected,)
        For histograms. Choose a band first, ``Cues(*(cue[b] for cue in cues))``, to have them of one band.

    Raises
    ------
    ValueError
        If the threshold is out of range or the cues differ in shape.

    Examples
    --------
    >>> cues = Cues(np.array([1e-4, 2e-4]), np.zeros(2), np.array([0.5, 0.99]), np.zeros(2))
    >>> select_cues(cues).itd
    array([0.0002])
    """
    if not 0 <= ic_min <= 1:
        raise ValueError(f"ic_min must lie in [0, 1], found {ic_min}")
    shapes = {np.shape(cue) for cue in cues}
    if len(shapes) != 1:
        raise ValueError(f"the four cues must have one shape, found {sorted(shapes)}")
    chosen = np.asarray(cues.ic) >= ic_min
    return Cues(*(np.asarray(cue)[chosen] for cue in cues))


GetCues_clean = get_cues
