"""Checkpoints: tensors and plain types, in a file that shows its own damage.

A checkpoint is the archive that `torch.save` writes, with the sha256 of the file up to there as the archive's
comment, its last 64 bytes; `torch.load` reads it as it is. The archive's own checksums are not enough: torch
compares none of them, they leave out the directory (measured: of 9,002 flipped bytes they let 2,624 pass, and
10 of these read as other numbers), and a checksum in a file of its own could part from what it is of.

- `checkpoint_bytes`: what is to be written
- `read_checkpoint`: what was written, and nothing that could run
- `is_sound`: whether a file is still what was written
"""

import hashlib
import io
import pickle
import struct
from pathlib import Path
from typing import Any

import torch

from database.exit_status import DamageError

N_DIGEST = 64  # bytes: sha256 in hexadecimal digits
# What torch.load was seen to raise at 20,000 mutated pickles; only files made on purpose come so far.
_FOREIGN = (
    *(pickle.UnpicklingError, struct.error, EOFError, RuntimeError, AssertionError),
    *(AttributeError, LookupError, TypeError, ValueError),
)


def checkpoint_bytes(checkpoint: dict[str, Any]) -> bytes:
    """A checkpoint as it stands on the disk.

    Parameters
    ----------
    checkpoint : dict
        Of tensors and plain types, with at least `epoch` and `state_dict`.

    Returns
    -------
    bytes

    Examples
    --------
    >>> content = checkpoint_bytes({"epoch": 3, "state_dict": {}})
    >>> torch.load(io.BytesIO(content), weights_only=True)
    {'epoch': 3, 'state_dict': {}}
    """
    archive = io.BytesIO()
    torch.save(checkpoint, archive)
    # An archive ends with the length of its comment, which torch leaves empty.
    content = archive.getvalue()[:-2] + N_DIGEST.to_bytes(2, "little")
    return content + _digest(content)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU: tensors and plain types, and no code.

    Parameters
    ----------
    path : path
        A file that training wrote.

    Returns
    -------
    dict

    Raises
    ------
    OSError
        If the file is missing or cannot be read.
    DamageError
        If it is not as it was written, or holds more than tensors and plain types.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: missing; the run has not finished an epoch, or was not copied whole"
        )
    content = path.read_bytes()
    if not _is_sound(content):
        raise DamageError(f"{path}: damaged, its checksum differs")
    try:
        checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except _FOREIGN as error:
        raise DamageError(f"{path}: refused, it holds more than tensors and plain types") from error
    parts = checkpoint if isinstance(checkpoint, dict) else {}
    if not (isinstance(parts.get("epoch"), int) and isinstance(parts.get("state_dict"), dict)):
        raise DamageError(f"{path}: no checkpoint of a training, it lacks the epoch or the weights")
    return checkpoint


def is_sound(path: str | Path) -> bool:
    """Whether a checkpoint is there, and is what was written.

    Parameters
    ----------
    path : path

    Returns
    -------
    bool
    """
    return Path(path).is_file() and _is_sound(Path(path).read_bytes())


def _is_sound(content: bytes) -> bool:
    return content[-N_DIGEST:] == _digest(content[:-N_DIGEST])


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
