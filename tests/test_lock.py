"""One builder at a time in one folder."""

import os

import pytest

from database.exit_status import is_machines_fault
from database.lock import locked


def test_the_second_is_told_who_is_there(tmp_path):
    with locked(tmp_path / "new"):
        with (
            pytest.raises(
                BlockingIOError, match=f"another process builds there: process {os.getpid()} on"
            ) as told,
            locked(tmp_path / "new"),
        ):
            pass
        assert is_machines_fault(told.value)
        assert (tmp_path / "new" / "build.lock").exists()
    assert not (tmp_path / "new").exists()  # nothing came to lie in it


def test_what_a_dead_process_left_keeps_nobody_out(tmp_path):
    (tmp_path / "build.lock").write_text(
        "process 1 on another machine since a year that is longer than what is written now"
    )
    with locked(tmp_path):
        assert (tmp_path / "build.lock").read_text().startswith(f"process {os.getpid()} on ")
        assert "a year" not in (tmp_path / "build.lock").read_text()
    assert tmp_path.exists()
    assert not (tmp_path / "build.lock").exists()


def test_a_lock_ends_with_an_error_too(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    with locked(tmp_path):
        (tmp_path / "plan.json").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]
