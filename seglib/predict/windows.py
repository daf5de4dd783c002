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
    rows: Rows, height: int, width: int, side: int, overlap: float, batch: int,
    network: Callable[[np.ndarray], Tensor],
) -> Iterator[Tensor]:  # fmt: skip
    """What `network` finds in all windows of a picture, as bands (..., n, width) from its top to its bottom.

    `rows` gives the picture of `height` x `width`; `network` maps `batch` windows at most, uint8 (N, h, w, 3), to
    (N, ..., h, w).  Only one row of windows is held at a time, whatever the picture's height.
    """
    high, wide = min(side, height), min(side, width)
    tops, lefts = window_starts(height, high, overlap), window_starts(width, wide, overlap)
    down, across = window_weights(tops, high, height, overlap), window_weights(lefts, wide, width, overlap)
    kept = None  # of the windows above: the rows that they share with the next ones
    for top, end, share in zip(tops, [*tops[1:], height], torch.from_numpy(down), strict=True):
        picture = rows(top, top + high)
        band = None
        for first in range(0, len(lefts), batch):
            some = lefts[first : first + batch]
            found = network(np.stack([picture[:, left : left + wide] for left in some]))
            if band is None:
                band = found.new_zeros(*found.shape[1:-1], width)
            for left, weight, planes in zip(some, across[first : first + batch], found, strict=True):
                band[..., left : left + wide] += planes * torch.from_numpy(weight).to(planes.device)
        band *= share.to(band.device)[:, None]
        if kept is not None:
            band[..., : kept.shape[-2], :] += kept
        kept = band[..., end - top :, :].clone()  # a view would hold on to the whole band
        yield band[..., : end - top, :]
