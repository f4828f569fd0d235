"""Noise from all around: what the two ears hear of it, and that nothing else about a scene changes."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import csd

from binaural_feature import CueFormat
from database.__main__ import main
from database.hrtf import AZIMUTHS, Head, kemar
from database.plan import draw_plan
from database.recipe import Recipe
from database.rendering import Renderer
from database.scenes import draw_scene
from database.sources import noise_source, speech_source
from database.store import Database

FS = 16000
RECIPE = Recipe(
    n_clips=6, noise_types=1, noise_files=4, only=("test",), shares=(0.5, 0, 0.5), diffuse_noise=True
)
SPEECH, NOISE = speech_source(), noise_source("speech-shaped")


def symmetric() -> Head:
    """KEMAR's left half, and its mirror image on the right."""
    mirrored = kemar().responses[-np.arange(72) % 72, :, ::-1]
    left = (AZIMUTHS > 0) & (AZIMUTHS < 180)
    middle = (AZIMUTHS % 180 == 0)[:, np.newaxis, np.newaxis]
    responses = np.where(left[:, np.newaxis, np.newaxis], kemar().responses, mirrored)
    return Head(
        "symmetric", kemar().fs, AZIMUTHS, np.where(middle, (kemar().responses + mirrored) / 2, responses)
    )


def renderer_of(head: Head, folder, recipe: Recipe = RECIPE) -> Renderer:
    return Renderer(draw_plan(recipe, SPEECH, NOISE, [head]), SPEECH, NOISE, [head], folder)


@pytest.fixture(scope="module")
def noise_alone(tmp_path_factory) -> np.ndarray:
    """Ten mixtures (n_samples, 2) in which the talker is 100 dB below each noise, one after the other."""
    renderer = renderer_of(symmetric(), tmp_path_factory.mktemp("scratch"))
    scenes = [
        draw_scene(renderer.plan, 21 * index)._replace(snrs_db=(-100, -100), peak_db=-1)
        for index in range(10)
    ]
    return np.concatenate([renderer.mixture(scene)[0].signal for scene in scenes])


def test_it_comes_from_no_side(noise_alone):
    cues = CueFormat.default().cues(noise_alone)
    itd, ild = cues[0].mean(axis=1), cues[1].mean(axis=1)
    assert np.abs(itd).max() < 120e-6 and abs(itd.mean()) < 20e-6
    assert np.abs(ild).max() < 0.5 and abs(ild.mean()) < 0.1


def test_its_coherence_is_that_of_equal_powers_from_all_directions(noise_alone):
    """High at low frequencies, low at high ones; and the same as follows from the head's responses."""
    f, spectra = welch_matrix(noise_alone)
    ears = np.fft.rfft(symmetric().resampled(FS).responses, 512, axis=1)
    expected = coherence(np.einsum("dfi,dfj->fij", ears.conj(), ears))
    measured = coherence(spectra)
    heard = (f > 100) & (f < 7000)
    assert np.sqrt(np.mean(np.abs(measured - expected)[heard] ** 2)) < 0.06
    assert np.abs(measured)[(f > 100) & (f < 200)].min() > 0.6
    assert np.abs(measured)[heard & (f > 2000)].mean() < 0.2


def welch_matrix(signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies, and powers and products of the ears' spectra (n_frequencies, 2, 2)."""
    pairs = [csd(one, other, FS, nperseg=512) for one in signal.T for other in signal.T]
    return pairs[0][0], np.stack([spectrum for _, spectrum in pairs], axis=1).reshape(-1, 2, 2)


def coherence(spectra: np.ndarray) -> np.ndarray:
    return spectra[:, 0, 1] / np.sqrt(spectra[:, 0, 0] * spectra[:, 1, 1])


def test_each_noise_has_its_snr(tmp_path):
    renderer = renderer_of(kemar(), tmp_path)
    for index in (0, 50, 150):
        scene = draw_scene(renderer.plan, index)
        target = renderer.mixture(scene._replace(snrs_db=(200, 200)))[0].signal
        for snrs_db in ((20, 200), (200, 20)):
            mixture = renderer.mixture(scene._replace(snrs_db=snrs_db))[0].signal
            heard = np.vdot(target, mixture) / np.vdot(target, target) * target
            assert 10 * np.log10(heard.var() / (mixture - heard).var()) == pytest.approx(20, abs=0.1)


def test_the_noises_share_the_directions_that_the_head_has(tmp_path):
    """Every second direction of this head reaches the left ear alone, and those between the right ear."""
    azimuths = AZIMUTHS[[3, 10, 11, 30, 40, 57, 70]]
    responses = np.zeros((len(azimuths), 8, 2))
    responses[0::2, 0, 0] = responses[1::2, 0, 1] = 1
    renderer = renderer_of(Head("one ear", FS, azimuths, responses), tmp_path)
    scene = draw_scene(renderer.plan, 0)
    for snrs_db, ear in (((-100, 200), 0), ((200, -100), 1)):
        left, right = renderer.mixture(scene._replace(snrs_db=snrs_db))[0].signal.std(axis=0)
        assert (left > 1e4 * right) == (ear == 0) and (right > 1e4 * left) == (ear == 1)


@given(st.integers(0, 1000))
@settings(max_examples=3, deadline=None)
def test_nothing_else_about_a_scene_changes(seed):
    recipe = replace(RECIPE, seed=seed, noise_types=2, only=("train", "test"))
    everywhere, two = (
        draw_plan(replace(recipe, diffuse_noise=diffuse), SPEECH, noise_source(), [kemar()])
        for diffuse in (True, False)
    )
    for index in range(0, two.n_scenes, 7):
        scene, before = draw_scene(everywhere, index), draw_scene(two, index)
        assert np.isnan(scene.noise_azimuths).all() and np.isfinite(before.noise_azimuths).all()
        assert scene._replace(noise_azimuths=before.noise_azimuths) == before


def test_the_command_line_builds_it(tmp_path, capsys):
    folder = tmp_path / "all_around"
    words = "--noise speech-shaped --diffuse-noise --clips 3 --duration 0.1 --fs 8000 --bands 4 --workers 0"
    options = ["--noise-types", "speech-shaped", "--noise-files", "3", "--only", "test"]
    assert main(["build", str(folder), *words.split(), *options]) == 0
    assert main(["info", str(folder)]) == main(["verify", str(folder)]) == 0
    assert "speech-shaped noise, types: speech-shaped, from all around" in capsys.readouterr().out
    with Database(folder) as database:
        assert np.isnan([database.columns[f"noise_azimuth_{n}"] for n in (1, 2)]).all()
        assert set(database.columns["noise_type"]) == {"speech-shaped"}


def test_every_stretch_is_of_one_power(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "noise" / "hum").mkdir(parents=True)
    for number in range(4):  # four times as loud in its first half
        samples = 0.05 * rng.standard_normal(64_000) * np.repeat([4, 1], 32_000)
        soundfile.write(tmp_path / f"noise/hum/{number}.wav", samples, FS, subtype="FLOAT")
    responses = np.zeros((4, 8, 2))
    responses[0, 0, 0] = responses[2, 0, 1] = responses[1, 0] = responses[3, 0] = 1
    head = Head("one ear from one side, the other from the other", FS, AZIMUTHS[[3, 10, 30, 40]], responses)
    noise, recipe = noise_source(tmp_path / "noise"), replace(RECIPE, duration=0.5)
    plan = draw_plan(recipe, SPEECH, noise, [head])
    renderer = Renderer(plan, SPEECH, noise, [head], tmp_path / "scratch")
    for number in range(6):
        alone = draw_scene(plan, number)._replace(snrs_db=(-100, 200))
        left, right = renderer.mixture(alone)[0].signal.std(axis=0)
        assert abs(20 * np.log10(left / right)) < 0.2
