"""The configuration of a training run, as nested dataclasses that are read from YAML and the command line.

    config = load_config("configs/horses-laptop.yaml", ["--epochs=3", "--optimizer.lr=1e-3"])

The type of a field defines which values are allowed. The descriptions under `Args` in each docstring are also used as
the help texts of `seglib train --help` and as the comments in configs/default.yaml.
"""

import copy
import difflib
import functools
import inspect
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from math import inf
from pathlib import Path
from types import NoneType
from typing import Literal, get_args, get_origin

import jsonargparse
import yaml
from jsonargparse.typing import ClosedUnitInterval, restricted_number_type

from .errors import SeglibError
from .files import read_yaml

# Options that were renamed in version 0.2, so that older files can still be read: {old name: new name}.
RENAMED = {
    "run": "output_dir",
    "accumulate": "accumulation_steps",
    "workers": "num_workers",
    "evaluate_every": "eval_interval",
    "trace_steps": "profile_steps",
    "augment.color": "augment.color_jitter",
    "augment.grey": "augment.grayscale",
    "model.start": "model.init_from",
    "optimizer.clip_norm": "optimizer.max_grad_norm",
    "loss.options.ohem.kept": "loss.options.ohem.min_kept",
}
# Options that do not affect the result: paths, hardware and logging.
PLACES = {
    "output_dir",
    "device",
    "num_workers",
    "data.root",
    "data.cache_mb",
    "compile",
    "checkpoint_minutes",
    "tensorboard",
    "profile_steps",
}
REMOVED = {"sharding"}  # a removed option that saved memory and did not affect results
COMPARISONS = {">=": "at least ", "<=": "at most ", ">": "above ", "<": "below "}

Count = restricted_number_type("Count", int, [(">=", 1), ("<=", 10**6)])
CountOrZero = restricted_number_type("CountOrZero", int, [(">=", 0), ("<=", 10**6)])
Workers = restricted_number_type("Workers", int, [(">=", -1), ("<=", 256)])
Byte = restricted_number_type("Byte", int, [(">=", 0), ("<=", 255)])
Seed = restricted_number_type("Seed", int, [(">=", 0), ("<=", 2**63 - 1)])
CropSize = restricted_number_type("CropSize", int, [(">=", 32), ("<=", 2**15)])
Finite = restricted_number_type("Finite", float, [(">", -inf), ("<", inf)])
Positive = restricted_number_type("Positive", float, [(">", 0), ("<", inf)])
NonNegative = restricted_number_type("NonNegative", float, [(">=", 0), ("<", inf)])
BelowOne = restricted_number_type("BelowOne", float, [(">=", 0), ("<", 1)])
AreaShare = restricted_number_type("AreaShare", float, [(">", 0), ("<=", 1)])
Angle = restricted_number_type("Angle", float, [(">=", 0), ("<=", 180)])
Scale = restricted_number_type("Scale", float, [(">", 0), ("<", 100)])

Option = bool | int | Finite | str | list[int]


@dataclass
class DataConfig:
    """The images to train and validate on.

    Args:
        name: a data set from `seglib data list`, the path to your own folder, or several joined by +: horses+humans
        root: folder that contains the data sets
        list_name: split list, for example seed27 for horses; data/README.md describes the lists
        train_split: split to train on
        val_split: split to validate on; the best checkpoint is selected by the score on this split
        options: options of synthetic data sets (length, size, seed)
        channels: number of channels of images that are not RGB; 0 means RGB, or the number in classes.yaml
        cache_mb: memory in MiB for the decoded images of each split, divided among the worker processes
    """

    name: str = "horses"
    root: str = "data"
    list_name: str = "default"
    train_split: str = "train"
    val_split: str = "val"
    options: dict[str, Option] = field(default_factory=dict)
    channels: Byte = 0
    cache_mb: CountOrZero = 1024


@dataclass
class AugmentConfig:
    """Augmentation of the training images; 0 turns a transform off, except for the crops.

    Args:
        crop_sizes: side lengths of the square crops in pixels; each size is used in turn for an equal part of the run
        crop_area: smallest and largest area of a crop before it is resized, as a fraction of the image
        crop_ratio: smallest and largest aspect ratio (width / height) of a crop before it is resized
        flip: probability of a horizontal flip
        rotate: maximum rotation in degrees, in either direction
        color_jitter: strength of random changes in brightness, contrast, saturation and (a fifth as strong) hue
        grayscale: probability of converting to grayscale
        blur: probability of a slight Gaussian blur
        noise: probability of adding sensor noise
    """

    crop_sizes: list[CropSize] = field(default_factory=lambda: [224])
    crop_area: tuple[AreaShare, AreaShare] = (0.3, 1.0)
    crop_ratio: tuple[Positive, Positive] = (0.75, 1.3333)
    flip: ClosedUnitInterval = 0.5
    rotate: Angle = 15.0
    color_jitter: ClosedUnitInterval = 0.4
    grayscale: ClosedUnitInterval = 0.1
    blur: ClosedUnitInterval = 0.1
    noise: ClosedUnitInterval = 0.1


@dataclass
class ModelConfig:
    """The network.

    Args:
        name: architecture, as listed in docs/networks.md or by `seglib models`
        options: options of the architecture, as in `seglib.models.create`
        init_from: initial weights: the name of released weights, a .safetensors file, imagenet or coco; null for random
        freeze_encoder_epochs: number of initial epochs during which the encoder is frozen
    """

    name: str = "unet"
    options: dict[str, Option] = field(default_factory=dict)
    init_from: str | None = None
    freeze_encoder_epochs: CountOrZero = 0


@dataclass
class LossConfig:
    """The loss, which is a weighted sum of terms.

    Args:
        terms: weight of each term; the available terms are ce, bce, dice, focal, lovasz, ohem and boundary
        class_weights: one weight per class, or sqrt_freq or inv_freq (from the pixel counts), or hrnet (for Cityscapes)
        options: options of the terms, as in {focal: {gamma: 2}, ohem: {threshold: 0.9, min_kept: 131072}}
        output_weights: one weight per output of a network with several outputs; null uses the network's default weights
    """

    terms: dict[str, Finite] = field(default_factory=lambda: {"ce": 1.0, "dice": 1.0})
    class_weights: Literal["none", "sqrt_freq", "inv_freq", "hrnet"] | list[Finite] | None = "none"
    options: dict[str, dict[str, Finite]] = field(default_factory=dict)
    output_weights: list[Finite] | None = None


@dataclass
class DistillationConfig:
    """Knowledge distillation, in which the network also learns from the predictions of trained networks.

    Args:
        teachers: released weights by name or .safetensors files; the mean of their predictions is the soft target
        weight: weight of the distillation loss, relative to the loss on the labels
        temperature: temperature of the softmax; values above 1 increase the influence of the less likely classes
    """

    teachers: list[str] = field(default_factory=list)
    weight: NonNegative = 1.0
    temperature: Positive = 2.0


@dataclass
class OptimizerConfig:
    """The optimizer.

    Args:
        name: adamw, adam or sgd
        lr: peak learning rate
        weight_decay: weight decay of the convolution weights (biases and normalization layers have none)
        momentum: momentum of sgd
        max_grad_norm: maximum gradient norm for gradient clipping; 0 turns clipping off
        encoder_lr_factor: learning rate of the encoder relative to lr; use a value below 1 for a pre-trained encoder
    """

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: Positive = 2e-3
    weight_decay: NonNegative = 0.01
    momentum: BelowOne = 0.9
    max_grad_norm: NonNegative = 1.0
    encoder_lr_factor: Positive = 1.0


@dataclass
class ScheduleConfig:
    """The learning-rate schedule.

    Args:
        name: decay of the learning rate after the warm-up: cosine, poly or constant
        warmup: fraction of all steps during which the learning rate increases linearly
        power: exponent of the poly schedule
    """

    name: Literal["cosine", "poly", "constant"] = "cosine"
    warmup: BelowOne = 0.1
    power: Positive = 0.9


@dataclass
class InferenceConfig:
    """Preparation of images for prediction, which is stored with the weights.

    Args:
        longest_side: length in pixels to which the longer side of each image is resized; 0 keeps the original size
        flip: whether to use test-time augmentation with a horizontal flip
        scales: scales for test-time augmentation, relative to longest_side
        mean: mean of each channel, only for images that are not RGB; if empty, computed from the training images
        std: standard deviation of each channel, only for images that are not RGB; if empty, computed like mean
    """

    longest_side: CountOrZero = 256
    flip: bool = False
    scales: list[Scale] = field(default_factory=lambda: [1.0])
    mean: list[Finite] = field(default_factory=list)
    std: list[Positive] = field(default_factory=list)


@dataclass
class Config:
    """The options of a training run.

    Args:
        output_dir: folder for checkpoints and history
        epochs: number of epochs; may be increased when a run is resumed
        batch_size: number of images per optimizer step, in total across all processes
        accumulation_steps: number of parts into which a batch is split to save memory (gradient accumulation)
        seed: random seed for the initial weights, the image order and the augmentation
        num_classes: number of output channels; 0 means one per class, 1 means one sigmoid output for two classes
        ema: decay of the exponential moving average (EMA) of the weights; 0 turns averaging off
        amp: automatic mixed precision: auto, off, bf16 or fp16; auto lowers the precision only where this is faster
        device: cpu, cuda, mps, or auto for the best available device
        num_workers: number of processes that load images; -1 means 0 on a CPU and 4 on other devices
        eval_interval: number of epochs between validations
        metric: validation score that selects the best checkpoint: miou, boundary_iou, pixel_accuracy or foreground_iou
        selection: best keeps the weights of the epoch with the best metric; last keeps those of the last epoch
        checkpoint_minutes: minutes between checkpoints within an epoch; 0 saves only at the end of each epoch
        compile: use torch.compile, which takes a minute or more at startup but makes the training steps faster
        tensorboard: also write the history for TensorBoard
        profile_steps: number of steps to profile after the first three; the profile is written to trace.json
    """

    output_dir: str = "runs/unnamed"
    epochs: Count = 30
    batch_size: Count = 8
    accumulation_steps: Count = 1
    seed: Seed = 0
    num_classes: Byte = 0
    ema: BelowOne = 0.998
    amp: Literal["auto", "off", "bf16", "fp16"] = "auto"
    device: str = "auto"
    num_workers: Workers = -1
    eval_interval: Count = 1
    metric: Literal["miou", "boundary_iou", "pixel_accuracy", "foreground_iou"] = "miou"
    selection: Literal["best", "last"] = "best"
    checkpoint_minutes: NonNegative = 10.0
    compile: bool = False
    tensorboard: bool = False
    profile_steps: CountOrZero = 0
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)


class ConfigError(SeglibError, ValueError):
    """Raised if a configuration is invalid.  The message names the option and the problem, and says how to fix it."""


@functools.cache  # building the parser takes longer than using it
def build_parser() -> jsonargparse.ArgumentParser:
    """Build the command-line parser for a `Config`, including the help texts."""
    parser = jsonargparse.ArgumentParser(prog="seglib train CONFIG.yaml", exit_on_error=False, allow_abbrev=False)
    parser.add_class_arguments(Config, None)
    return parser


def load_config(file: Path | str | None = None, overrides: list[str] | None = None) -> Config:
    """Read a configuration from a YAML file. Options that are not in the file keep their default values.

    Args:
        file: The YAML file. With None, all options have their default values.
        overrides: Options from the command line, such as "--optimizer.lr=1e-3", which override those in the file.

    Raises:
        ConfigError: If the file cannot be read, an option is unknown, or a value has the wrong type or is out of range.
    """
    try:
        text = Path(file).read_text(encoding="utf-8") if file else ""
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such configuration file; configs/ has the released ones.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: the configuration cannot be read ({error}).") from None
    return parse_config(text, overrides or [], str(file))


def parse_config(text: str | Mapping, overrides: list[str] = (), where: str = "the configuration") -> Config:
    """Read a configuration from YAML text or nested dictionaries, and from command-line options.

    Args:
        text: The YAML text, or the same content as nested dictionaries.
        overrides: Options from the command line, as in `load_config`.
        where: A description of the source for error messages, such as the name of the file.

    Raises:
        ConfigError: If an option is unknown, or a value has the wrong type or is out of range.
    """
    try:
        values = (read_yaml(text) if isinstance(text, str) else text) or {}
        if not isinstance(values, Mapping):
            raise ValueError(f"must be lines like 'epochs: 3', but is '{str(values)[:40]}'")
        for option in flatten(values):
            if hint := suggest_option(option):
                raise ConfigError(f"{option[:80]} is not an option; {hint}")
        parsed = build_parser().parse_object(copy.deepcopy(dict(values)))  # the parser modifies its argument
        if overrides:
            where = f"{where} with {' '.join(overrides)}" if values else " ".join(overrides)
            for override in overrides:
                _check_override(override)
            parsed = build_parser().parse_args(list(overrides), namespace=parsed)
        # JSON converts the parser's number types, which cannot be pickled or saved as YAML, to plain numbers.
        config = _build(Config, json.loads(json.dumps(parsed.as_dict())))
        _lower_learning_rate(config, values, overrides)
        _check_combinations(config)
    except ConfigError:
        raise
    except (jsonargparse.ArgumentError, yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise ConfigError(f"{where}: {_explain(error)}") from None
    return config


def _lower_learning_rate(config: Config, values: Mapping, overrides: list[str]) -> None:
    """Divide the learning rate by ten if training starts from a .safetensors file.

    The learning rate is not changed if `optimizer.lr` is given on the command line, or if the configuration file sets
    both `optimizer.lr` and `model.init_from`.
    """
    given = {override.partition("=")[0] for override in overrides}
    rate_follows = "--model.init_from" not in given and "optimizer.lr" in flatten(values)
    if not (config.model.init_from or "").endswith(".safetensors") or "--optimizer.lr" in given or rate_follows:
        return
    config.optimizer.lr /= 10
    if os.environ.get("RANK", "0") == "0":  # print only once under torchrun
        reason = "a tenth of the configured value, because model.init_from is a .safetensors file"
        print(f"optimizer.lr is {config.optimizer.lr:g}, {reason}; --optimizer.lr overrides it.", file=sys.stderr)


def _explain(error: Exception) -> str:
    """Convert a parser error to a one-line message that states the allowed range if a value is out of range."""
    message = re.sub(r'Parser key "([^"]+)":', r"\1:", " ".join(str(error).split()))
    pattern = r"([\w.]+): Not of type \w+: (.*) does not conform to restriction (.*)"
    if not (match := re.fullmatch(pattern, message)):
        return re.sub(r"Not of type \w+: ", "", message)[:400]
    option, value, restriction = match.groups()
    limits = re.sub(r"v([<>]=?)", lambda comparison: COMPARISONS[comparison[1]], restriction)
    limits = limits.replace("above -inf and below inf", "finite").replace("below inf", "finite")
    return f"{option} is {value[:40]}, but must be {limits}."


def _check_override(override: str) -> None:
    """Raise ConfigError for a command-line argument with an unknown option, such as "--epoch=3"."""
    name, _, value = override.removeprefix("--").partition("=")
    if not override.startswith("--") or (_list_group(name) and value.lstrip().startswith("{")):
        return  # the value of the previous argument, or a group of options
    if hint := suggest_option(name.removesuffix("+"), "--"):  # NAME+=VALUE adds to a list
        raise ConfigError(f"--{name} is not an option; {hint}")


def _list_options(kind: type = Config, prefix: str = "") -> dict[str, bool]:
    """Return {option: whether its value is a dictionary} for every option, such as "optimizer.lr"."""
    options = {}
    for option in fields(kind):
        path = prefix + option.name
        is_group = is_dataclass(option.type)
        options |= _list_options(option.type, f"{path}.") if is_group else {path: get_origin(option.type) is dict}
    return options


def _list_group(path: str) -> list[str]:
    return [name for name in _list_options() if name.startswith(f"{path}.")]


def suggest_option(path: str, dashes: str = "") -> str | None:
    """Suggest what to do about an unknown option.

    Args:
        path: The full name of the option, such as "optimizer.lr".
        dashes: The prefix of option names in the suggestion, such as "--".

    Returns:
        A phrase for an error message, or None if `path` is an option.
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
    same_name = [name for name in options if name.rpartition(".")[2] == path.rpartition(".")[2]]
    near = [dashes + name for name in same_name or difflib.get_close_matches(path, options, 3, 0.5)]
    return f"did you mean {' or '.join(near)}?" if near else "`seglib train --help` lists them."


def _build(kind: type, values: dict, prefix: str = ""):
    """Build an instance of the dataclass `kind` from values checked by the parser, which does not reject null."""
    arguments = {}
    for option in fields(kind):
        value, path = values[option.name], prefix + option.name
        if is_dataclass(option.type):
            value = _build(option.type, value, f"{path}.")
        elif value is None and NoneType not in get_args(option.type):
            raise ConfigError(f"{path} is null, but must have a value; leave it out to take the default.")
        arguments[option.name] = tuple(value) if get_origin(option.type) is tuple else value
    return kind(**arguments)


def _check_combinations(config: Config) -> None:
    """Raise ConfigError for invalid values that the field types alone cannot rule out."""
    augment, inference, data, model = config.augment, config.inference, config.data, config.model
    if config.loss.class_weights is None:  # null in the first released weights
        config.loss.class_weights = "none"
    checks = {
        "output_dir": ("empty", bool(config.output_dir.strip()), "the name of a folder"),
        "augment.crop_sizes": (augment.crop_sizes, bool(augment.crop_sizes), "a list of sizes"),
        "augment.crop_area": (augment.crop_area, augment.crop_area[0] <= augment.crop_area[1], "in rising order"),
        "augment.crop_ratio": (augment.crop_ratio, augment.crop_ratio[0] <= augment.crop_ratio[1], "in rising order"),
        "inference.scales": (inference.scales, bool(inference.scales), "a list of factors"),
        "inference.std": (inference.std, len(inference.std) == len(inference.mean), "as long as inference.mean"),
        "model.options": (model.options, "in_channels" not in model.options, "without in_channels; set data.channels"),
        "data.options": (data.options, data.options.keys() <= {"length", "size", "seed"}, "of length, size and seed"),
    }
    for option, (value, is_good, wanted) in checks.items():
        if not is_good:
            raise ConfigError(f"{option} is {value}, but must be {wanted}.")


def flatten(values: Mapping, prefix: str = "") -> dict:
    """Convert a nested dictionary such as {"a": {"b": 1}} to {"a.b": 1}. Empty dictionaries are left out."""
    options = {}
    for name, value in values.items():
        path = f"{prefix}{name}"
        options |= flatten(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return options


def upgrade_config(values: Mapping) -> dict:
    """Convert a nested configuration from any version of seglib to the current names of options and split lists."""
    upgraded = _upgrade_names(values, "")
    data = upgraded.get("data")
    before_0_2 = "run" in values  # in these versions, the split list seed27 of horses was called "default"
    if before_0_2 and isinstance(data, dict) and (data.get("name"), data.get("list_name")) == ("horses", "default"):
        upgraded["data"] = data | {"list_name": "seed27"}
    return upgraded


def _upgrade_names(values: Mapping, prefix: str) -> dict:
    upgraded = {}
    for name, value in values.items():
        path = f"{prefix}{name}"
        if path not in REMOVED:
            new_name = RENAMED.get(path, path).rpartition(".")[2]
            upgraded[new_name] = _upgrade_names(value, f"{path}.") if isinstance(value, Mapping) else value
    return upgraded


def config_to_dict(config: Config) -> dict:
    """Convert a configuration to nested dictionaries of plain values, for YAML, JSON and checkpoints."""
    return json.loads(json.dumps(asdict(config)))


def config_to_yaml(config: Config) -> str:
    """Convert a configuration to YAML with a comment for each option. `load_config` can read the result."""
    head = "# All options of a training run. A file needs only the options that differ from the defaults.\n\n"
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
