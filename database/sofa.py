"""The measured directions on the horizontal plane of a SOFA file.

SOFA (AES69) is the format in which head-related impulse responses are published. Of a file with thousands
of directions only those on the horizontal plane are kept.

Conventions
-----------
Azimuths are degrees in [0, 360), counter-clockwise, 0 front, 90 left; responses are (n_directions, n_taps,
2), left ear first. `ReceiverPosition` is not looked at: published files whose first ear is the left one say
in it that it is the right one. Which ear is which has to be heard (`hrtf.read_head`). A SOFA file is an HDF5
file, written through netCDF, which marks values that were never written by 9.97e36.

Functions
---------
read_horizontal : Azimuths, elevations and responses of the directions on the horizontal plane.
circular_distance : Degrees between azimuths.
"""

import os
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from database.alignment import delayed, interaural_differences
from database.guard import check_sofa, text_attribute

Array = NDArray[np.floating]

TOLERANCE = 1.0  # degrees by which a direction may lie off the plane, or off an azimuth asked for
MAX_DELAY = 0.1  # s, by which the delays stored in a file may differ
CENTRE = 0.01  # m by which a listener may be off the point that sources are counted from
SOFTEST, LOUDEST = 1e-9, 1e9  # peaks of a response, whatever its unit
LATERAL_ITD, LATERAL_ILD_DB = 100e-6, 1.0  # s, dB: least of a head to one side; people have 450 µs and 11 dB
MISSING = 9e36  # from this size on, a value is the one that marks missing ones
MAX_BYTES = 2**29  # that a file may hold; the largest set published, 11,950 directions, has 50 MB


class Horizontal(NamedTuple):
    """Directions near the horizontal plane, sorted by azimuth, no azimuth twice."""

    azimuths: Array  # (n_directions,) degrees in [0, 360)
    elevations: Array  # (n_directions,) degrees
    responses: Array  # (n_directions, n_taps, 2) float64
    fs: float  # Hz


def read_horizontal(path: str | os.PathLike[str], *, clockwise: bool = False) -> Horizontal:
    """Read the directions on the horizontal plane from a SOFA file.

    Delays stored beside the responses (`Data.Delay`) are put into them; what all directions and ears share
    of it is left out. Where one azimuth was measured more than once, the one nearest to the plane is taken,
    and among these the most distant source.

    Parameters
    ----------
    path : path
        A SOFA file of convention SimpleFreeFieldHRIR.
    clockwise : bool
        The file's azimuths run clockwise, against the convention: turn them.

    Returns
    -------
    Horizontal
        The directions whose elevation is within 1 degree of the plane; none is possible.

    Raises
    ------
    OSError
        If the file is missing, damaged or no HDF5 file.
    ValueError
        If the file is refused by `guard.check_sofa`, or what it says cannot be: shapes that do not fit,
        positions, delays or responses that are not finite, units that are not degrees, a listener who looks
        elsewhere than to the front or is not where the sources are counted from, a silent response, an ear on
        the source's side that is not the earlier and the louder one, no direction to the side, without which
        that cannot be told. The message begins with the file's path.

    Examples
    --------
    >>> azimuths, elevations, responses, fs = read_horizontal("head.sofa")  # doctest: +SKIP
    """
    check_sofa(path, MAX_BYTES)
    try:
        with h5py.File(path, "r") as file:
            horizontal = _read(file)
        if clockwise:
            horizontal = _turned(horizontal)
        _check_sides(horizontal, clockwise)
        return horizontal
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except (
        OSError,
        RuntimeError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:  # damage, as h5py says it
        raise OSError(f"{path}: damaged, cannot be read as SOFA ({error})") from error


def circular_distance(azimuths: Array, others: Array | float) -> Array:
    """Degrees between azimuths.

    Parameters
    ----------
    azimuths, others : ndarray
        Degrees, of shapes that can be broadcast.

    Returns
    -------
    (...) ndarray
        Degrees in [0, 180].

    Examples
    --------
    >>> circular_distance(np.array([10.0, 350.0, 180.0]), 350.0)
    array([ 20., 0., 170.])
    """
    return np.abs((azimuths - others + 180) % 360 - 180)


def _read(file: h5py.File) -> Horizontal:
    fs = _sampling_rate(file)
    _check_listener(file)
    azimuths, elevations, distances = _directions(file, "SourcePosition")
    near = np.flatnonzero(np.abs(elevations) <= TOLERANCE)
    near = near[np.lexsort((-distances[near], np.abs(elevations[near]).round(3)))]
    horizontal_azimuths, first = np.unique(
        azimuths[near], return_index=True
    )  # of each the first in that order
    rows = near[first]
    responses = _responses(file, len(azimuths))[rows]
    peaks = np.max(np.abs(responses), axis=1)
    odd = horizontal_azimuths[np.any((peaks < SOFTEST) | (peaks > LOUDEST), axis=1)]
    if odd.size:
        raise ValueError(f"the response at azimuth {odd[0]:g} is silent or far too loud in one ear")
    delays = _stored_delays(file, len(azimuths))[rows]
    if rows.size and np.ptp(delays) > MAX_DELAY * fs:
        raise ValueError(
            f"Data.Delay differs by {np.ptp(delays):g} samples, at most {MAX_DELAY * fs:g} can be"
        )
    if np.any(delays):
        responses = delayed(responses, delays - np.floor(delays.min()))
    return Horizontal(horizontal_azimuths, elevations[rows], responses, fs)


def _turned(horizontal: Horizontal) -> Horizontal:
    """The same responses with their azimuths counted the other way round."""
    azimuths = -horizontal.azimuths % 360
    order = np.argsort(azimuths)
    return Horizontal(
        azimuths[order], horizontal.elevations[order], horizontal.responses[order], horizontal.fs
    )


def _check_sides(horizontal: Horizontal, clockwise: bool) -> None:
    """Refuse a file in which the ear on the source's side is not the earlier and the louder one."""
    medians = []  # of the ear on the source's side over the other one
    for side, sign in ((90, 1), (270, -1)):
        lateral = circular_distance(horizontal.azimuths, side) < 60
        if np.any(lateral):
            itd, ild = interaural_differences(horizontal.responses[lateral], horizontal.fs)
            medians.append((sign * np.median(itd), sign * np.median(ild)))
    if len(horizontal.azimuths) and not medians:
        raise ValueError(
            "no direction within 60 degrees of the left or the right was measured on the horizontal plane: "
            "it cannot be told which ear is which"
        )
    if all(itd > LATERAL_ITD and ild > LATERAL_ILD_DB for itd, ild in medians):
        return
    found = " and ".join(f"{1e6 * itd:.0f} µs, {ild:.1f} dB" for itd, ild in medians)
    message = (
        "the ear on the source's side must be the earlier and the louder one, "
        f"but it leads and is louder by {found} (medians over the left, over the right)"
    )
    if all(itd < -LATERAL_ITD and ild < -LATERAL_ILD_DB for itd, ild in medians):
        remedy = (
            "leave clockwise=True (--clockwise) out"
            if clockwise
            else "clockwise=True (--clockwise) turns them"
        )
        message += f": its azimuths run the wrong way, {remedy}"
    raise ValueError(message)


def _sampling_rate(file: h5py.File) -> float:
    rates = np.unique(_finite(file["Data.SamplingRate"]))
    if len(rates) != 1 or not 1e3 <= rates[0] <= 1e6:
        raise ValueError(f"Data.SamplingRate must be one rate in Hz, found {rates.tolist()} (in kHz?)")
    return float(rates[0])


def _check_listener(file: h5py.File) -> None:
    """Refuse a head from which the sources are seen elsewhere than `SourcePosition` says."""
    if "ListenerPosition" in file:  # optional, as its view: the origin and the front then
        position = file["ListenerPosition"]
        values = _finite(position)
        # Of spherical coordinates the last one, the distance, tells alone.
        offsets = values[..., -1:] if text_attribute(position, "Type").lower() == "spherical" else values
        if np.max(np.abs(offsets)) > CENTRE:
            raise ValueError(
                "ListenerPosition must be the origin (0, 0, 0) throughout, where sources are counted from, "
                f"found a head {np.max(np.abs(offsets)):g} m off"
            )
    if "ListenerView" not in file:
        return
    azimuths, elevations, _ = _directions(file, "ListenerView")
    if np.max(circular_distance(azimuths, 0.0)) > TOLERANCE or np.max(np.abs(elevations)) > TOLERANCE:
        raise ValueError("ListenerView must be the front (1, 0, 0) throughout, found a head that is turned")


def _directions(file: h5py.File, name: str) -> tuple[Array, Array, Array]:
    """Azimuth in [0, 360), elevation and distance of positions in spherical or cartesian coordinates."""
    positions = _finite(file[name])
    if positions.ndim != 2 or positions.shape[1] != 3 or not len(positions):
        raise ValueError(f"{name} must be (directions, 3), found {positions.shape}")
    kind = text_attribute(file[name], "Type").lower()
    if kind == "cartesian":
        x, y, z = positions.T
        distances = np.linalg.norm(positions, axis=1)
        if not np.all(distances > 0):
            raise ValueError(f"{name} has a position inside the head, at distance 0")
        azimuths, elevations = np.degrees(np.arctan2(y, x)), np.degrees(np.arcsin(z / distances))
    elif kind == "spherical":
        units = text_attribute(file[name], "Units").lower()
        if units.count("degree") < 2:
            raise ValueError(f"{name} must be in degree, degree, metre, found {units}")
        azimuths, elevations, distances = positions.T
    else:
        raise ValueError(f"{name} must be spherical or cartesian, found {kind}")
    return np.round(azimuths % 360, 3) % 360, elevations, distances


def _responses(file: h5py.File, n_directions: int) -> Array:
    """Impulse responses of all directions, (n_directions, n_taps, 2)."""
    responses = _finite(file["Data.IR"])
    if responses.ndim != 3 or responses.shape[:2] != (n_directions, 2) or responses.shape[2] < 2:
        expected = f"({n_directions} directions, 2 ears, taps)"
        raise ValueError(f"Data.IR must be {expected}, found {responses.shape}")
    return responses.transpose(0, 2, 1)


def _stored_delays(file: h5py.File, n_directions: int) -> Array:
    """Delays in samples that the responses are to have besides their own, (n_directions, 2)."""
    if "Data.Delay" not in file:
        return np.zeros((n_directions, 2))
    delays = _finite(file["Data.Delay"])
    if delays.shape not in {(1, 2), (n_directions, 2)}:
        raise ValueError(f"Data.Delay must be (1, 2) or ({n_directions}, 2), found {delays.shape}")
    return np.broadcast_to(delays, (n_directions, 2))


def _finite(dataset: h5py.Dataset) -> Array:
    """Values as float64, none of them missing, NaN or infinite."""
    name = dataset.name.removeprefix("/")
    if dataset.shape is None or dataset.dtype.kind not in "fiu":
        found = "none" if dataset.shape is None else dataset.dtype
        raise ValueError(f"{name} must be numbers, found {found}")
    values = dataset[()].astype(np.float64, copy=False)
    if not np.all(np.abs(values) < MISSING):
        raise ValueError(f"{name} holds values that are missing, NaN or infinite")
    return values
