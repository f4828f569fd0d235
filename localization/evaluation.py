"""A trained model against a database: numbers, a report and figures.

Conventions: only clips of one split are judged, by default those of "test", whose talkers, noise recordings
and heads the training split of the same database does not have. The database must hold cues of the model's
own format; clips of another length are welcome.

- `evaluate`: all of it
- `format_differences`: where two cue formats part, in words
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from binaural_feature import CueFormat
from database.store import Database, write_atomically
from localization.angles import class_azimuth
from localization.calibration import Reliability, calibration_error, reliability
from localization.dataset import CueDataset
from localization.metrics import Outcomes, Summary, confusion, grouped, outcomes, snr_bin, summary
from localization.plots import (
    BLUE,
    ORANGE,
    plot_accuracy_over_snr,
    plot_confusion,
    plot_error_over_azimuth,
    plot_reliability,
    save_figure,
)
from localization.report import report
from localization.runs import Run, load_run, predict

Folder = str | os.PathLike[str]
COLUMNS = ("speaker", "snr_db", "noise_type", "head")  # of the database, one value for each clip
SNR_BIN = 5.0  # dB


def evaluate(
    run: Folder,
    database: Folder,
    split: str = "test",
    out: Folder | None = None,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Judge a trained model by a database, and write down what was found.

    Parameters
    ----------
    run : path
        A run's folder, as `training.train` wrote it.
    database : path
        A finished database's folder, of the model's cue format.
    split : str
        "train", "validation" or "test".
    out : path, optional
        Folder for `metrics.json`, `report.md` and the figures; ``evaluation/<database>_<split>`` in the
        run's folder if left out. What an earlier evaluation left there is replaced.
    n_resamples : int
        How often the speakers are drawn for the 95 % intervals.
    seed : int
        Of these draws.

    Returns
    -------
    dict
        The content of `metrics.json`. ``"n_clips"``, ``"n_speakers"`` and ``"measures"``, which maps each of
        `metrics.MEASURES` to its ``"value"``, ``"low"`` and ``"high"`` (None where one speaker alone leaves
        the interval unknown); shares are in [0, 1], errors in degrees. The same three for each group in
        ``"by_snr_db"`` (lower edges of bins 5 dB wide), ``"by_noise_type"``, ``"by_azimuth"`` and
        ``"by_head"``. ``"folder"`` says where the report lies.

    Raises
    ------
    ValueError
        If the database has another cue format (the message lists the differences), or no clip of that split.
    OSError
        If something cannot be read or written.

    Examples
    --------
    >>> metrics = evaluate("runs/kemar", "noisy_hrtf")  # doctest: +SKIP
    >>> metrics["measures"]["top1"]["value"]            # doctest: +SKIP
    0.991
    """
    loaded = load_run(Path(run))
    with Database(database) as opened:
        _check_format(loaded, opened)
        dataset = CueDataset(opened, split)
        columns = {name: opened.columns[name][dataset.indices] for name in COLUMNS}
        judged = outcomes(predict(loaded.model.to(_device()), dataset), dataset.classes)
        data = _data(opened, loaded)
    rng = np.random.default_rng(seed)
    groups = _groups(judged, dataset.classes, columns, rng, n_resamples)
    curve = reliability(judged.confidence, judged.top1)
    counts = confusion(dataset.classes, judged.estimate)
    name = f"{Path(database).resolve().name}_{split}"
    folder = Path(run) / "evaluation" / name if out is None else Path(out)
    metrics: dict[str, Any] = {
        "run": os.fspath(run),
        "database": os.fspath(database),
        "split": split,
        "folder": os.fspath(folder),
        "data": data,
        "seed": seed,
        "n_resamples": n_resamples,
        **_plain(summary(judged, columns["speaker"], rng, n_resamples)),
        **{f"by_{kind}": _plain_groups(of) for kind, of in groups.items()},
        "expected_calibration_error": calibration_error(curve),
        "confusion": counts.tolist(),
    }
    _draw(folder, groups, curve, counts)
    write_atomically(folder / "report.md", report(metrics).encode())
    # Written last: where it is, the evaluation is whole.
    write_atomically(folder / "metrics.json", (json.dumps(metrics, indent=1) + "\n").encode())
    return metrics


def format_differences(found: CueFormat, expected: CueFormat) -> list[str]:
    """Where two cue formats part, one text for each field.

    Parameters
    ----------
    found, expected : CueFormat

    Returns
    -------
    list of str
        Empty where they agree. Centre frequencies agree within a millionth: libraries differ in the last bit.

    Examples
    --------
    >>> format_differences(CueFormat.default(fs=8000), CueFormat.default(fs=8000, filter_type="APGF"))
    ["filter_type: found 'GF_spectrogram', expected 'APGF'"]
    """
    ours, theirs = found.to_dict(), expected.to_dict()
    cfs, expected_cfs = ours.pop("cfs"), theirs.pop("cfs")
    texts = [
        f"{name}: found {ours[name]!r}, expected {theirs[name]!r}"
        for name in ours
        if ours[name] != theirs[name]
    ]
    if len(cfs) != len(expected_cfs) or not np.allclose(cfs, expected_cfs, rtol=1e-6, atol=0):
        texts.append(f"cfs: found {_bands(cfs)}, expected {_bands(expected_cfs)}")
    return texts


def _check_format(run: Run, database: Database) -> None:
    """Refuse a database whose cues mean something else than those that the model was trained on."""
    differences = format_differences(database.format, run.format)
    if differences:
        raise ValueError(
            f"{database.folder}: its cues are not of the format that the model in {run.folder} takes: "
            + "; ".join(differences)
        )


def _bands(cfs: list[float]) -> str:
    return f"{len(cfs)} bands from {cfs[0]:.6g} to {cfs[-1]:.6g} Hz"


def _device() -> torch.device:
    """The accelerator, where there is one."""
    return torch.accelerator.current_accelerator() or torch.device("cpu")


def _data(database: Database, run: Run) -> dict[str, Any]:
    """Where the clips come from."""
    return {
        "digest": database.digest,
        "recipe": database.plan.get("recipe", {}),
        "sources": database.plan.get("sources", {}),
        "trained_on": run.config.get("database", {}).get("digest"),
    }


def _groups(
    judged: Outcomes,
    classes: NDArray[np.intp],
    columns: dict[str, NDArray[Any]],
    rng: np.random.Generator,
    n_resamples: int,
) -> dict[str, dict[Any, Summary]]:
    """Summaries of the clips of each SNR, type of noise, azimuth and head."""
    labels = {
        "snr_db": snr_bin(columns["snr_db"], SNR_BIN),
        "noise_type": columns["noise_type"],
        "azimuth": class_azimuth(classes),
        "head": columns["head"],
    }
    return {kind: grouped(judged, of, columns["speaker"], rng, n_resamples) for kind, of in labels.items()}


def _plain(found: Summary) -> dict[str, Any]:
    """A summary as JSON has it, which knows no NaN."""
    measures = {
        name: {key: None if np.isnan(number) else number for key, number in interval._asdict().items()}
        for name, interval in found.measures.items()
    }
    return {"n_clips": found.n_clips, "n_speakers": found.n_speakers, "measures": measures}


def _plain_groups(groups: dict[Any, Summary]) -> dict[str, Any]:
    """Summaries by group as JSON has them, which knows no other key than text."""
    return {
        f"{key:g}" if isinstance(key, float) else str(key): _plain(found) for key, found in groups.items()
    }


def _draw(
    folder: Path, groups: dict[str, dict[Any, Summary]], curve: Reliability, counts: NDArray[np.intp]
) -> None:
    """The figures, each in a file of its own."""

    def curves(kind: str, measure: str) -> tuple[NDArray[np.float64], ...]:
        """Groups, means, and both ends of the interval."""
        rows = [(group, *found.measures[measure]) for group, found in groups[kind].items()]
        return tuple(np.array(rows, dtype=np.float64).T)

    azimuth, error, low, high = curves("azimuth", "angular_error_deg")
    save_figure(plot_error_over_azimuth(azimuth, error, low, high), folder / "error_over_azimuth.png")
    ax = None
    for measure, color, label in (("top1", BLUE, "top-1"), ("top5", ORANGE, "top-5")):
        edge, share, low, high = curves("snr_db", measure)
        ax = plot_accuracy_over_snr(edge + SNR_BIN / 2, share, low, high, ax, color=color, label=label)
    save_figure(ax, folder / "accuracy_over_snr.png")
    save_figure(plot_confusion(counts), folder / "confusion.png")
    save_figure(plot_reliability(curve), folder / "reliability.png")
