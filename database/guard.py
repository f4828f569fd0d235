"""What is refused in a foreign HDF5 or SOFA file before anything is read from it.

An HDF5 file can name other files (external links, external storage, virtual datasets) whose contents are
then read as if they were its own, and can claim gigabytes that it does not hold: a file of two kilobytes is
enough to fill the memory. So every file is looked over first. Nothing here reads a dataset: only the links,
the shapes and the types.

Conventions
-----------
A file that is missing, damaged or no HDF5 raises `OSError`; one that is sound but refused raises
`ValueError`. Every message begins with the file's path.

Functions
---------
check_hdf5 : Refuse a damaged or hostile HDF5 file.
check_sofa : The same for a SOFA file, and refuse one that holds no head-related impulse responses.
text_attribute : A text that a file says of itself or of a dataset.
"""

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
from h5py.h5z import FILTER_DEFLATE, FILTER_FLETCHER32, FILTER_SHUFFLE

SOFA_CONVENTIONS = "SimpleFreeFieldHRIR"
MAX_OBJECTS = 10_000  # a SOFA file has some twenty; to look over millions takes minutes
MAX_DEPTH = 100  # of groups in groups; a SOFA file has none


class _Refusal(Exception):  # noqa: N818 - becomes a ValueError
    """Why a sound file is refused."""


def check_hdf5(path: str | os.PathLike[str], max_bytes: int = 2**30) -> None:
    """Refuse a damaged or hostile HDF5 file before any data are read from it.

    Only what takes as much memory as it says is let through: numbers and texts of fixed length, not packed.

    Parameters
    ----------
    path : path
        The file.
    max_bytes : int
        The most memory that its datasets may claim, all together, in bytes.

    Raises
    ------
    OSError
        If there is no such file (`FileNotFoundError`), or if it is not HDF5, truncated or damaged in its
        structure; damaged data show when they are read.
    ValueError
        If it holds a link that is not a plain one (soft, external, user-defined), a dataset that is stored
        in other files (external storage, virtual) or with another filter than fletcher32, anything of
        variable length, or too many or too deep groups; or if it claims more than `max_bytes`.

    Examples
    --------
    >>> check_hdf5(__file__)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    OSError: ...guard.py: not an HDF5 file, or its beginning is damaged
    """

    def check(file: h5py.File) -> None:
        _check_plain(file, max_bytes, {FILTER_FLETCHER32})
        _check_lengths(file)

    _look_over(path, check)


def check_sofa(path: str | os.PathLike[str], max_bytes: int = 2**30) -> None:
    """Refuse a damaged or hostile SOFA file, or one without head-related impulse responses.

    As netCDF stores them, SOFA files are packed and hold lists of variable length. What these take when they
    are read cannot be told before, so a foreign file belongs into `isolation.isolated`, with this check.

    Parameters
    ----------
    path : path
        The file.
    max_bytes : int
        As for `check_hdf5`.

    Raises
    ------
    OSError, ValueError
        As `check_hdf5`, and `ValueError` if the file does not call itself SOFA, if its convention is not
        SimpleFreeFieldHRIR (AES69), or if it holds no `Data.IR`, `Data.SamplingRate` or `SourcePosition`.

    Examples
    --------
    >>> check_sofa(__file__)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    OSError: ...guard.py: not an HDF5 file, or its beginning is damaged
    """

    def check(file: h5py.File) -> None:
        _check_plain(file, max_bytes, {FILTER_FLETCHER32, FILTER_SHUFFLE, FILTER_DEFLATE})
        _check_head(file)

    _look_over(path, check)


def text_attribute(item: h5py.HLObject, name: str) -> str:
    """A text that a file says of itself or of a dataset; "nothing" where it says nothing."""
    value = item.attrs.get(name, "nothing")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _look_over(path: str | os.PathLike[str], check: Callable[[h5py.File], None]) -> None:
    """Refuse a file that a check refuses, or in which it meets damage."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path}: a folder, expected a file")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if not h5py.is_hdf5(path):
        raise OSError(f"{path}: not an HDF5 file, or its beginning is damaged")
    try:
        with h5py.File(path, "r") as file:
            check(file)
    except _Refusal as refusal:
        raise ValueError(f"{path}: {refusal}") from None
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:  # as h5py says it
        raise OSError(f"{path}: damaged or truncated HDF5 file ({error})") from error


def _check_plain(file: h5py.File, max_bytes: int, filters: set[int]) -> None:
    """Refuse what leads out of a file, what is packed in another way, and what claims too much memory."""
    claimed = 0
    for where, item in _items(file):
        if item is None:
            raise _Refusal(f"refused, {where} is a link that may lead out of the file")
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise _Refusal(f"refused, {where} takes its data from other files")
            found = _filters(item)
            if not filters.issuperset(found) or len(set(found)) < len(found):
                raise _Refusal(
                    f"refused, {where} has the filters {found}, expected some of {sorted(filters)}"
                )
        claimed += _memory(item)
        if claimed > max_bytes:
            raise _Refusal(
                f"refused, up to {where} it claims {claimed} bytes of memory, more than {max_bytes}"
            )


def _check_lengths(file: h5py.File) -> None:
    """Refuse texts and lists of variable length: HDF5 reserves whatever length the file gives."""
    for where, item in _items(file):
        parts = [item.id] if isinstance(item, h5py.Dataset) else []
        if any(part.dtype.hasobject for part in [*parts, *_attributes(item)]):
            raise _Refusal(f"refused, {where} holds something of variable length")


def _check_head(file: h5py.File) -> None:
    """Refuse what is not a SOFA file of head-related impulse responses."""
    for attribute, expected in (("Conventions", "SOFA"), ("SOFAConventions", SOFA_CONVENTIONS)):
        found = text_attribute(file, attribute)
        if found != expected:
            raise _Refusal(f"expected a SOFA file with {attribute} {expected}, found {found}")
    for name in ("Data.IR", "Data.SamplingRate", "SourcePosition"):
        if not isinstance(file.get(name), h5py.Dataset):
            raise _Refusal(f"has no {name}")


def _items(file: h5py.File) -> Iterator[tuple[str, h5py.HLObject | None]]:
    """Path and object of everything in a file, each object once; no object of a link that is not plain."""
    seen = set()  # plain links may form a circle
    pending = [("/", file["/"])]
    while pending:
        where, item = pending.pop()
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            continue
        seen.add(address)
        yield where, item
        if not isinstance(item, h5py.Group):
            continue
        if len(seen) + len(pending) + item.id.get_num_objs() > MAX_OBJECTS:
            raise _Refusal(f"refused, up to {where} it holds more than {MAX_OBJECTS} objects")
        if where.count("/") > MAX_DEPTH:
            raise _Refusal(f"refused, its groups lie more than {MAX_DEPTH} deep in each other")
        for name in item.id:  # bytes, which need not be text
            inner = f"{where.rstrip('/')}/{name.decode('utf-8', 'replace')}"
            if item.id.links.get_info(name).type == h5py.h5l.TYPE_HARD:
                pending.append((inner, item[name]))
            else:
                yield inner, None


def _filters(dataset: h5py.Dataset) -> list[int]:
    """Numbers of the filters that a dataset's chunks went through."""
    properties = dataset.id.get_create_plist()
    return [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]


def _attributes(item: h5py.HLObject) -> list[h5py.h5a.AttrID]:
    return [h5py.h5a.open(item.id, index=index) for index in range(h5py.h5a.get_num_attrs(item.id))]


def _memory(item: h5py.HLObject) -> int:
    """Bytes that reading an object may take: its attributes, and its data or a chunk, which may be larger."""
    memory = sum(_n_elements(part.shape) * part.get_type().get_size() for part in _attributes(item))
    if isinstance(item, h5py.Dataset):
        elements = max(_n_elements(item.shape), _n_elements(item.chunks))
        memory += elements * item.id.get_type().get_size()
    return memory


def _n_elements(shape: tuple[int, ...] | None) -> int:
    return 0 if shape is None else math.prod(shape)
