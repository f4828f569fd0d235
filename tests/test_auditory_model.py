import numpy as np
import pytest
from gammatone.filters import erb_filterbank, erb_space, make_erb_filters
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, sosfilt

import auditory_model
from auditory_model import (
    FILTER_TYPES,
    MODEL_TYPES,
    GF_spectrogram,
    auditory_peripheral,
    centre_freqs,
    erb,
    filters,
    gf_spectrogram,
    haircell_model,
)

NOISE = np.random.default_rng(0).standard_normal((4000, 2))


def click(n_samples: int) -> np.ndarray:
    signal = np.zeros((n_samples, 2))
    signal[0] = 1
    return signal


# --- filterbanks


def test_centre_freqs_are_those_of_the_gammatone_package_ascending():
    np.testing.assert_array_equal(centre_freqs(16000, 32), erb_space(80, 7200, 32)[::-1])
    np.testing.assert_array_equal(centre_freqs(44100, 5, 100, 9000), erb_space(100, 9000, 5)[::-1])


@given(fs=st.floats(8000, 96000), n_bands=st.integers(1, 80))
def test_centre_freqs_ascend_from_low_to_below_nyquist(fs, n_bands):
    cfs = centre_freqs(fs, n_bands)
    assert cfs.shape == (n_bands,)
    assert cfs[0] == pytest.approx(80)
    assert cfs[-1] < 0.9 * fs / 2
    assert (np.diff(cfs) > 0).all()


@pytest.mark.parametrize("fs", [8000, 16000, 44100, 96000])
def test_gammatone_equals_the_gammatone_package(fs):
    cfs = centre_freqs(fs)
    design = make_erb_filters(fs, cfs)
    expected = np.stack([erb_filterbank(NOISE[:, ear], design) for ear in (0, 1)], axis=2)
    np.testing.assert_allclose(filters(NOISE, fs, cfs), expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("filter_type", FILTER_TYPES)
def test_equals_scipy_section_by_section(filter_type):
    cfs = centre_freqs(16000, 6)
    sections = auditory_model._FILTER_DESIGNS[filter_type](16000, cfs)
    expected = np.stack([sosfilt(sos, NOISE, axis=0) for sos in sections])
    np.testing.assert_allclose(filters(NOISE, 16000, cfs, filter_type), expected, rtol=0, atol=1e-12)


# Where gammatone, Brian hears, pyfar and the Auditory Modeling Toolbox agree, at 44.1 kHz: centre
# frequency, equivalent rectangular bandwidth in Hz, peak of the impulse response's envelope in ms.
@pytest.mark.parametrize(
    ("cf", "bandwidth", "peak"), [(200, 46.3, 10.1), (1000, 132.6, 3.49), (4000, 456.6, 0.98)]
)
def test_gammatone_gain_bandwidth_and_delay(cf, bandwidth, peak):
    fs, n = 44100, 2**16
    response = filters(click(n), fs, [cf])[0, :, 0]
    spectrum = np.abs(np.fft.rfft(response))
    gain = spectrum[round(cf * n / fs)]
    assert gain == pytest.approx(1, abs=2e-3)
    assert (spectrum**2).sum() / gain**2 * fs / n == pytest.approx(bandwidth, rel=0.02)
    analytic = np.fft.ifft(np.fft.fft(response) * np.where(np.arange(n) < n // 2, 2, 0))
    assert np.argmax(np.abs(analytic)) / fs * 1e3 == pytest.approx(peak, rel=0.02)


def test_all_pole_filters_have_the_gammatones_poles_and_gain_1_at_the_centre():
    fs, n, cfs = 16000, 2**15, np.array([250.0, 1000.0, 4000.0])
    spectrum = np.abs(np.fft.rfft(filters(click(n), fs, cfs, "APGF")[:, :, 0]))
    np.testing.assert_allclose(spectrum[np.arange(3), np.rint(cfs * n / fs).astype(int)], 1, atol=1e-6)
    design = make_erb_filters(fs, cfs)
    sections = auditory_model._FILTER_DESIGNS["APGF"](fs, cfs)
    np.testing.assert_array_equal(sections[:, :, 3:], np.repeat(design[:, None, 6:9], 4, axis=1))
    assert not sections[:, :, 1:3].any()


def test_butterworth_is_3_db_down_half_a_bandwidth_off_the_centre():
    fs, n, cfs = 16000, 16000, np.array([500.0, 1000.0, 4000.0])
    spectrum = np.abs(np.fft.rfft(filters(click(n), fs, cfs, "Butterworth")[:, :, 0]))  # 1 Hz a line
    for band, cf in enumerate(cfs):
        for edge in (cf - erb(cf) / 2, cf + erb(cf) / 2):
            gain = np.interp(edge, np.arange(n // 2 + 1), spectrum[band])
            assert 20 * np.log10(gain) == pytest.approx(-3.01, abs=0.1)
        assert spectrum[band, int(cf)] == pytest.approx(1, abs=1e-3)


def test_butterworth_falls_as_four_poles_do():
    fs, n, cf = 16000, 16000, 1000.0
    line = np.arange(600, 1600)
    gain = np.abs(np.fft.rfft(filters(click(n), fs, [cf], "Butterworth")[0, :, 0]))[line]
    warped, low, high = (np.tan(np.pi * f / fs) for f in (line, cf - erb(cf) / 2, cf + erb(cf) / 2))
    off = (warped**2 - low * high) / (warped * (high - low))  # 1 at the edges of the band
    np.testing.assert_allclose(gain, 1 / np.sqrt(1 + off**8), atol=1e-4)


@pytest.mark.parametrize("filter_type", FILTER_TYPES)
def test_filters_are_causal_and_the_ears_do_not_mix(filter_type):
    signal = np.zeros((400, 2))
    signal[100, 0] = 1
    bands = filters(signal, 16000, [300, 2000], filter_type)
    assert not bands[:, :100].any()
    assert bands[:, 100:, 0].any(axis=1).all()
    assert not bands[:, :, 1].any()


@settings(max_examples=20)
@given(gain=st.floats(-10, 10), split=st.integers(1, 399))
def test_filters_are_linear_and_do_not_look_ahead(gain, split):
    cfs = centre_freqs(16000, 5)
    whole = filters(NOISE[:400], 16000, cfs)
    np.testing.assert_allclose(filters(gain * NOISE[:400], 16000, cfs), gain * whole, atol=1e-12)
    np.testing.assert_array_equal(filters(NOISE[:split], 16000, cfs), whole[:, :split])


def test_states_never_become_denormal():
    signal = np.zeros((60_000, 2))
    signal[0] = 1e-3
    bands = filters(signal, 16000, centre_freqs(16000))
    tiny = np.abs(bands[bands != 0]).min()
    assert tiny > np.finfo(float).tiny
    assert not bands[:, -1000:].any()


def test_gf_spectrogram_goes_by_both_names():
    assert GF_spectrogram is gf_spectrogram
    cfs = centre_freqs(16000, 4)
    np.testing.assert_array_equal(GF_spectrogram(NOISE, 16000, cfs), filters(NOISE, 16000, cfs))


# --- hair cells


@pytest.mark.parametrize("rate", ["16k", "44k"])
@pytest.mark.parametrize("model_type", ["Lindemann", "Breebaart", "Dau", "Bernstein"])
def test_hair_cells_match_the_auditory_modeling_toolbox(reference, rate, model_type):
    theirs = np.load(reference / f"hair_cells_{rate}.npz")
    both_ears = np.stack([theirs["signal"]] * 2, axis=1)[None]
    cells = haircell_model(both_ears, int(theirs["fs"]), model_type)
    for ear in (0, 1):
        np.testing.assert_allclose(cells[0, :, ear], theirs[model_type.lower()], rtol=0, atol=1e-9)


BANDS = np.random.default_rng(1).standard_normal((3, 2000, 2))


def test_low_passes_are_scipys_designs():
    rectified = np.maximum(BANDS, 0)
    first_order = butter(1, 2000, fs=16000, output="sos")
    expected = sosfilt(np.tile(first_order, (5, 1)), rectified, axis=1)
    np.testing.assert_allclose(haircell_model(BANDS, 16000, "Breebaart"), expected, atol=1e-14)
    np.testing.assert_allclose(
        haircell_model(BANDS, 16000, "Dau"),
        sosfilt(butter(1, 1000, fs=16000, output="sos"), rectified, axis=1),
        atol=1e-14,
    )
    np.testing.assert_allclose(
        haircell_model(BANDS, 16000, "Lindemann"),
        sosfilt(butter(1, 800, fs=16000, output="sos"), rectified, axis=1),
        atol=1e-14,
    )


def test_bernstein_compresses_the_envelope_and_low_passes_its_rectified_square():
    fs, cf = 16000, 1000.0
    phase = 2 * np.pi * cf * np.arange(3200) / fs
    tones = np.stack([2.0 * np.cos(phase), 4.0 * np.cos(phase)], axis=1)[None]
    rectified = np.maximum(np.cos(phase), 0)[:, None] * np.array([2.0, 4.0]) ** 0.23
    low_pass = butter(2, 425, fs=fs, output="sos")
    expected = sosfilt(low_pass, rectified**2, axis=0)
    np.testing.assert_allclose(haircell_model(tones, fs, "Bernstein")[0], expected, atol=1e-9)


def test_rectifiers():
    np.testing.assert_array_equal(haircell_model(BANDS, 16000, "halfwave"), np.maximum(BANDS, 0))
    np.testing.assert_array_equal(haircell_model(BANDS, 16000, "Roman"), np.sqrt(np.maximum(BANDS, 0)))


def test_envelope_cell_rectifies_low_bands_and_takes_the_envelope_of_high_ones():
    fs, cfs = 16000, [500, 1499, 1500, 3000]
    time = np.arange(1600) / fs
    tones = np.stack([np.stack([np.cos(2 * np.pi * 500 * time)] * 2, axis=1)] * 4)
    cells = haircell_model(tones, fs, "Half-wave rectification + signal envelope", cfs=cfs)
    np.testing.assert_array_equal(cells[:2], np.maximum(tones[:2], 0))
    np.testing.assert_allclose(cells[2:], 1, atol=1e-9)
    np.testing.assert_array_equal(cells, haircell_model(tones, fs, "envelope", cfs=cfs))


def meddis_sample_by_sample(x, fs):
    """Meddis, Hewitt & Shackleton (1990) as it stands; an rms of 1 is 80 dB SPL, Meddis's unit 30 dB."""
    A, B, g, y, l, r, x_rate, h = 5, 300, 2000, 5.05, 2500, 6580, 66.31, 50000  # noqa: E741
    dt = 1 / fs
    k = g * A / (A + B)
    c = y * k / (l * k + y * (l + r))
    q, w = c * (l + r) / k, c * r / x_rate
    out = []
    for sample in x * 10 ** (50 / 20):
        k = g * max(sample + A, 0) / (max(sample + A, 0) + B)
        replenish, eject, loss, reuptake, reprocess = max(y * (1 - q), 0), k * q, l * c, r * c, x_rate * w
        q += (replenish - eject + reprocess) * dt
        c += (eject - loss - reuptake) * dt
        w += (reuptake - reprocess) * dt
        out.append(h * c)
    return np.array(out)


def test_meddis_equals_its_equations_sample_by_sample():
    cells = haircell_model(BANDS, 16000, "Meddis")
    np.testing.assert_allclose(cells[1, :, 1], meddis_sample_by_sample(BANDS[1, :, 1], 16000), rtol=1e-9)


def test_meddis_rests_in_silence_adapts_to_a_tone_and_depends_on_level():
    silence = haircell_model(np.zeros((1, 4000, 2)), 16000, "Meddis")
    np.testing.assert_allclose(silence, silence[0, 0, 0], rtol=1e-9)
    assert 60 < silence[0, 0, 0] < 80  # spikes a second
    tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    rates = haircell_model(np.stack([tone, 0.01 * tone], axis=1)[None], 16000, "Meddis")[0]
    assert rates[:160].mean() > 1.5 * rates[-1600:].mean()
    assert rates[:, 0].mean() > 1.2 * rates[:, 1].mean()


@pytest.mark.parametrize("fs", [8000, 96000])
def test_meddis_is_never_negative_at_any_rate(fs):
    assert haircell_model(np.random.default_rng(0).standard_normal((1, 8000, 2)), fs, "Meddis").min() >= 0


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_silence_is_finite_and_stays_so(model_type):
    bands = np.zeros((3, 1000, 2))
    bands[0, 10] = 1
    cells = haircell_model(bands, 16000, model_type, cfs=[100, 1000, 4000])
    assert np.isfinite(cells).all()


def test_peripheral_is_the_filterbank_then_the_hair_cells():
    cfs = centre_freqs(16000, 8)
    bands, cells = auditory_peripheral(NOISE, 16000, cfs, "APGF", "envelope")
    np.testing.assert_array_equal(bands, filters(NOISE, 16000, cfs, "APGF"))
    np.testing.assert_array_equal(cells, haircell_model(bands, 16000, "envelope", cfs=cfs))


# --- bad input


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (np.zeros(100), r"one channel.*\(100,\)"),
        (np.zeros((100, 1)), r"one channel.*\(100, 1\)"),
        (np.zeros((100, 3)), r"exactly two channels.*\(100, 3\)"),
        (np.zeros((2, 100)), r"channels first\? Pass signal.T"),
        (np.zeros((0, 2)), r"signal is empty: shape \(0, 2\)"),
        (np.zeros((100, 2), np.int16), r"integers \(int16\) that were never scaled.*32768"),
        (np.full((100, 2), 300.0), r"whole numbers with a peak of 300"),
        (np.array([[0.0, 0.0], [0.0, np.nan]]), r"NaN or infinity, first at index \(1, 1\)"),
        (np.array([[np.inf, 0.0], [0.0, 0.0]]), r"NaN or infinity, first at index \(0, 0\)"),
        (np.zeros((100, 2), complex), r"real floating-point samples, found complex128"),
        ([[0.0, 0.0], [0.0]], "signal must be an array of numbers"),
    ],
)
def test_bad_signals_are_refused_by_name(signal, message):
    with pytest.raises(ValueError, match=message):
        filters(signal, 16000, [1000])


def test_a_loud_float_signal_is_fine():
    assert np.isfinite(filters(300.5 * NOISE, 16000, [1000])).all()


@pytest.mark.parametrize(
    ("fs", "message"),
    [
        (16, r"in Hz, found 16: is it in kHz\?"),
        (44.1, r"is it in kHz\?"),
        (7999, r"between 8000 and 96000 Hz"),
        (96001, r"between 8000 and 96000 Hz"),
        (float("nan"), "between 8000 and 96000 Hz, found nan"),
        ("16000", "sampling rate in Hz, found '16000'"),
        (True, "sampling rate in Hz, found True"),
        (np.complex128(16000), "sampling rate in Hz, found"),
        (10**400, "between 8000 and 96000 Hz"),
    ],
)
def test_bad_rates_are_refused(fs, message):
    with pytest.raises(ValueError, match=message):
        filters(NOISE, fs, [1000])


@pytest.mark.parametrize(
    ("cfs", "message"),
    [
        ([1000, 8000], r"between 0 and fs/2 = 8000 Hz, found 1000 to 8000"),
        ([0, 1000], r"between 0 and fs/2"),
        ([2000, 1000], "must be ascending"),
        ([1000, 1000], "must be ascending"),
        ([], "sequence of centre frequencies"),
        ([np.nan], "sequence of centre frequencies"),
        (["a"], "sequence of centre frequencies"),
        ("1000", "sequence of centre frequencies"),
        ({}, "sequence of centre frequencies"),
        ([1000 + 1j], "sequence of centre frequencies"),
        ([[500], [500, 1000]], "cfs must be an array of numbers"),
    ],
)
def test_bad_centre_frequencies_are_refused(cfs, message):
    with pytest.raises(ValueError, match=message):
        filters(NOISE, 16000, cfs)


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(
        ValueError, match=r"unknown filter_type 'gamma'.*'GF_spectrogram', 'APGF', 'Butterworth'"
    ):
        filters(NOISE, 16000, [1000], "gamma")
    with pytest.raises(ValueError, match=r"unknown model_type 'roman'.*'Roman'.*'Meddis'"):
        haircell_model(BANDS, 16000, "roman")


def test_other_bad_arguments():
    with pytest.raises(ValueError, match="needs cfs"):
        haircell_model(BANDS, 16000, "envelope")
    for model_type in MODEL_TYPES:
        with pytest.raises(ValueError, match="2 entries for 3 bands"):
            haircell_model(BANDS, 16000, model_type, cfs=[100, 200])
    with pytest.raises(ValueError, match=r"\(n_bands, n_samples, 2\), found \(4000, 2\)"):
        haircell_model(NOISE, 16000)
    with pytest.raises(ValueError, match=r"Butterworth band .* does not for cfs"):
        filters(NOISE, 16000, [10, 1000], "Butterworth")
    with pytest.raises(ValueError, match="n_bands must be a positive integer"):
        centre_freqs(16000, 0)
    with pytest.raises(ValueError, match="high must be a frequency in Hz, found '80'"):
        centre_freqs(16000, 3, high="80")
    with pytest.raises(ValueError, match="0 < low < high"):
        centre_freqs(16000, 3, low=9000)
