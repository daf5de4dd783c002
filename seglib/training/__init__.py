"""Train networks.  `fit(config)` trains the network that a configuration describes.

Start with `trainer.py`, which contains the training loop and calls the other modules of this package.  A run is a
folder with four files: `config.yaml` (the configuration), `history.json` (one entry per epoch), `checkpoint.pt`
(everything needed to resume) and `best.safetensors` (the weights with the best validation score).  Every file is
replaced atomically, so a run can be resumed no matter when it was interrupted.
"""

from .build import make_loss, make_model
from .errors import TrainingError
from .trainer import Trainer, fit

__all__ = ["Trainer", "TrainingError", "fit", "make_loss", "make_model"]
