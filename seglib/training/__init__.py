"""Training: `train(config)` runs the loop of `loop`, on the state in `run`, looked after by `watch`.

A run is a folder with `config.yaml` (what was asked), `history.json` (an entry an epoch),
`checkpoint.pt` (everything needed to go on) and `best.safetensors` (the weights that scored best on
val).  Every file is replaced atomically, so a run that dies at any moment can be resumed.
"""

from .state import Run, TrainingError, make_loss, make_model
from .trainer import train

__all__ = ["Run", "TrainingError", "make_loss", "make_model", "train"]
