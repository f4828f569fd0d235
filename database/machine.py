"""What the last bit of a cue may depend on: the software, and the instructions that the processor knows.

- `versions`: both, as a plan records them
- `changes`: where they differ from others
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version

import numpy as np

from database.version import PACKAGE, own_version

PACKAGES = ("numpy", "scipy", "numba", "gammatone", "soxr", "soundfile", "pyroomacoustics", "h5py")


def versions() -> dict[str, str]:
    """Versions of Python, of this package, of those that touch a sample, and the instruction set.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> sorted(versions())[:4]
    ['binaural-localization', 'gammatone', 'h5py', 'instructions']
    """
    features = np.show_config(mode="dicts")["SIMD Extensions"]
    found = [*features.get("baseline", []), *features.get("found", [])]
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "instructions": " ".join(found),
        PACKAGE: own_version(),
        **{package: version(package) for package in PACKAGES},
    }


def changes(then: Mapping[str, str]) -> str:
    """Where the versions here differ from others, in words; nothing where they do not.

    Examples
    --------
    >>> changes(versions() | {"machine": "abacus"}).split(" → ")[0]
    'other versions, cues may differ in their last bit or more: machine abacus'
    """
    now = versions()
    found = [f"{name} {then.get(name)} → {now[name]}" for name in now if now[name] != then.get(name)]
    return "other versions, cues may differ in their last bit or more: " + ", ".join(found) if found else ""
