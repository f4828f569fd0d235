"""Which recordings and which parts of them are used: segments of speech, recordings of noise.

Everything is drawn from `rng` and is spread: over the speakers, over the files of a speaker, over the origins
of a type of noise.

- `Segment`: name of a clip of speech.
- `draw_segments`: segments with speech in them, spread over the speakers.
- `choose_noises`: recordings of some types of noise.
- `loud_starts`: where a signal is not silent.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np

from database.on_error import STOP, OnError
from database.recordings import Recording, Source, check_rate

_FRAME = 0.01  # s, of the energy gate
GATE = 0.01  # a part of a signal holds sound from 20 dB below the signal's level on

Item = TypeVar("Item")


class Segment(NamedTuple):
    """A clip of speech: as `Recording`, and the first sample at the rate for which it was drawn."""

    file: str
    label: str
    origin: str
    start: int


def choose_noises(
    source: Source,
    types: int | Sequence[str],
    files_per_type: int,
    rng: np.random.Generator,
    is_usable: Callable[[Recording], bool] = lambda recording: True,
) -> list[Recording]:
    """Choose recordings of some types of noise.

    Within a type, every origin gives one recording before any gives a second: splits never share an origin.

    Parameters
    ----------
    source : Source
    types : int or sequence of str
        How many types to draw among those with enough recordings, or their names.
    files_per_type : int
        Recordings of each.
    rng : numpy.random.Generator
    is_usable : callable
        Asked for each recording before it is chosen; the next one is taken in the place of one that is not.

    Returns
    -------
    list of Recording
        Type by type.

    Raises
    ------
    ValueError
        If there are too few types, or too few recordings of one; the message says how many there are.

    Examples
    --------
    >>> import numpy
    >>> from database.sources import noise_source
    >>> noises = choose_noises(noise_source(), ["rain", "wind"], 3, numpy.random.default_rng(0))
    >>> [noise.label for noise in noises]
    ['rain', 'rain', 'rain', 'wind', 'wind', 'wind']
    """
    by_type = _grouped(source.recordings, "label")
    listing = ", ".join(f"{name} ({len(group)})" for name, group in by_type.items())
    if isinstance(types, str):
        raise ValueError(f"types is the one string {types!r}, expected a number or a list of names")
    if isinstance(types, int | np.integer):
        enough = [name for name, group in by_type.items() if len(group) >= files_per_type]
        if not 1 <= types <= len(enough):
            raise ValueError(
                f"{types} types of noise with {files_per_type} recordings each were asked for, "
                f"{len(enough)} have as many: {listing}; other numbers are asked for by noise types and files"
            )
        names = sorted(rng.choice(enough, types, replace=False).tolist())
    else:
        names = list(types)
        if not names or len(set(names)) < len(names):
            raise ValueError(f"types is {names}, expected names of types of noise, each once")
    chosen: list[Recording] = []
    for name in names:
        group = by_type.get(name, [])
        if not 1 <= files_per_type <= len(group):
            raise ValueError(
                f"noise type {name!r}: {files_per_type} recordings were asked for, {len(group)} exist; "
                f"the types are {listing}"
            )
        origins = _grouped(group, "origin")
        queues = [_shuffled(same, rng) for same in _shuffled(list(origins.values()), rng)]
        usable = list(islice(filter(is_usable, _in_turn(queues)), files_per_type))
        if len(usable) < files_per_type:
            raise ValueError(
                f"noise type {name!r}: {files_per_type} recordings were asked for, "
                f"{len(usable)} of the {len(group)} that exist can be used"
            )
        chosen += usable
    return chosen


def draw_segments(
    source: Source,
    n_clips: int,
    fs: float,
    duration: float,
    rng: np.random.Generator,
    on_error: OnError = STOP,
) -> list[Segment]:
    """Draw segments that have speech in them.

    Speakers take turns in random order, and so do the files of a speaker. Segments do not overlap until every
    speaker has given all that fit side by side; then they may, a tenth of `duration` apart or more.

    Parameters
    ----------
    source : Source
    n_clips : int
        Number of segments.
    fs : float
        Sampling rate in Hz at which `start` counts.
    duration : float
        Of each segment, in seconds.
    rng : numpy.random.Generator
    on_error : OnError
        What becomes of a recording that cannot be read. Which are read depends on `rng`.

    Returns
    -------
    list of Segment
        `n_clips` of them, all different.

    Raises
    ------
    ValueError
        If the source cannot give as many, or one of its files is damaged.
    OSError
        If a file cannot be opened.

    Examples
    --------
    >>> import numpy
    >>> from database.sources import speech_source
    >>> segments = draw_segments(speech_source(), 3, 16000, 1.0, numpy.random.default_rng(0))
    >>> len({segment.label for segment in segments})
    3
    """
    check_rate(fs)
    if n_clips < 1 or not duration > 0:
        raise ValueError(f"n_clips is {n_clips} and duration {duration} s, expected both above 0")
    speakers = _shuffled(list(_grouped(source.recordings, "origin").values()), rng)
    seeds = rng.integers(2**63, size=(2, len(speakers)))
    drawn: list[Segment] = []
    for row in seeds:  # side by side first; then, among those, with overlap
        queues = [
            _speaker_segments(
                source, group, fs, duration, np.random.default_rng(seed), tuple(drawn), on_error
            )
            for group, seed in zip(speakers, row, strict=True)
        ]
        drawn += islice(_in_turn(queues), n_clips - len(drawn))
        if len(drawn) == n_clips:
            return drawn
    raise ValueError(
        f"{n_clips} segments of {duration:g} s were asked for; the {len(source.recordings)} recordings of "
        f"{len(speakers)} speakers give {len(drawn)}, overlapping ones included"
        f"{on_error.left_out('speech')}"
    )


def loud_starts(signal: np.ndarray, fs: float, duration: float) -> np.ndarray:
    """Where a signal is not silent.

    A frame of 10 ms holds sound if its level is at most 20 dB below the whole signal's. A window passes if it
    has at least half as many such frames as the fullest window; so one does, however sparse the sound.

    Parameters
    ----------
    signal : ndarray, shape (n_samples,)
    fs : float
        Sampling rate in Hz.
    duration : float
        Of the window, in seconds.

    Returns
    -------
    ndarray of int, shape (n_starts,)
        First samples of the windows that pass, ascending, multiples of 10 ms.

    Raises
    ------
    ValueError
        If the signal is shorter than the window, or silent.

    Examples
    --------
    >>> import numpy
    >>> signal = numpy.r_[numpy.zeros(1000), numpy.sin(numpy.arange(1000))]
    >>> loud_starts(signal, 1000, 1.0)[[0, -1]]
    array([ 500, 1000])
    """
    width = round(duration * fs)
    if not 1 <= width <= len(signal):
        raise ValueError(f"a window of {duration:g} s does not fit into a signal of {len(signal) / fs:g} s")
    hop = min(max(round(_FRAME * fs), 2), width)
    n_starts, n_window = (len(signal) - width) // hop + 1, width // hop
    n_frames = n_starts - 1 + n_window
    # the variance, since an offset of the zero line is no sound
    power = signal[: n_frames * hop].reshape(n_frames, hop).var(axis=1)
    if not power.any():
        raise ValueError("the signal is silent")
    count = np.cumsum(np.r_[0, power >= GATE * power.mean()])
    sound = count[n_window:] - count[:-n_window]
    return np.flatnonzero(2 * sound >= sound.max()) * hop


def _speaker_segments(
    source: Source,
    recordings: list[Recording],
    fs: float,
    duration: float,
    rng: np.random.Generator,
    drawn: tuple[Segment, ...],
    on_error: OnError,
) -> Iterator[Segment]:
    """Segments of one speaker, file by file in turn, each file read when its turn first comes."""
    files = _shuffled(recordings, rng)
    return _in_turn(
        [_file_segments(source, recording, fs, duration, rng, drawn, on_error) for recording in files]
    )


def _file_segments(
    source: Source,
    recording: Recording,
    fs: float,
    duration: float,
    rng: np.random.Generator,
    drawn: tuple[Segment, ...],
    on_error: OnError,
) -> Iterator[Segment]:
    """Segments of one file: as many as fit side by side, or, after some were `drawn`, those left between."""
    width = round(duration * fs)
    try:
        signal = source.read(recording, fs)
    except (ValueError, OSError) as error:
        on_error("speech", recording.file, error)
        return
    if len(signal) < width:
        return
    try:
        starts = loud_starts(signal, fs, duration)
    except ValueError as error:
        on_error("speech", recording.file, ValueError(f"{recording.file}: {error}"))
        return
    del signal  # as many files wait for their turn as there are
    taken = [segment.start for segment in drawn if segment.file == recording.file]
    picked = _between(starts, taken, width // 10, rng) if drawn else _side_by_side(starts, width, rng)
    for start in rng.permutation(picked).tolist():
        yield Segment(*recording, start)


def _side_by_side(starts: np.ndarray, width: int, rng: np.random.Generator) -> list[int]:
    """As many starts as possible with `width` between each two, at random among all ways to have as many.

    The n-th start lies between the n-th of the packing from the left and the n-th of that from the right.
    """
    earliest, latest = _packed(starts, width), -_packed(-starts[::-1], width)[::-1]
    picked: list[int] = []
    free = starts[0]
    for first, last in zip(earliest, latest, strict=True):
        possible = starts[(starts >= max(first, free)) & (starts <= last)]
        picked.append(int(rng.choice(possible)))
        free = picked[-1] + width
    return picked


def _packed(starts: np.ndarray, width: int) -> np.ndarray:
    """The first of the ascending `starts`, the first at least `width` after it, and so on."""
    packed = [starts[0]]
    while (k := np.searchsorted(starts, packed[-1] + width)) < len(starts):
        packed.append(starts[k])
    return np.array(packed)


def _between(starts: np.ndarray, taken: list[int], gap: int, rng: np.random.Generator) -> list[int]:
    """Starts in random order that keep `gap` samples from those taken and from each other."""
    kept = list(taken)
    for start in rng.permutation(starts).tolist():
        if all(abs(start - other) >= gap for other in kept):
            kept.append(start)
    return kept[len(taken) :]


def _in_turn(queues: Iterable[Iterable[Item]]) -> Iterator[Item]:
    """One item of each queue in turn, until all are empty."""
    waiting = deque(iter(queue) for queue in queues)
    while waiting:
        queue = waiting.popleft()
        for item in islice(queue, 1):
            yield item
            waiting.append(queue)


def _shuffled(items: Sequence[Item], rng: np.random.Generator) -> list[Item]:
    return [items[k] for k in rng.permutation(len(items))]


def _grouped(recordings: Iterable[Recording], key: str) -> dict[str, list[Recording]]:
    """Recordings under their label or origin, in alphabetical order."""
    groups: dict[str, list[Recording]] = {}
    for recording in recordings:
        groups.setdefault(getattr(recording, key), []).append(recording)
    return dict(sorted(groups.items()))
