"""Size and speed of every network: weights, multiply-adds, clips a second on one core.

    python -m benchmarks.models --json models.json

Speed is that of one core on clips of random cues that are there already: inference alone, and steps of
training, which are forward, backward and AdamW. How well each network localizes depends on the database, and
is no matter of this program.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import at_least_one, median_seconds, print_table, run_with_one_thread, write_results
from benchmarks.training import training_step
from localization.angles import N_CLASSES
from localization.models import MODELS, build_model, read_model_config


def measure(names: Sequence[str], cues: Tensor, n_rounds: int) -> dict[str, dict[str, float]]:
    """Size and speed of networks, for cue maps (n_clips, n_cues, n_bands, n_frames)."""
    models = {
        name: build_model(read_model_config({"name": name, "n_bands": cues.shape[2]})) for name in names
    }
    batch = cues, torch.randint(N_CLASSES, (len(cues),))
    steps = {name: training_step(batch, model) for name, model in models.items()}
    training = median_seconds(steps, n_rounds)
    inference = median_seconds({name: judgement(model, cues) for name, model in models.items()}, n_rounds)
    return {
        name: {
            "parameters": sum(weights.numel() for weights in model.parameters()),
            "multiply_adds": multiply_adds(model, cues[:1]),
            "inference_clips_a_second": len(cues) / inference[name],
            "training_clips_a_second": len(cues) / training[name],
        }
        for name, model in models.items()
    }


def multiply_adds(model: nn.Module, clip: Tensor) -> int:
    """Multiply-adds in the convolutions and matrix products for one clip (1, n_cues, n_bands, n_frames).

    Examples
    --------
    >>> multiply_adds(nn.Conv2d(4, 10, kernel_size=1), torch.zeros(1, 4, 32, 100))
    128000
    """
    # Attention is counted only where its products are not fused.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model.eval()(clip)
    return counter.get_total_flops() // 2


def judgement(model: nn.Module, cues: Tensor) -> Callable[[], Tensor]:
    """What a trained model does with a batch, as often as it is called."""
    return torch.inference_mode()(partial(model.eval(), cues))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.models", description=__doc__.partition("\n")[0]
    )
    add = parser.add_argument
    add("--models", nargs="+", default=list(MODELS), choices=MODELS, metavar="NAME", help="all if left out")
    add("--bands", type=at_least_one, default=32, help="of the maps (%(default)s)")
    add("--frames", type=at_least_one, default=100, help="of the maps; 100 are one second (%(default)s)")
    add("--batch-size", type=at_least_one, default=128, help="clips at a time (%(default)s)")
    add("--rounds", type=at_least_one, default=11, help="of which the median is taken (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="where to write what was measured")
    options = parser.parse_args(arguments)
    cues = torch.randn(options.batch_size, 4, options.bands, options.frames)
    measured = measure(options.models, cues, options.rounds)
    print_table(
        ("model", "parameters", "million multiply-adds", "inference, clips/s", "training, clips/s"),
        [
            (
                name,
                f"{figures['parameters']:,}",
                f"{figures['multiply_adds'] / 1e6:.1f}",
                f"{figures['inference_clips_a_second']:.0f}",
                f"{figures['training_clips_a_second']:.0f}",
            )
            for name, figures in measured.items()
        ],
    )
    shape = {"bands": options.bands, "frames": options.frames, "batch_size": options.batch_size}
    write_results(options.json, {**shape, "threads": torch.get_num_threads(), "models": measured})


if __name__ == "__main__":
    run_with_one_thread()
    main()
