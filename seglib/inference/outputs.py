"""Write the result files of an image: masks, overlays, cutouts and probabilities."""

import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ..data.transforms import resize_longest_side
from ..files import write_atomically
from .result_files import DESCRIPTION_TAG, MADE_BY, SOFTWARE_TAG

PNG_LEVEL = 1  # zlib level; several times faster than Pillow's default, but the files are about 10% larger
JPEG_QUALITY = 90
JPEG_SIDE = 65_500  # limit of the format
REFINE_SIDE = 1024  # longer side of the downscaled image on which the filter of `refine_alpha` is fitted


def save_mask(file: Path, labels: np.ndarray, palette: Sequence[Sequence[int]] | None = None, source: str = "") -> None:
    """Write a label map, uint8 (H, W), as an 8-bit PNG.

    Args:
        file: The PNG file.
        labels: The values of the pixels.
        palette: Colors (classes, 3). If given, the file is a palette image, which viewers show and OpenCV reads in
            color. Otherwise, it is a grayscale image of the labels.
        source: The `source_id` of the image from which the mask was predicted.
    """
    image = Image.fromarray(labels)
    if palette is not None:
        image.putpalette(bytes(np.asarray(palette, np.uint8).ravel()))  # makes a palette image with the same values
    _save(file, image, source)


def save_image(file: Path, image: np.ndarray, source: str = "") -> None:
    """Write a uint8 image, (H, W, 3) or (H, W, 4). `source` is the same as in `save_mask`.

    A name that ends in .jpg gives a JPEG of at most 65,500 pixels per side; any other name gives a PNG.
    """
    _save(file, Image.fromarray(image), source)


def _save(file: Path, image: Image.Image, source: str) -> None:
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[SOFTWARE_TAG], exif[DESCRIPTION_TAG] = MADE_BY, source
    if file.suffix == ".jpg":
        image.thumbnail((JPEG_SIDE, JPEG_SIDE))  # does not change smaller images
        image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling="4:4:4", exif=exif)
    else:
        image.save(buffer, "PNG", compress_level=PNG_LEVEL, exif=exif)
    write_atomically(file, lambda stream: stream.write(buffer.getbuffer()))


def save_probabilities(file: Path, probabilities: np.ndarray, classes: Sequence[str], source: str = "") -> None:
    """Write probabilities (C, H, W) as an .npz file with `probabilities` (float16) and `classes` (the class names)."""
    entries = {"classes": np.array(classes), "made_by": np.array(MADE_BY), "source": np.array(source)}
    write_atomically(file, lambda stream: np.savez(stream, probabilities=probabilities.astype(np.float16), **entries))


def cutout(image: np.ndarray, probabilities: np.ndarray, background: int = 0) -> np.ndarray:
    """Return the image with the foreground probability as opacity, uint8 RGBA (H, W, 4).

    `image` is uint8 (H, W, 3), `probabilities` float (C, H, W). Fully transparent pixels are black.
    """
    return with_alpha(image, 1 - probabilities[background])


def with_alpha(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return the image as uint8 RGBA (H, W, 4), with `alpha`, float (H, W) from 0 to 1, as its alpha channel."""
    alpha = (alpha * 255).round().clip(0, 255).astype(np.uint8)[..., None]
    return np.concatenate([np.where(alpha, image, 0), alpha], axis=2)


def refine_alpha(image: np.ndarray, alpha: np.ndarray, radius: float = 1 / 128, epsilon: float = 1e-4) -> np.ndarray:
    """Align soft edges with the edges in the image, using a guided filter (He, Sun and Tang, ECCV 2010).

    Args:
        image: The image, uint8 (H, W, 3). Its gray values guide the filter.
        alpha: The opacity, float (H, W) from 0 to 1.
        radius: Radius of the filter window, as a fraction of the longer side of the image.
        epsilon: Regularization. Edges are preserved in windows whose gray values (0 to 1) have a larger variance.

    Returns:
        The refined opacity, float32 (H, W) from 0 to 1.
    """
    guide = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    # In each window, the filter is a linear function of the guide. Its two coefficients are fitted on a small copy
    # (fast guided filter, He and Sun, 2015), so that large images take little time and memory.
    side = min(REFINE_SIDE, max(guide.shape))
    small, target = (resize_longest_side(array.astype(np.float32), side) for array in (guide, alpha))
    small /= 255

    window = 2 * max(1, round(radius * side)) + 1

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (window, window))

    slope = mean(small * target) - mean(small) * mean(target)
    slope /= mean(small * small) - mean(small) ** 2 + epsilon
    offset = mean(target) - slope * mean(small)
    slope, offset = (cv2.resize(mean(values), guide.shape[::-1]) for values in (slope, offset))
    refined = slope * (guide.astype(np.float32) / 255) + offset
    return (2 * refined - 0.5).clip(0, 1)  # sharpens the edges, which the filter blurs
