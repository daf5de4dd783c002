"""Compare metrics on one thread: confusion matrix and mIoU with torchmetrics, Boundary IoU with OpenCV."""

from collections.abc import Callable

import cv2
import numpy as np
import torch

from seglib import data, metrics

from .measure import ONE_THREAD, check_equal, contest, interleaved, need, processor, threads, wall

SIZES = {"224x224x2": (224, 224, 2), "360x480x11": (360, 480, 11), "1024x2048x19": (1024, 2048, 19)}
REPEATS = {2: 101, 11: 31, 19: 9}
IGNORE = 255


def maps(height: int, width: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a synthetic mask and a slightly different prediction, both uint8 (height, width)."""
    name = "creatures" if classes == 2 else "streets"
    truth = data.load(name, "val", length=1, size=[height, width])[0]["mask"]
    if classes > 11:  # use other labels in every second stripe, to get enough classes
        stripe = (np.arange(width) // (width // 16) % 2 == 1) & (truth < classes - 11)
        truth = np.where(stripe, truth + 11, truth).astype(np.uint8)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    reach = height / 100
    moved = columns + reach * np.sin(rows / 40), rows + reach * np.cos(columns / 30)
    prediction = cv2.remap(truth, *moved, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    prediction[prediction == IGNORE] = 0
    return truth.copy(), prediction


def per_class_counts(truth: np.ndarray, prediction: np.ndarray, classes: int, width: int) -> np.ndarray:
    """Return intersections and unions of the boundary bands of each class, int64 (2, C).

    The band of a class is its mask minus the eroded mask, as in the code of the paper's authors. Ignored pixels belong
    to no band.
    """
    kernel = np.ones((3, 3), np.uint8)

    def band(mask: np.ndarray) -> np.ndarray:
        framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        return mask - cv2.erode(framed, kernel, iterations=width)[1:-1, 1:-1]

    valid = (truth != IGNORE).astype(np.uint8)
    some_ignored = not valid.all()
    counts = np.zeros((2, classes), np.int64)
    for label in range(classes):
        bands = [band((labels == label).astype(np.uint8)) for labels in (truth, prediction)]
        true, predicted = (b * valid for b in bands) if some_ignored else bands
        counts[:, label] = np.count_nonzero(true & predicted), np.count_nonzero(true | predicted)
    return counts


def boundary(size: str) -> dict:
    height, width, classes = SIZES[size]
    truth, prediction = maps(height, width, classes)
    reach = metrics.boundary_width(height, width)
    return _take_turns(
        lambda: np.stack(metrics.boundary_counts(truth, prediction, classes, reach, IGNORE)),
        lambda: per_class_counts(truth, prediction, classes, reach),
        classes,
        "cpu",
    ) | {"peer_is": "OpenCV erosion for each class, as in the code of the paper's authors"}


def confusion(size: str, device: str) -> dict:
    functional = need("torchmetrics.functional.classification", "torchmetrics")
    truth, prediction, classes = _tensors(size, device)
    options = {"num_classes": classes, "ignore_index": IGNORE, "validate_args": False}
    return _take_turns(
        lambda: metrics.confusion_matrix(truth, prediction, classes, IGNORE).cpu(),
        lambda: functional.multiclass_confusion_matrix(prediction, truth, **options).cpu(),
        classes,
        device,
    ) | {"peer_is": "torchmetrics' confusion matrix with validate_args=False"}


def jaccard(size: str, device: str) -> dict:
    functional = need("torchmetrics.functional.classification", "torchmetrics")
    truth, prediction, classes = _tensors(size, device)
    options = {"num_classes": classes, "ignore_index": IGNORE}
    return _take_turns(
        lambda: metrics.mean_iou(metrics.confusion_matrix(truth, prediction, classes, IGNORE)),
        lambda: functional.multiclass_jaccard_index(prediction, truth, **options).cpu(),
        classes,
        device,
        1e-5,
    ) | {"peer_is": "torchmetrics' Jaccard index with default arguments"}


def _tensors(size: str, device: str) -> tuple[torch.Tensor, torch.Tensor, int]:
    truth, prediction = (torch.from_numpy(labels).to(device) for labels in maps(*SIZES[size]))
    return truth, prediction, SIZES[size][2]


def _take_turns(
    ours: Callable[[], object], peer: Callable[[], object], classes: int, device: str, tolerance: float = 0
) -> dict:
    check_equal(ours(), peer(), "the counts", tolerance)
    clock, note = (processor, ONE_THREAD) if device == "cpu" else (wall, "from tensors on the GPU to the result")
    with threads(1):
        times = interleaved(ours, peer, REPEATS[classes], clock)
    return contest(*times, "ms", lambda seconds: seconds * 1e3, False) | {"note": note}
