"""What several tests share."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import settings

# The networks of tests are too small to gain by threads, and where other work has one of the cores, threads
# that wait for each other take many times as long. Torch reads this when it is loaded, here and in all that
# the tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# On a busy machine a first call, which compiles, takes longer than any deadline that would tell something.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# Shells start what is in the background with SIGINT ignored, and so would be all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def one_precision() -> Iterator[None]:
    """For tests that train: small networks alike on all processors, in float32, as fast for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("localization.training.fit.knows_bfloat16", lambda: False)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real recordings; where there is none, what asks for it is skipped."""
    folder = os.environ.get("DOA_SHARED")
    if not folder:
        pytest.skip("needs real recordings: set DOA_SHARED to the folder that holds data/")
    return Path(folder)


@pytest.fixture(scope="session")
def reference(shared: Path) -> Path:
    """Folder of numbers from other programs."""
    if not (shared / "reference").is_dir():
        pytest.skip("needs the numbers of other programs: $DOA_SHARED/reference")
    return shared / "reference"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A recording that can be localized, of noise."""
    path = tmp_path / "recording.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal((20000, 2)), 16000)
    return path
