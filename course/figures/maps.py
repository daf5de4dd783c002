"""Convert two-dimensional arrays to images that can be shown next to other images."""

import numpy as np
from matplotlib import colormaps


def heat_map(values, exponent: float = 1.0, scale: int = 1) -> np.ndarray:
    """Convert non-negative values to colors from dark (0) to bright (the maximum).

    Args:
        values: Tensor or array (H, W).
        exponent: Exponent applied to the values after scaling to 0..1; below 1, small values become brighter.
        scale: Each value is drawn as a square of scale x scale pixels.

    Returns:
        An image (scale * H, scale * W, 3) uint8.
    """
    values = np.asarray(values, np.float64)
    colors = colormaps["inferno"]((values / max(values.max(), 1e-12)) ** exponent)[..., :3]
    return _repeat((255 * colors).astype(np.uint8), scale)


def probability_map(probabilities, scale: int = 1) -> np.ndarray:
    """Convert probabilities (H, W) to gray values from black (0) to white (1), uint8 (scale * H, scale * W, 3)."""
    gray = (255 * np.asarray(probabilities, np.float64) + 0.5).astype(np.uint8)
    return _repeat(np.repeat(gray[..., None], 3, axis=2), scale)


def _repeat(image: np.ndarray, scale: int) -> np.ndarray:
    return image.repeat(scale, axis=0).repeat(scale, axis=1)
