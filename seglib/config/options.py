"""The options of a training run: one tree of dataclasses.

The types of the fields hold the allowed values. The `Args` of each docstring are the help of `seglib train --help` and
the comments in configs/default.yaml.
"""

from dataclasses import dataclass, field
from math import inf
from typing import Literal

from jsonargparse.typing import ClosedUnitInterval, restricted_number_type

Count = restricted_number_type("Count", int, [(">=", 1), ("<=", 10**6)])
CountOrZero = restricted_number_type("CountOrZero", int, [(">=", 0), ("<=", 10**6)])
Workers = restricted_number_type("Workers", int, [(">=", -1), ("<=", 256)])
Classes = restricted_number_type("Classes", int, [(">=", 0), ("<=", 255)])
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
        name: data set of `seglib data list`, the path of your own folder, or several joined by +, as in horses+humans
        root: folder that contains the data sets
        list_name: name of the committed split list
        train_split: split to train on
        val_split: split to validate on; the best checkpoint is chosen by its score
        options: options of synthetic data sets (length, size, seed)
        cache_mb: memory for decoded images of each split, in MiB, shared by the loading processes
    """

    name: str = "horses"
    root: str = "data"
    list_name: str = "default"
    train_split: str = "train"
    val_split: str = "val"
    options: dict[str, Option] = field(default_factory=dict)
    cache_mb: CountOrZero = 1024


@dataclass
class AugmentConfig:
    """Augmentation of the training images; 0 turns a transform off.

    Args:
        crop_sizes: side of the square crops in pixels; several share the epochs in order (fewer epochs skip some)
        crop_area: smallest and largest area of a crop before it is resized, as a fraction of the image
        crop_ratio: smallest and largest aspect ratio (width / height) of a crop before it is resized
        flip: probability of a horizontal flip
        rotate: largest rotation in degrees, in both directions
        color_jitter: strength of random changes of brightness, contrast and saturation (hue gets a fifth of it)
        grayscale: probability of converting to grayscale
        blur: probability of a slight Gaussian blur
        noise: probability of added sensor noise
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
        name: architecture, one of `seglib.models.names()`
        options: options of the architecture, as in `seglib.models.create`
        init_from: initial weights, either released weights by name, a .safetensors file, or imagenet or coco
        freeze_encoder_epochs: number of first epochs in which the encoder is frozen and only the rest is trained
    """

    name: str = "unet"
    options: dict[str, Option] = field(default_factory=dict)
    init_from: str | None = None
    freeze_encoder_epochs: CountOrZero = 0


@dataclass
class LossConfig:
    """The loss: a weighted sum of terms.

    Args:
        terms: weight of each term; terms are ce, bce, dice, focal, lovasz, ohem, boundary
        class_weights: one weight per class, or a rule to compute them from the pixel counts of the training set
        options: options of single terms, as in {focal: {gamma: 2}, ohem: {threshold: 0.9, min_kept: 131072}}
        output_weights: one weight per output, for networks with several outputs; null takes the network's own weights
    """

    terms: dict[str, Finite] = field(default_factory=lambda: {"ce": 1.0, "dice": 1.0})
    class_weights: Literal["none", "sqrt_freq", "inv_freq", "hrnet"] | list[Finite] | None = "none"
    options: dict[str, dict[str, Finite]] = field(default_factory=dict)
    output_weights: list[Finite] | None = None


@dataclass
class DistillationConfig:
    """Knowledge distillation: the network also learns from the predictions of trained networks.

    Args:
        teachers: released weights by name or .safetensors files; the mean of their predictions is the soft target
        weight: weight of the distillation loss beside the loss of the labels
        temperature: temperature of the softmax; above 1 it brings out the less likely classes
    """

    teachers: list[str] = field(default_factory=list)
    weight: NonNegative = 1.0
    temperature: Positive = 2.0


@dataclass
class OptimizerConfig:
    """The optimizer.

    Args:
        name: optimizer
        lr: peak learning rate
        weight_decay: weight decay of the convolution weights (biases and normalization layers have none)
        momentum: momentum of sgd
        max_grad_norm: gradients are clipped to this norm; 0 turns clipping off
        encoder_lr_factor: learning rate of the encoder relative to lr; below 1 for pre-trained encoders
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
        name: shape of the decay after the warm-up
        warmup: fraction of all steps in which the learning rate rises linearly
        power: exponent of the poly schedule
    """

    name: Literal["cosine", "poly", "constant"] = "cosine"
    warmup: BelowOne = 0.1
    power: Positive = 0.9


@dataclass
class InferenceConfig:
    """How images are prepared for prediction; stored with the weights.

    Args:
        longest_side: images are resized to this length of the longer side, in pixels; 0 keeps the original size
        flip: test-time augmentation with a horizontal flip
        scales: test-time augmentation with several scales, as factors of longest_side
    """

    longest_side: CountOrZero = 256
    flip: bool = False
    scales: list[Scale] = field(default_factory=lambda: [1.0])


@dataclass
class Config:
    """The options of a training run.

    Args:
        output_dir: folder for checkpoints and history
        epochs: number of epochs; may be raised when a run is resumed
        batch_size: images per optimizer step, over all processes
        accumulation_steps: number of parts into which a batch is split to save memory (gradient accumulation)
        seed: random seed of weights, order of the images and augmentation
        num_classes: number of outputs; 0 takes the classes of the data set, 1 is one sigmoid output for two classes
        ema: decay of the exponential moving average of the weights; 0 turns it off
        amp: automatic mixed precision; auto uses it where the hardware is faster with it
        device: cpu, cuda, mps, or auto for the best one available
        num_workers: processes that load images; -1 chooses a number that suits the device
        eval_interval: epochs between validations
        metric: validation score that chooses the best checkpoint
        selection: epoch whose weights are kept, the best by metric, or the last, and then validation chooses nothing
        checkpoint_minutes: minutes between checkpoints within an epoch; 0 saves only at the end of each epoch
        compile: use torch.compile; takes a minute or more at the start, then training is faster
        tensorboard: also write the history for TensorBoard
        profile_steps: profile this many steps after the first three and write trace.json
    """

    output_dir: str = "runs/unnamed"
    epochs: Count = 30
    batch_size: Count = 8
    accumulation_steps: Count = 1
    seed: Seed = 0
    num_classes: Classes = 0
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
