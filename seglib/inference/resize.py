"""A picture scaled to the network's size, and its results scaled back, a few rows at a time.

For pictures that fit into memory `augment.fit` and `F.interpolate` do the same; these give their results (the
first one to within rounding) where only some of the rows are there.
"""

from collections.abc import Iterator
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK = 256  # rows of the picture that are scaled at once


class Picture(Protocol):
    """What can be read in parts: `rows(top, bottom)` gives uint8 RGB (bottom - top, width, 3)."""

    height: int
    width: int

    def rows(self, top: int, bottom: int) -> np.ndarray: ...


class Scaled:
    """`picture` at `height` x `width`, itself a picture: areas are averaged when shrunk, lines drawn when enlarged."""

    def __init__(self, picture: Picture, height: int, width: int):
        self.picture, self.height, self.width = picture, height, width
        self.shrunk = height <= picture.height and width <= picture.width

    def rows(self, top: int, bottom: int) -> np.ndarray:
        if (self.height, self.width) == (self.picture.height, self.picture.width):
            return self.picture.rows(top, bottom)
        step = max(1, CHUNK * self.height // self.picture.height)
        return np.concatenate([self._rows(a, min(a + step, bottom)) for a in range(top, bottom, step)])

    def _rows(self, top: int, bottom: int) -> np.ndarray:
        first, weights = (area_weights if self.shrunk else line_weights)(top, bottom, self.picture.height, self.height)
        read = self.picture.rows(first, first + weights.shape[1])
        way = cv2.INTER_AREA if self.shrunk else cv2.INTER_LINEAR
        read = cv2.resize(read.astype(np.float32), (self.width, len(read)), interpolation=way)
        scaled = weights @ read.reshape(len(read), -1)
        return scaled.round().clip(0, 255).astype(np.uint8).reshape(-1, self.width, 3)


def area_weights(top: int, bottom: int, length: int, scaled: int) -> tuple[int, np.ndarray]:
    """How rows `top` to `bottom` of the `scaled` ones are averaged from the `length` given ones.

    Returns the first row that is needed and float32 (bottom - top, needed rows), each summing to 1.
    """
    edges = np.arange(top, bottom + 1) * (length / scaled)
    first, last = int(edges[0]), min(length, int(np.ceil(edges[-1] - 1e-9)))
    given = np.arange(first, last)
    shared = np.minimum(given + 1, edges[1:, None]) - np.maximum(given, edges[:-1, None])
    weights = shared.clip(0)
    return first, (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def line_weights(top: int, bottom: int, length: int, scaled: int) -> tuple[int, np.ndarray]:
    """As `area_weights`, for linear interpolation between the two nearest rows."""
    low, high, share = neighbours(top, bottom, length, scaled)
    weights = np.zeros((bottom - top, int(high[-1] - low[0]) + 1), np.float32)
    each = np.arange(bottom - top)
    weights[each, low - low[0]] += 1 - share
    weights[each, high - low[0]] += share
    return int(low[0]), weights


def neighbours(top: int, bottom: int, length: int, scaled: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For rows `top` to `bottom` of the `scaled` ones: the given rows above and below, and the share of that below."""
    place = ((np.arange(top, bottom) + 0.5) * (length / scaled) - 0.5).clip(0, length - 1)
    low = place.astype(int)
    return low, np.minimum(low + 1, length - 1), place - low


class Enlarged:
    """Logits that come in `bands` (V, C, n, width), scaled to a picture's size and turned into probabilities.

    `length` is the rows of all bands together, `height` x `width` the picture's size.  Rows must be asked for from
    top to bottom; what lies above is forgotten.
    """

    def __init__(self, bands: Iterator[Tensor], length: int, height: int, width: int):
        self.bands, self.length, self.height, self.width = bands, length, height, width
        self.parts: list[Tensor] = []  # the bands that are still needed
        self.start = self.end = 0  # the rows, of those of all bands, that they have

    def rows(self, top: int, bottom: int) -> Tensor:
        """The probabilities (C, bottom - top, width) of these rows, the mean over the V views."""
        if (top, bottom) == (0, self.height):  # and so all given rows, of which a small picture may not touch the outer
            given = self._given(0, self.length)
            logits = F.interpolate(given, (self.height, self.width), mode="bilinear", align_corners=False)
            return self._mean(logits)
        low, high, share = neighbours(top, bottom, self.length, self.height)
        given = self._given(int(low[0]), int(high[-1]) + 1)
        if self.length == self.height:
            logits = self._sideways(given[:, :, : bottom - top])
        else:
            above, below = (torch.from_numpy(rows - low[0]).to(given.device) for rows in (low, high))
            share = torch.from_numpy(share).to(given)[:, None]
            logits = self._sideways(torch.lerp(given[:, :, above], given[:, :, below], share))
        return self._mean(logits)

    @staticmethod
    def _mean(logits: Tensor) -> Tensor:
        found = logits.softmax(1)
        return found.mean(0) if len(found) > 1 else found[0]

    def _sideways(self, logits: Tensor) -> Tensor:
        if logits.shape[-1] == self.width:
            return logits
        return F.interpolate(logits, (logits.shape[-2], self.width), mode="bilinear", align_corners=False)

    def _given(self, top: int, bottom: int) -> Tensor:
        """The rows `top` to `bottom` of all bands."""
        if self.end < bottom:
            self.parts = [self._cut(top, self.end)] if top < self.end else []
            self.start = min(top, self.end)
            while self.end < bottom:
                # The next band takes the place of the last one, of which few rows are left.
                self.parts = [part.clone() for part in self.parts]
                self.parts.append(next(self.bands))
                self.end += self.parts[-1].shape[2]
        return self._cut(top, bottom)

    def _cut(self, top: int, bottom: int) -> Tensor:
        found, first = [], self.start
        for part in self.parts:
            found.append(part[:, :, max(0, top - first) : max(0, bottom - first)])
            first += part.shape[2]
        found = [part for part in found if part.shape[2]]
        return found[0] if len(found) == 1 else torch.cat(found, 2)
