"""Optimizer, learning-rate schedule, mixed precision and exponential moving average (EMA)."""

import math
from copy import deepcopy

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ..config import Config
from .errors import TrainingError


def amp_dtype(mode: str, device: torch.device, model: nn.Module | None = None) -> torch.dtype | None:
    """Return the dtype for automatic mixed precision (AMP), or None for float32.

    Args:
        mode: "auto", "off", "bf16" or "fp16".  "auto" selects a lower precision only on hardware where it is faster.
        device: the device that the network runs on.
        model: the network, if it will be trained.

    Raises:
        TrainingError: if the mode is "bf16" and PyTorch computes wrong gradients of `model` in bfloat16 on this device.
            In this case, "auto" returns None.
    """
    if device.type == "cpu" and mode in ("auto", "bf16") and (wrong := _wrong_in_bfloat16(model)):
        if mode == "auto":
            return None
        raise TrainingError(
            f"amp is bf16, but on CPUs PyTorch computes wrong bfloat16 gradients of convolutions like {wrong}; "
            "leave amp at auto, or off."
        )
    if mode != "auto":
        return {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}[mode]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    # On Intel, AVX-512 multiplies bfloat16 no faster than float32. CPUs without these instructions emulate it.
    able = getattr(torch.cpu, "get_capabilities", dict)() if device.type == "cpu" else {}
    slow = not able.get("amx_bf16") and (not able.get("avx512_bf16") or "Intel" in able.get("cpu_name", ""))
    return None if slow else torch.bfloat16


def _wrong_in_bfloat16(model: nn.Module | None) -> str | None:
    """Return the name of the first convolution whose weights get wrong gradients on CPUs in bfloat16, or None.

    This affects dilated convolutions whose number of input channels is not a multiple of 16.  On larger feature maps,
    the gradient of the weights has large errors or is NaN, while the output and the gradient of the input are correct.
    This was observed with PyTorch 2.15 on a CPU with avx512_bf16.  In float32 all gradients are correct.
    """
    for name, layer in model.named_modules() if model else ():
        if isinstance(layer, nn.Conv2d) and max(layer.dilation) > 1 and layer.in_channels % 16:
            return name
    return None


def learning_rate(config: Config, step: int, total_steps: int) -> float:
    """Return the learning rate at a step from 0 to total_steps - 1, with linear warm-up followed by the schedule."""
    schedule, peak = config.schedule, config.optimizer.lr
    warmup = round(schedule.warmup * total_steps)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    done = (step - warmup) / max(1, total_steps - warmup)
    if schedule.name == "cosine":
        return peak * (1 + math.cos(math.pi * done)) / 2
    return peak * (1 - done) ** schedule.power if schedule.name == "poly" else peak


def make_optimizer(model: nn.Module, config: Config) -> torch.optim.Optimizer:
    """Return the optimizer: AdamW, Adam or SGD.

    Weight decay applies to the weights of convolutions, but not to biases and normalization layers.  The learning rate
    of each parameter group is that of the schedule multiplied by the group's `lr_factor`, which is
    `optimizer.encoder_lr_factor` for encoder parameters (the model's `encoder_prefixes`) and 1 for others.
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
    """Freeze or unfreeze the weights and normalization statistics of the encoder (the model's `encoder_prefixes`)."""
    for name, module in model.named_modules():
        if f"{name}.".startswith(model.encoder_prefixes):
            module.training = not frozen
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(not frozen)


class ModelEMA:
    """Exponential moving average (EMA) of a network's weights.

    The averaged weights usually generalize better than the latest weights.  The idea is from Polyak and Juditsky,
    "Acceleration of stochastic approximation by averaging", 1992.

    Args:
        model: the network in training.  Each update reads its current weights.
        decay: the weight of the previous average in each update, in [0, 1).

    Attributes:
        model: a copy of the network with the averaged weights, in eval mode.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.model = deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        # Collected once, because creating the state_dict of a deep network takes longer than averaging the weights.
        pairs = list(zip(self.model.state_dict().values(), model.state_dict().values(), strict=True))
        self.averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        self.copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update the average with the weights after optimizer step `step`, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))  # lower at first, so that early weights are soon forgotten
        get_ema_multi_avg_fn(decay)(*map(list, zip(*self.averaged, strict=True)), None)
        for average, current in self.copied:
            average.copy_(current)
