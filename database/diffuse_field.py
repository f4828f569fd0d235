"""The sound field that surrounds a head from all sides, as its ears hear it.

A head is known in the horizontal plane alone. Sound from above or below takes the response of the horizontal
direction on the same cone of confusion (as far from the median plane, on the same side of the ear axis),
which has nearly its ITD and ILD. Weighted by the solid angles they stand for, the horizontal directions make
a diffuse field: from 100 to 400 Hz its coherence differs by 0.03 from that over the whole measured sphere
(mean over 28 published heads; by at most 0.13 at any frequency of any head).

A head that was not measured all round lacks responses that reflections need, though no talker is heard from
there. `all_round` takes them from the other side of the ear axis: front and back have nearly one ITD and ILD
but for what the pinnae do above some kHz, and reflections are many, weak and late. Where the rear half of
three people and three manikins is replaced so, their diffuse field changes its level by less than 1 dB below
1.5 kHz and is up to 2 dB louder above; its coherence is off by less than 0.08 on average.

Conventions: x points to the front of the head, y to its left, z up; left ear first.

- `all_round`: a head with the azimuths that it lacks filled in
- `sphere`: directions all round, and the azimuth that stands for each
- `ear_powers`: how loud the two ears are in the diffuse field
- `ear_factors`: how the two ears are coloured and coupled in the diffuse field
- `ear_noise`: noise of that colour and coupling
"""

from dataclasses import replace

import numpy as np
import scipy.fft
from scipy.spatial import SphericalVoronoi

from database.hrtf import AZIMUTHS, MAX_GAP, Head, interpolated, widest_gap
from database.sofa import circular_distance

# Degrees. Steeper sound is taken for that of the outermost rings: with rings further out the coherence of the
# diffuse field is further from the measured one.
ELEVATIONS = np.arange(-45.0, 46.0, 15.0)


def all_round(head: Head) -> Head:
    """A head with all 72 azimuths: those that it has, and what may stand for the others in reflections.

    A missing azimuth takes the response of its mirror image through the ear axis, 180 degrees minus the
    azimuth, where the head has that. What is left is filled from neighbours, as `hrtf.read_head` does.

    Parameters
    ----------
    head : Head
        Anechoic responses of some azimuths.

    Returns
    -------
    Head
        The 72 azimuths; the responses that the head has are as they were.

    Raises
    ------
    ValueError
        If a gap of more than 30 degrees is left.

    Examples
    --------
    >>> from database.hrtf import kemar
    >>> frontal = np.r_[0:19, 54:72]
    >>> half = Head("half", 44100.0, AZIMUTHS[frontal], kemar().responses[frontal])
    >>> bool((all_round(half).response(150) == half.response(30)).all())
    True
    """
    measured = {azimuth: head.response(azimuth) for azimuth in AZIMUTHS if head.has(azimuth)}
    mirrored = {(180 - azimuth) % 360: response for azimuth, response in measured.items()}
    known = mirrored | measured
    azimuths = np.array(sorted(known))
    if (widest := widest_gap(azimuths)) > MAX_GAP:
        raise ValueError(
            f"head {head.name}: has {len(measured)} of the 72 azimuths; with their mirror images through the "
            f"ear axis a gap of {widest:g} degrees is left, at most {MAX_GAP:g} can be filled"
        )
    filled = replace(head, azimuths=azimuths, responses=np.stack([known[azimuth] for azimuth in azimuths]))
    responses = [
        known[azimuth] if azimuth in known else interpolated(filled, azimuth) for azimuth in AZIMUTHS
    ]
    return replace(head, azimuths=AZIMUTHS, responses=np.stack(responses))


def sphere(azimuths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions round a head, and the azimuth whose response stands for each.

    Parameters
    ----------
    azimuths : ndarray, (n_azimuths,)
        Degrees, all round the horizontal plane.

    Returns
    -------
    directions : ndarray, (n_directions, 3)
        Unit vectors. The horizontal ones are among them.
    solid_angles : ndarray, (n_directions,)
        In steradians; together 4 pi.
    nearest : ndarray of int, (n_directions,)
        Index of the azimuth nearest to the same cone of confusion; a horizontal direction has its own.

    Examples
    --------
    >>> directions, solid_angles, nearest = sphere(np.arange(0.0, 360.0, 5.0))
    >>> directions.shape, f"{solid_angles.sum() / np.pi:.6f} pi"
    ((504, 3), '4.000000 pi')
    """
    elevation, azimuth = (
        angle.ravel() for angle in np.meshgrid(np.radians(ELEVATIONS), np.radians(azimuths), indexing="ij")
    )
    x, y, z = np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)
    directions = np.stack([x, y, z], axis=-1)
    lateral = np.degrees(np.arcsin(y))
    same_cone = np.where(x < -1e-9, 180 - lateral, lateral)  # on the ear axis, the front
    nearest = circular_distance(same_cone[:, None], azimuths).argmin(axis=1)
    return directions, SphericalVoronoi(directions).calculate_areas(), nearest


def ear_powers(spectra: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Power spectra (2, n_frequencies) of the ears in a diffuse field.

    Parameters
    ----------
    spectra : ndarray of complex, (n_azimuths, n_frequencies, 2)
        Of the anechoic responses of a head.
    shares : ndarray, (n_azimuths,)
        How much of the field's power comes from each; 1 together.

    Returns
    -------
    ndarray, (2, n_frequencies)
        Left ear first.

    Examples
    --------
    >>> ear_powers(np.array([[[2.0, 0.0]], [[0.0, 4.0]]]), np.array([0.5, 0.5]))
    array([[2.],
           [8.]])
    """
    return np.einsum("d,dfe->ef", shares, np.abs(spectra) ** 2)


def ear_factors(responses: np.ndarray, weights: np.ndarray, n_fft: int) -> np.ndarray:
    """Cholesky factors of the spectra (left, right, cross) of the ears in a diffuse field.

    Parameters
    ----------
    responses : ndarray, (n_azimuths, n_taps, 2)
        Anechoic responses of a head.
    weights : ndarray, (n_azimuths,)
        How much of the field's power comes from each; any scale.
    n_fft : int
        Number of samples of the noise they are for.

    Returns
    -------
    ndarray of complex, (n_fft // 2 + 1, 2, 2)
        Lower triangular matrices F; F F^H holds the power spectra of the ears and the spectrum between them.

    Examples
    --------
    >>> both_ears_alike = np.ones((4, 1, 2))
    >>> ear_factors(both_ears_alike, np.ones(4), 2)[0].real
    array([[1., 0.], [1., 0.]])
    """
    spectra = scipy.fft.rfft(responses, n_fft, axis=1)
    share = weights / weights.sum()
    left, right = ear_powers(spectra, share)
    cross = np.einsum("d,df->f", share, spectra[..., 1] * spectra[..., 0].conj())
    factors = np.zeros((len(left), 2, 2), dtype=complex)
    factors[:, 0, 0] = np.sqrt(left)
    factors[:, 1, 0] = cross / np.sqrt(
        np.maximum(left, np.finfo(float).tiny)
    )  # nothing from an ear that is dead
    factors[:, 1, 1] = np.sqrt(np.maximum(right - np.abs(factors[:, 1, 0]) ** 2, 0))
    return factors


def ear_noise(factors: np.ndarray, n_fft: int, rng: np.random.Generator) -> np.ndarray:
    """Stationary noise as the ears hear it in the diffuse field of `factors`.

    Parameters
    ----------
    factors : ndarray of complex, (n_fft // 2 + 1, 2, 2)
        From `ear_factors`, for the same `n_fft`.
    n_fft : int
        Number of samples.
    rng : numpy.random.Generator
        Where the noise comes from.

    Returns
    -------
    ndarray, (n_fft, 2)
        What the ears hear of white noise with mean square 1 from all sides.

    Examples
    --------
    >>> left_twice_as_loud = np.tile(np.diag([2.0, 1.0]), (513, 1, 1))
    >>> noise = ear_noise(left_twice_as_loud, 1024, np.random.default_rng(0))
    >>> noise.std(axis=0).round(1)
    array([2., 1.])
    """
    white = scipy.fft.rfft(rng.standard_normal((n_fft, 2)), axis=0)
    return scipy.fft.irfft(np.einsum("fij,fj->fi", factors, white), n_fft, axis=0)
