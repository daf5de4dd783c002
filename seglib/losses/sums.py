"""What all losses share: which pixels count, and sums over one process or several."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import SeglibError

IGNORE = 255
Total = Callable[[Tensor], Tensor]


def alone(x: Tensor) -> Tensor:
    """The total of the only process."""
    return x


class LossError(SeglibError, ValueError):
    """A loss that cannot be built or applied; the message says why and what to do."""


def mass(labels: Tensor, weight: Tensor | None, ignore_index: int, total: Total) -> Tensor:
    """The number of pixels that count, or the sum of their class weights; never 0."""
    valid = labels != ignore_index
    if weight is None:
        return total(valid.sum()).clamp(min=1)
    return total((weight[torch.where(valid, labels, 0)] * valid).sum()).clamp(min=1e-12)
