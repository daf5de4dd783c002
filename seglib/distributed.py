"""Several processes that train or measure together.  torchrun starts them; alone, everything here does nothing."""

import os
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")


def started_by_torchrun() -> bool:
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def join(device: torch.device) -> None:
    """Meet the other processes that torchrun started, over NCCL for CUDA devices and gloo for others."""
    if started_by_torchrun() and not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(minutes=30))


def leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def count() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """This process's number; 0 writes the files."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_rank() -> int:
    """The number among the processes of this machine, which is that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", 0))


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return _Total.forward(ctx, gradient)


def total(x: Tensor) -> Tensor:
    """The sum of `x` over all processes.

    Its gradient is summed too; so a loss made of totals is the loss of the whole batch in every process,
    and the mean of the processes' gradients is that loss's gradient.
    """
    return _Total.apply(x) if count() > 1 else x


def gather(value: T) -> list[T]:
    """The `value` of every process, in order of rank, in every process."""
    if count() == 1:
        return [value]
    values: list = [None] * count()
    dist.all_gather_object(values, value)
    return values


def wait() -> None:
    """Go on when every process has come here."""
    if count() > 1:
        dist.barrier()


def spread_buffers(model: nn.Module) -> None:
    """Give every process the buffers of `model`, such as running statistics, that the first one has."""
    if count() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


def any_of(flag: bool) -> bool:
    """Is `flag` true in any process?"""
    return any(gather(flag))
