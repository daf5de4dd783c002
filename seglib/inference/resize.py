"""Resize images to the network's input size, and logits back to the size of the image, a few rows at a time."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.transforms import resize_by

CHUNK = 256  # number of image rows that are resized at once


class ImageReader(Protocol):
    """An image that can be read in parts.

    `rows(top, bottom)` returns uint8 RGB (bottom - top, width, 3), or float32 (bottom - top, width, channels).
    """

    height: int
    width: int

    def rows(self, top: int, bottom: int) -> np.ndarray: ...


class ArrayReader:
    """An image in memory, uint8 RGB (H, W, 3) or float32 (H, W, channels).

    `size` is (height, width) of the image if the array is a smaller copy of it. In this case, `rows` cannot be used.
    """

    def __init__(self, image: np.ndarray, size: tuple[int, int] | None = None):
        self.image = image
        self.height, self.width = size or image.shape[:2]

    def rows(self, top: int, bottom: int) -> np.ndarray:
        return self.image[top:bottom]


class FilledReader:
    """Reads a float32 image from `reader`, and replaces NaN and infinity with the mean of each channel."""

    def __init__(self, reader: ImageReader, mean: Sequence[float]):
        self.reader, self.mean = reader, np.array(mean, np.float32)
        self.height, self.width = reader.height, reader.width

    def rows(self, top: int, bottom: int) -> np.ndarray:
        rows = self.reader.rows(top, bottom)
        return np.where(np.isfinite(rows), rows, self.mean)


class ResizedReader:
    """Reads an image from `reader`, downsampled by area averaging or upsampled bilinearly to (height, width)."""

    def __init__(self, reader: ImageReader, height: int, width: int):
        self.reader, self.height, self.width = reader, height, width
        self.shrinks = height <= reader.height and width <= reader.width

    def rows(self, top: int, bottom: int) -> np.ndarray:
        if (self.height, self.width) == (self.reader.height, self.reader.width):
            return self.reader.rows(top, bottom)
        step = max(1, CHUNK * self.height // self.reader.height)
        return np.concatenate([self._resize(start, min(start + step, bottom)) for start in range(top, bottom, step)])

    def _resize(self, top: int, bottom: int) -> np.ndarray:
        row_weights = area_weights if self.shrinks else linear_weights
        first, weights = row_weights(top, bottom, self.reader.height, self.height)
        stored = self.reader.rows(first, first + weights.shape[1])
        source = resize_by(stored.astype(np.float32), len(stored), self.width, self.shrinks)
        resized = (weights @ source.reshape(len(source), -1)).reshape(-1, self.width, stored.shape[2])
        return resized.round().clip(0, 255).astype(np.uint8) if stored.dtype == np.uint8 else resized


def area_weights(top: int, bottom: int, length: int, resized_length: int) -> tuple[int, np.ndarray]:
    """Return the weights for averaging source rows into the rows `top` to `bottom` of a downsampled image.

    The image is downsampled from `length` to `resized_length` rows.

    Returns:
        The index of the first required source row, and float32 weights (bottom - top, number of required source rows).
        The weights of each resized row sum to 1.
    """
    edges = np.arange(top, bottom + 1) * (length / resized_length)
    first, last = int(edges[0]), min(length, int(np.ceil(edges[-1] - 1e-9)))
    source = np.arange(first, last)
    weights = (np.minimum(source + 1, edges[1:, None]) - np.maximum(source, edges[:-1, None])).clip(0)
    return first, (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def linear_weights(top: int, bottom: int, length: int, resized_length: int) -> tuple[int, np.ndarray]:
    """Return the same as `area_weights`, but for linear interpolation between the two nearest rows."""
    low, high, fraction = neighbors(top, bottom, length, resized_length)
    weights = np.zeros((bottom - top, int(high[-1] - low[0]) + 1), np.float32)
    rows = np.arange(bottom - top)
    weights[rows, low - low[0]] += 1 - fraction
    weights[rows, high - low[0]] += fraction
    return int(low[0]), weights


def neighbors(top: int, bottom: int, length: int, resized_length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the source rows above and below each row from `top` to `bottom`, and the weight of the row below."""
    position = ((np.arange(top, bottom) + 0.5) * (length / resized_length) - 0.5).clip(0, length - 1)
    low = position.astype(int)
    return low, np.minimum(low + 1, length - 1), position - low


class LogitUpsampler:
    """Resizes logits to the size of the image and converts them to probabilities, a few rows at a time.

    Rows must be requested from top to bottom, because earlier rows are discarded.

    Args:
        bands: Logits (V, C, n, w) in bands of rows from top to bottom. V is 2 if the flipped image is included, else 1.
        length: Total number of rows of all bands.
        height: Height of the image.
        width: Width of the image.
    """

    def __init__(self, bands: Iterator[Tensor], length: int, height: int, width: int):
        self.bands, self.length, self.height, self.width = bands, length, height, width
        self.logits: Tensor | None = None  # rows that are still needed; `end` is the index after the last of these rows
        self.end = 0

    def rows(self, top: int, bottom: int) -> Tensor:
        """Return the probabilities (C, bottom - top, width) of these rows, averaged over the image and its flip."""
        if (top, bottom) == (0, self.height):  # if the image is smaller than the logits, `neighbors` would skip rows
            logits = self._read(0, self.length)
            logits = F.interpolate(logits, (self.height, self.width), mode="bilinear", align_corners=False)
        else:
            low, high, fraction = neighbors(top, bottom, self.length, self.height)
            logits = self._read(int(low[0]), int(high[-1]) + 1)
            if self.length == self.height:
                logits = logits[:, :, : bottom - top]
            else:
                above, below = (torch.from_numpy(index - low[0]).to(logits.device) for index in (low, high))
                weight = torch.from_numpy(fraction).to(logits)[:, None]
                logits = torch.lerp(logits[:, :, above], logits[:, :, below], weight)
            if logits.shape[-1] != self.width:
                logits = F.interpolate(logits, (len(low), self.width), mode="bilinear", align_corners=False)
        if logits.shape[1] == 1:
            foreground = logits.sigmoid().mean(0)
            return torch.cat([1 - foreground, foreground])
        probabilities = logits.softmax(1)
        return probabilities.mean(0) if len(probabilities) > 1 else probabilities[0]

    def _read(self, top: int, bottom: int) -> Tensor:
        """Return the logits of the source rows `top` to `bottom`."""
        while self.end < bottom:
            start = 0 if self.logits is None else self.end - self.logits.shape[2]
            # The next band overwrites the memory of the previous band, so the rows that are still needed are copied.
            rest = None if self.logits is None else self.logits[:, :, max(0, top - start) :].clone()
            band = next(self.bands)
            if band.shape[1] == 2:  # the softmax of two logits is the sigmoid of their difference, which is faster
                band = band[:, 1:] - band[:, :1]
            self.logits = band if rest is None or not rest.shape[2] else torch.cat([rest, band], 2)
            self.end += band.shape[2]
        start = self.end - self.logits.shape[2]
        return self.logits[:, :, top - start : bottom - start]
