"""The binaural cues, band by band and frame by frame: time difference, level difference, coherence, energy.

Conventions: `itd` in seconds, positive where the left ear leads; `ild` in dB, left over right; `ic`, the
interaural coherence, in [0, 1]; `energy` in dB re a mean square of 1. A source on the left has positive `itd`
and `ild`. Always in this order.

- `calculate_itd_ild_ic`: the cues of one band, from the running cross-correlation of Faller & Merimaa (2004).
- `get_cues` (`GetCues_clean`): the ear's periphery (`auditory_model`), then the cues of every band.
- `CueExtractor`: the same from a sound that comes in pieces.
- `select_cues`: the frames whose coherence is high enough to be trusted.
- `CueFormat`: all that decides what a cue map means, for databases and models to agree upon.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auditory_model import (
    LANES,
    WHOLE_SIGNAL_MODELS,
    Periphery,
    as_array,
    centre_freqs,
    check_cfs,
    check_fs,
    check_samples,
    check_signal,
    compiled,
    tiles_of_bands,
)

WINDOW = 10e-3  # s: time constant of the running averages, and the step between frames
MAX_ITD = 1e-3  # s
# s: what a head, a running average and a map do not need; a time in ms that was meant to be in s is beyond
LONGEST_LAG, LONGEST_WINDOW, LONGEST_STEP = 20e-3, 1.0, 10.0
SILENCE = 1e-12  # power, -120 dB: a level is taken of no less, and less in both ears is silence
TIE = 1e-12  # peaks no further apart than this, as those of a pure tone, are one height and rounding
PADDING = 3  # lags beyond the largest: they are computed four at a time
BLOCK = 640  # samples, or one frame where that is longer: what is computed at once stays in the cache


class Cues(NamedTuple):
    """The four cues, arrays of one shape: (n_frames,) of a band, (n_bands, n_frames) of all of them."""

    itd: NDArray[np.float64]
    ild: NDArray[np.float64]
    ic: NDArray[np.float64]
    energy: NDArray[np.float64]


@partial(compiled, fastmath={"reassoc", "contract"})  # the order of a sum is free, and only the order
def _product_sums(x, y, first, sums):
    """Σ x(first - m + k) y(k) for the four lags m = 0 … 3, which together read each y once."""
    n = y.shape[0]
    x0, x1, x2, x3 = x[first:], x[first - 1 :], x[first - 2 :], x[first - 3 :]
    sum0, sum1, sum2, sum3 = 0.0, 0.0, 0.0, 0.0
    for k in range(n):
        sum0 += x0[k] * y[k]
        sum1 += x1[k] * y[k]
        sum2 += x2[k] * y[k]
        sum3 += x3[k] * y[k]
    sums[0], sums[1], sums[2], sums[3] = sum0, sum1, sum2, sum3


@compiled
def _advance_powers(left_cells, right_cells, left_bands, right_bands, keep, powers):
    """Running powers of four tiles, in the rows of `powers` after the first.

    All are flat: the tiles (n_samples, LANES), powers (1 + n_samples, 4, LANES).
    """
    gain = 1.0 - keep
    for n in range(left_cells.shape[0] // LANES):
        i = n * LANES
        j = n * 4 * LANES
        for c in range(LANES):
            x1, x2, b1, b2 = left_cells[i + c], right_cells[i + c], left_bands[i + c], right_bands[i + c]
            powers[j + 4 * LANES + c] = keep * powers[j + c] + gain * (x1 * x1)
            powers[j + 5 * LANES + c] = keep * powers[j + LANES + c] + gain * (x2 * x2)
            powers[j + 6 * LANES + c] = keep * powers[j + 2 * LANES + c] + gain * (b1 * b1)
            powers[j + 7 * LANES + c] = keep * powers[j + 3 * LANES + c] + gain * (b2 * b2)


@compiled
def _take_lane(cell, weights, now, weighted):
    """Copy one band of a tile to where its samples follow each other, as it is and by the weights."""
    for k in range(cell.shape[0]):
        now[k] = cell[k]
    for k in range(cell.shape[0]):
        weighted[k] = weights[k] * now[k]


@compiled
def _best_lag(correlation, roots, coherence):
    """Lag of the largest normalised correlation, its refinement by a parabola, and the value.

    Among lags of one correlation the one nearest 0 is taken.

    correlation (2, at least n_lags): a12 at the lags 0, 1, … and, but for the first, 0, -1, …; roots
    (2, n_lags): of the ears' powers now, a sample ago, …, as the power of an ear that lags by m is its power
    m samples ago; coherence (2 n_lags - 1,): to work in.
    """
    max_lag = roots.shape[1] - 1
    for m in range(max_lag + 1):
        norm = roots[0, m] * roots[1, 0]
        coherence[max_lag + m] = correlation[0, m] / norm if norm > 0.0 else 0.0
    for m in range(1, max_lag + 1):
        norm = roots[0, 0] * roots[1, m]
        coherence[max_lag - m] = correlation[1, m] / norm if norm > 0.0 else 0.0
    best, index = max(coherence[max_lag], 0.0), max_lag
    for m in range(1, max_lag + 1):
        for i in (max_lag + m, max_lag - m):
            if coherence[i] > best * (1.0 + TIE):
                best, index = coherence[i], i
    shift = 0.0
    if best > 0.0 and 0 < index < 2 * max_lag:
        before, after = coherence[index - 1], coherence[index + 1]
        curvature = before - 2.0 * best + after
        shift = 0.5 * (before - after) / curvature if curvature < -TIE else 0.0  # of a flat top, rounding's
    return index - max_lag, shift, min(best, 1.0)


@compiled
def _advance_correlation(past, weighted, decay, correlation):
    """The running correlation of one band at the end of a frame, and the past as the next frame has it.

    With w(k) = α (1-α)^(F-1-k), the recursion a(n) = α x(n) + (1 - α) a(n-1) over a frame of F samples is
    (1-α)^F a at its beginning + Σ w(k) x(k), the same sum in another order.

    past (2, n_past + F): both ears; weighted (2, F): the frame by w; decay: (1-α)^F; correlation (2, n_past).
    """
    n_shift = weighted.shape[1]
    n_past = past.shape[1] - n_shift
    sums = np.empty(4)
    for ear in range(2):  # the one that leads; at lag 0, the left
        for m in range(ear, n_past - PADDING, 4):
            _product_sums(past[ear], weighted[1 - ear], n_past - m, sums)
            for i in range(4):
                a12 = decay * correlation[ear, m + i] + sums[i]
                # What has decayed this far is over, before it becomes denormal numbers, which are slow.
                correlation[ear, m + i] = 0.0 if abs(a12) < 1e-200 else a12
    for ear in range(2):
        for k in range(n_past):
            past[ear, k] = past[ear, n_shift + k]


@compiled
def _write_cues(lag, shift, coherence, p1, p2, cues):
    """itd (in samples), ild, ic, energy of one frame."""
    silent = p1 < SILENCE and p2 < SILENCE
    p1, p2 = max(p1, SILENCE), max(p2, SILENCE)
    cues[0] = 0.0 if silent else lag + shift
    cues[1] = 0.0 if silent else 10.0 * (math.log10(p1) - math.log10(p2))
    cues[2] = 0.0 if silent else coherence
    cues[3] = 10.0 * math.log10(0.5 * (p1 + p2))


@compiled
def _advance_tile(bands, cells, weights, keep, past, powers, correlation, maps):
    """Cues of one tile's bands at the end of every frame; `past`, `powers` and `correlation` are carried on.

    bands, cells (2, n_frames F, LANES): the filters and the hair cells; weights (F,): w of
    `_advance_correlation`; keep: 1-α; past (n_bands, 2, n_past + F): the hair cells' ears; powers
    (n_past + F, 4, LANES): of the hair cells' ears, of the filters' ears; correlation (n_bands, 2, n_past):
    as `_best_lag` takes it; maps (4, n_bands, n_frames): itd (in samples), ild, ic, energy.
    """
    n_shift, end = weights.shape[0], past.shape[2]
    n_past = end - n_shift
    n_lags = n_past - PADDING
    weighted, coherence = np.empty((2, n_shift)), np.empty(2 * n_lags - 1)
    roots, roots_of_band = np.empty((2, n_lags, LANES)), np.empty((2, n_lags))
    for frame in range(maps.shape[2]):
        now = slice(frame * n_shift, (frame + 1) * n_shift)
        _advance_powers(
            cells[0, now].reshape(-1),
            cells[1, now].reshape(-1),
            bands[0, now].reshape(-1),
            bands[1, now].reshape(-1),
            keep,
            powers[n_past - 1 :].reshape(-1),
        )
        for ear in range(2):
            for m in range(n_lags):
                for c in range(LANES):
                    roots[ear, m, c] = math.sqrt(powers[end - 1 - m, ear, c])
        for lane in range(past.shape[0]):
            for ear in range(2):
                _take_lane(cells[ear, now, lane], weights, past[lane, ear, n_past:], weighted[ear])
                roots_of_band[ear] = roots[ear, :, lane]
            _advance_correlation(past[lane], weighted, keep**n_shift, correlation[lane])
            lag, shift, best = _best_lag(correlation[lane], roots_of_band, coherence)
            p1, p2 = powers[end - 1 - max(lag, 0), 2, lane], powers[end - 1 - max(-lag, 0), 3, lane]
            _write_cues(lag, shift, best, p1, p2, maps[:, lane, frame])
        for n in range(n_past):
            for row in range(4):
                for c in range(LANES):
                    p = powers[n_shift + n, row, c]
                    powers[n, row, c] = 0.0 if p < 1e-200 else p


class _RunningCues:
    """The cues of every band, frame by frame, from the periphery's tiles; they go on from call to call."""

    def __init__(self, n_bands: int, window: int, max_lag: int, frame_shift: int) -> None:
        self._keep = 1.0 - 1.0 / window
        self._weights = (1.0 - self._keep) * self._keep ** np.arange(frame_shift - 1, -1, -1)
        self._weights[self._weights < 1e-200] = 0.0
        n_past = max_lag + 1 + PADDING
        self._past = np.zeros((n_bands, 2, n_past + frame_shift))
        self._powers = np.zeros((-(-n_bands // LANES), n_past + frame_shift, 4, LANES))
        self._correlation = np.zeros((n_bands, 2, n_past))

    def maps(self, bands: NDArray[np.float64], cells: NDArray[np.float64]) -> NDArray[np.float64]:
        """itd (in samples), ild, ic, energy of the whole frames in the next tiles, (4, n_bands, n_frames)."""
        n_bands = len(self._past)
        maps = np.empty((4, n_bands, bands.shape[2] // len(self._weights)))
        for tile, start in enumerate(range(0, n_bands, LANES)):
            these = slice(start, start + LANES)
            state = self._past[these], self._powers[tile], self._correlation[these]
            _advance_tile(bands[tile], cells[tile], self._weights, self._keep, *state, maps[:, these])
        return maps


def _blocks(n_samples: int, frame_shift: int) -> Iterator[slice]:
    """The whole frames of a signal, some at a time."""
    n_block = max(BLOCK // frame_shift, 1) * frame_shift
    end = n_samples // frame_shift * frame_shift
    return (slice(start, min(start + n_block, end)) for start in range(0, end, n_block))


def _check_frame(n_samples: int, frame_shift: int) -> None:
    if n_samples < frame_shift:
        raise ValueError(f"the signal has {n_samples} samples, fewer than one frame of {frame_shift}")


def _check_count(value: Any, name: str, at_least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < at_least:
        raise ValueError(f"{name} must be a whole number of samples, at least {at_least}; found {value!r}")
    return int(value)


def _check_samples_of(value: Any, name: str, fs: float, longest: float, at_least: int = 1) -> int:
    """A whole number of samples that last no longer than `longest` seconds."""
    n_samples = _check_count(value, name, at_least)
    if n_samples > longest * fs:
        raise ValueError(f"{name} must be at most {longest * 1000:g} ms, found {value} samples at {fs:g} Hz")
    return n_samples


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
        The two ears of one band, as a rule from the hair cells; `ild` and `energy` are then theirs, and not
        those of the sound, for which `get_cues` has the filters.
    fs : float
        Sampling rate in Hz, 8 to 96 kHz.
    tau : float
        Time constant of the window in seconds, up to 1, rounded to samples.
    max_itd : float
        Largest lag in seconds, up to 0.02, rounded to samples.
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
        If the ears differ in length, are not finite and scaled, are shorter than a frame, or a time is out of
        range.

    Notes
    -----
    Faller & Merimaa (2004), JASA 116, 3075-3089, equations 4 to 9. Among lags of one correlation, as a pure
    tone has where its period and its delay are whole numbers of samples, the one nearest 0 is taken.

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
    for name, seconds, longest in (("tau", tau, LONGEST_WINDOW), ("max_itd", max_itd, LONGEST_LAG)):
        if isinstance(seconds, bool) or not isinstance(seconds, Real) or not 0.5 / fs < seconds <= longest:
            raise ValueError(
                f"{name} must be a time in seconds, from one sample to {longest:g} s, found {seconds!r}"
            )
    frame_shift = _check_count(frame_shift, "frame_shift")
    _check_frame(len(ears[0]), frame_shift)
    running = _RunningCues(1, round(tau * fs), round(max_itd * fs), frame_shift)
    band = np.stack(ears, axis=1)[None]
    tiles = (tiles_of_bands(band[:, block]) for block in _blocks(len(ears[0]), frame_shift))
    maps = np.concatenate([running.maps(tile, tile) for tile in tiles], axis=2)
    maps[0] /= fs
    return Cues(*maps[:, 0])


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
        Periphery(self.fs, self.cfs, self.filter_type, self.model_type)  # which refuses what it cannot do
        plain = {  # of Python's own types, which JSON knows
            "fs": check_fs(self.fs),
            "cfs": tuple(check_cfs(self.cfs, self.fs).tolist()),
            "frame_len": _check_samples_of(self.frame_len, "frame_len", self.fs, LONGEST_WINDOW),
            "frame_shift": _check_samples_of(self.frame_shift, "frame_shift", self.fs, LONGEST_STEP),
            "max_delay": _check_samples_of(self.max_delay, "max_delay", self.fs, LONGEST_LAG, at_least=0),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    @classmethod
    def default(
        cls,
        fs: float = 16_000,
        n_bands: int = 32,
        filter_type: str = "GF_spectrogram",
        model_type: str = "Roman",
        high: float | None = None,
    ) -> "CueFormat":
        """The format of `get_cues` with its other arguments left out; bands as `centre_freqs` has them."""
        fs = check_fs(fs)
        window = round(WINDOW * fs)
        cfs = tuple(float(cf) for cf in centre_freqs(fs, n_bands, high=high))
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
        Time constant of the running window in samples, up to 1 s; 10 ms if left out.
    filter_type : str
        Filterbank, one of `auditory_model.FILTER_TYPES`.
    cfs : array_like (n_bands,), optional
        Centre frequencies in Hz, ascending; `auditory_model.centre_freqs(fs)` if left out.
    frame_shift : int, optional
        Samples from frame to frame, up to 10 s; 10 ms if left out. Frame k is read at sample
        ``(k + 1) * frame_shift - 1``; what is left over at the end is not used.
    max_delay : int, optional
        Largest lag in samples, up to 20 ms; 1 ms if left out.
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
    Faller & Merimaa (2004), JASA 116, 3075-3089. The parabola refines `itd` alone: where a delay lies between
    two samples, `ic` is too low, and from 1.4 kHz on a wrong peak may be the highest, at 16 kHz more than at
    44.1. The `ic` of independent ears is far above 0, and how far depends on the hair cell. docs/cues.md has
    figures of both.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal(16005)
    >>> cues = get_cues(np.stack([noise[5:], 0.5 * noise[:-5]], axis=1), 16000)
    >>> cues.itd.shape
    (32, 100)
    >>> float(np.median(cues.itd).round(6)), float(np.median(cues.ild).round(2))
    (0.000312, 6.02)
    """
    extractor = CueExtractor(fs, frame_len, filter_type, cfs, frame_shift, max_delay, model_type)
    signal, _ = check_signal(signal, fs)
    _check_frame(len(signal), extractor.frame_shift)
    return extractor.process(signal)


class CueExtractor:
    """The cues of a sound that comes in pieces: those of `get_cues` on the whole, bit for bit.

    Parameters
    ----------
    fs, frame_len, filter_type, cfs, frame_shift, max_delay, model_type
        As in `get_cues`.

    Attributes
    ----------
    fs : float
        Sampling rate in Hz.
    frame_shift : int
        Samples from frame to frame. A frame is there with its last sample.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal((16000, 2))
    >>> extractor = CueExtractor(16000)
    >>> pieces = [extractor.process(chunk) for chunk in np.split(noise, [100, 9000])]
    >>> [piece.itd.shape for piece in pieces]
    [(32, 0), (32, 56), (32, 44)]
    >>> whole = get_cues(noise, 16000)
    >>> np.array_equal(np.concatenate([piece.ic for piece in pieces], axis=1), whole.ic)
    True
    """

    def __init__(
        self,
        fs: float,
        frame_len: int | None = None,
        filter_type: str = "GF_spectrogram",
        cfs: ArrayLike | None = None,
        frame_shift: int | None = None,
        max_delay: int | None = None,
        model_type: str = "Roman",
    ) -> None:
        self.fs = check_fs(fs)
        window = round(WINDOW * fs)
        frame_len = window if frame_len is None else frame_len
        frame_shift = window if frame_shift is None else frame_shift
        max_delay = round(MAX_ITD * fs) if max_delay is None else max_delay
        frame_len = _check_samples_of(frame_len, "frame_len", fs, LONGEST_WINDOW)
        self.frame_shift = _check_samples_of(frame_shift, "frame_shift", fs, LONGEST_STEP)
        max_delay = _check_samples_of(max_delay, "max_delay", fs, LONGEST_LAG, at_least=0)
        self._periphery = Periphery(fs, centre_freqs(fs) if cfs is None else cfs, filter_type, model_type)
        self._running = _RunningCues(self._periphery.n_bands, frame_len, max_delay, self.frame_shift)
        self._model_type = model_type
        self._pending = np.empty((0, 2))
        self._begun = False

    def process(self, chunk: ArrayLike) -> Cues:
        """The cues of the frames that end in the next chunk.

        Parameters
        ----------
        chunk : array_like (n_samples, 2)
            Any number of samples, left ear first, full scale 1.

        Returns
        -------
        Cues of ndarray (n_bands, n_frames)
            As `get_cues`. None, some or many frames: what is left over waits for the next chunk.

        Raises
        ------
        ValueError
            If the chunk is not two ears of finite, scaled samples, or it is the second for a hair cell that
            needs the whole signal at once (`auditory_model.WHOLE_SIGNAL_MODELS`).
        """
        if as_array(chunk, "chunk").shape == (0, 2):
            return Cues(*np.empty((4, self._periphery.n_bands, 0)))
        chunk, _ = check_signal(chunk, self.fs, "chunk")
        whole = self._model_type in WHOLE_SIGNAL_MODELS
        if whole and self._begun:
            raise ValueError(
                f"the hair cell {self._model_type!r} takes the Hilbert envelope of the whole signal: "
                "expected all of it in one chunk, found a second"
            )
        self._begun = True
        signal = np.concatenate([self._pending, chunk])
        blocks = [slice(None)] if whole else _blocks(len(signal), self.frame_shift)
        none = np.empty((4, self._periphery.n_bands, 0))
        maps = [self._running.maps(*self._periphery.tiles(signal[block])) for block in blocks]
        cues = np.concatenate([none, *maps], axis=2)
        cues[0] /= self.fs
        self._pending = signal[len(signal) // self.frame_shift * self.frame_shift :]
        return Cues(*cues)


def select_cues(cues: Cues, ic_min: float = 0.98) -> Cues:
    """The cues of the frames whose coherence reaches `ic_min`.

    Parameters
    ----------
    cues : Cues of ndarray, any one shape
        Or an array (4, …), as `CueFormat.cues` returns.
    ic_min : float
        Threshold in [0, 1]; 0.98 is one of Faller & Merimaa's (2004). What it lets through depends on the
        hair cell and the sampling rate (docs/cues.md).

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
    if not isinstance(ic_min, Real) or not 0 <= ic_min <= 1:
        raise ValueError(f"ic_min must be a number in [0, 1], found {ic_min!r}")
    if not isinstance(cues, tuple | list | np.ndarray) or len(cues) != len(Cues._fields):
        raise ValueError(f"cues must be {', '.join(Cues._fields)}, four arrays, found {cues!r:.80}")
    cues = Cues(*(as_array(cue, name) for name, cue in zip(Cues._fields, cues, strict=True)))
    shapes = {cue.shape for cue in cues}
    if len(shapes) != 1:
        raise ValueError(f"the four cues must have one shape, found {sorted(shapes)}")
    if cues.ic.dtype.kind not in "fiu":
        raise ValueError(f"ic must be an array of numbers, found {cues.ic.dtype}")
    chosen = cues.ic >= ic_min
    return Cues(*(cue[chosen] for cue in cues))


GetCues_clean = get_cues
