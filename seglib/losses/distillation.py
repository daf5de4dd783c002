"""Knowledge distillation: learn from the predictions of trained networks.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015, https://arxiv.org/abs/1503.02531.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .functions import IGNORE_INDEX, AllReduce, LossError, single_process, weight_sum


def soften(logits: Tensor, temperature: float) -> Tensor:
    """Class probabilities softmax(logits / temperature), (N, C, H, W); one channel becomes two, background first."""
    return F.softmax(_two_channels(logits.float()) / temperature, dim=1)


def mean_prediction(teacher_logits: Sequence[Tensor], temperature: float) -> Tensor:
    """The mean of the teachers' softened predictions.  LossError if their numbers of classes differ."""
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
    """Mean over pixels of T^2 KL(soft targets || softmax(logits / T)).

    The factor T^2 keeps the size of the gradients about the same at every temperature.  As in all losses here, a
    pixel labelled `ignore_index` contributes nothing, although the teachers have a prediction for it.

    Args:
        logits: the student's, (N, C, H, W); C = 1 is foreground against background with a sigmoid.
        soft_targets: probabilities made by `mean_prediction` at the same temperature, (N, max(C, 2), H, W).
        target: labels (N, H, W); only which pixels are ignored matters.
        temperature: T, above 0; higher ones bring out what the teachers find similar.
        ignore_index: label of the pixels that do not count.
        all_reduce: sums a tensor over the processes of distributed training.

    Returns:
        A scalar, 0 or more.

    Raises:
        LossError: the numbers of classes differ.
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
    """Logits of two classes that have the same probabilities as one channel through a sigmoid; others unchanged."""
    return torch.cat([torch.zeros_like(logits), logits], dim=1) if logits.shape[1] == 1 else logits
