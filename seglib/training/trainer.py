"""The training loop: plain PyTorch, the same on CPU and GPU, in one process or many."""

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
import torch
import yaml
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from .. import data, distributed, files
from ..config import Config, ConfigError, config_to_dict, load_config
from ..data.sampler import Augmented, Share
from .interrupt import Interrupt
from .monitor import Watch
from .state import Run, TrainingError


def train(
    config: Config,
    resume: bool = False,
    progress: bool = True,
    on_measured: Callable[[dict], None] | None = None,
) -> list[dict]:
    """Train as `config` says; returns the history, an entry an epoch.

    `resume` goes on from the run folder's checkpoint.  `on_measured` is called with each entry that has
    scores, once it is written; what it raises stops the run.  Ctrl-C finishes the step under way, writes
    a checkpoint and raises KeyboardInterrupt.  Raises TrainingError if the folder already holds a run,
    if there is nothing to resume, or when the loss is no longer finite.

    Under torchrun every process calls this and sees its share of each batch; the first one writes.
    """
    run = Run(config, resume)
    if resume:
        run.restore()
    elif (run.folder / "checkpoint.pt").exists():
        raise TrainingError(
            f"{run.folder}: already holds a run; add --resume to go on, or choose another --output_dir."
        )
    elif (run.folder / "history.json").exists():
        raise TrainingError(
            f"{run.folder}: holds the results of a run without its checkpoint; choose another --output_dir."
        )
    with _folder(run), _explained():
        return _train(run, progress, on_measured)


@contextmanager
def _folder(run: Run) -> Iterator[None]:
    """The run's folder with its configuration, kept from other runs.  TrainingError if one is at work there."""
    if distributed.rank():
        yield
        return
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise TrainingError(
            f"{run.folder}: is a file, and a run needs a folder; choose another --output_dir."
        ) from None
    try:
        with files.lock_folder(run.folder):
            _write_configuration(run)
            yield
    except files.FolderLocked:
        raise TrainingError(
            f"{run.folder}: another run is at work there; wait, or choose another --output_dir."
        ) from None


def _write_configuration(run: Run) -> None:
    """Put the run's configuration into its folder.  One that is there and says the same stays, with its comments.

    One that says something else, and is not that of a run which goes on, is kept under another name.
    """
    file = run.folder / "config.yaml"
    if file.exists() and not run.step:
        try:
            if config_to_dict(load_config(file)) == config_to_dict(run.config):
                return
        except ConfigError:
            pass
        number = 1
        while (kept := file.with_name(f"config-before-{number}.yaml")).exists():
            number += 1
        file.rename(kept)
    files.write_text(file, yaml.safe_dump(config_to_dict(run.config), sort_keys=False))


def _train(run: Run, progress: bool, on_measured: Callable[[dict], None] | None) -> list[dict]:
    config = run.config
    run.plan.start = run.step
    loader = DataLoader(
        Augmented(run.train_set, run.plan, config),
        batch_sampler=Share(run.plan, distributed.rank(), distributed.count()),
        num_workers=run.num_workers,
        pin_memory=run.device.type == "cuda",
        worker_init_fn=_start_worker,
    )
    total = sum(run.plan.pixels(step) for step in range(run.plan.steps))
    done = sum(run.plan.pixels(step) for step in range(run.step))
    form = "{l_bar}{bar}| {elapsed} elapsed, {remaining} left{postfix}"
    shown = None if progress and distributed.rank() == 0 else True  # None: only on a terminal
    # smoothing=0: the time left comes from the rate so far, not from the last step, which may have been a measurement.
    bar = tqdm(total=total, initial=done, bar_format=form, smoothing=0, disable=shown)
    with Interrupt() as interrupt, bar, Watch(run, bar, on_measured) as watch:
        stopped = _loop(run, loader, watch, interrupt)
    if stopped:
        raise KeyboardInterrupt
    return run.history


def _loop(run: Run, loader: DataLoader, watch: Watch, interrupt: Interrupt) -> bool:
    """Train to the end, or until asked to stop; returns whether it was."""
    run.model.train()
    began = time.perf_counter()
    for images, masks in _readable(loader):
        watch.waited(time.perf_counter() - began)
        watch.saw(run.train_step(images, masks))
        if watch.agreed("stop", interrupt.asked):
            watch.pause()
            return True
        began = time.perf_counter()
    return False


def _start_worker(number: int) -> None:
    """Ctrl-C reaches every process of a terminal, and only the one that trains shall act on it; and one thread each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)


@contextmanager
def _explained() -> Iterator[None]:
    """What PyTorch raises in the middle of anything for want of memory or of a loading process, in a sentence."""
    try:
        yield
    except (MemoryError, RuntimeError, ConnectionError, EOFError) as error:  # the last two where a process dies
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        if _is_want_of_memory(error):
            raise TrainingError(
                f"memory is full ({reason}); raise --accumulation_steps, or lower --batch_size or --augment.crop_sizes, and go "
                "on with --resume if there is a checkpoint: the last one is good."
            ) from None
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's handler would raise again, wherever we are then
        raise TrainingError(
            f"a process that loads images died ({reason}); the last checkpoint is good: go on with "
            "--resume, and with fewer --num_workers if memory ran out."
        ) from None


def _is_want_of_memory(error: Exception) -> bool:
    """On CPUs and some accelerators PyTorch tells it in the text alone."""
    told = isinstance(error, RuntimeError) and re.search(r"DefaultCPUAllocator|out of memory", str(error))
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or bool(told)


def _readable(loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches; what goes wrong in a loading process is told without that process's traceback."""
    try:
        yield from loader
    except data.DataError as error:
        text = str(error)
        raise data.DataError(
            text.rpartition("DataError: ")[2].strip() if text.startswith("Caught ") else text
        ) from None
