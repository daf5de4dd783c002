"""Knowledge distillation: train a network (the student) on the predictions of other networks (the teachers).

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015, https://arxiv.org/abs/1503.02531.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .functions import IGNORE_INDEX, AllReduce, LossError, single_process, weight_sum


def soften(logits: Tensor, temperature: float) -> Tensor:
    """Return the class probabilities softmax(logits / temperature), (N, max(C, 2), H, W).

    If the logits have one channel, the result has two: background and foreground.
    """
    return F.softmax(_two_channels(logits.float()) / temperature, dim=1)


def mean_prediction(teacher_logits: Sequence[Tensor], temperature: float) -> Tensor:
    """Return the mean of the teachers' softened predictions.

    Raises:
        LossError: if the teachers predict different numbers of classes.
    """
    predictions = [soften(logits, temperature) for logits in teacher_logits]
    if len({prediction.shape for prediction in predictions}) > 1:
        raise LossError("teachers predict different numbers of classes; use teachers with the same classes.")
    return torch.stack(predictions).mean(dim=0)


def distillation(
    logits: Tensor,
    soft_targets: Tensor,
    target: Tensor,
    temperature: float = 2.0,
    ignore_index: int = IGNORE_INDEX,
    all_reduce: AllReduce = single_process,
) -> Tensor:
    """Return the mean over pixels of T^2 KL(soft targets || softmax(logits / T)).

    The factor T^2 keeps the magnitude of the gradients about the same at every temperature.  As in all losses of this
    package, pixels with the label `ignore_index` do not contribute.

    Args:
        logits: the student's logits (N, C, H, W).  If C = 1, they are foreground logits for a sigmoid.
        soft_targets: probabilities (N, max(C, 2), H, W), computed by `mean_prediction` with the same temperature.
        target: labels (N, H, W), used only to find the ignored pixels.
        temperature: T, greater than 0.  A higher temperature increases the influence of the less likely classes.
        ignore_index: the label of ignored pixels.
        all_reduce: function that sums a tensor over all processes of distributed training.

    Returns:
        A scalar, at least 0.

    Raises:
        LossError: if the student and the teachers have different numbers of classes.
    """
    log_predictions = F.log_softmax(_two_channels(logits.float()) / temperature, dim=1)
    if log_predictions.shape != soft_targets.shape:
        raise LossError(
            f"the student predicts {log_predictions.shape[1]} classes and the teachers {soft_targets.shape[1]}; "
            "use teachers trained on the same classes."
        )
    divergence = F.kl_div(log_predictions, soft_targets, reduction="none").sum(dim=1)  # (N, H, W)
    divergence = torch.where(target != ignore_index, divergence, 0.0)
    return temperature**2 * all_reduce(divergence.sum()) / weight_sum(target, None, ignore_index, all_reduce)


def _two_channels(logits: Tensor) -> Tensor:
    """Convert single-channel logits to two channels with the same probabilities. Return other logits unchanged."""
    return torch.cat([torch.zeros_like(logits), logits], dim=1) if logits.shape[1] == 1 else logits
