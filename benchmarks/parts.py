"""Measure the parts of a large prediction or training job: reading, computing, writing, listing, shuffling."""

import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from seglib import data, inference
from seglib.config import Config
from seglib.data.sampler import TrainingBatchSampler

from .measure import single, threads

FILES = 2000
IMAGES = 24
WEIGHTS = "unet-horses"


def prediction(root: Path, part: str) -> dict:
    """Measure the milliseconds per image of one part of a prediction, on one thread and on images of horses.

    The time is the mean over IMAGES images.  In the result, `bytes` is the mean size of the image files, or of the
    written files for the part "write".  `decoded_bytes` is the mean size of a decoded image with its mask.

    Args:
        root: Folder of the data sets.
        part: "read" (decode an image), "compute" (predict its labels) or "write" (write its mask).
    """
    pairs = data.pairs(data.source("horses"), "train", root)
    files = [pairs[i * len(pairs) // IMAGES].image for i in range(IMAGES)]  # the first images are small
    images = [data.read_image(file) for file in files]
    model, notes = inference.load(WEIGHTS)
    predictor = inference.Predictor(model, notes["config"]["inference"]["longest_side"])
    with threads(1), tempfile.TemporaryDirectory() as folder:
        written = [Path(folder) / f"{i}.png" for i in range(IMAGES)]
        masks = [predictor.labels(image) if part == "write" else None for image in images]
        calls: dict[str, Callable[[int], object]] = {
            "read": lambda i: data.read_image(files[i]),
            "compute": lambda i: predictor.labels(images[i]),
            "write": lambda i: inference.save_mask(written[i], masks[i], notes["palette"]),
        }
        calls[part](0)
        times = [_milliseconds(lambda i=i: calls[part](i)) for i in range(IMAGES)]
        counted = written if part == "write" else [pair.image for pair in pairs]
        size = float(np.mean([file.stat().st_size for file in counted]))
    decoded = float(np.mean([4 * math.prod(_size(pair.image)) for pair in pairs]))
    note = f"images of horses, the weights {WEIGHTS} and one thread"
    # The mean is used instead of the median, because the result is multiplied by the number of images.
    return single(times, "ms/image") | {
        "ours": float(np.mean(times)),
        "note": note,
        "bytes": size,
        "decoded_bytes": decoded,
    }


def _size(file: Path) -> tuple[int, int]:
    with Image.open(file) as image:
        return image.size


def _milliseconds(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return (time.process_time() - began) * 1e3


def listing() -> dict:
    """Measure the microseconds per file for listing a folder and checking each file, as `predict` does at the start."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(FILES):
            (Path(folder) / f"{number:09}.jpg").touch()
        times = []
        for _ in range(5):
            began = time.perf_counter()
            paths = inference.result_files.image_files([folder])
            times.append((time.perf_counter() - began) / FILES * 1e6)
    per_file = sys.getsizeof(paths[0]) + sys.getsizeof(os.fspath(paths[0]))
    note = f"a folder of {FILES} files; each path needs at least {per_file} bytes of memory"
    return single(times, "us/file") | {"note": note, "bytes": per_file}


def shuffling() -> dict:
    """Measure the nanoseconds per image for shuffling an epoch of a million images in the main process."""
    times = []
    for epoch in range(3):
        sampler = TrainingBatchSampler(1_000_000, Config(epochs=3))
        began = time.perf_counter()
        sampler.batch(epoch * sampler.steps_per_epoch)
        times.append((time.perf_counter() - began) * 1e9 / sampler.num_images)
    note = "a permutation of a million indices of 8 bytes, once per epoch"
    return single(times, "ns/image") | {"note": note, "bytes": 8}
