"""Activation checkpointing, which stores only the input of a block and recomputes its activations in the backward pass.

Chen, Xu, Zhang and Guestrin, "Training Deep Nets with Sublinear Memory Cost", 2016, https://arxiv.org/abs/1604.06174.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpoint_activations(model: nn.Module, block: nn.Module, x: Any) -> Any:
    """Return `block(x)`, with activation checkpointing if `model` is in training mode and `model.checkpointing` is set.

    Activation checkpointing uses less memory at the cost of a second forward pass.  Outputs, gradients and buffers are
    the same as without it.

    Args:
        model: the network that `block` is part of.
        block: the module to call.
        x: the input of `block`, a tensor or a list of tensors.

    Returns:
        The output of `block(x)`.
    """
    if not (model.checkpointing and model.training):
        return block(x)
    if torch.compiler.is_compiling():  # compiled code updates buffers only once, and the contexts cannot be traced
        return checkpoint(block, x, use_reentrant=False)
    return checkpoint(block, x, use_reentrant=False, context_fn=lambda: (nullcontext(), _preserve_buffers(block)))


@contextmanager
def _preserve_buffers(block: nn.Module) -> Iterator[None]:
    """Replace the buffers of `block` with copies inside the `with` statement, and restore the originals at the end.

    Otherwise, recomputation would update the running statistics of batch normalization a second time.
    """
    buffers = [(module, name, x) for module in block.modules() for name, x in module.named_buffers(recurse=False)]
    for module, name, buffer in buffers:
        setattr(module, name, buffer.clone())
    try:
        yield
    finally:
        for module, name, buffer in buffers:
            setattr(module, name, buffer)
