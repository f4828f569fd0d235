"""A configuration file of an experiment, read and checked.

- `read_experiment`: a YAML file as an `Experiment`
- `Experiment`, `SystemConfig`: what it says
- `build_arguments`: a database's options as the command line has them
- `source_paths`: what of them it is made of
- `check_known`: refuse names that nobody knows
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError

from database.arguments import build_parser
from database.commands import asked_recipe
from database.recipe import SPLITS, Recipe
from database.sources import SPEECH_SHAPED
from localization.baselines import BASELINES, OF_AUDIO
from localization.dataset import format_differences
from localization.metrics import MEASURES
from localization.models import MODELS
from localization.training import TrainingConfig

PATHS = ("speech", "noise", "head", "train_head", "validation_head", "test_head")  # options that name files


@dataclass(frozen=True)
class SystemConfig:
    """One localizer among those that an experiment compares.

    Attributes
    ----------
    name : str
        As the report calls it.
    model : str or None
        A network's name; None for a baseline.
    start : SystemConfig or None
        Another system, from whose weights of the same seed a network is trained further.
    baseline : str or None
        A baseline's name; None for a network.
    train : str
        The database that it is trained on.
    test : tuple of str
        The databases by whose test split it is judged.
    seeds : tuple of int
        Of training, one run for each; a baseline has the first alone, which it does not use.
    training : dict
        Fields of `TrainingConfig` other than the seed.
    """

    name: str
    model: str | None
    start: "SystemConfig | None"
    baseline: str | None
    train: str
    test: tuple[str, ...]
    seeds: tuple[int, ...]
    training: dict[str, Any]


@dataclass(frozen=True)
class Experiment:
    """What a configuration file says.

    Attributes
    ----------
    name : str
        The file's, without its suffix.
    title : str
        Of the report.
    databases : dict of str to dict
        Options of ``python -m database build`` for each.
    systems : tuple of SystemConfig
        What is compared.
    targets : dict of str to dict of str to float, or to a list of floats
        For a test database, what each measure should at least be, or an error at most; several for systems of
        which not all can reach the same.
    known_directions : tuple of str
        Test databases of which it is known from which azimuths a sound can come: those that their heads have.
    """

    name: str
    title: str
    databases: dict[str, dict[str, Any]]
    systems: tuple[SystemConfig, ...]
    targets: dict[str, dict[str, float | list[float]]]
    known_directions: tuple[str, ...]


def read_experiment(path: str | os.PathLike[str]) -> Experiment:
    """Read a configuration file.

    Parameters
    ----------
    path : path
        YAML: `title`; `databases`, options of each, or the path of another YAML file that has them,
        relative to this one; `systems`, each with `model` or `baseline` and the options of training, or with
        `start`, a network above it that is trained further with these options; for all systems or in one of
        them `train`, a database, `test`, a list of databases, and `seeds`; `targets` and `known_directions`,
        a list of databases, if there are any.

    Returns
    -------
    Experiment

    Raises
    ------
    OSError
        If the file, or the one with the databases, cannot be read.
    ValueError
        If it says something unknown or impossible, or nothing where something is needed, such as a test of a
        database that has no test split, or has other cues; the message names the file and the entry.

    Examples
    --------
    >>> read_experiment("experiments/a_original_conditions.yaml").title
    'A: the original conditions'
    """
    path = Path(path)
    known = ("title", "databases", "systems", "train", "test", "seeds", "targets", "known_directions")
    content = _entries(path, _read_yaml(path), known, needed=("title", "databases", "systems"))
    databases, recipes = _databases(path, content["databases"])
    shared: dict[str, Any] = {key: content[key] for key in ("train", "test", "seeds") if key in content}
    systems: dict[str, SystemConfig] = {}
    for name, options in _mapping(path, "systems", content["systems"]).items():
        options = {"seeds": [0], **shared, **_mapping(path, name, options)}
        systems[name] = _system(path, name, options, recipes, systems)
    targets = _mapping(path, "targets", content.get("targets", {}))
    for name, target in targets.items():
        check_known(f"{path}: targets", [name], databases)
        check_known(f"{path}: targets of {name}", _mapping(path, name, target), MEASURES)
        for measure, limits in target.items():
            limits = limits if isinstance(limits, list) else [limits]
            _list(path, f"targets of {name}: {measure}", limits, (int, float))
    known_directions = _list(path, "known_directions", content.get("known_directions", []), str)
    check_known(f"{path}: known_directions", known_directions, databases)
    return Experiment(
        path.stem, content["title"], databases, tuple(systems.values()), targets, tuple(known_directions)
    )


def build_arguments(folder: Path, options: Mapping[str, Any], data: Path) -> list[str]:
    """A database's options as ``python -m database`` takes them.

    Parameters
    ----------
    folder : Path
        The database's.
    options : mapping
        As a configuration file has them: a number, a text, a list of these, or true for a switch.
    data : Path
        What the paths among them are relative to.

    Returns
    -------
    list of str

    Examples
    --------
    >>> build_arguments(Path("a"), {"speech": "LibriSpeech", "snr_db": [15, 40]}, Path("data"))
    ['build', 'a', '--speech', 'data/LibriSpeech', '--snr-db', '15', '40']
    """
    words = ["build", str(folder)]
    for name, value in options.items():
        if value is False:
            continue
        words.append("--" + name.replace("_", "-"))
        values = [] if value is True else value if isinstance(value, list) else [value]
        words += [str(data / str(one) if _is_path(name, one) else one) for one in values]
    return words


def source_paths(options: Mapping[str, Any], data: Path) -> list[Path]:
    """The recordings and heads that a database of these options is made of.

    Parameters
    ----------
    options, data
        As for `build_arguments`.

    Returns
    -------
    list of Path

    Examples
    --------
    >>> found = source_paths({"noise": "speech-shaped", "head": ["a.sofa", "b.sofa"]}, Path("data"))
    >>> [path.as_posix() for path in found]
    ['data/a.sofa', 'data/b.sofa']
    """
    lists = {name: value if isinstance(value, list) else [value] for name, value in options.items()}
    return [data / str(one) for name, values in lists.items() for one in values if _is_path(name, one)]


def _is_path(option: str, value: Any) -> bool:
    return option in PATHS and value != SPEECH_SHAPED


def check_known(where: str, names: Iterable[Any], known: Iterable[Any]) -> None:
    """Refuse names that nobody knows.

    Parameters
    ----------
    where : str
        In which the names stand, for the message.
    names, known : iterable
        The names, and all that there are.

    Raises
    ------
    ValueError
        If some of the names are not known.

    Examples
    --------
    >>> check_known("systems", ["cnm"], ["cnn", "template"])
    Traceback (most recent call last):
    ValueError: systems: cnm unknown, expected cnn, template
    """
    known = list(dict.fromkeys(known))
    unknown = [str(name) for name in names if name not in known]
    if unknown:
        expected = ", ".join(repr(name) if "," in str(name) else str(name) for name in known)
        raise ValueError(f"{where}: {', '.join(unknown)} unknown, expected {expected}")


class _EachOnce(yaml.SafeLoader):
    """Refuses an entry that a mapping has twice, of which YAML keeps the last alone."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise yaml.YAMLError(f"{', '.join(twice)}: found twice, expected once,{node.start_mark}")
        return node


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _EachOnce)
    # The others of texts that are no dates or no UTF-8, of wrong values of a tag, and of very deep nesting.
    except (yaml.YAMLError, ValueError, AttributeError, LookupError, RecursionError) as error:
        raise ValueError(f"{path}: no YAML: {' '.join(str(error).split())}") from None


def _databases(path: Path, found: Any) -> tuple[dict[str, dict[str, Any]], dict[str, Recipe]]:
    """The options and the recipe of each, from the experiment's file or from the one that it names."""
    if isinstance(found, str):
        path = path.parent / found
        found = _read_yaml(path)
    databases = {
        _folder_name(path, "databases", name): _mapping(path, f"databases: {name}", options)
        for name, options in _mapping(path, "databases", found).items()
    }
    return databases, {name: _recipe(path, name, options) for name, options in databases.items()}


def _recipe(path: Path, name: str, options: dict[str, Any]) -> Recipe:
    parser = build_parser()
    # The folder has the database's name, and all that a database is made of stands in the experiment's file;
    # what depends on which recordings could be read would not be the same elsewhere.
    defaults = {
        option: value
        for option, value in vars(parser.get_defaults()).items()
        if option not in ("folder", "config", "on_error")
    }
    check_known(f"{path}: databases: {name}", options, defaults)
    for option, value in options.items():
        if isinstance(value, bool) and not isinstance(defaults[option], bool):
            raise ValueError(
                f"{path}: databases: {name}: {option}: {value} found, a text or a number expected; "
                "words such as no and off need quotation marks in YAML"
            )
    parser.exit_on_error = False
    try:
        return asked_recipe(parser.parse_args(build_arguments(Path(name), options, Path())[1:]))
    except (ArgumentError, ValueError) as error:
        raise ValueError(f"{path}: databases: {name}: {error}") from None


def _system(
    path: Path,
    name: str,
    options: dict[str, Any],
    recipes: Mapping[str, Recipe],
    above: Mapping[str, SystemConfig],
) -> SystemConfig:
    own = ("model", "start", "baseline", "train", "test", "seeds")
    free = [field.name for field in fields(TrainingConfig) if field.name != "seed"]
    _folder_name(path, "systems", name)
    options = _entries(path, options, (*own, *free), needed=("train", "test"), where=f"systems: {name}")
    _list(path, f"systems: {name}: test", options["test"], str)
    if not _list(path, f"systems: {name}: seeds", options["seeds"], int):
        raise ValueError(f"{path}: systems: {name}: seeds: one or more expected, found none")
    networks = [one.name for one in above.values() if one.model]
    kinds = {"model": MODELS, "start": networks, "baseline": BASELINES}
    found = [kind for kind in kinds if kind in options]
    if len(found) != 1:
        raise ValueError(f"{path}: systems: {name}: expected either a model, a start or a baseline")
    if found == ["start"] and not networks:
        raise ValueError(f"{path}: systems: {name}: start: expected a network above it, found none there")
    check_known(f"{path}: systems: {name}: {found[0]}", [options[found[0]]], kinds[found[0]])
    start = above.get(options.get("start", ""))
    if start is not None:
        check_known(f"{path}: systems: {name}: seeds", options["seeds"], start.seeds)
    training = {key: value for key, value in options.items() if key not in own}
    if "baseline" in options and training:
        raise ValueError(f"{path}: systems: {name}: a baseline has no options, found {', '.join(training)}")
    check_known(f"{path}: systems: {name}", [options["train"], *options["test"]], recipes)
    needed = [(options["train"], "train"), (options["train"], "validation")]
    for database, split in [*needed, *((judged_by, "test") for judged_by in options["test"])]:
        if split not in _splits(recipes[database]):
            raise ValueError(f"{path}: systems: {name}: {database} has no split {split}, which is needed")
        if options.get("baseline") in OF_AUDIO and not recipes[database].keep_audio:
            raise ValueError(f"{path}: systems: {name}: {database} has no audio, expected keep_audio: true")
    for database in [*options["test"], *([start.train] if start else [])]:
        parted = format_differences(recipes[database].format, recipes[options["train"]].format)
        if parted:
            raise ValueError(
                f"{path}: systems: {name}: {database} has other cues than {options['train']}: "
                + "; ".join(parted)
            )
    try:
        for seed in options["seeds"]:
            TrainingConfig(**training, seed=seed)
    except ValueError as error:
        raise ValueError(f"{path}: systems: {name}: {error}") from None
    return SystemConfig(
        name=name,
        model=start.model if start else options.get("model"),
        start=start,
        baseline=options.get("baseline"),
        train=options["train"],
        test=tuple(options["test"]),
        seeds=tuple(options["seeds"][:1] if "baseline" in options else options["seeds"]),
        training=training,
    )


def _splits(recipe: Recipe) -> set[str]:
    """Those that a database has."""
    shares = zip(SPLITS, recipe.shares, strict=True)
    return {split for split, share in shares if share and split in recipe.only}


def _entries(
    path: Path, found: Any, known: tuple[str, ...], needed: tuple[str, ...], where: str = "the file"
) -> dict[str, Any]:
    """A mapping that has the entries needed and no unknown one."""
    entries = _mapping(path, where, found)
    check_known(f"{path}: {where}", entries, known)
    missing = [name for name in needed if not entries.get(name)]
    if missing:
        raise ValueError(
            f"{path}: {where}: {', '.join(missing)} missing or empty, found {', '.join(entries)}"
        )
    return entries


def _folder_name(path: Path, where: str, name: Any) -> str:
    if not isinstance(name, str) or not name or Path(name).name != name or name == ".." or "|" in name:
        raise ValueError(
            f"{path}: {where}: {name}: a name without slashes and | expected, for folders and tables"
        )
    return name


def _list(path: Path, where: str, found: Any, kind: type | tuple[type, ...]) -> list[Any]:
    if not isinstance(found, list) or not all(isinstance(one, kind) for one in found):
        kinds = {str: "names", int: "whole numbers"}.get(kind, "numbers")  # type: ignore[arg-type]
        raise ValueError(f"{path}: {where}: a list of {kinds} expected, found {found!r}")
    if len(set(found)) < len(found):
        raise ValueError(f"{path}: {where}: each once expected, found {found!r}")
    return found


def _mapping(path: Path, where: str, found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ValueError(f"{path}: {where}: a mapping expected, found {found!r}")
    return found
