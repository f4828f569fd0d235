"""Speech-like sound from a model of the voice: no words, but talkers, syllables, pauses.

Source and filter (Fant 1960): a train of glottal pulses with a moving pitch, and noise for breath and
fricatives, go through the resonances of a vocal tract whose first three formants move from sound to sound. A
talker is a length of the vocal tract and a voice that goes with it.

Everything is at `RATE` Hz. What is said is a table with a row for each frame of `HOP` samples, and in its
columns the levels of voice, breath and hiss; three formants (in Hz, as of a man); centre and width of the
hiss (in Hz); and the accent of the pitch in semitones.

- `Talker`, `draw_talker`: who speaks.
- `speech`: some seconds of one talker.
"""

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft

RATE = 24_000  # Hz
HOP = 192  # samples, 8 ms
_LEVELS, _FORMANTS, _HISS, _ACCENT = slice(0, 3), slice(3, 6), slice(6, 8), slice(8, 9)
_NEUTRAL_TRACT = 0.175  # m, of the talkers whose formants the tables hold

# first three formants in Hz: Peterson & Barney (1952), table II, men
_VOWELS = np.array(
    [
        (270, 2290, 3010),
        (390, 1990, 2550),
        (530, 1840, 2480),
        (660, 1720, 2410),
        (730, 1090, 2440),
        (570, 840, 2410),
        (440, 1020, 2240),
        (300, 870, 2240),
        (640, 1190, 2390),
        (490, 1350, 1690),
    ]
)
# centre and width of the noise in Hz, and its level against a vowel
_FRICATIVES = np.array([(6500, 1500, 0.3), (3300, 1000, 0.3), (7500, 4000, 0.1), (4800, 2500, 0.15)])


# frames that a sound lasts, and the columns of the table
Phone = tuple[int, tuple[float, ...]]


class Talker(NamedTuple):
    """A voice.

    Attributes
    ----------
    tract : float
        Length of the vocal tract in metres; formants are inversely proportional to it.
    pitch : float
        Median fundamental frequency in Hz.
    liveliness : float
        Spread of the pitch in semitones.
    rate : float
        Syllables per second.
    breath : float
        Level of breath against the voice.
    """

    tract: float
    pitch: float
    liveliness: float
    rate: float
    breath: float


def draw_talker(rng: np.random.Generator) -> Talker:
    """Draw a talker between a small child's and a tall man's size; pitch falls as size grows.

    Examples
    --------
    >>> import numpy
    >>> 0.13 < draw_talker(numpy.random.default_rng(0)).tract < 0.185
    True
    """
    tract = rng.uniform(0.13, 0.185)
    return Talker(
        tract=tract,
        pitch=115 * (_NEUTRAL_TRACT / tract) ** 2.5 * 2 ** rng.uniform(-0.25, 0.25),
        liveliness=rng.uniform(1.5, 3.5),
        rate=rng.uniform(3.5, 5.5),
        breath=rng.uniform(0.03, 0.15),
    )


def speech(talker: Talker, duration: float, rng: np.random.Generator) -> np.ndarray:
    """Speech-like sound of a talker.

    Parameters
    ----------
    talker : Talker
    duration : float
        In seconds.
    rng : numpy.random.Generator
        Draws what is said.

    Returns
    -------
    ndarray, shape (n_samples,)
        At `RATE` Hz, with an rms near 0.05.

    Examples
    --------
    >>> import numpy
    >>> rng = numpy.random.default_rng(0)
    >>> speech(draw_talker(rng), 1.0, rng).shape
    (24000,)
    """
    n_samples = round(duration * RATE)
    frames = _phones(talker, n_samples // HOP + 2, rng)
    frames[:, _LEVELS] = _smooth(frames[:, _LEVELS], 3)
    frames[:, _FORMANTS] = _smooth(frames[:, _FORMANTS], 7)
    frames[:, _HISS] = _smooth(frames[:, _HISS], 7)
    frames[:, _ACCENT] = _smooth(frames[:, _ACCENT], 15)
    voice, breath, hiss = _per_sample(frames[:, _LEVELS], n_samples)
    accent = _per_sample(frames[:, _ACCENT], n_samples)[0]

    noise = rng.standard_normal(n_samples)
    pulses, opening = _glottis(talker.pitch * 2 ** (accent / 12), rng)
    excitation = voice * (pulses + talker.breath * opening * noise) + breath * noise
    voiced = _filtered(excitation, _tract_gain(frames[:, _FORMANTS], talker.tract))
    unvoiced = _filtered(hiss * noise, _hiss_gain(*frames[:, _HISS].T))
    background = 1e-3 * rng.standard_normal(n_samples)
    return 0.05 * (voiced / np.std(voiced) + unvoiced + background)


def _phones(talker: Talker, n_frames: int, rng: np.random.Generator) -> np.ndarray:
    """Frames (n_frames, n_columns) of phrases of four to eight syllables, with pauses between them."""
    rows: list[Phone] = []
    syllable = RATE / HOP / talker.rate  # frames
    first = rng.integers(0, 100)  # a clip begins anywhere in a phrase
    while sum(length for length, _ in rows) < n_frames + first:
        n_syllables = rng.integers(4, 9)
        for k in range(n_syllables):
            accent = rng.normal(0, talker.liveliness) + 3 - 6 * k / n_syllables
            rows += _syllable(syllable * rng.uniform(0.7, 1.3), accent, rng)
        rows.append((int(rng.integers(15, 45)), (0, 0, 0, *_vowel(rng), 5000, 2000, 0)))
    lengths, values = zip(*rows, strict=True)
    return np.repeat(np.array(values, float), lengths, axis=0)[first : first + n_frames]


def _syllable(n_frames: float, accent: float, rng: np.random.Generator) -> list[Phone]:
    """A consonant and a vowel, at times a diphthong or with a second consonant."""
    first, second = _vowel(rng), _vowel(rng)
    loud = rng.uniform(0.6, 1.0)
    rows = _consonant(first, accent, n_frames, rng)
    half = max(round(0.3 * n_frames), 1)
    rows.append((half, (loud, 0, 0, *first, 5000, 2000, accent)))
    rows.append((half, (loud, 0, 0, *(second if rng.random() < 0.3 else first), 5000, 2000, accent)))
    if rng.random() < 0.3:
        rows += _consonant(second, accent, n_frames, rng)
    return rows


def _consonant(vowel: np.ndarray, accent: float, n_frames: float, rng: np.random.Generator) -> list[Phone]:
    """A fricative (voiced or not), a stop, an aspirate or a nasal before a vowel, or nothing."""
    kind = rng.choice(["fricative", "fricative", "stop", "aspirate", "nasal", "none"])
    length = max(round(n_frames * rng.uniform(0.3, 0.5)), 4)
    centre, width, level = _FRICATIVES[rng.integers(len(_FRICATIVES))]
    if kind == "fricative":
        voice = 0.15 if rng.random() < 0.3 else 0
        return [(length, (voice, 0, level, *vowel, centre, width, accent))]
    if kind == "stop":
        burst = rng.uniform(1500, 5000)
        closure = (0, 0, 0, *vowel, burst, 1500, accent)
        return [(length, closure), (2, (0, 0.02, 0.5, *vowel, burst, 1500, accent))]
    if kind == "aspirate":
        return [(length, (0, 0.06, 0, *vowel, 5000, 2000, accent))]
    if kind == "nasal":
        return [(length, (0.3, 0, 0, 250, 1100, 2300, 5000, 2000, accent))]
    return []


def _vowel(rng: np.random.Generator) -> np.ndarray:
    """Formants of a vowel, said a little differently each time."""
    return _VOWELS[rng.integers(len(_VOWELS))] * rng.uniform(0.94, 1.06, 3)


def _smooth(frames: np.ndarray, length: int) -> np.ndarray:
    """Running mean over frames, weighted by a Hann window: no organ jumps."""
    window = np.hanning(length + 2)[1:-1]
    padded = np.pad(frames, ((length // 2, length // 2), (0, 0)), "edge")
    return sliding_window_view(padded, length, axis=0) @ (window / window.sum())


def _per_sample(frames: np.ndarray, n_samples: int) -> np.ndarray:
    """Columns of frames interpolated to samples, (n_columns, n_samples)."""
    position = np.arange(n_samples) / HOP
    return np.stack([np.interp(position, np.arange(len(frames)), column) for column in frames.T])


def _glottis(pitch: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The flow's derivative and the flow through the glottis, for a pitch in Hz.

    Klatt & Klatt (1990), with the glottis open for 0.6 of each period.
    """
    jitter = 1 + 0.01 * np.repeat(rng.standard_normal(len(pitch) // HOP + 1), HOP)[: len(pitch)]
    phase = np.cumsum(pitch * jitter / RATE) % 1 / 0.6
    is_open = phase < 1
    return np.where(is_open, 2 * phase - 3 * phase**2, 0), np.where(is_open, phase**2 - phase**3, 0) / 0.15


def _tract_gain(formants: np.ndarray, tract: float) -> np.ndarray:
    """Gain (n_frames, n_bins) of a tube's resonances; above the third, those of a uniform tube."""
    f = fft.rfftfreq(4 * HOP, 1 / RATE)
    scale = _NEUTRAL_TRACT / tract
    gain = np.ones((len(formants), len(f)))
    for formant in (formants * scale).T[:, :, None]:
        gain *= _resonance(f, formant)
    for formant in np.arange(3500 * scale, RATE / 2, 1000 * scale):
        gain *= _resonance(f, formant)
    return gain * f / (f + 100)  # the lips do not radiate what hardly moves


def _resonance(f: np.ndarray, formant: np.ndarray | float) -> np.ndarray:
    """Magnitude of a pair of poles, 1 at 0 Hz; bandwidths grow from 60 Hz upwards."""
    bandwidth = 50 + 0.05 * formant
    return formant**2 / np.sqrt((formant**2 - f**2) ** 2 + (f * bandwidth) ** 2)


def _hiss_gain(centre: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Gain (n_frames, n_bins) that turns white noise into a band of the same power."""
    f = fft.rfftfreq(4 * HOP, 1 / RATE)
    gain = np.exp(-0.5 * ((f - centre[:, None]) / width[:, None]) ** 2)
    return gain / np.sqrt(np.mean(gain**2, axis=1, keepdims=True))


def _filtered(signal: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """A signal through a gain (n_frames, n_bins) that changes from frame to frame, without delay.

    Overlap and add: frames of 2 `HOP` in the middle of 4 `HOP`, where the gain's response has room to ring.
    """
    n_frames = len(signal) // HOP + 1
    padded = np.pad(signal, (HOP, 2 * HOP))
    window = np.hanning(2 * HOP + 1)[:-1]  # periodic: its copies add up to 1
    frames = np.zeros((n_frames, 4 * HOP))
    frames[:, HOP : 3 * HOP] = sliding_window_view(padded, 2 * HOP)[::HOP][:n_frames] * window
    frames = fft.irfft(fft.rfft(frames) * gain[:n_frames])
    blocks = np.zeros((n_frames + 3, HOP))
    for k, part in enumerate(np.split(frames, 4, axis=1)):
        blocks[k : k + n_frames] += part
    return blocks.ravel()[2 * HOP :][: len(signal)]
