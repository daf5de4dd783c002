"""Read configurations from YAML and the command line, check them, and write them as YAML with comments."""

import copy
import difflib
import functools
import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import get_args, get_origin

import jsonargparse
import yaml

from ..errors import SeglibError
from ..files import read_yaml
from .options import Config
from .renamed import REMOVED, RENAMED

COMPARISONS = {">=": "at least ", "<=": "at most ", ">": "above ", "<": "below "}


class ConfigError(SeglibError, ValueError):
    """A configuration that cannot be used; the message names the option, the fault and the remedy."""


@functools.cache  # building it takes longer than using it
def build_parser() -> jsonargparse.ArgumentParser:
    """Build the command-line parser of a `Config`, with its help."""
    parser = jsonargparse.ArgumentParser(prog="seglib train CONFIG.yaml", exit_on_error=False, allow_abbrev=False)
    parser.add_class_arguments(Config, None)
    return parser


def load_config(file: Path | str | None = None, overrides: list[str] | None = None) -> Config:
    """Read a YAML file; what it leaves out takes the default.

    Args:
        file: The YAML file; None takes the defaults alone.
        overrides: Options from the command line, such as "--optimizer.lr=1e-3", which replace those of the file.

    Raises:
        ConfigError: For an unreadable file, an unknown option, a wrong type or a value out of range.
    """
    if not file:
        return parse_config("", overrides or [], "the options")
    try:
        text = Path(file).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such configuration file; configs/ has the released ones.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: the configuration cannot be read ({error}).") from None
    return parse_config(text, overrides or [], str(file))


def parse_config(text: str | Mapping, overrides: list[str] = (), where: str = "the configuration") -> Config:
    """Read a configuration from YAML text or nested dictionaries, and from command-line options.

    Args:
        text: The YAML text, or its values as nested dictionaries.
        overrides: As in `load_config`.
        where: What to call the text in error messages.

    Raises:
        ConfigError: As in `load_config`.
    """
    try:
        values = (read_yaml(text) if isinstance(text, str) else text) or {}
        if not isinstance(values, Mapping):
            raise ValueError(f"must be lines like 'epochs: 3', but is '{str(values)[:40]}'")
        _check_names(values)
        parsed = build_parser().parse_object(copy.deepcopy(dict(values)))  # the parser changes it
        if overrides:
            where = f"{where} with {' '.join(overrides)}" if values else " ".join(overrides)
            for override in overrides:
                _check_override(override)
            parsed = build_parser().parse_args(list(overrides), namespace=parsed)
        config = _build(Config, parsed.as_dict())
        _check_combinations(config)
    except ConfigError:
        raise
    except (jsonargparse.ArgumentError, yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise ConfigError(f"{where}: {_explain(error)}") from None
    return config


def _explain(error: Exception) -> str:
    """Return the message of a parser's error in one line; a value out of range in our own words."""
    message = re.sub(r'Parser key "([^"]+)":', r"\1:", " ".join(str(error).split()))
    pattern = r"([\w.]+): Not of type \w+: (.*) does not conform to restriction (.*)"
    if not (match := re.fullmatch(pattern, message)):
        return re.sub(r"Not of type \w+: ", "", message)[:400]
    option, value, restriction = match.groups()
    limits = re.sub(r"v([<>]=?)", lambda comparison: COMPARISONS[comparison[1]], restriction)
    limits = limits.replace("above -inf and below inf", "finite").replace("below inf", "finite")
    return f"{option} is {value[:40]}, but must be {limits}."


def _check_names(values: Mapping, kind: type = Config, prefix: str = "") -> None:
    """Raise ConfigError for unknown options and for groups that have a single value."""
    groups = {option.name: option.type for option in fields(kind) if is_dataclass(option.type)}
    for name, value in values.items():
        path = f"{prefix}{name}"
        if name not in groups:
            if hint := suggest_option(path):
                raise ConfigError(f"{path[:80]} is no option; {hint}")
        elif isinstance(value, Mapping):
            _check_names(value, groups[name], f"{path}.")
        else:
            raise ConfigError(f"{path} is {str(value)[:40]}, but must be a group of options.")


def _check_override(override: str) -> None:
    """Raise ConfigError for a word like "--epoch=3" that sets nothing."""
    if not override.startswith("--"):
        return  # the value of the word before
    name, _, value = override.removeprefix("--").partition("=")
    if _list_group(name) and value.lstrip().startswith("{"):
        return  # a whole group
    if hint := suggest_option(name.removesuffix("+"), "--"):  # NAME+=VALUE adds to a list
        raise ConfigError(f"--{name} is no option; {hint}")


def _list_options(kind: type = Config, prefix: str = "") -> dict[str, bool]:
    """Return the path of every option, as on the command line, and whether its value is a dictionary."""
    options = {}
    for option in fields(kind):
        path = prefix + option.name
        is_group = is_dataclass(option.type)
        options |= _list_options(option.type, f"{path}.") if is_group else {path: get_origin(option.type) is dict}
    return options


def _list_group(path: str) -> list[str]:
    return [name for name in _list_options() if name.startswith(f"{path}.")]


def suggest_option(path: str, dashes: str = "") -> str | None:
    """Say what to do about a wrong option name.

    Args:
        path: The name as on the command line, such as "optimizer.lr".
        dashes: What names in the answer begin with.

    Returns:
        Half a sentence, or None if `path` is an option.
    """
    options = _list_options()
    if path in RENAMED:
        return f"it is called {dashes}{RENAMED[path]} now."
    if path in REMOVED:
        return "it no longer exists; leave it out."
    if path in options or any(is_dict and path.startswith(f"{name}.") for name, is_dict in options.items()):
        return None
    if members := _list_group(path):
        return f"it is a group of options: {', '.join(dashes + name for name in members)}."
    near = [dashes + name for name in difflib.get_close_matches(path, options, 3, 0.5)]
    return f"did you mean {' or '.join(near)}?" if near else "`seglib train --help` lists them."


def _build(kind: type, values: dict, prefix: str = ""):
    """Build the dataclass `kind` from values that the parser has checked, except for null."""
    arguments = {}
    for option in fields(kind):
        value, path = values[option.name], prefix + option.name
        if is_dataclass(option.type):
            arguments[option.name] = _build(option.type, value, f"{path}.")
        elif value is None and NoneType not in get_args(option.type):
            raise ConfigError(f"{path} is null, but must have a value; leave it out to take the default.")
        else:
            arguments[option.name] = _to_builtin(value)
    return kind(**arguments)


def _to_builtin(value):
    """Replace the parser's number types, which YAML and pickle files cannot hold."""
    if isinstance(value, dict):
        return {str(name): _to_builtin(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_to_builtin, value))
    return next((kind(value) for kind in (bool, int, float, str) if isinstance(value, kind)), value)


def _check_combinations(config: Config) -> None:
    """Raise ConfigError for what the types of the fields cannot express."""
    augment, inference, data = config.augment, config.inference, config.data
    if config.loss.class_weights is None:  # as in the first released weights
        config.loss.class_weights = "none"
    checks = {
        "output_dir": ("empty", bool(config.output_dir.strip()), "the name of a folder"),
        "augment.crop_sizes": (augment.crop_sizes, bool(augment.crop_sizes), "a list of sizes"),
        "augment.crop_area": (augment.crop_area, augment.crop_area[0] <= augment.crop_area[1], "in rising order"),
        "augment.crop_ratio": (augment.crop_ratio, augment.crop_ratio[0] <= augment.crop_ratio[1], "in rising order"),
        "inference.scales": (inference.scales, bool(inference.scales), "a list of factors"),
        "data.options": (data.options, data.options.keys() <= {"length", "size", "seed"}, "of length, size and seed"),
    }
    for option, (value, is_good, wanted) in checks.items():
        if not is_good:
            raise ConfigError(f"{option} is {value}, but must be {wanted}.")


def config_to_dict(config: Config) -> dict:
    """Convert to nested dictionaries of plain values, for YAML, JSON and checkpoints."""
    return json.loads(json.dumps(asdict(config)))


def config_to_yaml(config: Config) -> str:
    """Convert to YAML with a comment for each option; it reads back as the same configuration."""
    head = "# Every option of a training run. A file needs to name only what differs from the default.\n\n"
    return head + "".join(_comment_options(config, config_to_dict(config), ""))


def _comment_options(part, values: dict, indent: str) -> list[str]:
    help_texts = dict(re.findall(r"^ *(\w+): (.+)$", inspect.getdoc(type(part)).partition("Args:")[2], re.MULTILINE))
    lines = []
    for option in fields(part):
        value = getattr(part, option.name)
        if is_dataclass(value):
            summary = inspect.getdoc(type(value)).partition("\n")[0]
            lines += ["\n", f"{indent}# {summary}\n", f"{indent}{option.name}:\n"]
            lines += _comment_options(value, values[option.name], indent + "  ")
        else:
            text = yaml.safe_dump(values[option.name], default_flow_style=True, width=1000).split("\n...")[0].strip()
            lines += [f"{indent}# {help_texts[option.name]}\n", f"{indent}{option.name}: {text}\n"]
    return lines
