"""Log a training run, with progress on stderr, TensorBoard events, a profile, and losses and times of each epoch."""

import math
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor
from tqdm import tqdm

from .. import distributed
from ..config import Config
from ..data.sampler import TrainingBatchSampler
from ..metrics import Counts
from .errors import TrainingError

SCORES = ("miou", "boundary_iou", "pixel_accuracy", "foreground_iou")  # validation scores kept in the history
TITLES = {"miou": "mIoU", "boundary_iou": "B-IoU"}
UNPROFILED_STEPS = 3  # the first steps are slower than later ones


class EpochMeter:
    """Losses and times of one epoch.

    Args:
        state: the result of `state()` when the epoch was interrupted, or an empty dictionary for a new epoch.
    """

    def __init__(self, state: dict):
        self.losses, self.images = list(state.get("losses", [])), state.get("images", 0)
        self.waiting = state.get("waiting", 0.0)
        self.began = time.perf_counter() - state.get("seconds", 0.0)
        self.pending: list[Tensor] = []  # losses that are still on the device

    def iterate(self, loader: Iterable) -> Iterator:
        """Yield the batches, and measure the time spent waiting for them."""
        requested_at = time.perf_counter()
        for batch in loader:
            self.waiting += time.perf_counter() - requested_at
            yield batch
            requested_at = time.perf_counter()

    def update(self, loss: Tensor, images: int) -> None:
        """Record the loss and the number of images of a step."""
        self.pending.append(loss)
        self.images += images

    def read_pending(self) -> tuple[int, float] | None:
        """Copy the pending losses from the device to `losses`.

        Returns:
            (number of steps ago, value) of the first loss that is not finite, or None if all are finite.  The latest
            step is 1 step ago.
        """
        values = torch.stack(self.pending).tolist() if self.pending else []
        self.losses, self.pending = self.losses + values, []
        return next(((len(values) - i, v) for i, v in enumerate(values) if not math.isfinite(v)), None)

    def seconds(self) -> float:
        """Return the time since the start of the epoch in seconds, excluding interruptions."""
        return time.perf_counter() - self.began

    def summary(self) -> dict:
        """Return the mean loss, number of images, images per second, and fraction of time spent waiting for data."""
        seconds = self.seconds()
        return {
            "loss": float(torch.tensor(self.losses).mean()),
            "images": self.images,
            "images_per_second": self.images / seconds,
            "waiting_share": self.waiting / seconds,
        }

    def state(self) -> dict:
        """Return the values that a resumed run needs to continue this epoch."""
        return {"losses": self.losses, "images": self.images, "waiting": self.waiting, "seconds": self.seconds()}


class RunLogger(ExitStack):
    """Context manager that logs progress on stderr, TensorBoard events and a profile.  Only rank 0 writes them.

    Args:
        config: the configuration of the run.
        sampler: the sampler of the training batches, which provides the size of each batch.
        first_step: the step from which the run starts or resumes.
        progress: whether to show a progress bar (on a terminal) and a line per epoch.

    Raises:
        TrainingError: if the configuration requires TensorBoard, but TensorBoard is not installed.
    """

    def __init__(self, config: Config, sampler: TrainingBatchSampler, first_step: int, progress: bool):
        super().__init__()
        self.config, self.sampler = config, sampler
        is_first = distributed.rank() == 0
        self.progress = progress and is_first
        pixels = [sampler.num_batch_pixels(step) for step in range(sampler.total_steps)]
        # smoothing=0: the remaining time is estimated from the mean speed so far, which includes validation.
        bar = tqdm(
            total=sum(pixels),
            initial=sum(pixels[:first_step]),
            bar_format="{l_bar}{bar}| {elapsed} elapsed, {remaining} left{postfix}",
            smoothing=0,
            disable=None if self.progress else True,  # None shows the bar only on a terminal
        )
        self.bar = self.enter_context(bar)
        print_unused_options(config, sampler, sampler.total_steps - first_step)
        self.tensorboard = self.profiler = None
        if config.tensorboard and is_first:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise TrainingError(
                    "tensorboard is true, but TensorBoard is not installed; pip install tensorboard, or leave it off."
                ) from None
            self.tensorboard = self.enter_context(SummaryWriter(config.output_dir))
        if config.profile_steps and is_first:  # open trace.json in chrome://tracing
            skip = {"skip_first": UNPROFILED_STEPS - 1, "wait": 0, "warmup": 1, "repeat": 1}
            profiler = torch.profiler.profile(
                schedule=torch.profiler.schedule(active=config.profile_steps, **skip),
                on_trace_ready=lambda p: p.export_chrome_trace(f"{config.output_dir}/trace.json"),
            )
            self.profiler = self.enter_context(profiler)

    def log_step(self, step: int, meter: EpochMeter) -> None:
        """Advance the progress bar and the profiler by one step."""
        self.bar.set_postfix_str(f"{meter.images / meter.seconds():.1f} images/s", refresh=False)
        self.bar.update(self.sampler.num_batch_pixels(step))
        if self.profiler:
            self.profiler.step()

    def log_epoch(self, entry: dict) -> None:
        """Print an entry of the history as a line, and write its values to TensorBoard."""
        if self.progress:
            print_line(summary(entry, self.config.epochs))
        if self.tensorboard:
            for name, value in {**entry, **entry.get("val", {})}.items():
                if isinstance(value, (int, float)):
                    self.tensorboard.add_scalar(name, value, entry["epoch"])


def print_unused_options(config: Config, sampler: TrainingBatchSampler, steps: int) -> None:
    """Report crop sizes that no epoch uses, and a value of `profile_steps` that exceeds the remaining `steps`."""
    sizes, used = sampler.crop_sizes, {sampler.crop_size(epoch) for epoch in range(config.epochs)}
    if unused := [str(size) for size in sizes if size not in used]:
        print_line(
            f"augment.crop_sizes: {len(sizes)} sizes share {config.epochs} epochs, so {', '.join(unused)} will not be "
            "used; train more epochs, or give fewer sizes."
        )
    if config.profile_steps > max(0, steps - UNPROFILED_STEPS):
        print_line(
            f"profile_steps is {config.profile_steps}, but after the first {UNPROFILED_STEPS} steps only "
            f"{max(0, steps - UNPROFILED_STEPS)} remain, so trace.json will show no more; choose a smaller number."
        )


def print_line(text: str) -> None:
    """Print a line on stderr, above the progress bar, but only on rank 0."""
    if distributed.rank() == 0:
        tqdm.write(text, file=sys.stderr)


def summary(entry: dict, epochs: int) -> str:
    """Return an entry of the history as one line of text."""
    val = entry.get("val", {})
    scores = "".join(f", {title} {val[name]:.4f}" for name, title in TITLES.items() if name in val)
    waiting = f", {entry['waiting_share']:.0%} waiting for data" if entry["waiting_share"] > 0.1 else ""
    return (
        f"epoch {entry['epoch'] + 1}/{epochs}: loss {entry['loss']:.4f}{scores}, "
        f"{entry['images_per_second']:.1f} images/s{waiting}, {entry['seconds']:.1f} s"
    )


def one_class_warning(counts: Counts, classes: Sequence[str], config: Config) -> str | None:
    """Return a warning with likely causes if all pixels are predicted as one class, but the masks have several."""
    predicted, target = counts.confusion.sum(0).nonzero()[0], counts.confusion.sum(1).nonzero()[0]
    if len(predicted) != 1 or len(target) < 2:
        return None
    return (
        f"all validation pixels were predicted as '{classes[predicted[0]]}'. In the first epochs this is common. Later "
        f"the likely causes are a learning rate that is too high (--optimizer.lr={config.optimizer.lr / 10:g}), rare "
        "classes (--loss.class_weights=sqrt_freq, or a dice term in the loss), or masks with wrong labels "
        f"(seglib data check {config.data.name})."
    )
