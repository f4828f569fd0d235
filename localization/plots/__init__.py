"""Every picture.

Each function draws given numbers into given Axes, or into Axes of a new figure, and returns them; none
keeps a global state, needs a display or computes a result. Axes are labelled in units to read: s, ms, Hz,
dB, degrees.

Conventions: an azimuth is counter-clockwise, 0 front, 90 left; a picture of the circle seen from above has
the front at the top and left on the left. Colours are told apart by colour-blind people (Okabe & Ito); a
signed cue is red where left leads or is louder, blue where right does, white at 0.

- `new_axes`, `picture_format`, `save_figure`: before and after
- `plot_cues`, `plot_cue_over_time`, `plot_itd_ild_histogram`: what the ears hear
- `plot_confusion`, `plot_error_over_azimuth`, `plot_accuracy_over_snr`, `plot_reliability`: what a model does
- `plot_systems_over_snr`: what several do
- `plot_gradient_norms`: what a loss that harmonizes them found
- `plot_azimuth_over_time`: one recording, located

Examples
--------
>>> import tempfile
>>> import numpy as np
>>> from auditory_model import centre_freqs
>>> from binaural_feature import get_cues
>>> noise = np.random.default_rng(0).standard_normal((8000, 2))
>>> axes = plot_cues(get_cues(noise, 16000), centre_freqs(16000), frame_rate=100)
>>> with tempfile.TemporaryDirectory() as folder:
...     save_figure(axes, f"{folder}/cues.png").name
'cues.png'
"""

from localization.plots.cues import CUE_AXES, plot_cue_over_time, plot_cues, plot_itd_ild_histogram
from localization.plots.figures import BLUE, GREY, ORANGE, new_axes, picture_format, save_figure
from localization.plots.results import (
    plot_accuracy_over_snr,
    plot_azimuth_over_time,
    plot_confusion,
    plot_error_over_azimuth,
    plot_reliability,
    plot_systems_over_snr,
)
from localization.plots.training import plot_gradient_norms

__all__ = [
    "BLUE",
    "CUE_AXES",
    "GREY",
    "ORANGE",
    "new_axes",
    "picture_format",
    "plot_accuracy_over_snr",
    "plot_azimuth_over_time",
    "plot_confusion",
    "plot_cue_over_time",
    "plot_cues",
    "plot_error_over_azimuth",
    "plot_gradient_norms",
    "plot_itd_ild_histogram",
    "plot_reliability",
    "plot_systems_over_snr",
    "save_figure",
]
