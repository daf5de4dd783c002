# ruff: noqa: F821
# profile: quick
"""Robust to darkness."""

import tempfile
from pathlib import Path

folder = tempfile.TemporaryDirectory()
# cells: start imports first-run train-config breaking-changes


def foreground_iou(predictor, factor):
    counts = metrics.Counts(2)
    for item in (val[index] for index in range(len(val))):
        image, mask = brightness(item["image"], item["mask"], factor)
        counts.update(mask, predictor.labels(image))
    return counts.scores(val.classes)["foreground_iou"]


def measure(seed, color_jitter):
    chosen = settings(seed, color_jitter=color_jitter)
    training.fit(chosen, progress=False)
    predictor = load(str(Path(chosen.output_dir, "best.safetensors")))
    return {"as they are": foreground_iou(predictor, 1), "brightness 0.25": foreground_iou(predictor, 0.25)}


table({f"`color_jitter` {value:g}": [measure(seed, value) for seed in SEEDS] for value in (0.0, 0.8)})
