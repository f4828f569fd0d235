"""The report of an experiment: tables of all systems, a figure, and where every figure comes from.

- `write_report`: report.md, results.json and the figures
- `Result`: what one system reached on one database
"""

import json
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from database.store import write_atomically
from localization.experiments.configuration import Experiment
from localization.metrics import SNR_BIN
from localization.plots import plot_systems_over_snr, save_figure
from localization.report import HEADINGS, scale

ERRORS = ("angular_error_deg", "rms_error_deg", "front_back_confusion")  # of which less is better


class Result(NamedTuple):
    """What one system reached on one database.

    Attributes
    ----------
    system, database : str
        Their names.
    metrics : dict of int to dict
        The content of metrics.json, for each seed of training.
    """

    system: str
    database: str
    metrics: dict[int, dict[str, Any]]

    @property
    def of_seeds(self) -> list[dict[str, Any]]:
        """The content of metrics.json, of one seed after the other."""
        return list(self.metrics.values())


def write_report(
    experiment: Experiment, results: list[Result], databases: dict[str, str], command: str, folder: Path
) -> Path:
    """Write report.md, results.json and accuracy_over_snr.png, one figure for all that are judged alike.

    Parameters
    ----------
    experiment : Experiment
        What was asked.
    results : list of Result
        What was found.
    databases : dict of str to str
        For each that is there, the arguments that build it.
    command : str
        What makes all that the file names; the report adds the systems and seeds that are in it, with one
        command for all systems of the same seeds.
    folder : Path
        Where the files go.

    Returns
    -------
    Path
        Of report.md.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    judged = list(dict.fromkeys(result.database for result in results))
    commands = [f"{command} {shlex.join(words)}" for words in _parts(results)]
    sections = [f"# {experiment.title}", "\n".join(f"    {part}" for part in commands)]
    if any(len(result.metrics) > 1 for result in results):
        sections.append("Of several seeds the mean stands here, in brackets the lowest and the highest.")
    for name in judged:
        of_database = [result for result in results if result.database == name]
        sections += [f"## {name}", _size(of_database[0]), _table(of_database)]
        sections += _targets(experiment.targets.get(name, {}), of_database)
        sections += _heads(of_database)
    sections += ["## Accuracy over SNR", "In steps of 5 dB of the talker over both noises."]
    for stale in folder.glob("accuracy_over_snr*.png"):
        stale.unlink()
    for number, (names, alike) in enumerate(_judged_alike(results).items(), start=1):
        figure = "accuracy_over_snr.png" if number == 1 else f"accuracy_over_snr_{number}.png"
        save_figure(plot_systems_over_snr(_curves(alike)), folder / figure)
        sections += [f"![Top-1 over the SNR]({figure})", f"On {', '.join(names)}."]
    sections += [
        "## Origin",
        *(f"    python -m database {arguments}" for arguments in databases.values()),
        _origin(results),
        *_software(results),
    ]
    write_atomically(folder / "report.md", ("\n\n".join(sections) + "\n").encode())
    content = {
        "title": experiment.title,
        "commands": commands,
        "databases": databases,
        "results": [result._asdict() for result in results],
    }
    write_atomically(folder / "results.json", (json.dumps(content, indent=1) + "\n").encode())
    return folder / "report.md"


def _parts(results: list[Result]) -> list[list[str]]:
    """The systems of the same seeds, and these, as words of the command line."""
    seeds: dict[str, set[int]] = {}
    for result in results:
        seeds.setdefault(result.system, set()).update(result.metrics)
    systems: dict[tuple[int, ...], list[str]] = {}
    for system, these in seeds.items():
        systems.setdefault(tuple(sorted(these)), []).append(system)
    return [["--systems", *names, "--seeds", *map(str, these)] for these, names in systems.items()]


def mean_and_range(values: list[float], factor: float = 100) -> str:
    """The mean over seeds, and the lowest and highest where there are several.

    Examples
    --------
    >>> mean_and_range([0.991, 0.993]), mean_and_range([0.5])
    ('99.20 (99.10 … 99.30)', '50.00')
    """
    scaled = factor * np.array(values)
    text = f"{scaled.mean():.2f}"
    return text if len(values) == 1 else f"{text} ({scaled.min():.2f} … {scaled.max():.2f})"


def _size(result: Result) -> str:
    metrics = result.of_seeds[0]
    size = f"Scenes: {metrics['n_clips']:,}; speakers: {metrics['n_speakers']}"
    return f"{size}; digest {metrics['data']['digest']}"


def _table(results: list[Result], head: str | None = None) -> str:
    """One row for each system: the means of its seeds, over all scenes or those of one head."""
    lines = [f"| system | {' | '.join(HEADINGS.values())} |", "|---|" + "---:|" * len(HEADINGS)]
    for result in results:
        found = [metrics if head is None else metrics["by_head"][head] for metrics in result.of_seeds]
        cells = [
            mean_and_range([one["measures"][name]["value"] for one in found], scale(name))
            for name in HEADINGS
        ]
        lines.append(f"| {result.system} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _heads(results: list[Result]) -> list[str]:
    """A table for each head, where there are several."""
    heads = list(results[0].of_seeds[0]["by_head"])
    if len(heads) < 2:
        return []
    return [text for head in heads for text in (f"### {head}", _table(results, head))]


def _targets(targets: dict[str, float | list[float]], results: list[Result]) -> list[str]:
    """Which systems reach what they should."""
    lines = []
    for name, target in [(name, one) for name, of in targets.items() for one in np.atleast_1d(of)]:
        means = {
            result.system: np.mean([one["measures"][name]["value"] for one in result.of_seeds])
            for result in results
        }
        reached = [system for system, mean in means.items() if _reaches(name, float(mean), target)]
        limit = f"{'at most' if name in ERRORS else 'at least'} {scale(name) * target:g}"
        lines.append(f"- {HEADINGS[name]} {limit}: {'; '.join(reached) or 'reached by none'}")
    return ["\n".join(["Targets, and who reaches them:", "", *lines])] if lines else []


def _reaches(name: str, value: float, target: float) -> bool:
    return value <= target if name in ERRORS else value >= target


def _judged_alike(results: list[Result]) -> dict[tuple[str, ...], list[Result]]:
    """Results of the systems that are judged by the same databases, since the SNR is not all that differs."""
    judged_by: dict[str, tuple[str, ...]] = {}
    for result in results:
        judged_by[result.system] = (*judged_by.get(result.system, ()), result.database)
    return {
        names: [result for result in results if judged_by[result.system] == names]
        for names in dict.fromkeys(judged_by.values())
    }


def _curves(results: list[Result]) -> dict[str, tuple[list[float], list[float]]]:
    """For each system the middles of the SNR's bins, and its top-1 there over all databases and seeds."""
    sums: dict[str, dict[float, NDArray[np.float64]]] = {}  # of hits, and of clips
    for result in results:
        bins = sums.setdefault(result.system, {})
        for metrics in result.of_seeds:
            for edge, found in metrics["by_snr_db"].items():
                n_clips, middle = found["n_clips"], float(edge) + SNR_BIN / 2
                counted = np.array([found["measures"]["top1"]["value"] * n_clips, n_clips])
                bins[middle] = bins.get(middle, 0) + counted
    return {
        system: (sorted(bins), [float(bins[snr][0] / bins[snr][1]) for snr in sorted(bins)])
        for system, bins in sums.items()
    }


def _origin(results: list[Result]) -> str:
    """The weights of each run, and what they were trained on."""
    lines = ["| system | seed | trained on | weights |", "|---|---|---|---|"]
    rows = [
        (result.system, seed, _trained_on(metrics["data"]), metrics["data"]["weights"] or "fitted anew")
        for result in results
        for seed, metrics in result.metrics.items()
    ]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in dict.fromkeys(rows)])


def _trained_on(data: dict[str, Any]) -> str:
    """A database's digest, and of which weights training went on."""
    start = data["started_from"]
    return str(data["trained_on"]) if start is None else f"{data['trained_on']}, from {start}"


def _software(results: list[Result]) -> list[str]:
    """What the systems were trained with, one paragraph for all that were trained with the same."""
    systems: dict[str, list[str]] = {}
    for result in results:
        for seed, metrics in result.metrics.items():
            words = ", ".join(f"{name} {value}" for name, value in metrics["data"]["trained_with"].items())
            systems.setdefault(words, []).append(f"{result.system} (seed {seed})")
    return [f"Trained with {words}: {', '.join(dict.fromkeys(these))}." for words, these in systems.items()]
