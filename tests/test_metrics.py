"""Outcomes, against loops that follow the definitions word by word; intervals, by what they must cover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localization.metrics import (
    MEANS,
    MEASURES,
    Outcomes,
    confusion,
    grouped,
    known_only,
    order_from_right,
    outcomes,
    snr_bin,
    summary,
)


def drawn(seed, n_clips=40):
    """Probabilities and true classes, near each other or mirrored often enough that every outcome occurs."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 72, n_clips)
    logits = rng.normal(0, 1, (n_clips, 72))
    near = (true + rng.integers(-3, 4, n_clips)) % 72
    mirrored = (36 - true + rng.integers(-3, 4, n_clips)) % 72
    logits[np.arange(n_clips), np.where(rng.random(n_clips) < 0.6, near, mirrored)] += rng.uniform(
        0, 5, n_clips
    )
    p = np.exp(logits)
    return p / p.sum(axis=1, keepdims=True), true


def distance(a, b):
    """The short way round between two azimuths, by trying every turn."""
    return min(abs(a - b + turn) for turn in (-720, -360, 0, 360, 720))


def judged_slowly(p, true):
    """What becomes of one clip, by the definitions."""
    order = sorted(range(72), key=lambda k: (-p[k], k))
    truth, estimate = 5.0 * true, 5.0 * order[0]
    signed = truth if truth <= 180 else truth - 360
    return {
        "estimate": order[0],
        "confidence": p[order[0]],
        "rank": order.index(true),
        "top1": order[0] == true,
        "top5": true in order[:5],
        "top5_within_10deg": any(distance(5.0 * k, truth) <= 10 for k in order[:5]),
        "angular_error_deg": distance(estimate, truth),
        "within_5deg": distance(estimate, truth) <= 5,
        "within_10deg": distance(estimate, truth) <= 10,
        "front_back_confusion": distance(estimate, 180 - truth) <= 10 and abs(abs(signed) - 90) > 10,
    }


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_outcomes_equal_the_definitions(seed):
    p, true = drawn(seed)
    fast = outcomes(p, true)
    slow = [judged_slowly(row, k) for row, k in zip(p, true, strict=True)]
    for name in Outcomes._fields:
        np.testing.assert_array_equal(getattr(fast, name), [clip[name] for clip in slow], err_msg=name)


def test_the_drawn_clips_show_every_outcome():
    judged = outcomes(*drawn(0, 400))
    for name in MEANS:
        assert getattr(judged, name).mean() > 0, name
        assert np.unique(getattr(judged, name)).size > 1, name


@given(st.integers(0, 10**6), st.integers(0, 71))
@settings(max_examples=30, deadline=None)
def test_turning_the_circle_changes_nothing_but_front_and_back(seed, turn):
    p, true = drawn(seed)
    before, after = outcomes(p, true), outcomes(np.roll(p, turn, axis=1), (true + turn) % 72)
    for name in set(Outcomes._fields) - {"estimate", "front_back_confusion"}:
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name), err_msg=name)
    np.testing.assert_array_equal((before.estimate + turn) % 72, after.estimate)


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_swapping_left_and_right_or_front_and_back_changes_no_measure(seed):
    p, true = drawn(seed)
    classes = np.arange(72)
    for mirrored in ((72 - classes) % 72, (36 - classes) % 72):
        before, after = outcomes(p, true), outcomes(p[:, mirrored], mirrored[true])
        for name in MEANS:
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name), err_msg=name)


@pytest.mark.parametrize(
    ("truth", "estimate", "confused"),
    [
        (0, 180, True),
        (0, 170, True),
        (0, 165, False),
        (30, 150, True),
        (30, 140, True),
        (30, 160, True),
        (30, 165, False),
        (30, 30, False),
        (75, 105, True),
        (80, 100, False),  # the truth is 10 degrees from the axis, not more
        (90, 90, False),
        (100, 80, False),
        (105, 75, True),
        (250, 290, True),
        (255, 285, True),
        (260, 280, False),
        (270, 270, False),
        (330, 210, True),
        (355, 190, True),
        (355, 170, False),  # the mirror image is 185: 15 degrees
    ],
)
def test_front_back_confusion(truth, estimate, confused):
    judged = outcomes(np.eye(72)[[estimate // 5]], [truth // 5])
    assert judged.front_back_confusion[0] == confused


def test_a_model_that_knows_nothing_gains_nothing_from_ties():
    judged = outcomes(np.full((72, 72), 1 / 72), np.arange(72))
    assert judged.top1.mean() == 1 / 72
    assert judged.top5.mean() == 5 / 72
    np.testing.assert_array_equal(judged.rank, np.arange(72))


def test_top5_and_top5_within_10deg_differ():
    p = np.zeros((1, 72))
    p[0, [10, 11, 12, 13, 14]] = [0.3, 0.25, 0.2, 0.15, 0.1]
    assert not outcomes(p, [16]).top5[0]
    assert outcomes(p, [16]).top5_within_10deg[0]
    assert not outcomes(p, [17]).top5_within_10deg[0]


@pytest.mark.parametrize(
    ("p", "true", "message"),
    [
        (np.eye(72)[:2], [0], "true_class: one for each of 2 clips"),
        (np.eye(71), np.arange(71), r"probabilities: shape \(n_clips, 72\) expected, found \(71, 71\)"),
        (np.eye(72)[0], [0], "probabilities: shape"),
        (np.eye(72)[:1], [72], "classes must be 0 … 71"),
        (np.eye(72)[:1], [0.0], "classes must be whole numbers"),
        (3 * np.eye(72)[:1], [0], "are these logits"),
        (np.full((1, 72), np.nan), [0], "are these logits"),
        (np.eye(72)[:1] * 2 - np.eye(72)[1:2], [0], "are these logits"),
    ],
)
def test_what_cannot_be_judged_is_refused(p, true, message):
    with pytest.raises(ValueError, match=message):
        outcomes(p, true)


def test_summary_equals_a_bootstrap_by_hand():
    judged = outcomes(*drawn(1, 200))
    speakers = np.random.default_rng(2).choice(["a", "b", "c", "d", "e"], 200)
    found = summary(judged, speakers, np.random.default_rng(3), n_resamples=50)
    assert (found.n_clips, found.n_speakers) == (200, 5)
    drawn_speakers = np.random.default_rng(3).multinomial(5, np.full(5, 0.2), size=50)
    assert set(found.measures) == set(MEASURES)
    for name in MEASURES:
        is_rms = name == "rms_error_deg"
        values = judged.angular_error_deg**2 if is_rms else getattr(judged, name).astype(float)
        means = []
        for times in drawn_speakers:
            chosen = [values[speakers == s] for s, n in zip("abcde", times, strict=True) for _ in range(n)]
            means.append(np.concatenate(chosen).mean())
        expected = np.array([values.mean(), *np.percentile(means, [2.5, 97.5])])
        expected = np.sqrt(expected) if is_rms else expected
        np.testing.assert_allclose(found.measures[name], expected, rtol=1e-12, err_msg=name)


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_rms_error_is_the_mean_error_and_its_spread(seed):
    judged = outcomes(*drawn(seed))
    measures = summary(judged, np.arange(40) % 4, np.random.default_rng(0), n_resamples=20).measures
    mean, rms = (measures[name].value for name in ("angular_error_deg", "rms_error_deg"))
    assert rms == pytest.approx(np.hypot(mean, judged.angular_error_deg.std()))


@given(st.integers(0, 10**6), st.sets(st.integers(0, 71), min_size=1))
@settings(max_examples=20)
def test_known_classes_keep_their_ratios_and_the_others_get_nothing(seed, chosen):
    known, (p, _) = sorted(chosen), drawn(seed)
    p[0, known] = 0
    p[0] /= p[0].sum() or 1
    with np.errstate(divide="ignore"):
        log_p = np.log(p)
    mask = np.isin(np.arange(72), known) & np.ones((len(p), 1), dtype=bool)
    among = np.exp(known_only(log_p, mask))
    np.testing.assert_allclose(among.sum(axis=1), 1)
    assert not np.delete(among, known, axis=1).any()
    np.testing.assert_allclose(among[1:, known], p[1:, known] / p[1:, known].sum(axis=1, keepdims=True))
    np.testing.assert_allclose(among[0, known], 1 / len(known))
    np.testing.assert_allclose(np.exp(known_only(log_p, np.ones_like(mask)))[1:], p[1:])


def test_interval_covers_the_truth_where_speakers_differ():
    """Speakers of different ability: a bootstrap over clips would miss the true mean far more often."""
    rng = np.random.default_rng(0)
    n_trials, n_speakers, n_clips, covered = 300, 30, 40, 0
    for _ in range(n_trials):
        ability = rng.beta(2, 2, n_speakers)  # its mean is 0.5
        hit = rng.random((n_speakers, n_clips)) < ability[:, None]
        estimate = np.where(hit, 0, 1).ravel()
        judged = outcomes(np.eye(72)[estimate], np.zeros(estimate.size, int))
        speakers = np.repeat(np.arange(n_speakers), n_clips)
        interval = summary(judged, speakers, rng, n_resamples=200).measures["top1"]
        covered += interval.low <= 0.5 <= interval.high
    assert 0.89 <= covered / n_trials <= 0.99


def test_one_speaker_has_no_interval():
    found = summary(outcomes(*drawn(0)), ["a"] * 40, np.random.default_rng(0))
    interval = found.measures["top1"]
    assert np.isfinite(interval.value)
    assert np.isnan(interval.low)
    assert np.isnan(interval.high)


def test_summary_refuses_what_it_cannot_take():
    judged = outcomes(*drawn(0))
    with pytest.raises(ValueError, match=r"speakers: .* found shape \(3,\) for 40 clips"):
        summary(judged, ["a", "b", "c"], np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least one clip"):
        summary(outcomes(np.zeros((0, 72)), np.zeros(0, int)), [], np.random.default_rng(0))
    with pytest.raises(ValueError, match="n_resamples: at least 1 expected, found 0"):
        summary(judged, np.arange(40), np.random.default_rng(0), n_resamples=0)


def test_how_many_clips_are_judged_at_a_time_cannot_be_seen(monkeypatch):
    p, true = drawn(7, 100)
    whole = outcomes(p, true)
    monkeypatch.setattr("localization.metrics.CLIPS_AT_ONCE", 7)
    for values, others in zip(whole, outcomes(p, true), strict=True):
        np.testing.assert_array_equal(values, others)


def test_groups_are_summaries_of_their_clips():
    p, true = drawn(4, 120)
    judged = outcomes(p, true)
    snr_db = np.random.default_rng(5).uniform(-4, 20, 120)
    speakers = np.arange(120) % 7
    found = grouped(judged, snr_bin(snr_db), speakers, np.random.default_rng(0))
    assert list(found) == [-5.0, 0.0, 5.0, 10.0, 15.0]
    for edge, of_bin in found.items():
        inside = (snr_db >= edge) & (snr_db < edge + 5)
        assert of_bin.n_clips == inside.sum()
        assert of_bin.measures["angular_error_deg"].value == pytest.approx(
            judged.angular_error_deg[inside].mean()
        )
        assert of_bin.measures["top5"].value == pytest.approx(judged.top5[inside].mean())
    with pytest.raises(ValueError, match="groups: one for each of 120 clips"):
        grouped(judged, ["a"], speakers, np.random.default_rng(0))
    with pytest.raises(ValueError, match="groups: found NaN"):
        grouped(judged, np.where(snr_db > 0, snr_db, np.nan), speakers, np.random.default_rng(0))


def test_confusion_counts_true_against_estimated():
    p, true = drawn(6, 300)
    estimate = outcomes(p, true).estimate
    counts = confusion(true, estimate)
    assert counts.sum() == 300
    for i, j in zip(true, estimate, strict=True):
        assert counts[i, j] == np.sum((true == i) & (estimate == j))
    with pytest.raises(ValueError, match="true_class: classes must be 0 … 71, found -1 … 0"):
        confusion([0, -1], [0, 0])
    with pytest.raises(ValueError, match=r"estimate: one for each of \(2,\) expected, found \(1,\)"):
        confusion([0, 1], [0])


@given(seed=st.integers(0, 10**6), n_clips=st.integers(2, 25))
@settings(max_examples=40)
def test_order_equals_counting_pairs(seed, n_clips):
    p, true = drawn(seed, n_clips)
    p[1] = p[0]  # equal expectations
    sines = np.round(np.sin(np.radians(5.0 * np.arange(72))), 9)
    score = (p * sines).sum(axis=1)
    pairs = [(i, j) for i in range(n_clips) for j in range(n_clips) if sines[true[i]] > sines[true[j]]]
    # Pairs of equal expectation, up to rounding, are neither in order nor out of it.
    differences = np.array([round(score[i] - score[j], 12) for i, j in pairs])
    found = order_from_right(p, true)
    if not pairs:
        assert np.isnan(found).all()
        return
    assert found.pair_accuracy == pytest.approx(np.mean((np.sign(differences) + 1) / 2))
    n_tied = sum(score[i] == score[j] for i in range(n_clips) for j in range(i))
    n_pairs = n_clips * (n_clips - 1) / 2
    excess = np.sign(differences).sum()
    if n_tied < n_pairs:
        assert found.kendall_tau == pytest.approx(excess / np.sqrt((n_pairs - n_tied) * len(pairs)))
    assert found.highest_tau == pytest.approx(np.sqrt(len(pairs) / n_pairs))


def test_order_of_the_truth_is_perfect_and_its_mirror_image_is_all_wrong():
    classes = np.arange(-17, 19) % 72  # the front, each sine once
    for estimates, accuracy, tau in ((classes, 1, 1), (-classes % 72, 0, -1), (36 + 0 * classes, 0.5, 0)):
        found = order_from_right(np.eye(72)[estimates], classes)
        assert found == pytest.approx((accuracy, tau, 1), abs=1e-12)


@pytest.mark.parametrize("n_clips", [3, 7, 50])
def test_clips_that_are_held_alike_are_tied_however_many_there_are(n_clips):
    p = np.tile(drawn(3, 1)[0], (n_clips, 1))
    found = order_from_right(p, 18 * np.arange(n_clips) % 72)
    assert found.pair_accuracy == 0.5 and found.kendall_tau == 0


def test_a_group_is_resampled_by_its_own_speakers():
    judged = outcomes(*drawn(4, 120))
    bins, speakers = np.arange(120) // 40 * 5.0, np.arange(120) % 40 // 7
    speakers[:40] = 0
    groups = grouped(judged, bins, speakers, np.random.default_rng(0))
    assert {edge: of.n_speakers for edge, of in groups.items()} == {0.0: 1, 5.0: 6, 10.0: 6}


@pytest.mark.parametrize("scale", [0.9, 1.1])
def test_probabilities_that_nearly_sum_to_one_are_refused(scale):
    with pytest.raises(ValueError, match="are these logits"):
        outcomes(scale * np.eye(72)[:1], [0])
