"""Speech and noise that nobody recorded, so that everything runs with no download.

A synthetic recording is made from its name alone, the same each time: 5 s, of speech-shaped noise 60 s, with
a bandwidth of 12 kHz, rounded to 16 bits as a recorded one would be. It stands in for real speech and noise;
it is neither.

- `SyntheticSource`: recordings made from their names.
- `synthetic_speech`, `synthetic_noise`, `speech_shaped_noise`: the built-in sources.
"""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import soxr

from database.recordings import Recording, check_rate
from database.synthetic_noise import NOISES, noise, speech_shaped
from database.synthetic_speech import RATE, draw_talker, speech

N_TALKERS = 60
CLIPS_PER_TALKER = 5
CLIPS_PER_NOISE = 24
CLIP_DURATION = 5.0  # s
SPEECH_SHAPED = "speech-shaped"
SPEECH_SHAPED_DURATION = 60.0  # s: 36 directions have each their own second, and more


@dataclass(frozen=True)
class SyntheticSource:
    """Recordings made from their names.

    Attributes
    ----------
    kind : str
        ``"synthetic speech"``, ``"synthetic noise"`` or ``"speech-shaped noise"``.
    recordings : tuple of Recording
        Sorted by file, which is a name here, as ``talker-07/3`` or ``rain/05``.
    folder : None
        They lie nowhere.
    """

    kind: str
    recordings: tuple[Recording, ...] = field(repr=False)
    folder: None = None

    def read(self, recording: Recording, fs: float) -> np.ndarray:
        """Samples (n_samples,) of a recording at `fs` Hz, resampled with soxr; ValueError for others."""
        check_rate(fs)
        return np.asarray(soxr.resample(_samples(recording.file) / 32768.0, RATE, fs))

    def is_clipped(self, recording: Recording) -> bool:
        """False: each is scaled to its peak."""
        return False

    def checksum(self, recording: Recording) -> str:
        """SHA-256 of the 16-bit samples, in hexadecimal digits."""
        return hashlib.sha256(_samples(recording.file).astype("<i2").tobytes()).hexdigest()


def synthetic_speech() -> SyntheticSource:
    """Speech-like clips of 60 synthetic talkers of different size and pitch, five of each.

    Examples
    --------
    >>> source = synthetic_speech()
    >>> source.recordings[0]
    Recording(file='talker-01/1', label='talker-01', origin='talker-01')
    >>> source.read(source.recordings[0], 16000).shape
    (80000,)
    """
    talkers = [f"talker-{k:02}" for k in range(1, N_TALKERS + 1)]
    files = [(name, f"{name}/{clip}") for name in talkers for clip in range(1, CLIPS_PER_TALKER + 1)]
    return SyntheticSource("synthetic speech", tuple(Recording(file, name, name) for name, file in files))


def synthetic_noise() -> SyntheticSource:
    """Ten kinds of synthetic noise, 24 recordings of each.

    Examples
    --------
    >>> synthetic_noise().recordings[0]
    Recording(file='alarm/01', label='alarm', origin='alarm/01')
    """
    files = [(name, f"{name}/{clip:02}") for name in NOISES for clip in range(1, CLIPS_PER_NOISE + 1)]
    return SyntheticSource("synthetic noise", tuple(Recording(file, name, file) for name, file in files))


def speech_shaped_noise() -> SyntheticSource:
    """Stationary noise with the spectrum of speech, 24 recordings of one kind.

    Examples
    --------
    >>> speech_shaped_noise().recordings[0]
    Recording(file='speech-shaped/01', label='speech-shaped', origin='speech-shaped/01')
    """
    files = [f"{SPEECH_SHAPED}/{clip:02}" for clip in range(1, CLIPS_PER_NOISE + 1)]
    return SyntheticSource(
        "speech-shaped noise", tuple(Recording(file, SPEECH_SHAPED, file) for file in files)
    )


@lru_cache(maxsize=256)  # 60 MB: a plan reads its clips twice, for what is in them and for their sums
def _samples(name: str) -> np.ndarray:
    """16-bit samples of a recording at `RATE` Hz, which nobody may write into."""
    label, _, clip = name.partition("/")
    if label in NOISES:
        sound = noise(label, CLIP_DURATION, _generator(name))
    elif label == SPEECH_SHAPED:
        sound = speech_shaped(SPEECH_SHAPED_DURATION, _generator(name))
    elif label.startswith("talker-") and clip:
        sound = speech(draw_talker(_generator(label)), CLIP_DURATION, _generator(name))
    else:
        raise ValueError(f"{name!r} is no synthetic recording, expected one like 'talker-07/3' or 'rain/05'")
    sound /= max(1.0, np.abs(sound).max() / 0.99)
    samples = np.round(sound * 32767).astype(np.int16)
    samples.setflags(write=False)
    return samples


def _generator(name: str) -> np.random.Generator:
    """Random numbers that depend on a name alone, on every machine and in every process."""
    return np.random.default_rng(list(hashlib.sha256(name.encode()).digest()))
