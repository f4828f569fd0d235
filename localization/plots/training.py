"""Pictures of training: what a loss that harmonizes gradient norms found and did."""

from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from numpy.typing import ArrayLike, NDArray

from localization.plots.figures import BLUE, GREY, ORANGE, label_axes, new_axes


def plot_gradient_norms(share: ArrayLike, weight: ArrayLike, axes: Any = None) -> NDArray:
    """How gradient norms are spread, how that changes over the epochs, and what examples then weigh.

    Parameters
    ----------
    share : array_like (n_epochs, n_bins)
        Of each epoch's examples, in equal bins of gradient norms from 0 (easy) to 1.
    weight : array_like (n_epochs, n_bins)
        Their mean loss weight, NaN where there were none.
    axes : array of three Axes, optional
        For the histogram of the first and the last epoch, for all epochs, and for the weights of both.

    Returns
    -------
    array of three Axes
    """
    share, weight = np.asarray(share, dtype=np.float64), np.asarray(weight, dtype=np.float64)
    axes = new_axes(1, 3, size=(11.0, 3.4)) if axes is None else np.asarray(axes)
    n_epochs, n_bins = share.shape
    edges = np.linspace(0, 1, n_bins + 1)
    for epoch, color in {1: GREY, n_epochs: BLUE}.items():  # one where there is but one
        look: dict[str, Any] = {"color": color, "label": f"epoch {epoch}"}
        axes[0].stairs(100 * share[epoch - 1], edges, linewidth=1.6, **look)
        axes[2].plot(edges[:-1] + 0.5 / n_bins, weight[epoch - 1], "o-", markersize=4, **look)
    mesh = axes[1].pcolormesh(
        np.arange(n_epochs + 1) + 0.5,
        edges,
        np.ma.masked_equal(100 * share.T, 0),
        cmap="viridis_r",
        norm=LogNorm(0.1, 100),
        rasterized=True,
    )
    axes[1].figure.colorbar(mesh, ax=axes[1], label="examples (%)", extend="min")
    axes[1].xaxis.get_major_locator().set_params(integer=True)
    axes[2].axhline(1.0, color=ORANGE, linewidth=0.8, zorder=0, label="not harmonized")
    for ax in axes[[0, 2]]:
        ax.set_yscale("log")
        ax.legend(frameon=False)
    label_axes(axes[0], "gradient norm", f"examples per {1 / n_bins:.2g} (%)")
    label_axes(axes[1], "epoch", "gradient norm")
    label_axes(axes[2], "gradient norm", "mean loss weight")
    return axes
