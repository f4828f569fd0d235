"""Training: a model, a database, and Lightning between them.

Conventions: what decides the result is in `TrainingConfig` and is written to the run's config.json, with the
number of processes that train together; what else decides where it is computed is an argument of `train`.
Training killed at any moment and resumed ends in the same weights, bit for bit, as training left alone (on
one machine's processor; on a GPU sums may be in another order): every epoch starts from (seed, epoch) and the
last checkpoint, and from nothing else.

Modules
-------
learner : The model as Lightning trains it, and `TrainingConfig`.
callbacks : What goes round it: checkpoints, seeds, reports.
gradient_norms : What a harmonizing loss found, epoch by epoch.
folder : The run's folder: what is written into it beside the weights.
calibrate : The temperature of the best weights, when training is done.
fit : `train`, which composes them.
"""

from localization.training.fit import train
from localization.training.learner import TrainingConfig

__all__ = ["TrainingConfig", "train"]
