"""Evaluate a predictor on a data set at native image size."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from . import distributed
from .data import SegmentationDataset
from .inference import Predictor
from .metrics import Counts

COUNT_ON_DEVICE = {"cuda"}  # device types on which pixels are counted; for other devices, the CPU counts them


def evaluate(
    predictor: Predictor,
    dataset: SegmentationDataset,
    ratio: float = 0.02,
    progress: bool = False,
    each: Callable[[dict, np.ndarray, dict], None] | None = None,
) -> dict:
    """Compute the scores of `predictor` on `dataset` from pixel counts accumulated over all images at native size.

    Under torchrun, the images are divided among the processes.  Each image is counted once, and all processes return
    the same result.

    Args:
        predictor: the predictor to evaluate.
        dataset: the images and masks.
        ratio: width of the boundary band as a fraction of each image's diagonal.
        progress: whether to show a progress bar on a terminal.
        each: function to call for every image.  Its arguments are the data set item, the prediction (H, W) and the
            scores of the image.

    Returns:
        The result of `metrics.Counts.scores`, with an additional entry `per_image`: {key: {"miou", "boundary_iou"}}.
    """
    total = Counts(dataset.num_classes, ratio)
    per_image = {}
    indices = range(distributed.rank(), len(dataset), distributed.world_size())
    disable = None if progress else True  # None shows the bar only on a terminal
    for index in tqdm(indices, desc=f"evaluate {dataset.name}", disable=disable, leave=False):
        item = dataset[index]
        prediction = predictor.label_map(item["image"])
        counts = Counts(dataset.num_classes, ratio)
        count_image(counts, item["mask"], prediction)
        total += counts
        scores = counts.scores(dataset.classes)
        per_image[item["key"]] = {"miou": scores["miou"], "boundary_iou": scores["boundary_iou"]}
        if each is not None:
            each(item, prediction.cpu().numpy(), scores)
    parts = distributed.all_gather((total, per_image))
    total = sum((counts for counts, _ in parts), start=Counts(dataset.num_classes, ratio))
    per_image = {key: scores for _, part in parts for key, scores in part.items()}
    return {**total.scores(dataset.classes), "per_image": {key: per_image[key] for key in dataset.keys}}


def count_image(counts: Counts, mask: np.ndarray, prediction: Tensor) -> None:
    """Add the pixels of one image to `counts`, given its mask and its prediction, both uint8 (H, W)."""
    if prediction.device.type in COUNT_ON_DEVICE:
        counts.update(torch.tensor(mask, device=prediction.device), prediction)
    else:
        counts.update(mask, prediction.cpu().numpy())


def summary(scores: dict) -> str:
    """Return the scores as a short table for a terminal, with the definition of each score."""
    ratio = scores["boundary_ratio"]
    rows = [
        ("miou", "mIoU", "mean over classes, accumulated over all images"),
        ("boundary_iou", "Boundary IoU", f"the same, in a band of {ratio} times the image diagonal"),
        ("pixel_accuracy", "pixel accuracy", "fraction of correct pixels"),
        ("foreground_iou", "foreground IoU", "class 1, accumulated over all images"),
        ("foreground_iou_per_image", "  per image", "class 1, mean over images"),
        ("boundary_iou_foreground", "foreground B-IoU", "class 1, accumulated over all images"),
        ("boundary_iou_foreground_per_image", "  per image", "class 1, mean over images"),
    ]
    lines = [f"{scores['images']} images at native size"]
    lines += [f"{title:18}{scores[key]:.4f}   {what}" for key, title, what in rows if scores.get(key) is not None]
    width = max(18, 2 + max(map(len, scores["per_class"])))
    lines.append(f"{'class':{width}}{'IoU':8}{'B-IoU':8}{'precision':11}{'recall':8}")
    for name, values in scores["per_class"].items():
        cell = {key: "absent" if value is None else f"{value:.4f}" for key, value in values.items()}
        lines.append(f"{name:{width}}{cell['iou']:8}{cell['boundary_iou']:8}{cell['precision']:11}{cell['recall']:8}")
    return "\n".join(lines)
