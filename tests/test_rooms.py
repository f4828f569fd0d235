"""Rooms: the draw, and what the rendered responses must measure."""

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyroomacoustics.parameters import constants
from scipy.signal import correlate, correlation_lags, resample_poly
from scipy.spatial import SphericalVoronoi

from binaural_feature import CueFormat
from database.hrtf import AZIMUTHS, Head, kemar, read_head
from database.plan import draw_plan
from database.recipe import Recipe
from database.rendering import Renderer
from database.rooms import LEAD, MARGIN, Room, draw_room, room_responses
from database.scenes import draw_scene
from database.sources import noise_source, speech_source

FS = 16000
SEEDS = range(4)
ROOM = Room(
    size=(6.0, 5.0, 3.0),
    rt60=0.4,
    head=(3.0, 2.5, 1.4),
    orientation=30.0,
    distance=1.5,
    source_height=1.4,
)

Array = NDArray[np.floating]


@pytest.fixture(scope="module")
def head() -> Head:
    return kemar().resampled(FS)


@pytest.fixture(scope="module")
def coarse_head() -> Head:
    """Front, left, back and right, at the rate of the measurement."""
    fine = kemar()
    return Head(fine.name, fine.fs, fine.azimuths[::18], fine.responses[::18])


@pytest.fixture(scope="module")
def rendered(head: Head) -> list[tuple[Room, Head]]:
    """Several rooms with the responses of all azimuths in them."""
    rooms = [draw_room(np.random.default_rng(seed)) for seed in SEEDS]
    return [
        (room, room_responses(room, head, FS, np.random.default_rng(seed)))
        for seed, room in zip(SEEDS, rooms, strict=True)
    ]


def reverberation_time(response: Array, fs: float) -> float:
    """T30 of one ear: the line through Schroeder's curve from -5 to -35 dB."""
    remaining = np.cumsum(response[::-1] ** 2)[::-1]
    level = 10 * np.log10(remaining / remaining[0])
    measured = (level <= -5) & (level >= -35)
    slope = np.polyfit(np.flatnonzero(measured) / fs, level[measured], 1)[0]
    return -60 / slope


def onset(response: Array, fs: float) -> Array:
    """The response up to 2 ms after it first comes within 20 dB of the direct sound's peak at either ear."""
    loud = np.abs(response[: int(5e-3 * fs)]).max(axis=1)
    start = np.argmax(loud > 0.1 * loud.max())
    return response[: start + int(2e-3 * fs)]


def itd_and_ild(response: Array, fs: float) -> tuple[float, float]:
    """Delay of the right ear in s, from the correlation at 16 times the rate, and left over right in dB."""
    left, right = resample_poly(response, 16, 1, axis=0).T
    lags = correlation_lags(len(right), len(left))
    itd = lags[np.argmax(correlate(right, left))] / (16 * fs)
    return itd, 10 * np.log10(np.sum(left**2) / np.sum(right**2))


def coherence(left: Array, right: Array, weights: Array) -> Array:
    """Magnitude of the coherence of two ears' spectra (n_directions, n_freqs), weighted over directions."""
    power = [np.einsum("d,df->f", weights, np.abs(ear) ** 2) for ear in (left, right)]
    return np.abs(np.einsum("d,df->f", weights, left * right.conj())) / np.sqrt(power[0] * power[1])


def late_coherence(responses: Array, fs: float, rt60: float, freqs: Array) -> Array:
    """Coherence at `freqs` of the late parts of responses, with what they decay by undone."""
    start, length = int(0.07 * fs), int(0.064 * fs)
    time = np.arange(responses.shape[1]) / fs
    steady = responses * (10 ** (3 * time / rt60))[:, None]
    blocks = [
        steady[:, at : at + length] for at in range(start, int((rt60 - 0.01) * fs) - length, length // 2)
    ]
    segments = np.concatenate(blocks) * np.hanning(length)[:, None]
    spectra = np.tensordot(np.exp(-2j * np.pi * np.outer(freqs, np.arange(length)) / fs), segments, (1, 1))
    return coherence(spectra[..., 0].T, spectra[..., 1].T, np.ones(len(segments)))


# ---------------------------------------------------------------------------------------------- the draw


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_drawn_rooms_hold_all_sources(seed):
    room = draw_room(np.random.default_rng(seed))
    sources = room.sources(AZIMUTHS)
    assert sources.shape == (72, 3)
    assert (sources >= MARGIN - 1e-9).all() and (sources <= np.array(room.size) - MARGIN + 1e-9).all()
    assert 0.2 <= room.rt60 <= 0.8
    assert 0.09 < room.absorption < 0.58
    assert draw_room(np.random.default_rng(seed)) == room


@given(st.integers(0, 2**32 - 1), st.sampled_from(AZIMUTHS.tolist()))
def test_sources_lie_at_their_azimuths(seed, azimuth):
    room = draw_room(np.random.default_rng(seed))
    x, y, z = room.sources(np.array([azimuth]))[0] - room.head
    seen = np.degrees(np.arctan2(y, x)) - room.orientation
    assert abs((seen - azimuth + 180) % 360 - 180) < 1e-9
    assert np.hypot(x, y) == pytest.approx(room.distance)
    assert abs(np.degrees(np.arctan2(z, room.distance))) < 5.001


def test_left_is_left():
    """A head that looks along x has y on its left."""
    room = replace(ROOM, orientation=0.0)
    assert room.sources([90.0])[0] == pytest.approx([3.0, 4.0, 1.4])


def test_draws_spread():
    rng = np.random.default_rng(0)
    times = [draw_room(rng).rt60 for _ in range(200)]
    assert min(times) < 0.25 and max(times) > 0.75


def test_room_survives_json_and_pickle():
    room = draw_room(np.random.default_rng(3))
    assert Room(**json.loads(json.dumps(asdict(room)))) == room
    assert pickle.loads(pickle.dumps(room)) == room


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head": (1.9, 2.5, 1.4)}, "0.5 m from the walls"),
        ({"head": (3.0, 3.1, 1.4)}, "0.5 m from the walls"),
        ({"head": (3.0, 2.5, 2.6), "source_height": 2.6}, "0.5 m from the walls"),
        ({"distance": 2.1}, "0.5 m from the walls"),
        ({"source_height": 1.6}, "within 5° of the ears"),
        ({"distance": 0.3}, "0.343 m from the head or more"),
        ({"rt60": 0.08}, "absorb 76.*is rt60 in s"),
        ({"rt60": 400.0}, "absorb 0.0%.*is rt60 in s"),
        ({"rt60": -0.4}, "positive finite numbers"),
        ({"rt60": float("nan")}, "positive finite numbers"),
        ({"orientation": float("inf")}, "positive finite numbers"),
        ({"size": (6.0, 5.0)}, "three sizes"),
    ],
)
def test_impossible_rooms_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(ROOM, **change)


def test_rate_in_khz_is_refused(head):
    with pytest.raises(ValueError, match="kHz"):
        room_responses(ROOM, head, 16, np.random.default_rng(0))


# ---------------------------------------------------------------------------------------------- responses


def test_result_is_a_head_at_the_rate_asked_for(rendered):
    for room, reverberant in rendered:
        assert reverberant.fs == FS
        assert np.array_equal(reverberant.azimuths, AZIMUTHS)
        assert room.rt60 * FS < reverberant.responses.shape[1] < (room.rt60 + 0.02) * FS


@pytest.mark.parametrize("fs", [8000.0, 44100.0, 96000.0])
def test_other_rates(fs, coarse_head):
    room = replace(ROOM, rt60=0.25)
    reverberant = room_responses(room, coarse_head, fs, np.random.default_rng(0))
    assert reverberant.fs == fs
    measured = [reverberation_time(ear, fs) for response in reverberant.responses for ear in response.T]
    assert np.median(measured) == pytest.approx(room.rt60, rel=0.1)


def test_same_rng_same_bits_and_other_rng_other_tail(coarse_head):
    first, again, other = (
        room_responses(ROOM, coarse_head, FS, np.random.default_rng(seed)).responses for seed in (5, 5, 6)
    )
    assert np.array_equal(first, again)
    early = int((LEAD + 0.034) * FS)
    assert np.array_equal(first[:, :early], other[:, :early])
    assert not np.array_equal(first[:, early:], other[:, early:])


def test_settings_of_the_library_do_not_matter_and_come_back(coarse_head):
    others = {"c": 300.0, "rir_hpf_enable": True, "num_threads": 3, "frac_delay_length": 41}
    expected = room_responses(ROOM, coarse_head, FS, np.random.default_rng(0)).responses
    before = {name: constants.get(name) for name in others}
    for name, value in others.items():
        constants.set(name, value)
    try:
        responses = room_responses(ROOM, coarse_head, FS, np.random.default_rng(0)).responses
        assert {name: constants.get(name) for name in others} == others
    finally:
        for name, value in before.items():
            constants.set(name, value)
    assert np.array_equal(responses, expected)


def test_threads_render_what_one_would(coarse_head):
    def render(_: int) -> Array:
        return room_responses(ROOM, coarse_head, FS, np.random.default_rng(0)).responses

    expected = render(0)
    with ThreadPoolExecutor(3) as threads:
        for responses in threads.map(render, range(6)):
            assert np.array_equal(responses, expected)


def test_a_head_of_few_taps_is_heard_as_with_zeros_behind_them(coarse_head):
    short = replace(coarse_head, responses=coarse_head.responses[:, :24])
    padded = replace(coarse_head, responses=np.pad(short.responses, ((0, 0), (0, 100), (0, 0))))
    heard, expected = (
        room_responses(ROOM, head, coarse_head.fs, np.random.default_rng(0)).responses
        for head in (short, padded)
    )
    early = int((LEAD + 0.034) * coarse_head.fs)
    np.testing.assert_allclose(heard[:, :early], expected[:, :early], atol=1e-9)


def test_direct_sound_is_the_anechoic_response(rendered, head):
    """Up to the first reflection it is that response, later by 1 ms and less than one sample."""
    n_fft, kept = 1024, int(2.5e-3 * FS)
    freqs = np.fft.rfftfreq(n_fft, 1 / FS)
    for room, reverberant in rendered:
        path = np.hypot(room.distance, room.source_height - room.head[2])
        delay = path / 343.0 * FS
        delay -= round(delay - LEAD * FS)
        shift = np.exp(-2j * np.pi * freqs / FS * delay)[:, None]
        expected = np.fft.irfft(np.fft.rfft(head.responses, n_fft, axis=1) * shift, n_fft, axis=1)
        error = reverberant.responses[:, :kept] - expected[:, :kept]
        assert np.sqrt(np.mean(error**2) / np.mean(expected[:, :kept] ** 2)) < 0.01


def test_direct_sound_keeps_its_itd_and_ild(rendered, head):
    for _, reverberant in rendered:
        for azimuth in AZIMUTHS[::3]:
            itd, ild = itd_and_ild(onset(reverberant.response(azimuth), FS), FS)
            itd_anechoic, ild_anechoic = itd_and_ild(onset(head.response(azimuth), FS), FS)
            assert itd == pytest.approx(itd_anechoic, abs=20e-6)
            assert ild == pytest.approx(ild_anechoic, abs=0.5)


def test_direct_sound_comes_within_a_few_ms(rendered):
    for _, reverberant in rendered:
        loudest = np.abs(reverberant.responses).max(axis=2)
        onsets = np.argmax(loudest > 0.3 * loudest.max(axis=1, keepdims=True), axis=1) / FS
        assert onsets.min() > 0.5e-3 and onsets.max() < 5e-3


def test_reverberation_time_is_the_drawn_one(rendered):
    for room, reverberant in rendered:
        measured = [
            reverberation_time(ear, FS) for response in reverberant.responses[::6] for ear in response.T
        ]
        assert np.abs(np.array(measured) / room.rt60 - 1).max() < 0.2
        assert np.median(measured) == pytest.approx(room.rt60, rel=0.1)


def test_no_step_where_the_noise_takes_over(rendered):
    """The energy over the cross-fade falls as it does elsewhere."""
    for room, reverberant in rendered:
        time = np.arange(reverberant.responses.shape[1]) / FS - LEAD
        energy = np.mean(reverberant.responses**2, axis=(0, 2)) * 10 ** (6 * time / room.rt60)
        windows = [(0.015, 0.035), (0.035, 0.055), (0.055, 0.075), (0.075, 0.115)]
        levels = [10 * np.log10(energy[(time >= a) & (time < b)].mean()) for a, b in windows]
        assert np.ptp(levels) < 3


def test_late_part_has_the_coherence_of_the_diffuse_field(rendered, head):
    freqs = np.arange(100.0, 401.0, 25.0)
    # sound from all over the sphere: how far to the side is uniform, so the front and rear weigh most
    weights = np.abs(np.cos(np.radians(AZIMUTHS)))
    spectra = np.tensordot(
        np.exp(-2j * np.pi * np.outer(freqs, np.arange(head.responses.shape[1])) / FS), head.responses, (1, 1)
    )
    expected = coherence(spectra[..., 0].T, spectra[..., 1].T, weights)
    for room, reverberant in rendered:
        measured = late_coherence(reverberant.responses, FS, room.rt60, freqs)
        assert np.abs(measured - expected).max() < 0.15
        assert measured[0] - measured[-1] > 0.3  # neither two independent tails nor one


def test_late_part_has_the_coherence_of_the_measured_sphere(shared):
    """Responses from above and below, which the rendering does not know, make the same diffuse field."""
    sofar = pytest.importorskip("sofar")
    path = shared / "data/hrtf/mit_kemar/mit_kemar_normal_pinna.sofa"
    measured = sofar.read_sofa(str(path), verbose=False)
    azimuth, elevation = np.radians(measured.SourcePosition[:, :2]).T
    points = np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], -1
    )
    freqs = np.arange(100.0, 401.0, 25.0)
    taps = np.arange(measured.Data_IR.shape[2])
    kernel = np.exp(-2j * np.pi * np.outer(taps, freqs) / measured.Data_SamplingRate)
    left, right = np.moveaxis(measured.Data_IR @ kernel, 1, 0)
    expected = coherence(left, right, SphericalVoronoi(points).calculate_areas())
    reverberant = room_responses(ROOM, read_head(path), FS, np.random.default_rng(0))
    assert np.abs(late_coherence(reverberant.responses, FS, ROOM.rt60, freqs) - expected).max() < 0.15


def test_each_head_has_its_own_responses_in_a_room(tmp_path, head):
    sparse = replace(head, azimuths=head.azimuths[::6], responses=head.responses[::6])
    heads = [sparse, replace(sparse, name="deaf on the right", responses=sparse.responses * [1, 1e-3])]
    recipe = Recipe(
        n_clips=3, duration=0.2, format=CueFormat.default(8000, 4), noise_types=2, noise_files=6, n_rooms=1
    )
    speech, noise = speech_source(), noise_source()
    plan = draw_plan(recipe, speech, noise, heads)
    renderer, scene = Renderer(plan, speech, noise, heads, tmp_path), draw_scene(plan, 0)
    sound, half_deaf = (
        renderer.mixture(scene._replace(head=head))[0].signal.std(axis=0) for head in range(2)
    )
    assert sound[0] < 10 * sound[1]
    assert half_deaf[0] > 100 * half_deaf[1]
