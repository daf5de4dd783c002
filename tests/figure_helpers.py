"""Small images and masks, and functions that read texts and pixels of a figure."""

import io

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

CAMVID = "Sky Building Pole Road Pavement Tree SignSymbol Fence Car Pedestrian Bicyclist".split()


def photo(height=40, width=60, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def disc(height=40, width=60, radius=12, shift=0):
    y, x = np.ogrid[:height, :width]
    return ((y - height / 2) ** 2 + (x - width / 2 - shift) ** 2 < radius**2).astype(np.uint8)


def item(seed=0, **changes):
    return {"image": photo(seed=seed), "mask": disc(shift=seed), "key": f"photo{seed:03d}"} | changes


def history(epochs=12):
    """Return the history of a training run, with the best mIoU in epoch 6."""
    entries = [{"epoch": epoch, "loss": 1 / (epoch + 1), "lr": 0.002 / (epoch + 1)} for epoch in range(epochs)]
    for entry in entries[2::3]:
        entry["val"] = {"miou": 0.52 + 0.02 * entry["epoch"], "boundary_iou": 0.4, "pixel_accuracy": None}
    entries[5]["val"]["miou"] = 0.912
    return entries


def texts(figure):
    """Return all texts of a figure, its axes and its legends."""
    labels = [text for part in (figure, *figure.axes) for text in part.findobj(matplotlib.text.Text)]
    return [label.get_text() for label in labels if label.get_text()]


def pixels(figure):
    """Return the pixels of the figure, saved as PNG; it must not be blank or registered in pyplot."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    array = np.asarray(Image.open(buffer).convert("RGB"))
    assert array.std() > 1
    assert plt.get_fignums() == []
    return array


def mixed(below, colour, alpha):
    return np.floor(below * (1 - alpha) + np.array(colour) * alpha + 0.5).astype(np.uint8)
