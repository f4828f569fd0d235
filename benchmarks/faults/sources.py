"""Recordings and heads that cannot be used, and those that can: what the builder makes of them.

- `bad_recordings`: truncated, empty, silent, not finite, not audio: refused by name, or left out
- `good_recordings`: containers, widths, rates and channels: read within one quantum
- `clipped_recordings`: told from others
- `skipped_sources`: whole builds with `--on-error skip`
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.faults import Outcome, Scenario
from benchmarks.faults.hostile import write_head
from binaural_feature import CueFormat
from database.__main__ import main
from database.containers import FORMATS
from database.hrtf import kemar
from database.on_error import STOP, OnError
from database.plan import Plan, draw_plan
from database.recipe import Recipe
from database.sources import noise_source, speech_source
from database.store import Database, read_rejects

FS = 8000
Flaw = Callable[[np.random.Generator], bytes]


# ---- files


def encoded(
    samples: NDArray[np.floating], fs: int = FS, container: str = "WAV", subtype: str | None = None
) -> bytes:
    """An audio file as bytes."""
    content = io.BytesIO()
    soundfile.write(content, samples, fs, format=container, subtype=subtype)
    return content.getvalue()


def voice(rng: np.random.Generator, duration: float = 2.0) -> NDArray[np.floating]:
    """Noise that swells and ebbs."""
    times = np.arange(round(duration * FS)) / FS
    return 0.1 * (1.2 + np.sin(2 * np.pi * 3 * times)) * rng.uniform(-1, 1, len(times))


def write_sources(folder: Path, rng: np.random.Generator) -> tuple[Path, Path]:
    """Three speakers with two files each, and three types of noise with three files each."""
    for place in [f"speech/{speaker}/{k}.wav" for speaker in "abc" for k in range(2)] + [
        f"noise/{kind}/{k}.wav" for kind in ("fan", "rain", "wind") for k in range(3)
    ]:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(encoded(voice(rng)))
    return folder / "speech", folder / "noise"


def _truncated(rng: np.random.Generator) -> bytes:
    content = encoded(voice(rng), container=str(rng.choice(FORMATS)))
    return content[: int(rng.uniform(0.02, 0.95) * len(content))]


def _silent(rng: np.random.Generator) -> bytes:
    return encoded(np.full(2 * FS, float(rng.choice([0.0, 0.25]))))


def _not_finite(rng: np.random.Generator) -> bytes:
    samples = voice(rng)
    samples[rng.integers(len(samples))] = rng.choice([np.nan, np.inf, -np.inf])
    return encoded(samples, subtype=str(rng.choice(["FLOAT", "DOUBLE"])))


FLAWS: dict[str, Flaw] = {
    "truncated": _truncated,
    "empty": lambda rng: b"",
    "header only": lambda rng: encoded(
        np.zeros(0), container=str(rng.choice(["WAV", "AIFF", "AU", "CAF", "W64"]))
    ),
    "header that promises samples": lambda rng: encoded(voice(rng))[:44],
    "silent": _silent,
    "NaN or infinite": _not_finite,
    "not audio": lambda rng: rng.bytes(5000),
    "text": lambda rng: b"This is no audio.\n" * 100,
}


# ---- scenarios


def bad_recordings(folder: Path, n: int) -> Outcome:
    """One bad file among the speech or the noise: an error that names it, or a plan without it."""
    rng = np.random.default_rng(0)
    speech, noise = write_sources(folder, rng)
    files = sorted(folder.rglob("*.wav"))
    broken = []
    for number in range(n):
        flaw, path = list(FLAWS)[number % len(FLAWS)], files[rng.integers(len(files))]
        sound = path.read_bytes()
        path.write_bytes(FLAWS[flaw](rng))
        if fault := _stops(speech, noise, path) or _skips(speech, noise, path):
            broken.append(f"{flaw} {path.relative_to(folder)}: {fault}")
        path.write_bytes(sound)
    return Outcome(
        "a recording that is truncated, empty, silent, not finite or not audio",
        "an error before the build that names it, or with skip the same plan without it every time",
        n,
        n - len(broken),
        "; ".join([f"{len(FLAWS)} flaws", *broken[:3]]),
    )


def small_plan(speech: Path, noise: Path, noise_files: int, on_error: OnError = STOP) -> Plan:
    """A plan of `write_sources`, with two of three noises of each type, or all."""
    recipe = Recipe(n_clips=6, format=CueFormat.default(FS, 4), noise_types=3, noise_files=noise_files)
    return draw_plan(recipe, speech_source(speech), noise_source(noise), [kemar()], on_error)


def _stops(speech: Path, noise: Path, bad: Path) -> str:
    """What is wrong with the error for a bad file, of a plan that needs all files."""
    try:
        small_plan(speech, noise, 3)
    except (ValueError, OSError) as error:
        return "" if str(bad) in str(error) else f"an error that does not name it: {error}"
    return "no error"


def _skips(speech: Path, noise: Path, bad: Path) -> str:
    """What is wrong with the plan that does without it."""
    on_error, again = OnError(skip=True), OnError(skip=True)
    plan = small_plan(speech, noise, 2, on_error)
    if plan != small_plan(speech, noise, 2, again) or again != on_error:
        return "another plan the second time"
    used = {file for files in (plan.checksums["speech"], plan.checksums["noise"]) for file in files}
    name = "/".join(bad.parts[-2:])
    if name in used:
        return "it is in the plan"
    listed = [reject.name for reject in on_error.rejects]
    if listed != [name] and (listed or bad.is_relative_to(speech)):  # two of three noises may do without it
        return f"the list of what was left out is {listed}"
    return ""


QUANTA = {
    "PCM_S8": 2.0**-7,
    "PCM_U8": 2.0**-7,
    "PCM_16": 2.0**-15,
    "PCM_24": 2.0**-23,
    "PCM_32": 2.0**-31,
    "FLOAT": 2.0**-24,
    "DOUBLE": 2.0**-53,
}
RATES = (8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000)


def good_recordings(folder: Path, n: int) -> Outcome:
    """Every container with every linear width, at 8 to 96 kHz, mono and stereo."""
    kinds = [
        (container, subtype, fs, n_channels)
        for container in FORMATS
        for subtype in soundfile.available_subtypes(container)
        if subtype in QUANTA
        for fs in RATES
        for n_channels in (1, 2)
    ]
    rng = np.random.default_rng(0)
    order = rng.permutation(len(kinds))
    broken = []
    for number in range(n):
        container, subtype, fs, n_channels = kinds[order[number % len(kinds)]]
        samples = rng.uniform(-0.99, 0.99, (fs // 20 * 2, n_channels))  # of odd ones AIFF makes even ones
        path = folder / "good" / "a.wav"  # what it is, its content tells
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(samples, fs, container, subtype))
        source = noise_source(path.parent)
        error = np.abs(source.read(source.recordings[0], fs) - samples.mean(axis=1)).max()
        if not error <= QUANTA[subtype]:
            broken.append(f"{container} {subtype} {fs} Hz, {n_channels} channels: off by {error:g}")
    notes = f"{min(n, len(kinds))} of {len(kinds)} kinds of file, {len(FORMATS)} containers"
    return Outcome(
        "8 to 64 bits, mono and stereo, 8 to 96 kHz",
        "read within one quantum",
        n,
        n - len(broken),
        "; ".join([notes, *broken[:3]]),
    )


def skipped_sources(folder: Path, n: int) -> Outcome:
    """Whole builds without a bad file of speech, of noise, and a bad head; each again, and elsewhere."""
    broken = []
    for number in range(n):
        rng = np.random.default_rng(number)
        root = folder / str(number)
        speech, noise = write_sources(root, rng)
        bad = [sorted(place.rglob("*.wav"))[int(rng.integers(6))] for place in (speech, noise)]
        for path in [*bad, root / "head.sofa"]:
            path.write_bytes(FLAWS[str(rng.choice(list(FLAWS)))](rng))
        write_head(root / "good.sofa")
        statuses = [_build(root, database) for database in ("one", "one", "two")]
        digests = {Database(root / database).digest for database in ("one", "two")}
        names = {reject.name for reject in read_rejects(root / "one")}
        expected = {"/".join(bad[0].parts[-2:]), str(root / "head.sofa")}  # of the noises, not all are tried
        if statuses != [3, 3, 3] or len(digests) > 1 or not expected <= names:
            broken.append(f"{number}: statuses {statuses}, {len(digests)} digests, left out {names}")
    return Outcome(
        "bad speech, noise and head, --on-error skip",
        "status 3, a list of what was left out, the same database the second time",
        n,
        n - len(broken),
        "; ".join(broken[:3]),
    )


def _build(root: Path, database: str) -> int:
    options = "--on-error skip --noise-types 3 --noise-files 2 --clips 6 --bands 4 --duration 0.3 --workers 0"
    options += " --interpolate"
    places = [root / database, "--speech", root / "speech", "--noise", root / "noise"]
    heads = ["--head", root / "head.sofa", root / "good.sofa"]
    with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
        return main(list(map(str, ["build", *places, *heads, "--fs", FS, *options.split()])))


def clipped_recordings(folder: Path, n: int) -> Outcome:
    """Speech that is 6 to 20 dB too loud for its file, and speech that only just fits, in every width."""
    rng, speech = np.random.default_rng(0), speech_source()
    spoken = speech.recordings[:5]
    path = folder / "noise" / "a.wav"
    path.parent.mkdir()
    broken = []
    for number in range(n):
        samples = speech.read(spoken[number % len(spoken)], FS)
        gain_db = float(rng.choice([-0.1, rng.uniform(6, 20)]))
        subtype = str(rng.choice(["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT"]))
        path.write_bytes(encoded(samples / np.abs(samples).max() * 10 ** (gain_db / 20), subtype=subtype))
        source = noise_source(path.parent)
        if source.is_clipped(source.recordings[0]) != (gain_db > 0):
            broken.append(f"{gain_db:.1f} dB, {subtype}")
    promised = "told from those that only just fit"
    return Outcome("recordings that are clipped", promised, n, n - len(broken), "; ".join(broken[:3]))


SCENARIOS: list[tuple[Scenario, int]] = [
    (bad_recordings, 1000),
    (good_recordings, 1000),
    (clipped_recordings, 1000),
    (skipped_sources, 10),
]
