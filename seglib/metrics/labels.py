"""Check that label maps are NumPy arrays or PyTorch tensors of the same shape that contain integers in range."""

from typing import Any

import numpy as np
import torch

from ..errors import SeglibError

Array = np.ndarray | torch.Tensor


class MetricError(SeglibError, ValueError):
    """Raised if a metric cannot be computed from the given arguments.  The message says why and what to do."""


def shift_labels(target: Array, prediction: Array, num_classes: int, ignore_index: int) -> tuple[Array, Array]:
    """Check both label maps and add 1 to their labels, so that 0 can mark ignored pixels.

    Args:
        target: integers 0..C-1 or `ignore_index`, of any shape.
        prediction: integers 0..C-1 of the same shape, or floating-point logits with one more axis, (..., C, H, W).
        num_classes: C.
        ignore_index: the target label of the pixels to ignore.

    Returns:
        Two uint8 arrays or tensors of the target's shape.  Both contain class + 1; the target contains 0 at ignored
        pixels.

    Raises:
        MetricError: if shapes, types or labels are invalid.
    """
    check_options(num_classes, ignore_index)
    target = check_integers(target, "target")
    prediction = check_integers(_argmax(prediction, target, num_classes), "prediction")
    if isinstance(target, torch.Tensor) != isinstance(prediction, torch.Tensor):
        raise MetricError("one label map is a numpy array and the other a torch tensor: convert one of them")
    if target.shape != prediction.shape:
        shapes = f"the target is {tuple(target.shape)} and the prediction {tuple(prediction.shape)}"
        raise MetricError(f"{shapes}: resize the prediction to the size of the target first")
    if isinstance(target, torch.Tensor):
        prediction = prediction.to(target.device)  # type: ignore[union-attr]
        if not 0 <= ignore_index <= 255:
            target = target.long()  # PyTorch would wrap the index to 8 bits before comparing
    counted = as_bytes(target != ignore_index)
    classes = target * counted  # 0 where ignored
    advice = f"map them to classes, or to {ignore_index} for pixels to ignore"
    _check_range(classes, num_classes, "target", advice)
    _check_range(prediction, num_classes, "prediction", "it must have a class at every pixel")
    return as_bytes(classes + counted), as_bytes(prediction) + 1


def _argmax(prediction: Array, target: Array, num_classes: int) -> Array:
    """Return the predicted classes of logits (..., C, H, W) or (..., 1, H, W). Return other predictions unchanged."""
    if not isinstance(prediction, np.ndarray | torch.Tensor) or prediction.ndim != target.ndim + 1 or target.ndim < 2:
        return prediction
    floating = prediction.is_floating_point() if isinstance(prediction, torch.Tensor) else prediction.dtype.kind == "f"
    channels, allowed = prediction.shape[-3], (1, 2) if num_classes == 2 else (num_classes,)
    if not floating or channels not in allowed:
        return prediction  # integers, or a wrong shape, which is rejected later
    return prediction[..., 0, :, :] > 0 if channels < num_classes else prediction.argmax(-3)


def check_options(num_classes: int, ignore_index: int) -> None:
    """Raise MetricError if `num_classes` is out of range or `ignore_index` is one of the classes."""
    if not isinstance(num_classes, int | np.integer) or not 1 <= num_classes <= 255:
        raise MetricError(f"num_classes is {num_classes}, but there can be 1 to 255 classes in a label map of 8 bits")
    if 0 <= ignore_index < num_classes:
        raise MetricError(f"ignore_index {ignore_index} is one of the classes 0..{num_classes - 1}: choose another")


def check_integers(labels: Any, name: str) -> Array:
    """Return `labels` as an array or a tensor of integers, with bool converted to 0 and 1.

    Raises:
        MetricError: if `labels` is empty or does not contain integers.
    """
    if isinstance(labels, torch.Tensor):
        integers = not (labels.is_floating_point() or labels.is_complex())
        # All types except uint8 become int64, because PyTorch cannot compute with other unsigned types.
        labels = labels.long() if integers and labels.dtype != torch.uint8 else labels
    else:
        labels = np.asarray(labels)
        integers = labels.dtype.kind in "bui"
        labels = labels.astype(np.uint8) if labels.dtype == bool else labels
    if not integers:
        raise MetricError(f"the {name} is {labels.dtype}, but labels are integers: take the argmax, or threshold it")
    if 0 in labels.shape:
        raise MetricError(f"the {name} has no pixels: its shape is {tuple(labels.shape)}")
    return labels


def _check_range(labels: Array, num_classes: int, name: str, advice: str) -> None:
    signed = labels.dtype != torch.uint8 if isinstance(labels, torch.Tensor) else labels.dtype.kind == "i"
    if labels.max() >= num_classes or (signed and labels.min() < 0):
        wrong = np.unique(to_numpy(labels[(labels < 0) | (labels >= num_classes)])).tolist()
        listed = ", ".join(map(str, wrong[:10])) + (", ..." if len(wrong) > 10 else "")
        raise MetricError(f"the {name} has labels outside 0..{num_classes - 1}, namely {listed}: {advice}")


def as_bytes(array: Any) -> Any:
    """Return `array` as uint8 (a bool array as a view).  NumPy multiplies bytes by bytes much faster than by bool."""
    if isinstance(array, torch.Tensor):
        return array.byte()
    return array.view(np.uint8) if array.dtype == bool else array.astype(np.uint8, copy=False)


def to_numpy(array: Array) -> np.ndarray:
    """Return an array or a tensor as a NumPy array."""
    return array.cpu().numpy() if isinstance(array, torch.Tensor) else np.asarray(array)
