"""The plan of a database and its scenes: who is in which split, and what is drawn for each scene."""

import json
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from binaural_feature import CueFormat
from database.hrtf import AZIMUTHS, Head, kemar
from database.plan import NOISES_KEY, ROOMS_KEY, SEGMENTS_KEY, SPLITS_KEY, Plan, draw_plan, head_checksums
from database.recipe import SPLITS, Recipe, differences, generator
from database.scenes import draw_scene
from database.segments import Segment
from database.sources import Recording, Source, noise_source, speech_source
from database.splits import draw_all_splits, draw_noise_splits, draw_splits

SHARES = (0.7, 0.15, 0.15)
FORMAT = CueFormat.default(8000, 4)


def heads(count: int) -> list[Head]:
    built_in = kemar()
    return [Head(f"head {number}", built_in.fs, AZIMUTHS, built_in.responses) for number in range(count)]


@pytest.fixture(scope="module")
def speech() -> Source:
    return speech_source()


@pytest.fixture(scope="module")
def noise() -> Source:
    return noise_source()


@pytest.fixture(scope="module")
def plan(speech: Source, noise: Source) -> Plan:
    recipe = Recipe(
        n_clips=40,
        seed=3,
        duration=0.3,
        format=FORMAT,
        noise_types=3,
        noise_files=14,
        n_rooms=7,
        snr_db=(-5, 25),
    )
    return draw_plan(recipe, speech, noise, heads(6))


@pytest.fixture(scope="module")
def scenes(plan: Plan):
    return [draw_scene(plan, number) for number in range(plan.n_scenes)]


sizes = st.dictionaries(st.text(min_size=1, max_size=8), st.integers(1, 30), min_size=3, max_size=60)


@given(sizes, st.integers(0, 2**32))
def test_every_group_has_one_split_and_no_split_is_empty(sizes, seed):
    splits = draw_splits(sizes, SHARES, np.random.default_rng(seed))
    assert splits.keys() == sizes.keys()
    assert set(splits.values()) == set(SPLITS)


@given(sizes, st.integers(0, 2**32))
def test_a_split_exceeds_its_share_by_one_group_at_most(sizes, seed):
    splits = draw_splits(sizes, SHARES, np.random.default_rng(seed))
    for split, share in zip(SPLITS, SHARES, strict=True):
        filled = sum(size for name, size in sizes.items() if splits[name] == split)
        assert filled - share * sum(sizes.values()) <= max(sizes.values())


def test_shares_of_many_equal_groups_are_those_asked_for():
    splits = draw_splits(dict.fromkeys(map(str, range(200)), 3), SHARES, np.random.default_rng(0))
    assert Counter(splits.values()) == {"train": 140, "validation": 30, "test": 30}


def test_who_is_in_a_split_is_random():
    names = dict.fromkeys("abcdefghij", 1)
    tested = {
        name
        for seed in range(100)
        for name, split in draw_splits(names, SHARES, np.random.default_rng(seed)).items()
        if split == "test"
    }
    assert tested == set(names)


def test_a_share_of_nothing_gets_nothing():
    splits = draw_splits({"a": 1, "b": 1}, (0.0, 0.0, 1.0), np.random.default_rng(0))
    assert splits == {"a": "test", "b": "test"}


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 12)), min_size=1, max_size=60),
    st.integers(0, 99),
)
def test_types_with_enough_noises_are_in_all_splits(pairs, seed):
    recordings = [Recording(str(k), label, f"{label}{origin}") for k, (label, origin) in enumerate(pairs)]
    splits = draw_noise_splits(recordings, SHARES, np.random.default_rng(seed))
    origins = defaultdict(set)
    for recording in recordings:
        origins[recording.label].add(recording.origin)
    assert splits.keys() == set().union(*origins.values())
    for members in origins.values():
        if len(members) >= 3:
            assert {splits[origin] for origin in members} == set(SPLITS)


def test_an_origin_heard_in_two_types_has_one_split():
    recordings = [Recording(f"{label}{k}", label, str(k)) for label in "ab" for k in range(9)]
    splits = draw_noise_splits(recordings, SHARES, np.random.default_rng(0))
    assert splits.keys() == set(map(str, range(9)))
    assert set(splits.values()) == set(SPLITS)


def test_types_of_one_noise_each_are_shared_out_together():
    recordings = [Recording(name, name, name) for name in "abcdefgh"]
    splits = draw_noise_splits(recordings, SHARES, np.random.default_rng(0))
    assert set(splits.values()) == set(SPLITS)


def test_no_speaker_noise_head_or_room_is_heard_in_two_splits(plan, scenes):
    heard: dict[str, set] = {split: set() for split in SPLITS}
    for scene in scenes:
        heard[scene.split] |= {
            ("speaker", plan.segments[scene.clip].origin),
            *(("noise", plan.noises[number].origin) for number in scene.noises),
            *(("noise file", plan.noises[number].file) for number in scene.noises),
            ("head", scene.head),
            ("room", scene.room),
        }
    for one, other in combinations(SPLITS, 2):
        assert not heard[one] & heard[other]
    for split in SPLITS:
        assert {kind for kind, _ in heard[split]} == {"speaker", "noise", "noise file", "head", "room"}
        assert {scene.room for scene in scenes if scene.split == split} == set(plan.members("room", split))


def test_splits_have_their_shares_of_the_clips(plan, scenes):
    counts = Counter(scene.split for scene in scenes)
    assert [counts[split] / len(scenes) for split in SPLITS] == pytest.approx(SHARES, abs=1 / 40)


def test_two_heads_or_rooms_are_in_all_splits(plan, speech, noise):
    recipe = replace(plan.recipe, n_clips=3, n_rooms=2)
    small = draw_plan(recipe, speech, noise, heads(2))
    assert all(small.members(kind, split) == [0, 1] for kind in ("head", "room") for split in SPLITS)


def test_each_clip_is_heard_once_from_each_azimuth(plan, scenes):
    heard = Counter((scene.clip, scene.azimuth) for scene in scenes)
    assert heard.keys() == {(clip, azimuth) for clip in range(40) for azimuth in AZIMUTHS}
    assert set(heard.values()) == {1}


def test_noises_are_of_one_type_from_two_directions_and_origins(plan, scenes):
    for scene in scenes:
        first, second = (plan.noises[number] for number in scene.noises)
        assert first.label == second.label
        assert first.origin != second.origin
        assert scene.noise_azimuths[0] != scene.noise_azimuths[1]
    assert any(scene.azimuth in scene.noise_azimuths for scene in scenes)


def test_the_only_noise_of_a_type_is_heard_twice(plan, scenes):
    noise = plan.noises[0]
    alone = replace(plan, noises=(noise,), splits={**plan.splits, "noise": {noise.origin: "train"}})
    trained = next(scene.number for scene in scenes if scene.split == "train")
    assert draw_scene(alone, trained).noises == (0, 0)


def test_draws_are_uniform(plan, scenes):
    def probability(values, low, high):
        return stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue

    draws = np.array([[*scene.snrs_db, scene.peak_db, *scene.noise_positions] for scene in scenes]).T
    for values, (low, high) in zip(draws, [(-5, 25), (-5, 25), (-21, -1), (0, 1), (0, 1)], strict=True):
        assert low <= values.min() < values.max() <= high
        assert probability(values, low, high) > 1e-3
    for values in np.array([scene.noise_azimuths for scene in scenes]).T:
        assert stats.chisquare([np.sum(values == azimuth) for azimuth in AZIMUTHS]).pvalue > 1e-3
    assert abs(np.corrcoef(draws)[np.triu_indices(5, 1)]).max() < 0.08


def test_all_types_heads_and_noises_of_a_split_are_equally_likely(plan, scenes):
    train = [scene for scene in scenes if scene.split == "train"]
    for values in (
        [plan.noises[scene.noises[0]].label for scene in train],
        [scene.head for scene in train],
        [scene.noises[0] for scene in train],
        [scene.noises[1] for scene in train],
    ):
        assert stats.chisquare(list(Counter(values).values())).pvalue > 1e-3


@given(st.integers(0, 40 * 72 - 1))
def test_a_scene_depends_on_plan_and_number_alone(plan, scenes, number):
    assert draw_scene(plan, number) == scenes[number]
    other = draw_scene(replace(plan, recipe=replace(plan.recipe, seed=4)), number)
    assert other.snrs_db != scenes[number].snrs_db


def test_a_plan_survives_json(plan, scenes):
    again = Plan.from_dict(json.loads(json.dumps(plan.to_dict())))
    assert again == plan
    assert draw_scene(again, 17) == scenes[17]


@pytest.mark.parametrize("part", ["recipe", "rooms"])
def test_a_plan_of_another_version_is_refused(plan, part):
    values = plan.to_dict()
    changed = [{"volume": 1}] if part == "rooms" else {**values["recipe"], "loudness": 1}
    with pytest.raises(ValueError, match=r"plan.json: written by another version .*(volume|loudness)"):
        Plan.from_dict({**values, part: changed})


def test_a_plan_follows_from_the_recipe(plan, speech, noise):
    small = replace(plan.recipe, n_clips=3, n_rooms=1, noise_types=("rain", "wind"))
    first, again = (draw_plan(small, speech, noise, heads(1)) for _ in range(2))
    assert first == again
    more_rooms = draw_plan(replace(small, n_rooms=2), speech, noise, heads(1))
    assert more_rooms.segments == first.segments
    assert more_rooms.noises == first.noises
    assert more_rooms.rooms[0] == first.rooms[0]
    other = draw_plan(replace(small, seed=4), speech, noise, heads(1))
    assert other.segments != first.segments
    assert other.rooms != first.rooms


def test_checksums_name_every_source_file(plan):
    assert plan.checksums["speech"].keys() == {segment.file for segment in plan.segments}
    assert plan.checksums["noise"].keys() == {noise.file for noise in plan.noises}
    assert all(len(digest) == 64 for table in plan.checksums.values() for digest in table.values())


def test_a_heads_checksum_is_of_its_responses_azimuths_and_rate():
    one = heads(1)[0]
    others = [
        replace(one, fs=one.fs + 1),
        replace(one, azimuths=one.azimuths + 1),
        replace(one, responses=one.responses * 0.5),
    ]
    digests = {head_checksums([head])[one.name] for head in (one, *others)}
    assert len(digests) == 4


def test_shards_hold_every_scene_once(plan):
    odd = replace(plan, recipe=replace(plan.recipe, scenes_per_shard=1000))
    numbers = [number for shard in range(odd.n_shards) for number in odd.shard_scenes(shard)]
    assert numbers == list(range(odd.n_scenes))
    assert len(odd.shard_scenes(odd.n_shards - 1)) == 880


def test_too_few_speakers_for_the_splits_are_refused(plan, speech, noise):
    with pytest.raises(
        ValueError, match=r"2 speakers cannot be shared out to 3 splits: none is left for \w+"
    ):
        draw_plan(replace(plan.recipe, n_clips=2), speech, noise, heads(1))


def test_too_few_noises_for_the_splits_are_refused(plan, speech, noise):
    recipe = replace(plan.recipe, n_clips=3, noise_types=("rain",), noise_files=2)
    with pytest.raises(ValueError, match="2 noise recordings cannot be shared out"):
        draw_plan(recipe, speech, noise, heads(1))


def test_two_heads_of_one_name_are_refused(plan, speech, noise):
    with pytest.raises(ValueError, match="two heads are called head 0"):
        draw_plan(plan.recipe, speech, noise, [*heads(1), *heads(1)])


def test_a_bad_noise_is_refused_by_name(plan, speech, tmp_path):
    rng = np.random.default_rng(0)
    for name, n_samples in (("long", 8000), ("longer", 9000), ("short", 1000)):
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * rng.standard_normal(n_samples), 8000)
    (tmp_path / "hum").mkdir()
    for file in tmp_path.glob("*.wav"):
        file.rename(tmp_path / "hum" / file.name)
    recipe = replace(plan.recipe, n_clips=3, noise_types=("hum",), noise_files=3)
    with pytest.raises(ValueError, match=r"hum/short\.wav.*window of 0\.3 s"):
        draw_plan(recipe, speech, noise_source(tmp_path), heads(1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_clips": 0}, "n_clips is 0: expected a whole number of 1 or more"),
        ({"n_clips": 2.5}, "n_clips is 2.5: expected a whole number"),
        ({"seed": "1"}, "seed is '1': expected a whole number"),
        ({"seed": -1}, "seed is -1"),
        ({"n_rooms": -1}, "n_rooms is -1"),
        ({"scenes_per_shard": 0}, "scenes_per_shard is 0"),
        ({"noise_files": 0}, "noise_files is 0"),
        ({"noise_types": 0}, "at least one type of noise"),
        ({"noise_types": ()}, "at least one type of noise"),
        ({"noise_types": "rain"}, "noise_types is 'rain': expected a number or a list of names"),
        ({"snr_db": 5.0}, "snr_db is 5.0: expected numbers"),
        ({"snr_db": (0, 300)}, "expected 200 dB at most, either way"),
        ({"snr_db": (30, 0)}, "snr_db is 30.0 to 0.0 dB"),
        ({"snr_db": (0, np.nan)}, "two finite levels"),
        ({"snr_db": (0, 1, 2)}, "expected two levels"),
        ({"snr_db": "12"}, "snr_db is '12': expected numbers"),
        ({"peak_db": (-1e4, 0)}, "peak_db goes down to -10000.0 dB: expected -100 dB or more"),
        ({"peak_db": (-3, 1)}, "above 0 dB the mixtures would clip"),
        ({"shares": (0.7, 0.2, 0.2)}, "with the sum 1"),
        ({"shares": (0.7, 0.15, 0.149995)}, "with the sum 1"),
        ({"shares": (0.7, 0.3)}, "expected three"),
        ({"shares": (np.nan, 0.5, 0.5)}, "none negative"),
        ({"duration": 0.001}, "at least one frame of 160 samples"),
        ({"duration": np.inf}, "duration is inf: expected seconds"),
        ({"duration": 1e305}, r"duration is 1e\+305: expected seconds, at most the 60"),
        ({"duration": 60.5}, "duration is 60.5: expected seconds, at most the 60"),
        ({"duration": True}, "duration is True: expected seconds"),
        ({"seed": True}, "seed is True: expected a whole number"),
        ({"keep_audio": "no"}, "keep_audio is 'no': expected True or False"),
        ({"diffuse_noise": 1}, "diffuse_noise is 1: expected True or False"),
        ({"speech_speed": (0.9, 1.3)}, r"speech_speed is \(0.9, 1.3\): expected the slowest and the fastest"),
        ({"speech_speed": (0.7, 1)}, r"speech_speed is \(0.7, 1.0\): expected .*, from 0.8 to 1.25"),
        ({"speech_speed": (1.1, 0.9)}, r"speech_speed is \(1.1, 0.9\): expected the slowest and"),
        ({"speech_speed": (1,)}, r"speech_speed is \(1.0,\): expected the slowest and the fastest"),
        ({"speech_speed": (np.nan, 1)}, r"speech_speed is \(nan, 1.0\): expected the slowest and"),
        ({"format": "Roman"}, "format is 'Roman': expected a CueFormat"),
        ({"noise_types": 2.5}, "noise_types is 2.5: expected a number or a list of names"),
        ({"noise_types": None}, "noise_types is None: expected a number"),
        ({"noise_types": True}, "noise_types is True: expected a number"),
        ({"noise_types": [1, 2]}, r"noise_types is \[1, 2\]: expected a number"),
        ({"train_noise_types": "rain"}, "train_noise_types is 'rain': expected a list of names"),
        ({"test_noise_types": ["rain", "rain"]}, "test_noise_types is .*: expected each name once"),
        ({"only": None}, "only is None: expected a list of names"),
        ({"head_splits": ["a"]}, r"head_splits is \['a'\]: expected the split of each head"),
        ({"head_splits": {"a": ["test"]}}, "head_splits is .*: expected some of train"),
        ({"duration": "1"}, "duration is '1': expected seconds"),
    ],
)
def test_a_bad_recipe_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**values)


def test_what_lies_at_the_edge_is_taken():
    edge = {"snr_db": (-200, 200), "duration": 60, "speech_speed": (0.8, 1.25), "peak_db": (-1, 0)}
    assert Recipe(**edge).snr_db == (-200.0, 200.0)


def test_differences_name_every_field_that_parts():
    given = Recipe(noise_types=("rain", "wind"), format=CueFormat.default(16000, 32, model_type="halfwave"))
    assert differences(given, given) == []
    assert differences(given, Recipe()) == [
        "noise_types: ['rain', 'wind'] given, 10 in the folder",
        "model_type: halfwave given, Roman in the folder",
    ]


def test_no_key_of_what_is_drawn_once_is_a_scene():
    keys = (SEGMENTS_KEY, NOISES_KEY, SPLITS_KEY, ROOMS_KEY)
    once = {generator(0, *key).integers(2**63) for key in keys}
    realizations = ((), (1,), (2,), (3,))
    scenes = {generator(0, number, *of).integers(2**63) for number in range(250) for of in realizations}
    assert len(once) == len(keys) and not once & scenes


def test_the_largest_groups_are_split_first():
    sizes = {"large": 10, **dict.fromkeys("abcdefghij", 1)}
    for seed in range(20):
        filled = Counter()
        for name, split in draw_splits(sizes, (0.5, 0.25, 0.25), np.random.default_rng(seed)).items():
            filled[split] += sizes[name]
        assert filled == {"train": 10, "validation": 5, "test": 5}


def test_groups_that_have_their_split_count_there():
    sizes = dict.fromkeys("abcdefgh", 1)
    taken = dict.fromkeys("abcd", "train")
    splits = draw_splits(sizes, (0.5, 0.25, 0.25), np.random.default_rng(0), taken)
    assert Counter(splits.values()) == {"train": 4, "validation": 2, "test": 2}
    assert all(splits[name] == "train" for name in taken)


def test_speakers_count_by_their_clips():
    segments = [Segment("0.wav", "0", "0", start) for start in range(20)]
    segments += [Segment(f"{name}.wav", str(name), str(name), 0) for name in range(1, 21)]
    noises = [Recording(f"{name}.wav", "rain", str(name)) for name in range(12)]
    recipe = Recipe(n_clips=40, shares=(0.5, 0.25, 0.25))
    splits = draw_all_splits(recipe, segments, noises, [], np.random.default_rng(0))["speech"]
    assert Counter(splits[segment.origin] for segment in segments) == {
        "train": 20,
        "validation": 10,
        "test": 10,
    }
    assert splits["0"] == "train"
