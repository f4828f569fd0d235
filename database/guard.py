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
check_sofa : The same, and refuse what is no SOFA file of head-related impulse responses.
"""

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py

SOFA_CONVENTIONS = "SimpleFreeFieldHRIR"


def check_hdf5(path: str | os.PathLike[str], max_bytes: int = 2**30) -> None:
    """Refuse a damaged or hostile HDF5 file before any data are read from it.

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
        in other files (external storage, virtual), or claims more than `max_bytes`.

    Examples
    --------
    >>> check_hdf5(__file__)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    OSError: ...guard.py: not an HDF5 file, or its beginning is damaged
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if not h5py.is_hdf5(path):
        raise OSError(f"{path}: not an HDF5 file, or its beginning is damaged")
    _refuse(path, lambda file: _hostile(file, max_bytes))


def check_sofa(path: str | os.PathLike[str], max_bytes: int = 2**30) -> None:
    """Refuse what is no SOFA file of head-related impulse responses, after `check_hdf5`.

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
    check_hdf5(path, max_bytes)
    _refuse(path, _no_head)


def _refuse(path: str | os.PathLike[str], fault: Callable[[h5py.File], str]) -> None:
    """Refuse a file in which a fault is found, or in which looking for it shows damage."""
    try:
        with h5py.File(path, "r") as file:
            found = fault(file)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:  # as h5py says it
        raise OSError(f"{path}: damaged or truncated HDF5 file ({error})") from error
    if found:
        raise ValueError(f"{path}: {found}")


def _no_head(file: h5py.File) -> str:
    """What a SOFA file of head-related impulse responses has and this one lacks, or nothing."""
    for _, item in _items(file):
        if item is not None:
            dict(item.attrs)  # all are read here: one that cannot be read would end the process in netCDF
    for attribute, expected in (("Conventions", "SOFA"), ("SOFAConventions", SOFA_CONVENTIONS)):
        found = _text(file.attrs.get(attribute, "nothing"))
        if found != expected:
            return f"expected a SOFA file with {attribute} {expected}, found {found}"
    for name in ("Data.IR", "Data.SamplingRate", "SourcePosition"):
        if not isinstance(file.get(name), h5py.Dataset):
            return f"has no {name}"
    return ""


def _hostile(file: h5py.File, max_bytes: int) -> str:
    """What is wrong with the first thing that is refused, or nothing."""
    claimed = 0
    for where, item in _items(file):
        if item is None:
            return f"refused, {where} is a link that may lead out of the file"
        if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
            return f"refused, {where} takes its data from other files"
        claimed += _memory(item)
        if claimed > max_bytes:
            return f"refused, up to {where} it claims {claimed} bytes of memory, more than {max_bytes}"
    return ""


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
        for name in item.id if isinstance(item, h5py.Group) else ():  # bytes, which need not be text
            inner = f"{where.rstrip('/')}/{name.decode('utf-8', 'replace')}"
            if item.id.links.get_info(name).type == h5py.h5l.TYPE_HARD:
                pending.append((inner, item[name]))
            else:
                yield inner, None


def _memory(item: h5py.HLObject) -> int:
    """Bytes that reading an object may take: its attributes, and its data or a chunk, which may be larger."""
    attributes = [h5py.h5a.open(item.id, index=index) for index in range(h5py.h5a.get_num_attrs(item.id))]
    memory = sum(_n_elements(attribute.shape) * attribute.get_type().get_size() for attribute in attributes)
    if isinstance(item, h5py.Dataset):
        elements = max(_n_elements(item.shape), _n_elements(item.chunks))
        memory += elements * item.id.get_type().get_size()
    return memory


def _n_elements(shape: tuple[int, ...] | None) -> int:
    return 0 if shape is None else math.prod(shape)


def _text(attribute: object) -> str:
    return attribute.decode("utf-8", "replace") if isinstance(attribute, bytes) else str(attribute)
