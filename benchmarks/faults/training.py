"""Faults of training and of what uses a model: processes killed, or asked to end, at any moment.

- `killed`: SIGKILL, several times in a row
- `interrupted`: SIGINT and SIGTERM
- `commands_interrupted`: the same while a model is judged or used
- `finished_run`: a small one
"""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

import train_doa
from benchmarks.faults import Outcome, Scenario
from benchmarks.random_database import write_random_database
from binaural_feature import CueFormat
from database.recipe import Recipe
from database.store.files import PARTIAL
from localization.checkpoints import read_checkpoint
from localization.runs import BEST, LAST
from localization.training.folder import resume_point

ROOT = Path(__file__).parents[2]
RECIPE = Recipe(n_clips=4, duration=0.2, format=CueFormat.default(8000, 4), shares=(0.5, 0.25, 0.25))
SOON = 10.0  # s
# The signals that ask a process to end, and whether its whole group gets them, as from a terminal.
ASKED = [(signal.SIGTERM, True), (signal.SIGINT, True), (signal.SIGTERM, False)]


def killed(folder: Path, n: int) -> Outcome:
    """Kill training, again and again, and go on with the same command."""
    fault = "training killed with SIGKILL at random moments in a row, then resumed"
    promise = "goes on from the last finished epoch; the weights of an undisturbed training, bit for bit"
    return _outcome(fault, promise, n, _stop_and_resume(folder, n, [(signal.SIGKILL, False)]))


def interrupted(folder: Path, n: int) -> Outcome:
    """Ask training to end, the process alone or its whole group as a terminal does, and go on."""
    fault = "SIGINT, SIGTERM to training at random moments, then resumed"
    promise = f"ends within {SOON:.0f} s, status 130, 143, no leftovers; resumed as if undisturbed"
    return _outcome(fault, promise, n, _stop_and_resume(folder, n, ASKED))


def commands_interrupted(folder: Path, n: int) -> Outcome:
    """Ask evaluation and localization to end, at any moment from their start on."""
    run, database = finished_run(folder), folder / "database"
    recording = folder / "recording.wav"
    rng = np.random.default_rng(n)
    soundfile.write(recording, rng.uniform(-0.5, 0.5, (16000, 2)), 16000)
    commands = [
        ["evaluate", str(run), "--database", str(database)],
        ["locate", str(recording), "--run", str(run), "--picture", str(folder / "picture.png")],
    ]
    durations = []
    for command in commands:
        started = time.perf_counter()
        if _start(command, folder / "log.txt").wait() != 0:
            raise RuntimeError((folder / "log.txt").read_text())
        durations.append(time.perf_counter() - started)
    broken = []
    for k, (number, group) in enumerate(islice(cycle(ASKED), n)):
        child = _start(commands[k % 2], folder / "log.txt")
        time.sleep(rng.uniform(0.1, 1) * durations[k % 2])
        wrong = _stop(child, number, group, may_have_ended=True)
        broken += [f"{text}: {(folder / 'log.txt').read_text()[-200:]}" for text in wrong]
    broken += _leftovers(folder)
    fault = "SIGINT, SIGTERM to evaluate and locate at random moments"
    return _outcome(fault, f"ends within {SOON:.0f} s, status 130, 143, no leftovers", n, broken)


SCENARIOS: list[tuple[Scenario, int]] = [
    (killed, 10),
    (interrupted, 12),
    (commands_interrupted, 12),
]


def _outcome(fault: str, promise: str, n: int, broken: Sequence[str]) -> Outcome:
    return Outcome(fault, promise, n, max(0, n - len(broken)), "; ".join(broken[:3]))


def _stop_and_resume(folder: Path, n: int, stops: Sequence[tuple[signal.Signals, bool]]) -> list[str]:
    """Stop a training n times, each time a while after it began or went on, and say which promises broke."""
    # More epochs than it gets through before the last stop.
    command, whole = _train_command(folder, n_epochs=2 * n + 2), folder / "undisturbed"
    _run_here([*command, "--out", str(whole)])
    longest = 1.5 * float(np.median([row["seconds"] for row in _rows(whole)]))
    command, run = [*command, "--out", str(folder / "disturbed")], folder / "disturbed"
    rng = np.random.default_rng(n)
    log = folder / "log.txt"
    broken = []
    for number, group in islice(cycle(stops), n):
        n_finished, n_logs = _n_finished(run), _n_logs(run)
        child = _start(command, log)
        while _n_logs(run) == n_logs and child.poll() is None:  # until it has begun to train
            time.sleep(0.01)
        time.sleep(rng.uniform(0, longest))
        broken += _stop(child, number, group)
        broken += _resumed_elsewhere(log.read_text(), n_finished)
    n_finished = _n_finished(run)
    broken += _resumed_elsewhere(_run_here(command), n_finished) + _leftovers(folder)
    return broken if _same_weights(run, whole) else ["other weights than undisturbed"] * n


def _train_command(folder: Path, n_epochs: int) -> list[str]:
    database = write_random_database(folder / "database", RECIPE)
    # The precision by name: a process and whoever started it may disagree on what "auto" is.
    options = f"--resume --epochs {n_epochs} --batch-size 8 --accelerator cpu --precision 32-true"
    return ["train", str(database), *options.split()]


def finished_run(folder: Path) -> Path:
    """Train two epochs on a small database, both in this folder, and return the run's."""
    _run_here([*_train_command(folder, n_epochs=2), "--out", str(folder / "run")])
    return folder / "run"


def _run_here(command: list[str]) -> str:
    """Run a command in this process, with one thread, and return what it prints."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()) as errors:
        status = train_doa.main(command)
    torch.set_num_threads(n_threads)
    if status != 0:
        raise RuntimeError(f"{' '.join(command)}: {errors.getvalue()}")
    return printed.getvalue()


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """The same as a process, with one thread as well: another number gives other last bits."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "train_doa.py", *command],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _stop(
    child: subprocess.Popen[bytes], number: signal.Signals, group: bool, may_have_ended: bool = False
) -> list[str]:
    """Send a signal, and say what is wrong with how the process ends."""
    started = time.perf_counter()
    (os.killpg if group else os.kill)(child.pid, number)
    try:
        status = child.wait(60)
        # One that reads ahead sees within seconds that the process which started it was killed.
        while number != signal.SIGKILL and _is_at_work(child.pid) and time.perf_counter() < started + 60:
            time.sleep(0.05)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        return [f"{number.name}: goes on after 60 s"]
    seconds = time.perf_counter() - started
    expected = {-number, 128 + number} | (
        {0} if may_have_ended else set()
    )  # negative: before it could take care
    wrong = [f"status {status}"] if status not in expected else []
    wrong += [f"processes left for {seconds:.1f} s"] if seconds > SOON else []
    return [f"{number.name}: {', '.join(wrong)}"] if wrong else []


def _is_at_work(group: int) -> bool:
    """Whether there is a process of this group that has not ended."""
    for facts in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group, *_ = facts.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended since
            continue
        if int(its_group) == group and state != "Z":
            return True
    return False


def _resumed_elsewhere(printed: str, n_finished: int) -> list[str]:
    first = re.search(r"^Epoch (\d+)/\d+: Train", printed, re.MULTILINE)
    if first is None or int(first[1]) == n_finished + 1:
        return []
    return [f"went on with epoch {first[1]} after {n_finished} finished ones"]


def _n_finished(run: Path) -> int:
    checkpoint = resume_point(run)
    return read_checkpoint(checkpoint)["epoch"] + 1 if checkpoint else 0


def _n_logs(run: Path) -> int:
    return len(list(run.glob("tensorboard/*")))


def _rows(run: Path) -> Any:
    return np.genfromtxt(run / "metrics.csv", delimiter=",", names=True)


def _same_weights(run: Path, other: Path) -> bool:
    for name in (LAST, BEST):
        weights, others = (read_checkpoint(folder / name)["state_dict"] for folder in (run, other))
        if weights.keys() != others.keys():
            return False
        if not all(torch.equal(value, others[key]) for key, value in weights.items()):
            return False
    return True


def _leftovers(folder: Path) -> list[str]:
    return [f"{path.name} left behind" for path in folder.rglob(f"*{PARTIAL}")]
