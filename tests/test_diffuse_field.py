"""The diffuse field: which direction stands for which, and noise with the coherence of the ears."""

import numpy as np
import pytest
from sofa_files import FS, pulses

from database.diffuse_field import all_round, ear_factors, ear_noise, sphere
from database.hrtf import AZIMUTHS, Head, kemar

FRONTAL = [*range(19), *range(54, 72)]


def some_azimuths(classes) -> Head:
    return Head("some", FS, AZIMUTHS[classes], pulses(AZIMUTHS[classes]))


def test_a_half_that_was_not_measured_is_the_mirror_image_of_the_other():
    filled = all_round(some_azimuths(FRONTAL))
    assert np.array_equal(filled.azimuths, AZIMUTHS)
    for azimuth in AZIMUTHS:
        in_front = azimuth if np.cos(np.radians(azimuth)) > -1e-9 else (180 - azimuth) % 360
        assert np.array_equal(filled.response(azimuth), pulses([in_front])[0])


def test_what_was_measured_stays_and_what_has_no_mirror_image_is_interpolated():
    assert np.array_equal(all_round(some_azimuths(range(72))).responses, pulses(AZIMUTHS))
    every_fourth = all_round(some_azimuths(range(0, 72, 4)))  # 0, 20, ... 340: mirrored 180, 160, ...
    assert np.array_equal(every_fourth.responses[::4], pulses(AZIMUTHS[::4]))
    expected = pulses(AZIMUTHS)
    error = np.sqrt(np.mean((every_fourth.responses - expected) ** 2) / np.mean(expected**2))
    assert 0 < error < 0.1


def test_gaps_that_are_too_wide_are_refused():
    with pytest.raises(ValueError, match=r"head some: has 36 of the 72 .* a gap of 180 degrees is left"):
        all_round(some_azimuths(range(36)))
    assert len(all_round(some_azimuths([0, 6, 12, 18, 54, 60, 66])).azimuths) == 72
    with pytest.raises(ValueError, match=r"head some: has 6 .* a gap of 60 degrees is left.* at most 30"):
        all_round(some_azimuths([0, 6, 18, 54, 60, 66]))


def test_horizontal_directions_stand_for_themselves():
    directions, _, nearest = sphere(AZIMUTHS)
    horizontal = np.abs(directions[:, 2]) < 1e-9
    assert np.array_equal(nearest[horizontal], np.arange(72))


def test_directions_keep_their_cone_and_side():
    directions, _, nearest = sphere(AZIMUTHS)
    stand_in = np.radians(AZIMUTHS[nearest])
    lateral = np.degrees(np.arcsin(directions[:, 1]))
    assert np.abs(np.degrees(np.arcsin(np.sin(stand_in))) - lateral).max() < 2.51
    assert (directions[:, 0] * np.cos(stand_in) > -1e-9).all()


def test_noise_has_the_spectra_of_the_diffuse_field():
    """Averaged over many draws, power and product of the ears are those of the weighted responses."""
    head, rng = kemar().resampled(16000), np.random.default_rng(1)
    weights, n_fft, n_draws = rng.uniform(0, 1, 72), 256, 2000
    factors = ear_factors(head.responses, weights, n_fft)
    noise = np.fft.rfft([ear_noise(factors, n_fft, rng) for _ in range(n_draws)], axis=1)[:, 2:100]
    spectra = np.fft.rfft(head.responses, n_fft, axis=1)[:, 2:100]
    made = np.einsum("nfi,nfj->fij", noise, noise.conj()) / n_draws / n_fft
    wanted = np.einsum("d,dfi,dfj->fij", weights / weights.sum(), spectra, spectra.conj())
    scale = np.sqrt(np.einsum("fii,fjj->fij", wanted, wanted).real)
    assert (np.abs(made - wanted) / scale).max() < 0.12  # the standard error of 2000 draws is 0.022


def test_a_dead_ear_stays_silent_and_finite():
    responses = np.zeros((4, 8, 2))
    responses[:, 0, 1] = 1.0
    noise = ear_noise(ear_factors(responses, np.ones(4), 64), 64, np.random.default_rng(0))
    assert np.isfinite(noise).all()
    assert np.all(noise[:, 0] == 0) and noise[:, 1].std() > 0.5
