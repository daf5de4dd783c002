"""Everything that is measured, in the order of the table: names, titles, and who measures it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from . import engines, large, memory, metrics, networks, parts, pipeline, runs
from .measure import ONE_THREAD


@dataclass(frozen=True)
class Entry:
    """`measure()` gives the numbers; `optional` entries take minutes and run only if they are named."""

    name: str
    group: str
    title: str
    measure: Callable[[], dict]
    optional: bool = False
    aim: str = ""


AIMS = {"224x224x2": "1.5", "360x480x11": "5", "1024x2048x19": "8"}


def entries(root: Path) -> list[Entry]:
    """All entries for this machine, with the horses under `root`."""
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    found = [
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
        found += _confusion(device)
    found += _pipeline(root)
    for device in devices:
        found += _networks(device)
    found.append(Entry("two-processes", "scaling", "training, a second process", runs.two_processes))
    for name in engines.NAMES:
        for engine, title in engines.ENGINES.items():
            title = f"{name}: inference by {title}"
            measured = partial(engines.speed, root, name, engine)
            found.append(Entry(f"engine-{engine}-{name}", "engines", title, measured, aim="2"))
    for part, what in (("read", "reading"), ("compute", "computing"), ("write", "writing")):
        title = f"prediction: {what} an image"
        found.append(Entry(f"predict-{part}", "scaling", title, partial(parts.prediction, root, part)))
    found.append(Entry("listing", "scaling", "listing files", parts.listing))
    found.append(Entry("shuffling", "scaling", "drawing an epoch's order", parts.shuffling))
    for side in large.SIDES:
        title = f"prediction of {side:,} x {side:,} pixels"
        found.append(Entry(f"large-{side}", "scaling", title, partial(large.measured, side)))
    found.append(
        Entry(
            "quality",
            "quality",
            f"from scratch to mIoU {runs.AIM_MIOU:.2f} on horses",
            partial(runs.quality, root),
            optional=True,
            aim="3 minutes",
        )
    )
    return found


def _shown(size: str) -> str:
    height, width, classes = metrics.SIZES[size]
    return f"{height}x{width}, {classes} classes"


def _on(device: str) -> tuple[str, str]:
    """The endings of names and titles."""
    return ("", "") if device == "cpu" else (f"-{device}", ", on the GPU")


def _confusion(device: str) -> list[Entry]:
    on, where = _on(device)
    found = []
    for name, title, measure, aim in (
        ("confusion", "confusion matrix", metrics.confusion, "2"),
        ("miou", "mIoU", metrics.jaccard, ""),
    ):
        for size in metrics.SIZES:
            title_here = f"{title}, {_shown(size)}{where}"
            found.append(Entry(f"{name}-{size}{on}", "metrics", title_here, partial(measure, size, device), aim=aim))
    return found


def _pipeline(root: Path) -> list[Entry]:
    rows = [
        (
            "pipeline",
            "input-pipeline",
            "files to training batches, from the second epoch on",
            "5",
            "a plain data set that decodes by Pillow at each call and augments by torchvision v2",
            True,
        ),
        (
            "decoding",
            "decoding-once",
            "decoded images kept in memory",
            "",
            "no other library: our own, decoding anew in each epoch",
            False,
        ),
        (
            "augmentation",
            "augmentation",
            "augmentation of decoded images",
            "",
            "torchvision v2 on tensors, the same transforms and strengths",
            True,
        ),
    ]

    def measured(which: str, peer: str, library: bool) -> dict:
        note = f"{pipeline.IMAGES} horses, crops of {pipeline.SIDE}, {ONE_THREAD}"
        return pipeline.measured(root, which) | {"peer_is": peer, "library": library, "note": note}

    return [
        Entry(name, "input", title, partial(measured, which, peer, library), aim=aim)
        for which, name, title, aim, peer, library in rows
    ]


def _networks(device: str) -> list[Entry]:
    on, where = _on(device)
    found = [Entry(f"matmul{on}", "networks", f"large matrix product{where}", partial(networks.peak, device))]
    for name, pair in networks.PAIRS.items():
        for what, shown in (("train", "training step"), ("infer", "inference")):
            title = f"{pair.title}: {shown}{where}"
            found.append(Entry(f"{name}-{what}{on}", "networks", title, partial(networks.speed, name, what, device)))
        if pair.alike:
            continue
        title = f"{pair.title}: memory of a training step{where}"
        found.append(Entry(f"{name}-memory{on}", "networks", title, partial(memory.training, name, device)))
    return found
