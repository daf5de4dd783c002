"""Gradient checkpointing: keep a block's input only, and compute the rest again in the backward pass.

Chen, Xu, Zhang and Guestrin, "Training Deep Nets with Sublinear Memory Cost", 2016, https://arxiv.org/abs/1604.06174.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recompute(block: nn.Module, *inputs: Tensor) -> Tensor:
    """`block(*inputs)` for training with less memory and one more forward pass; gradients and buffers are the same."""
    if torch.compiler.is_compiling():  # a compiled pass updates buffers once, and cannot trace the contexts
        return checkpoint(block, *inputs, use_reentrant=False)
    return checkpoint(block, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), _spare_buffers(block)))


@contextmanager
def _spare_buffers(block: nn.Module) -> Iterator[None]:
    """Within it the buffers are copies, so that batch normalisation does not count the same batch twice."""
    kept = [(owner, name, buffer) for owner in block.modules() for name, buffer in owner.named_buffers(recurse=False)]
    for owner, name, buffer in kept:
        setattr(owner, name, buffer.clone())
    try:
        yield
    finally:
        for owner, name, buffer in kept:
            setattr(owner, name, buffer)
