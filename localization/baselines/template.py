"""Template matching: the mean ITD and ILD of each band, compared with those of each azimuth.

The mean is over the frames of a clip, weighted by power and coherence: a frame that one source dominates has
nearly that source's cues, and in silence and where sources overlap they mean little.

The centre of an azimuth is the median of its training clips. How far clips lie from it has heavy tails, since
a noise turns some bands of some clips wholly to itself. So distances are judged by a Cauchy distribution, to
which it hardly matters how far off a band is that is far off.

- `fit`: templates of a dataset's clips, as a `TemplateMatcher`
- `clip_means`: what is compared, the means of each clip
- `Templates`: a centre for each azimuth, and how far clips may lie from it
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import cauchy
from torch import Tensor

from binaural_feature import CueFormat
from localization.baselines.base import Baseline, of_all_classes
from localization.dataset import CueDataset

COHERENCE_SCALE = 0.02  # a frame counts e times less at coherence 0.98 than at 1
RESOLUTION = np.array([1e-6, 0.01])[:, None]  # of ITD in s and ILD in dB: no spread is less


class Templates(NamedTuple):
    """A centre for each azimuth, and how far clips may lie from it.

    Attributes
    ----------
    classes : ndarray of int (n_known,)
        The azimuth classes, ascending.
    centre : ndarray (n_known, ...)
        The median over each class's clips.
    spread : ndarray (...)
        The median distance from it, of the clips of all classes.
    """

    classes: NDArray[np.intp]
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray[np.float64], classes: NDArray[np.intp], resolution: ArrayLike) -> "Templates":
        """Templates of values of clips.

        Parameters
        ----------
        values : ndarray (n_clips, ...)
            Some numbers for each clip.
        classes : ndarray of int (n_clips,)
            Azimuth class of each clip.
        resolution : array_like
            The least spread, of a shape that broadcasts.

        Examples
        --------
        >>> values, classes = np.array([[1.0], [2.0], [3.0], [7.0], [9.0]]), np.array([0, 0, 0, 4, 4])
        >>> templates = Templates.of(values, classes, 0.1)
        >>> templates.classes, templates.centre.ravel(), templates.spread
        (array([0, 4]), array([2., 8.]), array([1.]))
        """
        known, which = np.unique(classes, return_inverse=True)
        centre = np.stack([np.median(values[which == k], axis=0) for k in range(len(known))])
        spread = np.median(np.abs(values - centre[which]), axis=0)
        return cls(known, centre, np.maximum(spread, resolution))

    def log_likelihoods(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """How probable values are at each azimuth.

        Parameters
        ----------
        values : ndarray (n_clips, ...)

        Returns
        -------
        ndarray (n_clips, 72)
            Natural logarithms, summed over a clip's values; minus infinity for classes without a template.
        """
        numbers = tuple(range(1, values.ndim))
        of_known = [cauchy.logpdf(values, centre, self.spread).sum(axis=numbers) for centre in self.centre]
        return of_all_classes(np.stack(of_known, axis=1), self.classes)


class TemplateMatcher(Baseline):
    """Templates of ITD and ILD, (2, n_bands) for each azimuth.

    Parameters
    ----------
    cue_format : CueFormat
        Of the clips they are from.
    templates : Templates
    """

    def __init__(self, cue_format: CueFormat, templates: Templates) -> None:
        super().__init__(cue_format)
        self.templates = templates

    def log_likelihoods(self, dataset: CueDataset) -> NDArray[np.float64]:
        """As of `Baseline`: the sum over bands and over ITD and ILD."""
        return self.templates.log_likelihoods(clip_means(dataset))


def fit(dataset: CueDataset) -> TemplateMatcher:
    """Templates of a dataset's clips.

    Parameters
    ----------
    dataset : CueDataset
        To learn from.

    Returns
    -------
    TemplateMatcher

    Examples
    --------
    >>> from database.store import Database
    >>> database = Database("noisy_hrtf")                                        # doctest: +SKIP
    >>> matcher = fit(CueDataset(database, "train"))                             # doctest: +SKIP
    >>> matcher.log_probabilities(CueDataset(database, "test")).shape            # doctest: +SKIP
    (7560, 72)
    """
    return TemplateMatcher(
        dataset.database.format, Templates.of(clip_means(dataset), dataset.classes, RESOLUTION)
    )


def clip_means(dataset: CueDataset) -> NDArray[np.float64]:
    """Mean ITD and ILD of each clip and band, over frames weighted by power and coherence.

    Parameters
    ----------
    dataset : CueDataset

    Returns
    -------
    ndarray (n_clips, 2, n_bands)
        ITD in s, ILD in dB.
    """
    return dataset.mapped(_means)


def _means(cues: Tensor) -> NDArray[np.float64]:
    itd, ild, ic, energy = cues.numpy().astype(np.float64).transpose(1, 0, 2, 3)
    weight = 10 ** (energy / 10) * np.exp((ic - 1) / COHERENCE_SCALE)
    weight /= weight.sum(axis=-1, keepdims=True)
    return np.stack([(itd * weight).sum(axis=-1), (ild * weight).sum(axis=-1)], axis=1)
