"""The cues of a recording that comes in chunks: what a frame costs, and how long it is waited for.

A part of `python -m benchmarks.cues`. The chunks are a frame, ten frames, and the whole signal.

- `measure_streaming`, `print_streaming`
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks import median_seconds, print_table
from binaural_feature import CueExtractor, CueFormat


def _chunks(signal: NDArray[np.float64], n_samples: int) -> list[NDArray[np.float64]]:
    return [signal[start : start + n_samples] for start in range(0, len(signal), n_samples)]


def _feed(extractor: CueExtractor, chunks: list[NDArray[np.float64]]) -> None:
    for chunk in chunks:
        extractor.process(chunk)


def _latency(extractor: CueExtractor, chunks: list[NDArray[np.float64]], frame_shift: int) -> int:
    """Samples from the first of a frame until its cues are there, computing apart; of the slowest."""
    n_samples, n_frames, longest = 0, 0, 0
    for chunk in chunks:
        n_samples += len(chunk)
        n_new = extractor.process(chunk).itd.shape[1]
        if n_new:
            longest = max(longest, n_samples - n_frames * frame_shift)
        n_frames += n_new
    return longest


def measure_streaming(
    signal: NDArray[np.float64], cue_format: CueFormat, n_rounds: int
) -> list[dict[str, float]]:
    """What it costs and how long it takes with chunks of each length, the shortest first.

    Returns
    -------
    list of dict
        `chunk`, samples in one; `seconds` of computing for a frame; `real_time`, how many times faster a
        frame is computed than it lasts; `latency`, the seconds from the first sample of a frame until its
        cues are there, computing apart.
    """
    fs, shift = cue_format.fs, cue_format.frame_shift
    extractor = partial(CueExtractor, fs, cfs=cue_format.cfs)
    chunks = {n: _chunks(signal, n) for n in (shift, 10 * shift, len(signal))}
    contestants = {n: partial(_feed, extractor(), these) for n, these in chunks.items()}
    return [
        {
            "chunk": n,
            "seconds": seconds * shift / len(signal),
            "real_time": len(signal) / fs / seconds,
            "latency": _latency(extractor(), chunks[n], shift) / fs,
        }
        for n, seconds in median_seconds(contestants, n_rounds).items()
    ]


def print_streaming(rows: list[dict[str, float]]) -> None:
    """Print it."""
    print_table(
        ("samples in a chunk", "ms a frame", "× real time", "latency, ms"),
        [
            (
                f"{row['chunk']}",
                f"{1000 * row['seconds']:.3f}",
                f"{row['real_time']:.1f}",
                f"{1000 * row['latency']:.0f}",
            )
            for row in rows
        ],
    )
