"""How the gradient norms of a loss that harmonizes them were spread: gradient_norms.csv in a run's folder.

- `GRADIENT_NORMS`, `HEADER`: the file's name, and its first line
- `GradientNorms`, `read_gradient_norms`: the file as arrays
"""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from database.exit_status import DamageError

GRADIENT_NORMS = "gradient_norms.csv"
HEADER = "loss,epoch,gradient_norm,share,weight"


class GradientNorms(NamedTuple):
    """How the gradient norms of a loss were spread, in equal bins of [0, 1]: arrays (n_epochs, n_bins).

    Attributes
    ----------
    share : ndarray
        Of each epoch's examples.
    weight : ndarray
        Their mean loss weight; NaN where there were none.
    """

    share: NDArray[np.float64]
    weight: NDArray[np.float64]


def read_gradient_norms(folder: str | Path) -> dict[str, GradientNorms]:
    """Read a run's gradient_norms.csv.

    Parameters
    ----------
    folder : path
        The run's folder.

    Returns
    -------
    dict
        One for each loss that harmonized them; empty where the run has no such file.

    Raises
    ------
    DamageError
        If the file is not as training wrote it.
    """
    path = Path(folder) / GRADIENT_NORMS
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        names = list(dict.fromkeys(row["loss"] for row in rows))
        if not all(map(str.isidentifier, names)):  # figures are called after them
            raise ValueError(f"found losses called {names}")
        return {name: _of_loss(rows, name) for name in names}
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise DamageError(f"{path}: damaged, not as training wrote it: {error}") from None


def _of_loss(rows: list[dict[str, str]], name: str) -> GradientNorms:
    n_epochs = len({row["epoch"] for row in rows if row["loss"] == name})
    values = [(float(row["share"]), float(row["weight"])) for row in rows if row["loss"] == name]
    return GradientNorms(*np.array(values).T.reshape(2, n_epochs, -1))
