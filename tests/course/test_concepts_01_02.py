"""The concept figures of notebooks 01 and 02: alt texts, numbers that are right, and no text outside of the figure."""

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from torch.nn import functional as F

from course.figures.concepts import labels, unet
from seglib import models

from ..figure_helpers import pixels, texts


def draw_mask_as_array():
    image = np.arange(108, dtype=np.uint8).reshape(6, 6, 3)
    mask = np.zeros((6, 6), np.uint8)
    mask[2, 2:5], mask[5, 0] = 1, 255
    return labels.mask_as_array(image, mask, np.array([[0, 0, 0], [230, 159, 0]]))


def draw_skip_connections(height=64, width=96):
    torch.manual_seed(0)
    return unet.skip_connections(models.create("unet", num_classes=2, width=2), torch.randn(1, 3, height, width))


FIGURES = {
    "tasks": labels.segmentation_tasks,
    "mask": draw_mask_as_array,
    "iou": labels.iou_as_areas,
    "kernel": unet.sliding_kernel,
    "transposed": unet.transposed_convolution,
    "skips": draw_skip_connections,
    "skips of a tall image": lambda: draw_skip_connections(112, 64),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_have_an_alt_text_and_every_text_is_inside(name):
    figure = FIGURES[name]()
    assert len(figure.alt) > 60 and figure.alt.endswith(".")
    pixels(figure)
    renderer = FigureCanvasAgg(figure).get_renderer()
    width, height = figure.bbox.size
    for text in figure.axes[0].texts:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, text.get_text()


def test_the_two_animals_overlap_and_both_are_visible():
    image, instances = labels._two_animals()
    assert image.shape == (240, 320, 3) and image.dtype == np.uint8
    assert all((instances == number).sum() > 2000 for number in (1, 2))


def test_the_output_of_the_sliding_kernel_is_a_convolution():
    x, kernel = torch.tensor([[0.0, 0, 1, 1]] * 4)[None, None], torch.tensor([[-1.0, 0, 1]] * 3)[None, None]
    expected = [f"{value:g}" for value in F.conv2d(x, kernel, padding=1).flatten()]
    assert [text for text in texts(unet.sliding_kernel()) if text.lstrip("-").isdigit()][-16:] == expected


def test_the_blocks_of_the_transposed_convolution_are_its_output():
    x, kernel = torch.tensor([[3.0, 1], [0, 2]])[None, None], torch.tensor([[1.0, 2], [0, -1]])[None, None]
    expected = F.conv_transpose2d(x, kernel, stride=2).flatten().int().tolist()
    written = [text.get_text() for text in unet.transposed_convolution().axes[0].texts]
    written = [int(text) for text in written if text.lstrip("-").isdigit()]
    assert sorted(written) == sorted([*expected, 3, 1, 0, 2, 1, 2, 0, -1])


def test_skip_connections_write_the_size_of_each_block():
    written = texts(draw_skip_connections())
    assert {"stem  96 × 64", "down4  6 × 4", "up1  12 × 8", "up4  96 × 64"} <= set(written)
