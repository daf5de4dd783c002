"""What a training run can be told: one tree of dataclasses.

The `Args` of each docstring are the help of `seglib train --help` and the comments in
configs/default.yaml.
"""

from dataclasses import dataclass, field
from typing import Literal

Option = bool | int | float | str | list[int]


@dataclass
class DataConfig:
    """Which images.

    Args:
        name: a name from `seglib data list`, a folder of your own, or several as one: horses+humans
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
        color_jitter: strength of the changes of brightness, contrast, saturation (hue: a fifth of it)
        grayscale: probability of removing all colour
        blur: probability of a slight blur
        noise: probability of sensor noise
    """

    crop_sizes: list[int] = field(default_factory=lambda: [224])
    crop_area: tuple[float, float] = (0.3, 1.0)
    crop_ratio: tuple[float, float] = (0.75, 1.3333)
    flip: float = 0.5
    rotate: float = 15.0
    color_jitter: float = 0.4
    grayscale: float = 0.1
    blur: float = 0.1
    noise: float = 0.1


@dataclass
class ModelConfig:
    """Which network.

    Args:
        name: architecture
        options: its options, as in `seglib.models.create`
        init_from: weights to start from: released ones by name, a .safetensors file, or public ones (imagenet, coco)
    """

    name: str = "unet"
    options: dict[str, Option] = field(default_factory=dict)
    init_from: str | None = None


@dataclass
class LossConfig:
    """What is minimised: a weighted sum of losses.

    Args:
        terms: weight of each loss: ce, bce, dice, focal, lovasz, ohem, boundary
        class_weights: a rule that makes one factor a class from the training set's pixels, or the factors
        options: of single losses: {focal: {gamma: 2}, ohem: {threshold: 0.9, min_kept: 131072}, boundary: {width: 3}}
        output_weights: one factor an output of networks with several; by default the network's own
    """

    terms: dict[str, float] = field(default_factory=lambda: {"ce": 1.0, "dice": 1.0})
    class_weights: Literal["none", "sqrt_freq", "inv_freq", "hrnet"] | list[float] | None = "none"
    options: dict[str, dict[str, float]] = field(default_factory=dict)
    output_weights: list[float] | None = None


@dataclass
class OptimizerConfig:
    """How weights move.

    Args:
        name: optimiser
        lr: highest learning rate
        weight_decay: decay of the convolution weights (biases and normalisation have none)
        momentum: for sgd
        max_grad_norm: largest norm of the gradient; 0 does not clip
    """

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = 2e-3
    weight_decay: float = 0.01
    momentum: float = 0.9
    max_grad_norm: float = 1.0


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
        output_dir: folder for checkpoints and history
        epochs: passes over the training images
        batch_size: images a step, over all processes
        accumulation_steps: parts into which a step's batch is cut where memory is short; their losses are averaged
        seed: seed of the weights, the order and the augmentation
        num_classes: outputs of the network; 0 takes the data set's classes, 1 gives a binary set one sigmoid output
        ema: decay of the running average of the weights; 0 keeps none
        amp: mixed precision; auto uses it where the hardware gains from it and gradients stay right
        device: auto takes cuda, else mps, else cpu
        num_workers: processes that load images; -1 chooses by device
        eval_interval: epochs between measurements on the val split
        metric: the val score by which the best checkpoint is chosen
        checkpoint_minutes: time between checkpoints within an epoch; 0 writes them at its end only
        compile: let torch.compile speed the network up, after a minute or more
        sharding: of several processes each has a copy of the weights (none), or a share (full), to save memory
        tensorboard: write the history for TensorBoard into the run folder too
        profile_steps: steps to profile at the beginning; trace.json in the run folder shows where the time goes
    """

    output_dir: str = "runs/unnamed"
    epochs: int = 30
    batch_size: int = 8
    accumulation_steps: int = 1
    seed: int = 0
    num_classes: int = 0
    ema: float = 0.998
    amp: Literal["auto", "off", "bf16", "fp16"] = "auto"
    device: str = "auto"
    num_workers: int = -1
    eval_interval: int = 1
    metric: Literal["miou", "boundary_iou", "pixel_accuracy", "foreground_iou"] = "miou"
    checkpoint_minutes: float = 10.0
    compile: bool = False
    sharding: Literal["none", "full"] = "none"
    tensorboard: bool = False
    profile_steps: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)
