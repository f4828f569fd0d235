"""Databases of some splits, realizations, types of noise and directions: what is there is as in the whole."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import signal, stats
from sofa_files import FS, pulses, spherical, write_sofa

from binaural_feature import CueFormat
from database.__main__ import main
from database.build import build
from database.equalisation import equalised
from database.facing import facing_front
from database.hrtf import AZIMUTHS, Head, kemar, read_head
from database.plan import Plan, draw_plan
from database.recipe import SPLITS, Recipe, differences
from database.rendering import Renderer
from database.scenes import Scene, draw_scene
from database.sources import Source, noise_source, speech_source
from database.store import Database, plan_digest

RECIPE = Recipe(
    n_clips=9, duration=0.2, format=CueFormat.default(8000, 4), noise_types=3, noise_files=6, snr_db=(0, 20)
)
SMALL = "--clips 3 --duration 0.1 --fs 8000 --bands 4 --noise-types 2 --noise-files 6 --workers 0"
SPEECH, NOISE = speech_source(), noise_source()
ALL = set(range(72))


def some_head(name: str, classes: set[int]) -> Head:
    chosen = sorted(classes)
    return Head(name, kemar().fs, AZIMUTHS[chosen], kemar().responses[chosen])


def scenes_of(recipe: Recipe, heads=(), split: str | None = None) -> list[Scene]:
    plan = draw_plan(recipe, SPEECH, NOISE, heads or (kemar(),))
    scenes = [draw_scene(plan, index) for index in range(plan.n_scenes)]
    return [scene for scene in scenes if split in (None, scene.split)]


@given(st.sets(st.sampled_from(SPLITS), min_size=1))
@settings(max_examples=5, deadline=None)
def test_scenes_of_some_splits_are_those_of_the_whole(only):
    whole = scenes_of(RECIPE)
    assert scenes_of(replace(RECIPE, only=tuple(only))) == [scene for scene in whole if scene.split in only]


def test_another_snr_leaves_talkers_noises_and_directions_as_they_were():
    louder = scenes_of(replace(RECIPE, only=("test",), snr_db=(-10, -10)))
    assert {scene.snrs_db for scene in louder} == {(-10.0, -10.0)}
    expected = [scene._replace(snrs_db=(-10.0, -10.0)) for scene in scenes_of(RECIPE, split="test")]
    assert louder == expected


def test_further_realizations_are_of_training_alone_and_differ_in_all_but_who_and_where():
    once, often = scenes_of(RECIPE), scenes_of(replace(RECIPE, n_realizations=3))
    times = Counter((scene.split, scene.number) for scene in often)
    assert set(times) == {(scene.split, scene.number) for scene in once}
    assert all(count == (3 if split == "train" else 1) for (split, _), count in times.items())
    of_number: dict[int, list[Scene]] = {}
    for scene in often:
        of_number.setdefault(scene.number, []).append(scene)
    for scene in once:
        first, *others = of_number[scene.number]
        assert first == scene
        assert {(other.clip, other.azimuth) for other in others} <= {(scene.clip, scene.azimuth)}
        assert len({other.snrs_db for other in [first, *others]}) == 1 + len(others)


@pytest.mark.parametrize("n_realizations", [1, 2])
def test_front_and_back_are_heard_more_often_in_training_alone(n_realizations):
    recipe = replace(RECIPE, n_realizations=n_realizations, speech_speed=(0.9, 1.1))
    evenly, often = scenes_of(recipe), scenes_of(replace(recipe, median_plane=4))
    assert [scene for scene in often if scene.realization < n_realizations] == evenly
    more = [scene for scene in often if scene.realization >= n_realizations]
    times = Counter((scene.clip, scene.azimuth) for scene in more)
    clips = {scene.clip for scene in evenly if scene.split == "train"}
    assert times == {(clip, azimuth): 3 * n_realizations for clip in clips for azimuth in (0, 180)}
    assert {scene.split for scene in more} == {"train"}
    assert len({scene.speed for scene in more}) == len({scene.snrs_db for scene in more}) == len(more)


def test_speech_is_played_at_other_speeds_in_training_alone_and_nothing_else_changes():
    played = scenes_of(replace(RECIPE, speech_speed=(0.9, 1.1)))
    assert [scene._replace(speed=1.0) for scene in played] == scenes_of(RECIPE)
    speeds = {split: [scene.speed for scene in played if scene.split == split] for split in SPLITS}
    assert set(speeds["validation"] + speeds["test"]) == {1.0}
    assert stats.kstest(speeds["train"], stats.uniform(0.9, 0.2).cdf).pvalue > 0.01


def tones(folder, duration: float) -> Source:
    """Three talkers, of each of whom a tone of 1 kHz is recorded."""
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(round(duration * 48000)) / 48000)
    for name in "abc":
        (folder / name).mkdir()
        soundfile.write(folder / name / "tone.wav", tone, 48000)
    return speech_source(folder)


def rendered(recipe: Recipe, speech: Source, folder) -> list[tuple[Scene, NDArray[np.float64], dict]]:
    """Some of the scenes, what the left ear hears of them, and what the database says of them."""
    plan = draw_plan(recipe, speech, NOISE, [kemar()])
    renderer = Renderer(plan, speech, NOISE, [kemar()], folder)
    scenes = [draw_scene(plan, index) for index in range(0, plan.n_scenes, 5)]
    mixtures = [renderer.mixture(scene) for scene in scenes]
    return [
        (scene, mixture.signal[:, 0], facts) for scene, (mixture, facts) in zip(scenes, mixtures, strict=True)
    ]


def test_a_tone_played_faster_is_higher_by_as_much(tmp_path):
    recipe = replace(RECIPE, n_clips=3, snr_db=(100, 100), speech_speed=(0.9, 1.1))
    for scene, left, facts in rendered(recipe, tones(tmp_path, 0.5), tmp_path / "scratch"):
        inner = slice(400, -400)  # beyond the response of the head, and the edges of the transform
        phase = np.unwrap(np.angle(signal.hilbert(left)[inner]))
        frequency = np.polyfit(np.arange(len(phase)) / 8000, phase, 1)[0] / (2 * np.pi)
        assert frequency == pytest.approx(1000 * facts["speech_speed"], rel=1e-3)
        assert facts["speech_speed"] == pytest.approx(scene.speed, abs=0.5 / 1600)
        assert 0 <= facts["speech_start"] <= 0.5 - 0.2 * facts["speech_speed"] + 1e-9


def test_a_recording_is_played_no_faster_than_fills_the_clip(tmp_path):
    recipe = replace(RECIPE, n_clips=3, speech_speed=(0.9, 1.1))
    scenes = rendered(recipe, tones(tmp_path, 0.2), tmp_path / "scratch")
    speeds = np.array([(scene.speed, facts["speech_speed"]) for scene, _, facts in scenes])
    assert speeds[:, 0].max() > 1.05 and len(scenes[0][1]) == 1600
    np.testing.assert_allclose(np.minimum(speeds[:, 0], 1), speeds[:, 1], atol=0.5 / 1600)


def test_a_clip_with_sound_at_its_edges_alone_is_not_slowed_down_to_silence(tmp_path):
    speech = tones(tmp_path, 0.2)
    for recording in speech.recordings:
        tone, fs = soundfile.read(tmp_path / recording.file)
        tone[len(tone) // 20 : -len(tone) // 20] = 0
        soundfile.write(tmp_path / recording.file, tone, fs)
    recipe = replace(RECIPE, n_clips=3, only=("train",), snr_db=(100, 100), speech_speed=(0.8, 0.95))
    scenes = rendered(recipe, speech_source(tmp_path), tmp_path / "scratch")
    sounding = np.array([scene.speed for scene, *_ in scenes]) > 0.9
    speeds = np.array([facts["speech_speed"] for *_, facts in scenes])
    assert set(speeds[~sounding]) == {1.0} and max(speeds[sounding]) < 1


def test_networks_of_seven_types_and_of_ten_are_judged_by_the_same_scenes():
    names = sorted({noise.label for noise in draw_plan(RECIPE, SPEECH, NOISE, [kemar()]).noises})
    all_types = replace(RECIPE, noise_types=tuple(names), test_noise_types=tuple(names[:1]))
    few = replace(all_types, train_noise_types=tuple(names[1:]))
    assert scenes_of(few, split="test") == scenes_of(all_types, split="test")
    plan = draw_plan(few, SPEECH, NOISE, [kemar()])
    heard = {
        split: {plan.noises[n].label for scene in scenes_of(few, split=split) for n in scene.noises}
        for split in SPLITS
    }
    assert heard == {"train": set(names[1:]), "validation": set(names[1:]), "test": set(names[:1])}
    origins = {
        split: {plan.noises[n].origin for scene in scenes_of(all_types, split=split) for n in scene.noises}
        for split in SPLITS
    }
    assert not origins["test"] & (origins["train"] | origins["validation"])


def test_heads_are_in_the_splits_that_were_given():
    heads = [some_head(name, ALL) for name in "abcd"]
    given_splits = {"a": "test", "b": "train", "c": "validation", "d": "train"}
    scenes = scenes_of(replace(RECIPE, head_splits=given_splits), heads)
    heard = {(scene.split, heads[scene.head].name) for scene in scenes}
    assert heard == {(split, name) for name, split in given_splits.items()}


def test_a_head_is_heard_from_the_azimuths_that_it_has():
    frontal, rear = set(range(19)) | set(range(54, 72)), {18, 30, 40, 54}
    heads = [some_head("front", frontal), some_head("rear", rear), some_head("none", {1, 2, 3})]
    splits = {"front": "train", "rear": "train", "none": "test"}
    recipe = replace(RECIPE, head_splits=splits, only=("train", "test"))
    plan = draw_plan(recipe, SPEECH, NOISE, heads)
    scenes = [draw_scene(plan, index) for index in range(plan.n_scenes)]
    for scene in scenes:
        azimuths = set(heads[scene.head].azimuths)
        assert {scene.azimuth, *scene.noise_azimuths} <= azimuths
        assert scene.noise_azimuths[0] != scene.noise_azimuths[1]
    classes = {(scene.split, int(scene.azimuth / 5)) for scene in scenes}
    assert classes == {("train", k) for k in frontal | rear} | {("test", k) for k in (1, 2, 3)}
    assert {heads[scene.head].name for scene in scenes if scene.azimuth == 90} == {"front", "rear"}
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_the_responses_heard_are_those_of_the_azimuth(tmp_path):
    recipe = replace(RECIPE, snr_db=(100, 100))
    signals = []
    for heads in ([some_head("one", ALL)], [some_head("one", set(range(0, 72, 3)))]):
        plan = draw_plan(recipe, SPEECH, NOISE, heads)
        renderer = Renderer(plan, SPEECH, NOISE, heads, tmp_path / str(len(heads[0].azimuths)))
        indices = [i for i in range(plan.n_scenes) if draw_scene(plan, i).number in (0, 3, 30, 69)]
        signals.append([renderer.mixture(draw_scene(plan, i))[0].signal for i in indices])
    for whole, part in zip(*signals, strict=True):  # of the noises, from elsewhere, 100 dB below
        np.testing.assert_allclose(whole, part, atol=1e-4 * np.abs(whole).max())


def test_a_symmetric_head_is_heard_in_a_room_as_if_its_rear_half_had_been_measured(tmp_path):
    azimuths = np.where(np.abs(AZIMUTHS - 180) < 90, (180 - AZIMUTHS) % 360, AZIMUTHS)
    whole = Head("round", FS, AZIMUTHS, pulses(azimuths))
    frontal = [*range(19), *range(54, 72)]
    front = Head("round", FS, AZIMUTHS[frontal], whole.responses[frontal])
    recipe = replace(RECIPE, n_clips=3, n_rooms=1)
    plan = draw_plan(recipe, SPEECH, NOISE, [front])
    scenes = [draw_scene(plan, index) for index in range(plan.n_scenes)]
    assert {scene.azimuth for scene in scenes} == set(front.azimuths)
    assert {azimuth for scene in scenes for azimuth in scene.noise_azimuths} <= set(front.azimuths)
    for scene in scenes[::30]:
        heard = [
            Renderer(plan, SPEECH, NOISE, [head], tmp_path / str(len(head.azimuths))).mixture(scene)[0].signal
            for head in (whole, front)
        ]
        assert scene.room == 0 and np.abs(heard[0]).max() > 0.01
        np.testing.assert_array_equal(*heard)


def test_a_plan_that_needs_none_of_this_is_written_as_before():
    values = draw_plan(RECIPE, SPEECH, NOISE, [kemar()]).to_dict()
    assert "azimuths" not in values
    later = {"only", "n_realizations", "train_noise_types", "test_noise_types", "head_splits"}
    assert not (later | {"diffuse_noise", "speech_speed", "median_plane"}) & set(values["recipe"])
    changed = replace(RECIPE, only=("test",), head_splits={"MIT KEMAR": "test"})
    assert plan_digest(draw_plan(changed, SPEECH, NOISE, [kemar()]).to_dict()) != plan_digest(values)
    assert differences(changed, RECIPE) == [
        "only: ['test'] given, ['train', 'validation', 'test'] in the folder",
        "head_splits: {'MIT KEMAR': 'test'} given, {} in the folder",
    ]
    assert Recipe.from_dict(json.loads(json.dumps(changed.to_dict()))) == changed


def test_a_database_says_which_realization_of_front_and_back_a_scene_is(tmp_path):
    recipe = replace(RECIPE, n_clips=4, median_plane=3)
    with Database(build(tmp_path / "often", recipe, n_workers=0, progress=False)) as database:
        columns = database.columns
        often = (columns["split"] == "train") & np.isin(columns["azimuth"], (0, 180))
        assert set(columns["realization"][often]) == {0, 1, 2}
        assert not columns["realization"][~often].any()


def test_a_database_of_the_test_alone_can_be_read(tmp_path):
    recipe = replace(RECIPE, only=("test",))
    with Database(build(tmp_path / "test", recipe, n_workers=0, progress=False)) as database:
        assert set(database.columns["split"]) == {"test"}
        numbers = [scene.number for scene in scenes_of(RECIPE, split="test")]
        np.testing.assert_array_equal(database.columns["scene"], numbers)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"only": ()}, r"only is \(\): expected some of train, validation, test"),
        ({"only": ("exam",)}, "only is .*exam.*: expected some of train"),
        ({"n_realizations": 0}, "n_realizations is 0: expected a whole number of 1 or more"),
        ({"median_plane": 1.5}, "median_plane is 1.5: expected a whole number of 1 or more"),
        ({"head_splits": {"MIT KEMAR": "exam"}}, "head_splits is .*exam.*: expected some of train"),
        ({"head_splits": {"other": "train"}, "only": ("train",)}, "head_splits: no split for MIT KEMAR"),
        ({"head_splits": {"MIT KEMAR": "train"}}, "head_splits: no head for test, validation"),
        ({"only": ("validation",), "shares": (0.7, 0, 0.3)}, "only is .*validation.*: no clip is for that"),
        ({"test_noise_types": ("silence",)}, "test_noise_types: no recording of silence for test, there are"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        draw_plan(replace(RECIPE, **changes), SPEECH, NOISE, [kemar()])


def test_heads_with_too_few_azimuths_are_refused():
    with pytest.raises(ValueError, match="head two: has 2 of the 72 azimuths, expected 3"):
        draw_plan(RECIPE, SPEECH, NOISE, [some_head("two", {4, 5})])
    with pytest.raises(ValueError, match=r"head half: has 36 of the 72 .*a gap of 180 degrees is left"):
        draw_plan(replace(RECIPE, n_rooms=2), SPEECH, NOISE, [some_head("half", set(range(36)))])


def test_types_and_heads_of_a_split_without_a_share_need_not_be_there():
    recipe = replace(RECIPE, shares=(0.7, 0, 0.3), head_splits={"a": "train", "b": "test"})
    names = sorted({noise.label for noise in draw_plan(RECIPE, SPEECH, NOISE, [kemar()]).noises})
    recipe = replace(recipe, noise_types=tuple(names), train_noise_types=tuple(names[:1]))
    scenes = scenes_of(recipe, [some_head("a", ALL), some_head("b", ALL)])
    assert {scene.split for scene in scenes} == {"train", "test"}


def test_a_file_gives_the_azimuths_that_it_has(tmp_path):
    azimuths = np.arange(0, 360, 20.0)
    path = write_sofa(tmp_path / "few.sofa", spherical(azimuths), pulses(azimuths))
    with pytest.raises(ValueError, match=r"lacks 54 of the 72 .*--interpolate.*--incomplete-heads"):
        read_head(path)
    head, filled = read_head(path, incomplete=True), read_head(path, interpolate=True)
    np.testing.assert_array_equal(head.azimuths, azimuths)
    for azimuth in azimuths:
        np.testing.assert_array_equal(head.response(azimuth), filled.response(azimuth))
    with pytest.raises(ValueError, match=r"few\.sofa: interpolate and incomplete given"):
        read_head(path, interpolate=True, incomplete=True)
    path = write_sofa(tmp_path / "two.sofa", spherical([40.0, 90.0]), pulses([40.0, 90.0]))
    with pytest.raises(ValueError, match=r"two\.sofa: has 2 of the 72 azimuths, expected 3 or more"):
        read_head(path, incomplete=True)


def test_the_command_line_says_who_hears_what(tmp_path, capsys):
    for name, step in (("a", 5), ("b", 20), ("c", 5)):
        azimuths = np.arange(0, 360, step * 1.0)
        write_sofa(tmp_path / f"{name}.sofa", spherical(azimuths), pulses(azimuths))
    a, b, c = (str(tmp_path / f"{name}.sofa") for name in "abc")
    command = [
        "build",
        str(tmp_path / "data"),
        *SMALL.split(),
        "--only",
        "train",
        "test",
        "--realizations",
        "2",
    ]
    assert main([*command, "--train-head", a, b, "--incomplete-heads"]) == 2
    assert "--test-head left out" in capsys.readouterr().err
    heads = ["--train-head", a, b, "--test-head", c, "--incomplete-heads"]
    assert main([*command, *heads, "--head", a]) == 2
    assert "--head given as well" in capsys.readouterr().err
    assert main([*command, "--train-head", a, b, "--test-head", a, "--incomplete-heads"]) == 2
    assert "a.sofa: is for train already" in capsys.readouterr().err
    assert main([*command, *heads]) == 0
    with Database(tmp_path / "data") as database:
        columns = database.columns
        assert set(columns["head"][columns["split"] == "test"]) == {"c"}
        assert set(columns["azimuth"][columns["head"] == "b"]) <= set(np.arange(0, 360, 20))
        train = columns["split"] == "train"
        assert sorted(Counter(columns["realization"][train])) == [0, 1]
        assert len(np.unique(columns["scene"][train])) * 2 == np.sum(train)
        assert not columns["realization"][~train].any()
    capsys.readouterr()
    assert main(["info", str(tmp_path / "data")]) == 0
    assert "a, b, c; of the 72 azimuths b has 18" in capsys.readouterr().out


def test_heads_that_sat_askew_are_turned(tmp_path):
    path = write_sofa(tmp_path / "a.sofa", spherical(AZIMUTHS), pulses(AZIMUTHS - 10))
    itds = []
    for option in ([], ["--align-heads"]):
        folder = tmp_path / "_".join(["data", *option])
        command = ["build", str(folder), *SMALL.split(), "--only", "test", "--head", str(path), *option]
        assert main(command) == 0
        with Database(folder) as database:
            ahead = np.flatnonzero(database.columns["azimuth"] == 10)
            itds.append(np.median(database.read_cues(ahead)[:, 0]))
    assert np.abs(itds[0]) < 2e-5  # 10 degrees were in front of this head
    assert itds[1] > 5e-5


def test_info_tells_what_was_corrected_in_which_head(tmp_path, capsys):
    heads = [equalised(facing_front(some_head("a", ALL))), some_head("b", ALL)]
    recipe = replace(RECIPE, only=("test",))
    build(tmp_path / "data", recipe, SPEECH, NOISE, heads, n_workers=0, progress=False)
    assert main(["info", str(tmp_path / "data")]) == 0
    assert "a, b; turned to the front, equalised: a\n" in capsys.readouterr().out
