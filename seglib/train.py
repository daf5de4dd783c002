"""The training loop: one function, plain PyTorch, the same on CPU and GPU.

A run is a folder with `config.yaml` (what was asked), `history.json` (an entry an epoch),
`checkpoint.pt` (everything needed to go on) and `best.safetensors` (the weights that scored best on
val).  Every file is replaced atomically, so a run that dies at any moment can be resumed.
"""

import io
import json
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import cv2
import torch
import yaml
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from . import config as configuration
from . import data, files, models, weights
from .augment import normalize
from .config import Config, ModelConfig
from .evaluate import evaluate
from .losses import SegmentationLoss, class_weights
from .optimize import Average, amp_dtype, learning_rate, make_optimizer
from .plan import Augmented, Plan
from .predict import Predictor, pick_device

# Options that change nothing in the result, so that a resumed run may have others.
FREE_TO_CHANGE = {"run", "device", "workers", "data.root", "data.cache_mb"}
CHECK_EVERY = 20  # steps between two looks at the loss; looking waits for the device


class TrainingError(RuntimeError):
    """A run that cannot start or go on; the message says where, why and what to do."""


class Interrupt:
    """Within it, Ctrl-C or a polite kill only raises `asked`, so that the step under way can be finished.

    A second Ctrl-C stops at once.
    """

    asked = False

    def __enter__(self) -> "Interrupt":
        self.previous = {}
        if threading.current_thread() is threading.main_thread():  # signals reach no other thread
            for number in (signal.SIGINT, signal.SIGTERM):
                self.previous[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number, frame) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *_) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)


class Run:
    """One training run: everything that changes while it goes on, and how to save and restore it."""

    def __init__(self, config: Config):
        self.config = config
        self.folder = Path(config.run)
        self.device = pick_device(config.device)
        self.amp = amp_dtype(config.amp, self.device)
        self.workers = config.workers if config.workers >= 0 else 0 if self.device.type == "cpu" else 4
        self.train_set, self.val_set = (
            data.load(config.data.name, split, config.data.root, config.data.list_name,
                      (config.data.cache_mb << 20) // max(1, self.workers), **config.data.options)
            for split in (config.data.train_split, config.data.val_split)
        )  # fmt: skip
        torch.manual_seed(config.seed)
        self.classes = config.num_classes or self.train_set.num_classes
        if self.classes != self.train_set.num_classes and (self.classes, self.train_set.num_classes) != (1, 2):
            raise TrainingError(
                f"num_classes is {self.classes}, but {self.train_set.name} has {self.train_set.num_classes} classes; "
                "leave it at 0 to take the data set's."
            )
        if config.metric == "foreground_iou" and self.train_set.num_classes != 2:
            raise TrainingError(f"metric is foreground_iou, but {self.train_set.name} has more classes; choose miou.")
        model = make_model(config.model, self.classes)
        self.model = model.to(self.device, memory_format=torch.channels_last)
        self.average = Average(self.model, config.ema) if config.ema else None
        self.loss = make_loss(config, self.model, self.train_set).to(self.device)
        self.optimizer = make_optimizer(self.model, config)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.amp is torch.float16)
        self.plan = Plan(len(self.train_set), config)
        self.step = 0
        self.history: list[dict] = []
        self.partial: dict = {}  # what was seen of an epoch that is not over

    @property
    def best_model(self) -> nn.Module:
        """The network that is measured and released: the average if there is one."""
        return self.average.model if self.average else self.model

    def train_step(self, images: Tensor, masks: Tensor) -> Tensor:
        """One step on uint8 images (N, S, S, 3) and masks (N, S, S); returns the loss, still on the device."""
        images = images.to(self.device, non_blocking=True).permute(0, 3, 1, 2)  # (N, 3, S, S), channels last
        masks = masks.to(self.device, non_blocking=True)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.step, self.plan.steps)
        with torch.autocast(self.device.type, self.amp, enabled=self.amp is not None):
            outputs = self.model(normalize(images))
        loss = self.loss(outputs, masks)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        if self.config.optimizer.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.optimizer.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average:
            self.average.update(self.model, self.step)
        self.step += 1
        return loss.detach()

    def measure(self) -> dict:
        """The scores on val."""
        predictor = Predictor(self.best_model, **asdict(self.config.inference), device=self.device, amp_dtype=self.amp)
        try:
            return evaluate(predictor, self.val_set)
        finally:
            self.model.train()  # the predictor left it in eval mode where there is no average to measure

    def save(self) -> None:
        """Write `checkpoint.pt` and `history.json`, each atomically."""
        state = {
            "config": configuration.to_dict(self.config),
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": torch.get_rng_state(),
            "history": self.history,
            "partial": self.partial,
        }
        buffer = io.BytesIO()  # so that a full disk is met by a plain write, which says so
        torch.save(state, buffer)
        files.write_atomically(self.folder / "checkpoint.pt", lambda file: file.write(buffer.getbuffer()))
        files.write_text(self.folder / "history.json", json.dumps(self.history, indent=1))

    def restore(self) -> None:
        """Go back to `checkpoint.pt`.  TrainingError if it is not there, damaged, or of another configuration."""
        file = self.folder / "checkpoint.pt"
        try:
            state = torch.load(file, map_location=self.device, weights_only=True)
        except FileNotFoundError:
            raise TrainingError(f"{file}: there is no checkpoint to resume; start without --resume.") from None
        except Exception as error:  # torch names damage by many types
            raise TrainingError(f"{file}: the checkpoint is damaged ({type(error).__name__}); start anew.") from None
        before, now = _flat(state["config"]), _flat(configuration.to_dict(self.config))
        for option in sorted((before.keys() | now.keys()) - FREE_TO_CHANGE):
            if before.get(option) != now.get(option):
                raise TrainingError(
                    f"{file}: {option} was {before.get(option)} and is now {now.get(option)}; "
                    "resume with the configuration of the run, or choose another --run."
                )
        self.model.load_state_dict(state["model"])
        if self.average:
            self.average.model.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scaler.is_enabled() and state["scaler"]:  # a run may go on where another precision is used
            self.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["random"].cpu())
        self.step, self.history, self.partial = state["step"], state["history"], state["partial"]


def make_model(config: ModelConfig, num_classes: int) -> nn.Module:
    """The network that `config` asks for, with the weights it starts from; tells on stderr what was loaded."""
    if config.start is None or not (config.start in weights.names() or config.start.endswith(".safetensors")):
        return models.create(config.name, num_classes, pretrained=config.start, **config.options)
    model = models.create(config.name, num_classes, **config.options)
    file = Path(config.start) if config.start.endswith(".safetensors") else weights.find(config.start)
    print(f"{file.name}: {models.load_weights(model, weights.read_tensors(file)[0])}", file=sys.stderr)
    return model


def make_loss(config: Config, model: nn.Module, train_set: data.SegmentationDataset) -> SegmentationLoss:
    """The loss that `config` asks for; rules for class weights look at all masks of the training set."""
    asked = config.loss.class_weights
    if isinstance(asked, str):
        asked = class_weights(asked, train_set.pixel_counts() if asked != "none" else [])
    outputs = config.loss.output_weights or getattr(model, "OUTPUT_WEIGHTS", None)
    return SegmentationLoss(config.loss.terms, asked, output_weights=outputs, options=config.loss.options)


def _flat(values: dict, prefix: str = "") -> dict:
    """{"a": {"b": 1}} as {"a.b": 1}."""
    flat = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def train(config: Config, resume: bool = False, progress: bool = True) -> list[dict]:
    """Train as `config` says; returns the history, an entry an epoch.

    `resume` goes on from the run folder's checkpoint.  Ctrl-C finishes the step under way, writes a
    checkpoint and raises KeyboardInterrupt.  Raises TrainingError if the folder already holds a run,
    if there is nothing to resume, or when the loss is no longer finite.
    """
    run = Run(config)
    if resume:
        run.restore()
    elif (run.folder / "checkpoint.pt").exists():
        raise TrainingError(f"{run.folder}: already holds a run; add --resume to go on, or choose another --run.")
    run.folder.mkdir(parents=True, exist_ok=True)
    files.write_text(run.folder / "config.yaml", yaml.safe_dump(configuration.to_dict(config), sort_keys=False))
    run.plan.start = run.step
    loader = DataLoader(
        Augmented(run.train_set, run.plan, config),
        batch_sampler=run.plan,
        num_workers=run.workers,
        pin_memory=run.device.type == "cuda",
        worker_init_fn=_start_worker,
    )
    total = sum(run.plan.pixels(step) for step in range(run.plan.steps))
    done = sum(run.plan.pixels(step) for step in range(run.step))
    form = "{l_bar}{bar}| {elapsed} elapsed, {remaining} left{postfix}"
    # smoothing=0: the time left comes from the rate so far, not from the last step, which may have been a measurement.
    bar = tqdm(total=total, initial=done, bar_format=form, smoothing=0, disable=None if progress else True)
    with Interrupt() as interrupt, bar:
        _loop(run, loader, interrupt, bar)
    if interrupt.asked:
        raise KeyboardInterrupt
    return run.history


def _loop(run: Run, loader: DataLoader, interrupt: Interrupt, bar: tqdm) -> None:
    run.model.train()
    watch = Watch(run)
    began = time.perf_counter()
    for images, masks in _readable(loader):
        watch.waited(time.perf_counter() - began)
        watch.saw(run.train_step(images, masks))
        bar.update(run.plan.pixels(run.step - 1))
        epoch, place = divmod(run.step, run.plan.steps_per_epoch)
        if place == 0:
            watch.end_epoch(epoch - 1, bar)
        if interrupt.asked:
            watch.pause()
            return
        began = time.perf_counter()


def _start_worker(number: int) -> None:
    """Ctrl-C reaches every process of a terminal, and only the one that trains shall act on it; and one thread each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)


def _readable(loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches; a DataError from another process is stripped of that process's traceback."""
    try:
        yield from loader
    except data.DataError as error:
        text = str(error)
        raise data.DataError(
            text.rpartition("DataError: ")[2].strip() if text.startswith("Caught ") else text
        ) from None


class Watch:
    """Looks at the losses of an epoch, writes its history, and keeps the best weights."""

    def __init__(self, run: Run):
        self.run = run
        before = run.partial
        self._reset()
        if before:
            self.losses = list(torch.tensor(before["losses"], device=run.device))
            self.images, self.waiting, self.checked = before["images"], before["waiting"], len(self.losses)
            self.began -= before["seconds"]

    def _reset(self) -> None:
        self.run.partial = {}
        self.losses: list[Tensor] = []
        self.began, self.waiting, self.images, self.checked = time.perf_counter(), 0.0, 0, 0

    def pause(self) -> None:
        """Write a checkpoint in the middle of an epoch, unless the loss has gone astray."""
        self._check()
        seconds = time.perf_counter() - self.began
        if self.losses:
            self.run.partial = {"losses": torch.stack(self.losses).tolist(), "images": self.images,
                                "waiting": self.waiting, "seconds": seconds}  # fmt: skip
        self.run.save()

    def waited(self, seconds: float) -> None:
        self.waiting += seconds

    def saw(self, loss: Tensor) -> None:
        self.losses.append(loss)
        self.images += self.run.plan.count(self.run.step - 1)
        if len(self.losses) - self.checked >= CHECK_EVERY:
            self._check()

    def _check(self) -> None:
        """TrainingError at the first loss that is not finite."""
        run = self.run
        values = torch.stack(self.losses[self.checked :]).tolist() if len(self.losses) > self.checked else []
        for step, value in enumerate(values, run.step - len(values)):
            if not math.isfinite(value):
                keys = ", ".join(run.train_set.keys[index] for _, index in run.plan.batch(step))
                rate = learning_rate(run.config, step, run.plan.steps)
                raise TrainingError(
                    f"the loss became {value} at step {step} of {run.plan.steps} (epoch "
                    f"{step // run.plan.steps_per_epoch}, learning rate {rate:.2g}, images {keys}); the checkpoint in "
                    f"{run.folder} is untouched: lower optimizer.lr, or try --amp=off."
                )
        self.checked = len(self.losses)

    def end_epoch(self, epoch: int, bar: tqdm) -> None:
        run, config = self.run, self.run.config
        self._check()
        entry = {
            "epoch": epoch,
            "loss": float(torch.stack(self.losses).mean()),
            "lr": learning_rate(config, run.step - 1, run.plan.steps),
            "crop_size": run.plan.crop_size(epoch),
            "images": self.images,
            "waiting_share": self.waiting / (time.perf_counter() - self.began),
        }
        last = epoch + 1 == config.epochs
        if last or (epoch + 1) % config.evaluate_every == 0:
            scores = run.measure()
            names = ("miou", "boundary_iou", "pixel_accuracy", "foreground_iou")
            entry["val"] = {name: scores[name] for name in names if name in scores}
            best = max((h["val"][config.metric] for h in run.history if "val" in h), default=-1)
            if entry["val"][config.metric] > best:
                self._keep_best(entry)
        entry["seconds"] = time.perf_counter() - self.began
        run.history.append(entry)
        self._reset()
        run.save()
        bar.set_postfix_str(_summary(entry))

    def _keep_best(self, entry: dict) -> None:
        run = self.run
        notes = {
            "config": configuration.to_dict(run.config),
            "classes": list(run.train_set.classes),
            "palette": run.train_set.palette.tolist(),
            "num_outputs": run.classes,
            "epoch": entry["epoch"],
            "val": entry["val"],
        }
        weights.write_tensors(run.folder / "best.safetensors", run.best_model.state_dict(), notes)


def _summary(entry: dict) -> str:
    val = f", val mIoU {entry['val']['miou']:.4f}, B-IoU {entry['val']['boundary_iou']:.4f}" if "val" in entry else ""
    waiting = f", {entry['waiting_share']:.0%} waiting for data" if entry["waiting_share"] > 0.1 else ""
    return f"epoch {entry['epoch'] + 1}, loss {entry['loss']:.4f}{val}{waiting}"
