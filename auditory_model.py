"""The ear: a filterbank for the basilar membrane, then an inner-hair-cell model in every band.

Conventions: `signal` is (n_samples, 2), left ear first; band signals and envelopes are (n_bands, n_samples,
2); `fs` and the ascending centre frequencies `cfs` are in Hz. Everything is causal but for the Hilbert
envelopes that two of the hair cells need.

- `centre_freqs`: centre frequencies evenly spaced on the ERB scale.
- `filters`: the filterbank by name, one of `FILTER_TYPES`; `gf_spectrogram` (`GF_spectrogram`) is its
  gammatone.
- `haircell_model`: the hair cell by name, one of `MODEL_TYPES`.
- `auditory_peripheral`: the one after the other; `Periphery`: the same, in pieces of any length.
"""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import numba
import numpy as np
from gammatone.filters import erb_space, make_erb_filters
from numpy.typing import ArrayLike, NDArray
from scipy.signal import butter, hilbert

FS_MIN, FS_MAX = 8_000, 96_000
LOUDEST = 1e30  # re full scale: of more, squares and their sums might be infinite
# Inside, signals are tiles, (n_tiles, 2, n_samples, LANES): of every LANES bands both ears, the bands side by
# side for the processor's vector units. A constant, so that the compiler knows where each row begins.
LANES = 32
ENVELOPE_ABOVE = 1500.0  # Hz: above it, the nerve follows a band's envelope rather than its fine structure
MEDDIS_LEVEL_OF_ONE = 80.0  # dB SPL of a signal with an rms of 1
# Meddis, Hewitt & Shackleton (1990), JASA 87, 1813-1816, Table I: a fibre of high spontaneous rate. Rates in
# 1/s.
MEDDIS = {"A": 5.0, "B": 300.0, "g": 2000.0, "y": 5.05, "l": 2500.0, "r": 6580.0, "x": 66.31, "h": 50_000.0}


def compiled(function: Callable, fastmath: bool | set[str] = False) -> Callable:
    """Compile `function` with numba, cached on disk where a folder for the cache can be written."""
    try:
        return numba.njit(cache=True, nogil=True, fastmath=fastmath)(function)
    except RuntimeError:  # numba finds no place for its cache: compile anew in each process
        return numba.njit(nogil=True, fastmath=fastmath)(function)


# --- what may come in


def check_fs(fs: float) -> float:
    """Return `fs` as a float, or raise a ValueError unless it is a rate in Hz from 8 to 96 kHz."""
    if isinstance(fs, bool) or not isinstance(fs, Real):
        raise ValueError(f"fs must be a sampling rate in Hz, found {fs!r}")
    if 0 < fs <= FS_MAX / 1000:
        raise ValueError(f"fs must be in Hz, found {fs}: is it in kHz?")
    if not FS_MIN <= fs <= FS_MAX:
        raise ValueError(f"fs must lie between {FS_MIN} and {FS_MAX} Hz, found {fs}")
    return float(fs)


def as_array(values: ArrayLike, name: str) -> NDArray:
    """Return `values` as an array, or raise a ValueError if their lengths differ or some are masked."""
    if np.ma.is_masked(values):
        raise ValueError(f"{name} has masked values: expected an array that has none")
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} must be an array of numbers: {error}") from None


def check_samples(samples: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return `samples` as contiguous float64, or raise a ValueError unless they are finite and scaled."""
    array = as_array(samples, name)
    if array.size == 0:
        raise ValueError(f"{name} is empty: shape {array.shape}")
    if array.dtype.kind in "iub":
        raise ValueError(
            f"{name} holds integers ({array.dtype}) that were never scaled: "
            "divide by full scale, 32768 for 16 bits"
        )
    if array.dtype.kind != "f":
        raise ValueError(f"{name} must hold real floating-point samples, found {array.dtype}")
    array = np.ascontiguousarray(array, dtype=np.float64)
    if not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))[0]
        raise ValueError(f"{name} holds NaN or infinity, first at index {tuple(int(i) for i in bad)}")
    peak = np.abs(array).max()
    if peak > LOUDEST:
        raise ValueError(f"{name} has a peak of {peak:g}: expected samples of full scale 1")
    if peak > 255 and np.array_equal(array, np.rint(array)):
        raise ValueError(
            f"{name} holds whole numbers with a peak of {peak:.0f}, "
            "integers that were never scaled: divide by full scale, 32768 for 16 bits"
        )
    return array


def check_signal(signal: ArrayLike, fs: float, name: str = "signal") -> tuple[NDArray[np.float64], float]:
    """Return a two-ear `signal` as contiguous float64 and `fs`, or raise a ValueError with what is wrong."""
    fs = check_fs(fs)
    array = as_array(signal, name)
    shape = array.shape
    if len(shape) == 2 and shape[0] == 2 and shape[1] != 2 and shape[1] > 0:
        raise ValueError(f"{name} must be (n_samples, 2), found {shape}: channels first? Pass {name}.T")
    if len(shape) == 1 or (len(shape) == 2 and shape[1] == 1):
        raise ValueError(
            f"{name} has one channel, found shape {shape}; two ears are needed: (n_samples, 2), left first"
        )
    if len(shape) != 2 or shape[1] != 2:
        raise ValueError(
            f"{name} must have exactly two channels, (n_samples, 2), left ear first; found shape {shape}"
        )
    return check_samples(array, name), fs


def check_cfs(cfs: ArrayLike, fs: float) -> NDArray[np.float64]:
    """Return `cfs` as float64, or raise a ValueError unless they ascend between 0 and fs/2."""
    given = np.atleast_1d(as_array(cfs, "cfs"))
    if given.dtype.kind not in "iuf" or given.ndim != 1 or given.size == 0 or not np.isfinite(given).all():
        raise ValueError(f"cfs must be a sequence of centre frequencies in Hz, found {cfs!r}")
    cfs = given.astype(np.float64)
    if cfs.min() <= 0 or cfs.max() >= fs / 2:
        raise ValueError(
            f"cfs must lie between 0 and fs/2 = {fs / 2:g} Hz, found {cfs.min():g} to {cfs.max():g} Hz"
        )
    if (np.diff(cfs) <= 0).any():
        raise ValueError(
            "cfs must be ascending (gammatone.filters.centre_freqs returns them descending: reverse them)"
        )
    return cfs


def check_name(name: str, registry: dict, argument: str) -> Any:
    """Return what `registry` holds under `name`, or raise a ValueError that lists its names."""
    if not isinstance(name, str) or name not in registry:
        raise ValueError(f"unknown {argument} {name!r}, expected one of: {', '.join(map(repr, registry))}")
    return registry[name]


# --- filterbanks


def centre_freqs(
    fs: float, n_bands: int = 32, low: float = 80.0, high: float | None = None
) -> NDArray[np.float64]:
    """Centre frequencies evenly spaced on the ERB scale, ascending.

    Parameters
    ----------
    fs : float
        Sampling rate in Hz, 8 to 96 kHz.
    n_bands : int
        How many.
    low, high : float
        The lowest frequency, and the one that lies a step above the highest, in Hz; `high` is 0.9 fs/2 if
        left out.

    Returns
    -------
    ndarray (n_bands,)
        In Hz, as `gammatone.filters.erb_space` spaces them (Glasberg & Moore 1990), but ascending.

    Raises
    ------
    ValueError
        If `n_bands` is no positive integer, or not 0 < low < high <= fs/2.

    Examples
    --------
    >>> centre_freqs(16000, n_bands=4).round(1)
    array([  80. ,  455.1, 1285.9, 3125.6])
    """
    fs = check_fs(fs)
    high = 0.9 * fs / 2 if high is None else high
    for name, value in (("low", low), ("high", high)):
        if not isinstance(value, Real):
            raise ValueError(f"{name} must be a frequency in Hz, found {value!r}")
    if isinstance(n_bands, bool) or not isinstance(n_bands, int | np.integer) or n_bands < 1:
        raise ValueError(f"n_bands must be a positive integer, found {n_bands!r}")
    if not 0 < low < high <= fs / 2:
        raise ValueError(f"expected 0 < low < high <= fs/2 = {fs / 2:g} Hz, found low {low} and high {high}")
    return erb_space(low, high, n_bands)[::-1].copy()


def erb(cfs: ArrayLike) -> NDArray[np.float64]:
    """Equivalent rectangular bandwidth of the auditory filters at `cfs`, in Hz (Glasberg & Moore 1990).

    Examples
    --------
    >>> float(erb(1000.0).round(2))
    132.64
    """
    return 24.7 + np.asarray(cfs, dtype=np.float64) / 9.26449


def _gammatone_sections(fs: float, cfs: NDArray[np.float64]) -> NDArray[np.float64]:
    a0, a11, a12, a13, a14, a2, _, b1, b2, gain = make_erb_filters(fs, cfs).T
    sections = np.zeros((len(cfs), 4, 6))
    for section, a1 in enumerate((a11, a12, a13, a14)):
        sections[:, section] = np.stack([a0, a1, a2, np.ones_like(a0), b1, b2], axis=1)
    sections[:, :, :3] /= gain[:, None, None] ** 0.25
    return sections


def _all_pole_sections(fs: float, cfs: NDArray[np.float64]) -> NDArray[np.float64]:
    sections = _gammatone_sections(fs, cfs)
    z = np.exp(-2j * np.pi * cfs / fs)[:, None]
    gain_of_poles = np.abs(sections[:, :, 3] + sections[:, :, 4] * z + sections[:, :, 5] * z**2)
    sections[:, :, :3] = np.stack(
        [gain_of_poles, np.zeros_like(gain_of_poles), np.zeros_like(gain_of_poles)], axis=2
    )
    return sections


def _butterworth_sections(fs: float, cfs: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = cfs - erb(cfs) / 2, cfs + erb(cfs) / 2
    outside = cfs[(low <= 0) | (high >= fs / 2)]
    if outside.size:
        raise ValueError(
            f"a Butterworth band cf ± ERB/2 must lie between 0 and fs/2 = {fs / 2:g} Hz; "
            f"it does not for cfs {outside.round(1)}"
        )
    return np.array(
        [butter(4, edges, "bandpass", fs=fs, output="sos") for edges in zip(low, high, strict=True)]
    )


_FILTER_DESIGNS: dict[str, Callable] = {
    "GF_spectrogram": _gammatone_sections,
    "APGF": _all_pole_sections,
    "Butterworth": _butterworth_sections,
}
FILTER_TYPES = tuple(_FILTER_DESIGNS)


@compiled
def _filter_tiles(x, sections, state, n_done):
    """Second-order sections in cascade (transposed direct form II), in place; `state` is carried on.

    For each ear of each tile x (n_samples, LANES), sections (n_sections, 5, LANES) holding b0, b1, b2, a1,
    a2, state (n_sections, 2, LANES); n_done: samples before these.
    """
    n_tiles, n_sections, n_samples = x.shape[0], sections.shape[1], x.shape[1]
    y, coefficients, z = x.reshape(-1), sections.reshape(-1), state.reshape(-1)
    for tile in range(n_tiles):
        for n in range(n_samples):
            i = (tile * n_samples + n) * LANES
            for s in range(n_sections):
                k = (tile * n_sections + s) * 5 * LANES
                j = (tile * n_sections + s) * 2 * LANES
                for c in range(LANES):
                    v = y[i + c]
                    w = coefficients[k + c] * v + z[j + c]
                    z[j + c] = (
                        coefficients[k + LANES + c] * v
                        - coefficients[k + 3 * LANES + c] * w
                        + z[j + LANES + c]
                    )
                    z[j + LANES + c] = (
                        coefficients[k + 2 * LANES + c] * v - coefficients[k + 4 * LANES + c] * w
                    )
                    y[i + c] = w
            # A decaying state ends here, before it becomes denormal numbers, which are slow; at samples that
            # do not depend on where this call began.
            if (n_done + n) % 64 == 0:
                for j in range(tile * n_sections * 2 * LANES, (tile + 1) * n_sections * 2 * LANES):
                    z[j] = 0.0 if abs(z[j]) < 1e-200 else z[j]


class _Cascade:
    """Second-order sections in cascade, in every band and both ears, which go on from call to call.

    sections (n_bands, n_sections, 6): of each band, as scipy's `sos`.
    """

    def __init__(self, sections: NDArray[np.float64]) -> None:
        n_bands, n_sections, _ = sections.shape
        n_tiles = -(-n_bands // LANES)
        padded = np.zeros((n_tiles * LANES, n_sections, 5))
        padded[:n_bands] = sections[:, :, [0, 1, 2, 4, 5]]
        of_tile = padded.reshape(n_tiles, 1, LANES, n_sections, 5).transpose(0, 1, 3, 4, 2)
        self._sections = np.ascontiguousarray(np.repeat(of_tile, 2, axis=1))
        self._state = np.zeros((n_tiles, 2, n_sections, 2, LANES))
        self._n_done = 0

    def __call__(self, tiles: NDArray[np.float64]) -> NDArray[np.float64]:
        """Filter `tiles` in place, and return them."""
        arrays = tiles, self._sections, self._state
        _filter_tiles(*(array.reshape(-1, *array.shape[2:]) for array in arrays), self._n_done)
        self._n_done += tiles.shape[2]
        return tiles


@compiled
def _spread(samples, tile):
    """Write the samples (n_samples,) into every lane of a flat tile (n_samples, LANES)."""
    for n in range(samples.shape[0]):
        for c in range(LANES):
            tile[n * LANES + c] = samples[n]


def _tiles_of_signal(signal: NDArray[np.float64], n_bands: int) -> NDArray[np.float64]:
    """Both ears (n_samples, 2), the same in every band."""
    tiles = np.empty((-(-n_bands // LANES), 2, len(signal), LANES))
    for tile in tiles:
        _spread(signal[:, 0], tile[0].reshape(-1))
        _spread(signal[:, 1], tile[1].reshape(-1))
    return tiles


def tiles_of_bands(bands: NDArray[np.float64]) -> NDArray[np.float64]:
    """Band signals (n_bands, n_samples, 2) as tiles."""
    n_bands, n_samples, _ = bands.shape
    tiles = np.zeros((-(-n_bands // LANES), 2, n_samples, LANES))
    for tile, start in zip(tiles, range(0, n_bands, LANES), strict=True):
        these = bands[start : start + LANES]
        tile[:, :, : len(these)] = these.transpose(2, 1, 0)
    return tiles


def _bands_of_tiles(tiles: NDArray[np.float64], n_bands: int) -> NDArray[np.float64]:
    """Tiles as band signals (n_bands, n_samples, 2)."""
    return tiles.transpose(0, 3, 2, 1).reshape(-1, tiles.shape[2], 2)[:n_bands]


def filters(
    signal: ArrayLike, fs: float, cfs: ArrayLike, filter_type: str = "GF_spectrogram"
) -> NDArray[np.float64]:
    """Filter both ears by a bank of auditory filters.

    Parameters
    ----------
    signal : array_like (n_samples, 2)
        Left ear first, full scale 1.
    fs : float
        Sampling rate in Hz, 8 to 96 kHz.
    cfs : array_like (n_bands,)
        Centre frequencies in Hz, ascending, below fs/2.
    filter_type : str
        ``"GF_spectrogram"``: fourth-order gammatone filters, 1.019 ERB wide (Slaney 1993), equal to
        `gammatone.filters.erb_filterbank`. ``"APGF"``: the gammatone's poles without its zeros, gain 1 at the
        centre frequency (Lyon 1997). ``"Butterworth"``: `scipy.signal.butter` of order 4, -3 dB at cf ±
        ERB/2.

    Returns
    -------
    ndarray (n_bands, n_samples, 2)

    Raises
    ------
    ValueError
        If the signal is not two ears of finite, scaled samples, or another argument is none of the above.

    Examples
    --------
    >>> click = np.zeros((800, 2))
    >>> click[0] = 1
    >>> filters(click, 16000, [500, 1000, 2000]).shape
    (3, 800, 2)
    """
    signal, fs = check_signal(signal, fs)
    cfs = check_cfs(cfs, fs)
    filterbank = _filterbank(fs, cfs, filter_type)
    return _bands_of_tiles(filterbank(_tiles_of_signal(signal, len(cfs))), len(cfs))


def _filterbank(fs: float, cfs: NDArray[np.float64], filter_type: str) -> _Cascade:
    return _Cascade(check_name(filter_type, _FILTER_DESIGNS, "filter_type")(fs, cfs))


def gf_spectrogram(signal: ArrayLike, fs: float, cfs: ArrayLike) -> NDArray[np.float64]:
    """Filter both ears by the gammatone filterbank: `filters` with ``filter_type="GF_spectrogram"``.

    Examples
    --------
    >>> gf_spectrogram(np.ones((160, 2)), 16000, [500, 1000]).shape
    (2, 160, 2)
    """
    return filters(signal, fs, cfs, "GF_spectrogram")


# --- hair cells: each a function of the rate, the number of bands and their centre frequencies (or None) that
# returns what turns tiles of band signals into tiles of cells, and goes on from call to call

HairCell = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _rectified(tiles):
    return np.maximum(tiles, 0)


def _low_pass(n_bands, fs, order, cutoff, times=1):
    """Butterworth low-pass of `order` at `cutoff` Hz, `times` in cascade, in every band."""
    sos = np.tile(butter(order, cutoff, fs=fs, output="sos"), (times, 1))
    return _Cascade(np.broadcast_to(sos, (n_bands, *sos.shape)))


@compiled
def _rectified_root(x, out):
    """Square root of what is positive, both flat; in one pass, which takes a fifth of numpy's two."""
    for i in range(x.shape[0]):
        out[i] = math.sqrt(max(x[i], 0.0))


def _roman(fs, n_bands, cfs):
    """Rectification and square root: Roman, Wang & Brown (2003), JASA 114, 2236-2252."""

    def cells(tiles):
        roots = np.empty_like(tiles)
        _rectified_root(tiles.reshape(-1), roots.reshape(-1))
        return roots

    return cells


def _halfwave(fs, n_bands, cfs):
    """Rectification alone."""
    return _rectified


def _envelope(fs, n_bands, cfs):
    """Rectified fine structure below `ENVELOPE_ABOVE`, the Hilbert envelope above."""
    if cfs is None:
        raise ValueError("the hair cell 'envelope' needs cfs, to know which bands follow the envelope")
    high = cfs >= ENVELOPE_ABOVE

    def cells(tiles):
        cells = _rectified(tiles)
        for b in np.flatnonzero(high):
            tile, lane = divmod(b, LANES)
            cells[tile, :, :, lane] = np.abs(hilbert(tiles[tile, :, :, lane]))
        return cells

    return cells


def _lindemann(fs, n_bands, cfs):
    """Rectification, first-order low-pass at 800 Hz: Lindemann (1986), JASA 80, 1608-1622."""
    low_pass = _low_pass(n_bands, fs, 1, 800.0)
    return lambda tiles: low_pass(_rectified(tiles))


def _breebaart(fs, n_bands, cfs):
    """Rectification, five first-order low-passes at 2 kHz: Breebaart et al. (2001), JASA 110, 1074-1088."""
    low_pass = _low_pass(n_bands, fs, 1, 2000.0, times=5)
    return lambda tiles: low_pass(_rectified(tiles))


def _dau(fs, n_bands, cfs):
    """Rectification, first-order low-pass at 1 kHz: Dau, Püschel & Kohlrausch (1996), JASA 99, 3615-3622."""
    low_pass = _low_pass(n_bands, fs, 1, 1000.0)
    return lambda tiles: low_pass(_rectified(tiles))


def _bernstein(fs, n_bands, cfs):
    """Envelope to the power 0.23, rectified, squared, low-passed at 425 Hz.

    Bernstein, van de Par & Trahiotis (1999), JASA 106, 870-876.
    """
    low_pass = _low_pass(n_bands, fs, 2, 425.0)

    def cells(tiles):
        compressed = np.zeros_like(tiles)
        for b in range(n_bands):  # one by one, since the transform takes several times a band's memory
            tile, lane = divmod(b, LANES)
            band = tiles[tile, :, :, lane]
            envelope = np.abs(hilbert(band))
            np.divide(band, envelope**0.77, out=compressed[tile, :, :, lane], where=envelope > 0)
        return low_pass(_rectified(compressed) ** 2)

    return cells


@compiled
def _release_transmitter(x, dt, n_steps, rates, state, out):
    """Meddis's equations, Euler steps of `dt`, `n_steps` to a sample; cleft, pool and store are carried on.

    x and out (n_tiles, n_samples, LANES), state (n_tiles, 3, LANES).
    """
    a, b, g, y, l, r, w_rate, h = rates  # noqa: E741
    n_tiles, n_samples = x.shape[0], x.shape[1]
    x, out, state = x.reshape(-1), out.reshape(-1), state.reshape(-1)
    for tile in range(n_tiles):
        j = tile * 3 * LANES
        for n in range(n_samples):
            i = (tile * n_samples + n) * LANES
            for c in range(LANES):
                drive = max(x[i + c] + a, 0.0)
                permeability = g * drive / (drive + b)
                cleft, pool, store = state[j + c], state[j + LANES + c], state[j + 2 * LANES + c]
                for _ in range(n_steps):
                    released = permeability * pool * dt
                    reprocessed = w_rate * store * dt
                    taken_up = r * cleft * dt
                    pool += max(y * (1.0 - pool) * dt, 0.0) - released + reprocessed
                    cleft += released - taken_up - l * cleft * dt
                    store += taken_up - reprocessed
                state[j + c], state[j + LANES + c], state[j + 2 * LANES + c] = cleft, pool, store
                out[i + c] = h * cleft


def _meddis(fs, n_bands, cfs):
    """Transmitter release: Meddis (1986), JASA 79, 702-711, whose signal unit is an rms of 1 at 30 dB SPL."""
    n_steps = math.ceil(16_000 / fs)  # longer steps would empty the cleft below nothing
    a, b, g, y, l, r, x, _ = rates = tuple(MEDDIS.values())  # noqa: E741
    permeability = g * a / (a + b)
    cleft = y * permeability / (l * permeability + y * (l + r))
    at_rest = [cleft, cleft * (l + r) / permeability, cleft * r / x]
    n_tiles = 2 * -(-n_bands // LANES)
    state = np.tile(np.array(at_rest)[:, None], (n_tiles, 1, LANES))

    def cells(tiles):
        scaled = tiles * 10 ** ((MEDDIS_LEVEL_OF_ONE - 30) / 20)
        flat = scaled.reshape(n_tiles, -1, LANES)
        _release_transmitter(flat, 1 / (fs * n_steps), n_steps, rates, state, flat)
        return scaled

    return cells


_HAIR_CELLS: dict[str, Callable[..., HairCell]] = {
    "Roman": _roman,
    "Half-wave rectification + signal envelope": _envelope,
    "envelope": _envelope,
    "halfwave": _halfwave,
    "Lindemann": _lindemann,
    "Breebaart": _breebaart,
    "Dau": _dau,
    "Bernstein": _bernstein,
    "Meddis": _meddis,
}
MODEL_TYPES = tuple(_HAIR_CELLS)
# A Hilbert envelope is made of the signal as a whole.
WHOLE_SIGNAL_MODELS = tuple(name for name, cell in _HAIR_CELLS.items() if cell in (_envelope, _bernstein))


def haircell_model(
    band_signals: ArrayLike, fs: float, model_type: str = "Roman", *, cfs: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Inner-hair-cell output of every band and ear.

    Parameters
    ----------
    band_signals : array_like (n_bands, n_samples, 2)
        From `filters`.
    fs : float
        Sampling rate in Hz.
    model_type : str
        ``"Roman"``: rectification and square root. ``"envelope"``, or in full ``"Half-wave rectification +
        signal envelope"``: rectified fine structure below 1500 Hz, the Hilbert envelope above.
        ``"halfwave"``: rectification. ``"Lindemann"``, ``"Breebaart"``, ``"Dau"``: rectification, then
        low-passes at 800 Hz, 770 Hz (five of 2 kHz), 1 kHz. ``"Bernstein"``: envelope compression to the
        power 0.23, rectification, squaring, low-pass at 425 Hz. ``"Meddis"``: transmitter release; depends on
        level, an rms of 1 being 80 dB SPL, and of faint sound leaves little but its spontaneous rate.
    cfs : array_like (n_bands,), optional
        Centre frequencies in Hz, one for each band; only ``"envelope"`` needs them.

    Returns
    -------
    ndarray (n_bands, n_samples, 2)

    Raises
    ------
    ValueError
        If `band_signals` is not of that shape, finite and scaled, the name is unknown, or `cfs` is missing
        where needed.

    Examples
    --------
    >>> haircell_model([[[4.0, -4.0], [9.0, 0.0]]], 16000, "Roman")
    array([[[2., 0.],
            [3., 0.]]])
    """
    fs = check_fs(fs)
    array = as_array(band_signals, "band_signals")
    if array.ndim != 3 or array.shape[2] != 2:
        raise ValueError(f"band_signals must be (n_bands, n_samples, 2), found {array.shape}")
    make_cells = check_name(model_type, _HAIR_CELLS, "model_type")
    bands = check_samples(array, "band_signals")
    if cfs is not None:
        cfs = check_cfs(cfs, fs)
        if len(cfs) != len(bands):
            raise ValueError(f"cfs has {len(cfs)} entries for {len(bands)} bands")
    return _bands_of_tiles(make_cells(fs, len(bands), cfs)(tiles_of_bands(bands)), len(bands))


class Periphery:
    """The filterbank and the hair cells behind it, which go on from call to call.

    Parameters
    ----------
    fs, cfs, filter_type
        As in `filters`.
    model_type : str
        As in `haircell_model`.

    Attributes
    ----------
    n_bands : int

    Raises
    ------
    ValueError
        If an argument is none of theirs.

    Examples
    --------
    >>> periphery = Periphery(16000, [500, 1000])
    >>> bands, cells = periphery.tiles(np.ones((160, 2)))
    >>> bands.shape  # one tile of LANES bands, of which the first two are in use
    (1, 2, 160, 32)
    """

    def __init__(
        self, fs: float, cfs: ArrayLike, filter_type: str = "GF_spectrogram", model_type: str = "Roman"
    ) -> None:
        fs = check_fs(fs)
        cfs = check_cfs(cfs, fs)
        self.n_bands = len(cfs)
        self._filterbank = _filterbank(fs, cfs, filter_type)
        self._cells = check_name(model_type, _HAIR_CELLS, "model_type")(fs, self.n_bands, cfs)

    def tiles(self, signal: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Output of the filters and of the hair cells for the next samples, checked and (n_samples, 2).

        Both are (n_tiles, 2, n_samples, LANES): of every `LANES` bands both ears; what lies beyond the bands
        in the last tile means nothing.
        """
        bands = self._filterbank(_tiles_of_signal(signal, self.n_bands))
        return bands, self._cells(bands)


def auditory_peripheral(
    signal: ArrayLike,
    fs: float,
    cfs: ArrayLike,
    filter_type: str = "GF_spectrogram",
    model_type: str = "Roman",
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The filterbank and the hair cells behind it.

    Parameters
    ----------
    signal : array_like (n_samples, 2)
        Left ear first, full scale 1.
    fs, cfs, filter_type
        As in `filters`.
    model_type : str
        As in `haircell_model`.

    Returns
    -------
    band_signals, envelopes : ndarray (n_bands, n_samples, 2)
        The output of the filters, and of the hair cells.

    Raises
    ------
    ValueError
        As `filters` and `haircell_model`.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal((1600, 2))
    >>> band_signals, envelopes = auditory_peripheral(noise, 16000, centre_freqs(16000))
    >>> envelopes.shape
    (32, 1600, 2)
    """
    signal, fs = check_signal(signal, fs)
    periphery = Periphery(fs, cfs, filter_type, model_type)
    band_signals, cells = (_bands_of_tiles(tiles, periphery.n_bands) for tiles in periphery.tiles(signal))
    return band_signals, cells


GF_spectrogram = gf_spectrogram
