"""Delays between impulse responses, finer than a sample, and the responses between two measured ones.

Two responses of neighbouring directions cannot be averaged as they stand: their onsets differ, and the
average would be comb-filtered. Here they are first moved onto each other, then averaged, then moved to
where the onset belongs (Hartung, Braasch & Sterbing 1999, "Comparison of different methods for the
interpolation of head-related transfer functions", AES 16th International Conference).

Conventions
-----------
Responses are (..., n_taps, 2), left ear first; delays are in samples, of any fraction.

Functions
---------
delay_between : How much later one response is than another.
delayed : Responses moved in time.
response_between : The response between two neighbouring directions.
interaural_differences : ITD and ILD of responses, broadband.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

FINENESS = 4  # steps to a sample, in which a correlation is looked at before the parabola
MAX_ITD = 1e-3  # s


def delay_between(first: Array, second: Array, max_delay: float) -> Array:
    """How much later the second of two signals is than the first: the lag at which they are most alike.

    Parameters
    ----------
    first, second : (..., n_samples) ndarray
        Two signals, or as many pairs of them as the leading axes hold.
    max_delay : float
        The longest delay considered either way, in samples.

    Returns
    -------
    (...) ndarray
        Delay in samples, positive where the second is later: the peak of the cross-correlation, found on a
        grid of a quarter of a sample and refined by a parabola through three of its points.

    Examples
    --------
    >>> click = np.eye(1, 64, 20)[0]
    >>> round(float(delay_between(click, np.roll(click, 3), max_delay=10)), 6)
    3.0
    """
    n_fft = 2 * first.shape[-1]
    spectrum = np.conj(np.fft.rfft(first, n_fft)) * np.fft.rfft(second, n_fft)
    correlation = np.fft.irfft(spectrum, n_fft * FINENESS)
    furthest = min(int(max_delay * FINENESS), correlation.shape[-1] // 2 - 2)
    lags = np.arange(-furthest, furthest + 1)
    peaks = lags[np.argmax(correlation[..., lags], axis=-1)][..., None]
    before, at, after = (
        np.take_along_axis(correlation, peaks + step, axis=-1)[..., 0] for step in (-1, 0, 1)
    )
    curvature = np.minimum(before - 2 * at + after, -np.finfo(float).tiny)
    vertices = peaks[..., 0] + np.clip((before - after) / (2 * curvature), -0.5, 0.5)
    return vertices / FINENESS


def delayed(responses: Array, delays: Array) -> Array:
    """Responses moved in time, each ear by its own delay.

    Parameters
    ----------
    responses : (..., n_taps, 2) ndarray
        Impulse responses.
    delays : (..., 2) ndarray
        Delay of each in samples, of any fraction, not negative.

    Returns
    -------
    (..., n_taps + the longest delay, rounded up, 2) ndarray
        The delayed responses.

    Examples
    --------
    >>> delayed(np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([0, 2])).round(6) + 0.0
    array([[1., 0.], [0., 0.], [0., 1.], [0., 0.]])
    """
    n_taps = responses.shape[-2]
    n_delayed = n_taps + int(np.ceil(np.max(delays)))
    n_fft = 2 * n_delayed  # room for what rings before and after, where a delay is no whole number
    spectra = np.fft.rfft(responses, n_fft, axis=-2) * _phase(delays, n_fft)
    return np.fft.irfft(spectra, n_fft, axis=-2)[..., :n_delayed, :]


def response_between(first: Array, second: Array, weight: float, max_delay: float) -> Array:
    """The response between two neighbouring directions.

    Each ear's delay and magnitudes lie linearly between those of the two; the phase is that of the two
    responses, moved onto each other and averaged.

    Parameters
    ----------
    first, second : (n_taps, 2) ndarray
        Impulse responses of the two directions.
    weight : float
        Where between them the wanted one lies: 0 at the first, 1 at the second.
    max_delay : float
        The largest difference of their onsets considered, in samples.

    Returns
    -------
    (n_taps, 2) ndarray
        The impulse response there.

    Examples
    --------
    >>> first, second = np.zeros((2, 16, 2))
    >>> first[2], second[6] = 1.0, 0.5
    >>> response_between(first, second, 0.5, max_delay=6)[4]
    array([0.75, 0.75])
    """
    n_taps = len(first)
    n_fft = 2 * n_taps
    delay = delay_between(first.T, second.T, max_delay)
    spectra = np.fft.rfft([first, second], n_fft, axis=1)
    weights = np.array([1 - weight, weight])[:, None, None]
    shifts = np.stack([weight * delay, (weight - 1) * delay])
    mean = np.sum(weights * spectra * _phase(shifts, n_fft), axis=0)
    magnitude = np.sum(
        weights * np.abs(spectra), axis=0
    )  # what is unlike in the two would cancel in their mean
    mean *= magnitude / np.maximum(np.abs(mean), np.finfo(float).tiny)
    return np.fft.irfft(mean, n_fft, axis=0)[:n_taps]


def interaural_differences(responses: Array, fs: float) -> tuple[Array, Array]:
    """Broadband ITD and ILD of impulse responses.

    Parameters
    ----------
    responses : (..., n_taps, 2) ndarray
        Impulse responses, left ear first.
    fs : float
        Sampling rate in Hz.

    Returns
    -------
    itd, ild : (...) ndarray
        Lag of the largest cross-correlation within 1 ms, in seconds, positive where the left ear leads;
        energy of left over right in dB.

    Examples
    --------
    >>> itd, ild = interaural_differences(np.array([[0, 0], [2, 0], [0, 0], [0, 1], [0, 0]]), 44100)
    >>> f"{1e6 * itd:.0f} µs, {ild:.1f} dB"
    '45 µs, 6.0 dB'
    """
    left, right = responses[..., 0], responses[..., 1]
    itd = delay_between(left, right, MAX_ITD * fs) / fs
    return itd, 10 * np.log10(np.sum(left**2, axis=-1) / np.sum(right**2, axis=-1))


def _phase(delays: Array, n_fft: int) -> NDArray[np.complexfloating]:
    """(..., n_fft // 2 + 1, 2) factors that delay spectra of `n_fft` samples by (..., 2) samples."""
    frequencies = np.fft.rfftfreq(n_fft)[:, None]
    return np.exp(-2j * np.pi * frequencies * np.asarray(delays)[..., None, :])
