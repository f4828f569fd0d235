"""One recording: what names it, and how its file is read and checked.

A recording is read as one channel (the mean of its channels) at the rate asked for, and a file that would
give something else than it promises is refused by name: truncated, empty, silent, not finite, not audio.

- `Recording`: file, label and origin of one recording.
- `Source`: what every source of recordings has.
- `read_audio`: all channels of a file, `read_mono`: their mean at another rate.
- `check_rate`: refuses a sampling rate that makes no sense.

libsndfile reads a truncated WAV, AIFF, AU or Ogg file short and says nothing, so the length that such a file
declares is compared with what is there. W64, CAF, VOC and NIST files are read as far as they go.
"""

import math
import struct
import sys
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np
import soundfile
import soxr

MAX_DURATION = 60.0  # seconds that are read of a longer file
_SILENCE = 1e-5  # re full scale; half a step of 16 bits is 1.5e-5
_UNKNOWN_LENGTH = 0xFFFFFFFF  # what a program writes that cannot go back to the header


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
        Any format that libsndfile reads.
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
        If the file is empty, not audio, truncated, or holds NaN or infinity.

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
        Any format that libsndfile reads. Of a file longer than 60 s, the first 60 s are read.
    fs : float
        Sampling rate of the result in Hz; the file is resampled to it with soxr.

    Returns
    -------
    ndarray, shape (n_samples,)
        Mean of the channels, full scale 1.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If the file is empty, not audio, truncated, silent, or holds NaN or infinity.

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
    return np.asarray(soxr.resample(mono, file_fs, fs))


def _samples(stream: BinaryIO, max_duration: float) -> tuple[np.ndarray, int]:
    """Samples (n_samples, n_channels) and the rate in Hz; errors do not yet name the file."""
    missing = _missing(stream)
    if missing:
        raise ValueError(f"is truncated: {missing}")
    stream.seek(0)
    with soundfile.SoundFile(stream) as file:
        check_rate(file.samplerate)
        limit = min(file.frames, int(min(max_duration * file.samplerate, sys.maxsize)))
        samples = file.read(limit, always_2d=True)
        if file.frames > limit:  # a look at the last sample shows whether the rest is there
            file.seek(file.frames - 1)
            complete = len(file.read(1)) == 1
        else:
            complete = len(samples) == file.frames
        if not complete:
            raise ValueError(f"is truncated: it declares {file.frames} samples and holds fewer")
        file_fs = file.samplerate
    if len(samples) == 0:
        raise ValueError("holds no samples")
    if not np.isfinite(samples).all():
        raise ValueError(f"holds {np.sum(~np.isfinite(samples))} samples that are NaN or infinite")
    return samples, file_fs


def _missing(stream: BinaryIO) -> str:
    """What a truncated file lacks, in words; empty if its container is complete or does not say."""
    start = stream.read(4)
    if start in (b"RIFF", b"RF64", b"BW64"):
        return _missing_chunk(stream, "<", b"data")
    if start == b"RIFX":
        return _missing_chunk(stream, ">", b"data")
    if start == b"FORM":
        return _missing_chunk(stream, ">", b"SSND")
    if start == b".snd":
        offset, size = struct.unpack(">II", stream.read(8).ljust(8, b"\0"))
        return _shortfall(stream, offset, size)
    if start == b"OggS":
        return _missing_page(stream)
    return ""


def _missing_chunk(stream: BinaryIO, order: str, wanted: bytes) -> str:
    """What is missing of the chunk of samples in a RIFF or AIFF file."""
    stream.seek(12)
    long_size = _UNKNOWN_LENGTH
    while len(header := stream.read(8)) == 8:
        name, size = struct.unpack(f"{order}4sI", header)
        if name == b"ds64":  # the 64-bit sizes of RF64 (EBU Tech 3306): RIFF, data, ...
            long_size = struct.unpack("<8xQ", stream.read(16).ljust(16, b"\0"))[0]
            stream.seek(size - 16, 1)
        elif name == wanted:
            return _shortfall(stream, stream.tell(), long_size if size == _UNKNOWN_LENGTH else size)
        else:
            stream.seek(size + size % 2, 1)
    return ""


def _shortfall(stream: BinaryIO, offset: int, size: int) -> str:
    """Compare the bytes declared from `offset` on with those in the file."""
    present = stream.seek(0, 2) - offset
    if size == _UNKNOWN_LENGTH or present >= size:
        return ""
    return f"it declares {size} bytes of samples and holds {max(present, 0)}"


def _missing_page(stream: BinaryIO) -> str:
    """What is missing at the end of an Ogg stream, whose last page is marked as such (RFC 3533)."""
    stream.seek(max(stream.seek(0, 2) - 65_307, 0))  # the longest page
    tail = stream.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]]):
        return "its last Ogg page is cut"
    return "" if page[5] & 4 else "its last Ogg page is missing"
