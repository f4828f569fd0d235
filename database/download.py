"""Speech, noise and a head from their publishers: fetched, checked and unpacked.

Every file is checked against a SHA-256 that is written here before anything is unpacked from it. An archive
with a link, a device or a path that leads out of its folder is refused whole.

- `DATASETS`: what can be fetched, and under which licence.
- `download`: fetch one of them.

The sums: openslr.org publishes MD5 sums of LibriSpeech's archives (42e2234b... for dev-clean, 32fa31d2... for
test-clean); those here are the SHA-256 of the same files, as torchaudio has them. GitHub publishes none for
an archive of ESC-50; the one here is of the archive of a fixed commit.
"""

import gzip
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

import pooch
import requests
from tqdm import tqdm

_ESC50_COMMIT = "33c8ce9eb2cf0b1c2f8bcf322eb349b6be34dbb6"
_CHUNK = 2**20  # bytes


class Dataset(NamedTuple):
    """A data set as it is published.

    Attributes
    ----------
    target : str
        Name of the folder, or of the file if it is a single one, that `download` makes.
    files : dict of str to str
        URL and SHA-256 of each file; archives are unpacked into the folder.
    licence : str
        What its publisher asks of those who use it.
    """

    target: str
    files: dict[str, str]
    licence: str


DATASETS = {
    "librispeech": Dataset(
        "LibriSpeech",
        {
            "https://www.openslr.org/resources/12/dev-clean.tar.gz": (
                "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3"
            ),
            "https://www.openslr.org/resources/12/test-clean.tar.gz": (
                "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23"
            ),
        },
        "LibriSpeech (dev-clean and test-clean: 80 speakers, 0.7 GB) is licensed under CC BY 4.0. Cite "
        "Panayotov, Chen, Povey & Khudanpur (2015), LibriSpeech: an ASR corpus based on public domain audio "
        "books.",
    ),
    "esc50": Dataset(
        "ESC-50",
        {
            f"https://github.com/karolpiczak/ESC-50/archive/{_ESC50_COMMIT}.zip": (
                "661183a6f53ef04f12c9bd618fed0ddc1713280d6c94a5a5431e844ba6f6a21f"
            )
        },
        "ESC-50 (2000 clips, 0.6 GB) is licensed under CC BY-NC 3.0, not for commercial use; its ESC-10 part "
        "under CC BY. Cite Piczak (2015), ESC: dataset for environmental sound classification.",
    ),
    "kemar": Dataset(
        "mit_kemar_normal_pinna.sofa",
        {
            "https://sofacoustics.org/data/database/mit/mit_kemar_normal_pinna.sofa": (
                "e7035994f5fd754058424c061380ee92b1d5ed58fccef2887a4266916616acdf"
            )
        },
        "MIT KEMAR (normal pinna, 1.2 MB) is provided without any usage restrictions. Cite Gardner & Martin "
        "(1995), HRTF measurements of a KEMAR.",
    ),
}


def download(name: str, to: str | Path) -> Path:
    """Fetch a data set, and say under which licence it comes.

    What is there already is not fetched again. An archive is removed only when all of it has been unpacked,
    so after an interruption the same call does what is left.

    Parameters
    ----------
    name : str
        ``"librispeech"``, ``"esc50"`` or ``"kemar"``.
    to : path
        Folder to put it in; made if it does not exist.

    Returns
    -------
    Path
        The folder for `speech_source` or `noise_source`, or the SOFA file for `read_head`.

    Raises
    ------
    ValueError
        If there is no data set of that name, a file is not what its publisher put there, or an archive is not
        safe to unpack.
    OSError
        If the network or the disk fails.

    Examples
    --------
    >>> download("timit", "data")
    Traceback (most recent call last):
        ...
    ValueError: no data set 'timit', expected one of librispeech, esc50, kemar
    """
    if name not in DATASETS:
        raise ValueError(f"no data set {name!r}, expected one of {', '.join(DATASETS)}")
    dataset, to = DATASETS[name], Path(to).resolve()
    to.mkdir(parents=True, exist_ok=True)
    target = to / dataset.target
    tqdm.write(dataset.licence)
    for url, sha256 in dataset.files.items():
        file = PurePosixPath(url).name
        done = target / f".{file}.unpacked"
        if target.suffix:
            _fetch(url, sha256, to, dataset.target)
        elif not done.exists():
            archive = _fetch(url, sha256, to, f"{dataset.target}-{file}")
            unpack(archive, target)
            done.touch()
            archive.unlink()
    return target


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a .tar.gz or .zip archive, without its topmost folder.

    Parameters
    ----------
    archive : Path
    folder : Path
        Takes the place of the archive's topmost folder; files there of the same name are replaced.

    Raises
    ------
    ValueError
        If the archive holds anything but files and folders below its topmost one, and then nothing is
        written; or if it is damaged.
    OSError
        If the disk fails.
    """
    try:
        n_files = sum(1 for _ in _files(archive))  # all names are checked before the first file is written
        for name, content in tqdm(_files(archive), f"unpacking {archive.name}", n_files, unit="file"):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with content, path.open("wb") as file:
                shutil.copyfileobj(content, file, _CHUNK)
    except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{archive} is damaged: {error}") from error


def _fetch(url: str, sha256: str, to: Path, file: str) -> Path:
    """Fetch a file into a folder, unless it is there; ValueError if its sum is another."""
    fetcher = pooch.HTTPDownloader(progressbar=True, chunk_size=_CHUNK, timeout=60)
    try:
        return Path(pooch.retrieve(url, sha256, file, to, downloader=fetcher))
    except requests.RequestException as error:
        raise ConnectionError(f"{url}: {error}") from error


def _files(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Name without the topmost folder, and content, of each file in an archive; all must be safe."""
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                name = _safe_name(archive, info.filename)
                if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise ValueError(
                        f"{archive} holds {info.filename!r}, which is no plain file: not unpacked"
                    )
                if not info.is_dir():
                    yield name, zipped.open(info)
        return
    with gzip.open(archive) as stream, tarfile.open(fileobj=stream) as tarred:
        for member in tarred:
            name = _safe_name(archive, member.name)
            if not (member.isreg() or member.isdir()):
                raise ValueError(f"{archive} holds {member.name!r}, which is no plain file: not unpacked")
            content = tarred.extractfile(member)
            if content is not None:
                yield name, content
        # tarfile takes a damaged header for the end of the archive; the sum at the end of the stream tells
        while stream.read(_CHUNK):
            pass


def _safe_name(archive: Path, name: str) -> str:
    """Name without the topmost folder; ValueError if it could lead anywhere else, on any operating system."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise ValueError(f"{archive} holds {name!r}, which leads out of its folder: not unpacked")
    return "/".join(path.parts[1:] or path.parts)
