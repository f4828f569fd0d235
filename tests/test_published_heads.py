"""Heads as their publishers distribute them."""

import numpy as np
import pytest
from head_measures import spectra
from sofa_files import spherical, write_sofa

from database.alignment import interaural_differences
from database.data.make_kemar import make_kemar
from database.facing import facing_front, low_itd
from database.hrtf import AZIMUTHS, KEMAR, kemar, read_head

HEADS = {  # by the folder of the shared heads: file, azimuths that are not measured
    "mit_kemar": ("mit_kemar_normal_pinna", 0),
    "qu_kemar": ("KEMAR_HRTFs_lfcorr", 0),
    "ku100": ("HRIR_CIRC360", 0),
    "ari": ("hrtf_b_nh14", 0),
    "cipic": ("subject_003", 22),
    "listen": ("irc_1002", 48),
    "sadie1": ("SADIE_003_DFC_256_order_fir_48000", 32),
}


def head_file(shared, folder):
    return shared / "data" / "hrtf" / folder / f"{HEADS[folder][0]}.sofa"


def test_kemar_is_small_and_equal_to_the_published_file(shared, tmp_path):
    assert KEMAR.stat().st_size < 300_000
    published = read_head(head_file(shared, "mit_kemar"))
    assert kemar().fs == published.fs
    np.testing.assert_array_equal(kemar().azimuths, published.azimuths)
    np.testing.assert_array_equal(kemar().responses, published.responses)
    make_kemar(head_file(shared, "mit_kemar"), tmp_path / "again.npz")
    with np.load(KEMAR) as stored, np.load(tmp_path / "again.npz") as again:
        assert sorted(stored) == sorted(again) and stored["responses"].dtype == np.float32
        for name in stored:
            np.testing.assert_array_equal(stored[name], again[name])


@pytest.mark.parametrize("folder", HEADS)
def test_published_heads_are_read_or_say_what_they_lack(shared, folder):
    n_missing = HEADS[folder][1]
    if n_missing:
        with pytest.raises(ValueError, match=f"lacks {n_missing} of the 72 azimuths .*: "):
            read_head(head_file(shared, folder))
    head = read_head(head_file(shared, folder), interpolate=bool(n_missing))
    assert head.name == HEADS[folder][0] and head.responses.shape[::2] == (72, 2)
    itd, ild = interaural_differences(head.responses, head.fs)
    left, right = slice(6, 31), slice(42, 67)  # 30 to 150 degrees, 210 to 330 degrees
    assert np.all(itd[left] > 150e-6) and np.all(ild[left] > 1.5)
    assert np.all(itd[right] < -150e-6) and np.all(ild[right] < -1.5)
    assert 600e-6 < itd[18] < 800e-6 and -800e-6 < itd[54] < -600e-6


@pytest.mark.parametrize("room", ["Anechoic", "Room_A"])
def test_the_clockwise_room_responses_are_refused(shared, room):
    path = shared / "data" / "brir" / "surrey" / f"UniS_{room}_BRIR_16k.sofa"
    with pytest.raises(ValueError, match="run the wrong way, clockwise=True"):
        read_head(path)
    with pytest.raises(ValueError, match=r"lacks 35 of the 72 .*: 95, 100, .*, 265; interpolate=True"):
        read_head(path, clockwise=True)
    with pytest.raises(ValueError, match="gap of 180 degrees; at most 30 can be filled"):
        read_head(path, clockwise=True, interpolate=True)


@pytest.mark.parametrize("folder", ["mit_kemar", "qu_kemar", "ku100", "ari"])
def test_a_head_thinned_to_15_degrees_is_filled_as_it_was_measured(shared, folder, tmp_path):
    dense = read_head(head_file(shared, folder))
    kept = AZIMUTHS % 15 == 0
    variables = {"Data.SamplingRate": [dense.fs]}
    path = write_sofa(tmp_path / "thin.sofa", spherical(AZIMUTHS[kept]), dense.responses[kept], variables)
    filled = read_head(path, interpolate=True)
    np.testing.assert_allclose(filled.responses[kept], dense.responses[kept])
    broadband = [interaural_differences(head.responses[~kept], head.fs)[0] for head in (filled, dense)]
    low = [low_itd(head)[~kept] for head in (filled, dense)]
    frequencies = np.arange(100.0, 8000, 25)
    levels_db = [20 * np.log10(np.abs(spectra(head, frequencies)[~kept])) for head in (filled, dense)]
    assert np.median(np.abs(np.subtract(*broadband))) < 10e-6
    assert np.median(np.abs(np.subtract(*low))) < 10e-6
    assert np.median(np.abs(np.subtract(*levels_db))) < 0.6
    assert np.mean(np.abs(np.subtract(*levels_db))) < 1.5


@pytest.mark.parametrize("name", ["ari/hrtf_b_nh159", "ari/hrtf_b_nh249", "cipic/subject_012"])
def test_people_who_sat_askew_are_turned_to_the_front(shared, name):
    def asymmetry(head):
        """Spread, in s, of the sum of each azimuth's ITD and its mirror image's."""
        itd = dict(zip(head.azimuths, low_itd(head), strict=True))
        return np.std([itd[azimuth] + itd[-azimuth % 360] for azimuth in itd if -azimuth % 360 in itd])

    head = read_head(shared / "data" / "hrtf" / f"{name}.sofa", incomplete=True)
    assert asymmetry(facing_front(head)) < 0.4 * asymmetry(head)
