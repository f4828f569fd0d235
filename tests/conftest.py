"""What several tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real recordings and reference values; a test that asks for it is skipped where there is none."""
    folder = os.environ.get("DOA_SHARED")
    if not folder:
        pytest.skip("needs real recordings: set DOA_SHARED to the folder that holds data/ and reference/")
    return Path(folder)
