"""How a network lies on the processes that train it: copied to each of them (DDP), or shared out among them (FSDP).

Li et al., "PyTorch Distributed: experiences on accelerating data parallel training", VLDB 2020; Zhao et al.,
"PyTorch FSDP: experiences on scaling fully sharded data parallel", VLDB 2023.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from .. import distributed

GROUPS = 8  # about as many parts of a network are put together from their shares one after the other


def place(model: nn.Module, device: torch.device, shared: bool) -> nn.Module:
    """`model` on `device`, ready for `share` if it is to be `shared`."""
    if distributed.count() > 1 and device.type == "cuda":  # there is no such layer for CPUs
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    # FSDP cuts weights only as they are numbered; convolutions follow the layout of the images then.
    return model.to(device) if shared else model.to(device, memory_format=torch.channels_last)


def copy(model: nn.Module, device: torch.device) -> nn.Module:
    """What to call in place of `model` so that its gradients are the mean over the processes, each with a copy."""
    return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)


def share(model: nn.Module, device: torch.device) -> None:
    """Leave each process a share of every parameter, and so of its gradient and the optimiser's state.

    A part of the network is whole only while it is computed with.
    """
    mesh = init_device_mesh(device.type, (distributed.count(),))
    enough = sum(p.numel() for p in model.parameters()) // GROUPS
    for module in reversed(list(model.modules())):  # the parts before the whole
        alone = sum(p.numel() for p in module.parameters() if not isinstance(p, DTensor))
        if module is model or (alone >= enough and not isinstance(module, nn.ModuleList | nn.ModuleDict)):
            fully_shard(module, mesh=mesh)


def empty(model: nn.Module) -> nn.Module:
    """A copy of `model` without numbers, for `gathered`."""
    return deepcopy(model).to("meta")


def gathered(model: nn.Module, shell: nn.Module, device: torch.device) -> nn.Module:
    """The network of a shared `model`, whole in every process; `shell` is what `empty` made of it before."""
    found = deepcopy(shell).to_empty(device=device)
    found.load_state_dict(whole(model.state_dict()))
    return found.to(memory_format=torch.channels_last)


def whole(state, keep: bool = True):
    """`state`, a nest of dictionaries and lists, with whole tensors on the CPU in place of shared ones.

    All processes must call it; those that do not `keep` the result get None for each of these.
    """
    if isinstance(state, dict):
        return {key: whole(value, keep) for key, value in state.items()}
    if isinstance(state, list):
        return [whole(value, keep) for value in state]
    if not isinstance(state, DTensor):
        return state
    value = state.full_tensor()
    return value.cpu() if keep else None


def part(value: Tensor, like: Tensor | None) -> Tensor:
    """This process's share of the whole tensor `value`, if `like` is shared and it has its shape."""
    if not isinstance(like, DTensor) or value.shape != like.shape:
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def load(model: nn.Module, state: dict[str, Tensor]) -> None:
    """`model.load_state_dict` of whole tensors."""
    own = model.state_dict()
    model.load_state_dict({name: part(value, own.get(name)) for name, value in state.items()})


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict) -> None:
    """`optimizer.load_state_dict` of whole tensors."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    parts = {
        number: {name: part(value, parameters[number]) for name, value in values.items()}
        for number, values in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": parts})
