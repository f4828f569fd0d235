"""Mono clips of speech and noise: where they are and what they are.

A source lists its recordings and reads them; what it reads is checked. LibriSpeech and ESC-50 are known by
the layout in which they are published; any other folder of audio files will do, and where there is none, a
synthetic source stands in. `origin` tells which recordings two splits must never share.

- `FolderSource`: recordings in a folder; `SyntheticSource`: recordings made from their name.
- `speech_source`, `noise_source`: the source for a folder, or a synthetic one.
- `draw_segments`, `choose_noises`, `loud_starts`, `Segment`: what is used of them, from `database.segments`.
"""

import csv
import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from database.recordings import MAX_DURATION, Recording, Source, is_clipped, read_audio, read_mono
from database.segments import Segment, choose_noises, draw_segments, loud_starts
from database.synthetic import (
    SPEECH_SHAPED,
    SyntheticSource,
    speech_shaped_noise,
    synthetic_noise,
    synthetic_speech,
)

__all__ = [
    "SPEECH_SHAPED",
    "FolderSource",
    "Recording",
    "Segment",
    "Source",
    "SyntheticSource",
    "choose_noises",
    "draw_segments",
    "loud_starts",
    "noise_source",
    "speech_source",
]

AUDIO_SUFFIXES = {
    *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc"),
    *(".au", ".snd", ".caf", ".w64", ".rf64", ".nist", ".sph"),
}
_ESC50_COLUMNS = {"filename", "category", "src_file"}
_LIBRISPEECH_NAME = re.compile(r"(\d+)-(\d+)-\d+\.flac")


@dataclass(frozen=True)
class FolderSource:
    """Recordings in a folder.

    Attributes
    ----------
    kind : str
        ``"LibriSpeech"``, ``"ESC-50"`` or ``"folder"``.
    folder : Path
        Absolute.
    recordings : tuple of Recording
        Sorted by file.
    """

    kind: str
    folder: Path
    recordings: tuple[Recording, ...] = field(repr=False)

    def read(self, recording: Recording, fs: float) -> np.ndarray:
        """Samples (n_samples,) of a recording at `fs` Hz, as `recordings.read_mono` reads them."""
        return read_mono(self._path(recording), fs)

    def is_clipped(self, recording: Recording) -> bool:
        """Whether the part of a recording that is read is clipped, as `recordings.is_clipped` tells."""
        samples, _ = read_audio(self._path(recording), MAX_DURATION)
        return is_clipped(samples)

    def checksum(self, recording: Recording) -> str:
        """SHA-256 of the file, in hexadecimal digits; OSError if it cannot be read."""
        with self._path(recording).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def _path(self, recording: Recording) -> Path:
        """Path of a recording, which may come from a plan that somebody else wrote."""
        name = PurePosixPath(recording.file)
        outside = not name.parts or name.is_absolute() or ".." in name.parts
        if outside or "\\" in recording.file or (os.name == "nt" and ":" in name.parts[0]):
            raise ValueError(f"{recording.file!r} is not a path inside {self.folder}")
        return self.folder / name


def speech_source(folder: str | Path | None = None) -> Source:
    """Speech from a folder, or synthetic speech.

    Parameters
    ----------
    folder : path, optional
        LibriSpeech as published (``<subset>/<speaker>/<chapter>/*.flac``; one subset will do), or any folder
        of audio files, whose sub-folders are the speakers. Synthetic talkers if left out.

    Returns
    -------
    FolderSource or SyntheticSource
        Labels and origins are the speakers.

    Raises
    ------
    OSError
        If the folder does not exist.
    ValueError
        If it holds no audio, or a link to a folder, is ESC-50, or LibriSpeech with other audio among it.

    Examples
    --------
    >>> source = speech_source()
    >>> source.kind, len({recording.label for recording in source.recordings})
    ('synthetic speech', 60)
    """
    if folder is None:
        return synthetic_speech()
    folder = _existing(folder)
    if _esc50_table(folder).exists():
        raise ValueError(f"{folder} holds ESC-50, expected speech: did you swap speech and noise?")
    files = _audio_files(folder)
    utterances = [name for name in files if _is_utterance(folder / name)]
    if utterances:
        if others := sorted({*files} - {*utterances}):
            raise ValueError(
                f"{folder} holds LibriSpeech, such as {utterances[0]}, and other audio, such as {others[0]}: "
                "expected one of the two"
            )
        speakers = [(folder / name).parent.parent.name for name in utterances]
        return FolderSource("LibriSpeech", folder, _recordings(utterances, speakers, speakers))
    speakers = _sub_folders(folder, files)
    return FolderSource("folder", folder, _recordings(files, speakers, speakers))


def noise_source(folder: str | Path | None = None) -> Source:
    """Noise from a folder, or synthetic or speech-shaped noise.

    Parameters
    ----------
    folder : path, optional
        ESC-50 as published (``meta/esc50.csv`` and ``audio/``, in any audio format), or any folder of audio
        files, whose sub-folders are the types of noise. Ten synthetic types if left out. The word
        ``"speech-shaped"`` stands for stationary noise with the spectrum of speech; a folder of this name
        needs its absolute path.

    Returns
    -------
    FolderSource or SyntheticSource
        Labels are the types of noise. Origins are the column `src_file` of ESC-50, elsewhere the files.

    Raises
    ------
    OSError
        If the folder does not exist, or a file that ``esc50.csv`` lists.
    ValueError
        If it holds no audio, or a link to a folder, if ``esc50.csv`` is no table or lacks a column, or if it
        is LibriSpeech.

    Examples
    --------
    >>> source = noise_source()
    >>> source.kind, len({recording.label for recording in source.recordings})
    ('synthetic noise', 10)
    """
    if folder is None:
        return synthetic_noise()
    if str(folder) == SPEECH_SHAPED:
        return speech_shaped_noise()
    folder = _existing(folder)
    if _esc50_table(folder).exists():
        return FolderSource("ESC-50", folder, _esc50_recordings(folder))
    files = _audio_files(folder)
    if any(_is_utterance(folder / name) for name in files):
        raise ValueError(f"{folder} holds LibriSpeech, expected noise: did you swap speech and noise?")
    return FolderSource("folder", folder, _recordings(files, _sub_folders(folder, files), files))


def _existing(folder: str | Path) -> Path:
    path = Path(folder).resolve()
    if not path.is_dir():
        raise NotADirectoryError(f"{path} is not a folder, expected one with audio files")
    return path


def _audio_files(folder: Path) -> list[str]:
    """POSIX paths of the audio files below a folder, sorted; names that begin with a dot are hidden."""
    names = []
    for parent, sub_folders, files in os.walk(folder, onerror=_raised):
        sub_folders[:] = [name for name in sub_folders if not name.startswith(".")]
        for path in (Path(parent, name) for name in sub_folders):
            if path.is_symlink():  # `os.walk` does not go in, and it may lead round in a circle
                name = path.relative_to(folder).as_posix()
                raise ValueError(f"{folder} holds {name}, a link to a folder: expected the folder itself")
        for path in (Path(parent, name) for name in files if not name.startswith(".")):
            # A link to nothing stays: it is named when it is to be read.
            if path.suffix.lower() in AUDIO_SUFFIXES and (path.is_file() or not path.exists()):
                names.append(path.relative_to(folder).as_posix())
    if not names:
        raise ValueError(f"{folder} holds no audio files ({' '.join(sorted(AUDIO_SUFFIXES))})")
    for name in names:  # plans are written in UTF-8, and read on other systems
        if "\\" in name or any(map(_is_surrogate, name)):
            raise ValueError(f"{folder} holds {name!r}: expected names in UTF-8, without backslashes")
    return sorted(names)


def _raised(error: OSError) -> None:
    """A folder that cannot be read is not one without files."""
    raise error


def _is_surrogate(character: str) -> bool:
    """Whether a character stands for a byte of a name that is not UTF-8."""
    return "\ud800" <= character <= "\udfff"


def _is_utterance(path: Path) -> bool:
    """Whether a path ends as LibriSpeech names it: <speaker>/<chapter>/<speaker>-<chapter>-<number>.flac."""
    match = _LIBRISPEECH_NAME.fullmatch(path.name)
    return match is not None and match.groups() == (path.parent.parent.name, path.parent.name)


def _sub_folders(folder: Path, files: list[str]) -> list[str]:
    """Sub-folder of each file, for files without one the folder itself."""
    return [name.split("/")[0] if "/" in name else folder.name for name in files]


def _recordings(files: list[str], labels: list[str], origins: list[str]) -> tuple[Recording, ...]:
    return tuple(map(Recording, files, labels, origins))


def _esc50_table(folder: Path) -> Path:
    return folder / "meta" / "esc50.csv"


def _esc50_recordings(folder: Path) -> tuple[Recording, ...]:
    """Recordings that ``esc50.csv`` lists; a file's suffix may differ, since it may have been converted."""
    table = _esc50_table(folder)
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{table} cannot be read: expected a CSV table in UTF-8 ({error})") from error
    lacking = _ESC50_COLUMNS - set(rows[0] if rows else ())
    if lacking:
        raise ValueError(f"{table} has no rows or lacks the columns {sorted(lacking)}")
    audio = folder / "audio"
    present = {path.name for path in audio.glob("*")}
    stems = {Path(name).stem: name for name in present if Path(name).suffix.lower() in AUDIO_SUFFIXES}
    recordings, absent = [], []
    for number, row in enumerate(rows, start=2):
        if not all(row[column] for column in _ESC50_COLUMNS):
            raise ValueError(f"{table}, row {number} is {row}: expected all of {sorted(_ESC50_COLUMNS)}")
        listed = row["filename"]
        name = listed if listed in present else stems.get(Path(listed).stem)
        if name is None:
            absent.append(listed)
        else:
            recordings.append(Recording(f"audio/{name}", row["category"], row["src_file"]))
    if absent:
        names = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
        raise FileNotFoundError(f"{table} lists {len(absent)} files that {audio} lacks: {names}")
    return tuple(sorted(recordings))
