"""Define the benchmarks in the order of the table, with their names, titles and measuring functions."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from . import engines, large, memory, metrics, networks, parts, pipeline, runs
from .measure import ONE_THREAD


@dataclass(frozen=True)
class Entry:
    """One benchmark; `measure()` returns its results. `optional` entries take minutes and only run if named."""

    name: str
    group: str
    title: str
    measure: Callable[[], dict]
    optional: bool = False
    aim: str = ""


AIMS = {"224x224x2": "1.5", "360x480x11": "5", "1024x2048x19": "8"}


def entries(root: Path) -> list[Entry]:
    """Return all entries for this machine. `root` is the folder of the data sets."""
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    result = [
        Entry(
            f"boundary-iou-{size}",
            "metrics",
            f"Boundary IoU, {_shown(size)}",
            partial(metrics.boundary, size),
            aim=AIMS[size],
        )
        for size in metrics.SIZES
    ]
    for device in devices:
        result += _confusion(device)
    result += _pipeline(root)
    for device in devices:
        result += _networks(device)
    result.append(Entry("two-processes", "scaling", "training in two processes", runs.two_processes))
    for name in engines.NAMES:
        for engine, title in engines.ENGINES.items():
            title = f"{name}: inference with {title}"
            measured = partial(engines.speed, root, name, engine)
            result.append(Entry(f"engine-{engine}-{name}", "engines", title, measured, aim="2"))
    for part, what in (("read", "reading an image"), ("compute", "inference"), ("write", "writing a mask")):
        title = f"prediction: {what}"
        result.append(Entry(f"predict-{part}", "scaling", title, partial(parts.prediction, root, part)))
    result.append(Entry("listing", "scaling", "listing files", parts.listing))
    result.append(Entry("shuffling", "scaling", "shuffling an epoch", parts.shuffling))
    for side in large.SIDES:
        title = f"prediction of {side:,} x {side:,} pixels"
        result.append(Entry(f"large-{side}", "scaling", title, partial(large.measured, side)))
    result.append(
        Entry(
            "quality",
            "quality",
            f"training from scratch to mIoU {runs.AIM_MIOU:.2f} on horses",
            partial(runs.quality, root),
            optional=True,
            aim="3 minutes",
        )
    )
    return result


def _shown(size: str) -> str:
    height, width, classes = metrics.SIZES[size]
    return f"{height}x{width}, {classes} classes"


def _on(device: str) -> tuple[str, str]:
    """Return the suffixes of names and titles for a device."""
    return ("", "") if device == "cpu" else (f"-{device}", ", on the GPU")


def _confusion(device: str) -> list[Entry]:
    on, where = _on(device)
    result = []
    for name, title, measure, aim in (
        ("confusion", "confusion matrix", metrics.confusion, "2"),
        ("miou", "mIoU", metrics.jaccard, ""),
    ):
        for size in metrics.SIZES:
            title_here = f"{title}, {_shown(size)}{where}"
            result.append(Entry(f"{name}-{size}{on}", "metrics", title_here, partial(measure, size, device), aim=aim))
    return result


def _pipeline(root: Path) -> list[Entry]:
    rows = [
        (
            "pipeline",
            "input-pipeline",
            "input pipeline, from the second epoch on",
            "5",
            "a `Dataset` that decodes with Pillow at each access and augments with torchvision v2",
            True,
        ),
        (
            "decoding",
            "decoding-once",
            "input pipeline with a cache of decoded images",
            "",
            "our input pipeline without the cache",
            False,
        ),
        (
            "augmentation",
            "augmentation",
            "augmentation of decoded images",
            "",
            "torchvision v2 on tensors, with the same transforms and strengths",
            True,
        ),
    ]

    def measured(which: str, peer: str, library: bool) -> dict:
        note = f"{pipeline.IMAGES} images of horses, crops of {pipeline.SIDE}x{pipeline.SIDE}, {ONE_THREAD}"
        return pipeline.measured(root, which) | {"peer_is": peer, "library": library, "note": note}

    return [
        Entry(name, "input", title, partial(measured, which, peer, library), aim=aim)
        for which, name, title, aim, peer, library in rows
    ]


def _networks(device: str) -> list[Entry]:
    on, where = _on(device)
    result = [Entry(f"matmul{on}", "networks", f"large matrix multiplication{where}", partial(networks.peak, device))]
    for name, pair in networks.PAIRS.items():
        for what, work in (("train", "training step"), ("infer", "inference")):
            title = f"{pair.title}: {work}{where}"
            result.append(Entry(f"{name}-{what}{on}", "networks", title, partial(networks.speed, name, what, device)))
        if pair.alike:
            continue
        title = f"{pair.title}: memory of a training step{where}"
        result.append(Entry(f"{name}-memory{on}", "networks", title, partial(memory.training, name, device)))
    return result
