"""Two-dimensional arrays as images, to show them in a row with other images."""

import numpy as np
from matplotlib import colormaps


def heat_map(values, exponent: float = 1.0, scale: int = 1) -> np.ndarray:
    """Show non-negative values (H, W) from dark to bright; uint8 (scale * H, scale * W, 3).

    Args:
        values: Tensor or array; the maximum is the brightest.
        exponent: Below 1 it makes small values visible.
        scale: Pixels of the image for each value, along each side.
    """
    values = np.asarray(values, np.float64)
    colors = colormaps["inferno"]((values / max(values.max(), 1e-12)) ** exponent)[..., :3]
    return _repeat((255 * colors).astype(np.uint8), scale)


def probability_map(probabilities, scale: int = 1) -> np.ndarray:
    """Show probabilities (H, W) from black (0) to white (1); uint8 (scale * H, scale * W, 3)."""
    gray = (255 * np.asarray(probabilities, np.float64) + 0.5).astype(np.uint8)
    return _repeat(np.repeat(gray[..., None], 3, axis=2), scale)


def _repeat(image: np.ndarray, scale: int) -> np.ndarray:
    return image.repeat(scale, axis=0).repeat(scale, axis=1)
