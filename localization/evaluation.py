"""A localizer against a database: numbers, a report and figures.

Conventions: only clips of one split are judged, by default those of "test", whose talkers and noise
recordings the training split of the same database does not have, nor its heads where there are three or more.
The database must hold cues of the format that the localizer was trained on; clips of another length are
welcome.

- `evaluate`: of a trained model
- `fit_baseline`, `evaluate_baseline`: of a baseline, as a `FittedBaseline`
"""

import json
import os
import shlex
from pathlib import Path
from typing import Any, NamedTuple

from database.store import Database
from localization.baselines import BASELINES, Baseline
from localization.dataset import CueDataset, check_format
from localization.device import best_device
from localization.gradient_norms import read_gradient_norms
from localization.judgement import METRICS, System, judge
from localization.runs import (
    Run,
    described_in,
    heard_in_training,
    log_probabilities,
    software,
    started_from,
    weights_digest,
)
from localization.shipped import load_model

Folder = str | os.PathLike[str]


def evaluate(
    run: str | Path,
    database: Folder,
    split: str = "test",
    out: Folder | None = None,
    *,
    known_directions: bool = False,
) -> dict[str, Any]:
    """Judge a trained model by a database, and write down what was found.

    Parameters
    ----------
    run : str or path
        A run's folder, as `training.train` wrote it; or whatever else `shipped.load_model` takes: the name of
        a model that comes with the package, or a file exported from a run.
    database : path
        A finished database's folder, of the model's cue format.
    split : str
        "train", "validation" or "test".
    out : path, optional
        Folder for `metrics.json`, `report.md` and the figures; ``evaluation/<database>_<split>`` in the
        run's folder if left out, and to be given where there is none, or the report on another database of
        that name. What an earlier evaluation left in `out` is replaced.
    known_directions : bool
        Take it for known that a sound comes from an azimuth that the clip's head has, as `judgement.judge`
        says: for a head with fewer than 72, the model answers with one of its own.

    Returns
    -------
    dict
        The content of `metrics.json`, as `judgement.judge` describes it.

    Raises
    ------
    ValueError
        If the database has another cue format (the message lists the differences), or no clip of that split;
        if `out` is left out, and the model is not in a run's folder, or the report of another database of
        that name is there; if what a run says of its training is something else.
    OSError
        If something cannot be read or written.

    Examples
    --------
    >>> metrics = evaluate("runs/kemar", "noisy_hrtf")  # doctest: +SKIP
    >>> metrics["measures"]["top1"]["value"]            # doctest: +SKIP
    0.991
    """
    loaded = load_model(run)
    if out is None and not loaded.path.is_dir():
        raise ValueError(f"out: expected a folder for the report, since {run} is no run's folder")
    words = ["python", "train_doa.py", "evaluate", os.fspath(run), "--database", os.fspath(database)]
    words += [] if split == "test" else ["--split", split]
    words += ["--known-directions"] if known_directions else []
    words += [] if out is None else ["--out", os.fspath(out)]
    system = System(
        name=os.fspath(run),
        command=shlex.join(words),
        trained_on=loaded.config["database"].get("digest"),
        started_from=started_from(loaded),
        sources=heard_in_training(loaded),
        trained_with=_trained_with(loaded),
        weights=weights_digest(loaded.model),
        temperature=float(loaded.model.temperature),
        gradient_norms=read_gradient_norms(loaded.path),
    )
    with Database(database) as opened:
        check_format(opened, loaded.format, f"the model in {run}")
        folder = _own_folder(loaded.path, opened, split) if out is None else Path(out)
        folder.mkdir(parents=True, exist_ok=True)  # or it cannot be, which is told before the work
        dataset = CueDataset(opened, split)
        found = log_probabilities(loaded.model.to(best_device()), dataset)
        return judge(system, found, dataset, folder, known_directions)


def _own_folder(run: Path, database: Database, split: str) -> Path:
    """Where a run keeps its report on a database; ValueError if that of another one of this name is there."""
    here = Path(database.folder).resolve()
    folder = run / "evaluation" / f"{here.name}_{split}"
    try:
        found = json.loads((folder / METRICS).read_bytes())
        # A database may have been moved, or built anew.
        is_same = found["data"]["digest"] == database.digest or Path(found["database"]) == here
    except (FileNotFoundError, KeyError, TypeError, ValueError):  # no whole report, to be replaced
        return folder
    if not is_same:
        raise ValueError(f"{folder}: holds the report on {found['database']}; give another folder (--out)")
    return folder


def _trained_with(run: Run) -> dict[str, str]:
    """The versions that a run says it was trained with, which an exported file leaves out; its precision."""
    versions, training = run.config.get("software", {}), run.config.get("training", {})
    if not (isinstance(versions, dict) and isinstance(training, dict)):
        raise ValueError(f"{described_in(run)}: software and training: an entry for each name expected")
    known = versions | ({"precision": training["precision"]} if "precision" in training else {})
    return {name: str(value) for name, value in known.items()}


class FittedBaseline(NamedTuple):
    """A baseline that knows its azimuths.

    Attributes
    ----------
    name : str
        One of `baselines.BASELINES`.
    baseline : Baseline
        Fitted and calibrated.
    trained_on : str
        Digest of the database that it was fitted on.
    sources : dict of str to list of str
        What that database's training split is made of, as `CueDataset.sources` has it.
    folder : str
        That database's.
    """

    name: str
    baseline: Baseline
    trained_on: str
    sources: dict[str, list[str]]
    folder: str


def fit_baseline(name: str, database: Folder) -> FittedBaseline:
    """Fit a baseline on a database's training split, and its temperature on the validation split.

    Parameters
    ----------
    name : str
        One of `baselines.BASELINES`: "template", "gcc_phat" (of databases built with their audio) or
        "gaussian_mixture".
    database : path
        A finished database's folder.

    Returns
    -------
    FittedBaseline

    Raises
    ------
    ValueError
        If there is no baseline of that name, if a split has no clip, or if audio is wanted and was not kept.
    OSError
        If something cannot be read.

    Examples
    --------
    >>> template = fit_baseline("template", "noisy_hrtf")  # doctest: +SKIP
    """
    if name not in BASELINES:
        raise ValueError(f"name: no baseline is called {name!r}, there are {', '.join(BASELINES)}")
    with Database(database) as known:
        training = CueDataset(known, "train")
        baseline = BASELINES[name](training)
        baseline.calibrate(CueDataset(known, "validation"))
        return FittedBaseline(name, baseline, known.digest, training.sources(), os.fspath(database))


def evaluate_baseline(
    fitted: FittedBaseline,
    database: Folder,
    out: Folder,
    split: str = "test",
    *,
    known_directions: bool = False,
) -> dict[str, Any]:
    """Judge a baseline by a database, as `evaluate` judges a model, and write down what was found.

    Parameters
    ----------
    fitted : FittedBaseline
        From `fit_baseline`.
    database : path
        A finished database's folder, of the format that the baseline was fitted on.
    out : path
        Folder for `metrics.json`, `report.md` and the figures. What an earlier evaluation left there is
        replaced.
    split : str
        "train", "validation" or "test".
    known_directions
        As for `evaluate`.

    Returns
    -------
    dict
        The content of `metrics.json`, as `judgement.judge` describes it.

    Raises
    ------
    ValueError
        If the database has another cue format, no clip of that split, or no audio where that is wanted.
    OSError
        If something cannot be read or written.

    Examples
    --------
    >>> metrics = evaluate_baseline(template, "noisy_hrtf", "reports/template")  # doctest: +SKIP
    >>> metrics["measures"]["top1"]["value"]                                     # doctest: +SKIP
    0.981
    """
    with Database(database) as opened:
        check_format(opened, fitted.baseline.format, f"the {fitted.name} baseline fitted on {fitted.folder}")
        Path(out).mkdir(parents=True, exist_ok=True)  # as above
        dataset = CueDataset(opened, split)
        arguments = ", ".join(repr(text) for text in (os.fspath(database), os.fspath(out), split))
        arguments += ", known_directions=True" if known_directions else ""
        system = System(
            name=fitted.name,
            command=f"evaluate_baseline(fit_baseline({fitted.name!r}, {fitted.folder!r}), {arguments})",
            trained_on=fitted.trained_on,
            started_from=None,
            sources=fitted.sources,
            trained_with=software(),
            weights=None,
            temperature=fitted.baseline.temperature,
            gradient_norms={},
        )
        found = fitted.baseline.log_probabilities(dataset)
        return judge(system, found, dataset, Path(out), known_directions)
