"""What two ears hear: three figures from real or synthetic speech.

    python examples/analysis.py --speech LibriSpeech --noise ESC-50 --out figures

- `circle.png`: a talker walks round the head once, counter-clockwise from the front. Time and level
  difference over time change sign in front and behind. The time difference is largest at the sides; the
  level difference some 25 degrees before and after them, since at the side itself sound that was bent round
  both ways meets at the far ear.
- `noise.png`: one clip from 60 degrees in noise from 300 degrees, at 0 dB and at 15 dB signal-to-noise
  ratio, as cue maps.
- `two_talkers.png`: one talker on the left, one on the right, both at once. Over all frames the differences
  are smeared; over those of high coherence (Faller & Merimaa 2004) each talker shows as a peak.

Without `--speech` or `--noise` the sounds are synthetic. What was measured is printed.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auditory_model import centre_freqs
from binaural_feature import Cues, get_cues, select_cues
from database.hrtf import Head, kemar
from database.mixing import mix, render
from database.sources import Source, noise_source, speech_source
from localization.plots import (
    BLUE,
    GREY,
    new_axes,
    plot_cue_over_time,
    plot_cues,
    plot_itd_ild_histogram,
    save_figure,
)

FS = 16_000
FRAME_RATE = 100  # Hz, what `get_cues` takes where nothing else is asked for
CFS = centre_freqs(FS)
# Below 450 Hz a wave takes longer round the head (Kuhn 1977); above 1.4 kHz its period is shorter than that.
# A level difference needs a head that is large against the wavelength.
ITD_BANDS = (CFS > 450) & (CFS < 1400)
ILD_BANDS = CFS > 1500
Array = NDArray[np.float64]


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the three figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--speech", type=Path, help="folder of speech; synthetic talkers if left out")
    parser.add_argument("--noise", type=Path, help="folder of noise; synthetic noise if left out")
    parser.add_argument("--noise-type", default="rain", help="which noise of that folder (default: rain)")
    parser.add_argument(
        "--out", type=Path, default=Path("figures"), help="folder for the figures (default: figures)"
    )
    options = parser.parse_args(arguments)
    head = kemar().resampled(FS)
    try:
        speech, noise = speech_source(options.speech), noise_source(options.noise)
        talkers = sorted({recording.label for recording in speech.recordings})
        if len(talkers) < 2:
            raise ValueError(f"{options.speech}: speech of two talkers expected, found {', '.join(talkers)}")
        first, second = talkers[0], talkers[len(talkers) // 2]
        walking = sound(speech, first, 14.4)
        in_noise = sound(speech, first, 2.0), sound(noise, options.noise_type, 2.0)
        both = sound(speech, first, 10.0), sound(speech, second, 10.0)
        options.out.mkdir(parents=True, exist_ok=True)
        walk = moving_source(walking, head, range(0, 361, 5))
        save_figure(plot_circle(walk), options.out / "circle.png")
        save_figure(plot_in_noise(*in_noise, head), options.out / "noise.png")
        save_figure(plot_two_talkers(two_talkers(*both, head)), options.out / "two_talkers.png")
    except (ValueError, OSError) as error:
        parser.error(str(error))

    print(f"speech: {speech.kind}, talkers {first} and {second}; noise: {noise.kind}, {options.noise_type}")
    for azimuth, itd in zip((90, 270), itd_at(walk, (90, 270)), strict=True):
        print(f"{azimuth} degrees: ITD {1e3 * itd:+.2f} ms")
    print(f"figures in {options.out}")


def sound(source: Source, label: str, duration: float) -> Array:
    """The first seconds of one talker, or of one type of noise; an rms of 1."""
    recordings = [recording for recording in source.recordings if recording.label == label]
    if not recordings:
        raise ValueError(
            f"{label}: expected one of {', '.join(sorted({r.label for r in source.recordings}))}"
        )
    n_samples, pieces = round(duration * FS), np.empty(0)
    while len(pieces) < n_samples:
        if not recordings:
            raise ValueError(f"{label}: {len(pieces) / FS:.1f} s of sound, expected at least {duration:g} s")
        pieces = np.concatenate([pieces, source.read(recordings.pop(0), FS)])
    return pieces[:n_samples] / np.std(pieces[:n_samples])


def moving_source(speech: Array, head: Head, azimuths: Sequence[float]) -> Array:
    """Speech from a place that moves evenly through `azimuths`.

    It is rendered from each azimuth, and cross-faded linearly from one to the next.

    Parameters
    ----------
    speech : ndarray (n_samples,)
        At the head's sampling rate.
    head : Head
        With a response at each azimuth.
    azimuths : sequence of float
        Degrees: the first at the beginning, the last at the end.

    Returns
    -------
    ndarray (n_samples, 2)
        Left ear first.
    """
    place = np.linspace(0, len(azimuths) - 1, len(speech))
    signal = np.zeros((len(speech), 2))
    for number, azimuth in enumerate(azimuths):
        gain = np.maximum(1 - np.abs(place - number), 0)
        signal += render(gain * speech, head.response(azimuth))
    return signal


def differences_over_time(cues: Cues, times: Array, width: float) -> tuple[Array, Array]:
    """One time difference and one level difference for each moment.

    Each is a median over bands and frames, weighted by amplitude, of what is coherent.

    Parameters
    ----------
    cues : Cues of ndarray (n_bands, n_frames)
        In the bands `CFS`.
    times : ndarray (n,)
        Middle of each moment, in s.
    width : float
        Length of each moment, in s.

    Returns
    -------
    itd, ild : ndarray (n,)
        In s and dB.
    """
    frame_times = (np.arange(cues.itd.shape[1]) + 0.5) / FRAME_RATE
    # Amplitude, not power: one strong harmonic whose period fits the lag must not outvote all other bands.
    weights = 10 ** (cues.energy / 20) * (cues.ic > 0.95)
    medians = [
        (
            weighted_median(cues.itd[ITD_BANDS][:, near], weights[ITD_BANDS][:, near]),
            weighted_median(cues.ild[ILD_BANDS][:, near], weights[ILD_BANDS][:, near]),
        )
        for near in np.abs(frame_times - times[:, None]) <= width / 2
    ]
    itd, ild = np.array(medians).T
    return itd, ild


def weighted_median(values: Array, weights: Array) -> float:
    """The value on both sides of which lies half of the weight; NaN where there is none."""
    order = np.argsort(values, axis=None)
    below = np.cumsum(weights.ravel()[order])
    if below[-1] == 0:
        return np.nan
    return float(values.ravel()[order][np.searchsorted(below, below[-1] / 2)])


def itd_at(walk: Array, azimuths: Sequence[float], reach: float = 7.5) -> Array:
    """Time differences of one turn round the head, in s, each over what lies within `reach` degrees."""
    seconds_per_degree = len(walk) / FS / 360
    times = np.asarray(azimuths) * seconds_per_degree
    return differences_over_time(get_cues(walk, FS), times, 2 * reach * seconds_per_degree)[0]


def two_talkers(left: Array, right: Array, head: Head, azimuth: float = 40.0) -> Cues:
    """Cues of two talkers at once, at `azimuth` and at its mirror image on the right."""
    return get_cues(render(left, head.response(azimuth)) + render(right, head.response(-azimuth)), FS)


def plot_circle(walk: Array) -> NDArray:
    """Time and level difference of one turn round the head, over time and azimuth."""
    duration = len(walk) / FS
    times = np.arange(0.1, duration, 0.1)
    itd, ild = differences_over_time(get_cues(walk, FS), times, width=0.4)
    axes = new_axes(2, 1, size=(8.0, 5.0), sharex=True)
    plot_cue_over_time(times, itd, "itd", axes[0]).set_xlabel("")
    plot_cue_over_time(times, ild, "ild", axes[1])
    azimuth = axes[0].secondary_xaxis(
        "top", functions=(lambda t: t * 360 / duration, lambda a: a * duration / 360)
    )
    azimuth.set(xlabel="azimuth (degrees)", xticks=range(0, 361, 45))
    for ax in axes:
        ax.set_xlim(0, duration)
        for side in (90, 180, 270):
            ax.axvline(side * duration / 360, color=GREY, linewidth=0.8, linestyle=":")
    return axes


def plot_in_noise(speech: Array, noise: Array, head: Head) -> NDArray:
    """Cue maps of a talker at 60 degrees, in noise from 300 degrees at 0 dB and at 15 dB."""
    axes = new_axes(4, 2, size=(12.0, 8.5), sharex=True, sharey=True)
    for column, snr_db in zip(axes.T, (0.0, 15.0), strict=True):
        mixture = mix(speech, head.response(60), [noise], [head.response(300)], [snr_db], peak_db=-6.0)
        plot_cues(get_cues(mixture.signal, FS), CFS, FRAME_RATE, column)
        column[0].set_title(f"signal-to-noise ratio {snr_db:g} dB")
    for ax in axes[:, 1]:
        ax.set_ylabel("")
    for maps in ([ax.collections[0] for ax in row] for row in axes):  # one scale, so that they compare
        low, high = zip(*(one.get_clim() for one in maps), strict=True)
        for one in maps:
            one.set_clim(min(low), max(high))
    return axes


def plot_two_talkers(cues: Cues) -> NDArray:
    """Histograms of time and level difference, over all frames and over those of high coherence."""
    axes = new_axes(1, 2, size=(8.0, 3.2))
    for color, label, ic_min in ((GREY, "all frames", 0.0), (BLUE, "coherence at least 0.98", 0.98)):
        itd, ild = (
            select_cues(Cues(*(cue[bands] for cue in cues)), ic_min) for bands in (ITD_BANDS, ILD_BANDS)
        )
        plot_itd_ild_histogram(itd.itd, ild.ild, axes, color=color, label=label)
    return axes


if __name__ == "__main__":
    main()
