"""From a recording to an azimuth.

Conventions: `signal` is (n_samples, 2), left ear first; an azimuth is in degrees in [0, 360),
counter-clockwise, 0 in front and 90 to the left.

- `Localizer`: a trained model that takes recordings
- `Location`: what it answers
"""

import math
import warnings
from dataclasses import asdict
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from tqdm import tqdm

from auditory_model import WHOLE_SIGNAL_MODELS, check_signal
from binaural_feature import CueExtractor, CueFormat
from database.recipe import Recipe
from localization.angles import class_azimuth
from localization.models.base import ENERGY
from localization.shipped import load_model
from localization.unlike_training import UnlikeTrainingWarning, found_unlike_training

PIECE = 10.0  # s, of a recording whose cues are computed at once: bounds the memory
BATCH = 64  # windows that go through the model together
LONG = 1.0  # s, after which progress is worth a word
PAUSE_DB = 20.0  # below the loudest piece, where 1.5 % of the seconds of read speech are


class Location(NamedTuple):
    """Where a source is.

    Attributes
    ----------
    azimuth : float, or ndarray (n_hops,)
        Degrees in [0, 360): the most probable class.
    probabilities : ndarray float32 (72,), or (n_hops, 72)
        Of the azimuth classes; class k is 5k degrees.
    """

    azimuth: float | NDArray[np.float64]
    probabilities: NDArray[np.float32]


class Localizer:
    """A trained model that takes recordings.

    Parameters
    ----------
    model : Module
        model(cues (n_clips, 4, n_bands, n_frames)) -> logits (n_clips, 72).
    format : CueFormat
        Of the maps that the model takes.
    duration : float
        Of the clips that it was trained on, in seconds.
    peak_db : tuple of float
        Lowest and highest peak of these clips, in dB re full scale.

    Examples
    --------
    >>> localizer = Localizer.load("any-head")                           # doctest: +SKIP
    >>> localizer.locate(signal, fs).azimuth                             # doctest: +SKIP
    90.0
    >>> localizer.locate(signal, fs, hop=0.1).azimuth                    # doctest: +SKIP
    array([90., 90., 95.])
    """

    def __init__(
        self,
        model: nn.Module,
        format: CueFormat,
        duration: float,
        peak_db: tuple[float, float] = Recipe.peak_db,
    ) -> None:
        self.model = model.eval()
        self.format = format
        self.duration = duration
        self.peak_db = peak_db

    @classmethod
    def load(cls, source: str | Path) -> "Localizer":
        """Load a trained model.

        Parameters
        ----------
        source : str or path
            The name of a model that comes with the package, "any-head" or "kemar"; a file that
            `shipped.export_run` wrote; or a run's folder (one that is called as a shipped model: "./kemar").

        Returns
        -------
        Localizer

        Raises
        ------
        OSError
            If there is no such model, or one of its files is missing; the message lists the shipped ones.
        ValueError
            If one of its files is damaged.

        Warns
        -----
        UserWarning
            If the training of a run is not finished.
        """
        run = load_model(source)
        if not run.is_finished:
            message = f"{source}: its training is not finished, and no temperature was fitted"
            warnings.warn(message, stacklevel=2)
        return cls(run.model, run.format, run.duration, run.peak_db)

    def locate(
        self, signal: ArrayLike, fs: float, hop: float | None = None, *, progress: bool = False
    ) -> Location:
        """Azimuth of the source in a recording.

        Parameters
        ----------
        signal : array_like (n_samples, 2)
            Left ear first, full scale 1; resampled with soxr to the rate of the model's cues. From one frame
            of the model on (10 ms), however long, as far as three copies of it go into memory.
        fs : float
            Sampling rate in Hz.
        hop : float, optional
            Seconds from one estimate to the next; one estimate for the whole recording if left out.
        progress : bool
            Show progress bars on a terminal, where it takes more than a second.

        Returns
        -------
        Location
            For the whole recording, azimuth a float and probabilities (72,): the mean of the
            log-probabilities of pieces about as long as the clips that the model was trained on, those left
            out that are 20 dB fainter than the loudest, in which nobody talks. With `hop`, (n_hops,) and
            (n_hops, 72): estimate k is of the sound around the stretch from k · hop to (k + 1) · hop, half as
            long as such a clip or, if that is longer, one hop; in a pause, of what is heard then.

        Raises
        ------
        ValueError
            If the signal, `fs` or `hop` is not as above.

        Warns
        -----
        UnlikeTrainingWarning
            If the recording as a whole is unlike all that the model was trained on: silence, one dead ear,
            both ears the same, far too faint or loud, clipped, or of a narrow range of frequencies.
        """
        samples, fs = check_signal(signal, fs)
        frame = 1 / self.format.frame_rate
        if hop is not None and not (isinstance(hop, Real) and frame <= hop < math.inf):
            raise ValueError(f"hop must be at least one frame, {frame:g} s, found {hop!r}")
        cues = self._cues(samples, fs, progress)
        log_probabilities = self._log_probabilities(cues, self._windows(cues, hop), progress)
        if hop is None:
            log_probabilities = torch.log_softmax(log_probabilities.mean(dim=0), dim=-1)
        probabilities = log_probabilities.exp().numpy()
        azimuth = class_azimuth(probabilities.argmax(axis=-1))
        for found in found_unlike_training(samples, fs, self.format, self.peak_db):
            warnings.warn(found, UnlikeTrainingWarning, stacklevel=2)
        return Location(float(azimuth) if hop is None else azimuth, probabilities)

    def _cues(self, samples: NDArray[np.float64], fs: float, progress: bool) -> Tensor:
        """Cue maps (4, n_bands, n_frames) of a recording of any length and rate, a piece at a time."""
        if fs != self.format.fs:
            samples = soxr.resample(samples, fs, self.format.fs)
        if len(samples) < self.format.frame_shift:
            raise ValueError(
                f"signal is too short: {len(samples)} samples at {self.format.fs:g} Hz, "
                f"a frame has {self.format.frame_shift}"
            )
        extractor = CueExtractor(**asdict(self.format))
        whole = self.format.model_type in WHOLE_SIGNAL_MODELS
        piece = len(samples) if whole else round(PIECE * self.format.fs)
        maps = []
        with _bar(progress, "cues", round(len(samples) / self.format.fs), " s") as bar:
            for start in range(0, len(samples), piece):
                part = samples[start : start + piece]
                maps.append(np.stack(extractor.process(part)).astype(np.float32))
                bar.update(round(len(part) / self.format.fs))
        return torch.from_numpy(np.concatenate(maps, axis=-1))

    def _windows(self, cues: Tensor, hop: float | None) -> list[tuple[int, int]]:
        """First and last frame, exclusive, of what each estimate or part of one is made of."""
        n_frames, rate = cues.shape[-1], self.format.frame_rate
        if hop is None:
            n_windows = max(1, round(n_frames / (self.duration * rate)))
            edges = np.linspace(0, n_frames, n_windows + 1).round().astype(int)
            return _without_pauses(cues, list(pairwise(edges.tolist())))
        hop = min(hop, n_frames / rate)  # a longer one is one estimate as well
        half = max(self.duration / 2, hop) * rate / 2
        centres = (np.arange(max(1, math.ceil(n_frames / (hop * rate) - 1e-9))) + 0.5) * hop * rate
        windows = np.stack([centres - half, centres + half], axis=1).round().astype(int)
        # The last hop may be cut short; it keeps one frame at least.
        return [(min(max(0, a), n_frames - 1), min(b, n_frames)) for a, b in windows.tolist()]

    def _log_probabilities(self, cues: Tensor, windows: list[tuple[int, int]], progress: bool) -> Tensor:
        """(n_windows, n_classes); windows of one length go through the model together."""
        rows: list[Tensor] = [torch.empty(0)] * len(windows)
        lengths = [last - first for first, last in windows]
        with torch.inference_mode(), _bar(progress, "estimates", len(windows), "") as bar:
            for length in sorted(set(lengths)):
                these = [k for k, other in enumerate(lengths) if other == length]
                for few in (these[k : k + BATCH] for k in range(0, len(these), BATCH)):
                    batch = torch.stack([cues[..., slice(*windows[k])] for k in few])
                    for k, row in zip(few, self.model(batch).log_softmax(dim=-1), strict=True):
                        rows[k] = row
                    bar.update(len(few))
        return torch.stack(rows)


def _bar(progress: bool, what: str, total: int, unit: str) -> tqdm:
    return tqdm(
        desc=what, total=total, unit=unit, disable=None if progress else True, delay=LONG, leave=False
    )


def _without_pauses(cues: Tensor, windows: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those whose mean power is not far below that of the loudest."""
    power = [float((10 ** (cues[ENERGY, :, first:last] / 10)).mean()) for first, last in windows]
    least = 10 ** (-PAUSE_DB / 10) * max(power)
    return [window for window, found in zip(windows, power, strict=True) if found >= least]
