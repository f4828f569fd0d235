"""Mixtures of Gaussians over ITD and ILD, one for each azimuth and band.

After May, van de Par & Kohlrausch (2011), "A probabilistic model for robust localization based on a binaural
auditory front-end", IEEE TASLP 19, 1-13: the joint distribution of ITD and ILD is learned for each azimuth
and band, from frames in the conditions to come; the log-likelihoods of a clip are summed over its bands and
averaged over its frames, since clips may differ in length.
The cues are those of the database, so windows, rates and bands are its own and not the paper's.

- `fit`: the mixtures of a dataset's frames, as a `MixtureLocalizer`
"""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor
from tqdm import tqdm

from binaural_feature import CueFormat
from localization.baselines.base import Baseline, of_all_classes
from localization.dataset import CueDataset
from localization.device import best_device

N_COMPONENTS = 15
N_FRAMES = 2000  # of each azimuth: with three times as many, top-1 changes by 0.1 point
LEAST_VARIANCE = 1e-4  # that of all frames being 1
CLIPS_AT_ONCE = 32


class MixtureLocalizer(Baseline):
    """Mixtures over ITD and ILD.

    Parameters
    ----------
    cue_format : CueFormat
        Of the clips they are from.
    classes : ndarray of int (n_known,)
        The azimuth classes.
    mixtures : list of list of GaussianMixture, (n_known, n_bands)
        Of ITD and ILD divided by `scale`.
    scale : ndarray (2,)
        In s and dB.
    """

    def __init__(
        self,
        cue_format: CueFormat,
        classes: NDArray[np.intp],
        mixtures: list[list[GaussianMixture]],
        scale: NDArray[np.float32],
    ) -> None:
        super().__init__(cue_format)
        self.classes = classes
        self.mixtures = mixtures
        self.scale = scale

    def log_likelihoods(self, dataset: CueDataset) -> NDArray[np.float64]:
        """As of `Baseline`."""
        device = best_device()
        coefficients = torch.from_numpy(self._coefficients()).to(device)

        def of_clips(cues: Tensor) -> NDArray[np.float64]:
            bands = torch.from_numpy(_frames(cues) / self.scale).to(device).unbind(dim=2)
            of_bands = torch.stack(list(map(_log_likelihoods, bands, coefficients)))
            return of_bands.sum(dim=0).mean(dim=1).cpu().double().numpy()

        return of_all_classes(dataset.mapped(of_clips, CLIPS_AT_ONCE), self.classes)

    def _coefficients(self) -> NDArray[np.float32]:
        """What `_log_likelihoods` takes of each band, (n_bands, n_components, 5, n_known)."""
        weight, mean, variance = (
            np.array([[getattr(mixture, name) for mixture in of_bands] for of_bands in self.mixtures])
            for name in ("weights_", "means_", "covariances_")
        )
        quadratic = mean**2 / variance + np.log(2 * np.pi * variance)
        constant = np.log(weight)[..., None] - 0.5 * quadratic.sum(axis=-1, keepdims=True)
        polynomial = np.concatenate([constant, mean / variance, -0.5 / variance], axis=-1)
        return polynomial.transpose(1, 2, 3, 0).astype(np.float32)


def fit(
    dataset: CueDataset, n_components: int = N_COMPONENTS, n_frames: int = N_FRAMES, seed: int = 0
) -> MixtureLocalizer:
    """Mixtures of a dataset's frames.

    Parameters
    ----------
    dataset : CueDataset
        To learn from.
    n_components : int
        Gaussians in each mixture, each with a variance of its own for ITD and for ILD.
    n_frames : int
        About how many frames of each azimuth to learn from, drawn evenly from all clips.
    seed : int
        Of the frames that are drawn and of where the Gaussians start.

    Returns
    -------
    MixtureLocalizer

    Raises
    ------
    ValueError
        If there are fewer frames of an azimuth than Gaussians.
    """
    classes, n_clips = np.unique(dataset.classes, return_counts=True)
    rng = np.random.default_rng(seed)
    n_drawn = min(-(-n_frames // n_clips.min()), dataset.database.shape[2])
    if n_drawn * n_clips.min() < n_components:
        raise ValueError(
            f"{dataset.database.folder}: {n_drawn * n_clips.min()} frames of an azimuth, "
            f"expected at least n_components, {n_components}"
        )
    frames = dataset.mapped(lambda cues: _draw(_frames(cues), n_drawn, rng))
    scale = frames.std(axis=(0, 1, 2))
    frames /= scale
    mixtures = [
        [_fit_mixture(of_band, n_components, seed) for of_band in _by_band(frames[dataset.classes == k])]
        for k in tqdm(classes, desc="mixtures", unit=" azimuths", leave=False, disable=None)
    ]
    return MixtureLocalizer(dataset.database.format, classes, mixtures, scale)


def _fit_mixture(frames: NDArray[np.float32], n_components: int, seed: int) -> GaussianMixture:
    """One mixture of (n, 2)."""
    mixture = GaussianMixture(
        n_components,
        covariance_type="diag",
        reg_covar=LEAST_VARIANCE,
        init_params="k-means++",
        random_state=seed,
    )
    with warnings.catch_warnings():  # a hundred steps are enough, be the last one small or not
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(frames)


def _frames(cues: Tensor) -> NDArray[np.float32]:
    """ITD and ILD, (n_clips, n_frames, n_bands, 2)."""
    return cues[:, :2].numpy().transpose(0, 3, 2, 1)


def _by_band(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """All frames of all clips, (n_bands, n_clips * n_frames, 2)."""
    return frames.transpose(2, 0, 1, 3).reshape(frames.shape[2], -1, 2)


def _draw(frames: NDArray[np.float32], n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """So many frames of each clip."""
    chosen = np.argsort(rng.random(frames.shape[:2]), axis=1)[:, :n]
    return np.take_along_axis(frames, chosen[:, :, None, None], axis=1)


def _log_likelihoods(frames: Tensor, coefficients: Tensor) -> Tensor:
    """Of frames (n_clips, n_frames, 2) in one band: (n_clips, n_frames, n_known).

    A Gaussian's logarithm is a polynomial: coefficients (n_components, 5, n_known) of 1, x, y, x² and y².
    """
    terms = torch.cat([torch.ones_like(frames[..., :1]), frames, frames**2], dim=-1)
    components = terms.flatten(0, 1) @ coefficients
    return components.logsumexp(dim=0).unflatten(0, frames.shape[:2])
