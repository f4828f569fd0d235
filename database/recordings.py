"""One recording: what names it, and how its file is read and checked.

A recording is read as one channel (the mean of its channels) at the rate asked for, and a file that would
give something else than it promises is refused by name: truncated, empty, silent, not finite, not audio.

- `Recording`: file, label and origin of one recording.
- `Source`: what every source of recordings has.
- `read_audio`: all channels of a file, `read_mono`: their mean at another rate.
- `check_rate`: refuses a sampling rate that makes no sense.
- `is_clipped`: whether a recording was louder than its file could hold.
"""

import math
import sys
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np
import soundfile
import soxr

from database.containers import FORMATS, missing
from database.interrupts import signals_held

MAX_DURATION = 60.0  # seconds that are read of a longer file
_LOUDEST = 1e10  # re full scale; floats in the unit of 32-bit integers reach 2e9, and can be used
_UNKNOWN_LENGTH = 2**63 - 1  # libsndfile's for a FLAC file that was written into a pipe
_SILENCE = 1e-5  # re full scale; half a step of 16 bits is 1.5e-5
_OFFSET = 0.03  # of the power of the rest; less changes no level by more than 0.13 dB, and may stay


class Recording(NamedTuple):
    """Name of one recording of a source.

    Attributes
    ----------
    file : str
        POSIX path relative to the source's folder, or the name of a synthetic recording.
    label : str
        The speaker, or the type of noise.
    origin : str
        What two splits must never share: the speaker, or the recording that a noise was cut from.
    """

    file: str
    label: str
    origin: str


class Source(Protocol):
    """Recordings, and how to read them.

    `kind` says which, `folder` where they lie (None: nowhere, they are synthetic); `recordings` lists them.
    """

    @property
    def kind(self) -> str: ...

    @property
    def folder(self) -> Path | None: ...

    @property
    def recordings(self) -> tuple[Recording, ...]: ...

    def read(self, recording: Recording, fs: float) -> np.ndarray:
        """Samples (n_samples,) of a recording at `fs` Hz, one channel."""
        ...

    def is_clipped(self, recording: Recording) -> bool:
        """Whether a recording is clipped."""
        ...

    def checksum(self, recording: Recording) -> str:
        """SHA-256 of a recording, in hexadecimal digits."""
        ...


def check_rate(fs: float) -> None:
    """Refuse a sampling rate outside 1 to 384 kHz.

    Parameters
    ----------
    fs : float
        Sampling rate in Hz.

    Raises
    ------
    ValueError
        If it is not in that range.

    Examples
    --------
    >>> check_rate(16000)
    >>> check_rate(16)
    Traceback (most recent call last):
        ...
    ValueError: fs is 16 Hz, expected 1000 to 384000: did you give kHz?
    """
    if not 1000 <= fs <= 384_000:
        guess = ": did you give kHz?" if 1 <= fs < 1000 else ""
        raise ValueError(f"fs is {fs} Hz, expected 1000 to 384000{guess}")


def read_audio(path: str | Path, max_duration: float = math.inf) -> tuple[np.ndarray, int]:
    """Read all channels of an audio file, and see that nothing of it is missing.

    Parameters
    ----------
    path : path
        A file in one of `containers.FORMATS`; its name does not matter.
    max_duration : float
        Of a longer file, the first so many seconds are read.

    Returns
    -------
    samples : ndarray, shape (n_samples, n_channels)
        Full scale 1.
    fs : int
        The file's sampling rate in Hz.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If the file is empty, not audio, in another container, truncated, or holds NaN or infinity.

    Examples
    --------
    >>> import tempfile, numpy, soundfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/stereo.wav", numpy.zeros((8000, 2)), 8000)
    ...     samples, fs = read_audio(f"{folder}/stereo.wav")
    >>> samples.shape, fs
    ((8000, 2), 8000)
    """
    path = Path(path)
    with path.open("rb") as stream:
        if path.stat().st_size == 0:
            raise ValueError(f"{path} is empty (0 bytes), expected audio")
        try:
            with (
                signals_held()
            ):  # libsndfile calls Python to read, and what an interrupt raises there is lost
                return _samples(stream, max_duration)
        except soundfile.LibsndfileError as error:
            raise ValueError(f"{path} cannot be read as audio: {error.error_string}") from error
        except ValueError as error:
            raise ValueError(f"{path} {error}") from error


def read_mono(path: str | Path, fs: float) -> np.ndarray:
    """Read an audio file as one channel at a sampling rate of choice.

    Parameters
    ----------
    path : path
        As for `read_audio`. Of a file longer than 60 s, the first 60 s are read.
    fs : float
        Sampling rate of the result in Hz; a file of another rate is resampled to it with soxr.

    Returns
    -------
    ndarray, shape (n_samples,)
        Mean of the channels, full scale 1; without an offset of the zero line that would count as sound.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If the file is refused by `read_audio`, or is silent.

    Examples
    --------
    >>> import tempfile, numpy, soundfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/stereo.wav", 0.1 * numpy.ones((8000, 2)).cumsum(axis=0) % 1, 8000)
    ...     read_mono(f"{folder}/stereo.wav", 16000).shape
    (16000,)
    """
    check_rate(fs)
    samples, file_fs = read_audio(path, MAX_DURATION)
    mono = samples.mean(axis=1)
    if np.ptp(mono) < 2 * _SILENCE:
        raise ValueError(f"{path} is silent (or its channels cancel when averaged)")
    if mono.mean() ** 2 > _OFFSET * mono.var():
        mono -= mono.mean()
    return mono if file_fs == fs else np.asarray(soxr.resample(mono, file_fs, fs))


def is_clipped(samples: np.ndarray) -> bool:
    """Whether a recording was louder than its file could hold.

    Clipping cuts the tops off: three or more equal samples in a row at full scale, where a wave that only
    just fits has one or two. Samples beyond full scale, as lossy formats and floats have them, count as at
    it; so do those down to 1/128 below it, since the largest sample of 8 bits is 127/128. A recording passes
    as clipped if a ten-thousandth of it lies in such rows: of 302 recordings of LibriSpeech none does, of 318
    of ESC-50 one. It can be used: the distortion is the same at both ears.

    Parameters
    ----------
    samples : ndarray, shape (n_samples, n_channels)
        Full scale 1, as they are in the file: resampling rounds the tops.

    Returns
    -------
    bool

    Examples
    --------
    >>> tone = np.sin(0.1 * np.arange(16000))[:, None]
    >>> is_clipped(tone), is_clipped(np.clip(1.1 * tone, -1, 1))
    (False, True)
    """
    within = np.clip(samples, -1, 1)
    flat = (within[1:] == within[:-1]) & (np.abs(within[1:]) >= 127 / 128)
    return bool(np.sum(flat[1:] & flat[:-1]) >= 1e-4 * within.size)


def _samples(stream: BinaryIO, max_duration: float) -> tuple[np.ndarray, int]:
    """Samples (n_samples, n_channels) and the rate in Hz; errors do not yet name the file."""
    lacking = missing(stream)
    if lacking:
        raise ValueError(f"is truncated: {lacking}")
    stream.seek(0)
    with soundfile.SoundFile(stream) as file:
        check_rate(file.samplerate)
        if file.format not in FORMATS:
            raise ValueError(f"is {file.format_info}, expected one of {', '.join(FORMATS)}")
        samples, file_fs = _declared_samples(file, max_duration), file.samplerate
    if len(samples) == 0:
        raise ValueError("holds no samples")
    odd = ~(np.abs(samples) < _LOUDEST)
    if odd.any():
        raise ValueError(
            f"holds {odd.sum()} samples that are NaN, infinite or above {_LOUDEST:g} times full scale"
        )
    return samples, file_fs


def _declared_samples(file: soundfile.SoundFile, max_duration: float) -> np.ndarray:
    """All samples that the file declares, or so many seconds; an error if it holds fewer."""
    if file.frames == _UNKNOWN_LENGTH:
        raise ValueError("declares no number of samples, so that nobody could tell whether it is complete")
    limit = min(file.frames, int(min(max_duration * file.samplerate, sys.maxsize)))
    try:
        samples = file.read(limit, always_2d=True)
    except MemoryError as error:
        raise ValueError(f"declares {file.frames} samples, more than the memory can hold") from error
    complete = len(samples) == limit
    if file.frames > limit:  # a look at the last sample shows whether the rest is there
        file.seek(file.frames - 1)
        complete = len(file.read(1)) == 1
    if not complete:
        raise ValueError(f"is truncated: it declares {file.frames} samples and holds fewer")
    return samples
