"""Pictures of results: a model over a whole database, or over the time of one recording."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.projections.polar import PolarAxes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from localization.angles import DEGREES_PER_CLASS, N_CLASSES, angular_difference, class_azimuth
from localization.calibration import Reliability, calibration_error
from localization.plots.figures import (
    BLUE,
    COLOURS,
    GREY,
    MARKERS,
    ORANGE,
    azimuth_labels,
    label_axes,
    new_axes,
)

CLEAN = 60.0  # dB SNR, above which nothing is to be heard of the noise


def plot_confusion(counts: ArrayLike, ax: Axes | None = None) -> Axes:
    """Which azimuth was taken for which; the dashed line is where front and back are confused.

    Parameters
    ----------
    counts : array_like (72, 72)
        Scenes, [true class, estimated class].
    ax : Axes, optional
    """
    counts = np.asarray(counts, dtype=np.float64)
    percent = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax = new_axes(size=(6.4, 5.4)) if ax is None else ax
    azimuths = class_azimuth(np.arange(N_CLASSES))
    mesh = ax.pcolormesh(
        azimuths,
        azimuths,
        np.ma.masked_equal(percent.T, 0),
        cmap="viridis_r",
        norm=LogNorm(0.1, 100),
        rasterized=True,
    )
    mirror = [0, 180, np.nan, 180, 360], [180, 0, np.nan, 360, 180]
    ax.plot(*mirror, "--", color=GREY, linewidth=1, zorder=0, label="front and back confused")
    ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), borderpad=0)
    bar = ax.figure.colorbar(mesh, ax=ax, label="scenes of this true azimuth (%)", extend="min")
    bar.ax.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    ticks = range(0, 360, 45)
    ax.set(xticks=ticks, yticks=ticks, xlim=(-2.5, 357.5), ylim=(-2.5, 357.5), aspect="equal")
    return label_axes(ax, "true azimuth (degrees)", "estimated azimuth (degrees)")


def plot_error_over_azimuth(
    azimuth: ArrayLike,
    error: ArrayLike,
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
    ax: Any = None,
) -> PolarAxes:
    """Error round the head, seen from above: front up, left on the left.

    The curve joins azimuths that are one class apart. An azimuth without such a neighbour is a dot.

    Parameters
    ----------
    azimuth : array_like (n,)
        True azimuths in degrees, ascending.
    error : array_like (n,)
        Angular error in degrees.
    low, high : array_like (n,), optional
        Its interval.
    ax : PolarAxes, optional
    """
    ax = new_axes(size=(5.4, 5.4), subplot_kw={"projection": "polar"}) if ax is None else ax
    ax.set_theta_zero_location("N")
    ax.set_theta_direction(1)
    azimuth = np.asarray(azimuth, dtype=np.float64)
    step = (np.roll(azimuth, -1) - azimuth) % 360  # from each to the next, from the last to the first
    apart = ~np.isclose(step, DEGREES_PER_CLASS)
    closed = np.append(np.arange(azimuth.size), 0)

    def broken(values: ArrayLike) -> NDArray[np.float64]:
        """With a gap after each azimuth whose next one is further away."""
        return np.insert(np.asarray(values, dtype=np.float64)[closed], np.flatnonzero(apart) + 1, np.nan)

    theta = broken(np.radians(azimuth))
    if low is not None and high is not None:
        ax.fill_between(theta, broken(low), broken(high), color=BLUE, alpha=0.25, linewidth=0)
    ax.plot(theta, broken(error), color=BLUE, linewidth=1.6)
    alone = apart & np.roll(apart, 1)
    ax.plot(np.radians(azimuth)[alone], np.asarray(error)[alone], "o", color=BLUE, markersize=4)
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_locator(MaxNLocator(4, prune="lower"))
    ax.set_xticks(np.radians(range(0, 360, 30)), azimuth_labels(range(0, 360, 30), "\n"))
    ax.tick_params(axis="x", pad=14)
    ax.set_rlabel_position(195)
    ax.set_title("mean angular error (degrees) over true azimuth", fontsize="medium", pad=18)
    return ax


def plot_accuracy_over_snr(
    snr_db: ArrayLike,
    accuracy: ArrayLike,
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
    ax: Axes | None = None,
    *,
    color: str = BLUE,
    label: str = "top-1",
) -> Axes:
    """Accuracy over the SNR; draw a second measure into the same Axes to compare.

    Parameters
    ----------
    snr_db : array_like (n,)
        Middle of each bin, of the talker over all noise.
    accuracy : array_like (n,)
        Share of scenes, in [0, 1].
    low, high : array_like (n,), optional
        Its interval.
    ax : Axes, optional
    color, label : str
        Of this measure.
    """
    ax = new_axes() if ax is None else ax
    if low is not None and high is not None:
        ax.fill_between(
            snr_db, 100 * np.asarray(low), 100 * np.asarray(high), color=color, alpha=0.2, linewidth=0
        )
    ax.plot(snr_db, 100 * np.asarray(accuracy), "o-", color=color, markersize=4, label=label, clip_on=False)
    # None leaves the other end, and both where a second measure follows, to the data.
    ax.set_ylim(top=100, auto=None)
    ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    ax.grid(axis="y", alpha=0.3)
    return label_axes(ax, "SNR, talker over all noise (dB)", "accuracy (%)")


def plot_systems_over_snr(curves: Mapping[str, tuple[ArrayLike, ArrayLike]], ax: Axes | None = None) -> Axes:
    """Accuracy of several systems over the SNR.

    Parameters
    ----------
    curves : mapping of str to (array_like (n,), array_like (n,))
        For each system SNRs in dB, of the talker over all noise, and the share of scenes, in [0, 1]. What is
        above 60 dB stands as "clean" beside the axis.
    ax : Axes, optional
    """
    ax = new_axes(size=(7.2, 4.4)) if ax is None else ax
    points = {name: tuple(map(np.asarray, curve)) for name, curve in curves.items()}
    noisy = np.concatenate([snr_db[snr_db <= CLEAN] for snr_db, _ in points.values()])
    beside = noisy.max(initial=0.0) + 5.0
    for number, (name, (snr_db, accuracy)) in enumerate(points.items()):
        style: dict[str, Any] = {
            "color": COLOURS[number % len(COLOURS)],
            "linestyle": "-" if number < len(COLOURS) else "--",
            "marker": MARKERS[number % len(MARKERS)],
            "markersize": 5,
            "linewidth": 1.6,
            "clip_on": False,
        }
        clean = snr_db > CLEAN
        ax.plot(snr_db[~clean], 100 * accuracy[~clean], **style, label=name)
        ax.plot(np.full(clean.sum(), beside), 100 * accuracy[clean], **style)
    ticks = 5 * np.arange(int(np.ceil(noisy.min(initial=beside) / 5)), (beside - 4) / 5)
    labels = {float(tick): f"{tick:g}".replace("-", "\N{MINUS SIGN}") for tick in ticks}
    if any((snr_db > CLEAN).any() for snr_db, _ in points.values()):
        labels[beside] = "clean"
    ax.set_xticks(list(labels), list(labels.values()))
    ax.set_ylim(0, 100)
    ax.grid(axis="y", alpha=0.3)
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return label_axes(ax, "SNR, talker over all noise (dB)", "top-1 (%)")


def plot_reliability(found: Reliability, ax: Axes | None = None) -> Axes:
    """Accuracy over confidence: on the diagonal, probabilities mean what they say.

    Parameters
    ----------
    found : Reliability
        From `localization.calibration.reliability`.
    ax : Axes, optional
    """
    ax = new_axes(size=(4.8, 4.8)) if ax is None else ax
    n_bins, filled = len(found.n_clips), found.n_clips > 0
    share = found.n_clips / max(found.n_clips.sum(), 1)
    ax.bar(
        (np.arange(n_bins) + 0.5) / n_bins,
        share,
        0.9 / n_bins,
        color=GREY,
        alpha=0.35,
        label="share of scenes",
    )
    ax.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1)
    label = f"accuracy (expected calibration error {calibration_error(found):.3f})"
    ax.plot(found.confidence[filled], found.accuracy[filled], "o-", color=BLUE, markersize=5, label=label)
    ax.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
    ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0))
    return label_axes(ax, "confidence", "accuracy")


def plot_azimuth_over_time(
    edges: ArrayLike, azimuth: ArrayLike, probabilities: ArrayLike | None = None, ax: Axes | None = None
) -> Axes:
    """Where a source is, moment by moment; the front is in the middle, left above it.

    Parameters
    ----------
    edges : array_like (n + 1,)
        Seconds: estimate k is of the time from edge k to edge k + 1.
    azimuth : array_like (n,)
        Degrees.
    probabilities : array_like (n, 72), optional
        Of each class; drawn behind the estimates.
    ax : Axes, optional
    """
    ax = new_axes(size=(7.0, 3.6)) if ax is None else ax
    edges = np.asarray(edges, dtype=np.float64)
    if probabilities is not None:
        height = angular_difference(class_azimuth(np.arange(N_CLASSES)), 0.0)
        upwards = np.argsort(height)
        mesh = ax.pcolormesh(
            edges,
            np.append(height[upwards], height.max() + DEGREES_PER_CLASS) - DEGREES_PER_CLASS / 2,
            np.asarray(probabilities).T[upwards],
            cmap="Blues",
            vmin=0,
            vmax=1,
            rasterized=True,
        )
        ax.figure.colorbar(mesh, ax=ax, label="probability", pad=0.02)
    ax.plot((edges[:-1] + edges[1:]) / 2, angular_difference(azimuth, 0.0), "o", color=ORANGE, markersize=4)
    ticks = range(-180, 181, 45)
    ax.set_yticks(ticks, azimuth_labels([tick % 360 for tick in ticks]))
    ax.set_ylim(-185, 185)
    ax.grid(axis="y", alpha=0.3)
    return label_axes(ax, "time (s)", "azimuth")
