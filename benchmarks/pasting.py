"""Train on people with and without pasting them on other backgrounds, three seeds each.

    python -m benchmarks pasting --root data

In half of the accesses, a training image is replaced by its people on an image of a horse. The horse then belongs to
the background. All runs have the common options of starting_points.py and one thread. Each run is written to
pasting.json immediately, and runs that are already in the file are skipped.
"""

import json
import statistics
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from seglib import data, files
from seglib.data.transforms import resize
from seglib.training import Trainer

from . import results, starting_points

FILE = Path(__file__).with_name("pasting.json")
SEEDS = (0, 1, 2)
SHARE = 0.5  # of the accesses
OPTIONS = ("--data.name=humans", "--epochs=8", "--eval_interval=8")
Read = Callable[[int], tuple[np.ndarray, np.ndarray]]


def paste(image: np.ndarray, mask: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Return the foreground of `image` (H, W, 3) on `background`, which is resized to (H, W), with a soft edge."""
    background = resize(background, *mask.shape)
    alpha = cv2.GaussianBlur((mask == 1).astype(np.float32), (0, 0), 1)[..., None]
    return np.rint(alpha * image + (1 - alpha) * background).astype(np.uint8)


def pasting(read: Read, backgrounds: data.SegmentationDataset, seed: int) -> Read:
    """Return a function that reads an image and, at random, replaces its background."""
    rng = np.random.default_rng(seed)

    def read_and_paste(index: int) -> tuple[np.ndarray, np.ndarray]:
        image, mask = read(index)
        if rng.random() < SHARE:
            image = paste(image, mask, backgrounds[int(rng.integers(len(backgrounds)))]["image"])
        return image, mask

    return read_and_paste


def measured(pasted: bool, seed: int, run: Path, root: Path) -> dict:
    """Train one run, and return its scores on the validation images at their original size."""

    def prepare(trainer: Trainer) -> None:
        if pasted:
            trainer.train_set.read = pasting(trainer.train_set.read, data.load("horses", "train", root), seed)

    starting_points.train(run, root, [*OPTIONS, f"--seed={seed}"], prepare)
    scores = starting_points.scores(run, data.load("humans", "val", root))
    return {key: scores[key] for key in ("miou", "boundary_iou", "foreground_iou")}


def run(runs: Path, root: Path, file: Path = FILE) -> int:
    """Train the runs that are not in `file`, print the mean scores, and return the exit status."""
    rows: dict[str, list[dict]] = {"without pasting": [], "with pasting": []}
    for seed in SEEDS:
        for title, row in rows.items():
            name = f"{title}, seed {seed}"
            entries = starting_points.read(file)
            if name not in entries:
                numbers = measured(
                    title == "with pasting", seed, runs / name.replace(", ", "-").replace(" ", "-"), root
                )
                entries |= {name: numbers | {"machine": results.machine(), "versions": results.versions()}}
                files.write_text(file, json.dumps(entries, indent=1) + "\n")
            row.append(entries[name])
            print(f"{name}: foreground IoU {entries[name]['foreground_iou']:.4f}", flush=True)
    for title, row in rows.items():
        scores = [entry["foreground_iou"] for entry in row]
        print(f"{title}: foreground IoU {statistics.mean(scores):.4f} ± {statistics.stdev(scores):.4f}")
    return 0
