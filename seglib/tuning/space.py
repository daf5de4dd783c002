"""Which options a search varies, and between which values.

A space is a dictionary from an option's path, as on the command line, to a `Range` or `Choices`; as YAML:

    optimizer.lr: {low: 3e-4, high: 1e-2, log: true}
    batch_size: {choices: [4, 8, 16]}
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from .. import losses, models
from ..config import Config, config_to_dict, parse_config, suggest_option
from ..errors import SeglibError
from ..files import read_yaml

# What a search must hold fast, or its trials could not be compared or found again.
FIXED = {"output_dir", "device", "metric", "eval_interval", "num_classes"}


class TuneError(SeglibError, ValueError):
    """A search that cannot be made; the message names the option or file, the fault and the remedy."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`: whole ones if both are whole; `log` draws their logarithms evenly."""

    low: float
    high: float
    log: bool = False

    @property
    def samples(self) -> list:
        """Values that stand for all when the space is checked."""
        return [self.low, self.high]

    def has(self, value: object) -> bool:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.low <= value <= self.high and (not self._whole or value == int(value))

    def suggest(self, trial, path: str) -> float:
        """What Optuna's `trial` proposes."""
        suggest = trial.suggest_int if self._whole else trial.suggest_float
        return self.value(suggest(path, self.low, self.high, log=self.log))

    def value(self, key: float) -> float:
        """The option's value for one in Optuna's study: with three digits, which a reader can take in."""
        return key if self._whole else min(max(float(f"{key:.3g}"), self.low), self.high)

    def key(self, value: float) -> float:
        """`value` as Optuna's study holds it."""
        return int(value) if self._whole else value

    def to_dict(self) -> dict:
        return {"low": self.low, "high": self.high, "log": self.log}

    @property
    def _whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{', logarithmic' if self.log else ''}"


@dataclass(frozen=True)
class Choices:
    """One of `values`, which may be of any kind that the option takes, lists too."""

    values: tuple

    @property
    def samples(self) -> list:
        return list(self.values)

    def has(self, value: object) -> bool:
        return self.key(value) in map(self.key, self.values)

    def suggest(self, trial, path: str):
        """What Optuna's `trial` proposes."""
        return self.value(trial.suggest_categorical(path, [self.key(value) for value in self.values]))

    def value(self, key: str):
        """The option's value for one in Optuna's study."""
        return next(value for value in self.values if self.key(value) == key)

    def key(self, value) -> str:
        """`value` as Optuna's study holds it: as text, for it knows no lists."""
        return flow(value)

    def to_dict(self) -> dict:
        return {"choices": list(self.values)}

    def __str__(self) -> str:
        return "one of " + ", ".join(map(self.key, self.values))


Space = dict[str, Range | Choices]


def flow(value: object) -> str:
    """`value` as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()


def default_space(config: Config) -> Space:
    """What is worth a search in most runs: learning rate, weight decay, batch size, strength of augmentation."""
    lr, batch = config.optimizer.lr, config.batch_size
    return {
        "optimizer.lr": Range(float(f"{lr / 10:.3g}"), float(f"{lr * 10:.3g}"), log=True),
        "optimizer.weight_decay": Range(1e-5, 0.3, log=True),
        "batch_size": Choices(tuple(sorted({max(1, batch // 2), batch, batch * 2}))),
        "augment.color_jitter": Range(0.0, 0.8),
        "augment.rotate": Range(0.0, 45.0),
    }


def read_space(file: Path | str) -> Space:
    """The space of a YAML file.  TuneError naming the file, and the option whose entry is no range and no choice."""
    try:
        content = read_yaml(Path(file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TuneError(f"{file}: no such file; see configs/search/horses.yaml for what it should hold.") from None
    except (OSError, ValueError) as error:
        raise TuneError(f"{file}: the search space cannot be read ({' '.join(str(error).split())[:200]}).") from None
    if not isinstance(content, dict) or not content:
        raise TuneError(f"{file}: holds no options; write lines like 'optimizer.lr: {{low: 3e-4, high: 1e-2}}'.")
    return {str(path): _entry(f"{file}: {_shown(path)}", entry) for path, entry in content.items()}


def _entry(where: str, entry: object) -> Range | Choices:
    if isinstance(entry, Mapping) and set(entry) == {"choices"}:
        values = entry["choices"]
        if not isinstance(values, list) or len({str(value) for value in values}) < max(2, len(values)):
            raise TuneError(f"{where}: choices must be a list of at least two different values, not {_shown(values)}.")
        return Choices(tuple(values))
    if not isinstance(entry, Mapping) or not {"low", "high"} <= set(entry) <= {"low", "high", "log"}:
        raise TuneError(f"{where}: needs low and high (and log, if wanted), or choices, but has {_shown(entry)}.")
    low, high = (_number(f"{where}.{name}", entry[name]) for name in ("low", "high"))
    log = entry.get("log", False)
    if not isinstance(log, bool):
        raise TuneError(f"{where}: log is {_shown(log)}, but must be true or false.")
    if not low < high or (log and low <= 0):
        raise TuneError(
            f"{where}: low is {_shown(low)} and high is {_shown(high)}, but low must be below high, "
            "and above 0 with log."
        )
    return Range(low, high, log)


def _shown(value: object) -> str:
    """`value` in one short line."""
    text = " ".join(str(value).split())
    return text if len(text) <= 80 else f"{text[:80]}..."


def _number(where: str, value: object) -> float:
    """YAML 1.1 takes 1e-3 for a word; here it is a number."""
    try:
        if isinstance(value, bool):
            raise ValueError
        number = value if isinstance(value, int) else float(value)
    except (TypeError, ValueError):
        raise TuneError(f"{where} is '{_shown(value)}', but must be a number.") from None
    if not abs(number) < float("inf"):
        raise TuneError(f"{where} is {number}, but must be finite.")
    return number


def with_options(config: Config, options: Mapping[str, object], where: str = "the options") -> Config:
    """`config` with some options set, checked as a file is.  TuneError for an unknown name, ConfigError for a value."""
    values = config_to_dict(config)
    for path, value in options.items():
        *parents, name = path.split(".")
        part = values
        for parent in parents:
            part = part[parent] if isinstance(part.get(parent), dict) else {}
        part[name] = value
    return parse_config(yaml.safe_dump(values), where=where)


def check(config: Config, space: Space) -> None:
    """Refuse, before anything is trained, options that do not exist, cannot be varied, or values they cannot take.

    Raises TuneError for names; ConfigError, ModelError or LossError for values.
    """
    for path in space:
        if path in FIXED or path.startswith("data."):
            raise TuneError(f"the search space has '{path}', which all trials of a search must share; take it out.")
        if hint := suggest_option(path):
            raise TuneError(f"the search space has '{path}', which is no option; {hint}")
    samples = [entry.samples for entry in space.values()]
    for i in range(max(map(len, samples), default=0)):  # every sample once, in as few configurations as it takes
        options = {path: values[i % len(values)] for path, values in zip(space, samples, strict=True)}
        changed = with_options(config, options, "the search space")
        if any(path.startswith("model.") for path in space):
            with torch.device("meta"):  # nothing is computed or kept
                models.create(changed.model.name, 2, **changed.model.options)
        if any(path.startswith("loss.") for path in space):
            losses.SegmentationLoss(changed.loss.terms, None, options=changed.loss.options)


def inside(config: Config, space: Space) -> dict | None:
    """What `config` itself has for the options of the space, or None where a value lies outside."""
    values = config_to_dict(config)
    found = {}
    for path, entry in space.items():
        value = values
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if not entry.has(value):
            return None
        found[path] = entry.key(value)
    return found
