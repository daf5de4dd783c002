"""The search space: the options that a search varies, and the values that it tries for them.

A space is a dictionary that maps option names, as on the command line, to a `Range` or `Choices`. In YAML:

    optimizer.lr: {low: 3e-4, high: 1e-2, log: true}
    batch_size: {choices: [4, 8, 16]}
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import yaml

from seglib import losses, models
from seglib.config import Config, config_to_dict, parse_config, suggest_option
from seglib.errors import SeglibError
from seglib.files import read_yaml

# Options that all trials of a search must share, because the trials are compared and stored in one folder.
FIXED = {"output_dir", "device", "metric", "eval_interval", "num_classes"}


class TuneError(SeglibError, ValueError):
    """Raised if a search cannot run. The message names the option or file and the problem, and says how to fix it."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, on a logarithmic scale if `log` is True. Integers if both limits are integers."""

    low: float
    high: float
    log: bool = False

    def contains(self, value: object) -> bool:
        return _is_number(value) and self.low <= value <= self.high and (not self._is_integer or value == int(value))

    def suggest(self, trial, path: str) -> float:
        suggest = trial.suggest_int if self._is_integer else trial.suggest_float
        return self.value(suggest(path, self.low, self.high, log=self.log))

    def value(self, key: float) -> float:
        """Convert a value from Optuna's study to a value of the option, rounded to three significant digits."""
        return key if self._is_integer else min(max(float(f"{key:.3g}"), self.low), self.high)

    def key(self, value: float) -> float:
        """Convert a value of the option to a value for Optuna's study."""
        return int(value) if self._is_integer else value

    def to_dict(self) -> dict:
        return asdict(self)

    @property
    def _is_integer(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{', logarithmic' if self.log else ''}"


@dataclass(frozen=True)
class Choices:
    """A list of values of any type that the option accepts, including lists."""

    values: tuple

    def contains(self, value: object) -> bool:
        return self.key(value) in map(self.key, self.values)

    def suggest(self, trial, path: str):
        return self.value(trial.suggest_categorical(path, [self.key(value) for value in self.values]))

    def value(self, key: str):
        """Convert a value from Optuna's study to a value of the option."""
        return next(value for value in self.values if self.key(value) == key)

    def key(self, value) -> str:
        """Convert a value of the option to YAML, because Optuna's study cannot store lists."""
        return to_yaml_line(value)

    def to_dict(self) -> dict:
        return {"choices": list(self.values)}

    def __str__(self) -> str:
        return "one of " + ", ".join(map(self.key, self.values))


Space = dict[str, Range | Choices]


def to_yaml_line(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()


def default_space(config: Config) -> Space:
    """Return the default search space: learning rate, weight decay, batch size and augmentation strength."""
    lr, batch = config.optimizer.lr, config.batch_size
    return {
        "optimizer.lr": Range(float(f"{lr / 10:.3g}"), float(f"{lr * 10:.3g}"), log=True),
        "optimizer.weight_decay": Range(1e-5, 0.3, log=True),
        "batch_size": Choices(tuple(sorted({max(1, batch // 2), batch, batch * 2}))),
        "augment.color_jitter": Range(0.0, 0.8),
        "augment.rotate": Range(0.0, 45.0),
    }


def read_space(file: Path | str) -> Space:
    """Read the search space from a YAML file.

    Raises:
        TuneError: If the file cannot be read, or an entry is neither a range nor choices.
    """
    try:
        content = read_yaml(Path(file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TuneError(f"{file}: no such file; configs/search/horses.yaml is an example.") from None
    except (OSError, ValueError) as error:
        raise TuneError(f"{file}: the search space cannot be read ({_shorten(error)}).") from None
    if not isinstance(content, dict) or not content:
        raise TuneError(f"{file}: has no options; write lines like 'optimizer.lr: {{low: 3e-4, high: 1e-2}}'.")
    return {str(path): _read_entry(f"{file}: {_shorten(path)}", entry) for path, entry in content.items()}


def _read_entry(where: str, entry: object) -> Range | Choices:
    names = set(entry) if isinstance(entry, Mapping) else set()
    if names == {"choices"}:
        values = entry["choices"]
        if not isinstance(values, list) or len(set(map(str, values))) < max(2, len(values)):
            raise TuneError(f"{where}: choices must be a list of at least two different values.")
        return Choices(tuple(values))
    if not {"low", "high"} <= names <= {"low", "high", "log"}:
        raise TuneError(f"{where}: needs low and high (and optionally log), or choices, but has {_shorten(entry)}.")
    low, high, log = entry["low"], entry["high"], entry.get("log", False)
    for name, value in (("low", low), ("high", high)):
        if not _is_number(value):
            raise TuneError(f"{where}.{name} is '{_shorten(value)}', but must be a finite number.")
    if not isinstance(log, bool):
        raise TuneError(f"{where}: log is {_shorten(log)}, but must be true or false.")
    if not low < high or (log and low <= 0):
        raise TuneError(f"{where}: {_shorten(low)} to {_shorten(high)}: low must be below high, and above 0 with log.")
    return Range(low, high, log)


def _is_number(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and (isinstance(value, int) or math.isfinite(value))


def _shorten(value: object) -> str:
    return " ".join(str(value).split())[:100]


def get_option(config: Config, path: str) -> object:
    """Return the value of an option such as "optimizer.lr", or None if there is no such option."""
    value = config_to_dict(config)
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def with_options(config: Config, options: Mapping[str, object], where: str = "the options") -> Config:
    """Return `config` with changed options, which are checked like the options in a file.

    Raises:
        ConfigError: If an option is unknown, or a value is out of range.
    """
    values = config_to_dict(config)
    for path, value in options.items():
        *parents, name = path.split(".")
        part = values
        for parent in parents:
            part = part.setdefault(parent, {})
        part[name] = value
    return parse_config(values, where=where)


def check(config: Config, space: Space) -> None:
    """Check the options and values of a search space before training starts.

    Raises:
        TuneError: If an option does not exist or cannot be varied.
        ConfigError, ModelError or LossError: If an option cannot have one of the values.
    """
    for path in space:
        if path in FIXED or path.startswith("data."):
            raise TuneError(f"the search space has '{path}', which all trials of a search must share; remove it.")
        if hint := suggest_option(path):
            raise TuneError(f"the search space has '{path}', which is not an option; {hint}")
    # Check the ends of each range, and all choices.
    samples = [entry.values if isinstance(entry, Choices) else (entry.low, entry.high) for entry in space.values()]
    for i in range(max(map(len, samples), default=0)):  # test all values in as few configurations as possible
        options = {path: values[i % len(values)] for path, values in zip(space, samples, strict=True)}
        changed = with_options(config, options, "the search space")
        if any(path.startswith("model.") for path in space):
            with torch.device("meta"):  # needs no computation and no memory
                models.create(changed.model.name, 2, **changed.model.options)
        if any(path.startswith("loss.") for path in space):
            losses.SegmentationLoss(changed.loss.terms, None, options=changed.loss.options)


def find_start(config: Config, space: Space) -> dict | None:
    """Return the options of `config` as the first trial for Optuna, or None if a value is outside the space."""
    values = {path: get_option(config, path) for path in space}
    if not all(entry.contains(values[path]) for path, entry in space.items()):
        return None
    return {path: entry.key(values[path]) for path, entry in space.items()}
