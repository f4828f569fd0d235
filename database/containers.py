"""What a truncated audio file lacks, as far as its container tells.

libsndfile reads a truncated WAV, AIFF, AU, CAF, W64, NIST or Ogg file short and says nothing, so the length
that such a file declares is compared with what is there. FLAC and MP3 files show it when they are read. Where
a program wrote into a pipe, and could not go back to declare a length, what a file lacks cannot be told.

- `missing`: what a file lacks, in words
- `FORMATS`: the containers whose files can be seen to be complete
"""

import re
import struct
from typing import BinaryIO, NamedTuple

FORMATS = ("WAV", "WAVEX", "RF64", "AIFF", "AU", "CAF", "W64", "NIST", "OGG", "FLAC", "MP3")  # as soundfile's
_MAX_CHUNKS = 1000
_UNKNOWN = {2**32 - 1, 2**64 - 1}  # what is declared where the length is not known
_OGG_PAGE = 65_307  # bytes of the longest page


class _Chunks(NamedTuple):
    """How a container is divided into chunks."""

    header: str  # name and size, as struct has them
    first: int  # where the first chunk begins
    samples: bytes  # name of the chunk of samples
    padded_to: int  # bytes
    counts_header: bool = False  # whether a size includes the header


_CHUNKED = {
    **dict.fromkeys((b"RIFF", b"RF64", b"BW64"), _Chunks("<4sI", 12, b"data", 2)),
    b"RIFX": _Chunks(">4sI", 12, b"data", 2),
    b"FORM": _Chunks(">4sI", 12, b"SSND", 2),
    b"caff": _Chunks(">4sQ", 8, b"data", 1),
    b"riff": _Chunks("<4s12xQ", 40, b"data", 8, counts_header=True),  # W64
}


def missing(stream: BinaryIO) -> str:
    """What a truncated audio file lacks.

    Parameters
    ----------
    stream : binary file
        At its beginning; it is read here and there.

    Returns
    -------
    str
        In words; empty if nothing is missing, or the container does not say.

    Examples
    --------
    >>> import io, soundfile
    >>> content = io.BytesIO()
    >>> soundfile.write(content, [0.0] * 1000, 16000, format="AU", subtype="PCM_16")
    >>> missing(io.BytesIO(content.getvalue()[:-3]))
    'it declares 2000 bytes of samples and holds 1997'
    """
    start = stream.read(4)
    if start in _CHUNKED:
        return _missing_chunk(stream, _CHUNKED[start])
    if start == b".snd":
        offset, size = struct.unpack(">II", stream.read(8).ljust(8, b"\0"))
        return _shortfall(stream, offset, size)
    if start == b"NIST":
        return _missing_after_nist_header(stream)
    if start == b"OggS":
        return _missing_page(stream)
    return ""


def _missing_chunk(stream: BinaryIO, chunks: _Chunks) -> str:
    """What is missing of the chunk of samples."""
    n_header = struct.calcsize(chunks.header)
    position, long_size = chunks.first, 2**32 - 1
    for _ in range(_MAX_CHUNKS):
        stream.seek(position)
        header = stream.read(n_header)
        if len(header) < n_header:
            break
        name, size = struct.unpack(chunks.header, header)
        if name == b"ds64":  # the 64-bit sizes of RF64 (EBU Tech 3306): RIFF, data, ...
            long_size = struct.unpack("<8xQ", stream.read(16).ljust(16, b"\0"))[0]
        size -= n_header if chunks.counts_header else 0
        position += n_header
        if name == chunks.samples:
            return _shortfall(stream, position, long_size if size == 2**32 - 1 else size)
        position += max(size, 0) + -size % chunks.padded_to
        if position >= 2**63:
            break
    return ""


def _missing_after_nist_header(stream: BinaryIO) -> str:
    """What is missing of a NIST SPHERE file, whose header is text: its length, then what is where."""
    stream.seek(0)
    header = stream.read(1024)
    counts = dict(re.findall(rb"^(sample_count|sample_n_bytes|channel_count) -\w+ (\d{1,18})$", header, re.M))
    n_header = re.match(rb"NIST_1A\n\s*(\d{1,9})\n", header)
    if n_header is None or len(counts) < 3:
        return ""
    size = 1
    for count in counts.values():
        size *= int(count)
    return _shortfall(stream, int(n_header[1]), size)


def _missing_page(stream: BinaryIO) -> str:
    """What is missing at the end of an Ogg stream, whose last page is marked as such (RFC 3533)."""
    stream.seek(max(stream.seek(0, 2) - _OGG_PAGE, 0))
    tail = stream.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]]):
        return "its last Ogg page is cut"
    return "" if page[5] & 4 else "its last Ogg page is missing"


def _shortfall(stream: BinaryIO, offset: int, size: int) -> str:
    """Compare the bytes declared from `offset` on with those in the file."""
    present = stream.seek(0, 2) - offset
    if size in _UNKNOWN or present >= size:
        return ""
    return f"it declares {size} bytes of samples and holds {max(present, 0)}"
