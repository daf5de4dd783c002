"""Windows over a picture, and what a network makes of them blended into one result without seams."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

Rows = Callable[[int, int], np.ndarray]  # (top, bottom) -> these rows of a picture, uint8 (bottom - top, width, 3)


def window_starts(length: int, side: int, overlap: float) -> list[int]:
    """Where windows of `side` pixels begin so that they cover `length` pixels, spread evenly from end to end.

    Neighbours share at least the part `overlap` (0 to below 1) of their side.
    """
    shared = min(side - 1, round(side * overlap))
    number = max(1, math.ceil((length - shared) / (side - shared)))
    return [round(i * (length - side) / max(1, number - 1)) for i in range(number)]


def window_weights(starts: list[int], side: int, length: int, overlap: float) -> np.ndarray:
    """float32 (windows, side): how much each pixel of each window counts; at every pixel of `length` they sum to 1.

    A window counts less and less towards its ends, where the network sees least around a pixel.
    """
    fade = max(1, round(side * overlap))
    rise = np.minimum(1, (np.arange(side) + 0.5) / fade)
    rise = rise**2 * (3 - 2 * rise)  # smoothstep: no kink at either end
    weight = rise * rise[::-1]
    total = np.zeros(length)
    for start in starts:
        total[start : start + side] += weight
    return np.stack([weight / total[start : start + side] for start in starts]).astype(np.float32)


def blended(
    rows: Rows,
    height: int,
    width: int,
    side: int,
    overlap: float,
    batch: int,
    network: Callable[[np.ndarray], Tensor],
) -> Iterator[Tensor]:
    """What `network` finds in all windows of a picture, as bands (..., n, width) from its top to its bottom.

    `rows` gives the picture of `height` x `width`; `network` maps `batch` windows at most, uint8 (N, h, w, 3), to
    float (N, ..., h, w), which may be overwritten.  Only one row of windows is held at a time, whatever the picture's
    height: a band's memory serves the next one, so keep no band for longer.
    """
    high, wide = min(side, height), min(side, width)
    tops, lefts = window_starts(height, high, overlap), window_starts(width, wide, overlap)
    down, across = window_weights(tops, high, height, overlap), window_weights(lefts, wide, width, overlap)
    held = None
    for top, end, share in zip(tops, [*tops[1:], height], down, strict=True):
        picture = rows(top, top + high)
        for first in range(0, len(lefts), batch):
            some = lefts[first : first + batch]
            found = network(np.stack([picture[:, left : left + wide] for left in some]))
            if held is None:
                held = found.new_zeros(*found.shape[1:-1], width)
            for left, weight, planes in zip(some, across[first : first + batch], found, strict=True):
                planes *= torch.from_numpy(share[:, None] * weight).to(planes.device)
                held[..., left : left + wide] += planes
            del found, planes
        done = end - top
        yield held[..., :done, :]
        below = held[..., done:, :]  # what the next row of windows shares with this one
        held[..., : high - done, :] = below.clone() if high > 2 * done else below
        held[..., high - done :, :] = 0
