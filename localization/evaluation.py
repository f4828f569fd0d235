"""A localizer against a database: numbers, a report and figures.

Conventions: only clips of one split are judged, by default those of "test", whose talkers, noise recordings
and heads the training split of the same database does not have. The database must hold cues of the format
that the localizer was trained on; clips of another length are welcome.

- `evaluate`: of a trained model
- `evaluate_baseline`: of a baseline, fitted first
- `format_differences`: where two cue formats part, in words
"""

import os
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import torch

from binaural_feature import CueFormat
from database.store import Database
from localization.baselines import BASELINES
from localization.dataset import CueDataset
from localization.judgement import System, judge
from localization.runs import load_run, predict, read_gradient_norms

Folder = str | os.PathLike[str]


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
        The content of `metrics.json`, as `judgement.judge` describes it.

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
    name = f"{Path(database).resolve().name}_{split}"
    folder = Path(run) / "evaluation" / name if out is None else Path(out)
    words = ["python", "train_doa.py", "evaluate", os.fspath(run), "--database", os.fspath(database)]
    system = System(
        name=os.fspath(run),
        command=shlex.join(words + ([] if split == "test" else ["--split", split])),
        trained_on=loaded.config.get("database", {}).get("digest"),
        temperature=float(loaded.model.temperature),
        gradient_norms=read_gradient_norms(Path(run)),
    )
    with Database(database) as opened:
        _check_format(opened, loaded.format, f"the model in {run}")
        dataset = CueDataset(opened, split)
        probabilities = predict(loaded.model.to(_device()), dataset)
        return judge(system, probabilities, dataset, folder, n_resamples, seed)


def evaluate_baseline(
    name: str,
    database: Folder,
    out: Folder,
    split: str = "test",
    *,
    trained_on: Folder | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit a baseline, judge it by a database as `evaluate` judges a model, and write down what was found.

    It is fitted on the training split, and its temperature on the validation split.

    Parameters
    ----------
    name : str
        One of `baselines.BASELINES`: "template", "gcc_phat" (of databases built with their audio) or
        "gaussian_mixture".
    database : path
        A finished database's folder.
    out : path
        Folder for `metrics.json`, `report.md` and the figures. What an earlier evaluation left there is
        replaced.
    split : str
        "train", "validation" or "test".
    trained_on : path, optional
        The database to fit the baseline on; the one it is judged by if left out.
    n_resamples, seed
        As for `evaluate`.

    Returns
    -------
    dict
        The content of `metrics.json`, as `judgement.judge` describes it.

    Raises
    ------
    ValueError
        If there is no baseline of that name, if the two databases differ in their cue format, if a split has
        no clip, or if audio is wanted and was not kept.
    OSError
        If something cannot be read or written.

    Examples
    --------
    >>> metrics = evaluate_baseline("template", "noisy_hrtf", "reports/template")  # doctest: +SKIP
    >>> metrics["measures"]["top1"]["value"]                                       # doctest: +SKIP
    0.981
    """
    if name not in BASELINES:
        raise ValueError(f"name: no baseline is called {name!r}, there are {', '.join(BASELINES)}")
    with Database(database) as opened, Database(trained_on or database) as known:
        _check_format(opened, known.format, f"the {name} baseline fitted on {known.folder}")
        dataset = CueDataset(opened, split)
        baseline = BASELINES[name](CueDataset(known, "train"))
        baseline.calibrate(CueDataset(known, "validation"))
        arguments = [name, *(os.fspath(path) for path in (database, out)), split]
        options = "" if trained_on is None else f", trained_on={os.fspath(trained_on)!r}"
        system = System(
            name=name,
            command=f"evaluate_baseline({', '.join(map(repr, arguments))}{options})",
            trained_on=known.digest,
            temperature=baseline.temperature,
            gradient_norms={},
        )
        return judge(system, baseline.probabilities(dataset), dataset, Path(out), n_resamples, seed)


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


def _check_format(database: Database, expected: CueFormat, taker: str) -> None:
    """Refuse a database whose cues mean something else than those that a localizer was trained on."""
    differences = format_differences(database.format, expected)
    if differences:
        raise ValueError(
            f"{database.folder}: its cues are not of the format that {taker} takes: " + "; ".join(differences)
        )


def _bands(cfs: list[float]) -> str:
    return f"{len(cfs)} bands from {cfs[0]:.6g} to {cfs[-1]:.6g} Hz"


def _device() -> torch.device:
    """The accelerator, where there is one."""
    return torch.accelerator.current_accelerator() or torch.device("cpu")
