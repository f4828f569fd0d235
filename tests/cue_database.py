"""A small database that can be learned from, made without sound: cues as a round head would have them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from binaural_feature import CueFormat
from database.store import append_manifest, plan_digest, write_plan, write_shard

FORMAT = CueFormat.default(fs=8000, n_bands=6)
N_FRAMES = 10
SPLITS = ("train", "validation", "test")


def draw_cues(azimuth: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """(n_clips, 4, n_bands, n_frames): ITD and ILD tell left from right, the ILD's tilt front from back."""
    angle = np.deg2rad(azimuth)[:, None, None]
    band = np.linspace(0, 1, FORMAT.n_bands)[None, :, None]
    frames = np.ones((1, 1, N_FRAMES))
    itd = 700e-6 * np.sin(angle) * (1 + 0.1 * band) * frames
    ild = (10 * np.sin(angle) + 6 * np.cos(angle) * (band - 0.5)) * frames
    noise = rng.standard_normal((4, *itd.shape))
    ic = np.clip(0.95 + 0.02 * noise[2], 0, 1)
    energy = -40 + 10 * band + 5 * noise[3] + rng.uniform(-10, 10, (len(azimuth), 1, 1))
    return np.stack([itd + 20e-6 * noise[0], ild + 0.5 * noise[1], ic, energy], axis=1)


def draw_audio(azimuth: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float32]:
    """(n_clips, n_samples, 2): noise, the ears of which are as far apart as in the lowest band."""
    n_samples = N_FRAMES * FORMAT.frame_shift
    spectrum = np.fft.rfft(rng.standard_normal((len(azimuth), n_samples)))
    itd = 700e-6 * np.sin(np.deg2rad(azimuth))[:, None]
    phase = np.pi * itd * np.fft.rfftfreq(n_samples, 1 / FORMAT.fs)
    ears = [np.fft.irfft(spectrum * np.exp(sign * 1j * phase), n_samples) for sign in (1, -1)]
    return np.stack(ears, axis=-1).astype(np.float32)


def write_database(folder: Path, n_per_split: int = 72, seed: int = 0, audio: bool = False) -> Path:
    """Write a database of three splits of `n_per_split` clips, in shards of 50, with sound or without."""
    rng = np.random.default_rng(seed)
    n_clips = len(SPLITS) * n_per_split
    azimuth = np.tile(np.arange(0.0, 360.0, 5.0), -(-n_clips // 72))[:n_clips]
    split = np.repeat(SPLITS, n_per_split)
    columns = {
        "azimuth": azimuth,
        "split": split,
        "speaker": np.array([f"{name}-{clip % 3}" for clip, name in enumerate(split)]),
        "noise_type": np.array(["rain", "wind"])[np.arange(n_clips) % 2],
        "noise_file_1": np.array([f"{name}.wav" for name in split]),
        "noise_file_2": np.full(n_clips, "everywhere.wav"),
        "snr_db": rng.uniform(0, 30, n_clips),
        "head": np.full(n_clips, "round"),
    }
    cues = draw_cues(azimuth, rng)
    signals = draw_audio(azimuth, rng) if audio else None
    starts = range(0, n_clips, 50)
    plan = {"n_shards": len(starts), "recipe": {"seed": seed}}
    write_plan(folder, plan)
    attributes = {**FORMAT.to_dict(), "duration": N_FRAMES / FORMAT.frame_rate}
    for number, start in enumerate(starts):
        these = slice(start, start + 50)
        facts = {name: values[these] for name, values in columns.items()}
        row = write_shard(
            folder, number, cues[these], facts, attributes, None if signals is None else signals[these]
        )
        append_manifest(folder, row, plan_digest(plan))
    return folder
