"""Train on horses from nothing: the minutes of one core until a validation score, ours beside the usual recipes.

    python -m benchmarks from_nothing --root data

Each run trains with one thread, and its time is CPU time, so that runs can be compared although other programs use the
machine. The time includes validation, and excludes the start. Runs that are already in the file of curves are skipped;
a run that was stopped starts again.
"""

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from seglib import data, files, models
from seglib.config import load_config
from seglib.metrics import Counts
from seglib.training import Trainer

from . import results
from .measure import Skipped, need, threads
from .memory import REPOSITORY

FILE = Path(__file__).with_name("from_nothing.json")
SIDE, BATCH = 224, 8
SCORES = (0.90, 0.93, 0.94)
Report = Callable[[int, float], None]
SHORT_IMAGENET = (
    "--data.name=horses",
    "--epochs=8",
    "--augment.crop_sizes=[192]",
    "--num_workers=0",
    "--eval_interval=1",
)


class Finished(Exception):
    """Raised to end a run that reached its score or its limit."""


@dataclass(frozen=True)
class Recipe:
    """A training recipe; `train(root, report)` calls `report(epoch, miou)` after each validation."""

    title: str
    train: Callable[[Path, Report], None]
    stop_at: float = SCORES[-1]  # validation mIoU


def train_ours(config: str, *options: str) -> Callable[[Path, Report], None]:
    """Return a function that trains with a configuration file, as `seglib train` does."""

    def train(root: Path, report: Report) -> None:
        with tempfile.TemporaryDirectory() as folder:
            places = (f"--output_dir={folder}/run", f"--data.root={root.resolve()}")
            trainer = Trainer(load_config(REPOSITORY / config, [*options, *places]))
            trainer.fit(False, lambda entry: report(entry["epoch"] + 1, entry["val"]["miou"]))

    return train


class SquareImages(Dataset):
    """Images and masks, decoded at each access, resized to SIDE x SIDE and flipped at random."""

    def __init__(self, pairs: list[data.Pair], mean: tuple[float, ...], std: tuple[float, ...]):
        self.pairs, self.mean, self.std = pairs, np.array(mean, np.float32), np.array(std, np.float32)

    def __len__(self) -> int:
        return len(self.pairs)

    def image(self, index: int) -> torch.Tensor:
        """Return the normalized image (3, SIDE, SIDE)."""
        image = Image.open(self.pairs[index].image).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        return torch.from_numpy((np.asarray(image, np.float32) / 255 - self.mean) / self.std).permute(2, 0, 1)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        mask = Image.open(self.pairs[index].mask).resize((SIDE, SIDE), Image.Resampling.NEAREST)
        image, target = self.image(index), torch.from_numpy((np.asarray(mask) > 0).astype(np.int64))
        return (image.flip(-1), target.flip(-1)) if torch.rand(()) < 0.5 else (image, target)


def train_plain(build: Callable[[], nn.Module], lr: float, epochs: int, mean, std) -> Callable[[Path, Report], None]:
    """Return a function that trains with a plain loop: Adam with a constant learning rate, cross-entropy, float32."""

    def train(root: Path, report: Report) -> None:
        torch.manual_seed(0)
        source = data.source("horses")
        train_set = SquareImages(data.pairs(source, "train", root), mean, std)
        val_set = SquareImages(data.pairs(source, "val", root), mean, std)
        truth = data.load("horses", "val", root)
        loader = DataLoader(train_set, BATCH, shuffle=True, drop_last=True)
        model = build()
        optimizer = torch.optim.Adam(model.parameters(), lr)
        for epoch in range(1, epochs + 1):
            model.train()
            for images, masks in loader:
                optimizer.zero_grad()
                F.cross_entropy(model(images), masks).backward()
                optimizer.step()
            report(epoch, validate(model, val_set, truth))

    return train


@torch.inference_mode()
def validate(model: nn.Module, images: SquareImages, truth: data.SegmentationDataset) -> float:
    """Return the mIoU at the original size of the images."""
    model.eval()
    counts = Counts(truth.num_classes)
    for index in range(len(images)):
        mask = truth[index]["mask"]
        logits = F.interpolate(model(images.image(index)[None]), mask.shape, mode="bilinear", align_corners=False)
        counts.update(mask, logits.argmax(1)[0].to(torch.uint8).numpy())
    return counts.scores()["miou"]


def smp_unet() -> nn.Module:
    """Return the U-Net of segmentation-models-pytorch on EfficientNet-Lite0, filled with the same ImageNet weights."""
    smp = need("segmentation_models_pytorch", "segmentation-models-pytorch")
    model = smp.Unet("tu-tf_efficientnet_lite0", encoder_weights=None, classes=2)
    ours = models.create("efficientnet_unet", 2, pretrained="imagenet").state_dict()
    encoder = model.encoder.model.state_dict()
    filled = {name: tensor for key, tensor in ours.items() if (name := key.removeprefix("encoder.")) in encoder}
    if missing := encoder.keys() - filled.keys():
        raise Skipped(f"these entries of the encoder have no weights: {', '.join(sorted(missing)[:5])}")
    model.encoder.model.load_state_dict(filled)
    return model


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LITE = (127 / 255,) * 3, (128 / 255,) * 3
RECIPES = {
    "ours-imagenet": Recipe(
        "U-Net on EfficientNet-Lite0 from ImageNet, configs/finetune.yaml with 8 epochs and crops of 192",
        train_ours("configs/finetune.yaml", *SHORT_IMAGENET),
    ),
    "ours-imagenet-float32": Recipe(
        "U-Net on EfficientNet-Lite0 from ImageNet, configs/finetune.yaml with 8 epochs and crops of 192, in float32",
        train_ours("configs/finetune.yaml", *SHORT_IMAGENET, "--amp=off"),
    ),
    "smp-imagenet": Recipe(
        "Unet of segmentation-models-pytorch on the same encoder and weights, 224x224, Adam 1e-3, plain loop",
        train_plain(smp_unet, 1e-3, 30, *LITE),
    ),
    "smp-imagenet-1e-4": Recipe(
        "Unet of segmentation-models-pytorch on the same encoder and weights, 224x224, Adam 1e-4, plain loop",
        train_plain(smp_unet, 1e-4, 30, *LITE),
    ),
    "ours-scratch": Recipe(
        "narrow U-Net from scratch, configs/horses-laptop.yaml",
        train_ours("configs/horses-laptop.yaml", "--num_workers=0"),
        0.93,
    ),
    "student": Recipe(
        "U-Net with 64 channels from scratch, 224x224, Adam 1e-3, plain loop of 30 epochs",
        train_plain(lambda: models.create("unet", 2), 1e-3, 30, *IMAGENET),
    ),
}


def curve(recipe: Recipe, root: Path, limit: float, wall_limit: float) -> list[dict]:
    """Train until the score of the recipe or a limit is reached.

    Args:
        recipe: The recipe.
        root: Folder of the data sets.
        limit: Limit of the CPU time in minutes.
        wall_limit: Limit of the elapsed time in minutes.

    Returns:
        For each validation: epoch, CPU minutes, elapsed minutes and mIoU.
    """
    points: list[dict] = []
    began, cpu_began = time.perf_counter(), time.process_time()

    def report(epoch: int, miou: float) -> None:
        cpu, elapsed = (time.process_time() - cpu_began) / 60, (time.perf_counter() - began) / 60
        points.append({"epoch": epoch, "cpu_minutes": cpu, "minutes": elapsed, "miou": miou})
        print(f"  epoch {epoch}: {cpu:.2f} CPU minutes, {elapsed:.2f} minutes, mIoU {miou:.4f}", flush=True)
        if miou >= recipe.stop_at or cpu >= limit or elapsed >= wall_limit:
            raise Finished

    with threads(1):
        try:
            recipe.train(root, report)
        except Finished:
            pass
    return points


def read(file: Path = FILE) -> dict[str, dict]:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def run(only: list[str], root: Path, limit: float, wall_limit: float, file: Path = FILE) -> int:
    """Train the recipes that have no curve yet, and write each curve to `file`; return the exit status."""
    for name in only:
        if name in read(file):
            continue
        print(f"{name}: {RECIPES[name].title}", flush=True)
        points = curve(RECIPES[name], root, limit, wall_limit)
        whole = {
            "title": RECIPES[name].title,
            "curve": points,
            "machine": results.machine(),
            "versions": results.versions(),
        }
        files.write_text(file, json.dumps(read(file) | {name: whole}, indent=1) + "\n")
    return 0


def minutes_to(points: list[dict], miou: float) -> float | None:
    """Return the CPU minutes until `miou` is reached, or None."""
    return next((point["cpu_minutes"] for point in points if point["miou"] >= miou), None)


def entry(ours: str, peer: str, miou: float, file: Path = FILE) -> dict:
    """Return the result of an entry that compares two runs; raise Skipped if a run is missing or fails the score.

    If the peer never reaches the score, its time is that of its whole run, so that the ratio is a lower bound.
    """
    curves = read(file)
    for name in (ours, peer):
        if name not in curves:
            raise Skipped(f"{name}: not trained yet; run: python -m benchmarks from_nothing --only {name}")
    if curves[ours]["machine"] != curves[peer]["machine"]:
        raise Skipped(f"{ours} and {peer} were trained on different machines, so their times cannot be compared")
    ours_points, peer_points = (curves[name]["curve"] for name in (ours, peer))
    reached, other = minutes_to(ours_points, miou), minutes_to(peer_points, miou)
    if reached is None:
        raise Skipped(f"{ours}: ended at mIoU {max(point['miou'] for point in ours_points):.4f}, below {miou:.2f}")
    note = f"{curves[ours]['title']}; CPU time of one thread, with validation; one run each"
    if other is None:
        other, best = peer_points[-1]["cpu_minutes"], max(point["miou"] for point in peer_points)
        note += f"; the baseline was stopped at mIoU {best:.4f}, so that the ratio is a lower bound"
    return {
        "unit": "minutes",
        "ours": reached,
        "peer": other,
        "ratio": other / reached,
        "spread": [other / reached] * 2,
        "repeats": 1,
        "peer_is": curves[peer]["title"],
        "library": peer != "student",
        "note": note,
    }
