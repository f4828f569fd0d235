"""How gradient norms were spread in each epoch, where the loss harmonizes them.

- `GradientNormReport`: the callback that writes gradient_norms.csv
"""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from database.store import write_atomically
from localization.gradient_norms import GRADIENT_NORMS, HEADER
from localization.losses import harmonizers


class GradientNormReport(Callback):
    """Statistics of each epoch's gradient norms in a table, written whole each time.

    One row for each loss, epoch and bin: the bin's lower edge, the share of the epoch's examples in it, and
    their mean loss weight, nan where there were none.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.rows: list[str] = []

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for harmonizer in harmonizers(pl_module).values():
            harmonizer.reset()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for name, harmonizer in harmonizers(pl_module).items():
            for k, (share, weight) in enumerate(zip(*harmonizer.statistics(), strict=True)):
                edge = k / harmonizer.n_bins
                self.rows.append(f"{name},{trainer.current_epoch + 1},{edge:.6g},{share:.6g},{weight:.6g}")
        if self.rows and trainer.is_global_zero:
            text = "\n".join([HEADER, *self.rows, ""])
            write_atomically(self.out / GRADIENT_NORMS, text.encode())
