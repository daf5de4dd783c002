"""Search for good options: `search` trains trial after trial, each a run folder, guided by Optuna.

The folder of a search holds `search.yaml` (what was asked), `study.db` (Optuna's SQLite study, from which a stopped
search goes on), a folder a trial, and what came of it: `trials.json`, `search.png` and `best.yaml`.

Akiba et al., "Optuna: a next-generation hyperparameter optimization framework", KDD 2019.
"""

from .figure import search_figure
from .result import table
from .space import Choices, Range, TuneError, default_space, read_space, with_options
from .study import search

__all__ = ["Choices", "Range", "TuneError", "default_space", "read_space", "search", "search_figure", "table"]
__all__ += ["with_options"]
