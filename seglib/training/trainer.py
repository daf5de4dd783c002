"""The training loop in plain PyTorch.

`fit` calls `train_one_epoch`, which calls `train_step` for every batch; after the epoch, `fit` calls `validate`.  The
same code runs on CPUs and GPUs, in a single process or in several processes started by torchrun.
"""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from .. import distributed, weights
from ..config import Config, config_to_dict
from ..data.sampler import TrainingBatchSampler, accumulation_weights
from ..data.transforms import normalize
from ..evaluation import count_image
from ..inference import Predictor
from ..metrics import Counts
from . import build, checkpoint
from .distillation import Teachers
from .errors import TrainingError, explain_errors
from .interrupt import Agreement, Interrupt
from .logger import SCORES, EpochMeter, RunLogger, one_class_warning, print_line
from .optimizer import ModelEMA, amp_dtype, freeze_encoder, learning_rate, make_optimizer

CHECK_EVERY = 20  # steps between two checks that the losses are finite; each check waits for the device


def fit(
    config: Config, resume: bool = False, progress: bool = True, on_validated: Callable[[dict], None] | None = None
) -> list[dict]:
    """Train a network with `config`.  This is shorthand for `Trainer(config, resume).fit(progress, on_validated)`."""
    return Trainer(config, resume).fit(progress, on_validated)


class Trainer:
    """One training run.

    Args:
        config: the configuration of the run.
        resume: whether to resume from `checkpoint.pt` in `config.output_dir`.

    Attributes:
        model: the network whose weights the optimizer updates.
        ema: exponential moving average of the network's weights, or None.
        step: the number of optimizer steps so far.
        history: one entry per epoch with loss, learning rate, validation scores and seconds.

    Raises:
        TrainingError: if options contradict each other or the data, or if the checkpoint to resume from is missing, is
            corrupted, or was saved with a different configuration.
    """

    def __init__(self, config: Config, resume: bool = False):
        self.folder, self.resumed = Path(config.output_dir), resume
        self.device = build.pick_training_device(config)
        distributed.init_process_group(self.device)
        self.num_workers = build.pick_num_workers(config, self.device)
        self.train_set, self.val_set = build.load_datasets(config, self.num_workers)
        self.config = config = build.prepare_channels(config, self.train_set)
        self.num_classes = build.pick_num_classes(config, self.train_set)
        self.sampler = TrainingBatchSampler(len(self.train_set), config)
        self.schedule = partial(learning_rate, config, total_steps=self.sampler.total_steps)

        torch.manual_seed(config.seed)
        start = replace(config.model, init_from=None) if resume else config.model
        model = build.make_model(start, self.num_classes, self.train_set.channels or 3)
        build.check_encoder_options(config, model)
        self.amp_dtype = amp_dtype(config.amp, self.device, model)
        model = distributed.sync_batch_norm(model, self.device)
        self.memory_format = build.pick_memory_format(model, self.device, self.amp_dtype)
        self.model = model.to(self.device, memory_format=self.memory_format)
        self.ema = ModelEMA(self.model, config.ema) if config.ema else None
        self.forward = distributed.wrap_model(torch.compile(self.model) if config.compile else self.model, self.device)

        self.loss = build.make_loss(config, self.model, self.train_set).to(self.device)
        self.teachers = None
        if config.distillation.teachers:
            self.teachers = Teachers(config.distillation, self.num_classes, self.device, config.inference.mean)
        self.optimizer = make_optimizer(self.model, config)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.amp_dtype is torch.float16)

        self.step = 0
        self.history: list[dict] = []
        self.partial_epoch: dict = {}  # losses and times of an interrupted epoch
        if resume:
            self.load_checkpoint()

    @property
    def eval_model(self) -> nn.Module:
        """The network that is validated and saved as best.safetensors: if EMA is used, the averaged network."""
        return self.ema.model if self.ema else self.model

    def fit(self, progress: bool = True, on_validated: Callable[[dict], None] | None = None) -> list[dict]:
        """Train from the current epoch to the last one.

        After Ctrl-C or SIGTERM, the run finishes the current step, writes a checkpoint and raises KeyboardInterrupt.
        Under torchrun, every process calls this method and trains on its part of each batch; rank 0 writes the files.

        Args:
            progress: whether to print one line per epoch on stderr, and on a terminal also a progress bar.
            on_validated: function to call with the history entry after each validation, once the checkpoint is saved.
                An exception raised by this function stops the run.

        Returns:
            The history, one entry per epoch.

        Raises:
            TrainingError: if the folder already contains a run, a loss or a weight is not finite, training runs out of
                memory, or a worker process died.
        """
        config = self.config
        train_loader = build.make_train_loader(config, self.train_set, self.sampler, self.num_workers)
        val_loader = build.make_val_loader(config, self.val_set, self.num_workers)
        with (
            checkpoint.run_folder(self.folder, config, self.resumed),
            explain_errors(config),
            Interrupt() as self.interrupt,
            RunLogger(config, self.sampler, self.step, progress) as self.logger,
        ):
            self.agreement, self.saved_at = Agreement(), time.perf_counter()
            for epoch in range(len(self.history), config.epochs):
                meter = self.train_one_epoch(epoch, train_loader)
                entry = {"epoch": epoch, "lr": self.schedule(self.step - 1), "crop_size": self.sampler.crop_size(epoch)}
                entry |= meter.summary()
                if epoch + 1 == config.epochs or (epoch + 1) % config.eval_interval == 0:
                    scores = self.validate(val_loader)
                    entry["val"] = {name: scores[name] for name in SCORES if scores.get(name) is not None}
                    if config.selection == "last" or self.is_best(entry):
                        self.save_best(entry)
                entry["seconds"] = meter.seconds()
                self.history.append(entry)
                self.save_checkpoint()
                self.logger.log_epoch(entry)
                if "val" in entry:
                    self.check_metric(entry)
                    if on_validated:
                        on_validated(entry)
        return self.history

    def train_one_epoch(self, epoch: int, loader: DataLoader) -> EpochMeter:
        """Train for one epoch, or for the rest of the epoch in a resumed run.

        Returns:
            The losses, the number of images and the times of the epoch.
        """
        self.set_train_mode(epoch)
        self.sampler.set_epoch(epoch, self.step)
        meter = EpochMeter(self.partial_epoch)
        save_after = 60 * self.config.checkpoint_minutes or math.inf
        for images, masks in meter.iterate(loader):  # (n, S, S, C) and (n, S, S)
            loss = self.train_step(images, masks)
            meter.update(loss, self.sampler.num_batch_images(self.step - 1))
            self.logger.log_step(self.step - 1, meter)
            save_due = time.perf_counter() - self.saved_at > save_after
            stop, save = self.agreement.any_process(self.interrupt.requested, save_due)
            if stop or save:
                self.check_finite(meter, weights_too=True)
                self.partial_epoch = meter.state()
                self.save_checkpoint()
            elif len(meter.pending) >= CHECK_EVERY:
                self.check_finite(meter)
            if stop:
                raise KeyboardInterrupt
        self.check_finite(meter, weights_too=True)
        self.partial_epoch = {}
        return meter

    def set_train_mode(self, epoch: int) -> None:
        """Put the network into training mode, with a frozen encoder in the first epochs if so configured."""
        self.model.train()
        if self.config.model.freeze_encoder_epochs:
            freeze_encoder(self.model, epoch < self.config.model.freeze_encoder_epochs)

    def train_step(self, images: Tensor, masks: Tensor) -> Tensor:
        """Perform one optimizer step with this process's part of a batch.

        Args:
            images: images (n, S, S, C), uint8 if they are RGB, otherwise float32.
            masks: target masks (n, S, S).

        Returns:
            The loss of the whole batch, a scalar on the device.
        """
        # Dropout depends only on the step and the process, so a resumed run gets the same dropout masks.
        seed = np.random.SeedSequence([self.config.seed, self.step, distributed.rank()])
        torch.manual_seed(int(seed.generate_state(1)[0]))
        images = images.to(self.device, non_blocking=True).permute(0, 3, 1, 2)  # (n, C, S, S), channels last in memory
        masks = masks.to(self.device, non_blocking=True)
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule(self.step) * group.get("lr_factor", 1.0)
        self.optimizer.zero_grad(set_to_none=True)

        # For gradient accumulation, every process needs the same number of parts, each with at least one image.
        batch_size, world_size = self.sampler.num_batch_images(self.step), distributed.world_size()
        num_parts = max(1, min(self.config.accumulation_steps, batch_size // world_size))
        shares = accumulation_weights(batch_size, num_parts, world_size)
        parts = zip(images.tensor_split(num_parts), masks.tensor_split(num_parts), shares, strict=True)
        losses = []
        for i, (part_images, part_masks, share) in enumerate(parts):
            exchange_later = world_size > 1 and i < num_parts - 1  # DDP averages gradients after the last part
            with self.forward.no_sync() if exchange_later else nullcontext():
                loss = self.compute_loss(part_images, part_masks) * share
                self.scaler.scale(loss).backward()
            losses.append(loss.detach())

        if self.config.optimizer.max_grad_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.optimizer.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.ema:
            self.ema.update(self.step)
        self.step += 1
        return sum(losses)

    def compute_loss(self, images: Tensor, masks: Tensor) -> Tensor:
        """Return the loss, a scalar, for images (n, C, S, S) before normalization and target masks (n, S, S)."""
        with torch.autocast(self.device.type, self.amp_dtype, enabled=self.amp_dtype is not None):
            inputs = normalize(images, self.config.inference.mean, self.config.inference.std)
            inputs = inputs.contiguous(memory_format=self.memory_format)
            outputs = self.forward(inputs)  # logits (n, C, S, S), or a tuple of such tensors
            soft_targets = self.teachers.predict(inputs) if self.teachers else None
        loss = self.loss(outputs, masks)
        if self.teachers:
            loss = loss + self.teachers.loss(outputs, soft_targets, masks, self.loss)
        return loss

    def validate(self, loader: DataLoader | None = None) -> dict:
        """Return the scores of `eval_model` on the validation set, in the format of `metrics.Counts.scores`.

        Predictions are compared with the masks at native size.  Each image is evaluated by one of the processes, and
        the scores are computed from the pixel counts of all processes.
        """
        loader = loader or build.make_val_loader(self.config, self.val_set, 0)
        # On CPUs, each process has its own batch-normalization statistics; rank 0's statistics are saved and validated.
        distributed.broadcast_buffers(self.eval_model)
        options = asdict(self.config.inference)
        predictor = Predictor(self.eval_model, **options, device=self.device, amp_dtype=self.amp_dtype)
        counts = Counts(self.val_set.num_classes)
        for images, masks in loader:  # lists of (H, W, C) and (H, W); the sizes may differ
            for mask, prediction in zip(masks, predictor.label_maps(images), strict=True):
                count_image(counts, mask, prediction)
        counts = sum(distributed.all_gather(counts), start=Counts(self.val_set.num_classes))
        if warning := one_class_warning(counts, self.val_set.classes, self.config):
            print_line(f"epoch {len(self.history) + 1}: {warning}")
        return counts.scores(self.val_set.classes)

    def check_finite(self, meter: EpochMeter, weights_too: bool = False) -> None:
        """Raise TrainingError if a loss, or with `weights_too` a parameter or buffer, is NaN or infinite.

        Losses are copied from the device here, up to `CHECK_EVERY` steps after they were computed.
        """
        total_steps = self.sampler.total_steps
        has_checkpoint = (self.folder / "checkpoint.pt").exists()
        state = f"the checkpoint in {self.folder} is unchanged" if has_checkpoint else "there is no checkpoint yet"
        remedy = f"{state}: start a new run with a lower optimizer.lr, or with --amp=off."
        if bad := meter.read_pending():
            steps_ago, value = bad
            step = self.step - steps_ago
            epoch = step // self.sampler.steps_per_epoch
            keys = ", ".join(self.train_set.keys[index] for _, index in self.sampler.batch(step))
            raise TrainingError(
                f"the loss became {value} at step {step} of {total_steps} (epoch {epoch + 1}, "
                f"learning rate {self.schedule(step):.2g}, images {keys}); {remedy}"
            )
        if not weights_too:
            return
        models = (self.model, self.ema.model) if self.ema else (self.model,)
        tensors = [tensor for model in models for tensor in (*model.parameters(), *model.buffers())]
        if distributed.any_process(not torch.stack([tensor.isfinite().all() for tensor in tensors]).all()):
            raise TrainingError(
                f"a weight is NaN or infinite after step {self.step - 1} of {total_steps}, "
                f"although the loss was finite; {remedy}"
            )

    def check_metric(self, entry: dict) -> None:
        """Raise TrainingError if `config.metric` is undefined because no validation mask contains its classes."""
        if self.config.metric not in entry["val"]:
            raise TrainingError(
                f"{self.val_set.name}, {self.config.data.val_split}: {self.config.metric} cannot be computed, because "
                "none of its classes occurs in the masks; choose another data.val_split or metric."
            )

    def is_best(self, entry: dict) -> bool:
        """Return whether the validation score of `entry` is higher than in all previous epochs."""
        metric = self.config.metric
        best = max((before["val"].get(metric, -1) for before in self.history if "val" in before), default=-1)
        return entry["val"].get(metric, -1) > best

    def save_best(self, entry: dict) -> None:
        """Write best.safetensors, which contains the weights of `eval_model` and the metadata needed to use them."""
        if distributed.rank() == 0:
            metadata = {
                "config": config_to_dict(self.config),
                "classes": list(self.train_set.classes),
                "palette": self.train_set.palette.tolist(),
                "num_outputs": self.num_classes,
                "background": self.train_set.background_index,
                "reading": self.train_set.reading,
                "epoch": entry["epoch"],
                "val": entry["val"],
            }
            weights.write_tensors(self.folder / "best.safetensors", self.eval_model.state_dict(), metadata)

    def save_checkpoint(self) -> None:
        """Write checkpoint.pt and history.json atomically.  Rank 0 writes them, and the other processes wait."""
        if distributed.rank() == 0:
            state = {
                "config": config_to_dict(self.config),
                "step": self.step,
                "model": self.model.state_dict(),
                "ema": self.ema.model.state_dict() if self.ema else None,
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "history": self.history,
                "partial_epoch": self.partial_epoch,
            }
            checkpoint.write_checkpoint(self.folder, state)
        self.saved_at = time.perf_counter()
        distributed.barrier()  # otherwise, a process that resumes immediately could read the previous checkpoint

    def load_checkpoint(self) -> None:
        """Restore the state of the run from checkpoint.pt.

        Raises:
            TrainingError: if the file is missing or corrupted, or was saved with a different configuration.
        """
        with checkpoint.reading(self.folder, self.config, self.device) as state:
            checkpoint.check_progress(state, self.sampler)
            checkpoint.load_weights(self.model, state["model"])
            if self.ema:
                checkpoint.load_weights(self.ema.model, state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.scaler.is_enabled() and state["scaler"]:  # empty if the run did not use fp16 before
                self.scaler.load_state_dict(state["scaler"])
            self.step, self.history, self.partial_epoch = state["step"], state["history"], state["partial_epoch"]
