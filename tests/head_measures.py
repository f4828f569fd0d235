"""What tests measure of a head."""

import numpy as np
from numpy.typing import NDArray

from database.hrtf import Head


def spectra(head: Head, frequencies: NDArray[np.floating]) -> NDArray[np.complexfloating]:
    """Frequency responses (n_directions, n_frequencies, 2)."""
    phases = np.exp(-2j * np.pi * np.outer(frequencies, np.arange(head.responses.shape[1])) / head.fs)
    return np.einsum("fn,dne->dfe", phases, head.responses)
