"""Ten kinds of noise from simple models, none of them recorded: an alarm, a clock, crickets and so on.

Each function draws one noise of its kind, `n_samples` at `RATE` Hz, of any level; no two of a kind are the
same. The kinds differ in spectrum (from rumble to hiss) and in modulation (ticks, beeps, gusts, or none).

- `NOISES`: the functions under their names.
- `noise`: a noise by name.
- `speech_shaped`: stationary noise with the spectrum of speech.
"""

from collections.abc import Callable

import numpy as np
from scipy import fft
from scipy.signal import fftconvolve

from database.synthetic_speech import RATE

# Long-term average spectrum of speech at 70 dB SPL, of twelve languages, men and women together: Byrne et al.
# (1994), "An international comparison of long-term average speech spectra", JASA 96, 2108-2120.
SPEECH_LEVELS = {  # centre of a third of an octave in Hz to level in dB
    **{63: 38.6, 80: 43.5, 100: 54.4, 125: 57.7, 160: 56.8, 200: 60.2, 250: 60.3, 315: 59.0, 400: 62.1},
    **{500: 62.1, 630: 60.5, 800: 56.8, 1000: 53.7, 1250: 53.0, 1600: 52.0, 2000: 48.7, 2500: 48.1},
    **{3150: 46.8, 4000: 45.6, 5000: 44.5, 6300: 44.3, 8000: 43.7, 10000: 43.4, 12500: 41.3},
}

Rng = np.random.Generator


def noise(name: str, duration: float, rng: Rng) -> np.ndarray:
    """A noise by name.

    Parameters
    ----------
    name : str
        One of `NOISES`.
    duration : float
        In seconds.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (n_samples,)
        At `RATE` Hz, with an rms of 0.05.

    Examples
    --------
    >>> import numpy
    >>> noise("rain", 1.0, numpy.random.default_rng(0)).shape
    (24000,)
    """
    n_samples = round(duration * RATE)
    sound = NOISES[name](n_samples, rng)
    background = 3e-3 * _shaped(n_samples, rng, lambda f: 1 / np.sqrt(1 + f / 200))
    return 0.05 * (sound / np.std(sound) + background)


def speech_shaped(duration: float, rng: Rng) -> np.ndarray:
    """Stationary Gaussian noise with the long-term average spectrum of speech.

    Parameters
    ----------
    duration : float
        In seconds.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (n_samples,)
        At `RATE` Hz, with an rms of 0.05, and nothing below 63 Hz.

    Examples
    --------
    >>> import numpy
    >>> speech_shaped(1.0, numpy.random.default_rng(0)).std().round(6)
    np.float64(0.05)
    """
    centres = np.array([*SPEECH_LEVELS])
    densities = np.array([*SPEECH_LEVELS.values()]) - 10 * np.log10(centres)  # bands grow with their centre

    def gain(f: np.ndarray) -> np.ndarray:
        octaves = np.log2(np.maximum(f, 1))
        return 10 ** (np.interp(octaves, np.log2(centres), densities, left=-np.inf) / 20)

    sound = _shaped(round(duration * RATE), rng, gain)
    return 0.05 * sound / np.std(sound)


def _alarm(n_samples: int, rng: Rng) -> np.ndarray:
    """Beeps of a tone with harmonics, several in a second."""
    t, tone = np.arange(n_samples) / RATE, rng.uniform(1800, 2600)
    beeps = (t * rng.uniform(3, 6) + rng.random()) % 1 < rng.uniform(0.4, 0.6)
    edges = np.convolve(beeps, np.full(120, 1 / 120), "same")
    phase = 2 * np.pi * tone * t
    return edges * (np.sin(phase) + np.sin(2 * phase) / 3 + np.sin(3 * phase) / 5)


def _clock(n_samples: int, rng: Rng) -> np.ndarray:
    """Ticks and tocks: two damped resonances in turn, two to five times in a second."""
    period = RATE / rng.uniform(2, 5)
    ticks = np.zeros((2, n_samples))
    at = np.arange(rng.uniform(0, period / 2), n_samples - 1, period).round().astype(int)
    ticks[np.arange(len(at)) % 2, at] = rng.uniform(0.7, 1, len(at))
    decay = rng.uniform(2e-3, 5e-3)
    rings = np.stack([_ring(rng, decay, rng.uniform(2500, 6000, 3)) for _ in ticks])
    return fftconvolve(ticks, rings, axes=1)[:, :n_samples].sum(axis=0)


def _crickets(n_samples: int, rng: Rng) -> np.ndarray:
    """Two or three tones near 5 kHz, each chopped into pulses and the pulses into chirps."""
    t = np.arange(n_samples) / RATE
    sound = np.zeros(n_samples)
    for _ in range(rng.integers(2, 4)):
        pulses = np.sin(np.pi * rng.uniform(25, 40) * t + rng.uniform(0, np.pi)) ** 2
        chirps = 0.5 - 0.5 * np.cos(2 * np.pi * rng.uniform(1.5, 3) * t + rng.uniform(0, 2 * np.pi))
        tone = np.sin(2 * np.pi * rng.uniform(4400, 5600) * t)
        sound += rng.uniform(0.5, 1) * pulses * chirps * tone
    return sound


def _engine(n_samples: int, rng: Rng) -> np.ndarray:
    """Firing strokes, 18 to 35 in a second: each a thud and a burst of noise."""
    rate = rng.uniform(18, 35) * (1 + 0.05 * _wander(n_samples, rng, 0.5))
    phase = np.cumsum(rate / RATE) % 1
    strokes = np.exp(-phase / 0.15)
    thud = strokes * np.sin(2 * np.pi * rng.uniform(3, 5) * phase)
    corner = rng.uniform(800, 1500)
    exhaust = _shaped(n_samples, rng, lambda f: 1 / (1 + (f / corner) ** 2) * (f > 150))
    return thud / np.std(thud) + rng.uniform(0.8, 1.2) * strokes**2 * exhaust / np.std(strokes**2 * exhaust)


def _hiss(n_samples: int, rng: Rng) -> np.ndarray:
    """Steady noise that rises gently towards the high frequencies."""
    slope = rng.uniform(0.1, 0.4)
    return _shaped(n_samples, rng, lambda f: (1 + f / 500) ** slope)


def _hum(n_samples: int, rng: Rng) -> np.ndarray:
    """Mains of 50 or 60 Hz with its harmonics, the even ones stronger."""
    k = np.arange(16)
    levels = (k + 1) ** -rng.uniform(0.7, 1.1) * np.where(k % 2, 1, 0.4) * rng.uniform(0.6, 1.4, len(k))
    turns = np.exp(2j * np.pi * rng.choice([50, 60]) * np.arange(n_samples) / RATE)
    harmonics = levels * np.exp(2j * np.pi * rng.random(len(k)))
    return (turns * np.polyval(harmonics[::-1], turns)).real


def _rain(n_samples: int, rng: Rng) -> np.ndarray:
    """A patter of drops, each a short ring between 1 and 4 kHz, over a wash of many more."""
    drops = np.where(rng.random(n_samples) < rng.uniform(100, 300) / RATE, rng.exponential(1, n_samples), 0)
    patter = fftconvolve(drops, _ring(rng, 1.5e-3, rng.uniform(1000, 4000, 6)))[:n_samples]
    wash = _shaped(n_samples, rng, lambda f: f / 1500 / (1 + (f / 1500) ** 2))
    return patter / np.std(patter) + rng.uniform(0.5, 0.8) * wash / np.std(wash)


def _rumble(n_samples: int, rng: Rng) -> np.ndarray:
    """Noise below some 100 Hz, slowly swelling."""
    corner = rng.uniform(60, 120)
    swell = 1 + 0.3 * _wander(n_samples, rng, 1)
    return swell * _shaped(n_samples, rng, lambda f: 1 / (1 + (f / corner) ** 4))


def _siren(n_samples: int, rng: Rng) -> np.ndarray:
    """A tone with harmonics that sweeps up and down over more than an octave."""
    t = np.arange(n_samples) / RATE
    sweep = np.cos(2 * np.pi * rng.uniform(0.6, 2.0) * t + rng.uniform(0, 2 * np.pi))
    phase = 2 * np.pi * np.cumsum(rng.uniform(750, 950) * 2 ** (rng.uniform(0.5, 0.7) * sweep)) / RATE
    return np.sin(phase) + np.sin(2 * phase) / 4 + np.sin(3 * phase) / 9


def _wind(n_samples: int, rng: Rng) -> np.ndarray:
    """Gusts of noise that falls off above a few hundred hertz."""
    corner = rng.uniform(300, 600)
    gusts = np.exp(0.7 * _wander(n_samples, rng, 2))
    return gusts * _shaped(n_samples, rng, lambda f: 1 / (1 + (f / corner) ** 2) * (f > 60))


NOISES: dict[str, Callable[[int, Rng], np.ndarray]] = {
    "alarm": _alarm,
    "clock": _clock,
    "crickets": _crickets,
    "engine": _engine,
    "hiss": _hiss,
    "hum": _hum,
    "rain": _rain,
    "rumble": _rumble,
    "siren": _siren,
    "wind": _wind,
}


def _shaped(n_samples: int, rng: Rng, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Gaussian noise with a given gain over frequency in Hz, white where that is 1."""
    spectrum = fft.rfft(rng.standard_normal(n_samples))
    return fft.irfft(spectrum * gain(fft.rfftfreq(n_samples, 1 / RATE)), n_samples)


def _wander(n_samples: int, rng: Rng, rate: float) -> np.ndarray:
    """A random course of variance about 1 that changes `rate` times in a second."""
    knots = rng.standard_normal(int(n_samples / RATE * rate) + 3)
    return np.interp(np.arange(n_samples) / RATE * rate, np.arange(len(knots)), knots)


def _ring(rng: Rng, decay: float, tones: np.ndarray) -> np.ndarray:
    """A stroke that rings in several tones and decays with a time constant in s."""
    t = np.arange(round(8 * decay * RATE)) / RATE
    phases = rng.uniform(0, 2 * np.pi, (len(tones), 1))
    return np.exp(-t / decay) * np.sin(2 * np.pi * np.outer(tones, t) + phases).sum(axis=0)
