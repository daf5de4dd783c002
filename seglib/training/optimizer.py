"""Optimizer, learning-rate schedule, mixed precision and exponential moving average (EMA)."""

import math
from copy import deepcopy

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ..config import Config
from .errors import TrainingError


def amp_dtype(mode: str, device: torch.device, model: nn.Module | None = None) -> torch.dtype | None:
    """Return the lower precision of a mode, or None for float32; "auto" uses one only where the hardware gains from it.

    Args:
        mode: "auto", "off", "bf16" or "fp16".
        device: where the network is computed.
        model: the network, if it is to be trained.

    Raises:
        TrainingError: gradients of `model` would be wrong in bfloat16 on this device ("auto" then returns None).
    """
    if device.type == "cpu" and mode in ("auto", "bf16") and (wrong := _wrong_in_bfloat16(model)):
        if mode == "auto":
            return None
        raise TrainingError(
            f"amp is bf16, but on CPUs PyTorch computes wrong gradients of convolutions like {wrong} in it; "
            "leave amp at auto, or off."
        )
    if mode != "auto":
        return {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}[mode]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        able = torch.cpu.get_capabilities()  # other CPUs emulate it, which is slower than float32
        return torch.bfloat16 if able.get("amx_bf16") or able.get("avx512_bf16") else None
    return None


def _wrong_in_bfloat16(model: nn.Module | None) -> str | None:
    """Return the name of the first convolution whose weights get a wrong gradient on CPUs in bfloat16.

    These are dilated ones whose input channels do not fill blocks of 16: on larger feature maps the gradient is far off
    or NaN, while the output and the gradient of the input are right.  Observed with PyTorch 2.15 on a CPU with
    avx512_bf16; float32 is right.
    """
    for name, layer in model.named_modules() if model else ():
        if isinstance(layer, nn.Conv2d) and max(layer.dilation) > 1 and layer.in_channels % 16:
            return name
    return None


def learning_rate(config: Config, step: int, total_steps: int) -> float:
    """Return the learning rate of a step from 0 to total_steps - 1: linear warm-up, then the schedule down to 0."""
    schedule, peak = config.schedule, config.optimizer.lr
    warmup = round(schedule.warmup * total_steps)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    done = (step - warmup) / max(1, total_steps - warmup)
    if schedule.name == "cosine":
        return peak * (1 + math.cos(math.pi * done)) / 2
    return peak * (1 - done) ** schedule.power if schedule.name == "poly" else peak


def make_optimizer(model: nn.Module, config: Config) -> torch.optim.Optimizer:
    """Return AdamW, Adam or SGD; weights of convolutions decay, biases and normalization do not.

    Each parameter group has `lr_factor`, its learning rate relative to the schedule's: `optimizer.encoder_lr_factor`
    for the parameters under the model's `encoder_prefixes`, else 1.
    """
    options = config.optimizer
    prefixes = getattr(model, "encoder_prefixes", ()) if options.encoder_lr_factor != 1 else ()
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        factor = options.encoder_lr_factor if name.startswith(prefixes) else 1.0
        groups.setdefault((factor, parameter.ndim > 1), []).append(parameter)
    parts = [
        {"params": groups[factor, decays], "weight_decay": options.weight_decay * decays, "lr_factor": factor}
        for factor, decays in sorted(groups, key=lambda group: (group[0] != 1, not group[1]))
    ]
    if options.name == "sgd":
        return torch.optim.SGD(parts, lr=options.lr, momentum=options.momentum, fused=True)
    kind = torch.optim.AdamW if options.name == "adamw" else torch.optim.Adam
    return kind(parts, lr=options.lr, fused=True)


def freeze_encoder(model: nn.Module, frozen: bool) -> None:
    """Freeze or unfreeze the weights and normalization statistics under the model's `encoder_prefixes`."""
    for name, module in model.named_modules():
        if f"{name}.".startswith(model.encoder_prefixes):
            module.training = not frozen
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(not frozen)


class ModelEMA:
    """Exponential moving average of a network's weights, which usually generalizes better than the latest weights.

    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992.

    Args:
        model: the network in training; it is read at every update.
        decay: weight of the average against the new weights, in [0, 1).

    Attributes:
        model: the averaged network, in eval mode.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.model = deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        # Collected once, because making the state_dict of a deep network takes longer than averaging it.
        pairs = list(zip(self.model.state_dict().values(), model.state_dict().values(), strict=True))
        self.averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        self.copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the weights after `step`, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))  # the weights of the first steps count little
        get_ema_multi_avg_fn(decay)(*map(list, zip(*self.averaged, strict=True)), None)
        for average, current in self.copied:
            average.copy_(current)
