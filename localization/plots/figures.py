"""What every picture shares: new Axes, colours, labels, and the file that it is written into."""

import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from database.store import write_atomically

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#8A8A8A"
COLOURS = BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"
MARKERS = "o", "s", "^", "D", "v"
FORMATS = "png", "pdf", "svg", "jpg"  # some others that matplotlib knows need programs that few machines have


def new_axes(
    n_rows: int = 1, n_columns: int = 1, size: tuple[float, float] = (6.4, 4.0), **options: Any
) -> Any:
    """Axes in a figure of their own.

    Parameters
    ----------
    n_rows, n_columns : int
        Their arrangement.
    size : (float, float)
        Of the figure, in inches.
    **options
        Those of `matplotlib.figure.Figure.subplots`.

    Returns
    -------
    Axes or array of Axes
        One, or (n_rows, n_columns) without the dimensions of length 1.
    """
    return Figure(figsize=size, layout="constrained").subplots(n_rows, n_columns, **options)


def save_figure(axes: Any, path: str | os.PathLike[str]) -> Path:
    """Write the figure of some Axes; the file appears complete or not at all.

    Parameters
    ----------
    axes : Axes or array of Axes
        Of one figure.
    path : path
        Its suffix is the format: .png, .pdf, .svg or .jpg. Missing folders are made.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If it has another suffix.
    OSError
        If the file cannot be written.
    """
    path, image = Path(path), io.BytesIO()
    np.ravel(axes)[0].figure.savefig(image, format=picture_format(path), dpi=150)
    write_atomically(path, image.getvalue())
    return path


def picture_format(path: Path) -> str:
    """The format that the suffix of a picture's name asks for; ValueError if it is none of `FORMATS`."""
    suffix = path.suffix[1:].lower()
    if suffix not in FORMATS:
        raise ValueError(f"{path}: expected the suffix of a picture ({', '.join(FORMATS)}), found {suffix!r}")
    return suffix


def label_axes(ax: Axes, x_label: str, y_label: str) -> Axes:
    """Label the Axes, and take away the frame where it tells nothing."""
    ax.set(xlabel=x_label, ylabel=y_label)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def azimuth_labels(azimuths: Iterable[int], before_name: str = " ") -> list[str]:
    """Azimuths in degrees, the four main ones with their names."""
    names = {0: "front", 90: "left", 180: "back", 270: "right"}
    return [
        f"{azimuth}°" + (before_name + names[azimuth] if azimuth in names else "") for azimuth in azimuths
    ]
