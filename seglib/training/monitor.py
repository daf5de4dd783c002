"""Looks at the losses of an epoch, writes its history, and keeps the best weights."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from .. import distributed, weights
from ..config import config_to_dict
from . import placement
from .optimizer import learning_rate
from .state import Run, TrainingError

CHECK_EVERY = 20  # steps between two looks at the loss; looking waits for the device
AGREE_WITHIN = 5.0  # seconds until several processes hear that one was asked to stop; torchrun kills after thirty


class Watch:
    """Looks at the losses of an epoch, writes its history, and keeps the best weights."""

    def __init__(self, run: Run, bar: tqdm, on_measured: Callable[[dict], None] | None = None):
        self.run, self.bar, self.on_measured = run, bar, on_measured
        self.board = None
        self.tracer = None
        self.saved = time.perf_counter()
        self.asked: dict[str, tuple[int, float, int]] = {}  # what -> the step, the time, and the step to ask again
        before = run.partial
        self._reset()
        if before:
            self.losses, self.images, self.waiting = list(before["losses"]), before["images"], before["waiting"]
            self.began -= before["seconds"]

    def __enter__(self) -> "Watch":
        if distributed.rank() == 0 and self.run.config.tensorboard:
            self.board = open_board(self.run.folder)
        if distributed.rank() == 0 and self.run.config.profile_steps:
            self.tracer = make_tracer(self.run.folder, self.run.config.profile_steps)
            self.tracer.__enter__()
        return self

    def __exit__(self, *failure) -> None:
        if self.board:
            self.board.close()
        if self.tracer:
            self.tracer.__exit__(*failure)

    def _reset(self) -> None:
        self.run.partial = {}
        self.losses: list[float] = []  # of the epoch so far
        self.fresh: list[Tensor] = []  # those not looked at yet, still on the device
        self.began, self.waiting, self.images = time.perf_counter(), 0.0, 0

    def pause(self) -> None:
        """Write a checkpoint in the middle of an epoch, unless the loss has gone astray."""
        self._check(weights_too=True)
        seconds = time.perf_counter() - self.began
        self.run.partial = {"losses": self.losses, "images": self.images, "waiting": self.waiting, "seconds": seconds}
        self.run.save()
        self.saved = time.perf_counter()

    def waited(self, seconds: float) -> None:
        self.waiting += seconds

    def saw(self, loss: Tensor) -> None:
        """Take note of the loss of the step just made; at the end of an epoch measure and save."""
        run = self.run
        self.fresh.append(loss)
        self.images += run.plan.count(run.step - 1)
        self.bar.update(run.plan.pixels(run.step - 1))
        if self.tracer:
            self.tracer.step()
        epoch, place = divmod(run.step, run.plan.steps_per_epoch)
        if place == 0:
            self._end_epoch(epoch - 1)
        elif run.config.checkpoint_minutes and self.agreed(
            "checkpoint", time.perf_counter() - self.saved > 60 * run.config.checkpoint_minutes
        ):
            self.pause()
        elif len(self.fresh) >= CHECK_EVERY:
            self._check()

    def agreed(self, what: str, flag: bool) -> bool:
        """Is `flag` true in any process?  They have to agree on when to pause, which costs a message: now and then.

        `what` is asked about: "stop" or "checkpoint".  How many steps go by depends on the slowest of them all.
        """
        if distributed.count() == 1:
            return flag
        step, now = self.run.step, time.perf_counter()
        last, moment, due = self.asked.get(what, (step - 1, self.began, step))
        if step < due:
            return False
        answers = distributed.gather((flag, (now - moment) / (step - last)))
        pause = int(AGREE_WITHIN / max(seconds for _, seconds in answers))
        self.asked[what] = step, now, step + max(1, min(CHECK_EVERY, pause))
        return any(wanted for wanted, _ in answers)

    def _check(self, weights_too: bool = False) -> None:
        """TrainingError at the first loss that is not finite, or if asked where a weight is not."""
        run = self.run
        values = torch.stack(self.fresh).tolist() if self.fresh else []
        for step, value in enumerate(values, run.step - len(values)):
            if not math.isfinite(value):
                keys = ", ".join(run.train_set.keys[index] for _, index in run.plan.batch(step))
                rate = learning_rate(run.config, step, run.plan.steps)
                raise TrainingError(
                    f"the loss became {value} at step {step} of {run.plan.steps} (epoch "
                    f"{step // run.plan.steps_per_epoch}, learning rate {rate:.2g}, images {keys}); the checkpoint in "
                    f"{run.folder} is untouched: lower optimizer.lr, or try --amp=off."
                )
        self.losses += values
        self.fresh = []
        if weights_too and not run.finite():
            raise TrainingError(
                f"a weight is no longer a number after step {run.step - 1} of {run.plan.steps}, though the loss was; "
                f"the checkpoint in {run.folder} is untouched: lower optimizer.lr, or try --amp=off."
            )

    def _end_epoch(self, epoch: int) -> None:
        run, config = self.run, self.run.config
        self._check(weights_too=True)
        entry = {
            "epoch": epoch,
            "loss": float(torch.tensor(self.losses).mean()),
            "lr": learning_rate(config, run.step - 1, run.plan.steps),
            "crop_size": run.plan.crop_size(epoch),
            "images": self.images,
            "waiting_share": self.waiting / (time.perf_counter() - self.began),
        }
        last = epoch + 1 == config.epochs
        if last or (epoch + 1) % config.eval_interval == 0:
            scores = run.measure()
            names = ("miou", "boundary_iou", "pixel_accuracy", "foreground_iou")
            entry["val"] = {name: scores[name] for name in names if scores.get(name) is not None}
            best = max((h["val"].get(config.metric, -1) for h in run.history if "val" in h), default=-1)
            if config.selection == "last" or entry["val"].get(config.metric, -1) > best:
                self._keep_best(entry)
        entry["seconds"] = time.perf_counter() - self.began
        run.history.append(entry)
        self._reset()
        run.save()
        self.saved = time.perf_counter()
        self.bar.set_postfix_str(_summary(entry))
        if self.board:
            for name, value in {**entry, **entry.get("val", {})}.items():
                if isinstance(value, (int, float)):
                    self.board.add_scalar(name, value, epoch)
        if config.metric not in entry.get("val", {config.metric: 0}):
            raise TrainingError(
                f"{run.val_set.name}, {config.data.val_split}: there is nothing to score by {config.metric}, for no "
                "class that it counts occurs in the masks; choose another data.val_split or metric."
            )
        if self.on_measured and "val" in entry:
            self.on_measured(entry)

    def _keep_best(self, entry: dict) -> None:
        run = self.run
        tensors = placement.whole(run.best_model.state_dict(), keep=distributed.rank() == 0)
        if distributed.rank():
            return
        notes = {
            "config": config_to_dict(run.config),
            "classes": list(run.train_set.classes),
            "palette": run.train_set.palette.tolist(),
            "num_outputs": run.classes,
            "epoch": entry["epoch"],
            "val": entry["val"],
        }
        weights.write_tensors(run.folder / "best.safetensors", tensors, notes)


def _summary(entry: dict) -> str:
    titles = {"miou": "mIoU", "boundary_iou": "B-IoU"}
    found = [f"{title} {entry['val'][name]:.4f}" for name, title in titles.items() if name in entry.get("val", {})]
    val = f", val {', '.join(found)}" if found else ""
    waiting = f", {entry['waiting_share']:.0%} waiting for data" if entry["waiting_share"] > 0.1 else ""
    return f"epoch {entry['epoch'] + 1}, loss {entry['loss']:.4f}{val}{waiting}"


def open_board(folder: Path):
    """A TensorBoard writer for the run folder.  TrainingError if TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise TrainingError(
            "tensorboard is true, but TensorBoard is not installed; pip install tensorboard, or leave it off."
        ) from None
    return SummaryWriter(str(folder))


def make_tracer(folder: Path, steps: int) -> torch.profiler.profile:
    """A profiler that skips three steps, records `steps`, and writes `trace.json`, which chrome://tracing shows."""
    return torch.profiler.profile(
        schedule=torch.profiler.schedule(skip_first=2, wait=0, warmup=1, active=steps, repeat=1),
        on_trace_ready=lambda profile: profile.export_chrome_trace(str(folder / "trace.json")),
    )
