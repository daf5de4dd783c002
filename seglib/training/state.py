"""Everything that changes while a network is trained, one step of training, and how to save and restore it."""

import difflib
import io
import json
import sys
import zipfile
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from .. import data, distributed, files, models, runs, weights
from ..config import Config, ModelConfig, config_to_dict
from ..data.sampler import Plan
from ..data.transforms import normalize
from ..errors import SeglibError
from ..evaluation import evaluate
from ..inference import Predictor, pick_device
from ..losses import SegmentationLoss, class_weights
from ..models import pretrained
from . import placement
from .distillation import Teachers
from .optimizer import Average, amp_dtype, freeze_encoder, learning_rate, make_optimizer


class TrainingError(SeglibError, RuntimeError):
    """A run that cannot start or go on; the message says where, why and what to do."""


class Run:
    """One training run: everything that changes while it goes on, and how to save and restore it."""

    def __init__(self, config: Config, resume: bool = False):
        self.config = config
        self.folder = Path(config.output_dir)
        many = distributed.started_by_torchrun() and config.device in ("auto", "cuda") and torch.cuda.is_available()
        self.device = pick_device(f"cuda:{distributed.local_rank()}" if many else config.device)
        distributed.join(self.device)
        self.num_workers = config.num_workers if config.num_workers >= 0 else 0 if self.device.type == "cpu" else 4
        self.train_set, self.val_set = (
            data.load(
                config.data.name,
                split,
                config.data.root,
                config.data.list_name,
                (config.data.cache_mb << 20) // readers,
                **config.data.options,
            )
            # Each loading process has the train set to itself; val is read by this one alone.
            for split, readers in ((config.data.train_split, max(1, self.num_workers)), (config.data.val_split, 1))
        )
        torch.manual_seed(config.seed)
        self.classes = config.num_classes or self.train_set.num_classes
        if self.classes != self.train_set.num_classes and (self.classes, self.train_set.num_classes) != (1, 2):
            raise TrainingError(
                f"num_classes is {self.classes}, but {self.train_set.name} has {self.train_set.num_classes} classes; "
                "leave it at 0 to take the data set's."
            )
        if config.metric == "foreground_iou" and self.train_set.num_classes != 2:
            raise TrainingError(f"metric is foreground_iou, but {self.train_set.name} has more classes; choose miou.")
        self.shared = False
        described = replace(config.model, init_from=None) if resume else config.model  # the checkpoint has all weights
        model = make_model(described, self.classes)
        try:
            self.amp = amp_dtype(config.amp, self.device, model)
        except ValueError as error:
            raise TrainingError(f"{config.model.name}: {error}") from None
        self.model = placement.place(model, self.device, self.shared)
        self.average = Average(self.model, config.ema) if config.ema else None
        self.forward = torch.compile(self.model) if config.compile else self.model
        if self.shared:
            self.shell = placement.empty(self.model)
            for network in (self.model, self.average.model) if self.average else (self.model,):
                placement.share(network, self.device)
        elif distributed.count() > 1:
            self.forward = placement.copy(self.forward, self.device)
        self.loss = make_loss(config, self.model, self.train_set).to(self.device)
        teaching = config.distillation
        self.teachers = Teachers(teaching, self.classes, self.device) if teaching.teachers else None
        _check_encoder_options(config, self.model)
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
        """One step on this process's share of the batch, uint8 images (n, S, S, 3) and masks (n, S, S).

        Returns the loss, still on the device.
        """
        # Dropout depends on the step alone, so that a resumed run goes on as it would have.
        torch.manual_seed(int(np.random.SeedSequence([self.config.seed, self.step]).generate_state(1)[0]))
        images = images.to(self.device, non_blocking=True).permute(0, 3, 1, 2)  # (n, 3, S, S), channels last
        masks = masks.to(self.device, non_blocking=True)
        if self.config.model.freeze_encoder_epochs:
            frozen = self.step < self.config.model.freeze_encoder_epochs * self.plan.steps_per_epoch
            freeze_encoder(self.model, frozen)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.step, self.plan.steps) * group["lr_factor"]
        # As many parts as every process can fill, or they would wait for each other for ever.
        parts = max(1, min(self.config.accumulation_steps, self.plan.count(self.step) // distributed.count()))
        self.optimizer.zero_grad(set_to_none=True)
        losses = []
        for i, (some, truth) in enumerate(zip(images.tensor_split(parts), masks.tensor_split(parts), strict=True)):
            # Copies exchange their gradients once a step; shares do it every time, or they would have to be whole.
            waits = distributed.count() > 1 and not self.shared and i < parts - 1
            with self.forward.no_sync() if waits else nullcontext():
                with torch.autocast(self.device.type, self.amp, enabled=self.amp is not None):
                    inputs = normalize(some)
                    outputs = self.forward(inputs)
                    soft_targets = self.teachers.predict(inputs) if self.teachers else None
                loss = self.loss(outputs, truth)
                if self.teachers:
                    loss = loss + self.teachers.loss(outputs, soft_targets, truth, self.loss)
                loss = loss * (len(some) / len(images))
                self.scaler.scale(loss).backward()
            losses.append(loss.detach())
        self._move()
        return sum(losses)

    def _move(self) -> None:
        """Let the optimiser use the gradients, and count the step."""
        if self.config.optimizer.max_grad_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.optimizer.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average:
            self.average.update(self.step)
        self.step += 1

    def finite(self) -> bool:
        """Are all weights numbers, statistics and averages too?  Waits for the device, and for the other processes."""
        networks = (self.model, self.average.model) if self.average else (self.model,)
        tensors = [tensor for network in networks for tensor in (*network.parameters(), *network.buffers())]
        own = [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]
        return not distributed.any_of(not torch.stack([tensor.isfinite().all() for tensor in own]).all())

    def measure(self) -> dict:
        """The scores on val."""
        # On CPUs every process has statistics of its own; those that are saved, and so measured, are the first one's.
        distributed.spread_buffers(self.best_model)
        model = placement.gathered(self.best_model, self.shell, self.device) if self.shared else self.best_model
        predictor = Predictor(model, **asdict(self.config.inference), device=self.device, amp_dtype=self.amp)
        try:
            return evaluate(predictor, self.val_set)
        finally:
            self.model.train()  # the predictor left it in eval mode where there is no average to measure

    def save(self) -> None:
        """Write `checkpoint.pt` and `history.json`, each atomically; of several processes, all of which must call it,
        the first one does, and the others wait for it."""
        networks = {
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
        }
        networks = placement.whole(networks, keep=distributed.rank() == 0)
        if distributed.rank() == 0:
            self._write(networks)
        distributed.wait()  # who goes on from the checkpoint at once must not find the one before it

    def _write(self, networks: dict) -> None:
        state = {
            "config": config_to_dict(self.config),
            "step": self.step,
            **networks,
            "scaler": self.scaler.state_dict(),
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
            state = _sound_checkpoint(file, self.device)
            self._check_same(file, state["config"])
            self._take(state)
        except FileNotFoundError:
            raise TrainingError(f"{file}: there is no checkpoint to resume; start without --resume.") from None
        except TrainingError:
            raise
        except PermissionError:
            raise TrainingError(f"{file}: not allowed to read it; check the file's permissions.") from None
        except Exception as error:  # torch names damage by many types
            raise TrainingError(
                f"{file}: the checkpoint is damaged ({type(error).__name__}); start anew with another --output_dir. "
                "best.safetensors, where it is there, is not affected."
            ) from None

    def _check_same(self, file: Path, config: dict) -> None:
        """TrainingError if `config`, that of a checkpoint, would not have led to the same result."""
        before, now = runs.flat(config), runs.flat(config_to_dict(self.config))
        for option in sorted((before.keys() | now.keys()) - runs.PLACES):
            if before.get(option) != now.get(option):
                raise TrainingError(
                    f"{file}: {option} was {str(before.get(option))[:100]} and is now {now.get(option)}; "
                    "resume with the configuration of the run, or choose another --output_dir."
                )

    def _take(self, state: dict) -> None:
        if not 0 <= state["step"] <= self.plan.steps or not isinstance(state["history"], list):
            raise ValueError(f"step {state['step']} of {self.plan.steps}")
        placement.load(self.model, state["model"])
        if self.average:
            placement.load(self.average.model, state["average"])
        placement.load_optimizer(self.optimizer, state["optimizer"])
        if self.scaler.is_enabled() and state["scaler"]:  # a run may go on where another precision is used
            self.scaler.load_state_dict(state["scaler"])
        self.step, self.history, self.partial = state["step"], state["history"], state["partial"]


def _sound_checkpoint(file: Path, device: torch.device) -> dict:
    """What `Run.save` wrote; raises whatever zipfile and torch raise if the file is damaged."""
    with zipfile.ZipFile(file) as packed:
        if packed.testzip() is not None:  # torch does not compare the checksums that it writes
            raise zipfile.BadZipFile(f"{file}: a checksum differs")
    return torch.load(file, map_location=device, weights_only=True)


def make_model(config: ModelConfig, num_classes: int) -> nn.Module:
    """The network that `config` asks for, with the weights it starts from; tells on stderr what was loaded."""
    if config.init_from is None or not (
        config.init_from in weights.names() or config.init_from.endswith(".safetensors")
    ):
        _check_start(config)
        return models.create(config.name, num_classes, pretrained=config.init_from, **config.options)
    model = models.create(config.name, num_classes, **config.options)
    file = Path(config.init_from) if config.init_from.endswith(".safetensors") else weights.find(config.init_from)
    print(f"{file.name}: {models.load_weights(model, weights.read_tensors(file)[0])}", file=sys.stderr)
    return model


def _check_start(config: ModelConfig) -> None:
    """TrainingError for a start that is neither released nor public; of an unknown model its maker will tell."""
    public = pretrained.choices(config.name)
    if config.init_from is not None and config.init_from not in public and config.name in models.names():
        near = difflib.get_close_matches(config.init_from, [*weights.names(), *public], 3, 0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"released are {', '.join(weights.names())}."
        raise TrainingError(
            f"model.init_from is '{config.init_from}', which is neither a .safetensors file, nor released weights, nor "
            f"public ones of {config.name} ({', '.join(public) or 'there are none'}); {hint}"
        )


def _check_encoder_options(config: Config, model: nn.Module) -> None:
    """TrainingError for options about the encoder where the network has none, or where they do not work."""
    options = {
        "optimizer.encoder_lr_factor": (config.optimizer.encoder_lr_factor, 1),
        "model.freeze_encoder_epochs": (config.model.freeze_encoder_epochs, 0),
    }
    for option, (value, default) in options.items():
        if value != default and not hasattr(model, "encoder_prefixes"):
            raise TrainingError(
                f"{option} is {value}, but {config.model.name} has no separate encoder; leave it at {default}."
            )
    if config.model.freeze_encoder_epochs and distributed.count() > 1:
        raise TrainingError("model.freeze_encoder_epochs works in one process only; leave it at 0 under torchrun.")


def make_loss(config: Config, model: nn.Module, train_set: data.SegmentationDataset) -> SegmentationLoss:
    """The loss that `config` asks for; rules for class weights look at all masks of the training set."""
    asked = config.loss.class_weights
    if isinstance(asked, str):
        by_frequency = asked in ("sqrt_freq", "inv_freq")  # the others do not depend on how often classes occur
        asked = class_weights(asked, train_set.pixel_counts() if by_frequency else [0] * train_set.num_classes)
    own = getattr(model, "OUTPUT_WEIGHTS", None)
    outputs = config.loss.output_weights or own
    if outputs and len(outputs) != len(own or (1,)):
        raise TrainingError(
            f"loss.output_weights has {len(outputs)} factors, but {config.model.name} has {len(own or (1,))} outputs; "
            "give one an output, or leave it out."
        )
    return SegmentationLoss(config.loss.terms, asked, 255, outputs, config.loss.options, distributed.total)
