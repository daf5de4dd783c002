"""Training: `fit(config)` trains a network as a configuration says.

Read `trainer.py` from top to bottom; it calls the small modules beside it by name.  A run is a folder with
`config.yaml` (the options), `history.json` (one entry per epoch), `checkpoint.pt` (everything needed to resume) and
`best.safetensors` (the weights with the best validation score).  Every file is replaced atomically, so a run that dies
at any moment can be resumed.
"""

from .build import make_loss, make_model
from .errors import TrainingError
from .trainer import Trainer, fit

__all__ = ["Trainer", "TrainingError", "fit", "make_loss", "make_model"]
