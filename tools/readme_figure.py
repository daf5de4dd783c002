"""Draw the figure at the top of the README: images, predicted masks and cut-outs.

The command is `python -m tools readme-figure`.
"""

from pathlib import Path

import matplotlib.cbook
import numpy as np
from PIL import Image

from seglib import data, weights
from seglib.data.transforms import resize_longest_side
from seglib.inference import Predictor, cutout
from seglib.visualize import figure_palette, overlay

FIGURE = weights.FOLDER.parent / "docs" / "images" / "before_after.png"
HEIGHT, GAP, CHECK = 240, 8, 12  # pixels
EXAMPLES = (("efficientnet_unet-humans", None), ("u2netp-horses", "horse005"), ("mini_hrnet-camvid", "0016E5_08001"))


def draw(root: Path | str, file: Path = FIGURE) -> Path:
    """Draw predictions for a portrait from matplotlib's sample data, a horse and a street.

    Args:
        root: Folder of the data sets.
        file: The PNG file to write.

    Returns:
        The path of the PNG file.
    """
    rows = [_row(name, _image(name, key, root)) for name, key in EXAMPLES]
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, GAP), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(padded)[:-GAP]).quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
    return file


def _image(name: str, key: str | None, root: Path | str) -> np.ndarray:
    if key is None:
        return data.read_image(Path(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    dataset = data.load(weights.card(name)["data"]["name"], "all", root)
    return dataset[dataset.keys.index(key)]["image"]


def _row(name: str, image: np.ndarray) -> np.ndarray:
    """Return the image and the overlay side by side, and for two classes also the cut-out on a checkerboard."""
    model, metadata = weights.load(name)
    predictor = Predictor(model, **metadata["config"]["inference"])
    probabilities = predictor.probabilities(image)
    labels = probabilities.argmax(0).astype(np.uint8)
    binary = len(metadata["classes"]) == 2
    palette = figure_palette(metadata["classes"], metadata["palette"])
    panels = [image, overlay(image, labels, palette, background_class=0 if binary else None)]
    if binary:
        panels.append(_on_checkerboard(cutout(image, probabilities)))
    scaled = [resize_longest_side(panel, round(HEIGHT * max(panel.shape[:2]) / panel.shape[0])) for panel in panels]
    gap = np.full((scaled[0].shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([part for panel in scaled for part in (panel, gap)][:-1], axis=1)


def _on_checkerboard(rgba: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(rgba.shape[:2]) // CHECK
    board = np.where((rows + columns) % 2, 255, 205)[..., None]
    alpha = rgba[..., 3:] / 255
    return (rgba[..., :3] * alpha + board * (1 - alpha)).round().astype(np.uint8)
