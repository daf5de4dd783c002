"""Distributed training in several processes started by torchrun.

In a single process, the functions that communicate with other processes do nothing.
"""

import os
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")


def is_torchrun() -> bool:
    """Return whether this is one of several processes started by torchrun."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def init_process_group(device: torch.device) -> None:
    """Connect the processes that torchrun started, with NCCL for CUDA devices and Gloo for others."""
    if is_torchrun() and not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(minutes=30))


def destroy_process_group() -> None:
    """Destroy the process group that `init_process_group` created."""
    if dist.is_initialized():
        dist.destroy_process_group()


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the index of this process, counted from 0.  The process with rank 0 writes the files."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_rank() -> int:
    """Return the index of this process on its machine, which is also the index of its GPU."""
    return int(os.environ.get("LOCAL_RANK", 0))


def wrap_model(model: nn.Module, device: torch.device) -> nn.Module:
    """Wrap `model` in DistributedDataParallel, which averages the gradients, if there are several processes.

    Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", VLDB 2020.
    """
    if world_size() == 1:
        return model
    return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)


def sync_batch_norm(model: nn.Module, device: torch.device) -> nn.Module:
    """Synchronize the batch statistics of `model` across all processes.  PyTorch supports this only on CUDA devices."""
    if world_size() > 1 and device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return model


class _AllReduceSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return _AllReduceSum.forward(ctx, gradient)


def all_reduce_sum(x: Tensor) -> Tensor:
    """Return the sum of `x` over all processes.

    The backward pass sums the gradient in the same way.  If a loss is computed from such sums, its value in every
    process is the loss of the whole batch, and the mean of the gradients of all processes is the gradient of this loss.
    """
    return _AllReduceSum.apply(x) if world_size() > 1 else x


def all_gather(value: T) -> list[T]:
    """Return a list with the `value` of every process, sorted by rank."""
    if world_size() == 1:
        return [value]
    values: list = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def any_process(flag: bool) -> bool:
    """Return whether `flag` is true in at least one process."""
    return any(all_gather(flag))


def barrier() -> None:
    """Wait until every process has called this function."""
    if world_size() > 1:
        dist.barrier()


def broadcast_buffers(model: nn.Module) -> None:
    """Copy the buffers of `model`, such as running statistics, from rank 0 to every other process."""
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)
