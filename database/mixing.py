"""One scene to a binaural signal: render, scale, add.

Arrays in, arrays out: nothing here reads a file or draws a number.

Conventions
-----------
A clip is `(n_samples,)`, a response `(n_taps, 2)` with the left ear first, a rendered or mixed signal
`(n_samples, 2)`: what a response adds beyond the clip's end is cut. A power is the mean square over both ears
and the whole clip. All arithmetic is in float64 and depends on the scene alone.

Functions
---------
render : A clip as the two ears hear it from one place.
render_field : Clips as the two ears hear them at once, each from its own place.
mix : A talker and noises at given signal-to-noise ratios and a given peak.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft
from scipy.signal import oaconvolve

MAX_SNR_DB = 200.0  # beyond it float64 holds only one of the two
MIN_PEAK_DB = -100.0  # re full scale; a mixture that is fainter is silence to the cues
INAUDIBLE = 1e-20  # rendered over expected power: below it there is only the rounding of the convolution


class Mixture(NamedTuple):
    """What `mix` returns: the signal `(n_samples, 2)` and its total signal-to-noise ratio in dB."""

    signal: NDArray[np.float64]
    snr_db: float


def render(clip: ArrayLike, response: ArrayLike) -> NDArray[np.float64]:
    """A clip as the two ears hear it from one place.

    Parameters
    ----------
    clip : array_like, (n_samples,)
        One channel.
    response : array_like, (n_taps, 2)
        Impulse responses of the two ears, left first, at the clip's sampling rate.

    Returns
    -------
    ndarray, (n_samples, 2)
        Their convolution, cut to the clip's length.

    Raises
    ------
    ValueError
        If a shape is another one.

    Examples
    --------
    >>> render([1.0, 0.0, 0.5], [[1.0, 0.0], [0.0, 0.5]]).round(12) + 0.0
    array([[1. , 0. ],
           [0. , 0.5],
           [0.5, 0. ]])
    """
    clip = np.asarray(clip, dtype=np.float64)
    response = np.asarray(response, dtype=np.float64)
    if clip.ndim != 1 or clip.size == 0:
        raise ValueError(f"clip: expected (n_samples,), one channel, got shape {clip.shape}")
    if response.ndim != 2 or response.shape[1] != 2 or response.shape[0] == 0:
        raise ValueError(f"response: expected (n_taps, 2), left ear first, got shape {response.shape}")
    n_samples = clip.size
    return oaconvolve(clip[:, np.newaxis], response[:n_samples], axes=0)[:n_samples]


def render_field(clips: ArrayLike, responses: ArrayLike) -> NDArray[np.float64]:
    """Clips as the two ears hear them at once, each from its own place.

    Parameters
    ----------
    clips : array_like, (n_places, n_samples)
        One channel from each place.
    responses : array_like, (n_places, n_taps, 2)
        Impulse responses of the two ears at each place, left first, at the clips' sampling rate.

    Returns
    -------
    ndarray, (n_samples, 2)
        The sum of what `render` gives for each place, up to rounding; one transform for all is far quicker.

    Raises
    ------
    ValueError
        If a shape is another one.

    Examples
    --------
    >>> render_field([[1.0, 0.0], [0.0, 1.0]], [[[1.0, 0.0]], [[0.0, 0.5]]]).round(12) + 0.0
    array([[1. , 0. ],
           [0. , 0.5]])
    """
    clips = np.asarray(clips, dtype=np.float64)
    responses = np.asarray(responses, dtype=np.float64)
    if clips.ndim != 2 or clips.size == 0:
        raise ValueError(f"clips: expected (n_places, n_samples), got shape {clips.shape}")
    if responses.ndim != 3 or responses.shape[::2] != (len(clips), 2) or responses.size == 0:
        raise ValueError(f"responses: expected ({len(clips)}, n_taps, 2), got shape {responses.shape}")
    n_samples = clips.shape[1]
    ears = np.ascontiguousarray(responses[:, :n_samples].transpose(0, 2, 1))
    n_fft = fft.next_fast_len(n_samples + ears.shape[2] - 1, real=True)
    spectra = np.zeros((2, n_fft // 2 + 1), dtype=np.complex128)
    for clip, response in zip(clips, ears, strict=True):
        spectra += fft.rfft(clip, n_fft) * fft.rfft(response, n_fft)
    return fft.irfft(spectra, n_fft)[:, :n_samples].T


def mix(
    speech: ArrayLike,
    response: ArrayLike,
    noises: Sequence[ArrayLike],
    noise_responses: Sequence[ArrayLike],
    snrs_db: Sequence[float],
    peak_db: float,
) -> Mixture:
    """A talker and noises at given signal-to-noise ratios and a given peak.

    Parameters
    ----------
    speech : array_like, (n_samples,)
        The target's clip.
    response : array_like, (n_taps, 2)
        The ears' responses at the target's place.
    noises : sequence of array_like, (n_samples,) or (n_places, n_samples)
        The noises' clips, of a noise from many places one for each; none at all gives the target alone.
    noise_responses : sequence of array_like, (n_taps, 2) or (n_places, n_taps, 2)
        The ears' responses at each noise's place or places.
    snrs_db : sequence of float
        One for each noise: the power of the rendered target over the power of that rendered noise, before
        they are added, in dB, at most 200 either way.
    peak_db : float
        Largest absolute sample of the mixture in dB re full scale (1.0), from -100 to 0.

    Returns
    -------
    Mixture
        `signal` (n_samples, 2), and `snr_db`, the power of the target over that of all noises added, inf
        without any.

    Raises
    ------
    ValueError
        If a shape or a count does not fit, a number is not finite or out of range, or something is inaudible:
        a clip, a response, or a mixture whose parts cancel.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> speech, noise = rng.standard_normal((2, 1000))
    >>> mixture = mix(speech, np.eye(2), [noise], [np.eye(2)], snrs_db=[10.0], peak_db=-6.0)
    >>> mixture.signal.shape, round(mixture.snr_db, 6), float(np.abs(mixture.signal).max().round(6))
    ((1000, 2), 10.0, 0.501187)
    """
    if not len(noises) == len(noise_responses) == len(snrs_db):
        raise ValueError(
            f"expected one response and one SNR for each noise, got {len(noises)} noises, "
            f"{len(noise_responses)} noise_responses, {len(snrs_db)} snrs_db"
        )
    if not MIN_PEAK_DB <= peak_db <= 0:
        raise ValueError(f"peak_db: expected dB re full scale, from {MIN_PEAK_DB:g} to 0, got {peak_db}")
    target, target_power = _audible(speech, response, "speech")
    noise = np.zeros_like(target)
    for number, (clip, noise_response, snr_db) in enumerate(
        zip(noises, noise_responses, snrs_db, strict=True)
    ):
        if not abs(snr_db) <= MAX_SNR_DB:
            raise ValueError(f"snrs_db[{number}]: expected dB within ±{MAX_SNR_DB:g}, got {snr_db}")
        rendered, power = _audible(clip, noise_response, f"noises[{number}]")
        if len(rendered) != len(target):
            raise ValueError(f"noises[{number}]: {len(rendered)} samples, but the speech has {len(target)}")
        rendered *= np.sqrt(target_power / power * 10 ** (-snr_db / 10))
        noise += rendered
    mixture = target + noise
    peak = max(mixture.max(), -mixture.min())
    if peak**2 <= INAUDIBLE * target_power:
        raise ValueError("the speech and the noises cancel each other")
    mixture *= 10 ** (peak_db / 20) / peak
    noise_power = _power(noise)
    total_db = 10 * np.log10(target_power / noise_power) if noise_power > 0 else np.inf
    return Mixture(mixture, float(total_db))


def _audible(clip: ArrayLike, response: ArrayLike, name: str) -> tuple[NDArray[np.float64], float]:
    """The rendered clip and its power; refused by name where there is nothing to scale."""
    clip = np.asarray(clip, dtype=np.float64)
    response = np.asarray(response, dtype=np.float64)
    try:
        rendered = render_field(clip, response) if response.ndim == 3 else render(clip, response)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    power = _power(rendered)
    if not np.isfinite(power):
        raise ValueError(f"{name}: the clip or its response holds NaN or infinity")
    expected = np.sum(np.mean(clip**2, axis=-1) * np.sum(response**2, axis=(-2, -1)))
    if power <= INAUDIBLE * expected:
        raise ValueError(f"{name}: silent at both ears, so no level can be set")
    return rendered, power


def _power(signal: NDArray[np.float64]) -> float:
    """Mean square over both ears and the whole clip."""
    return float(np.einsum("ij,ij->", signal, signal)) / signal.size
