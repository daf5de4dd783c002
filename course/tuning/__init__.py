"""Hyperparameter search with Optuna: `search` trains one trial after the other, each in its own run folder.

The folder of a search contains `search.yaml` (the configuration and the search space), `study.db` (Optuna's SQLite
study, from which a stopped search resumes), one folder for each trial, and the results: `trials.json`, `search.png`
and `best.yaml`.

Akiba et al., "Optuna: a next-generation hyperparameter optimization framework", KDD 2019.
"""

from .figure import search_figure
from .result import table
from .space import Choices, Range, TuneError, default_space, read_space, with_options
from .study import search

__all__ = ["Choices", "Range", "TuneError", "default_space", "read_space", "search", "search_figure", "table"]
__all__ += ["with_options"]
