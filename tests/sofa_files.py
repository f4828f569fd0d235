"""SOFA files of an analytic head, for tests.

The head answers a click with one smooth pulse to an ear: ITD 0.7 ms · sin(azimuth), ILD 12 dB · sin(azimuth),
louder in front than behind.
"""

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

FS = 44100.0
N_TAPS = 96


def pulses(azimuths: ArrayLike, fs: float = FS) -> NDArray[np.floating]:
    """Responses (n_directions, n_taps, 2) of the analytic head."""
    radians = np.radians(azimuths)[:, None, None]
    side = np.sin(radians) * np.array([1, -1])
    onsets = 40 - side * 0.35e-3 * fs
    gains = 10 ** (6 * side / 20) * (2 + np.cos(radians))
    return gains * np.exp(-0.5 * ((np.arange(N_TAPS)[:, None] - onsets) / 2) ** 2)


def spherical(azimuths: ArrayLike, elevation: float = 0.0) -> NDArray[np.floating]:
    """Positions (n_directions, 3) at one elevation, 1.4 m away."""
    azimuths = np.asarray(azimuths, float)
    return np.column_stack([azimuths, np.full(len(azimuths), elevation), np.full(len(azimuths), 1.4)])


def write_sofa(
    path: Path,
    positions: NDArray[np.floating],
    responses: NDArray[np.floating],
    variables: Mapping[str, ArrayLike | None] | None = None,
    *,
    kind: str = "spherical",
    units: str = "degree, degree, metre",
) -> Path:
    """A SOFA file; `variables` are added or replace the usual ones, and None leaves one out."""
    values = {
        "Data.IR": responses.transpose(0, 2, 1),
        "Data.SamplingRate": [FS],
        "Data.Delay": [[0.0, 0.0]],
        "SourcePosition": positions,
    } | dict(variables or {})
    with h5py.File(path, "w") as file:
        file.attrs.update(Conventions="SOFA", SOFAConventions="SimpleFreeFieldHRIR", DataType="FIR")
        for name, value in values.items():
            if value is not None:
                file[name] = value
        if "SourcePosition" in file:
            file["SourcePosition"].attrs.update(Type=kind, Units=units)
        if "ListenerView" in file:
            file["ListenerView"].attrs.update(Type="cartesian", Units="metre")
    return path
