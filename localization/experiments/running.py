"""Building, training and evaluating what an experiment lacks.

- `run_experiment`: all of it
"""

# ruff: noqa: T201 - it is long, and says where it is

import json
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from database import commands
from database.arguments import command_parser
from database.store import Database
from localization.evaluation import FittedBaseline, evaluate, evaluate_baseline, fit_baseline
from localization.experiments.configuration import (
    Experiment,
    SystemConfig,
    build_arguments,
    check_known,
    source_paths,
)
from localization.experiments.tables import Result, write_report
from localization.judgement import METRICS
from localization.metrics import MEASURES
from localization.runs import BEST, load_run, started_from, weights_digest
from localization.training import TrainingConfig, train
from localization.training.folder import setting_differences

NOT_AS_ASKED = "of no run that is there, finished, and trained as the configuration says"
NOT_WHOLE = "of no database that is finished and sound"


class Origin(NamedTuple):
    """What an evaluation comes from: digests of a network's weights and of databases; what is known."""

    weights: str | None
    trained_on: str | None
    judged_by: str | None
    known_directions: bool


class Job(NamedTuple):
    """A system with one seed, of one experiment, and the folder of all results."""

    experiment: Experiment
    system: SystemConfig
    seed: int
    out: Path

    @property
    def run(self) -> Path:
        return self.out / self.experiment.name / "runs" / f"{self.system.name}_seed{self.seed}"

    @property
    def start(self) -> "Job | None":
        """Of the network that this one's training goes on from."""
        return None if self.system.start is None else self._replace(system=self.system.start)

    def evaluation(self, database: str) -> Path:
        return self.out / self.experiment.name / "evaluations" / self.run.name / database


def run_experiment(
    experiment: Experiment,
    data: Path,
    out: Path,
    command: str,
    *,
    systems: Collection[str] = (),
    seeds: Collection[int] = (),
    accelerator: str = "auto",
) -> Path:
    """Build the databases, train the networks and make the reports that are not there yet.

    Parameters
    ----------
    experiment : Experiment
        What to do.
    data : Path
        Folder that the paths of its databases are relative to.
    out : Path
        Folder of results, which experiments may share: a database of one name is the same in all of them.
    command : str
        What makes the report again, for the report.
    systems : collection of str
        Only these; all if empty.
    seeds : collection of int
        Only these; all if empty.
    accelerator : str
        Lightning's, for training.

    Returns
    -------
    Path
        The report, of all systems that have been judged until now, by this call or an earlier one.

    Raises
    ------
    ValueError
        If there is no such system or seed, or a database, a run or a report cannot be made.
    OSError
        If something cannot be read or written; before anything is built, if recordings or heads are missing.
    """
    check_known("systems", systems, [system.name for system in experiment.systems])
    chosen = [system for system in experiment.systems if not systems or system.name in systems]
    trained = [seed for system in chosen if system.model for seed in system.seeds]
    if trained:  # a baseline is the same with every seed
        check_known("seeds", seeds, trained)
        for system in chosen:
            if system.model and seeds and not set(seeds) & set(system.seeds):
                print(
                    f"{system.name}: passed over, since it has none of the seeds {', '.join(map(str, seeds))}"
                )

    jobs = [
        Job(experiment, system, seed, out)
        for system in chosen
        for seed in system.seeds
        if not seeds or seed in seeds or system.baseline
    ]
    for job in jobs:
        for name in _needed(job):
            _check_sources(name, experiment.databases[name], data)

    @cache
    def database(name: str) -> Path:
        """Built when it is first needed, and then looked at once for all systems."""
        print(f"database {name}")
        words = build_arguments(_database(out, name), experiment.databases[name], data)
        commands.build(command_parser().parse_args(words).build)
        return _database(out, name)

    for job in jobs:
        print(f"{job.system.name}, seed {job.seed}")
        _judge(job, database, accelerator)
    results = list(_results(experiment, out))
    used = {name for system in experiment.systems for name in (system.train, *system.test)}
    built = {
        name: shlex.join(build_arguments(_database(out, name), options, data))
        for name, options in experiment.databases.items()
        if name in used and (_database(out, name) / "plan.json").is_file()
    }
    return write_report(experiment, results, built, command, out / experiment.name)


def _needed(job: Job) -> list[str]:
    """The databases of a system, and of the networks that have to be trained before it."""

    def lacks(job: Job) -> bool:
        return _weights(job, partial(_digest, job.out)) == NOT_AS_ASKED

    names = [job.system.train, *job.system.test]
    while job.start is not None and lacks(job):
        job = job.start
        names += [job.system.train] if lacks(job) else []
    return names


def _check_sources(name: str, options: Mapping[str, Any], data: Path) -> None:
    """Refuse a database whose recordings or heads are not there, before hours are spent on others."""
    missing = [path for path in source_paths(options, data) if not path.exists()]
    if missing:
        raise FileNotFoundError(f"{missing[0]}: no such file or folder; the database {name} needs it")


def _judge(job: Job, database: Callable[[str], Path], accelerator: str) -> None:
    """Train one system if need be, and evaluate it wherever that has not been done."""
    trained_on = database(job.system.train)
    digest = _digest(job.out, job.system.train)
    weights = _trained(job, database, accelerator)
    fitted: FittedBaseline | None = None
    for name in job.system.test:
        folder = job.evaluation(name)
        known = name in job.experiment.known_directions
        test = database(name)
        expected = Origin(weights, digest, _digest(job.out, name), known)
        if (metrics := _read_metrics(folder)) and _is_as(expected, metrics):
            continue
        if job.system.baseline is None:
            evaluate(job.run, test, out=folder, known_directions=known)
        else:
            fitted = fitted or fit_baseline(job.system.baseline, trained_on)
            evaluate_baseline(fitted, test, folder, known_directions=known)


def _trained(job: Job, database: Callable[[str], Path], accelerator: str) -> str | None:
    """Train a network if need be, and first the one that it goes on from; its weights as `_weights` says."""
    digest = partial(_digest, job.out)
    weights = _weights(job, digest)
    # A finished run stands as it is, even where "auto" would mean another precision than it was trained in.
    if job.system.model and weights == NOT_AS_ASKED:
        model: str | Path = job.system.model
        if job.start is not None:
            print(f"{job.start.system.name}, seed {job.seed}, which it goes on from")
            _trained(job.start, database, accelerator)
            model = job.start.run
        config = TrainingConfig(**job.system.training, seed=job.seed)
        train(database(job.system.train), job.run, config, model, resume=True, accelerator=accelerator)
        weights = _weights(job, digest)
    return weights


def _read_metrics(folder: Path) -> dict[str, Any] | None:
    """The content of a report's metrics.json; None if there is none that is whole and has today's entries."""
    try:
        metrics: dict[str, Any] = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        origin = {"digest", "trained_on", "trained_with", "weights"} <= set(metrics["data"])
        metrics["data"].setdefault("started_from", None)  # of reports from before anything could be
        whole = origin and set(MEASURES) <= set(metrics["measures"]) and "known_classes" in metrics
        return metrics if whole else None
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return None


def _digest(out: Path, name: str) -> str | None:
    """Of a database; None if there is none, `NOT_WHOLE` if it is not finished or damaged."""
    folder = _database(out, name)
    if not (folder / "plan.json").is_file():
        return None
    try:
        with Database(folder) as opened:
            return opened.digest
    except (OSError, ValueError):  # building one that is needed says so, and repairs it
        return NOT_WHOLE


def _is_as(expected: Origin, metrics: dict[str, Any]) -> bool:
    """Whether a report is of these weights and databases, where these are there, and judged in this way."""
    found = metrics["data"]
    pairs = ((expected.trained_on, found["trained_on"]), (expected.judged_by, found["digest"]))
    return (
        found["weights"] == expected.weights
        and all(today in (None, then) for today, then in pairs)
        and (metrics["known_classes"] is not None) == expected.known_directions
    )


def _results(experiment: Experiment, out: Path) -> Iterator[Result]:
    """What has been found, in the order of the configuration file; what was found otherwise is left out."""
    digest = cache(partial(_digest, out))
    for system in experiment.systems:
        jobs = {seed: Job(experiment, system, seed, out) for seed in system.seeds}
        weights = {seed: _weights(job, digest) for seed, job in jobs.items()}
        for name in system.test:
            found = {
                seed: metrics
                for seed, job in jobs.items()
                if (metrics := _read_metrics(job.evaluation(name)))
            }
            known = name in experiment.known_directions
            valid = {
                seed: metrics
                for seed, metrics in found.items()
                if _is_as(Origin(weights[seed], digest(system.train), digest(name), known), metrics)
            }
            if len(valid) < len(found):
                print(f"{system.name} on {name}: left out, since what it was found with is not as it was")
            if valid:
                yield Result(system.name, name, valid)


def _weights(job: Job, digest: Callable[[str], str | None]) -> str | None:
    """Digest of a network's weights, if its training is finished and was as the configuration says.

    It was on the database of its name and from the weights of its start, if these are there; of a start that
    is gone, what it was trained on is all that is known. `NOT_AS_ASKED` otherwise; None for a baseline.
    """
    if job.system.model is None:
        return None
    try:
        run = load_run(job.run)
    except (OSError, ValueError):  # missing or damaged; of a system that is chosen, training will say so
        return NOT_AS_ASKED
    found = run.config["training"]
    asked = asdict(TrainingConfig(**job.system.training, seed=job.seed))
    if asked["precision"] == "auto":
        asked["precision"] = found["precision"]
    as_asked = run.config["model"]["name"] == job.system.model and not any(setting_differences(found, asked))
    on_it = digest(job.system.train) in (None, run.config["database"]["digest"])
    from_it = (started_from(run) is None) == (job.start is None)
    if from_it and job.start is not None:
        if (job.start.run / BEST).exists():
            from_it = started_from(run) == _weights(job.start, digest)
        else:
            from_it = digest(job.start.system.train) in (None, run.config["start"]["trained_on"])
    finished = run.is_finished and as_asked and on_it and from_it
    return weights_digest(run.model) if finished else NOT_AS_ASKED


def _database(out: Path, name: str) -> Path:
    return out / "databases" / name
