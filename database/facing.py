"""Where a head faces, by its ITD.

- `low_itd`: a head's ITD at low frequencies
- `facing_front`: a head turned to where its ears say that it looks
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from database.alignment import interaural_differences
from database.hrtf import AZIMUTHS, FEWEST, Head, interpolated, next_and_gap

MAX_TURNED_GAP = 15.0  # degrees between two azimuths that a turned head is heard between
UNAMBIGUOUS = 1500.0  # Hz up to which an ITD is no period off


def low_itd(head: Head) -> NDArray[np.floating]:
    """ITD in seconds for each of a head's azimuths, below 1500 Hz, where it cannot be a period off."""
    sections = butter(4, UNAMBIGUOUS, fs=head.fs, output="sos")
    return interaural_differences(sosfilt(sections, head.responses, axis=1), head.fs)[0]


def facing_front(head: Head) -> Head:
    """A head turned so that it faces 0 degrees.

    People sit askew while their responses are measured, by up to 11 degrees, and a network that hears many of
    them learns each one's error. Where a head faces is told by its ITD, which is a constant and a sine of the
    azimuth from there on, but for a few µs.

    Parameters
    ----------
    head : Head
        As it was measured.

    Returns
    -------
    Head
        The same ears, at those of the 72 azimuths whose neighbours among the measured ones are at most 15
        degrees apart; all of them between measured ones.

    Raises
    ------
    ValueError
        If fewer than three azimuths are left.

    Examples
    --------
    >>> from database.hrtf import kemar
    >>> askew = np.roll(kemar().responses, 2, axis=0)  # by 10 degrees to the left
    >>> again = facing_front(Head("askew", 44100.0, AZIMUTHS, askew)).response(90)
    >>> bool(np.abs(again - kemar().response(90)).max() < 1e-3)
    True
    """
    angles = np.radians(head.azimuths)
    waves = np.stack([np.ones_like(angles), np.sin(angles), np.cos(angles)], axis=1)
    _, sine, cosine = np.linalg.lstsq(waves, low_itd(head), rcond=None)[0]
    turned = (AZIMUTHS + np.degrees(np.arctan2(-cosine, sine))) % 360
    near = next_and_gap(head, turned)[1] <= MAX_TURNED_GAP
    if near.sum() < FEWEST:
        raise ValueError(
            f"head {head.name}: {near.sum()} azimuths are left where it is turned, expected {FEWEST} or more"
        )
    responses = np.stack([interpolated(head, azimuth) for azimuth in turned[near]])
    return replace(
        head,
        azimuths=AZIMUTHS[near],
        responses=responses,
        corrections=(*head.corrections, "turned to the front"),
    )
