"""Several processes that torchrun started; in a single process nothing here does anything."""

import os
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")


def is_torchrun() -> bool:
    """Return whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def init_process_group(device: torch.device) -> None:
    """Join the processes that torchrun started, over NCCL for CUDA devices and gloo for others."""
    if is_torchrun() and not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(minutes=30))


def destroy_process_group() -> None:
    """Leave the group of `init_process_group`."""
    if dist.is_initialized():
        dist.destroy_process_group()


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0; rank 0 writes the files."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_rank() -> int:
    """Return the number of this process on its machine, which is the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", 0))


def wrap_model(model: nn.Module, device: torch.device) -> nn.Module:
    """Return `model` so that gradients are averaged over the processes (DistributedDataParallel).

    Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", VLDB 2020.
    """
    if world_size() == 1:
        return model
    return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)


def sync_batch_norm(model: nn.Module, device: torch.device) -> nn.Module:
    """Return `model` with batch normalization over all processes; PyTorch has such a layer for CUDA only."""
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

    The gradient is summed as well.  A loss computed from such sums is the loss of the whole batch in every process, and
    the mean of the gradients of all processes is the gradient of that loss.
    """
    return _AllReduceSum.apply(x) if world_size() > 1 else x


def all_gather(value: T) -> list[T]:
    """Return the `value` of every process, in order of rank, to every process."""
    if world_size() == 1:
        return [value]
    values: list = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def any_process(flag: bool) -> bool:
    """Return whether `flag` is true in any process."""
    return any(all_gather(flag))


def barrier() -> None:
    """Wait until every process has reached this line."""
    if world_size() > 1:
        dist.barrier()


def broadcast_buffers(model: nn.Module) -> None:
    """Copy the buffers of rank 0's `model`, such as running statistics, to every process."""
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)
