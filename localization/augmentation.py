"""Cue maps as another head, ear or recording would have given them, while their azimuths stay true.

Conventions: cues float32 (n_clips, 4, n_bands, n_frames) in the order itd, ild, ic, energy and in the units
of the database, classes int64 (n_clips,), both on any device. What is drawn comes from a numpy generator, so
that it is the same on every device. Silence (ic 0) stays silence, whatever the head and the ears.

- `AugmentationConfig`: what is done, each with a number whose 0 switches it off
- `augment`: a batch, all that is switched on
- `mirrored`, `with_ears_swapped`, `with_other_head`, `with_other_ears`, `mixed`, `masked`: nothing drawn
"""

import math
from dataclasses import dataclass, fields
from numbers import Real

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from binaural_feature import CueFormat
from localization.angles import N_CLASSES

DB = math.log(10) / 10  # of a power, to its natural logarithm
SMOOTHNESS = 2.0  # bands: standard deviation of the kernel that smooths an ear's response

Targets = list[tuple[float, Tensor]]


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """What is done to the training set's clips, anew in every epoch; each is off at 0.

    Parameters
    ----------
    mirror : float
        Probability that a clip's ears are swapped and its azimuth mirrored. A network that `training.train`
        is given by its name also hears each clip both ways round when it is used, and answers by the mean.
    head_warp : float
        Each clip as if heard by a head up to so much smaller or larger: 0.1 is 10 %.
    spectral_jitter : float
        Standard deviation, in dB, of smooth random responses that are given to each clip's two ears.
    mixup : float
        Clips are mixed in pairs, in a ratio drawn from Beta(mixup, mixup).
    mask_bands, mask_frames : float
        Largest share of each clip's bands and frames, next to each other, that is hidden.

    Raises
    ------
    ValueError
        If one of them is no number, negative or too large.
    """

    mirror: float = 0.0
    head_warp: float = 0.0
    spectral_jitter: float = 0.0
    mixup: float = 0.0
    mask_bands: float = 0.0
    mask_frames: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):  # those of a subclass as well
            value = getattr(self, field.name)
            # YAML takes 3e-3 for text, and Python True for 1.
            if field.type is float and (not isinstance(value, Real) or isinstance(value, bool)):
                raise ValueError(f"{field.name} must be a number such as 0.003 or 3.0e-3, found {value!r}")
        for field in fields(AugmentationConfig):
            value = getattr(self, field.name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{field.name} must be finite and not negative, found {value}")
        if self.mirror > 1:
            raise ValueError(f"mirror must be a probability, found {self.mirror}")
        for name in ("head_warp", "mask_bands", "mask_frames"):
            if getattr(self, name) >= 1:
                raise ValueError(f"{name} must be a share below 1, found {getattr(self, name)}")


def augment(
    config: AugmentationConfig,
    cues: Tensor,
    classes: Tensor,
    rng: np.random.Generator,
    cue_format: CueFormat,
) -> tuple[Tensor, Targets]:
    """Do to a batch what is switched on.

    Parameters
    ----------
    config : AugmentationConfig
        What that is.
    cues, classes : Tensor
        The batch.
    rng : Generator
        Draws.
    cue_format : CueFormat
        Of the cues.

    Returns
    -------
    cues : Tensor
        Of the shape given; NaN where something is hidden.
    targets : list of (float, Tensor)
        Classes and their weight, the largest first; the weights sum to 1. One entry, but two after `mixup`.
    """
    n_clips, _, n_bands, n_frames = cues.shape
    if config.mirror:
        cues, classes = mirrored(cues, classes, rng.random(n_clips) < config.mirror)
    if config.head_warp:
        sizes = rng.uniform(1 - config.head_warp, 1 + config.head_warp, n_clips)
        cues = with_other_head(cues, sizes, cue_format)
    if config.spectral_jitter:
        cues = with_other_ears(cues, config.spectral_jitter * _draw_responses(n_clips, n_bands, rng))
    targets: Targets = [(1.0, classes)]
    if config.mixup:
        share = rng.beta(config.mixup, config.mixup)
        partners = rng.permutation(n_clips)
        cues, targets = mixed(cues, classes, max(share, 1 - share), partners)
    if config.mask_bands or config.mask_frames:
        bands = _draw_stretches(n_clips, n_bands, config.mask_bands, rng)
        frames = _draw_stretches(n_clips, n_frames, config.mask_frames, rng)
        cues = masked(cues, bands[:, :, None] | frames[:, None])
    return cues, targets


def mirrored(cues: Tensor, classes: Tensor, which: ArrayLike) -> tuple[Tensor, Tensor]:
    """Clips with their ears swapped, heard by a head as symmetric as heads nearly are.

    Parameters
    ----------
    cues, classes : Tensor
        The batch.
    which : array_like of bool (n_clips,)
        The clips that are mirrored: itd and ild change their sign, class k becomes -k mod 72.

    Returns
    -------
    cues, classes : Tensor
    """
    chosen = torch.as_tensor(which, device=cues.device)
    swapped = torch.where(chosen[:, None, None, None], with_ears_swapped(cues), cues)
    return swapped, torch.where(chosen, -classes % N_CLASSES, classes)


def with_ears_swapped(cues: Tensor) -> Tensor:
    """Cue maps of the same sound with the ears swapped: itd and ild change their sign."""
    return torch.cat([-cues[:, :2], cues[:, 2:]], dim=1)


def with_other_head(cues: Tensor, sizes: ArrayLike, cue_format: CueFormat) -> Tensor:
    """Clips as heads of other sizes would have heard them.

    Sound bent round a body depends on the body's size in wavelengths alone. A head `size` times as large
    therefore has at a frequency f the level differences that the head of before has at size · f, and `size`
    times its delays. These are not moved over frequency, on which they depend slowly (an error of up to 6 %
    on a sphere 10 % larger): neighbouring bands may show different peaks of the correlation, whose mean is
    no delay at all. Where a wrong peak was taken, whole periods of the band's centre frequency off the delay
    in the bands below, the head's own part alone is scaled, so that the phase is that of the larger head.
    What then lies beyond the largest delay that the maps can hold is taken a period nearer, and clipped where
    no period fits. Coherence and energy are rather the room's and the talker's.

    Parameters
    ----------
    cues : Tensor
        The batch.
    sizes : array_like (n_clips,)
        Of the heads, re those in the maps.
    cue_format : CueFormat
        Of the cues.

    Returns
    -------
    Tensor
    """
    size = np.asarray(sizes, dtype=np.float64)
    cfs = np.asarray(cue_format.cfs)
    # Above the highest band nothing is known; its level differences stand for those beyond.
    place = torch.from_numpy(np.interp(size[:, None] * cfs, cfs, np.arange(len(cfs)))).float().to(cues.device)
    below = place.long()[..., None].expand(-1, -1, cues.shape[-1])
    above = (below + 1).clamp(max=len(cfs) - 1)
    itd, ild, ic, energy = cues.unbind(1)
    # A silent band has no level difference: what is next to it takes that of the other side, or its own.
    heard_below, heard_above = ic.gather(1, below) > 0, ic.gather(1, above) > 0
    share = torch.where(heard_above, place.frac()[..., None], 0.0)
    share = torch.where(heard_below, share, 1.0)
    between = torch.lerp(ild.gather(1, below), ild.gather(1, above), share)
    between = torch.where(heard_below | heard_above, between, ild)
    ild = torch.where(ic > 0, between, 0.0)

    longest = cue_format.max_delay / cue_format.fs
    period = torch.from_numpy(1 / cfs).float().to(cues.device)[:, None]
    wrong = _whole_periods(torch.where(ic > 0, itd, math.nan), period, longest)
    longer = torch.from_numpy(size).float().to(cues.device)[:, None, None] * (itd - wrong) + wrong
    fits = (longer.abs() > longest) & (period < 2 * longest)
    longer = torch.where(fits, longer - period * longer.sign(), longer).clamp(-longest, longest)
    return torch.stack([torch.where(ic > 0, longer, itd), ild, ic, energy], dim=1)


def _whole_periods(itd: Tensor, period: Tensor, longest: float) -> Tensor:
    """How much of each ITD is periods off the head's delay; NaN where there is none, and there it stays.

    The head's delay is that of the clip in the bands where no period fits among the delays, and changes
    little from one band to the next.
    """
    off = torch.zeros_like(itd)
    n_sure = max(1, int((period > 2 * longest).sum()))
    delay = itd[:, :n_sure].flatten(1).nanmedian(dim=1).values.nan_to_num()
    for band in range(n_sure, itd.shape[1]):
        off[:, band] = ((itd[:, band] - delay[:, None]) / period[band]).round() * period[band]
        here = (itd[:, band] - off[:, band]).nanmedian(dim=1).values
        delay = torch.where(here.isnan(), delay, here)
    return off


def with_other_ears(cues: Tensor, gains_db: ArrayLike) -> Tensor:
    """Clips as ears, earphones or microphones of another frequency response would have heard them.

    Parameters
    ----------
    cues : Tensor
        The batch.
    gains_db : array_like (n_clips, n_bands, 2)
        What is added to the level of each band, left ear first.

    Returns
    -------
    Tensor
        With the ild and the energy that follow; delays and coherence do not depend on levels.
    """
    gain = DB * torch.as_tensor(gains_db).float().to(cues.device)[..., None]
    itd, ild, ic, energy = cues.unbind(1)
    # Logarithms of the powers, of whose mean the energy is.
    right = DB * energy + math.log(2) - torch.nn.functional.softplus(DB * ild)
    left, right = right + DB * ild + gain[:, :, 0], right + gain[:, :, 1]
    louder = (torch.logaddexp(left, right) - math.log(2)) / DB
    heard = ic > 0
    return torch.stack(
        [itd, torch.where(heard, (left - right) / DB, ild), ic, torch.where(heard, louder, energy)], dim=1
    )


def mixed(cues: Tensor, classes: Tensor, share: float, partners: ArrayLike) -> tuple[Tensor, Targets]:
    """Clips mixed in pairs (mixup: Zhang, Cisse, Dauphin & Lopez-Paz 2018, ICLR).

    Parameters
    ----------
    cues, classes : Tensor
        The batch.
    share : float
        Of the clip itself, in [0.5, 1].
    partners : array_like of int (n_clips,)
        The clip with which each is mixed.

    Returns
    -------
    cues : Tensor
        share · itself + (1 - share) · its partner, in the cues' own units, dB among them.
    targets : list of (float, Tensor)
        Its own class by `share`, its partner's by the rest.
    """
    partner = torch.as_tensor(partners, device=cues.device)
    return share * cues + (1 - share) * cues[partner], [(share, classes), (1 - share, classes[partner])]


def masked(cues: Tensor, hidden: ArrayLike) -> Tensor:
    """Clips of which a part is hidden from the model (SpecAugment: Park et al. 2019, Interspeech, 2613-2617).

    What is hidden becomes NaN, of which every model makes features that are 0: what a convolution takes to
    lie beyond the edge of the map, and what shifts no mean. The energy of the rest is re the loudest that is
    left, as though the hidden part had never been recorded.

    Parameters
    ----------
    cues : Tensor
        The batch.
    hidden : array_like of bool (n_clips, n_bands, n_frames)
        Where; not all of a clip.

    Returns
    -------
    Tensor
    """
    where = torch.as_tensor(hidden, device=cues.device)
    return cues.masked_fill(where[:, None], math.nan)


def _draw_responses(n_clips: int, n_bands: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Smooth over bands, of standard deviation 1 in each: (n_clips, n_bands, 2), the ears independent."""
    bands = np.arange(n_bands)
    kernel = np.exp(-0.5 * ((bands[:, None] - bands) / SMOOTHNESS) ** 2)
    kernel /= np.sqrt(np.square(kernel).sum(axis=1, keepdims=True))
    return kernel @ rng.standard_normal((n_clips, n_bands, 2))


def _draw_stretches(n_clips: int, n: int, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """For each clip one stretch among n, up to a share of them long, anywhere: (n_clips, n)."""
    longest = math.floor(share * n + 1e-9)  # 0.29 of 100 is 29, though 0.29 * 100 is less
    width = rng.integers(0, longest, n_clips, endpoint=True)
    first = rng.integers(0, n - width, endpoint=True)
    place = np.arange(n) - first[:, None]
    return (place >= 0) & (place < width[:, None])
