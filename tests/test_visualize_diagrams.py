"""The diagrams: a network traced as it runs, curves, pictures in rows."""

import numpy as np
import pytest
import torch
from torch import nn

from seglib import models, visualize
from seglib.visualize.diagrams import trace


def drawn(figure) -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def texts(figure) -> str:
    return "\n".join(text.get_text() for axes in figure.axes for text in axes.texts) + "".join(
        axes.get_title(loc="left") for axes in figure.axes
    )


def test_trace_follows_the_u():
    blocks = trace(models.create("unet", 2, width=2), (37, 51))
    assert [block.name for block in blocks] == [
        "enter", "down1", "down2", "down3", "down4", "up1", "up2", "up3", "up4", "classify"
    ]  # fmt: skip
    assert [block.shape for block in blocks[:5]] == [(2, 37, 51), (4, 18, 25), (8, 9, 12), (16, 4, 6), (32, 2, 3)]
    assert blocks[-1].shape == (2, 37, 51)
    assert [block.sources for block in blocks] == [[-1], [0], [1], [2], [3], [4, 3], [5, 2], [6, 1], [7, 0], [8]]


def test_trace_counts_every_weight_and_leaves_no_mark():
    model = models.create("unet", 2, width=2).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    blocks = trace(model, (16, 16))
    assert sum(block.parameters for block in blocks) == sum(p.numel() for p in model.parameters())
    assert model.training and all(not module._forward_hooks for module in model.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_trace_takes_its_hooks_away_when_the_network_fails():
    model = models.create("unet", 2, width=2)
    with pytest.raises(ValueError, match="16x16"):
        trace(model, (8, 8))
    assert all(not module._forward_hooks for module in model.modules())


def test_a_network_on_meta_needs_no_numbers():
    with torch.device("meta"):
        model = models.create("unet", 2)
    figure = visualize.architecture(model, (48, 64))
    assert "31,037,698" in texts(figure) and "1024 ch\n4 \u00d7 3\n14.2 M" in texts(figure)
    assert drawn(figure).std() > 0


def test_a_network_without_pictures_inside_is_refused():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.mean = nn.Flatten()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return self.mean(x) * self.scale

    with pytest.raises(visualize.VisualizeError, match="Flat"):
        visualize.architecture(Flat(), (16, 16))


def test_curves_shows_each_name():
    lines = {"one": ([0, 1], [1.0, 2.0]), "two": (range(3), np.array([3.0, 2, 1]))}
    figure = visualize.curves(lines, "Title", "step", "loss", log=True)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "two"]
    assert axes.get_yscale() == "log" and axes.get_xlabel() == "step" and axes.get_title(loc="left") == "Title"
    assert drawn(figure).std() > 0
    assert visualize.curves({"one": ([0, 1], [1, 2])}, "Title").axes[0].get_legend() is None


@pytest.mark.parametrize("lines", [{}, {"a": ([], [])}, {"a": ([1, 2], [1])}])
def test_curves_refuses_what_it_cannot_draw(lines):
    with pytest.raises(visualize.VisualizeError, match="at least one curve"):
        visualize.curves(lines, "Title")


def test_pictures_are_shown_as_given():
    red = np.zeros((20, 30, 3), np.uint8)
    red[..., 0] = 200
    rows = [[(red, "Title", "detail"), (red,)], [(red, "below")]]
    figure = visualize.pictures(rows, ["a", "b"], [(0, 0, 0), (9, 9, 9)])
    assert len(figure.axes) == 3
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), red)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    assert drawn(figure).std() > 0


@pytest.mark.parametrize(
    ("rows", "words"), [([], "no pictures"), ([[]], "no pictures"), ([[(np.zeros((2, 2)),)]], "uint8")]
)
def test_pictures_refuses_what_is_none(rows, words):
    with pytest.raises(visualize.VisualizeError, match=words):
        visualize.pictures(rows)
