"""Define the benchmarks in the order of the table, with their names, titles and measuring functions."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from . import engines, from_nothing, large, memory, metrics, networks, parts, photographs, pipeline, runs
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
            slow, aim = engine in engines.SLOW_TO_MAKE, "2" if engine.endswith(("bf16", "int8")) else ""
            result.append(Entry(f"engine-{engine}-{name}", "engines", title, measured, slow, aim))
    result += _photographs(root)
    for part, what in (("read", "reading an image"), ("compute", "inference"), ("write", "writing a mask")):
        title = f"prediction: {what}"
        result.append(Entry(f"predict-{part}", "scaling", title, partial(parts.prediction, root, part)))
    result.append(Entry("listing", "scaling", "listing files", parts.listing))
    result.append(Entry("shuffling", "scaling", "shuffling an epoch", parts.shuffling))
    for side in large.SIDES:
        title = f"prediction of {side:,} x {side:,} pixels"
        result.append(Entry(f"large-{side}", "scaling", title, partial(large.measured, side)))
    share = partial(runs.validation_share, root)
    result.append(Entry("validation-share", "training", "share of validation in an epoch of fine-tuning", share))
    result += _from_nothing()
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


def _photographs(root: Path) -> list[Entry]:
    group = "photographs"
    result = [
        Entry(
            f"folder-{name}",
            group,
            f"a folder of photos, compared with {short}",
            partial(photographs.folder, root, name),
        )
        for name, short in (("loop", "a plain loop"), ("isnet", "ISNet"), ("selfie", "MediaPipe's selfie network"))
    ]
    return [
        *result,
        Entry(
            "start-predict",
            group,
            "`seglib predict one.jpg` beyond `import torch`",
            partial(photographs.start, root),
            aim="1 s",
        ),
        Entry("start-help", group, "`seglib --help`", photographs.help_text, aim="0.2 s"),
        Entry(
            "own-size-memory",
            group,
            "peak memory for a 12-megapixel photograph at its own size",
            partial(photographs.own_size, root),
        ),
    ]


def _from_nothing() -> list[Entry]:
    """Return the entries that compare the curves of `python -m benchmarks from_nothing`."""
    rows = [
        ("ours-imagenet", "smp-imagenet", (0.90, 0.93, 0.94), "fine-tuning to mIoU"),
        ("ours-imagenet-float32", "smp-imagenet", (0.90, 0.93, 0.94), "fine-tuning in float32 to mIoU"),
        ("ours-imagenet", "smp-imagenet-1e-4", (0.90, 0.93, 0.94), "fine-tuning (baseline with Adam 1e-4) to mIoU"),
        ("ours-scratch", "student", (0.90,), "training from scratch to mIoU"),
    ]
    return [
        Entry(
            f"from-nothing-{peer}-{round(100 * miou)}{'-float32' if ours.endswith('float32') else ''}",
            "training",
            f"{what} {miou:.2f} on horses",
            partial(from_nothing.entry, ours, peer, miou),
            aim="2",
        )
        for ours, peer, scores, what in rows
        for miou in scores
    ]


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
            if what == "infer" and name in networks.STEPS:
                continue
            title = f"{pair.title}: {work}{where}"
            result.append(Entry(f"{name}-{what}{on}", "networks", title, partial(networks.speed, name, what, device)))
        if pair.peer_fused:
            continue
        title = f"{pair.title}: memory of a training step{where}"
        result.append(Entry(f"{name}-memory{on}", "networks", title, partial(memory.training, name, device)))
    return result
