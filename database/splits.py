"""Training, validation and test: who belongs to which, so that nothing is heard in two of them.

What is split is never a clip but what clips have in common: the speaker, the recording of a noise, the head,
the room. Shares are those of the clips, as nearly as whole groups allow.

- `draw_all_splits`: everything that is split, for a plan
- `draw_splits`: groups of clips to splits
- `draw_noise_splits`: noise recordings to splits, each type on its own
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set

import numpy as np

from database.recipe import SPLITS, Recipe
from database.sources import Recording, Segment


def draw_splits(
    sizes: Mapping[str, int],
    shares: Sequence[float],
    rng: np.random.Generator,
    taken: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Split of each group, so that the splits' sizes come near their shares.

    The largest groups go first, those of one size in random order, each to the split that lacks most. As many
    of the last ones as there are splits still empty go to these.

    Parameters
    ----------
    sizes : mapping of str to int
        Groups and the number of clips in each.
    shares : sequence of float
        Shares of the splits, in the order of `SPLITS`; a split whose share is 0 gets nothing.
    rng : numpy.random.Generator
        Decides the order.
    taken : mapping of str to str, optional
        Groups that have their split already.

    Returns
    -------
    dict of str to str
        Group to split; the groups are those of `sizes`.

    Examples
    --------
    >>> speakers = {"a": 10, "b": 10, "c": 10, "d": 10, "e": 10, "f": 10, "g": 10}
    >>> splits = draw_splits(speakers, (0.7, 0.15, 0.15), np.random.default_rng(0))
    >>> sorted(splits.values())
    ['test', 'train', 'train', 'train', 'train', 'train', 'validation']
    """
    splits = {name: taken[name] for name in sizes if taken and name in taken}
    filled = dict.fromkeys((split for split, share in zip(SPLITS, shares, strict=True) if share > 0), 0)
    for name, split in splits.items():
        filled[split] += sizes[name]
    wanted = {split: share * sum(sizes.values()) for split, share in zip(SPLITS, shares, strict=True)}
    left = sorted(name for name in sizes if name not in splits)
    left = sorted((left[i] for i in rng.permutation(len(left))), key=lambda name: -sizes[name])
    for position, name in enumerate(left):
        empty = [split for split in filled if not filled[split]]
        choices = empty if empty and len(left) - position <= len(empty) else list(filled)
        splits[name] = max(choices, key=lambda split: wanted[split] - filled[split])
        filled[splits[name]] += sizes[name]
    return splits


def draw_noise_splits(
    recordings: Iterable[Recording], shares: Sequence[float], rng: np.random.Generator
) -> dict[str, str]:
    """Split of each noise recording, so that each split has each type.

    Types of fewer recordings than there are splits cannot be in all of them; they are split together.

    Parameters
    ----------
    recordings : iterable of Recording
        The noises; those of one origin stay together.
    shares : sequence of float
        Shares of the splits, in the order of `SPLITS`.
    rng : numpy.random.Generator
        Decides the order.

    Returns
    -------
    dict of str to str
        Origin to split.
    """
    sizes: dict[str, Counter[str]] = defaultdict(Counter)
    for recording in recordings:
        sizes[recording.label][recording.origin] += 1
    n_splits = sum(share > 0 for share in shares)
    pools = [sizes[label] for label in sorted(sizes) if len(sizes[label]) >= n_splits]
    rest = sum((counts for counts in sizes.values() if len(counts) < n_splits), Counter())
    splits: dict[str, str] = {}
    for pool in [*pools, rest]:
        splits |= draw_splits(pool, shares, rng, taken=splits)
    return splits


def draw_all_splits(
    recipe: Recipe,
    segments: Sequence[Segment],
    noises: Sequence[Recording],
    heads: Sequence[str],
    rng: np.random.Generator,
) -> dict[str, dict[str, str]]:
    """The tables of `Plan.splits`.

    Parameters
    ----------
    recipe : Recipe
        What is asked for.
    segments : sequence of Segment
        Speech of each clip; speakers are split.
    noises : sequence of Recording
        Their origins are split.
    heads : sequence of str
        Names; split as the recipe says, or drawn where there are at least three. So are its rooms.
    rng : numpy.random.Generator
        Decides.

    Returns
    -------
    dict of str to dict
        For "speech", "noise", "head" and "room", who is in which split.

    Raises
    ------
    ValueError
        If a split gets nobody, or what the recipe says of heads or types of noise cannot be.
    """
    speakers = Counter(segment.origin for segment in segments)
    splits = {
        "speech": draw_splits(speakers, recipe.shares, rng),
        "noise": draw_noise_splits(noises, recipe.shares, rng),
    }
    needed = {split for split, share in zip(SPLITS, recipe.shares, strict=True) if share > 0}
    for kind, what in (("speech", "speakers"), ("noise", "noise recordings")):
        missing = needed - set(splits[kind].values())
        if missing:
            raise ValueError(
                f"{len(splits[kind])} {what} cannot be shared out to {len(needed)} splits: none is left for "
                f"{', '.join(sorted(missing))}; expected more {what}, or other shares than {recipe.shares}; "
                f"found {', '.join(sorted(splits[kind])[:3])}"
            )
    for kind, names in (("head", heads), ("room", [str(number) for number in range(recipe.n_rooms)])):
        enough = len(names) >= len(SPLITS)
        if kind == "head" and recipe.head_splits:
            splits[kind] = _given_head_splits(recipe.head_splits, names, needed & set(recipe.only))
            continue
        splits[kind] = draw_splits(dict.fromkeys(names, 1), recipe.shares, rng) if enough else {}
    _check_noise_types(recipe, noises, splits["noise"], needed)
    return splits


def _given_head_splits(given: Mapping[str, str], heads: Sequence[str], needed: Set[str]) -> dict[str, str]:
    """The splits of heads as they were given; ValueError where they are not those of these heads."""
    for what, names in (("no split", set(heads) - set(given)), ("no head", set(given) - set(heads))):
        if names:
            raise ValueError(f"head_splits: {what} for {', '.join(sorted(names))}")
    if empty := needed - set(given.values()):
        raise ValueError(f"head_splits: no head for {', '.join(sorted(empty))}")
    return {name: given[name] for name in heads}


def _check_noise_types(
    recipe: Recipe, noises: Sequence[Recording], splits: Mapping[str, str], needed: Set[str]
) -> None:
    """Refuse types of noise that are not there, or of which a split that should have them has none."""
    for name, in_splits in (
        ("train_noise_types", ("train", "validation")),
        ("test_noise_types", ("test",)),
    ):
        for split in sorted(needed & set(in_splits)):
            there = {noise.label for noise in noises if splits[noise.origin] == split}
            if lacking := [label for label in getattr(recipe, name) if label not in there]:
                raise ValueError(
                    f"{name}: no recording of {', '.join(lacking)} for {split}, "
                    f"there are some of {', '.join(sorted(there)) or 'no type'}"
                )
