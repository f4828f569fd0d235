"""The last step of training: probabilities that mean something.

- `calibrate`: fit the temperature of a run's best weights on the validation split
"""

from pathlib import Path

import torch

from database.store import write_atomically
from localization.calibration import fit_temperature
from localization.checkpoints import checkpoint_bytes, read_checkpoint
from localization.dataset import CueDataset
from localization.runs import BEST, TEMPERATURE, load_run, log_probabilities


def calibrate(out: Path, validation: CueDataset, device: torch.device) -> None:
    """Fit the temperature of a run's best weights, and write it among them.

    Training leaves the temperature at 1, and where it is another the weights are calibrated already.

    Parameters
    ----------
    out : Path
        The run's folder.
    validation : CueDataset
        The split by which the best weights were chosen, too.
    device : device
        Where the model computes.

    Raises
    ------
    DamageError
        If the best weights are damaged.
    OSError
        If they are missing or cannot be written.
    """
    checkpoint = read_checkpoint(out / BEST)
    weights = checkpoint["state_dict"]
    if weights[TEMPERATURE] == 1:
        found = log_probabilities(load_run(out).model.to(device), validation)
        weights[TEMPERATURE] = torch.tensor(fit_temperature(found, validation.classes))
        write_atomically(out / BEST, checkpoint_bytes(checkpoint))
