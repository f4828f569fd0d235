"""What ends, hangs or bloats the process that reads a file is an error in the one that asks for it."""

import os
import sys
import time
from pathlib import Path

import pytest

from database import isolation
from database.isolation import isolated


def test_results_options_and_errors_come_through(tmp_path):
    assert isolated(Path, "a", "b") == Path("a", "b")
    assert isolated(Path.write_text, tmp_path / "ä b", "text", encoding="utf-8") == 4
    with pytest.raises(FileNotFoundError, match="gone"):
        isolated(Path.read_text, tmp_path / "gone")


def test_a_process_that_ends_is_an_error_with_the_files_name():
    with pytest.raises(OSError, match=r"head\.sofa: damaged, reading it ended a process with status -6"):
        isolated(_abort, "head.sofa")


def _abort(path):
    os.abort()


def test_a_process_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(isolation, "SECONDS", 0.2)
    with pytest.raises(OSError, match=r"damaged, not read after 0\.2 s"):
        isolated(time.sleep, 60)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")
def test_a_process_that_takes_too_much_memory_is_ended():
    with pytest.raises(OSError, match=r"reading it takes more than \d+ bytes of memory"):
        isolated(bytearray, isolation.MAX_BYTES)
