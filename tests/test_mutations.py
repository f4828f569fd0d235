"""Files changed at random end in an error of the documented kinds, or in what they hold: 300 of each kind."""

import pytest

from benchmarks.faults import mutations


@pytest.mark.parametrize(("name", "scenario"), [(s.__name__, s) for s, _ in mutations.SCENARIOS])
def test_mutations(tmp_path, name, scenario):
    outcome = scenario(tmp_path, 300)
    assert (outcome.kept, outcome.tried) == (300, 300), outcome.notes


def test_every_kind_of_change_is_made_and_equal_numbers_make_equal_ones():
    content = bytes(range(256)) * 40
    changed = [mutations.mutated(content, number) for number in range(50)]
    assert changed == [mutations.mutated(content, number) for number in range(50)]
    assert len(set(changed)) == 50 and content not in changed
    lengths = {len(content) > len(data) for data in changed} | {len(content) == len(data) for data in changed}
    assert lengths == {True, False}
    assert mutations.mutated(b"", 0) == b""


@pytest.mark.parametrize(
    ("read", "seconds", "notes"),
    [
        ("lambda path: os.kill(os.getpid(), 11)", 60, "0: ended the process with status -11"),
        ("lambda path: time.sleep(99)", 0.5, "0: ended the process with status 1: Timeout"),
        ("lambda path: [][0]", 60, "0: IndexError: list index out of range"),
    ],
)
def test_a_broken_promise_is_seen(tmp_path, monkeypatch, read, seconds, notes):
    script = (
        f"import os, sys, time; from benchmarks.faults import mutations; mutations.SECONDS = {seconds}; "
        f"mutations.KINDS['WAV'] = mutations.KINDS['WAV']._replace(read={read}); "
        "mutations._try_in_this_process(*sys.argv[1:])"
    )
    run = mutations.subprocess.run
    monkeypatch.setattr(
        mutations.subprocess,
        "run",
        lambda command, **options: run([command[0], "-c", script, *command[3:]], **options),
    )
    outcome = mutations.wave_mutations(tmp_path, 1)
    assert (outcome.kept, outcome.tried) == (0, 1)
    assert notes in outcome.notes
