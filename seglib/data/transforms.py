"""Transforms for random augmentation, resizing and normalization.

Albumentations applies the same transforms to an image and its mask; see https://albumentations.ai/docs. Random choices
depend on the seed passed to each call, not on the order of calls or the number of processes.
"""

import functools
import os
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ..config import AugmentConfig

# ImageNet mean and standard deviation of the RGB channels, for values in 0..1, as used for pre-trained networks.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class TrainingTransform:
    """Random crops, flips, rotation, color changes, blur and noise. An option of 0 turns a transform off.

    A call with a uint8 image (H, W, 3), its mask (H, W) and a seed returns both at (size, size). The same seed gives
    the same result. For non-RGB images, float32 (H, W, C), only crops, flips and rotation may be enabled.
    """

    def __init__(self, config: AugmentConfig, size: int):
        self.pipeline = _albumentations().Compose(training_steps(config, size))

    def __call__(self, image: np.ndarray, mask: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        self.pipeline.set_random_seed(seed)
        out = self.pipeline(image=image, mask=mask)
        return out["image"], out["mask"]


def training_steps(config: AugmentConfig, size: int) -> list:
    """Return the transforms that `config` enables, in the order in which they are applied."""
    A = _albumentations()
    color = config.color_jitter
    factors, hue = (max(0, 1 - color), 1 + color), min(color / 5, 0.5)
    # INTER_AREA avoids aliasing in downsampling. In upsampling, which most crops need at the end of a run, it is close
    # to nearest-neighbor interpolation. We have not measured whether bilinear interpolation trains better networks.
    modes = {"interpolation": cv2.INTER_AREA, "mask_interpolation": cv2.INTER_NEAREST_EXACT}
    steps: list[tuple[float, Any]] = [
        (1, A.RandomResizedCrop((size, size), config.crop_area, config.crop_ratio, **modes)),
        (config.flip, A.HorizontalFlip(p=config.flip)),
        # Empty corners after a rotation are filled by reflecting the image and the mask.
        (config.rotate, A.Rotate(config.rotate, border_mode=cv2.BORDER_REFLECT_101, p=0.5)),
        (color, A.ColorJitter(factors, factors, factors, (-hue, hue), p=0.8)),
        (config.grayscale, A.ToGray(p=config.grayscale)),
        (config.blur, A.GaussianBlur(blur_limit=0, sigma_limit=(0.3, 1.5), p=config.blur)),
        (config.noise, A.GaussNoise(std_range=(0.01, 0.06), p=config.noise)),
    ]
    return [step for strength, step in steps if strength]


def _albumentations():
    """Import albumentations only for training, because the import takes a second and prediction does not need it."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # otherwise albumentations checks for updates on import
    import albumentations

    return albumentations


def resize_longest_side(image: np.ndarray, longest_side: int) -> np.ndarray:
    """Resize an image so that its longer side has `longest_side` pixels, or keep its size if `longest_side` is 0."""
    return resize(image, *resized_size(*image.shape[:2], longest_side))


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize an image to (height, width), with area averaging to downsample and bilinear interpolation to upsample."""
    if image.shape[:2] == (height, width):
        return image
    return resize_by(image, height, width, max(height, width) < max(image.shape[:2]))


def resize_by(image: np.ndarray, height: int, width: int, shrinks: bool) -> np.ndarray:
    """Resize an image, (H, W) or (H, W, C), by area averaging if `shrinks` is True, else by bilinear interpolation."""
    parts = [image]
    if image.shape[2:] > (4,):  # OpenCV averages at most four channels at once
        parts = [np.ascontiguousarray(image[:, :, first : first + 4]) for first in range(0, image.shape[2], 4)]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    parts = [cv2.resize(part, (width, height), interpolation=interpolation) for part in parts]
    return (np.dstack(parts) if len(parts) > 1 else parts[0]).reshape(height, width, *image.shape[2:])


def resized_size(height: int, width: int, longest_side: int) -> tuple[int, int]:
    """Return (height, width) of an image after `resize_longest_side`."""
    factor = longest_side / max(height, width) if longest_side else 1
    return max(1, round(height * factor)), max(1, round(width * factor))


def normalize(images: Tensor, mean: Sequence[float] = (), std: Sequence[float] = ()) -> Tensor:
    """Subtract the mean of each channel and divide by its standard deviation, in float32.

    Args:
        images: uint8 RGB (N, 3, H, W), or float (N, C, H, W) if `mean` is given.
        mean: Mean of each channel. If empty, the mean of ImageNet is used, for values 0..255.
        std: Standard deviation of each channel. If empty, that of ImageNet is used.

    Returns:
        float32 (N, C, H, W). If `mean` is given, NaN and infinity become 0, the normalized value of the mean.
    """
    center, scale = _mean_and_std(tuple(mean), tuple(std), images.device)
    normalized = (images.float() - center) / scale
    return normalized.nan_to_num(0, 0, 0) if mean else normalized


def mean_and_std(mean: Sequence[float], std: Sequence[float], device=None) -> tuple[Tensor, Tensor]:
    """Return the mean and standard deviation for `normalize` as two float32 tensors (1, C, 1, 1)."""
    factor = 1 if mean else 255
    center, scale = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (mean or MEAN, std or STD))
    return center * factor, scale * factor


_mean_and_std = functools.cache(mean_and_std)  # copying the tensors to a GPU at every step would slow down training
