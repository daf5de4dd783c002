"""Sliding-window inference, which splits an image into overlapping windows and blends the outputs without seams."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor


def window_starts(length: int, side: int, overlap: float) -> list[int]:
    """Return the start positions of evenly spaced windows of `side` pixels that cover `length` pixels.

    Neighboring windows overlap by at least the fraction `overlap` of their side, with 0 <= `overlap` < 1.
    """
    shared = min(side - 1, round(side * overlap))
    number = max(1, math.ceil((length - shared) / (side - shared)))
    return [round(i * (length - side) / max(1, number - 1)) for i in range(number)]


def window_weights(starts: list[int], side: int, length: int, overlap: float) -> np.ndarray:
    """Return the weight of each pixel of each window, float32 (windows, side). At every pixel, the weights sum to 1.

    Weights decrease toward the ends of a window, where the network has the least context.
    """
    fade = max(1, round(side * overlap))
    rise = np.minimum(1, (np.arange(side) + 0.5) / fade)
    rise = rise**2 * (3 - 2 * rise)  # smoothstep: the slope is 0 at both ends
    weight = rise * rise[::-1]
    total = np.zeros(length)
    for start in starts:
        total[start : start + side] += weight
    return np.stack([weight / total[start : start + side] for start in starts]).astype(np.float32)


def sliding_window_inference(
    rows: Callable[[int, int], np.ndarray],
    height: int,
    width: int,
    side: int,
    overlap: float,
    batch_size: int,
    network: Callable[[np.ndarray], Tensor],
) -> Iterator[Tensor]:
    """Apply `network` to overlapping windows of an image and blend its outputs.

    Only one row of windows is in memory at a time. The memory of a band is reused for the next band, so use each band
    before you request the next one.

    Args:
        rows: Function that returns the rows `top` to `bottom` of the image, (bottom - top, width, channels).
        height: Height of the image.
        width: Width of the image.
        side: Height and width of a window in pixels.
        overlap: Minimum overlap of neighboring windows, as a fraction of their side.
        batch_size: Number of windows per call of `network`.
        network: Function that maps windows (N, h, w, channels) to a float tensor (N, ..., h, w), which is then modified
            in place.

    Yields:
        Bands (..., n, width) of the blended output, from top to bottom.
    """
    window_height, window_width = min(side, height), min(side, width)
    tops, lefts = window_starts(height, window_height, overlap), window_starts(width, window_width, overlap)
    row_weights = window_weights(tops, window_height, height, overlap)
    column_weights = window_weights(lefts, window_width, width, overlap)
    total = None
    for top, next_top, row_weight in zip(tops, [*tops[1:], height], row_weights, strict=True):
        band = rows(top, top + window_height)
        for first in range(0, len(lefts), batch_size):
            batch = lefts[first : first + batch_size]
            outputs = network(np.stack([band[:, left : left + window_width] for left in batch]))
            if total is None:
                total = outputs.new_zeros(*outputs.shape[1:-1], width)
            for left, weight, output in zip(batch, column_weights[first : first + batch_size], outputs, strict=True):
                output *= torch.from_numpy(row_weight[:, None] * weight).to(output.device)
                total[..., left : left + window_width] += output
            del outputs, output
        done = next_top - top
        yield total[..., :done, :]
        rest = total[..., done:, :]  # rows that the next row of windows also covers
        total[..., : window_height - done, :] = rest.clone() if window_height > 2 * done else rest
        total[..., window_height - done :, :] = 0
