"""The arguments of `python -m database`; light to import, so that `--help` and a typing error answer at once.

- `command_parser`: what reads them
- `build_parser`: what reads those of `build`
- `OneLineParser`: what tells in one line what is wrong with them
"""

from __future__ import annotations

import re
from argparse import Action
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ArgumentParser

from database.exit_status import BAD_INPUT, failed
from database.version import own_version


class OneLineParser(ArgumentParser):
    """jsonargparse's parser, which tells what it did not understand as all other errors are told."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:
            super().error(message, ex)
        asked = (getattr(ex, "subcommand_parser", None) or self).prog.replace(" [options]", "")
        # What a command lacks is told by the parser of all.
        if lacking := re.search(r"are required: (\w+)\.", message):
            asked, message = f"{asked} {lacking[1]}", message.replace(f"{lacking[1]}.", "")
        self.exit(failed(f"{message.strip().rstrip('.')}; see {asked} --help", BAD_INPUT))

    def _check_value_key(self, action: Action, value: Any, key: str, *args: Any, **kwargs: Any) -> Any:
        """As jsonargparse, which takes a list for granted where a file can have something else."""
        takes_a_list = action.nargs == "+" or (isinstance(action.nargs, int) and action.nargs > 0)
        if takes_a_list and not isinstance(value, list | tuple | None):
            raise TypeError(f'Parser key "{key}": expected a list, found {value!r}')
        return super()._check_value_key(action, value, key, *args, **kwargs)


def command_parser() -> OneLineParser:
    """Parser of the four commands: `command` is the one given, and under its name stand its options."""
    parser = OneLineParser(
        prog="python -m database",
        version=own_version(),
        description="Databases of binaural cues: build, look at, check; and download what they are made of.",
        epilog="Exit status: 0 done, 1 damage found, 2 bad input or arguments, 3 done with rejects, "
        "4 the machine's fault (disk, permissions, memory, network, another builder, dead workers), "
        "130 interrupted (SIGINT), 143 terminated (SIGTERM).",
    )
    commands = parser.add_subcommands(dest="command", required=True)
    commands.add_subcommand("build", build_parser(), help="build a database, or what is missing of it")
    info = OneLineParser(description="Print what a database holds.")
    info.add_argument("folder", type=Path, help="the database's")
    info.add_argument(
        "--play", nargs=2, metavar=("N", "WAV"), help="write mixture N to this file, if audio was kept"
    )
    commands.add_subcommand("info", info, help="print what a database holds")
    verify = OneLineParser(description="Compare everything in a database with its checksums.")
    verify.add_argument("folder", type=Path, help="the database's")
    commands.add_subcommand("verify", verify, help="check every sum")
    download = OneLineParser(description="Download recordings or a head from their publishers.")
    download.add_argument("name", choices=["librispeech", "esc50", "kemar"], help="what to download")
    download.add_argument("--to", type=Path, required=True, metavar="DIR", help="where to put it")
    commands.add_subcommand("download", download, help="download recordings or a head")
    return parser


def build_parser() -> OneLineParser:
    """Parser of what follows the word `build`."""
    parser = OneLineParser(description="Build a database; the same command goes on where it was stopped.")
    add = parser.add_argument
    add("folder", type=Path, help="where the database is or shall be")
    add("--config", action="config", help="YAML file with any of these options")
    add(
        "--speech",
        type=Path,
        metavar="DIR",
        help="LibriSpeech, or any folder of speech, whose sub-folders are the speakers, of each file the "
        "first 60 s; synthetic if left out",
    )
    add(
        "--noise",
        type=Path,
        metavar="DIR",
        help="ESC-50, any folder of noise, whose sub-folders are the types, of each file the first 60 s, or "
        "the word speech-shaped for stationary noise with the spectrum of speech (--noise-types 1); "
        "synthetic if left out",
    )
    add("--clips", type=int, default=700, help="clips of speech, each heard from all 72 azimuths")
    add("--duration", type=float, default=1.0, help="of a clip, in s, 60 at most")
    add("--seed", type=int, default=0, help="decides everything that is drawn")
    add("--snr-db", type=float, nargs=2, default=[0.0, 30.0], metavar=("LOW", "HIGH"), help="of each noise")
    add(
        "--noise-types",
        nargs="+",
        default=["10"],
        metavar="TYPE",
        help="how many types of noise, or their names, each with --noise-files recordings",
    )
    add(
        "--train-noise-types",
        nargs="+",
        default=[],
        metavar="TYPE",
        help="those of the types that are heard in training and validation; all if left out",
    )
    add(
        "--test-noise-types",
        nargs="+",
        default=[],
        metavar="TYPE",
        help="those that are heard in the test; all if left out",
    )
    add("--noise-files", type=int, default=20, help="recordings of each type")
    add(
        "--diffuse-noise",
        action="store_true",
        help="the noises come from all around, not from two directions",
    )
    add(
        "--head",
        type=Path,
        nargs="+",
        default=[],
        metavar="SOFA",
        help="heads, from three on divided among the splits; the built-in KEMAR if left out",
    )
    for split in ("train", "validation", "test"):
        add(
            f"--{split}-head",
            type=Path,
            nargs="+",
            default=[],
            metavar="SOFA",
            help=f"heads for {split} alone, in the place of --head",
        )
    lacking = parser.add_mutually_exclusive_group().add_argument
    lacking(
        "--interpolate", action="store_true", help="fill azimuths that a head lacks from their neighbours"
    )
    lacking("--incomplete-heads", action="store_true", help="hear a head from the azimuths alone that it has")
    add(
        "--align-heads",
        action="store_true",
        help="turn each head, since people were measured askew by up to 11 degrees, to face 0 degrees as its "
        "ITDs have it",
    )
    add(
        "--equalise-heads",
        action="store_true",
        help="take out of each head what does not depend on direction, its loudspeaker's and microphones' "
        "responses among it: each ear becomes as loud at every frequency in a diffuse field",
    )
    add("--clockwise", action="store_true", help="the heads' azimuths run clockwise")
    add(
        "--rooms",
        type=int,
        default=0,
        help="rooms to draw, from three on divided among the splits; 0 is free field",
    )
    add(
        "--splits",
        type=float,
        nargs=3,
        default=[70.0, 15.0, 15.0],
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help="shares of the clips in percent",
    )
    add("--fs", type=float, default=16000.0, help="sampling rate of everything, in Hz")
    add("--bands", type=int, default=32, help="bands of the filterbank, from 80 Hz up")
    add(
        "--high",
        type=float,
        metavar="HZ",
        help="the bands end a step below this frequency; 0.9 fs/2 if left out, up to fs/2 where the speech "
        "has all of it",
    )
    add("--filter-type", default="GF_spectrogram", help="filterbank: GF_spectrogram, APGF or Butterworth")
    add(
        "--model-type",
        default="Roman",
        help="hair cell: Roman, envelope, halfwave, Lindemann, Breebaart, Dau, Bernstein or Meddis",
    )
    add(
        "--only",
        nargs="+",
        default=["train", "validation", "test"],
        metavar="SPLIT",
        help="build these splits alone; they are the same as in a database of all three",
    )
    add(
        "--realizations",
        type=int,
        default=1,
        help="how often a clip for training is heard from each azimuth, each time amid other noises",
    )
    add(
        "--speech-speed",
        type=float,
        nargs=2,
        default=[1.0, 1.0],
        metavar=("SLOWEST", "FASTEST"),
        help="at which speech for training is played, drawn for each scene, from 0.8 to 1.25; pitch and "
        "formants go with it, so that a few talkers become many",
    )
    add(
        "--median-plane",
        type=int,
        default=1,
        metavar="TIMES",
        help="how many times as often as from elsewhere a clip for training is heard from 0 and 180 degrees: "
        "of a head whose ears are alike, only the spectrum tells these two apart",
    )
    add("--keep-audio", action="store_true", help="store the mixtures beside their cues")
    add("--scenes-per-shard", type=int, default=720, help="scenes in one file; more for very many scenes")
    add(
        "--on-error",
        choices=["stop", "skip"],
        default="stop",
        help="what becomes of a recording or a head that cannot be used: it ends the build, "
        "or is left out and listed in rejects.jsonl",
    )
    engine = parser.add_mutually_exclusive_group().add_argument
    engine(
        "--workers", type=int, metavar="N", help="processes; one for each core if left out, 0 for this one"
    )
    engine("--scheduler", metavar="ADDRESS", help="build on a Dask cluster, such as tcp://host:8786")
    engine("--local-cluster", type=int, metavar="N", help="build on a Dask cluster of N processes here")
    return parser
