"""Scenes to binaural signals, and these to shards: what one worker of a build does.

What is made once and used by many scenes, the noise recordings at the database's rate and the responses of
the rooms, lies in files beside the shards until the build is done: every worker uses what one of them made,
and none holds more than the shard at hand. The result of a scene depends on the plan and the sources alone.

- `Scratch`: arrays that are made once and read by all workers
- `scratch_files`, `clear_scratch`: what lies in the folder of these
- `Renderer`: scenes of one plan to mixtures
- `shard_builder`: what builds the shards of one plan
- `build_shard`: one finished shard
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from database.diffuse_field import all_round
from database.hrtf import AZIMUTHS, Head
from database.mixing import Mixture, mix
from database.plan import Plan
from database.recipe import generator
from database.rooms import room_responses
from database.scenes import Scene, draw_scene
from database.segments import GATE
from database.sources import Source, loud_starts
from database.store import write_atomically, write_shard
from database.tasks import TASK

SCRATCH = "scratch"
_SCRATCH_NAME = re.compile(rf"({re.escape(TASK)}|(noise_\d+|room_\d+_head_\d+)\.npy)(\.\w+\.partial)?")

Responses = Callable[[float], NDArray[np.floating]]  # of the azimuth in degrees
Noise = tuple[NDArray[np.floating], NDArray[np.floating], int]  # clip, response, and where the clip starts


class Scratch:
    """Arrays that are made once and read by all workers, as files of one folder.

    Parameters
    ----------
    folder : Path
        Where the files lie; it is made with the first of them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def array(self, name: str, make: Callable[[], NDArray[np.floating]]) -> NDArray[np.float32]:
        """The array of this name as float32, mapped into memory; made where there is none yet."""
        path = self.folder / f"{name}.npy"
        if not path.exists():
            content = io.BytesIO()
            np.save(content, make().astype(np.float32))
            write_atomically(path, content.getvalue())
        return np.load(path, mmap_mode="r")


def scratch_files(folder: Path) -> list[Path]:
    """What workers make for each other, and left unfinished, in a database's folder."""
    return [path for path in (folder / SCRATCH).glob("*") if _SCRATCH_NAME.fullmatch(path.name)]


def clear_scratch(folder: Path) -> None:
    """Remove what workers made for each other, and nothing else that may lie there."""
    for path in scratch_files(folder):
        with suppress(OSError):  # as on Windows, while a worker that ends has it open
            path.unlink()
    with suppress(OSError):  # there is none, or something else is in it
        (folder / SCRATCH).rmdir()


class Renderer:
    """Scenes of one plan to mixtures.

    Parameters
    ----------
    plan : Plan
        What the scenes are drawn from.
    speech, noise : Source
        The plan's sources.
    heads : sequence of Head
        The plan's heads, at any rate and in any order.
    scratch : Path
        Folder for what is made once.
    """

    def __init__(
        self, plan: Plan, speech: Source, noise: Source, heads: Sequence[Head], scratch: Path
    ) -> None:
        self.plan = plan
        self._fs = plan.recipe.format.fs
        self._n_samples = plan.recipe.n_samples
        self._speech, self._noise = speech, noise
        self._spoken = {recording.file: recording for recording in speech.recordings}
        named = {head.name: head for head in heads}
        self._heads = [_horizontal(named[name].resampled(self._fs)) for name in plan.heads]
        self._scratch = Scratch(scratch)
        self._speech_signal = lru_cache(maxsize=1)(self._read_speech)  # one clip's scenes follow each other
        self._starts = cache(self._find_starts)

    def mixture(self, scene: Scene) -> tuple[Mixture, dict[str, Any]]:
        """One scene as the two ears hear it.

        Parameters
        ----------
        scene : Scene
            Of this plan.

        Returns
        -------
        mixture : Mixture
            Signal (n_samples, 2) and total SNR in dB.
        facts : dict of str to float, int or str
            What the database says of the scene, one value for each column.
        """
        responses = self._responses(scene)
        heard = self._field if self.plan.recipe.diffuse_noise else self._one_direction
        noises = [heard(scene, which, responses) for which in (0, 1)]
        mixture = mix(
            self._clip(scene),
            responses(scene.azimuth),
            [clip for clip, _, _ in noises],
            [response for _, response, _ in noises],
            scene.snrs_db,
            scene.peak_db,
        )
        return mixture, self._facts(scene, [start for _, _, start in noises], mixture.snr_db)

    def _one_direction(self, scene: Scene, which: int, responses: Responses) -> Noise:
        clip, start = self._cut(scene.noises[which], scene.noise_positions[which])
        return clip, responses(scene.noise_azimuths[which]), start

    def _field(self, scene: Scene, which: int, responses: Responses) -> Noise:
        """One of the two noises from every second azimuth, the other one from those between.

        Each has its own stretch of the recording, all of equal power; they start at even distances over where
        the recording is loud enough. The stretches of a short recording overlap.
        """
        azimuths = AZIMUTHS[self.plan.classes_of(scene.head)][which::2]
        positions = (scene.noise_positions[which] + np.arange(len(azimuths)) / len(azimuths)) % 1
        stretches = [self._cut(scene.noises[which], position) for position in positions]
        clips = np.array([clip for clip, _ in stretches], dtype=np.float64)
        clips /= np.sqrt(np.mean(clips**2, axis=1, keepdims=True))
        return clips, np.stack([responses(azimuth) for azimuth in azimuths]), stretches[0][1]

    def _read_speech(self, file: str) -> NDArray[np.float64]:
        return self._speech.read(self._spoken[file], self._fs)

    def _spoken_stretch(self, scene: Scene) -> slice:
        """The part of a recording that fills a clip at the scene's speed, as far as the recording is so long.

        It has the clip's middle, or else begins or ends with the recording. A clip that holds sound at its
        edges alone stays as it is.
        """
        segment = self.plan.segments[scene.clip]
        signal = self._speech_signal(segment.file)
        length = min(round(scene.speed * self._n_samples), len(signal))
        start = min(max(segment.start + (self._n_samples - length) // 2, 0), len(signal) - length)
        stretch = slice(start, start + length)
        clip = slice(segment.start, segment.start + self._n_samples)
        return stretch if signal[stretch].var() >= GATE * signal[clip].var() else clip

    def _clip(self, scene: Scene) -> NDArray[np.float64]:
        stretch = self._spoken_stretch(scene)
        speech = self._speech_signal(self.plan.segments[scene.clip].file)[stretch]
        return (
            speech if len(speech) == self._n_samples else soxr.resample(speech, len(speech), self._n_samples)
        )

    def _noise_signal(self, number: int) -> NDArray[np.float32]:
        recording = self.plan.noises[number]
        return self._scratch.array(f"noise_{number}", lambda: self._noise.read(recording, self._fs))

    def _find_starts(self, number: int) -> NDArray[np.int64]:
        return loud_starts(self._noise_signal(number), self._fs, self.plan.recipe.duration)

    def _cut(self, number: int, position: float) -> tuple[NDArray[np.float32], int]:
        """A stretch of a noise recording, and the sample at which it starts."""
        starts = self._starts(number)
        start = int(starts[int(position * len(starts))])
        return self._noise_signal(number)[start : start + self._n_samples], start

    def _responses(self, scene: Scene) -> Responses:
        """The head's response in the scene's room, as a function of the azimuth."""
        head = self._heads[scene.head]
        if scene.room < 0:
            return head.response
        responses = self._scratch.array(
            f"room_{scene.room}_head_{scene.head}", lambda: self._room_responses(scene.room, head)
        )
        return lambda azimuth: responses[int(np.searchsorted(AZIMUTHS, azimuth))]

    def _room_responses(self, room: int, head: Head) -> NDArray[np.floating]:
        number = self.plan.heads.index(head.name)
        rng = generator(self.plan.recipe.seed, 1, room, number)
        return room_responses(self.plan.rooms[room], all_round(head), self._fs, rng).responses

    def _facts(self, scene: Scene, starts: Sequence[int], snr_db: float) -> dict[str, Any]:
        segment, stretch = self.plan.segments[scene.clip], self._spoken_stretch(scene)
        noises = [self.plan.noises[number] for number in scene.noises]
        facts: dict[str, Any] = {
            "azimuth": scene.azimuth,
            "split": scene.split,
            "speech_file": segment.file,
            "speaker": segment.label,
            "speech_start": stretch.start / self._fs,
            "noise_type": noises[0].label,
        }
        for n, noise in enumerate(noises):
            facts |= {
                f"noise_file_{n + 1}": noise.file,
                f"noise_azimuth_{n + 1}": scene.noise_azimuths[n],
                f"noise_start_{n + 1}": starts[n] / self._fs,
                f"snr_db_{n + 1}": scene.snrs_db[n],
            }
        head, recipe = self.plan.heads[scene.head], self.plan.recipe
        # Where a recipe asks for neither, shards are what they were before there were any.
        if max(recipe.n_realizations, recipe.median_plane) > 1:
            facts["realization"] = scene.realization
        if recipe.speech_speed != (1.0, 1.0):
            facts["speech_speed"] = (stretch.stop - stretch.start) / self._n_samples
        return facts | {
            "snr_db": snr_db,
            "peak_db": scene.peak_db,
            "head": head,
            "room": scene.room,
            "scene": scene.number,
        }


def _horizontal(head: Head) -> Head:
    """The head with the 72 azimuths alone, or those of them that it has."""
    azimuths = np.array([azimuth for azimuth in AZIMUTHS if head.has(azimuth)])
    return replace(head, azimuths=azimuths, responses=np.stack([head.response(k) for k in azimuths]))


def shard_builder(
    folder: Path, plan: Plan, speech: Source, noise: Source, heads: Sequence[Head]
) -> Callable[[int, Callable[[], None]], dict[str, Any]]:
    """`build_shard` for one plan: a function of the shard's number and of what to call after each scene."""
    return partial(build_shard, folder, Renderer(plan, speech, noise, heads, folder / SCRATCH))


def build_shard(folder: Path, renderer: Renderer, number: int, advance: Callable[[], None]) -> dict[str, Any]:
    """Render the scenes of one shard, compute their cues and write both.

    Parameters
    ----------
    folder : Path
        The database's.
    renderer : Renderer
        For the plan's scenes.
    number : int
        Which shard.
    advance : callable
        Called after each scene; what it raises ends the shard.

    Returns
    -------
    dict
        The shard's row for the manifest.
    """
    recipe = renderer.plan.recipe
    cues, audio, facts = [], [], []
    for index in renderer.plan.shard_scenes(number):
        mixture, scene_facts = renderer.mixture(draw_scene(renderer.plan, index))
        cues.append(recipe.format.cues(mixture.signal).astype(np.float16))
        facts.append(scene_facts)
        if recipe.keep_audio:
            audio.append(mixture.signal.astype(np.float32))
        advance()
    columns = {name: np.array([row[name] for row in facts]) for name in facts[0]}
    attributes = recipe.format.to_dict() | {"duration": recipe.duration}
    stored_audio = np.stack(audio) if recipe.keep_audio else None
    return write_shard(folder, number, np.stack(cues), columns, attributes, stored_audio)
