"""Measure complete training runs: the minutes until a score is reached, and the speedup with a second process."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from .measure import Skipped, contest, single
from .memory import REPOSITORY

AIM_MIOU = 0.90
SHORT = {
    "epochs": 4,
    "batch_size": 16,
    "eval_interval": 4,
    "device": "cpu",
    "data": {"name": "creatures", "options": {"length": 64, "size": [160, 160]}},
    "augment": {"crop_sizes": [160]},
    "model": {"name": "hrnet_w18_small_v1"},
    "inference": {"longest_side": 160},
}


def _trained(command: list[str], run: Path, threads: int | None) -> list[dict]:
    """Train and return the history of the run. Raise Skipped with the last line of stderr if training fails."""
    environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=REPOSITORY, env=environment)
    if done.returncode:
        raise Skipped(f"training ended with {done.returncode}: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return json.loads((run / "history.json").read_text(encoding="utf-8"))


def minutes_to(history: list[dict], miou: float) -> float:
    """Return the minutes until the validation mIoU reaches `miou`. Raise Skipped if it never does."""
    minutes = 0.0
    for entry in history:
        minutes += entry["seconds"] / 60
        if entry.get("val", {}).get("miou", 0) >= miou:
            return minutes
    best = max((entry["val"]["miou"] for entry in history if "val" in entry), default=0)
    raise Skipped(f"the run ended at mIoU {best:.4f}, below {miou}")


def quality(root: Path) -> dict:
    """Measure the minutes of training from scratch, with validation, until mIoU on horses reaches AIM_MIOU."""
    file = REPOSITORY / "configs" / "horses-laptop.yaml"
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = ["-m", "seglib", "train", str(file), f"--output_dir={run}", f"--data.root={Path(root).resolve()}"]
        history = _trained(command, run, None)
    reached = max(entry["val"]["miou"] for entry in history if "val" in entry)
    what = f"the best mIoU of all {len(history)} epochs is {reached:.4f}"
    note = f"configs/horses-laptop.yaml, elapsed time on all cores; {what}"
    return single([minutes_to(history, AIM_MIOU)], "minutes") | {"note": note}


def validation_share(root: Path) -> dict:
    """Measure the share of validation in the time of an epoch, in percent, for fine-tuning on horses."""
    with tempfile.TemporaryDirectory() as folder:
        run, options = Path(folder) / "run", ["--data.name=horses", "--epochs=2", "--eval_interval=1"]
        places = [f"--output_dir={run}", f"--data.root={Path(root).resolve()}"]
        history = _trained(["-m", "seglib", "train", "configs/finetune.yaml", *options, *places], run, None)
    note = "configs/finetune.yaml on horses: 278 training images of 256x256, 49 for validation at 320 pixels"
    return single([100 * validation_part(entry) for entry in history], "%") | {"note": note}


def validation_part(entry: dict) -> float:
    """Return the fraction of an epoch's time that validation took, from an entry of the history."""
    return 1 - entry["images"] / entry["images_per_second"] / entry["seconds"]


def two_processes() -> dict:
    """Measure the training images per second with two processes and with one process, each with one thread."""
    rates = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(2):
            for processes in (2, 1):
                run = Path(folder) / f"{turn}-{processes}"
                file = run.with_suffix(".yaml")
                file.write_text(yaml.safe_dump(SHORT | {"output_dir": str(run)}), encoding="utf-8")
                launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
                command = [*(launch if processes == 2 else []), "-m", "seglib", "train", str(file)]
                history = _trained(command, run, 1)[1:-1]  # the first epoch also decodes images
                rates[processes] += [entry["images"] / entry["seconds"] for entry in history]
    numbers = contest(rates[2], rates[1], "images/s", lambda rate: rate, True)
    note = "hrnet_w18_small_v1, batches of 16 images of 160x160, gloo, one thread per process"
    return numbers | {"peer_is": "our training in one process", "library": False, "note": note}
