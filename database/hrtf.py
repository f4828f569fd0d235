"""Heads: how a sound from each azimuth arrives at the two ears.

A head is a set of head-related impulse responses on the horizontal plane. One is built in, MIT KEMAR; any
other is read from a SOFA file.

Conventions
-----------
Azimuths are degrees, counter-clockwise, 0 front, 90 left. Responses are (n_directions, n_taps, 2), left ear
first. A source on the left has a positive ITD (the left ear leads) and a positive ILD (the left ear is
louder).

Functions
---------
kemar : The built-in head.
read_head : A head from a SOFA file.
widest_gap : Between neighbouring azimuths.
next_and_gap : Where an azimuth lies among those of a head.
interpolated : The response at an azimuth that was not measured.
"""

import os
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from database.alignment import response_between
from database.isolation import isolated
from database.sofa import TOLERANCE, Horizontal, circular_distance, read_horizontal

Array = NDArray[np.floating]

AZIMUTHS = np.arange(0.0, 360.0, 5.0)  # degrees; of class k it is 5k
KEMAR = Path(__file__).parent / "data" / "kemar.npz"  # made by data/make_kemar.py

FEWEST = 3  # azimuths of a head: for a talker and two noises
MAX_GAP = 30.0  # degrees between two measured azimuths that may be filled
MAX_DELAY_PER_RADIAN = 0.5e-3  # s; the onset at an ear moves by at most r / c = 0.27 ms a radian


@dataclass(frozen=True, eq=False)
class Head:
    """Impulse responses from each azimuth to the two ears.

    Parameters
    ----------
    name : str
        What it is called in a database.
    fs : float
        Sampling rate in Hz.
    azimuths : (n_directions,) ndarray
        Degrees in [0, 360), ascending, one at least.
    responses : (n_directions, n_taps, 2) ndarray
        Impulse responses, left ear first.
    corrections : tuple of str
        What was changed in the responses after they were measured, in that order.

    Raises
    ------
    ValueError
        If shapes do not fit, the rate is none, azimuths do not ascend within [0, 360) or a response is not
        real and finite.

    Examples
    --------
    >>> head = kemar()
    >>> head.name, head.fs, head.responses.shape
    ('MIT KEMAR', 44100.0, (72, 512, 2))
    """

    name: str
    fs: float
    azimuths: Array
    responses: Array
    corrections: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("azimuths", "responses"):
            if np.iscomplexobj(values := getattr(self, name)):
                raise ValueError(f"head {self.name}: {name} must be real")
            object.__setattr__(self, name, np.asarray(values, dtype=np.float64))
        if self.azimuths.ndim != 1 or not self.azimuths.size:
            raise ValueError(
                f"head {self.name}: azimuths must be (n_directions,), found {self.azimuths.shape}"
            )
        shape = self.responses.shape
        if len(shape) != 3 or shape[0] != len(self.azimuths) or not shape[1] or shape[2] != 2:
            raise ValueError(
                f"head {self.name}: responses must be ({len(self.azimuths)}, n_taps, 2), found {shape}"
            )
        if not isinstance(self.fs, Real) or not 0 < self.fs < np.inf:
            raise ValueError(f"head {self.name}: fs must be a sampling rate in Hz, found {self.fs!r}")
        object.__setattr__(self, "fs", float(self.fs))  # of one head, whichever type it came in
        within = np.all((self.azimuths >= 0) & (self.azimuths < 360))  # which NaN is not
        if not within or np.any(np.diff(self.azimuths) <= 0):
            raise ValueError(f"head {self.name}: azimuths must ascend within [0, 360)")
        if not np.all(np.isfinite(self.responses)):
            raise ValueError(f"head {self.name}: responses must be finite")

    def has(self, azimuth: float) -> bool:
        """Whether there is a response within 1 degree of an azimuth in degrees."""
        return bool(circular_distance(self.azimuths, azimuth).min() <= TOLERANCE)

    def response(self, azimuth: float) -> Array:
        """Impulse responses from one azimuth.

        Parameters
        ----------
        azimuth : float
            Degrees, counter-clockwise from the front; any real number.

        Returns
        -------
        (n_taps, 2) ndarray
            The responses of the nearest azimuth, left ear first.

        Raises
        ------
        ValueError
            If the head has none within 1 degree.

        Examples
        --------
        >>> kemar().response(-90.0).shape
        (512, 2)
        """
        distances = circular_distance(self.azimuths, azimuth)
        nearest = int(np.argmin(distances))
        if not distances[nearest] <= TOLERANCE:
            raise ValueError(
                f"head {self.name} has no response within {TOLERANCE:g} degree of azimuth {azimuth:g}"
            )
        return self.responses[nearest]

    def resampled(self, fs: float) -> "Head":
        """The same head at another sampling rate, by soxr.

        Its frequency responses keep their level, within 0.1 dB where the first 32 taps are silent. What the
        filter makes of an earlier pulse before the first tap is lost: of one at the eighth, 0.8 dB.

        Parameters
        ----------
        fs : float
            Sampling rate in Hz.

        Returns
        -------
        Head
            The head at `fs`; itself where it has this rate.

        Raises
        ------
        ValueError
            If `fs` is not a rate in Hz of 1000 or more.

        Examples
        --------
        >>> kemar().resampled(16000).responses.shape
        (72, 186, 2)
        """
        if not 1e3 <= fs < np.inf:
            raise ValueError(f"fs must be a sampling rate in Hz, at least 1000, found {fs:g} (in kHz?)")
        if fs == self.fs:
            return self
        n_directions, n_taps, _ = self.responses.shape
        ears = self.responses.transpose(1, 0, 2).reshape(n_taps, 2 * n_directions)
        # a response with fewer samples has to be larger for the same sum, its gain at 0 Hz
        ears = soxr.resample(ears, self.fs, fs) * (self.fs / fs)
        responses = np.ascontiguousarray(ears.reshape(len(ears), n_directions, 2).transpose(1, 0, 2))
        return replace(self, fs=float(fs), responses=responses)


def kemar() -> Head:
    """The built-in head: MIT KEMAR with the normal pinna, all 72 azimuths, 44.1 kHz.

    Returns
    -------
    Head
        Responses (72, 512, 2).

    Notes
    -----
    Gardner & Martin (1995), "HRTF measurements of a KEMAR", JASA 97(6), 3907-3908; provided without any
    usage restrictions. `data/make_kemar.py` made the array from the published SOFA file.

    Examples
    --------
    >>> from database.alignment import interaural_differences
    >>> itd, ild = interaural_differences(kemar().response(90), 44100)
    >>> f"{1e6 * itd:.0f} µs, {ild:.1f} dB"
    '722 µs, 11.8 dB'
    """
    with np.load(KEMAR, allow_pickle=False) as stored:
        return Head("MIT KEMAR", float(stored["fs"]), AZIMUTHS, stored["responses"].astype(np.float64))


def read_head(
    path: str | os.PathLike[str],
    *,
    interpolate: bool = False,
    incomplete: bool = False,
    clockwise: bool = False,
) -> Head:
    """Read a head from a SOFA file: its responses at the 72 azimuths on the horizontal plane.

    The file is read in a process of its own, since a damaged one can end or hang the process that reads it.

    Parameters
    ----------
    path : path
        A SOFA file of convention SimpleFreeFieldHRIR, at any sampling rate.
    interpolate : bool
        Fill the azimuths that were not measured from their neighbours, across gaps of up to 30 degrees.
    incomplete : bool
        Leave out the azimuths that were not measured.
    clockwise : bool
        The file's azimuths run clockwise, against the SOFA convention: turn them.

    Returns
    -------
    Head
        Named after the file, with the 72 azimuths or those of them that were measured, at the file's sampling
        rate. Of the measured directions within 1 degree of an azimuth, in azimuth and in elevation, it has
        the nearest.

    Raises
    ------
    OSError
        If the file is missing, damaged or no HDF5 file, or reading it takes more than `isolated` allows.
    ValueError
        If the file is refused (see `sofa.read_horizontal`), lacks azimuths (the message lists them) or gaps
        are too wide to fill, or if the ear on the source's side is not the earlier and the louder one.

    Examples
    --------
    >>> head = read_head("subject_003.sofa", interpolate=True)  # doctest: +SKIP
    >>> head.azimuths.shape, head.fs  # doctest: +SKIP
    ((72,), 44100.0)
    """
    if interpolate and incomplete:
        raise ValueError(f"{path}: interpolate and incomplete given, expected one of them at most")
    measured = isolated(read_horizontal, path, clockwise=clockwise)
    nearest = [_nearest(measured, azimuth) for azimuth in AZIMUTHS]
    missing = AZIMUTHS[[index is None for index in nearest]]
    if missing.size and not incomplete:
        _check_missing(path, measured, missing, interpolate)
    kept = [k for k, index in enumerate(nearest) if not incomplete or index is not None]
    if len(kept) < FEWEST:
        raise ValueError(f"{path}: has {len(kept)} of the 72 azimuths, expected {FEWEST} or more")
    responses = [
        interpolated(measured, AZIMUTHS[k]) if (index := nearest[k]) is None else measured.responses[index]
        for k in kept
    ]
    return Head(Path(path).stem, measured.fs, AZIMUTHS[kept], np.stack(responses))


def _check_missing(
    path: str | os.PathLike[str], measured: Horizontal, missing: Array, interpolate: bool
) -> None:
    """Refuse a file that lacks azimuths, unless they are to be filled and can be."""
    lacks = f"{path}: lacks {len(missing)} of the 72 azimuths on the horizontal plane"
    if not interpolate:
        listed = ", ".join(f"{azimuth:g}" for azimuth in missing)
        raise ValueError(
            f"{lacks}: {listed}; interpolate=True (--interpolate) fills them from their neighbours, "
            "incomplete=True (--incomplete-heads) does without them"
        )
    if (widest := widest_gap(measured.azimuths)) > MAX_GAP:
        raise ValueError(f"{lacks}, with a gap of {widest:g} degrees; at most {MAX_GAP:g} can be filled")


def widest_gap(azimuths: Array) -> float:
    """Degrees between the two neighbours furthest apart among ascending azimuths, once round.

    Examples
    --------
    >>> widest_gap(np.array([0.0, 90.0, 300.0]))
    210.0
    """
    return float(np.diff(azimuths, append=azimuths[:1] + 360).max(initial=0.0)) or 360.0


def _nearest(measured: Horizontal, azimuth: float) -> int | None:
    """Index of the direction nearest to an azimuth on the horizontal plane, if one is within 1 degree."""
    off = circular_distance(measured.azimuths, azimuth)
    near = np.flatnonzero(off <= TOLERANCE)
    if not near.size:
        return None
    return int(near[np.argmin(np.hypot(off[near], measured.elevations[near]))])


def next_and_gap(measured: Horizontal | Head, azimuth: Any) -> tuple[Any, Any]:
    """Index of the measured azimuth at or after one or more others, and the degrees to the one before it."""
    after = np.searchsorted(measured.azimuths, azimuth) % len(measured.azimuths)
    return after, (measured.azimuths[after] - measured.azimuths[after - 1]) % 360


def interpolated(measured: Horizontal | Head, azimuth: float) -> Array:
    """The response (n_taps, 2) at an azimuth in degrees that was not measured, from its two neighbours."""
    after, gap = next_and_gap(measured, azimuth)
    max_delay = MAX_DELAY_PER_RADIAN * np.radians(gap) * measured.fs
    weight = (azimuth - measured.azimuths[after - 1]) % 360 / gap
    return response_between(measured.responses[after - 1], measured.responses[after], weight, max_delay)
