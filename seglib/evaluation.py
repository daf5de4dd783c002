"""Measure a predictor on a data set: counts over all its pixels at native size, then the scores."""

from collections.abc import Callable

import numpy as np
import torch
from tqdm import tqdm

from . import distributed
from .data import SegmentationDataset
from .inference import Predictor
from .metrics import Counts, combine

COUNTING = {"cuda"}  # devices that count themselves what they have found


def evaluate(
    predictor: Predictor,
    dataset: SegmentationDataset,
    ratio: float = 0.02,
    progress: bool = False,
    each: Callable[[dict, np.ndarray, dict], None] | None = None,
) -> dict:
    """The scores of `predictor` on every image of `dataset`, as made by `metrics.Counts.scores`.

    `ratio` sets the width of the boundary band as a share of each image's diagonal.  `each(item,
    prediction, scores)` is called for every image with its own scores.  The result also has
    `per_image`: {key: {"miou", "boundary_iou"}}.  Several processes share the images out, each is counted
    once, and all get the same result.
    """
    total = Counts(dataset.num_classes, ratio)
    per_image = {}
    quiet = None if progress else True  # None: where no terminal shows the bar
    mine = range(distributed.rank(), len(dataset), distributed.count())
    for index in tqdm(mine, desc=f"evaluate {dataset.name}", disable=quiet, leave=False):
        item = dataset[index]
        found = predictor.label_map(item["image"])
        prediction = found.cpu().numpy()
        own = Counts(dataset.num_classes, ratio)
        if found.device.type in COUNTING:
            own.update(torch.tensor(item["mask"], device=found.device), found)
        else:
            own.update(item["mask"], prediction)
        total.merge(own)
        scores = own.scores(dataset.classes)
        per_image[item["key"]] = {"miou": scores["miou"], "boundary_iou": scores["boundary_iou"]}
        if each is not None:
            each(item, prediction, scores)
    parts = distributed.gather((total, per_image))
    found = {key: scores for _, part in parts for key, scores in part.items()}
    total = combine([counts for counts, _ in parts])
    return {**total.scores(dataset.classes), "per_image": {key: found[key] for key in dataset.keys}}


def summary(scores: dict) -> str:
    """The scores as a short table for a terminal, with the definition of each beside it."""
    ratio = scores["boundary_ratio"]
    rows = [
        ("miou", "mIoU", "mean over classes, counted over the data set"),
        ("boundary_iou", "Boundary IoU", f"mean over classes, counted over the data set, band {ratio} of the diagonal"),
        ("pixel_accuracy", "pixel accuracy", "share of pixels"),
        ("foreground_iou", "foreground IoU", "class 1, counted over the data set"),
        ("foreground_iou_per_image", "  per image", "class 1, mean over images"),
        ("boundary_iou_foreground", "foreground B-IoU", "class 1, counted over the data set"),
        ("boundary_iou_foreground_per_image", "  per image", "class 1, mean over images"),
    ]
    lines = [f"{scores['images']} images at native size"]
    lines += [f"{title:18}{scores[key]:.4f}   {what}" for key, title, what in rows if scores.get(key) is not None]
    lines.append(f"{'class':18}{'IoU':8}{'B-IoU':8}{'precision':11}{'recall':8}")
    for name, values in scores["per_class"].items():
        shown = [
            "absent" if values[k] is None else f"{values[k]:.4f}"
            for k in ("iou", "boundary_iou", "precision", "recall")
        ]
        lines.append(f"{name:18}{shown[0]:8}{shown[1]:8}{shown[2]:11}{shown[3]:8}")
    return "\n".join(lines)
