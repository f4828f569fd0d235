"""What tests measure of a head."""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from database.alignment import interaural_differences
from database.hrtf import Head


def low_itd(head: Head) -> NDArray[np.floating]:
    """ITD in seconds of what is below 1500 Hz, which the directions above do not make ambiguous."""
    sections = butter(4, 1500, fs=head.fs, output="sos")
    return interaural_differences(sosfilt(sections, head.responses, axis=1), head.fs)[0]


def spectra(head: Head, frequencies: NDArray[np.floating]) -> NDArray[np.complexfloating]:
    """Frequency responses (n_directions, n_frequencies, 2)."""
    phases = np.exp(-2j * np.pi * np.outer(frequencies, np.arange(head.responses.shape[1])) / head.fs)
    return np.einsum("fn,dne->dfe", phases, head.responses)
