"""Probabilities against the truth: numbers, a report and figures, whatever gave the probabilities.

- `judge`: all of it
- `System`: what gave the probabilities
"""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from database.plan import Plan
from database.store import write_atomically
from localization.angles import N_CLASSES, class_azimuth
from localization.calibration import Reliability, at_temperature, calibration_error, reliability
from localization.dataset import CueDataset
from localization.gradient_norms import GradientNorms
from localization.metrics import (
    SNR_BIN,
    Outcomes,
    Summary,
    confusion,
    grouped,
    in_blocks,
    known_only,
    order_from_right,
    outcomes,
    snr_bin,
    summary,
)
from localization.plots import (
    BLUE,
    ORANGE,
    plot_accuracy_over_snr,
    plot_confusion,
    plot_error_over_azimuth,
    plot_gradient_norms,
    plot_reliability,
    save_figure,
)
from localization.report import report

METRICS, REPORT = "metrics.json", "report.md"
NORMS_FIGURE = "gradient_norms_{}.png"  # of a loss
N_RESAMPLES, SEED = 1000, 0  # of the 95 % intervals: how often the speakers are drawn, and of these draws
COLUMNS = ("speaker", "snr_db", "noise_type", "head")  # of the database, one value for each clip


class System(NamedTuple):
    """What gave the probabilities.

    Attributes
    ----------
    name : str
        As the report calls it.
    command : str
        What makes the report again.
    trained_on : str or None
        Digest of the database that it was trained on.
    started_from : str or None
        Digest of the weights of the trained model from which its training went on, if from one.
    sources : dict of str to list of str, or None
        What its training was made of, as `CueDataset.sources` has it; None if unknown.
    trained_with : dict of str to str
        `runs.software` of the training, as far as it is known, and of a model its precision.
    weights : str or None
        Digest of its weights; None of a baseline, which is fitted within minutes.
    temperature : float
        At which its probabilities are.
    gradient_norms : dict of str to GradientNorms
        Of training, for each loss that harmonized them.
    """

    name: str
    command: str
    trained_on: str | None
    started_from: str | None
    sources: dict[str, list[str]] | None
    trained_with: dict[str, str]
    weights: str | None
    temperature: float
    gradient_norms: dict[str, GradientNorms]


def judge(
    system: System,
    log_probabilities: NDArray[np.floating],
    dataset: CueDataset,
    out: Path,
    known_directions: bool = False,
) -> dict[str, Any]:
    """Judge probabilities, and write down what was found.

    Parameters
    ----------
    system : System
        What gave them.
    log_probabilities : ndarray (n_clips, 72)
        Natural logarithms of those of the azimuth classes of each clip; minus infinity where there is none.
    dataset : CueDataset
        The clips.
    out : Path
        Folder for `metrics.json`, `report.md` and the figures; what an earlier report left there is replaced.
    known_directions : bool
        Whether it is known that a sound comes from an azimuth that the clip's head has. Then the
        probabilities of all other classes are set to zero, and the rest divided by its sum.

    Returns
    -------
    dict
        The content of `metrics.json`. ``"n_clips"``, ``"n_speakers"`` and ``"measures"``, which maps each of
        `metrics.MEASURES` to its ``"value"``, ``"low"`` and ``"high"`` (None where one speaker alone leaves
        the interval unknown); shares are in [0, 1], errors in degrees. The same three for each group in
        ``"by_snr_db"`` (lower edges of bins 5 dB wide), ``"by_noise_type"``, ``"by_azimuth"`` and
        ``"by_head"``. ``"data"`` says where the clips come from, and under ``"heard_in_training"`` how many
        of their speakers, noise recordings and heads the system knows, and how many there are.
        ``"order_from_right"`` holds what `metrics.Order` does, ``"calibration"`` the system's
        temperature and the expected calibration error without and with it, ``"gradient_norms"`` the names of
        the losses that harmonized them. ``"known_classes"`` lists the classes that the heads of all
        clips have together, None where directions are not taken for known. ``"folder"`` says where the report
        lies.

    Raises
    ------
    ValueError
        If the probabilities cannot be what they are said to be.
    OSError
        If something cannot be read or written.
    """
    database = dataset.database
    known = _classes_of_heads(dataset) if known_directions else None
    if known is not None:
        log_probabilities = known_only(log_probabilities, known)
    # Single precision would take the improbable for equally improbable, and lose their order.
    probabilities = np.exp(log_probabilities, dtype=np.float64)
    judged = outcomes(probabilities, dataset.classes)
    columns = {name: database.columns[name][dataset.indices] for name in COLUMNS}
    rng = np.random.default_rng(SEED)
    groups = _groups(judged, dataset.classes, columns, rng)
    curve = reliability(judged.confidence, judged.top1)
    counts = confusion(dataset.classes, judged.estimate)
    metrics: dict[str, Any] = {
        **_origin(system, dataset, out),
        "seed": SEED,
        "n_resamples": N_RESAMPLES,
        "known_classes": None if known is None else np.flatnonzero(known.any(axis=0)).tolist(),
        **_plain(summary(judged, columns["speaker"], rng, N_RESAMPLES)),
        **{f"by_{kind}": _plain_groups(of) for kind, of in groups.items()},
        "order_from_right": _plain_numbers(order_from_right(probabilities, dataset.classes)._asdict()),
        "calibration": _calibration(system.temperature, log_probabilities, judged, curve),
        "gradient_norms": list(system.gradient_norms),
        "confusion": counts.tolist(),
    }
    # Where metrics.json is, the evaluation is whole: it goes first and comes last.
    for stale in (out / METRICS, out / REPORT, *out.glob(NORMS_FIGURE.format("*"))):
        stale.unlink(missing_ok=True)
    _draw(out, groups, curve, counts, system.gradient_norms)
    write_atomically(out / REPORT, report(metrics).encode())
    write_atomically(out / METRICS, (json.dumps(metrics, indent=1) + "\n").encode())
    return metrics


def _classes_of_heads(dataset: CueDataset) -> NDArray[np.bool_]:
    """Whether the head of each clip has each azimuth class: (n_clips, 72)."""
    plan = Plan.from_dict(dataset.database.plan)
    has = {name: np.isin(np.arange(N_CLASSES), plan.classes_of(head)) for head, name in enumerate(plan.heads)}
    return np.stack([has[name] for name in dataset.database.columns["head"][dataset.indices]])


def _origin(system: System, dataset: CueDataset, out: Path) -> dict[str, Any]:
    """What was judged, by what, and where it is written down."""
    database = dataset.database
    data = {
        "digest": database.digest,
        "recipe": database.plan.get("recipe", {}),
        "sources": database.plan.get("sources", {}),
        "trained_on": system.trained_on,
        "started_from": system.started_from,
        "trained_with": system.trained_with,
        "weights": system.weights,
        "heard_in_training": None if system.sources is None else _heard(system.sources, dataset.sources()),
    }
    return {
        "system": system.name,
        "command": system.command,
        "database": os.fspath(Path(database.folder).resolve()),
        "split": dataset.split,
        "folder": os.fspath(out),
        "data": data,
    }


def _heard(trained: dict[str, list[str]], judged: dict[str, list[str]]) -> dict[str, list[int]]:
    """Of the names of each kind that a system is judged by, how many training had, and their number."""
    return {kind: [len({*names} & {*trained[kind]}), len(names)] for kind, names in judged.items()}


def _groups(
    judged: Outcomes,
    classes: NDArray[np.intp],
    columns: dict[str, NDArray[Any]],
    rng: np.random.Generator,
) -> dict[str, dict[Any, Summary]]:
    """Summaries of the clips of each SNR, type of noise, azimuth and head."""
    labels = {
        "snr_db": snr_bin(columns["snr_db"]),
        "noise_type": columns["noise_type"],
        "azimuth": class_azimuth(classes),
        "head": columns["head"],
    }
    return {kind: grouped(judged, of, columns["speaker"], rng, N_RESAMPLES) for kind, of in labels.items()}


def _calibration(
    temperature: float, log_probabilities: NDArray[np.floating], judged: Outcomes, curve: Reliability
) -> dict[str, float]:
    """Of the system at its temperature, and as it was before."""
    before = [at_temperature(few, 1 / temperature).max(axis=1) for few in in_blocks(log_probabilities)]
    return {
        "temperature": temperature,
        "error_before": calibration_error(reliability(np.concatenate(before), judged.top1)),
        "error": calibration_error(curve),
    }


def _plain(found: Summary) -> dict[str, Any]:
    """A summary as JSON has it, which knows no NaN."""
    measures = {name: _plain_numbers(interval._asdict()) for name, interval in found.measures.items()}
    return {"n_clips": found.n_clips, "n_speakers": found.n_speakers, "measures": measures}


def _plain_numbers(numbers: dict[str, float]) -> dict[str, float | None]:
    return {key: None if np.isnan(number) else number for key, number in numbers.items()}


def _plain_groups(groups: dict[Any, Summary]) -> dict[str, Any]:
    """Summaries by group as JSON has them, which knows no other key than text."""
    return {
        f"{key:g}" if isinstance(key, float) else str(key): _plain(found) for key, found in groups.items()
    }


def _draw(
    folder: Path,
    groups: dict[str, dict[Any, Summary]],
    curve: Reliability,
    counts: NDArray[np.intp],
    gradient_norms: dict[str, GradientNorms],
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
    for name, norms in gradient_norms.items():
        save_figure(plot_gradient_norms(*norms), folder / NORMS_FIGURE.format(name))
