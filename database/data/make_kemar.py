"""Make the array of the built-in head, `kemar.npz`, from the published SOFA file.

The file is `mit_kemar_normal_pinna.sofa` (Gardner & Martin 1995, MIT Media Lab; "provided without any usage
restrictions"), published at sofaconventions.org and contained in the source distribution of pyroomacoustics
0.9.0.

    python -m database.data.make_kemar mit_kemar_normal_pinna.sofa
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np

from database.hrtf import KEMAR, read_head

SHA256 = "e7035994f5fd754058424c061380ee92b1d5ed58fccef2887a4266916616acdf"


def make_kemar(source: Path, target: Path = KEMAR) -> None:
    """Write the 72 horizontal responses of the published file as a compressed float32 array.

    Parameters
    ----------
    source : Path
        The published SOFA file.
    target : Path
        The file to write.

    Raises
    ------
    ValueError
        If `source` is another file than the published one.

    Examples
    --------
    >>> make_kemar(Path("mit_kemar_normal_pinna.sofa"))  # doctest: +SKIP
    """
    found = hashlib.sha256(source.read_bytes()).hexdigest()
    if found != SHA256:
        raise ValueError(f"{source}: not the published file, its sha256 must be {SHA256}, found {found}")
    head = read_head(source)
    np.savez_compressed(target, responses=head.responses.astype(np.float32), fs=head.fs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the array of the built-in head.")
    parser.add_argument("source", type=Path, help="the published SOFA file")
    make_kemar(parser.parse_args().source)
