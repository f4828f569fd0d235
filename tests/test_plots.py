"""Pictures: the numbers drawn are those given, in the units on the axes; the circle is seen from above."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from auditory_model import centre_freqs
from binaural_feature import Cues
from localization.calibration import reliability
from localization.plots import (
    GREY,
    new_axes,
    plot_accuracy_over_snr,
    plot_azimuth_over_time,
    plot_confusion,
    plot_cue_over_time,
    plot_cues,
    plot_error_over_azimuth,
    plot_gradient_norms,
    plot_itd_ild_histogram,
    plot_reliability,
    plot_systems_over_snr,
    save_figure,
)

CFS = centre_freqs(16000, 8)


@pytest.fixture
def cues():
    rng = np.random.default_rng(0)
    shape = (8, 20)
    return Cues(
        itd=rng.uniform(-1e-3, 1e-3, shape),
        ild=rng.normal(0, 5, shape),
        ic=rng.uniform(0, 1, shape),
        energy=rng.uniform(-90, -20, shape),
    )


def meshes(ax):
    return [collection for collection in ax.collections if hasattr(collection, "get_coordinates")]


def points(ax, number):
    """The points of a curve, (n, 2)."""
    return ax.lines[number].get_xydata()


def bar_heights(ax):
    return [bar.get_height() for bar in ax.patches]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def colour_bar_labels(ax):
    return [other.get_ylabel() for other in ax.figure.axes]


def test_cue_maps_hold_the_cues_in_the_units_of_their_labels(cues):
    axes = plot_cues(cues, CFS, frame_rate=50)
    labels = ("ITD (ms)", "ILD (dB)", "coherence", "energy (dB)")
    for ax, values, factor, label in zip(axes, cues, (1e3, 1, 1, 1), labels, strict=True):
        (mesh,) = meshes(ax)
        np.testing.assert_array_equal(mesh.get_array(), factor * values)
        assert mesh.colorbar.ax.get_ylabel() == label
        assert ax.get_ylabel() == "frequency (Hz)"
    assert axes[-1].get_xlabel() == "time (s)"


def test_cue_maps_stand_at_their_time_and_frequency(cues):
    for ax in plot_cues(cues, CFS, frame_rate=50):
        (mesh,) = meshes(ax)
        time, frequency = mesh.get_coordinates()[0, :, 0], mesh.get_coordinates()[:, 0, 1]
        np.testing.assert_allclose(time, np.arange(21) / 50)
        assert (frequency[:-1] < CFS).all()
        assert (frequency[1:] > CFS).all()
        heights = ax.transData.transform(np.column_stack([np.zeros(9), frequency]))[:, 1]
        np.testing.assert_allclose(np.diff(heights), np.diff(heights).mean(), rtol=1e-6)


def test_signed_cues_have_zero_in_the_middle_of_their_colours(cues):
    for ax in plot_cues(cues, CFS, 50)[:2]:
        (mesh,) = meshes(ax)
        low, high = mesh.get_clim()
        assert low == -high < 0


def test_silence_and_a_single_band_and_frame_can_be_drawn():
    silence = np.stack([np.zeros((1, 1)), np.zeros((1, 1)), np.zeros((1, 1)), np.full((1, 1), -120.0)])
    axes = plot_cues(silence, [500.0], 100)
    axes[0].figure.canvas.draw()
    (mesh,) = meshes(axes[0])
    assert mesh.get_array().item() == 0


def test_cues_of_another_shape_are_refused(cues):
    with pytest.raises(ValueError, match=r"cues: shape \(4, 7, n_frames\) expected, found \(4, 8, 20\)"):
        plot_cues(cues, CFS[:7], 50)
    with pytest.raises(ValueError, match=r"found \(8, 20\)"):
        plot_cues(cues.itd, CFS, 50)


@pytest.mark.parametrize(("cue", "factor", "label"), [("itd", 1e3, "ITD (ms)"), ("ild", 1, "ILD (dB)")])
def test_cue_over_time(cue, factor, label):
    time, values = np.arange(5) / 10, np.array([1, -2, 3, 0, 5]) * 1e-4
    ax = plot_cue_over_time(time, values, cue)
    np.testing.assert_allclose(points(ax, 0), np.column_stack([time, factor * values]))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time (s)", label)


def test_histograms_count_every_value(cues):
    axes = plot_itd_ild_histogram(cues.itd, cues.ild, color=GREY, label="all")
    again = plot_itd_ild_histogram(cues.itd[:4], cues.ild[:4], axes, label="half")
    assert [ax.get_xlabel() for ax in again] == ["ITD (ms)", "ILD (dB)"]
    assert [ax.get_ylabel() for ax in again] == ["frames per 0.04 ms (%)", "frames per 1 dB (%)"]
    assert legend(again[0]) == ["all", "half"]
    for ax, values in zip(axes, (1e3 * cues.itd, cues.ild), strict=True):
        outline = ax.patches[1].get_xy()
        edges = np.unique(outline[:, 0])
        expected = 100 * np.histogram(values, edges)[0] / values.size
        assert expected.sum() == pytest.approx(100)
        assert outline[:, 1].max() == pytest.approx(expected.max())


def test_no_value_at_all_is_an_empty_histogram():
    for ax in plot_itd_ild_histogram([], []):
        assert ax.patches[0].get_xy()[:, 1].max() == 0


def test_confusion_shows_estimates_upwards_in_percent_of_each_true_azimuth():
    counts = np.zeros((72, 72))
    counts[18, 18], counts[18, 54], counts[0, 36] = 3, 1, 5
    ax = plot_confusion(counts)
    (mesh,) = meshes(ax)
    shown = np.ma.filled(mesh.get_array(), 0)
    assert (shown[18, 18], shown[54, 18], shown[36, 0]) == (75, 25, 100)
    assert np.count_nonzero(shown) == 3
    assert ax.get_xlabel() == "true azimuth (degrees)"
    assert ax.get_ylabel() == "estimated azimuth (degrees)"
    assert "scenes of this true azimuth (%)" in colour_bar_labels(ax)


def test_error_over_azimuth_has_the_front_up_and_left_on_the_left():
    azimuth = np.arange(0, 360, 5)
    error = 1 + np.sin(np.radians(azimuth)) ** 2
    ax = plot_error_over_azimuth(azimuth, error, error - 0.5, error + 0.5)
    ax.figure.canvas.draw()
    front, left, back, right, centre = ax.transData.transform(
        [(0, 1), (np.pi / 2, 1), (np.pi, 1), (3 * np.pi / 2, 1), (0, 0)]
    )
    assert front[1] > centre[1] > back[1]
    assert left[0] < centre[0] < right[0]
    drawn = points(ax, 0)
    np.testing.assert_allclose(drawn[:-1], np.column_stack([np.radians(azimuth), error]))
    np.testing.assert_array_equal(drawn[0], drawn[-1])
    labels = dict(
        zip(np.degrees(ax.get_xticks()).round(), (t.get_text() for t in ax.get_xticklabels()), strict=True)
    )
    assert labels[0] == "0°\nfront"
    assert labels[90] == "90°\nleft"
    assert labels[270] == "270°\nright"
    assert "degrees" in ax.get_title()


@pytest.mark.parametrize(
    ("azimuth", "curves", "dots"),
    [
        ([0, 5, 10, 350, 355], [[350, 355, 0], [0, 5, 10]], []),  # closed over the front alone
        ([0, 5, 180, 270, 275], [[0, 5], [270, 275]], [180]),
        ([45], [], [45]),
    ],
)
def test_error_over_azimuth_joins_neighbours_and_nothing_else(azimuth, curves, dots):
    error = np.arange(1.0, len(azimuth) + 1)
    ax = plot_error_over_azimuth(azimuth, error, error - 0.5, error + 0.5)
    ax.figure.canvas.draw()
    drawn = points(ax, 0)
    joined = {tuple(pair) for pair in np.degrees(np.stack([drawn[:-1, 0], drawn[1:, 0]], axis=1)).round()}
    expected = {pair for curve in curves for pair in pairwise(curve)}
    assert {pair for pair in joined if not np.isnan(pair).any()} == expected
    np.testing.assert_allclose(np.degrees(points(ax, 1)[:, 0]), dots)
    areas = [set(np.degrees(path.vertices[:, 0]).round()) for path in ax.collections[0].get_paths()]
    assert all(any(area <= set(part) for part in [*curves, dots]) for area in areas)


def test_systems_over_snr_have_clean_speech_beside_the_axis():
    ax = plot_systems_over_snr({"a": ([97.5, -2.5, 2.5], [1, 0.5, 0.75]), "b": ([2.5], [0.2])})
    drawn = {line.get_label(): line.get_xydata().tolist() for line in ax.get_lines() if len(line.get_xdata())}
    assert drawn["a"] == [[-2.5, 50], [2.5, 75]]
    assert drawn["b"] == [[2.5, 20]]
    names = dict(zip(ax.get_xticks(), (label.get_text() for label in ax.get_xticklabels()), strict=True))
    assert names == {0: "0", 7.5: "clean"}
    assert [7.5, 100] in [point for line in ax.get_lines() for point in line.get_xydata().tolist()]
    only_noisy = plot_systems_over_snr({"a": ([-2.5, 2.5], [0.5, 0.75])})
    assert "clean" not in [label.get_text() for label in only_noisy.get_xticklabels()]


def test_no_two_systems_over_snr_look_alike():
    ax = plot_systems_over_snr({f"system {number}": ([0.0], [0.5]) for number in range(14)})
    lines = [line for line in ax.get_lines() if len(line.get_xdata())]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == len(lines) == 14


def test_systems_over_snr_have_a_tick_each_5_db():
    ax = plot_systems_over_snr({"a": ([-12.5, 7.5], [0.5, 0.75])})
    assert ax.get_xticks().tolist() == [-10, -5, 0, 5]
    assert [label.get_text() for label in ax.get_xticklabels()][:2] == ["\N{MINUS SIGN}10", "\N{MINUS SIGN}5"]


def test_accuracy_over_snr_is_in_percent_and_two_measures_share_axes():
    ax = plot_accuracy_over_snr([2.5, 7.5], [0.5, 0.9], [0.4, 0.8], [0.6, 1.0])
    plot_accuracy_over_snr([2.5, 7.5], [0.8, 1.0], ax=ax, label="top-5")
    np.testing.assert_allclose(points(ax, 0), [[2.5, 50], [7.5, 90]])
    np.testing.assert_allclose(points(ax, 1), [[2.5, 80], [7.5, 100]])
    band = np.asarray(ax.collections[0].get_paths()[0].vertices)
    assert (band[:, 1].min(), band[:, 1].max()) == (40, 100)
    assert legend(ax) == ["top-1", "top-5"]
    assert ax.get_ylim()[0] < 40
    assert ax.get_ylim()[1] == 100
    assert "dB" in ax.get_xlabel()
    assert "%" in ax.get_ylabel()


def test_reliability_shows_the_bins_that_have_clips():
    found = reliability([0.15, 0.95, 0.95, 0.95], [False, True, True, False])
    ax = plot_reliability(found)
    np.testing.assert_allclose(points(ax, 1), [[0.15, 0], [0.95, 2 / 3]])
    np.testing.assert_allclose(bar_heights(ax), [0, 0.25, *[0] * 7, 0.75])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("confidence", "accuracy")
    assert any("expected calibration error 0.25" in text for text in legend(ax))


def test_azimuth_over_time_has_the_front_in_the_middle_and_left_above():
    azimuth = np.array([0.0, 90.0, 180.0, 270.0, 355.0])
    edges = [0.0, 1.0, 2.0, 3.0, 4.0, 4.5]
    ax = plot_azimuth_over_time(edges, azimuth, np.eye(72)[(azimuth / 5).astype(int)])
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [0, 90, 180, -90, -5])
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [0.5, 1.5, 2.5, 3.5, 4.25])
    labels = dict(zip(ax.get_yticks(), (text.get_text() for text in ax.get_yticklabels()), strict=True))
    assert (labels[0], labels[90], labels[-90]) == ("0° front", "90° left", "270° right")
    (mesh,) = meshes(ax)
    rows = mesh.get_array().argmax(axis=0)
    np.testing.assert_array_equal(mesh.get_coordinates()[0, :, 0], edges)
    edges = mesh.get_coordinates()[:, 0, 1]
    np.testing.assert_allclose((edges[rows] + edges[rows + 1]) / 2, [0, 90, 180, -90, -5])
    assert ax.get_xlabel() == "time (s)"


def test_one_moment_alone_can_be_drawn():
    ax = plot_azimuth_over_time([0.0, 0.05], [90.0], np.eye(72)[[18]])
    ax.figure.canvas.draw()
    assert ax.lines[0].get_xydata().tolist() == [[0.025, 90.0]]
    (mesh,) = meshes(ax)
    assert mesh.get_coordinates()[0, :, 0].tolist() == [0.0, 0.05]


def test_an_unknown_cue_is_refused():
    with pytest.raises(ValueError, match="unknown cue 'ITD', expected one of: 'itd', 'ild', 'ic', 'energy'"):
        plot_cue_over_time([0, 1], [0, 1e-3], "ITD")


def test_given_axes_are_drawn_into_and_returned():
    ax = Figure().subplots()
    assert plot_cue_over_time([0, 1], [0, 1e-3], ax=ax) is ax
    assert plot_confusion(np.eye(72), ax) is ax


def test_figures_are_written_whole_in_the_format_of_their_suffix(tmp_path):
    path = save_figure(new_axes(2, 2), tmp_path / "new" / "picture.PNG")
    with Image.open(path) as image:
        image.verify()
        assert image.format == "PNG"
    assert save_figure(new_axes(), tmp_path / "picture.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert save_figure(new_axes(), tmp_path / "picture.pdf").read_bytes().startswith(b"%PDF")
    with Image.open(save_figure(new_axes(), tmp_path / "picture.jpg")) as image:
        assert image.format == "JPEG"
    suffixes = ["PNG", "jpg", "pdf", "svg"]
    assert sorted(file.name for file in tmp_path.rglob("*.*")) == [f"picture.{suffix}" for suffix in suffixes]


@pytest.mark.parametrize("name", ["picture.xyz", "picture.pgf", "picture"])
def test_a_suffix_that_is_no_picture_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=rf"{name}: expected the suffix of a picture \(png, pdf, svg, jpg\)"):
        save_figure(new_axes(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_gradient_norms_show_the_first_and_the_last_epoch_and_all_between():
    share = np.array([[0.0, 0.1, 0.9], [0.3, 0.3, 0.4], [0.8, 0.15, 0.05]])
    weight = np.array([[np.nan, 5, 0.5], [1, 1, 0.8], [0.4, 2, 6]])
    axes = plot_gradient_norms(share, weight)
    axes[0].figure.canvas.draw()
    first, last = (stairs.get_data() for stairs in axes[0].patches)
    np.testing.assert_allclose(first.values, 100 * share[0])
    np.testing.assert_allclose(last.values, 100 * share[2])
    np.testing.assert_allclose(last.edges, [0, 1 / 3, 2 / 3, 1])
    (mesh,) = meshes(axes[1])
    np.testing.assert_allclose(np.ma.filled(mesh.get_array(), 0), 100 * share.T)
    np.testing.assert_allclose(mesh.get_coordinates()[0, :, 0], [0.5, 1.5, 2.5, 3.5])
    np.testing.assert_allclose(points(axes[2], 1), np.column_stack([[1 / 6, 1 / 2, 5 / 6], weight[2]]))
    assert legend(axes[0]) == ["epoch 1", "epoch 3"]
    assert legend(axes[2]) == ["epoch 1", "epoch 3", "not harmonized"]
    labels = [(ax.get_xlabel(), ax.get_ylabel()) for ax in axes]
    assert labels[1] == ("epoch", "gradient norm") and labels[2] == ("gradient norm", "mean loss weight")


def test_gradient_norms_of_a_single_epoch_can_be_drawn():
    axes = plot_gradient_norms([[0.5, 0.5]], [[1.0, 1.0]])
    axes[0].figure.canvas.draw()
    assert legend(axes[0]) == ["epoch 1"]
    assert legend(axes[2]) == ["epoch 1", "not harmonized"]
