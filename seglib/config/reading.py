"""Configurations from YAML and the command line, checked, and back to YAML with comments."""

import functools
import inspect
import math
import re
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import jsonargparse
import yaml

from ..errors import SeglibError
from . import names
from .options import Config
from .plain import FAULTS, read_yaml

# More than anyone means: the largest values of options that decide over time, memory and processes.
LARGEST = {
    "epochs": 10**6,
    "batch_size": 10**6,
    "accumulation_steps": 10**6,
    "seed": 2**63 - 1,
    "num_classes": 255,
    "num_workers": 256,
    "eval_interval": 10**6,
    "profile_steps": 10**6,
    "data.cache_mb": 2**30,
    "inference.longest_side": 10**6,
    "augment.crop_sizes": 2**15,
}


class ConfigError(SeglibError, ValueError):
    """A configuration that cannot be used; the message names the option, the fault and the remedy."""


@functools.cache  # building it takes longer than using it
def parser():
    """The command-line parser of a Config, with its help."""
    made = jsonargparse.ArgumentParser(prog="seglib train CONFIG.yaml", exit_on_error=False, allow_abbrev=False)
    made.add_class_arguments(Config, None)
    return made


def load(file: Path | str | None = None, overrides: list[str] | None = None) -> Config:
    """Read a YAML file over the defaults, then `overrides` like "--optimizer.lr=1e-3" over that.

    Raises ConfigError naming the file or option: unknown keys, wrong types, values out of range.
    """
    text = ""
    if file:
        try:
            text = Path(file).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ConfigError(f"{file}: no such configuration file; the released ones lie in configs/.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: the configuration cannot be read ({error}).") from None
    return parse(text, overrides or [], str(file) if file else "the options")


def parse(text: str, overrides: list[str] = (), where: str = "the configuration") -> Config:
    """The Config of a YAML text and command-line overrides.  Raises ConfigError; `where` names the text in it."""
    reader = parser()
    for override in overrides:
        if override.startswith("--"):  # else it is the value of the one before
            _check_name(override)
    try:
        read_yaml(text)  # refuses what could keep the parser busy for ever
        values = reader.parse_string(text or "{}")
        if overrides:
            where = f"{where} with {' '.join(overrides)}" if text else " ".join(overrides)
        values = reader.parse_args(list(overrides), namespace=values)
    except (jsonargparse.ArgumentError, *FAULTS) as error:
        raise ConfigError(f"{where}: {' '.join(str(error).split())[:400]}") from None
    config = _build(Config, values.as_dict())
    if config.loss.class_weights is None:  # as the first released weights have it
        config.loss.class_weights = "none"
    validate(config)
    return config


def _check_name(override: str) -> None:
    """ConfigError for a word like "--epoch=3" that sets nothing."""
    name, _, value = override.removeprefix("--").partition("=")
    if names.members(name) and value.lstrip().startswith("{"):
        return  # a group may be given whole
    if hint := names.remedy(name.removesuffix("+"), "--"):  # NAME+=VALUE adds to a list
        raise ConfigError(f"--{name} is no option; {hint}")


def _build(kind: type, values: dict, prefix: str = ""):
    """The dataclass `kind` of nested dictionaries whose types the parser has checked, but for null and for groups."""
    parts = {f.name: f.default_factory for f in fields(kind) if is_dataclass(f.default_factory)}
    hints, found = get_type_hints(kind), {}
    for name, value in values.items():
        if name in parts:
            if not isinstance(value, dict):
                raise ConfigError(f"{prefix}{name} is {str(value)[:40]}, but must be a group of options.")
            value = _build(parts[name], value, f"{prefix}{name}.")
        elif value is None and type(None) not in get_args(hints[name]):
            raise ConfigError(f"{prefix}{name} is null, but must have a value; leave it out to take the default.")
        found[name] = value
    return kind(**found)


def to_dict(config: Config) -> dict:
    """Plain values only, for YAML, JSON and checkpoints."""
    return _plain(asdict(config))


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def validate(config: Config) -> None:
    """ConfigError for the first value out of its range."""
    _check_numbers(to_dict(config))
    checks = [
        (bool(config.output_dir.strip()), "output_dir", "empty", "the name of a folder"),
        (config.epochs >= 1, "epochs", config.epochs, "at least 1"),
        (config.batch_size >= 1, "batch_size", config.batch_size, "at least 1"),
        (config.accumulation_steps >= 1, "accumulation_steps", config.accumulation_steps, "at least 1"),
        (config.checkpoint_minutes >= 0, "checkpoint_minutes", config.checkpoint_minutes, "0 or more"),
        (config.profile_steps >= 0, "profile_steps", config.profile_steps, "0 or more"),
        (not (config.compile and config.sharding == "full"), "compile", True, "false where sharding is full"),
        (config.eval_interval >= 1, "eval_interval", config.eval_interval, "at least 1"),
        (config.seed >= 0, "seed", config.seed, "0 or more"),
        (config.num_workers >= -1, "num_workers", config.num_workers, "-1 or more"),
        (config.data.cache_mb >= 0, "data.cache_mb", config.data.cache_mb, "0 or more"),
        (config.optimizer.weight_decay >= 0, "optimizer.weight_decay", config.optimizer.weight_decay, "0 or more"),
        (config.optimizer.max_grad_norm >= 0, "optimizer.max_grad_norm", config.optimizer.max_grad_norm, "0 or more"),
        (0 <= config.optimizer.momentum < 1, "optimizer.momentum", config.optimizer.momentum, "in [0, 1)"),
        (0 <= config.augment.rotate <= 180, "augment.rotate", config.augment.rotate, "in [0, 180]"),
        (0 <= config.augment.color_jitter <= 1, "augment.color_jitter", config.augment.color_jitter, "in [0, 1]"),
        (config.num_classes >= 0, "num_classes", config.num_classes, "0 or more"),
        (0 <= config.ema < 1, "ema", config.ema, "in [0, 1)"),
        (config.optimizer.lr > 0, "optimizer.lr", config.optimizer.lr, "above 0"),
        (0 <= config.schedule.warmup < 1, "schedule.warmup", config.schedule.warmup, "in [0, 1)"),
        (bool(config.augment.crop_sizes), "augment.crop_sizes", config.augment.crop_sizes, "a list of sizes"),
        (
            min(config.augment.crop_sizes or [32]) >= 32,
            "augment.crop_sizes",
            config.augment.crop_sizes,
            "sizes of at least 32",
        ),
        (
            0 < config.augment.crop_area[0] <= config.augment.crop_area[1] <= 1,
            "augment.crop_area",
            config.augment.crop_area,
            "two rising shares in (0, 1]",
        ),
        (
            0 < config.augment.crop_ratio[0] <= config.augment.crop_ratio[1],
            "augment.crop_ratio",
            config.augment.crop_ratio,
            "two rising ratios above 0",
        ),
        (config.inference.longest_side >= 0, "inference.longest_side", config.inference.longest_side, "0 or more"),
        (
            bool(config.inference.scales) and all(0 < scale < 100 for scale in config.inference.scales),
            "inference.scales",
            config.inference.scales,
            "factors above 0 and below 100",
        ),
        (
            not set(config.data.options) - {"length", "size", "seed"},
            "data.options",
            config.data.options,
            "of length, size and seed, for the drawn sets",
        ),
    ]
    checks += [
        (0 <= p <= 1, f"augment.{name}", p, "a probability in [0, 1]")
        for name in ("flip", "grayscale", "blur", "noise")
        for p in [getattr(config.augment, name)]
    ]
    for good, option, value, wanted in checks:
        if not good:
            raise ConfigError(f"{option} is {value}, but must be {wanted}.")


def _check_numbers(values: dict, prefix: str = "") -> None:
    """ConfigError for a number that is not finite or, as far as LARGEST knows the option, too large."""
    for name, value in values.items():
        option = prefix + name
        if isinstance(value, dict):
            _check_numbers(value, f"{option}.")
            continue
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int | float) and not abs(number) < math.inf:
                raise ConfigError(f"{option} is {number}, but must be finite.")
            if option in LARGEST and number > LARGEST[option]:
                raise ConfigError(f"{option} is {str(number)[:40]}, but must be at most {LARGEST[option]}.")


def commented(config: Config) -> str:
    """`config` as YAML, each option with what it means; reads back as it is."""
    head = (
        "# Every option of a training run and what it means; a file needs to name only what differs from the default."
    )
    return head + "\n\n" + "".join(_commented(config, to_dict(config), ""))


def _commented(part, values: dict, indent: str) -> list[str]:
    meanings = dict(re.findall(r"^ *(\w+): (.+)$", inspect.getdoc(type(part)).partition("Args:")[2], re.MULTILINE))
    lines = []
    for option in fields(part):
        value = getattr(part, option.name)
        if is_dataclass(value):
            summary = inspect.getdoc(type(value)).partition("\n")[0].rstrip(".")
            lines += ["\n", f"{indent}# {summary}\n", f"{indent}{option.name}:\n"]
            lines += _commented(value, values[option.name], indent + "  ")
        else:
            text = yaml.safe_dump(values[option.name], default_flow_style=True, width=1000).split("\n...")[0].strip()
            lines += [f"{indent}# {meanings[option.name]}\n", f"{indent}{option.name}: {text}\n"]
    return lines
