"""The cues of one second of speech at two ears, timed beside other software and the machine's limit.

    python -m benchmarks.cues --json cues.json

One thread. At every sampling rate stand side by side, on the same signal and as many bands:

- `GetCues_clean` with each of the hair cells;
- the filterbank of the `gammatone` package alone, on both ears: no hair cells and no cues;
- pyfar's gammatone filterbank alone, on both ears (complex: bands and their envelopes), if it is installed;
- the definition of the cues taken sample by sample (`benchmarks.sample_by_sample`), behind our filterbank and
  the hair cell Roman, compiled by numba as it stands;
- the same in plain Python: two frames of one band, times the number of bands and of pairs of frames;
- the machine's limit: what one core would need for nothing but the multiply-adds of `multiply_adds`, as fast
  as it goes through a sum of products in a loop compiled by numba, both arrays in its first cache.

After that, the same signal in chunks (`benchmarks.streaming`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
from gammatone.filters import erb_filterbank, make_erb_filters
from numpy.typing import NDArray

from auditory_model import MODEL_TYPES, auditory_peripheral
from benchmarks import (
    Target,
    at_least_one,
    median_seconds,
    print_table,
    print_targets,
    run_with_one_thread,
    write_results,
)
from benchmarks.sample_by_sample import band_cues
from benchmarks.streaming import measure_streaming, print_streaming
from binaural_feature import CueFormat, GetCues_clean
from database.hrtf import kemar
from database.mixing import render
from database.recordings import read_mono
from database.sources import loud_starts, speech_source

OURS = "GetCues_clean, {}"
HAIR_CELLS = [name for name in MODEL_TYPES if " " not in name]  # the long name stands for "envelope"
ROMAN = OURS.format("Roman")
GAMMATONE = "gammatone's filterbank alone"
PYFAR = "pyfar's filterbank alone"
COMPILED = "sample by sample, numba"
PLAIN = "sample by sample, Python"
LIMIT = "multiply-adds alone"
N_PRODUCTS, N_SUMS = 1024, 10_000  # two arrays of this length lie in the first cache
MOST_OF_GAMMATONE = {16_000: 0.35, 44_100: 0.6}
LEAST_OVER_COMPILED, LEAST_OF_REAL_TIME = 5.0, 50.0

compiled_band_cues = numba.njit(band_cues)


def two_ear_speech(fs: float, duration: float, file: Path | None) -> NDArray[np.float64]:
    """The first loud stretch of a recording, or of a synthetic talker, 45° to the left: (n_samples, 2)."""
    if file is None:
        source = speech_source()
        speech = source.read(source.recordings[0], fs)
    else:
        speech = read_mono(file, fs)
    start = int(loud_starts(speech, fs, duration)[0])
    return render(speech[start : start + round(duration * fs)], kemar().resampled(fs).response(45.0))


def multiply_adds(cue_format: CueFormat, n_samples: int) -> int:
    """Multiply-adds that the definition needs for `n_samples` samples.

    In every band at every sample:

    - filterbank: 2 ears × 4 sections × 4, two coefficients of the zeros and two of the poles;
    - correlation: 1 for each of the 2 max_delay + 1 lags, and 1 for the window;
    - powers of both ears, of the hair cells and of the filters: 4 × 2, the square and the window.

    The roots of the hair cells are left out, and what is done once a frame.
    """
    n_each = 2 * 4 * 4 + (2 * cue_format.max_delay + 1) + 1 + 4 * 2
    return n_each * cue_format.n_bands * n_samples


@numba.njit(fastmath={"reassoc", "contract"})  # otherwise it is added one after the other
def _sums_of_products(x, y, n_sums):
    total = 0.0
    for _ in range(n_sums):
        for k in range(x.shape[0]):
            total += x[k] * y[k]
    return total


def _aligned(n: int) -> NDArray[np.float64]:
    """Ones that begin with a line of the cache, without which the sum takes a quarter longer."""
    ones = np.ones(n + 8)
    start = -ones.ctypes.data % 64 // 8
    return ones[start : start + n]


def sample_by_sample(
    signal: NDArray[np.float64], cue_format: CueFormat, of_band: Callable[..., Any]
) -> NDArray[np.float64]:
    """Cues of all bands by the definition, as it stands or compiled: (n_bands, 4, n_frames)."""
    fs, times = cue_format.fs, (cue_format.frame_len, cue_format.max_delay, cue_format.frame_shift)
    bands, cells = auditory_peripheral(signal, fs, cue_format.cfs)
    ears = np.concatenate([cells, bands], axis=2).transpose(0, 2, 1).copy()
    return np.stack([of_band(x1, x2, b1, b2, fs, *times) for x1, x2, b1, b2 in ears])


def pyfar_filterbank(signal: NDArray[np.float64], cue_format: CueFormat) -> dict[str, Callable[[], Any]]:
    """Its filterbank with the same bands; nothing if it is not installed."""
    try:
        import pyfar  # an extra that nothing else needs
    except ImportError:
        return {}
    low, high = cue_format.cfs[0], 0.9 * cue_format.fs / 2
    first, last = 9.2645 * np.log1p(0.00437 * np.array([low, high]))  # its scale, in ERB
    spacing = (last - first) / cue_format.n_bands
    bank = pyfar.dsp.filter.GammatoneBands([low, 0.99 * high], spacing, low, sampling_rate=cue_format.fs)
    return {PYFAR: partial(bank.process, pyfar.Signal(signal.T, cue_format.fs))}


def measure(signal: NDArray[np.float64], cue_format: CueFormat, n_rounds: int) -> dict[str, Any]:
    """Seconds that each contestant takes for `signal`, and what the limit comes from."""
    fs, cfs = cue_format.fs, cue_format.cfs
    coefficients, ears = make_erb_filters(fs, np.array(cfs)), np.ascontiguousarray(signal.T)
    stretch, first_band = signal[: 2 * cue_format.frame_shift], replace(cue_format, cfs=cfs[:1])
    contestants: dict[str, Callable[[], Any]] = {
        **{
            OURS.format(name): partial(GetCues_clean, signal, fs, cfs=cfs, model_type=name)
            for name in HAIR_CELLS
        },
        GAMMATONE: lambda: [erb_filterbank(ear, coefficients) for ear in ears],
        **pyfar_filterbank(signal, cue_format),
        COMPILED: partial(sample_by_sample, signal, cue_format, compiled_band_cues),
        PLAIN: partial(sample_by_sample, stretch, first_band, band_cues),
        LIMIT: partial(_sums_of_products, _aligned(N_PRODUCTS), _aligned(N_PRODUCTS), N_SUMS),
    }
    seconds = median_seconds(contestants, n_rounds)
    seconds[PLAIN] *= cue_format.n_bands * len(signal) / len(stretch)
    n_needed, n_a_second = multiply_adds(cue_format, len(signal)), N_PRODUCTS * N_SUMS / seconds[LIMIT]
    seconds[LIMIT] = n_needed / n_a_second
    return {"seconds": seconds, "multiply_adds": n_needed, "multiply_adds_a_second": n_a_second}


def print_rate(fs: float, duration: float, measured: dict[str, Any]) -> None:
    """Print what was measured at one rate."""
    seconds = measured["seconds"]
    print(
        f"{duration:g} s at {fs:g} Hz: {measured['multiply_adds'] / 1e6:.1f} million multiply-adds, "
        f"of which one core does {measured['multiply_adds_a_second'] / 1e9:.1f} thousand million a second\n"
    )
    print_table(
        ("", "ms", "× gammatone's", "× limit", "× real time"),
        [
            (
                name,
                f"{1000 * time:.1f}",
                f"{time / seconds[GAMMATONE]:.2f}",
                f"{time / seconds[LIMIT]:.1f}",
                f"{duration / time:.1f}",
            )
            for name, time in seconds.items()
        ],
    )
    if PYFAR not in seconds:
        print(f"{PYFAR}: not installed\n")


def targets(fs: int, measured: dict[str, Any]) -> list[Target]:
    """What is wanted at one rate."""
    seconds, frame_by_frame = measured["seconds"], measured["streaming"][0]
    over_compiled = seconds[COMPILED] / seconds[ROMAN]
    wanted = [
        Target(f"{fs} Hz: {COMPILED}, over Roman", over_compiled, least=LEAST_OVER_COMPILED),
        Target(
            f"{fs} Hz: frame by frame, × real time", frame_by_frame["real_time"], least=LEAST_OF_REAL_TIME
        ),
    ]
    if fs in MOST_OF_GAMMATONE:
        found, most = seconds[ROMAN] / seconds[GAMMATONE], MOST_OF_GAMMATONE[fs]
        wanted.append(Target(f"{fs} Hz: Roman, of gammatone's", found, most=most))
    return wanted


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cues", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--rates",
        type=int,
        nargs="+",
        default=[16_000, 44_100, 48_000],
        metavar="HZ",
        help="sampling rates (%(default)s)",
    )
    parser.add_argument("--bands", type=at_least_one, default=32, help="of the filterbank (%(default)s)")
    parser.add_argument("--duration", type=float, default=1.0, help="of the signal, in s (%(default)s)")
    parser.add_argument(
        "--rounds", type=at_least_one, default=21, help="of which the median is taken (%(default)s)"
    )
    parser.add_argument("--speech", type=Path, metavar="FILE", help="a talker; a synthetic one if left out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write what was measured")
    options = parser.parse_args(arguments)
    try:
        inputs = [
            (fs, two_ear_speech(fs, options.duration, options.speech), CueFormat.default(fs, options.bands))
            for fs in options.rates
        ]
    except (ValueError, OSError) as error:
        parser.error(str(error))
    results, wanted = {}, []
    for fs, signal, cue_format in inputs:
        measured = measure(signal, cue_format, options.rounds)
        print_rate(fs, options.duration, measured)
        measured["streaming"] = measure_streaming(signal, cue_format, options.rounds)
        print_streaming(measured["streaming"])
        results[str(fs)] = measured
        wanted += targets(fs, measured)
    print_targets(wanted)
    write_results(
        options.json, {"duration": options.duration, "bands": options.bands, "rates": results}, wanted
    )


if __name__ == "__main__":
    run_with_one_thread()
    main()
