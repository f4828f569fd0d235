"""The command line of localization: train, evaluate, locate, export, experiment, demo.

    python train_doa.py train noisy_hrtf --out runs/kemar
    python train_doa.py evaluate runs/kemar --database noisy_hrtf
    python train_doa.py locate recording.wav
    python train_doa.py export runs/kemar kemar.safetensors
    python train_doa.py experiment experiments/a_original_conditions.yaml
    python train_doa.py demo

What a command needs is imported when it runs, and with signals held: one that comes in the middle of an
import is not always passed on, and shows as a library that cannot be loaded.
"""

# ruff: noqa: T201 - a command line prints

import json
import os
import re
import shlex
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from jsonargparse import auto_cli

from database.arguments import OneLineParser
from database.exit_status import DONE, GOES_ON, failed, interrupted, output_written, plain_warnings
from database.interrupts import signals_held, sigterm_raised
from database.version import own_version


def train(
    database: Path,
    *,
    out: Path,
    model: str = "cnn",
    epochs: int = 10,
    batch_size: int = 128,
    learning_rate: float = 3e-3,
    weight_decay: float = 0.05,
    loss: str | dict[str, float | dict[str, float]] = "cross_entropy",
    imbalance: float = 1.0,
    mirror: float = 0.0,
    head_warp: float = 0.0,
    spectral_jitter: float = 0.0,
    mixup: float = 0.0,
    mask_bands: float = 0.0,
    mask_frames: float = 0.0,
    precision: str = "auto",
    seed: int = 0,
    resume: bool = False,
    accelerator: str = "auto",
    devices: int | str = "auto",
    num_nodes: int = 1,
    strategy: str = "auto",
    workers: int = 1,
) -> None:
    """Train a network on a database.

    Parameters
    ----------
    database : Path
        The database's folder.
    out : Path
        Folder of the run: weights, configuration, logs.
    model : str
        The network: cnn, simple_cnn, resnet, convnext, transformer or cue_attention. Or a trained one, to be
        trained further: any-head or kemar, a run's folder, or a file exported from one. How that was trained,
        mirrored for instance, is not taken over.
    epochs : int
        Times that each scene is seen.
    batch_size : int
        Scenes in a step.
    learning_rate : float
        The highest of the one-cycle schedule.
    weight_decay : float
        Of AdamW.
    loss : str or dict
        What is minimised: cross_entropy (its option: smoothing, 0.1), circular (std, 2.5 degrees), ghm (bins,
        10, and momentum, 0.75), ranking (margin, 0.1) or ghm_ranking (all three and softness, 0.1); or a
        weighted sum, for example --loss.circular 1 --loss.ranking 0.3, or '{circular: {std: 5}, ranking:
        {weight: 0.3, margin: 0.2}}'.
    imbalance : float
        Keep so few scenes of some azimuths that, where all had equally many, the most frequent has so many
        times those of the rarest; 1 keeps all.
    mirror : float
        Augmentation: probability that a scene's ears are swapped and its azimuth mirrored, e.g. 0.5. A
        network so trained also hears each scene both ways round when it is used, and answers by the mean.
    head_warp : float
        Augmentation: each scene as if heard by a head up to so much smaller or larger; 0.1 is 10 %.
    spectral_jitter : float
        Augmentation: standard deviation, in dB, of smooth random responses given to a scene's two ears.
    mixup : float
        Augmentation: scenes are mixed in pairs, in a ratio drawn from Beta(MIXUP, MIXUP), e.g. 0.2; goes with
        every loss but ghm and ghm_ranking.
    mask_bands : float
        Augmentation: largest share of a scene's bands that is hidden, e.g. 0.2.
    mask_frames : float
        Augmentation: largest share of a scene's frames that is hidden.
    precision : str
        32-true, bf16-mixed (faster on processors with instructions for bfloat16, far slower on others),
        16-mixed (GPU), or auto: whichever is fastest here.
    seed : int
        Of the first weights, of the order of the scenes, of dropout, of augmentation and of thinning.
    resume : bool
        Go on from the last finished epoch of the run in OUT, if there is one.
    accelerator : str
        Lightning's: auto, cpu, gpu.
    devices : int or str
        Lightning's: how many in each machine, or which.
    num_nodes : int
        Lightning's: how many machines.
    strategy : str
        Lightning's: how they work together.
    workers : int
        Processes that read the database ahead.
    """
    # torch and lightning take seconds to import, which `--help` and a wrong argument need not wait for.
    with signals_held():
        from localization import training

    config = training.TrainingConfig(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        loss=loss,
        imbalance=imbalance,
        mirror=mirror,
        head_warp=head_warp,
        spectral_jitter=spectral_jitter,
        mixup=mixup,
        mask_bands=mask_bands,
        mask_frames=mask_frames,
        precision=precision,
        seed=seed,
    )
    training.train(
        database,
        out,
        config,
        model,
        resume=resume,
        accelerator=accelerator,
        devices=devices,
        num_nodes=num_nodes,
        strategy=strategy,
        n_workers=workers,
    )


def evaluate(
    run: str,
    *,
    database: Path,
    split: str = "test",
    out: Path | None = None,
    known_directions: bool = False,
) -> None:
    """Judge a trained model by a database, and write metrics.json, report.md and figures.

    Parameters
    ----------
    run : str
        The model: a run's folder, a file exported from one, or one that comes with the package, any-head or
        kemar.
    database : Path
        Folder of a database of the model's cue format.
    split : str
        train, validation or test.
    out : Path
        Folder for the report, where an earlier one is replaced; one in the run's folder if left out, to be
        given where there is none, or the report on another database of that name.
    known_directions : bool
        Where heads have fewer than 72 azimuths, let the model choose among those that they have.
    """
    # torch and matplotlib take seconds to import, which `--help` need not wait for.
    with signals_held():
        from localization import evaluation

    metrics = evaluation.evaluate(run, database, split, out, known_directions=known_directions)
    for name, measure in metrics["measures"].items():
        print(
            f"{name}: {measure['value']:.4f}  (95 %: {_number(measure['low'])} to {_number(measure['high'])})"
        )
    print(f"report: {Path(metrics['folder']) / 'report.md'}")


def _number(value: float | None) -> str:
    """A bound of an interval; one speaker alone leaves it unknown."""
    return "unknown" if value is None else f"{value:.4f}"


def locate(
    recording: Path,
    *,
    run: str = "any-head",
    hop: float | None = None,
    json: bool = False,
    picture: Path | None = None,
) -> None:
    """Tell where the source in a two-channel recording is.

    Parameters
    ----------
    recording : Path
        Audio file, left ear first.
    run : str
        The model: one that comes with the package, any-head or kemar; a run's folder, or a file exported
        from one.
    hop : float
        Seconds from one estimate to the next, each from the half second around its hop; one estimate for all
        of it if left out.
    json : bool
        Print one JSON object with the azimuth and the probabilities of all classes.
    picture : Path
        Draw the azimuth over time into this file, .png, .pdf, .svg or .jpg, an estimate each 0.1 s unless HOP
        says otherwise.
    """
    # torch takes seconds to import, which `--help` need not wait for.
    with signals_held():
        from database.recordings import read_audio
        from localization import Localizer

    if picture is not None:
        with signals_held():
            # matplotlib is slow to import, and wanted for a picture alone.
            from localization.plots import picture_format
        picture_format(picture)
    localizer = Localizer.load(run)
    signal, fs = read_audio(recording)
    step = hop if hop is not None else 0.1  # of the picture
    try:
        with warnings.catch_warnings(record=True) as said:
            location = localizer.locate(signal, fs, hop, progress=True)
            drawn = location
            if picture is not None and step != hop:
                drawn = localizer.locate(signal, fs, step, progress=True)
    except ValueError as error:
        raise ValueError(f"{recording}: {error}") from None
    for text in dict.fromkeys(str(warning.message) for warning in said):
        print(f"warning: {recording}: {text}", file=sys.stderr)
    print(_as_json(location, hop) if json else _as_text(location, hop))
    if picture is not None:
        _draw(drawn, step, len(signal) / fs, picture, said_on=sys.stderr if json else sys.stdout)


def _as_json(location: Any, hop: float | None) -> str:
    azimuth = location.azimuth if hop is None else location.azimuth.tolist()
    return json.dumps({"azimuth": azimuth, "hop": hop, "probabilities": location.probabilities.tolist()})


def _as_text(location: Any, hop: float | None) -> str:
    if hop is None:
        return f"azimuth {location.azimuth:.0f}° (probability {location.probabilities.max():.2f})"
    rows = zip(location.azimuth, location.probabilities.max(axis=1), strict=True)
    return "\n".join(f"{k * hop:8.2f} s  {azimuth:4.0f}°  {p:.2f}" for k, (azimuth, p) in enumerate(rows))


def _draw(location: Any, hop: float, duration: float, picture: Path, said_on: TextIO) -> None:
    with signals_held():
        # As above: matplotlib.
        from localization.plots import plot_azimuth_over_time, save_figure

    edges = [min(k * hop, duration) for k in range(len(location.azimuth) + 1)]
    save_figure(plot_azimuth_over_time(edges, location.azimuth, location.probabilities), picture)
    print(f"picture: {picture}", file=said_on)


def experiment(
    configuration: Path,
    *,
    data: Path | None = None,
    out: Path = Path("results"),
    systems: Sequence[str] = (),
    seeds: Sequence[int] = (),
    accelerator: str = "auto",
) -> None:
    """Build the databases, train the networks and make the reports that an experiment lacks.

    Parameters
    ----------
    configuration : Path
        Its YAML file, such as those in experiments/.
    data : Path
        Folder with LibriSpeech, ESC-50 and heads, which the file's paths are relative to; the folder data
        in $DOA_SHARED if left out.
    out : Path
        Folder of results, which experiments may share: databases, runs, reports.
    systems : sequence of str
        Only these of the file's systems, as in --systems cnn template "cnn, QU".
    seeds : sequence of int
        Only these of the file's seeds, as in --seeds 0 1.
    accelerator : str
        Lightning's: auto, cpu, gpu.
    """
    if data is None:
        if "DOA_SHARED" not in os.environ:
            raise ValueError("--data: expected the folder with the recordings and heads, or $DOA_SHARED")
        data = Path(os.environ["DOA_SHARED"]) / "data"
    with signals_held():
        # As above: torch, lightning and matplotlib, and the kernels of the cues.
        from localization.experiments import read_experiment, run_experiment

    words = ["python", "train_doa.py", "experiment", str(configuration)]
    words += ["--data", str(data), "--out", str(out)]
    report = run_experiment(
        read_experiment(configuration),
        data,
        out,
        shlex.join(words),
        systems=systems,
        seeds=seeds,
        accelerator=accelerator,
    )
    print(f"report: {report}")


def export(run: Path, out: Path) -> None:
    """Write a trained model into one file, which locate and other programs take.

    Parameters
    ----------
    run : Path
        Folder of the run.
    out : Path
        The file, its name ending in .safetensors.
    """
    # As above: torch.
    with signals_held():
        from localization.shipped import export_run

    written = export_run(run, out)
    n_weights = sum(weights.numel() for weights in written.model.parameters())
    print(f"{out}: {n_weights} weights, {out.stat().st_size} bytes")


def demo(*, out: Path = Path("demo")) -> None:
    """Build a small database from the built-in head and synthetic sources, train, and evaluate.

    Parameters
    ----------
    out : Path
        Folder for the database, the run and the report; the same command goes on where it was stopped.
    """
    with signals_held():
        # As above: torch, lightning and matplotlib, and the kernels of the cues.
        from database.build import build
        from database.recipe import Recipe
        from localization import evaluation, training

    started = time.perf_counter()
    print("1/3 database: the built-in head, synthetic talkers and noises")
    build(out / "database", Recipe(n_clips=DEMO_CLIPS, snr_db=(15.0, 40.0)))
    print("2/3 training")
    config = training.TrainingConfig(epochs=DEMO_EPOCHS, precision="32-true")  # the same everywhere
    training.train(out / "database", out / "run", config, resume=True)
    print("3/3 evaluation on talkers and noise recordings not heard in training")
    metrics = evaluation.evaluate(out / "run", out / "database", out=out / "report")
    top1 = metrics["measures"]["top1"]["value"]
    print(f"top-1 {top1:.1%} of {metrics['n_clips']} scenes, {metrics['n_speakers']} talkers")
    print(f"report: {out / 'report' / 'report.md'}, after {time.perf_counter() - started:.0f} s")


DESCRIPTION = "Where a talker is, from the sound at two ears: train, evaluate, localize."
EXIT_STATUSES = (
    "Exit status: 0 done, 1 damage found, 2 bad input or arguments, 4 the machine's fault (disk, "
    "permissions, memory, another training, a dead process), 130 interrupted (SIGINT), 143 terminated "
    "(SIGTERM)."
)
LISTS = {"--systems": str, "--seeds": int}  # options that are lists, and what of
ADVICE = {  # for who interrupted a command
    "train": "with --resume it goes on from the last finished epoch",
    "experiment": GOES_ON,
    "demo": GOES_ON,
}
DEMO_CLIPS, DEMO_EPOCHS = 80, 6  # measured: above 95 % in under three minutes on two cores


class CommandParser(OneLineParser):
    """Dashes in names, flags for what is off by default, lists as words."""

    def add_argument(self, *args: Any, **kwargs: Any) -> Any:
        if args[0] in LISTS:
            del kwargs["action"]
            # Its first name alone: the second, with a +, would add to a list as jsonargparse writes it.
            args, kwargs = args[:1], kwargs | {"type": LISTS[args[0]], "nargs": "+"}
        elif args[0].startswith("--") and "action" not in kwargs:
            args = (args[0].replace("_", "-"), *args[1:])
            if kwargs.get("type") is bool and kwargs.get("default") is False:
                del kwargs["type"]
                kwargs["action"] = "store_true"
        return super().add_argument(*args, **kwargs)

    def parse_args(self, *args: Any, **kwargs: Any) -> Any:
        options = super().parse_args(*args, **kwargs)
        try:
            self.validate(options, skip_unset=False)  # a file can leave empty what words cannot
        except TypeError as error:
            self.error(str(error), error)
        return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process if left out.

    Returns
    -------
    int
        The exit status; errors are one line on standard error.

    Raises
    ------
    SystemExit
        With status 2 for arguments that are not understood, with 0 for `--help`.
    """
    functions: list[Any] = [train, evaluate, locate, export, experiment, demo]
    commands = {function.__name__: function for function in functions}
    try:
        with sigterm_raised(), output_written(), plain_warnings():
            auto_cli(
                commands,
                args=None if argv is None else list(argv),
                parser_class=CommandParser,
                version=own_version(),
                description=DESCRIPTION,
                epilog=EXIT_STATUSES,
            )
    except KeyboardInterrupt as error:
        words = sys.argv[1:] if argv is None else argv
        return interrupted(error, ADVICE.get(next((word for word in words if word in commands), ""), ""))
    except (ValueError, OSError, MemoryError) as error:
        return failed(error)
    except RuntimeError as error:
        if not re.search("out of memory|allocate memory|not enough memory", str(error)):  # as torch says it
            raise
        return failed(MemoryError(str(error)))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
