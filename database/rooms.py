"""Reverberant binaural responses of shoebox rooms.

A room is drawn, then rendered for a head and every azimuth the head has a response for:

1. image sources up to order 8 with the head's own responses (`pyroomacoustics`), until about 45 ms after the
   direct sound;
2. from there on noise with the head's own diffuse field between the ears, which decays with the drawn time
   and is as loud as the image sources of such a room are on average.

Conventions: metres, seconds; x and y lie in the floor, z points up, the origin is a corner; angles in
degrees, counter-clockwise seen from above. The direct sound has the level of the anechoic response.

- `Room`: the facts of one room, all plain numbers
- `draw_room`: a room by chance
- `room_responses`: the binaural responses of a head in a room
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import ceil, exp, hypot, log, pi, prod, radians, tan

import numpy as np
import pyroomacoustics
import scipy.fft
from numpy.typing import ArrayLike
from pyroomacoustics.directivities import MeasuredDirectivity, Rotation3D
from pyroomacoustics.doa import GridSphere
from pyroomacoustics.parameters import constants

from database.diffuse_field import ear_factors, ear_noise, sphere
from database.hrtf import Head

SPEED_OF_SOUND = 343.0
MAX_ORDER = 8
LEAD = 1e-3  # before the direct sound, for the fractional delay to swing in
CROSSFADE = (0.035, 0.055)  # after the direct sound, from the image sources to the noise
MARGIN = 0.5  # between a source and the walls: their reflections come at least 2.9 ms after the direct sound
MAX_ELEVATION = 5.0  # degrees a source may be above or below the ears and still pass for horizontal
ABSORPTION = (0.01, 0.7)  # with more, the field is not diffuse and no single time describes the decay
DELAY_TAPS = 81  # of pyroomacoustics' fractional delay, which is late by half of them
SHORTEST = 2.5e-3  # s, of a response: pyroomacoustics has no octave bands for shorter ones

_settings_in_use = threading.Lock()


@dataclass(frozen=True)
class Room:
    """A shoebox room, a head in it, and a circle of sources round the head.

    Parameters
    ----------
    size : tuple of 3 floats
        Length, width and height in m.
    rt60 : float
        Reverberation time in s.
    head : tuple of 3 floats
        Position of the point between the ears in m.
    orientation : float
        Where the head looks, in degrees counter-clockwise from the x axis.
    distance : float
        Horizontal distance of all sources from the head in m.
    source_height : float
        Height of all sources above the floor in m.

    Raises
    ------
    ValueError
        If a number is missing or not finite, the head or a source is nearer than 0.5 m to the walls, a
        source is nearer than 0.343 m to the head or more than 5° above or below the ears, or the walls
        would have to absorb less than 1 % or more than 70 % of the energy.

    Examples
    --------
    >>> room = Room(size=(5.0, 4.0, 3.0), rt60=0.4, head=(2.5, 2.0, 1.5), orientation=90.0, distance=1.5,
    ...             source_height=1.5)
    >>> round(room.absorption, 3)
    0.227
    >>> room.sources([0, 90]).round(6)
    array([[2.5, 3.5, 1.5],
           [1. , 2. , 1.5]])
    """

    size: tuple[float, float, float]
    rt60: float
    head: tuple[float, float, float]
    orientation: float
    distance: float
    source_height: float

    def __post_init__(self) -> None:
        for name in ("size", "head"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON knows lists only
        lengths = (*self.size, self.rt60, *self.head, self.distance, self.source_height)
        if len(lengths) != 9 or not np.isfinite((*lengths, self.orientation)).all() or min(lengths) <= 0:
            raise ValueError(
                f"a room needs three sizes, three coordinates and positive finite numbers: {self}"
            )
        reach = self.distance + MARGIN - 1e-9
        near = [min(at, side - at) for at, side in zip(self.head, self.size, strict=True)]
        source_near = min(self.source_height, self.size[2] - self.source_height)
        if min(near[:2]) < reach or min(near[2], source_near) < MARGIN:
            raise ValueError(f"head and sources must all round keep {MARGIN} m from the walls: {self}")
        if self.distance < LEAD * SPEED_OF_SOUND:
            raise ValueError(f"sources must be {LEAD * SPEED_OF_SOUND} m from the head or more: {self}")
        if abs(self.source_height - self.head[2]) > self.distance * tan(radians(MAX_ELEVATION)) + 1e-9:
            raise ValueError(f"sources must be within {MAX_ELEVATION:.0f}° of the ears' height: {self}")
        least, most = ABSORPTION
        if not least <= self.absorption <= most:
            raise ValueError(
                f"walls would have to absorb {self.absorption:.1%} of the energy, but only {least:.0%} to "
                f"{most:.0%} is possible (is rt60 in s?): {self}"
            )

    @property
    def absorption(self) -> float:
        """Share of the energy that the walls absorb, from the reverberation time by Eyring's formula."""
        length, width, height = self.size
        surface = 2 * (length * width + length * height + width * height)
        return 1 - exp(-24 * log(10) / SPEED_OF_SOUND * prod(self.size) / (surface * self.rt60))

    def sources(self, azimuths: ArrayLike) -> np.ndarray:
        """Positions (n_azimuths, 3) in m of the sources that the head hears from `azimuths` in degrees."""
        angles = np.radians(self.orientation + np.asarray(azimuths, dtype=float))
        x, y, _ = self.head
        height = np.full_like(angles, self.source_height)
        return np.stack(
            [x + self.distance * np.cos(angles), y + self.distance * np.sin(angles), height], axis=-1
        )


def draw_room(rng: np.random.Generator) -> Room:
    """A shoebox room by chance, from a small office to a seminar room.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the numbers come from: the same state gives the same room.

    Returns
    -------
    Room
        4 to 10 m by 3 to 8 m by 2.6 to 4 m, a reverberation time of 0.2 to 0.8 s (walls that absorb 10 to
        57 %), ears 1.1 to 1.6 m high, sources 0.7 to 2.5 m away. Every reflection comes at least 1.6 ms after
        the direct sound.

    Examples
    --------
    >>> room = draw_room(np.random.default_rng(1))
    >>> 0.2 <= room.rt60 <= 0.8
    True
    """
    length, width, height = rng.uniform(4, 10), rng.uniform(3, 8), rng.uniform(2.6, 4)
    distance = rng.uniform(0.7, min(2.5, min(length, width) / 2 - MARGIN))
    reach = distance + MARGIN
    ears = rng.uniform(1.1, 1.6)
    return Room(
        size=(length, width, height),
        rt60=rng.uniform(0.2, 0.8),
        head=(rng.uniform(reach, length - reach), rng.uniform(reach, width - reach), ears),
        orientation=rng.uniform(0, 360),
        distance=distance,
        source_height=ears + distance * tan(radians(rng.uniform(-MAX_ELEVATION, MAX_ELEVATION))),
    )


def room_responses(room: Room, head: Head, fs: float, rng: np.random.Generator) -> Head:
    """Binaural room responses of a head, for sources at all its azimuths.

    Parameters
    ----------
    room : Room
        The room, with the places of the head and the sources.
    head : Head
        Anechoic responses of the horizontal plane, all round it (`diffuse_field.all_round`).
    fs : float
        Sampling rate of the result in Hz. The head is resampled to it.
    rng : numpy.random.Generator
        Where the noise of the late part comes from: the same state gives the same responses, bit for bit.

    Returns
    -------
    Head
        The azimuths of `head`, and responses that last `room.rt60`. Their direct sound is the anechoic
        response at its own level, 1 ms later.

    Raises
    ------
    ValueError
        If `fs` is not a rate in Hz of 1000 or more.

    Notes
    -----
    Sound from above and below is heard with the horizontal responses, as `database.diffuse_field` says. The
    walls absorb all frequencies alike and the air absorbs none, so that all bands decay alike.

    References
    ----------
    .. [1] J. B. Allen and D. A. Berkley, "Image method for efficiently simulating small-room acoustics",
       JASA 65(4), 943-950, 1979.
    .. [2] C. F. Eyring, "Reverberation time in 'dead' rooms", JASA 1(2), 217-241, 1930.

    Examples
    --------
    >>> from database.hrtf import kemar
    >>> rng = np.random.default_rng(0)
    >>> room = draw_room(rng)
    >>> reverberant = room_responses(room, kemar(), 16000, rng)
    >>> reverberant.responses.shape[1] > 16000 * room.rt60
    True
    """
    head = head.resampled(fs)
    n_taps = ceil((LEAD + room.rt60) * fs) + head.responses.shape[1]
    n_fft = scipy.fft.next_fast_len(n_taps, real=True)
    directions, solid_angles, nearest = sphere(head.azimuths)
    responses = _image_sources(room, head, directions, nearest, n_taps)
    factors = ear_factors(head.responses, np.bincount(nearest, solid_angles), n_fft)

    time = np.arange(n_taps) / fs - LEAD  # after the direct sound
    start, end = CROSSFADE
    fade = pi / 2 * np.clip((time - start) / (end - start), 0, 1)
    early, late = np.cos(fade), np.sin(fade) * _late_level(room, time, fs)
    for response in responses:
        response[:] = early[:, None] * response + late[:, None] * ear_noise(factors, n_fft, rng)[:n_taps]
    return replace(head, responses=responses)


def _image_sources(
    room: Room, head: Head, directions: np.ndarray, nearest: np.ndarray, n_taps: int
) -> np.ndarray:
    """Responses (n_azimuths, n_taps, 2) of direct sound and reflections, from `LEAD` before the direct."""
    n_missing = max(0, ceil(SHORTEST * head.fs) - head.responses.shape[1])
    anechoic = np.pad(head.responses, ((0, 0), (0, n_missing), (0, 0)))
    with _library_settings():
        walls = pyroomacoustics.Material(room.absorption)
        shoebox = pyroomacoustics.ShoeBox(room.size, fs=head.fs, materials=walls, max_order=MAX_ORDER)
        for ear in range(2):
            directivity = MeasuredDirectivity(
                orientation=Rotation3D([room.orientation], "z"),
                grid=GridSphere(cartesian_points=directions.T),
                impulse_responses=anechoic[nearest, :, ear],
                fs=head.fs,
            )
            shoebox.add_microphone(room.head, directivity=directivity)
        for position in room.sources(head.azimuths):
            shoebox.add_source(position)
        shoebox.compute_rir()
    path = _direct_path(room)
    silence = round((path / SPEED_OF_SOUND - LEAD) * head.fs) + DELAY_TAPS // 2
    responses = np.zeros((len(head.azimuths), n_taps, 2))
    for ear, rendered in enumerate(shoebox.rir):
        for response, with_silence in zip(responses, rendered, strict=True):
            heard = with_silence[silence : silence + n_taps]
            response[: len(heard), ear] = path * heard  # the library's direct sound has the level 1 / path
    return responses


@contextmanager
def _library_settings() -> Iterator[None]:
    """pyroomacoustics' settings as they have to be here; afterwards as they were.

    They are the process's, and so one thread's at a time.
    """
    wanted = {
        "c": SPEED_OF_SOUND,
        "frac_delay_length": DELAY_TAPS,
        "rir_hpf_enable": False,  # the high-pass runs both ways in time, so it sounds before the direct sound
        "num_threads": 1,  # another number adds up in another order, to other last bits
    }
    with _settings_in_use:
        before = {name: constants.get(name) for name in wanted}
        try:
            for name, value in wanted.items():
                constants.set(name, value)
            yield
        finally:
            for name, value in before.items():
                constants.set(name, value)


def _direct_path(room: Room) -> float:
    return hypot(room.distance, room.source_height - room.head[2])


def _late_level(room: Room, time: np.ndarray, fs: float) -> np.ndarray:
    """Root mean square of all image sources, at each `time` after a direct sound of level 1.

    At the time t after the source, 4 pi c^3 t^2 / V images are heard in a second, each at the level 1 / (c t)
    before the walls' absorption, which makes 60 dB in `rt60`.
    """
    path = _direct_path(room)
    since_source = time + path / SPEED_OF_SOUND
    power = 4 * pi * SPEED_OF_SOUND / prod(room.size) / fs * 10 ** (-6 * since_source / room.rt60)
    return path * np.sqrt(power)
