"""What training minimises: definitions, gradients, and what a loss keeps to itself."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from localization.losses import (
    GHM,
    LOSSES,
    Circular,
    CrossEntropy,
    GHMRanking,
    Harmonizer,
    Ranking,
    WeightedSum,
    build_loss,
    harmonizers,
    only_orders,
    pair_accuracy,
)
from localization.metrics import order_from_right


def draw_batch(seed: int, n_clips: int = 6, spread: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(n_clips, 72, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, 72, (n_clips,), generator=generator)


def logits_of(*azimuths: float) -> torch.Tensor:
    """A model that is sure of these azimuths."""
    return 50 * torch.eye(72)[[round(azimuth / 5) % 72 for azimuth in azimuths]]


@given(smoothing=st.floats(0, 0.9), seed=st.integers(0, 1000))
@settings(max_examples=30)
def test_cross_entropy_is_its_definition(smoothing, seed):
    logits, classes = draw_batch(seed)
    target = torch.full((6, 72), smoothing / 72, dtype=torch.float64)
    target[torch.arange(6), classes] += 1 - smoothing
    expected = -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(CrossEntropy(smoothing)(logits, classes), expected)


def test_knowing_nothing_costs_the_logarithm_of_the_number_of_classes():
    for name in ("cross_entropy", "circular", "ghm"):
        loss = build_loss(name)(torch.zeros(3, 72), torch.tensor([0, 1, 71]))
        assert loss.item() == pytest.approx(math.log(72))


@given(std=st.floats(0.5, 360))
@settings(max_examples=30)
def test_circular_targets_sum_to_one_and_are_the_same_from_every_azimuth_and_to_both_sides(std):
    targets = Circular(std).targets
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(72))
    for k in (1, 36, 71):
        torch.testing.assert_close(targets[k], targets[0].roll(k))
    torch.testing.assert_close(targets[0, 1:], targets[0, 1:].flip(0))
    assert (targets[0, :36] >= targets[0, 1:37]).all()


def test_circular_targets_are_von_mises_of_the_given_width():
    concentration = 1 / math.radians(20) ** 2
    angle = np.radians(5 * np.arange(72))
    density = np.exp(concentration * (np.cos(angle) - 1))
    np.testing.assert_allclose(Circular(20).targets[0], density / density.sum(), rtol=1e-5)
    spread = np.sqrt((density * np.minimum(angle, 2 * np.pi - angle) ** 2).sum() / density.sum())
    assert np.degrees(spread) == pytest.approx(20, rel=0.1)


def test_circular_loss_takes_a_near_miss_for_better_also_across_the_front():
    near, far = (Circular(5)(logits_of(azimuth), torch.tensor([0])) for azimuth in (355, 350))
    assert near < far


@pytest.mark.parametrize(
    "loss",
    [Circular(8.0), GHM(bins=4, momentum=0), Ranking(0.3), GHMRanking(0.3, bins=4, momentum=0)],
    ids=lambda loss: type(loss).__name__,
)
def test_gradients_are_those_of_finite_differences(loss):
    logits, classes = draw_batch(seed=3, n_clips=4, spread=1.0)
    loss.double()
    assert loss(logits, classes) > 0

    def with_weights_held(logits: torch.Tensor) -> torch.Tensor:
        return loss(logits, classes)  # so small a step moves no example into another bin

    assert gradcheck(with_weights_held, (logits.requires_grad_(),))


def slow_weights(batches: list[list[float]], bins: int, momentum: float) -> list[list[float]]:
    """Loss weights as the article defines them, example by example."""
    running, weights = [0.0] * bins, []
    for step, norms in enumerate(batches, start=1):
        of_bin = [min(int(norm * bins), bins - 1) for norm in norms]
        for k in range(bins):
            running[k] = momentum * running[k] + (1 - momentum) * of_bin.count(k)
        density = [count / (1 - momentum**step) for count in running]
        weights.append([len(norms) / (len(set(of_bin)) * density[k]) for k in of_bin])
    return weights


@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    bins=st.integers(1, 12),
    momentum=st.floats(0, 0.95),
    seed=st.integers(0, 1000),
)
@settings(max_examples=50)
def test_harmonizing_weights_are_those_of_a_slow_version(sizes, bins, momentum, seed):
    rng = np.random.default_rng(seed)
    batches = [rng.beta(0.4, 0.4, n).astype(np.float32) for n in sizes]
    harmonizer = Harmonizer(bins, momentum)
    found = [harmonizer(torch.from_numpy(norms)) for norms in batches]
    # In single precision as there, so that none lies on the other side of an edge.
    bins = np.float32(bins)
    for weights, expected in zip(found, slow_weights(batches, int(bins), momentum), strict=True):
        np.testing.assert_allclose(weights, expected, rtol=1e-4)


def test_ghm_weighs_cross_entropies_by_the_probability_that_is_missing():
    logits, classes = draw_batch(seed=1, n_clips=40)
    logits[torch.arange(40), classes] += torch.linspace(0, 12, 40)  # from hard to easy
    p = logits.softmax(dim=1)[torch.arange(40), classes]
    (weights,) = slow_weights([(1 - p).tolist()], bins=10, momentum=0.75)
    assert len(set(weights)) > 3
    expected = -(torch.tensor(weights, dtype=torch.float64) * p.log()).mean()
    torch.testing.assert_close(GHM()(logits, classes), expected, rtol=1e-5, atol=0)


@given(seed=st.integers(0, 1000))
@settings(max_examples=30)
def test_without_momentum_each_filled_bin_weighs_the_same_and_the_mean_is_one(seed):
    norms = torch.from_numpy(np.random.default_rng(seed).beta(0.3, 0.3, 50))
    weights = Harmonizer(bins=5, momentum=0)(norms)
    of_bin = [weights[(norms * 5).long() == k].sum().item() for k in range(5)]
    filled = [total for total in of_bin if total > 0]
    np.testing.assert_allclose(filled, 50 / len(filled), rtol=1e-5)


def test_statistics_are_of_the_examples_since_the_last_reset():
    harmonizer = Harmonizer(bins=4)
    harmonizer(torch.tensor([0.1, 0.1, 0.6]))
    harmonizer.reset()
    first = harmonizer(torch.tensor([0.1, 0.6, 0.6]))
    second = harmonizer(torch.tensor([0.1, 0.9]))
    share, weight = harmonizer.statistics()
    assert share == pytest.approx([0.4, 0, 0.4, 0.2])
    assert weight[0] == pytest.approx((first[0] + second[0]).item() / 2)
    assert math.isnan(weight[1]) and weight[3] == pytest.approx(second[1].item())


def test_processes_that_train_together_count_together(monkeypatch):
    norms = torch.tensor([0.1, 0.2, 0.9])
    expected = Harmonizer(bins=2)(torch.cat([norms, torch.tensor([0.7, 0.8, 0.9])]))[:3]
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda counts: counts.add_(torch.tensor([0, 3])))
    torch.testing.assert_close(Harmonizer(bins=2)(norms), expected)


@pytest.mark.parametrize("name", ["ghm", "ghm_ranking"])
def test_in_evaluation_nothing_is_counted_and_all_weigh_the_same(name):
    loss, (logits, classes) = build_loss(name), draw_batch(seed=5, n_clips=20)
    fresh = build_loss(name).eval()(logits, classes)
    for seed in range(3):
        loss(*draw_batch(seed, n_clips=20))
    state = {key: value.clone() for key, value in loss.state_dict().items()}
    assert loss.eval()(logits, classes) == fresh
    assert all(torch.equal(value, state[key]) for key, value in loss.state_dict().items())
    assert loss.train()(logits, classes) != fresh
    if name == "ghm":
        torch.testing.assert_close(fresh, CrossEntropy(0)(logits, classes))


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_that_is_stored_and_loaded_goes_on_as_if_undisturbed(name):
    loss, other = build_loss(name), build_loss(name)
    for seed in range(3):
        loss(*draw_batch(seed))
    other.load_state_dict(loss.state_dict())
    assert torch.equal(loss(*draw_batch(9)), other(*draw_batch(9)))


def test_ranking_is_its_definition():
    logits, classes = draw_batch(seed=2)
    azimuth = np.radians(5 * np.arange(72))
    scores = logits.softmax(dim=1).numpy() @ np.sin(azimuth)
    truth = np.sin(azimuth)[classes.numpy()]
    missing = [
        max(0.0, min(0.3, truth[i] - truth[j]) - (scores[i] - scores[j]))
        for i in range(6)
        for j in range(6)
        if truth[i] > truth[j] + 1e-9
    ]
    assert Ranking(0.3)(logits, classes).item() == pytest.approx(np.mean(missing), rel=1e-6)


def test_true_estimates_cost_ranking_nothing_and_swapped_ones_do():
    azimuths = range(0, 360, 5)
    classes = torch.arange(72)
    for loss in (Ranking(2.0), GHMRanking(2.0)):
        assert loss(logits_of(*azimuths), classes).item() == pytest.approx(0, abs=1e-6)
        # Front and back are of the same sine: mistaken for each other they cost nothing.
        assert loss(logits_of(*(180 - azimuth for azimuth in azimuths)), classes).item() < 1e-6
        assert loss(logits_of(*(-azimuth for azimuth in azimuths)), classes) > 0.1


@pytest.mark.parametrize("name", ["ranking", "ghm_ranking"])
def test_a_batch_without_a_pair_costs_nothing(name):
    logits = torch.zeros(2, 72, requires_grad=True)
    loss = build_loss(name)(logits, torch.tensor([6, 30]))  # 30° and 150°
    loss.backward()
    assert loss == 0 and not logits.grad.any()


def test_a_batch_without_a_pair_leaves_the_counts_as_they_are():
    loss = GHMRanking()
    loss(logits_of(90, 80, 60, 270), torch.tensor([18, 54, 0, 36]))
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    loss(torch.zeros(2, 72), torch.tensor([6, 30]))  # 30° and 150°
    torch.testing.assert_close(loss.state_dict(), before, rtol=0, atol=0)


def test_harmonized_ranking_weighs_pairs_by_their_miss():
    logits, classes = logits_of(90, 80, 60, 270), torch.tensor([18, 54, 0, 36])
    loss = GHMRanking(margin=0.5, bins=5, momentum=0, softness=0.1)
    missing = loss._violations(logits, classes)
    root = (missing**2 + 0.1**2).sqrt()
    (weights,) = slow_weights([(missing / root).tolist()], bins=5, momentum=0)
    expected = (torch.tensor(weights) * (root - 0.1)).mean()
    torch.testing.assert_close(loss(logits, classes), expected)


@given(seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_pair_accuracy_of_a_batch_is_that_of_the_metrics(seed):
    logits, classes = draw_batch(seed, n_clips=15)
    expected = order_from_right(logits.softmax(dim=1), classes.numpy()).pair_accuracy
    found, n_pairs = pair_accuracy(logits, classes)
    assert found.item() == pytest.approx(expected)
    sines = np.sin(np.radians(5 * classes.numpy())).round(9)
    assert n_pairs == (sines[:, None] > sines).sum()


def test_a_loss_is_built_by_name():
    for name, kind in LOSSES.items():
        assert type(build_loss(name)) is kind


def test_a_weighted_sum_is_one():
    logits, classes = draw_batch(seed=0)
    loss = build_loss(
        {"circular": {"std": 10}, "ranking": {"weight": 0.3, "margin": 0.2}, "cross_entropy": 2}
    )
    assert isinstance(loss, WeightedSum)
    expected = Circular(10)(logits, classes) + 0.3 * Ranking(0.2)(logits, classes)
    torch.testing.assert_close(loss(logits, classes), expected + 2 * CrossEntropy()(logits, classes))


def test_what_a_loss_teaches_and_keeps_is_known():
    assert only_orders(build_loss("ghm_ranking")) and only_orders(build_loss({"ranking": 2}))
    assert not only_orders(build_loss({"ghm": 1, "ranking": 1})) and not only_orders(build_loss("ghm"))
    assert list(harmonizers(build_loss("ghm_ranking"))) == ["ghm_ranking"]


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (["ghm"], "unknown loss"),
        ("hinge", f"unknown loss 'hinge', expected one of: {', '.join(LOSSES)}"),
        ({"ghm": 1, "hinge": 1}, "unknown loss 'hinge'"),
        ({}, "at least one loss"),
        ({"ghm": {"margin": 1}}, "loss 'ghm' has no option 'margin', expected one of: bins, momentum"),
        ({"ghm": {"bins": "many"}}, "loss 'ghm': bins must be a finite number, found 'many'"),
        ({"ghm": 0}, "loss 'ghm': weight must be positive, found 0"),
        ({"ghm": None}, "loss 'ghm': weight must be a finite number, found None"),
        ({"circular": {"weight": -1}}, "loss 'circular': weight must be positive"),
    ],
)
def test_what_is_no_loss_is_refused(loss, message):
    with pytest.raises(ValueError, match=message):
        build_loss(loss)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cross_entropy", {"smoothing": -0.1}, "smoothing must lie in"),
        ("cross_entropy", {"smoothing": 1.0}, "smoothing must lie in"),
        ("cross_entropy", {"smoothing": math.nan}, "smoothing must be a finite number"),
        ("circular", {"std": 0}, "std must lie in"),
        ("circular", {"std": 1e200}, "std must lie in"),
        ("circular", {"std": float("nan")}, "std must be a finite number"),
        ("ghm", {"bins": 0}, "bins must be a whole number from 1"),
        ("ghm", {"bins": 2.5}, "bins must be a whole number from 1"),
        ("ghm", {"bins": 1e12}, "bins must be a whole number from 1"),
        ("ghm", {"momentum": 1}, "momentum must lie in"),
        ("ranking", {"margin": 0}, "margin must lie in"),
        ("ghm_ranking", {"margin": 2.1}, "margin must lie in"),
        ("ghm_ranking", {"softness": 0}, "softness must be positive"),
    ],
)
def test_an_option_outside_its_range_is_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        build_loss({name: options})
