"""Pictures of cues: maps over time and frequency, curves over time, histograms."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from auditory_model import check_name
from localization.plots.figures import BLUE, GREY, label_axes, new_axes

FREQUENCIES = (100, 200, 500, 1000, 2000, 5000, 10000, 20000)


class CueAxis(NamedTuple):
    """How a cue is drawn: label, unit, the factor from SI to that unit, colours, and whether it is signed."""

    label: str
    unit: str
    factor: float
    colours: str
    signed: bool


CUE_AXES = {
    "itd": CueAxis("ITD (ms)", "ms", 1e3, "RdBu_r", True),
    "ild": CueAxis("ILD (dB)", "dB", 1.0, "RdBu_r", True),
    "ic": CueAxis("coherence", "1", 1.0, "cividis", False),
    "energy": CueAxis("energy (dB)", "dB", 1.0, "magma", False),
}


def plot_cues(cues: ArrayLike, cfs: ArrayLike, frame_rate: float, axes: Any = None) -> NDArray:
    """The four cue maps over time and frequency.

    Parameters
    ----------
    cues : Cues or array_like (4, n_bands, n_frames)
        itd in s, ild in dB, ic, energy in dB.
    cfs : array_like (n_bands,)
        Centre frequencies in Hz, ascending; the axis is spaced by equivalent rectangular bandwidths.
    frame_rate : float
        Frames a second, fs / frame_shift.
    axes : array of four Axes, optional

    Returns
    -------
    array of four Axes

    Raises
    ------
    ValueError
        If the shapes of `cues` and `cfs` do not match.
    """
    maps, cfs = np.asarray(cues, dtype=np.float64), np.asarray(cfs, dtype=np.float64)
    if maps.ndim != 3 or maps.shape[:2] != (len(CUE_AXES), len(cfs)):
        raise ValueError(f"cues: shape (4, {len(cfs)}, n_frames) expected, found {maps.shape}")
    axes = new_axes(4, 1, size=(7.0, 8.5), sharex=True) if axes is None else np.asarray(axes)
    time = np.arange(maps.shape[2] + 1) / frame_rate
    for ax, cue, values in zip(axes, CUE_AXES, maps, strict=True):
        _plot_map(ax, cue, values, cfs, time)
    axes[-1].set_xlabel("time (s)")
    return axes


def plot_cue_over_time(
    time: ArrayLike,
    values: ArrayLike,
    cue: str = "itd",
    ax: Axes | None = None,
    *,
    color: str = BLUE,
    label: str | None = None,
) -> Axes:
    """One cue as a curve over time; draw a second one into the same Axes to compare.

    Parameters
    ----------
    time : array_like (n,)
        Seconds.
    values : array_like (n,)
        In the cue's own unit: s, dB or 1.
    cue : {"itd", "ild", "ic", "energy"}
    ax : Axes, optional
    color, label : str
        Of this curve.

    Raises
    ------
    ValueError
        If there is no such cue.
    """
    style = check_name(cue, CUE_AXES, "cue")
    ax = new_axes(size=(7.0, 2.6)) if ax is None else ax
    ax.plot(time, np.asarray(values) * style.factor, color=color, linewidth=1.6, label=label)
    if style.signed:
        ax.axhline(0.0, color=GREY, linewidth=0.8, zorder=0)
    if label is not None:
        ax.legend(frameon=False)
    return label_axes(ax, "time (s)", style.label)


def plot_itd_ild_histogram(
    itd: ArrayLike, ild: ArrayLike, axes: Any = None, *, color: str = BLUE, label: str | None = None
) -> NDArray:
    """How often each ITD and each ILD occurs; draw a second set into the same Axes to compare.

    Parameters
    ----------
    itd : array_like
        Seconds, of any shape.
    ild : array_like
        dB, of any shape.
    axes : array of two Axes, optional
        For the ITD and for the ILD.
    color, label : str
        Of this set.

    Returns
    -------
    array of two Axes
        With the share of values in each 0.04 ms and each 1 dB.
    """
    axes = new_axes(1, 2, size=(8.0, 3.2)) if axes is None else np.asarray(axes)
    for ax, cue, values, width in zip(axes, ("itd", "ild"), (itd, ild), (0.04, 1.0), strict=True):
        style = CUE_AXES[cue]
        shown = np.ravel(values) * style.factor
        reach = np.ceil(np.abs(shown).max(initial=width) / width) + 0.5
        bins = np.arange(-reach, reach + 1) * width
        weights = np.full(shown.size, 100 / max(shown.size, 1))
        ax.hist(shown, bins, weights=weights, histtype="stepfilled", color=color, alpha=0.3, label=label)
        ax.hist(shown, bins, weights=weights, histtype="step", color=color)
        label_axes(ax, style.label, f"frames per {width:g} {style.unit} (%)")
        if label is not None:
            ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return axes


def _plot_map(
    ax: Axes, cue: str, values: NDArray[np.float64], cfs: NDArray[np.float64], time: NDArray[np.float64]
) -> None:
    """One cue map, with its colour bar."""
    style = CUE_AXES[cue]
    shown = values * style.factor
    low, high = _colour_limits(cue, shown)
    mesh = ax.pcolormesh(
        time, _band_edges(cfs), shown, cmap=style.colours, vmin=low, vmax=high, rasterized=True
    )
    ax.figure.colorbar(mesh, ax=ax, label=style.label, pad=0.02)
    ax.set_yscale("function", functions=(_erb_rate, _frequency))
    ticks = [frequency for frequency in FREQUENCIES if cfs[0] <= frequency <= cfs[-1]]
    ax.set_yticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    ax.set_ylabel("frequency (Hz)")


def _colour_limits(cue: str, values: NDArray[np.float64]) -> tuple[float, float]:
    """Ends of the colour scale; of a signed cue 0 is in the middle, and one value in a hundred outside."""
    if cue == "ic":
        return 0.0, 1.0
    if cue == "energy":
        return values.max() - 60.0, values.max()
    largest = max(float(np.percentile(np.abs(values), 99)), 1e-3)
    return -largest, largest


def _erb_rate(frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Equivalent rectangular bandwidths below a frequency in Hz (Glasberg & Moore 1990, eq. 4)."""
    return 21.4 * np.log10(1 + 0.00437 * np.maximum(frequency, -200.0))


def _frequency(erb_rate: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `_erb_rate`."""
    return (10 ** (np.asarray(erb_rate) / 21.4) - 1) / 0.00437


def _band_edges(cfs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Frequencies half-way between neighbouring bands, and as far outside the outermost ones."""
    rate = _erb_rate(cfs)
    steps = np.diff(rate) if len(rate) > 1 else np.ones(1)
    between = rate[:-1] + np.diff(rate) / 2
    return _frequency(np.concatenate([rate[:1] - steps[:1] / 2, between, rate[-1:] + steps[-1:] / 2]))
