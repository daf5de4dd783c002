"""Train one network from different starting points with about equal processor time, three seeds each.

    python -m benchmarks starting_points --root data

All runs use configs/finetune.yaml with the same network, images, crops and one thread. Distillation computes the
predictions of the teacher in each step, so its runs have fewer epochs. The pre-training on synthetic animals is done
once, and its time is reported separately. Each run is written to starting_points.json immediately, and runs that are
already in the file are skipped.
"""

import json
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from course.places import replace_between
from seglib import data, files, weights
from seglib.config import load_config
from seglib.data import SegmentationDataset
from seglib.evaluation import evaluate
from seglib.inference import Predictor
from seglib.training import Trainer

from . import results
from .measure import threads
from .memory import REPOSITORY

FILE = Path(__file__).with_name("starting_points.json")
PAGE = Path(__file__).with_name("starting_points.md")
README = REPOSITORY / "README.md"
BEGIN, END = "<!-- starting points: python -m benchmarks starting_points -->", "<!-- end of starting points -->"
SEEDS = (0, 1, 2)
TEACHER = "efficientnet_unet-horses"
PRETRAINING = "pre-training"
COMMON = (
    "--augment.crop_sizes=[160]",
    "--inference.longest_side=256",
    "--selection=last",
    "--num_workers=0",
    "--amp=off",
    "--device=cpu",
    "--optimizer.lr=2e-3",  # weights from a file would have a tenth of this rate
)
RANDOM = ("--model.init_from=null", "--optimizer.encoder_lr_factor=1")


@dataclass(frozen=True)
class Start:
    """A starting point: what the network has learned before, and the options of its runs."""

    title: str
    trained_with: str
    epochs: int
    options: tuple[str, ...] = ()


STARTS = {
    "scratch": Start("random weights", "from scratch", 6, RANDOM),
    "synthetic": Start("pre-trained on 800 synthetic animals", "synthetic images", 6, RANDOM[1:]),
    "distilled": Start(f"random weights, distilled from `{TEACHER}`", "ImageNet (teacher)", 5, RANDOM),
    "imagenet": Start("encoder pre-trained on ImageNet", "ImageNet", 6),
}


def train(folder: Path, root: Path, options: list[str], prepare: Callable[[Trainer], None] | None = None) -> float:
    """Train in `folder` with one thread, after `prepare(trainer)`, and return the CPU time in minutes."""
    shutil.rmtree(folder, ignore_errors=True)  # of an interrupted run
    places = [f"--output_dir={folder.resolve()}", f"--data.root={root.resolve()}"]
    with threads(1):
        trainer = Trainer(load_config(REPOSITORY / "configs" / "finetune.yaml", [*COMMON, *options, *places]))
        if prepare:
            prepare(trainer)
        began = time.process_time()
        trainer.fit(False)
        return (time.process_time() - began) / 60


def measured(start: str, seed: int, runs: Path, root: Path) -> dict:
    """Train one run, and return its time and its scores on the validation images at their original size."""
    epochs, folder = STARTS[start].epochs, runs / f"{start}-{seed}"
    options = ["--data.name=horses", f"--seed={seed}", f"--epochs={epochs}", f"--eval_interval={epochs}"]
    if start == "synthetic":
        options.append(f"--model.init_from={(runs / PRETRAINING / 'best.safetensors').resolve()}")
    if start == "distilled":
        options.append(f"--distillation.teachers=[{TEACHER}]")
    minutes = train(folder, root, [*options, *STARTS[start].options])
    of = scores(folder, data.load("horses", "val", root))
    return {"minutes": minutes, "epochs": epochs, "miou": of["miou"], "boundary_iou": of["boundary_iou"]}


def scores(folder: Path, dataset: SegmentationDataset) -> dict:
    """Return the scores of the trained network in `folder` on the images at their original size."""
    model, _ = weights.load(str(folder / "best.safetensors"))
    with threads(1):
        return evaluate(Predictor(model, 256, device="cpu"), dataset)


def read(file: Path = FILE) -> dict[str, dict]:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def run(only: list[str], runs: Path, root: Path, file: Path = FILE) -> int:
    """Train the runs that are not in `file`, write their results and the page, and return the exit status."""
    wanted = [(start, seed) for seed in SEEDS for start in STARTS if start in only]
    if "synthetic" in only and PRETRAINING not in read(file):
        options = ["--data.name=creatures", "--data.options={length: 800}", "--epochs=4", "--eval_interval=4", *RANDOM]
        _add(PRETRAINING, {"minutes": train(runs / PRETRAINING, root, options), "epochs": 4}, file)
    for start, seed in wanted:
        name = f"{start}, seed {seed}"
        if name not in read(file):
            _add(name, measured(start, seed, runs, root), file)
    entries = read(file)
    files.write_text(PAGE, page(entries))
    replace_between(README, BEGIN, END, summary(entries))
    return 0


def _add(name: str, numbers: dict, file: Path) -> None:
    whole = numbers | {"machine": results.machine(), "versions": results.versions()}
    files.write_text(file, json.dumps(read(file) | {name: whole}, indent=1) + "\n")
    print(f"{name}: {', '.join(f'{key} {value:.4g}' for key, value in numbers.items())}", flush=True)


def table(entries: dict[str, dict]) -> str:
    """Return one row for each starting point, with the mean and standard deviation over the seeds."""
    lines = ["| start | trained with | CPU minutes | mIoU | Boundary IoU |", "|---|---|---|---|---|"]
    for name, start in STARTS.items():
        found = [entry for key, entry in entries.items() if key.startswith(f"{name}, ")]
        if len(found) < 2:
            continue
        minutes = statistics.mean(entry["minutes"] for entry in found)
        columns = (
            f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"
            for values in ([entry[key] for entry in found] for key in ("miou", "boundary_iou"))
        )
        lines.append(f"| {start.title} | {start.trained_with} | {minutes:.1f} | {' | '.join(columns)} |")
    return "\n".join(lines)


def summary(entries: dict[str, dict]) -> str:
    """Return the table for the README: start, mIoU and Boundary IoU."""
    rows = (line.split("|") for line in table(entries).splitlines())
    return "\n".join("|".join((*cells[:2], *cells[4:])) for cells in rows)


def page(entries: dict[str, dict]) -> str:
    """Return the comparison as a Markdown page."""
    before = entries.get(PRETRAINING)
    parts = [
        "# Starting points, compared with about equal processor time",
        "Written by `python -m benchmarks starting_points`. All runs train the same network (`efficientnet_unet`) with "
        "`configs/finetune.yaml` on the same 278 images of horses, with crops of 160 pixels and one thread. The scores "
        "are for the 49 validation images at their original size: the mean and standard deviation over three seeds, "
        "after the last epoch. The numbers of epochs (6, and 5 with distillation) were chosen so that the times differ "
        "by at most 15%. The peak learning rate is 0.002 in all runs, and 0.3 times as high for the encoder with "
        "ImageNet weights. It was not tuned for each start.",
        table(entries),
        f"The pre-training on synthetic animals took {before['minutes']:.1f} more minutes, with drawing and validation."
        if before
        else "",
        "**Limitations.** One network and one data set, and very short runs. Longer training reduces the differences. "
        "One pre-training run on synthetic animals serves all three seeds. The training of the teacher and the "
        "pre-training on ImageNet are not counted; the teacher was trained on the same images, with larger crops.",
        *(f"Measured on: {machine}." for machine in sorted({entry["machine"] for entry in entries.values()})),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"
