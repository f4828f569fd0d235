"""What a measurement adds to a head, taken out of it.

- `equalised`: a head whose ears are each as loud at every frequency in a diffuse field
"""

from dataclasses import replace

import numpy as np
import scipy.fft
from scipy.signal import fftconvolve, minimum_phase

from database.diffuse_field import all_round, ear_powers, sphere
from database.hrtf import Head

LOWEST, HIGHEST = 100.0, 16000.0  # Hz; below and above, the filter's gain stays as it is there
MAX_GAIN = 20.0  # dB either way, re the mean: what a loudspeaker hardly played is noise
DURATION = 0.02  # s, of the filters


def equalised(head: Head) -> Head:
    """A head whose ears are each as loud at every frequency in a diffuse field.

    A published response is that of the head, and of the loudspeaker, the microphones and the ear canals with
    which it was measured: between laboratories these differ by 20 dB. They do not depend on the direction.
    What an ear hears of a diffuse field holds all of them, and is taken out by a minimum-phase filter for
    each ear, as some publishers have done (Møller 1992, "Fundamentals of binaural technology", Applied
    Acoustics 36, 171-218; Middlebrooks 1999, JASA 106, 1480-1492, whose directional transfer functions these
    are).

    Parameters
    ----------
    head : Head
        As it was measured.

    Returns
    -------
    Head
        The same directions; responses longer by 20 ms. What differs between directions is as it was, and so
        is the mean level in dB over both ears and 100 Hz to 16 kHz.

    Raises
    ------
    ValueError
        If too much of the circle round the head is missing, as `diffuse_field.all_round` has it.

    Examples
    --------
    >>> from database.hrtf import kemar
    >>> twice_the_left = Head("a", 44100.0, kemar().azimuths, kemar().responses * [2, 1])
    >>> left, right = np.square(equalised(twice_the_left).response(0)).sum(axis=0)
    >>> f"{left / right:.3f}"
    '1.000'
    """
    surrounding = all_round(head)
    _, solid_angles, nearest = sphere(surrounding.azimuths)
    shares = np.bincount(nearest, solid_angles, minlength=len(surrounding.azimuths)) / solid_angles.sum()
    n_fft = 1 + 2 * round(DURATION * head.fs / 2)  # odd: symmetric about its middle sample
    n_spectrum = max(n_fft, 2 * head.responses.shape[1] + 1)
    spectra = scipy.fft.rfft(surrounding.responses, n_spectrum, axis=1)
    powers = ear_powers(spectra, shares)
    levels = 10 * np.log10(np.maximum(powers, 1e-10 * powers.max()))
    measured = scipy.fft.rfftfreq(n_spectrum, 1 / head.fs)
    heard = (measured >= LOWEST) & (measured <= min(HIGHEST, 0.45 * head.fs))
    gains = np.clip(levels[:, heard].mean() - levels[:, heard], -MAX_GAIN, MAX_GAIN)
    frequencies = scipy.fft.rfftfreq(n_fft, 1 / head.fs)
    filters = np.stack([_filter(np.interp(frequencies, measured[heard], gain), n_fft) for gain in gains], -1)
    responses = fftconvolve(head.responses, filters[None], axes=1)
    return replace(head, responses=responses, corrections=(*head.corrections, "equalised"))


def _filter(gain_db: np.ndarray, n_taps: int) -> np.ndarray:
    """The minimum-phase filter of a gain at the frequencies of a transform of `n_taps`, an odd number."""
    zero_phase = scipy.fft.irfft(10 ** (gain_db / 20), n_taps)
    return minimum_phase(np.roll(zero_phase, n_taps // 2), method="homomorphic", half=False)
