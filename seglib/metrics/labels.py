"""What all metrics ask of label maps: integers in range, of one shape and kind, in numpy arrays or torch tensors."""

from __future__ import annotations

import numpy as np
import torch

from ..errors import SeglibError

Array = np.ndarray | torch.Tensor


class MetricError(SeglibError, ValueError):
    """Label maps, counts or options from which no metric can be computed."""


def to_marks(truth: Array, prediction: Array, num_classes: int, ignore_index: int) -> tuple[Array, Array]:
    """Both label maps, once found sound, as uint8 marks: class + 1, and 0 where the truth is ignored."""
    check_options(num_classes, ignore_index)
    truth, prediction = integers(truth, "the truth"), integers(prediction, "the prediction")
    if isinstance(truth, torch.Tensor) != isinstance(prediction, torch.Tensor):
        raise MetricError("one label map is a numpy array and the other a torch tensor: convert one of them")
    if truth.shape != prediction.shape:
        shapes = f"the truth is {tuple(truth.shape)} and the prediction {tuple(prediction.shape)}"
        raise MetricError(f"{shapes}: bring the prediction to the size of the truth first")
    if isinstance(truth, torch.Tensor):
        prediction = prediction.to(truth.device)
        if not 0 <= ignore_index <= 255:
            truth = truth.long()  # torch would wrap the index to 8 bits before comparing
    counted = as_bytes(truth != ignore_index)
    classes = truth * counted  # 0 where ignored
    advice = f"map them to classes, or to {ignore_index} for pixels to ignore"
    _check_range(classes, num_classes, "the truth", advice)
    _check_range(prediction, num_classes, "the prediction", "it must name one of the classes at every pixel")
    return as_bytes(classes + counted), as_bytes(prediction) + 1


def check_options(num_classes: int, ignore_index: int) -> None:
    if not 1 <= num_classes <= 255:
        raise MetricError(f"num_classes is {num_classes}, but there can be 1 to 255 classes in a label map of 8 bits")
    if 0 <= ignore_index < num_classes:
        raise MetricError(f"ignore_index {ignore_index} is one of the classes 0..{num_classes - 1}: choose another")


def integers(labels: Array, name: str) -> Array:
    """``labels`` as an array or tensor of integers; bool counts as 0 and 1."""
    if isinstance(labels, torch.Tensor):
        sound = not (labels.is_floating_point() or labels.is_complex())
        # 8 bits or 64: torch cannot compute with its other unsigned types
        labels = labels.long() if sound and labels.dtype != torch.uint8 else labels
    else:
        labels = np.asarray(labels)
        sound = labels.dtype.kind in "bui"
        labels = labels.astype(np.uint8) if labels.dtype == bool else labels
    if not sound:
        raise MetricError(f"{name} is {labels.dtype}, but labels are integers: take the argmax, or threshold it")
    if 0 in labels.shape:
        raise MetricError(f"{name} has no pixels: its shape is {tuple(labels.shape)}")
    return labels


def _check_range(labels: Array, num_classes: int, name: str, advice: str) -> None:
    if labels.max() >= num_classes or (_signed(labels) and labels.min() < 0):
        wrong = np.unique(to_numpy(labels[(labels < 0) | (labels >= num_classes)])).tolist()
        listed = ", ".join(map(str, wrong[:10])) + (", ..." if len(wrong) > 10 else "")
        raise MetricError(f"{name} holds labels outside 0..{num_classes - 1}, namely {listed}: {advice}")


def _signed(labels: Array) -> bool:
    return labels.dtype != torch.uint8 if isinstance(labels, torch.Tensor) else labels.dtype.kind == "i"


def as_bytes(array: Array) -> Array:
    """As uint8: bool is viewed, for numpy multiplies bytes by bytes much faster than by bool."""
    if isinstance(array, torch.Tensor):
        return array.byte()
    return array.view(np.uint8) if array.dtype == bool else array.astype(np.uint8, copy=False)


def to_numpy(array: Array) -> np.ndarray:
    return array.cpu().numpy() if isinstance(array, torch.Tensor) else np.asarray(array)
