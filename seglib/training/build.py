"""Functions that build the parts of a training run from its configuration."""

import difflib
import signal
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import torch
from torch import nn
from torch.utils.data import DataLoader

from .. import data, distributed, models, weights
from ..config import Config, ModelConfig
from ..data import SegmentationDataset
from ..data.sampler import DistributedBatchSampler, TrainingBatchSampler, TrainingDataset
from ..inference import pick_device
from ..losses import SegmentationLoss, class_weights
from ..models import pretrained
from .errors import TrainingError
from .logger import print_line


def pick_training_device(config: Config) -> torch.device:
    """Return the device of this process.  Under torchrun with CUDA, each process has its own GPU."""
    one_gpu_each = distributed.is_torchrun() and config.device in ("auto", "cuda") and torch.cuda.is_available()
    return pick_device(f"cuda:{distributed.local_rank()}" if one_gpu_each else config.device)


def pick_memory_format(model: nn.Module, device: torch.device, amp_dtype: torch.dtype | None) -> torch.memory_format:
    """Return the memory format in which `model` is trained: channels last, with one exception.

    In float32 on a CPU without AVX-512, the backward pass of convolutions with many channels at full resolution is slow
    in channels last: U-Net and U2-NetP train 1.6 times as fast in PyTorch's default format (docs/benchmarks.md).
    """
    on_cpu = device.type == "cpu" and amp_dtype is None and torch.backends.cpu.get_cpu_capability() == "AVX2"
    wide = on_cpu and isinstance(model, models.UNet | models.U2Net)
    return torch.contiguous_format if wide else torch.channels_last


def pick_num_workers(config: Config, device: torch.device) -> int:
    """Return the number of worker processes.

    The default on a CPU is 0, because worker processes would compete with training for the same cores.
    """
    return config.num_workers if config.num_workers >= 0 else 0 if device.type == "cpu" else 4


def load_datasets(config: Config, num_workers: int) -> tuple[SegmentationDataset, SegmentationDataset]:
    """Return the training set and the validation set, each with a cache of `data.cache_mb` MiB across all workers."""
    options, cache_bytes = config.data, (config.data.cache_mb << 20) // max(1, num_workers)
    shared = (options.root, options.list_name, cache_bytes, options.channels)
    splits = (options.train_split, options.val_split)
    return tuple(data.load(options.name, split, *shared, **options.options) for split in splits)


def prepare_channels(config: Config, train_set: SegmentationDataset) -> Config:
    """Return the configuration, adapted to the channels of the training images.

    For RGB images, the configuration is unchanged.  For other images, the mean and standard deviation of each channel
    are added if they are not given, and augmentation that requires RGB is turned off.

    Raises:
        TrainingError: if `inference.mean` has the wrong number of channels.
    """
    inference, channels = config.inference, train_set.channels
    if len(inference.mean) not in (0, channels):
        images = f"the images of {train_set.name} have {channels} channels" if channels else "images are RGB"
        raise TrainingError(f"inference.mean has {len(inference.mean)} numbers, but {images}; leave it out.")
    if not channels:
        return config
    off = [name for name in ("color_jitter", "grayscale", "blur", "noise") if getattr(config.augment, name)]
    if off:
        print_line(f"images of {channels} channels: augment.{', '.join(off)} are for RGB and turned off")
    mean, std = (inference.mean, inference.std) if inference.mean else train_set.channel_statistics()
    inference, augment = replace(inference, mean=mean, std=std), replace(config.augment, **dict.fromkeys(off, 0.0))
    return replace(config, inference=inference, augment=augment)


def make_train_loader(
    config: Config, train_set: SegmentationDataset, sampler: TrainingBatchSampler, num_workers: int
) -> DataLoader:
    """Return a data loader for this process's part of each batch: images (n, S, S, C) and masks (n, S, S).

    RGB images are uint8; images with other channels are float32.
    """
    return DataLoader(
        TrainingDataset(train_set, sampler, config),
        batch_sampler=DistributedBatchSampler(sampler, distributed.rank(), distributed.world_size()),
        pin_memory=pick_training_device(config).type == "cuda",
        **_worker_options(num_workers),
    )


def make_val_loader(config: Config, val_set: SegmentationDataset, num_workers: int) -> DataLoader:
    """Return a data loader for this process's validation images: lists of images (H, W, C) and masks (H, W)."""
    rank, world_size = distributed.rank(), distributed.world_size()
    return DataLoader(
        val_set,
        sampler=range(rank, len(val_set), world_size),
        batch_size=max(1, config.batch_size // world_size),
        collate_fn=_collate,
        **_worker_options(num_workers),
    )


def _worker_options(num_workers: int) -> dict:
    return {"num_workers": num_workers, "worker_init_fn": _start_worker, "persistent_workers": num_workers > 0}


def _collate(items: list[dict]) -> tuple[list, list]:
    return [item["image"] for item in items], [item["mask"] for item in items]


def _start_worker(worker_id: int) -> None:
    """Make a worker process ignore Ctrl-C, which a terminal sends to every process, and use a single thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)


def pick_num_classes(config: Config, train_set: SegmentationDataset) -> int:
    """Return the number of output channels.

    Raises:
        TrainingError: if `num_classes` or `metric` in the configuration does not match the data set.
    """
    num_classes = config.num_classes or train_set.num_classes
    if num_classes != train_set.num_classes and (num_classes, train_set.num_classes) != (1, 2):
        raise TrainingError(
            f"num_classes is {num_classes}, but {train_set.name} has {train_set.num_classes} classes; "
            "leave it at 0 to use the data set's number."
        )
    if config.metric == "foreground_iou" and train_set.num_classes != 2:
        raise TrainingError(f"metric is foreground_iou, but {train_set.name} has more classes; choose miou.")
    return num_classes


def make_model(config: ModelConfig, num_classes: int, in_channels: int = 3) -> nn.Module:
    """Build the network with its initial weights, and report on stderr which weights were loaded."""
    start, public = config.init_from, pretrained.choices(config.name)
    if start is None or start in public or config.name not in models.names():
        return models.create(config.name, num_classes, in_channels, start, **config.options)
    released = weights.names()
    if start not in released and not start.endswith(".safetensors"):
        near = difflib.get_close_matches(start, [*released, *public], 3, 0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"released are {', '.join(released)}."
        raise TrainingError(
            f"model.init_from is '{start}', which is neither a .safetensors file, nor released weights, nor public "
            f"ones of {config.name} ({', '.join(public) or 'there are none'}); {hint}"
        )
    model = models.create(config.name, num_classes, in_channels, **config.options)
    file = Path(start) if start.endswith(".safetensors") else weights.find(start)
    tensors, metadata = weights.read_tensors(file)
    try:
        loaded = models.load_weights(model, tensors)
    except models.CheckpointError as error:
        raise TrainingError(f"model.init_from: {file}: {error}{_suggest_options(metadata)}") from None
    if distributed.rank() == 0:
        print(f"{file.name}: {loaded}", file=sys.stderr)
    return model


def _suggest_options(metadata: dict) -> str:
    """Return a hint that names the options of the network in the file's metadata, or "" if the metadata has none."""
    saved = metadata.get("config", {}).get("model", {})
    if not isinstance(saved, dict) or "name" not in saved:
        return ""
    options = {"name": saved["name"]} | {f"options.{name}": value for name, value in saved.get("options", {}).items()}
    return " These weights fit " + " ".join(f"--model.{name}={value}" for name, value in options.items())


def make_loss(config: Config, model: nn.Module, train_set: SegmentationDataset) -> SegmentationLoss:
    """Build the loss.  If class weights depend on class frequencies, the pixels of all training masks are counted."""
    options, factors = config.loss, config.loss.class_weights
    if isinstance(factors, str):
        by_frequency = factors in ("sqrt_freq", "inv_freq")  # the other schemes do not need pixel counts
        factors = class_weights(factors, train_set.pixel_counts() if by_frequency else [0] * train_set.num_classes)
    default = getattr(model, "aux_loss_weights", (1.0,))
    output_weights = options.output_weights or default
    if len(output_weights) != len(default):
        raise TrainingError(
            f"loss.output_weights has {len(output_weights)} factors, but {config.model.name} has {len(default)} "
            "outputs; give one for each output, or leave it out."
        )
    return SegmentationLoss(options.terms, factors, 255, output_weights, options.options, distributed.all_reduce_sum)


def check_encoder_options(config: Config, model: nn.Module) -> None:
    """Raise TrainingError if encoder options are set but not supported by the network or under torchrun."""
    for option, value, default in (
        ("optimizer.encoder_lr_factor", config.optimizer.encoder_lr_factor, 1),
        ("model.freeze_encoder_epochs", config.model.freeze_encoder_epochs, 0),
    ):
        if value != default and not hasattr(model, "encoder_prefixes"):
            raise TrainingError(
                f"{option} is {value}, but {config.model.name} has no separate encoder; leave it at {default}."
            )
    if config.model.freeze_encoder_epochs and distributed.world_size() > 1:
        raise TrainingError("model.freeze_encoder_epochs works in one process only; leave it at 0 under torchrun.")
