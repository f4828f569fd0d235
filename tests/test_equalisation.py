"""Equalised heads: what depends on direction stays, and nothing else does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import fftconvolve
from sofa_files import spherical, write_sofa

from database.__main__ import main
from database.diffuse_field import ear_factors, sphere
from database.equalisation import equalised
from database.hrtf import AZIMUTHS, Head, kemar
from database.store import Database

N_FFT = 4096


def levels_db(head: Head) -> np.ndarray:
    """Of each direction and ear, from 150 Hz to 15 kHz."""
    frequencies = np.fft.rfftfreq(N_FFT, 1 / head.fs)
    levels = 20 * np.log10(np.abs(np.fft.rfft(head.responses, N_FFT, axis=1)))
    return levels[:, (frequencies > 150) & (frequencies < 15e3)]


def diffuse_levels_db(head: Head) -> np.ndarray:
    """Of each ear amid the noise that comes from all around."""
    _, solid_angles, nearest = sphere(head.azimuths)
    factors = ear_factors(head.responses, np.bincount(nearest, solid_angles), N_FFT)
    frequencies = np.fft.rfftfreq(N_FFT, 1 / head.fs)
    powers = np.sum(np.abs(factors) ** 2, axis=2)
    return 10 * np.log10(powers[(frequencies > 150) & (frequencies < 15e3)])


def test_both_ears_are_as_loud_at_every_frequency_in_a_diffuse_field():
    before, after = diffuse_levels_db(kemar()), diffuse_levels_db(equalised(kemar()))
    assert np.std(before) > 3
    assert np.ptp(after) < 1
    assert np.std(after) < 0.1


def test_differences_between_directions_stay():
    head = kemar()
    changed = levels_db(equalised(head)) - levels_db(head)
    np.testing.assert_allclose(changed, changed[:1].repeat(len(changed), axis=0), atol=1e-6)
    assert np.abs(changed.mean()) < 1
    # Differences in phase between the ears change by one spectrum, that of the two filters, which are alike.
    spectra = [np.fft.rfft(one.responses, N_FFT, axis=1) for one in (head, equalised(head))]
    before, after = (spectrum[..., 0] * spectrum[..., 1].conj() for spectrum in spectra)
    turned = np.angle(after * before.conj())[:, 1:-1]
    assert np.abs(turned).max() < 1e-6


@given(seed=st.integers(0, 2**16), gain=st.floats(0.25, 4))
@settings(max_examples=5, deadline=None)
def test_other_microphones_make_no_difference(seed, gain):
    ears = np.random.default_rng(seed).normal(scale=0.1, size=(6, 2)) * 0.7 ** np.arange(1, 7)[:, None]
    ears = gain * np.vstack([[1, 1], ears])  # the first is the largest by far
    head = kemar()
    coloured = Head("coloured", head.fs, head.azimuths, fftconvolve(head.responses, ears[None], axes=1))
    ours, its = levels_db(equalised(head)), levels_db(equalised(coloured))
    offset = np.mean(its - ours)  # the level as a whole is the head's own
    assert np.abs(its - ours - offset).max() < 0.5


def test_a_head_measured_in_front_alone_keeps_its_directions():
    frontal = np.r_[0:19, 54:72]
    head = equalised(Head("front", 44100.0, AZIMUTHS[frontal], kemar().responses[frontal]))
    np.testing.assert_array_equal(head.azimuths, AZIMUTHS[frontal])


def test_a_frequency_that_was_not_played_is_raised_by_20_db_at_most():
    head = kemar()
    tone = fftconvolve(head.responses, np.cos(2 * np.pi * np.arange(2000) / 20)[None, :, None], axes=1)
    narrow = Head("narrow", head.fs, head.azimuths, tone)
    raised = levels_db(equalised(narrow)) - levels_db(narrow)
    assert raised.max() < 20.5


def test_a_database_of_equalised_heads(tmp_path):
    """A fault of one microphone, the right one 3 dB too faint, is gone, in the test's heads as well."""
    rate = {"Data.SamplingRate": [kemar().fs]}
    write_sofa(tmp_path / "a.sofa", spherical(AZIMUTHS), kemar().responses * [1, 0.7], rate)
    common = "--noise-files 3 --noise-types 2 --clips 3 --workers 0 --only test"
    ilds = {}
    for option in ((), ("--equalise-heads",)):
        folder = tmp_path / "".join(("data", *option))
        heads = ("--head", str(tmp_path / "a.sofa"))
        assert main(["build", str(folder), *common.split(), "--snr-db", "60", "60", *heads, *option]) == 0
        with Database(folder) as database:
            columns = database.columns
            front = (columns["split"] == "test") & (columns["azimuth"] == 0)
            ilds[option] = np.median(database.read_cues(np.flatnonzero(front))[:, 1])
    assert ilds[()] == pytest.approx(3, abs=0.5)
    assert ilds[("--equalise-heads",)] == pytest.approx(0, abs=0.5)


def test_the_built_in_head_is_equalised_as_well(tmp_path, capsys):
    common = "--noise-files 3 --noise-types 2 --clips 3 --workers 0"
    energies = []
    for option in ([], ["--equalise-heads"]):
        folder = tmp_path / "_".join(["data", *option])
        assert main(["build", str(folder), *common.split(), "--only", "test", *option]) == 0
        with Database(folder) as database:
            assert set(database.columns["head"]) == {"MIT KEMAR"}
            energies.append(database.read_cues(np.arange(72))[:, 3].mean(axis=(0, 2)))
    assert np.ptp(energies[1] - energies[0]) > 5
    for option, said in (([], "MIT KEMAR\n"), (["--equalise-heads"], "MIT KEMAR; equalised: all\n")):
        capsys.readouterr()
        assert main(["info", str(tmp_path / "_".join(["data", *option]))]) == 0
        assert said in capsys.readouterr().out
