"""Azimuths, their classes, and distances on the circle.

Conventions: an azimuth is in degrees, counter-clockwise from the front, so that 90 is left, 180 behind and
270 right. The circle has 72 classes; class k is the azimuth 5k degrees. Every function takes scalars or
arrays of any shape.

- `azimuth_class`: the class of an azimuth
- `class_azimuth`: the azimuth of a class
- `angular_difference`: the signed way from one azimuth to another, the short way round
- `front_back_mirror`: the azimuth that has the same ITD on a sphere
- `lateral_step`: how far to the left a class lies
- `check_classes`: refuse what is no class
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

N_CLASSES = 72
DEGREES_PER_CLASS = 360.0 / N_CLASSES


def azimuth_class(azimuth: ArrayLike) -> NDArray[np.intp]:
    """Class of the nearest of the 72 azimuths.

    Parameters
    ----------
    azimuth : array_like
        Degrees, counter-clockwise from the front; any real number.

    Returns
    -------
    ndarray of int
        Classes 0 … 71, the shape of `azimuth`. Class k is 5k degrees; halfway between two, the one
        counter-clockwise.

    Raises
    ------
    ValueError
        If an azimuth is not finite.

    Examples
    --------
    >>> azimuth_class([0, 92, 357.6])
    array([ 0, 18,  0])
    """
    steps = np.floor(_finite(azimuth, "azimuth") % 360.0 / DEGREES_PER_CLASS + 0.5)
    return steps.astype(np.intp) % N_CLASSES


def class_azimuth(k: ArrayLike) -> NDArray[np.float64]:
    """Azimuth of a class.

    Parameters
    ----------
    k : array_like of int
        Classes 0 … 71.

    Returns
    -------
    ndarray
        Degrees in [0, 360), the shape of `k`.

    Raises
    ------
    ValueError
        If a class is not a whole number from 0 to 71.

    Examples
    --------
    >>> class_azimuth([0, 18, 71])
    array([  0.,  90., 355.])
    """
    return DEGREES_PER_CLASS * check_classes(k, "k").astype(np.float64)


def angular_difference(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """How far `a` lies counter-clockwise of `b`, the short way round.

    Parameters
    ----------
    a, b : array_like
        Degrees, of shapes that broadcast.

    Returns
    -------
    ndarray
        a - b in (-180, 180] degrees.

    Raises
    ------
    ValueError
        If an azimuth is not finite.

    Examples
    --------
    >>> angular_difference([10, 355, 180], [350, 5, 0])
    array([ 20., -10., 180.])
    """
    difference = 180.0 - (180.0 - (_finite(a, "a") - _finite(b, "b"))) % 360.0
    # The remainder of a tiny negative number rounds up to 360 itself.
    return np.where(difference == -180.0, 180.0, difference)


def front_back_mirror(azimuth: ArrayLike) -> NDArray[np.float64]:
    """Mirror image through the axis of the ears: the place that ITD and ILD alone hardly tell apart.

    Parameters
    ----------
    azimuth : array_like
        Degrees.

    Returns
    -------
    ndarray
        180 - azimuth, in [0, 360), the shape of `azimuth`.

    Raises
    ------
    ValueError
        If an azimuth is not finite.

    Examples
    --------
    >>> front_back_mirror([0, 30, 90, 300])
    array([180., 150.,  90., 240.])
    """
    mirrored = (180.0 - _finite(azimuth, "azimuth")) % 360.0
    return np.where(mirrored == 360.0, 0.0, mirrored)


def lateral_step(k: ArrayLike) -> NDArray[np.intp]:
    """How far to the left a class lies, the same in front and behind: the order of sin(azimuth), exactly.

    Parameters
    ----------
    k : array_like of int
        Classes 0 … 71.

    Returns
    -------
    ndarray of int
        -18 (right) … 0 (in the middle) … 18 (left), the shape of `k`, in steps of 5 degrees.

    Raises
    ------
    ValueError
        If a class is not a whole number from 0 to 71.

    Examples
    --------
    >>> lateral_step([0, 6, 18, 30, 36, 54, 71])
    array([  0,   6,  18,   6,   0, -18,  -1])
    """
    from_right = (class_azimuth(k) / DEGREES_PER_CLASS).astype(np.intp) + N_CLASSES // 4
    from_right %= N_CLASSES
    return np.minimum(from_right, N_CLASSES - from_right) - N_CLASSES // 4


def check_classes(k: ArrayLike, name: str) -> NDArray[np.intp]:
    """Return classes as an array, or raise a ValueError unless they are whole numbers from 0 to 71."""
    classes = np.asarray(k)
    if not np.issubdtype(classes.dtype, np.integer):
        raise ValueError(f"{name}: classes must be whole numbers, found {classes.dtype}")
    if classes.size and not (classes.min() >= 0 and classes.max() < N_CLASSES):
        raise ValueError(
            f"{name}: classes must be 0 … {N_CLASSES - 1}, found {classes.min()} … {classes.max()}"
        )
    return classes.astype(np.intp)


def _finite(azimuth: ArrayLike, name: str) -> NDArray[np.float64]:
    """The azimuths as floats; refuses NaN and infinity."""
    degrees = np.asarray(azimuth, dtype=np.float64)
    if not np.isfinite(degrees).all():
        raise ValueError(f"{name}: azimuths must be finite, found NaN or infinity")
    return degrees
