"""How weights move: precision, learning rate, optimiser, and the running average of the weights."""

import math
from copy import deepcopy
from functools import cached_property

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ..config import Config


def amp_dtype(mode: str, device: torch.device, model: nn.Module | None = None) -> torch.dtype | None:
    """The lower precision to compute in; "auto" names one only where the hardware gains from it.

    If `model` is to be trained in it: ValueError, or None for "auto", where its gradients would be wrong.
    """
    if device.type == "cpu" and mode in ("auto", "bf16") and (wrong := _wrong_in_bfloat16(model)):
        if mode == "auto":
            return None
        raise ValueError(
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
    """The first convolution of `model` whose weights get a wrong gradient from PyTorch, on CPUs in bfloat16.

    That of dilated ones whose input channels do not fill blocks of 16: far off or NaN on larger maps, while output and
    gradient of the input are right.  Seen with PyTorch 2.15 on a CPU with avx512_bf16; float32 is right.
    """
    return next(
        (
            name
            for name, layer in (model.named_modules() if model else ())
            if isinstance(layer, nn.Conv2d) and max(layer.dilation) > 1 and layer.in_channels % 16
        ),
        None,
    )


def learning_rate(config: Config, step: int, steps: int) -> float:
    """The rate of step 0..steps-1: a linear warm-up, then the schedule's descent to 0."""
    schedule, peak = config.schedule, config.optimizer.lr
    warmup = round(schedule.warmup * steps)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    done = (step - warmup) / max(1, steps - warmup)
    if schedule.name == "cosine":
        return peak * (1 + math.cos(math.pi * done)) / 2
    return peak * (1 - done) ** schedule.power if schedule.name == "poly" else peak


def make_optimizer(model: nn.Module, config: Config) -> torch.optim.Optimizer:
    """AdamW, Adam or SGD; only weights of convolutions decay, not biases and normalisation.

    Each group has `lr_factor`, its learning rate relative to the schedule's: `optimizer.encoder_lr_factor` for the
    parameters under the model's `encoder_prefixes`, else 1.
    """
    wanted = config.optimizer
    prefixes = getattr(model, "encoder_prefixes", ())
    parts: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        slow = wanted.encoder_lr_factor != 1 and name.startswith(prefixes)
        parts.setdefault((slow, parameter.ndim > 1), []).append(parameter)
    groups = []
    for slow, decays in sorted(parts, key=lambda part: (part[0], not part[1])):
        groups.append(
            {
                "params": parts[slow, decays],
                "weight_decay": wanted.weight_decay if decays else 0.0,
                "lr_factor": wanted.encoder_lr_factor if slow else 1.0,
            }
        )
    if wanted.name == "sgd":
        return torch.optim.SGD(groups, lr=wanted.lr, momentum=wanted.momentum, fused=True)
    kind = torch.optim.AdamW if wanted.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=wanted.lr, fused=True)


def freeze_encoder(model: nn.Module, frozen: bool) -> None:
    """Keep weights and normalisation statistics under the model's `encoder_prefixes` as they are, or let them learn."""
    for name, module in model.named_modules():
        if f"{name}.".startswith(model.encoder_prefixes):
            module.training = not frozen
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(not frozen)


class Average:
    """A running average of a network's weights (EMA), which usually generalises better than the last step's.

    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.model = deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.source = model

    @cached_property
    def _pairs(self) -> tuple[list, list]:
        """The tensors to average and those to copy, each with its source.

        Collected once, since a deep network's state_dict takes longer to make than to average; but not before the
        first step, since networks that are shared out among processes get other tensors until then.
        """
        pairs = list(zip(self.model.state_dict().values(), self.source.state_dict().values(), strict=True))
        return [p for p in pairs if p[0].is_floating_point()], [p for p in pairs if not p[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the weights as they are after `step`, counted from 0, of the network given at first."""
        decay = min(self.decay, (1 + step) / (10 + step))  # the first steps are not worth remembering
        averaged, copied = self._pairs
        get_ema_multi_avg_fn(decay)(*map(list, zip(*averaged, strict=True)), None)
        for mine, theirs in copied:
            mine.copy_(theirs)
