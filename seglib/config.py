"""What a training run can be told: one tree of dataclasses, read from YAML and changed on the command line.

    config = load("configs/horses-laptop.yaml", ["--epochs=3", "--optimizer.lr=1e-3"])

Nothing in the package reads a configuration by itself: whoever runs things passes it in.
"""

from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Literal

import jsonargparse

Option = bool | int | float | str | list[int]


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the option, the fault and the remedy."""


@dataclass
class DataConfig:
    """Which images.

    Args:
        name: a name from `python -m seglib data list`, or the path of a folder of your own
        root: folder in which the data sets lie
        list_name: which committed split list
        train_split: split to train on
        val_split: split on which checkpoints are chosen
        options: for the drawn sets: length, size, seed
        cache_mb: decoded images of each split kept in memory, in MiB; loading processes share it out
    """

    name: str = "horses"
    root: str = "data"
    list_name: str = "default"
    train_split: str = "train"
    val_split: str = "val"
    options: dict[str, Option] = field(default_factory=dict)
    cache_mb: int = 1024


@dataclass
class AugmentConfig:
    """How training images are varied; each entry switches one transform off at 0.

    Args:
        crop_sizes: side of the square crops in pixels; several sizes share the epochs equally, in this order
        crop_area: smallest and largest share of the image that a crop shows, before it is scaled to its size
        crop_ratio: smallest and largest width : height of the region that a crop shows
        flip: probability of mirroring left and right
        rotate: largest angle in degrees, to either side
        color: strength of the changes of brightness, contrast, saturation (hue: a fifth of it)
        grey: probability of losing all colour
        blur: probability of a slight blur
        noise: probability of sensor noise
    """

    crop_sizes: list[int] = field(default_factory=lambda: [224])
    crop_area: tuple[float, float] = (0.3, 1.0)
    crop_ratio: tuple[float, float] = (0.75, 1.3333)
    flip: float = 0.5
    rotate: float = 15.0
    color: float = 0.4
    grey: float = 0.1
    blur: float = 0.1
    noise: float = 0.1


@dataclass
class ModelConfig:
    """Which network.

    Args:
        name: architecture
        options: its options, as in `seglib.models.create`
    """

    name: str = "unet"
    options: dict[str, Option] = field(default_factory=dict)


@dataclass
class LossConfig:
    """What is minimised: a weighted sum of losses.

    Args:
        terms: weight of each loss: ce, bce, dice
        class_weights: one factor a class for ce (bce: two for background and foreground)
    """

    terms: dict[str, float] = field(default_factory=lambda: {"ce": 1.0, "dice": 1.0})
    class_weights: list[float] | None = None


@dataclass
class OptimizerConfig:
    """How weights move.

    Args:
        name: optimiser
        lr: highest learning rate
        weight_decay: decay of the convolution weights (biases and normalisation have none)
        momentum: for sgd
        clip_norm: largest norm of the gradient; 0 does not clip
    """

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = 2e-3
    weight_decay: float = 0.01
    momentum: float = 0.9
    clip_norm: float = 1.0


@dataclass
class ScheduleConfig:
    """How the learning rate changes, step by step.

    Args:
        name: shape of the descent after the warm-up
        warmup: share of all steps in which the rate rises from near 0
        power: exponent of poly
    """

    name: Literal["cosine", "poly", "constant"] = "cosine"
    warmup: float = 0.1
    power: float = 0.9


@dataclass
class InferenceConfig:
    """How an image is shown to the trained network; it is stored with the weights.

    Args:
        longest_side: images are scaled so that the longer side has this many pixels; 0 keeps their size
        flip: average the probabilities with those of the mirrored image
        scales: factors on longest_side whose probabilities are averaged
    """

    longest_side: int = 256
    flip: bool = False
    scales: list[float] = field(default_factory=lambda: [1.0])


@dataclass
class Config:
    """A training run.

    Args:
        run: folder for checkpoints and history
        epochs: passes over the training images
        batch_size: images a step
        seed: seed of the weights, the order and the augmentation
        num_classes: outputs of the network; 0 takes the data set's classes, 1 gives a binary set one sigmoid output
        ema: decay of the running average of the weights; 0 keeps none
        amp: mixed precision; auto uses it where the hardware gains from it
        device: auto takes cuda, else mps, else cpu
        workers: processes that load images; -1 chooses by device
        evaluate_every: epochs between measurements on the val split
        metric: the val score by which the best checkpoint is chosen
    """

    run: str = "runs/unnamed"
    epochs: int = 30
    batch_size: int = 8
    seed: int = 0
    num_classes: int = 0
    ema: float = 0.998
    amp: Literal["auto", "off", "bf16", "fp16"] = "auto"
    device: str = "auto"
    workers: int = -1
    evaluate_every: int = 1
    metric: Literal["miou", "boundary_iou", "pixel_accuracy", "foreground_iou"] = "miou"
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)


def parser():
    """The command-line parser of a Config, with its help."""
    made = jsonargparse.ArgumentParser(prog="python -m seglib train CONFIG.yaml", exit_on_error=False)
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
    try:
        values = reader.parse_string(text or "{}")
        if overrides:
            where = f"{where} with {' '.join(overrides)}" if text else " ".join(overrides)
        values = reader.parse_args(list(overrides), namespace=values)
    except (jsonargparse.ArgumentError, TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {' '.join(str(error).split())[:400]}") from None
    config = _build(Config, values.as_dict())
    validate(config)
    return config


def _build(kind: type, values: dict):
    """The dataclass `kind` of nested dictionaries whose types the parser has checked."""
    parts = {f.name: f.default_factory for f in fields(kind) if is_dataclass(f.default_factory)}
    return kind(**{name: _build(parts[name], value) if name in parts else value for name, value in values.items()})


def to_dict(config: Config) -> dict:
    """Plain values only, for YAML, JSON and checkpoints."""
    return _plain(asdict(config))


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def validate(config: Config) -> None:
    """ConfigError for the first value out of its range."""
    checks = [
        (config.epochs >= 1, "epochs", config.epochs, "at least 1"),
        (config.batch_size >= 1, "batch_size", config.batch_size, "at least 1"),
        (config.evaluate_every >= 1, "evaluate_every", config.evaluate_every, "at least 1"),
        (config.seed >= 0, "seed", config.seed, "0 or more"),
        (config.workers >= -1, "workers", config.workers, "-1 or more"),
        (config.data.cache_mb >= 0, "data.cache_mb", config.data.cache_mb, "0 or more"),
        (config.optimizer.weight_decay >= 0, "optimizer.weight_decay", config.optimizer.weight_decay, "0 or more"),
        (config.optimizer.clip_norm >= 0, "optimizer.clip_norm", config.optimizer.clip_norm, "0 or more"),
        (0 <= config.optimizer.momentum < 1, "optimizer.momentum", config.optimizer.momentum, "in [0, 1)"),
        (0 <= config.augment.rotate <= 180, "augment.rotate", config.augment.rotate, "in [0, 180]"),
        (0 <= config.augment.color <= 1, "augment.color", config.augment.color, "in [0, 1]"),
        (config.num_classes >= 0, "num_classes", config.num_classes, "0 or more"),
        (0 <= config.ema < 1, "ema", config.ema, "in [0, 1)"),
        (config.optimizer.lr > 0, "optimizer.lr", config.optimizer.lr, "above 0"),
        (0 <= config.schedule.warmup < 1, "schedule.warmup", config.schedule.warmup, "in [0, 1)"),
        (bool(config.augment.crop_sizes), "augment.crop_sizes", config.augment.crop_sizes, "a list of sizes"),
        (min(config.augment.crop_sizes or [32]) >= 32, "augment.crop_sizes", config.augment.crop_sizes,
         "sizes of at least 32"),
        (0 < config.augment.crop_area[0] <= config.augment.crop_area[1] <= 1, "augment.crop_area",
         config.augment.crop_area, "two rising shares in (0, 1]"),
        (0 < config.augment.crop_ratio[0] <= config.augment.crop_ratio[1], "augment.crop_ratio",
         config.augment.crop_ratio, "two rising ratios above 0"),
        (config.inference.longest_side >= 0, "inference.longest_side", config.inference.longest_side, "0 or more"),
        (bool(config.inference.scales) and min(config.inference.scales or [0]) > 0, "inference.scales",
         config.inference.scales, "factors above 0"),
    ]  # fmt: skip
    checks += [
        (0 <= p <= 1, f"augment.{name}", p, "a probability in [0, 1]")
        for name in ("flip", "grey", "blur", "noise")
        for p in [getattr(config.augment, name)]
    ]
    for good, option, value, wanted in checks:
        if not good:
            raise ConfigError(f"{option} is {value}, but must be {wanted}.")
