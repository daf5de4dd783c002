"""What all losses share: the ignored label, and sums over one process or several."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import SeglibError

IGNORE_INDEX = 255
AllReduce = Callable[[Tensor], Tensor]  # from the sum of one process to the sum of all


class LossError(SeglibError, ValueError):
    """A loss cannot be built or applied; the message says why and what to do."""


def single_process(x: Tensor) -> Tensor:
    """The reduction for training in one process: return `x`."""
    return x


def weight_sum(target: Tensor, weight: Tensor | None, ignore_index: int, all_reduce: AllReduce) -> Tensor:
    """The sum of the class weights of all pixels that count, or their number if `weight` is None; never 0."""
    valid = target != ignore_index
    if weight is None:
        return all_reduce(valid.sum()).clamp(min=1)
    return all_reduce((weight[torch.where(valid, target, 0)] * valid).sum()).clamp(min=1e-12)
