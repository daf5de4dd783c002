"""Concept figures of notebooks 05 and 06: they fit a column, describe themselves, and show the right numbers."""

import pytest
import torch

from course import costs
from course.figures import concepts
from course.figures.concepts import dilated_resnet, mini_hrnet
from seglib import models


@pytest.mark.parametrize(
    "draw",
    [
        mini_hrnet.four_networks,
        mini_hrnet.dilated_block,
        mini_hrnet.octave_fusion,
        dilated_resnet.dilated_kernel,
        dilated_resnet.output_stride,
        dilated_resnet.ppm_and_aspp,
    ],
)
def test_figures_fit_a_column_and_describe_themselves(draw):
    figure = draw()
    width, height = figure.get_size_inches()
    assert width <= concepts.WIDTH and len(figure.alt) > 100
    for text in figure.findobj(lambda artist: hasattr(artist, "get_text") and artist.get_text()):
        left, bottom, right, top = text.get_window_extent().extents / figure.dpi
        assert 0 <= left and right <= width and 0 <= bottom and top <= height, text.get_text()


def texts(figure):
    return [artist.get_text() for artist in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_the_costs_of_the_four_networks_are_those_of_the_library():
    details = [text for text in texts(mini_hrnet.four_networks()) if "GMACs" in text]
    with torch.device("meta"):
        names = ("mini_hrnet_v1", "mini_hrnet_v2", "mini_hrnet_v3", "mini_hrnet")
        networks = [models.create(name, 19) for name in names]
    assert details == [
        f"{costs.parameters(model) / 1e6:.1f} M parameters, {costs.macs(model, (512, 1024)) / 1e9:.0f} GMACs"
        for model in networks
    ]


def test_bars_are_as_long_as_the_costs():
    figure = mini_hrnet.cost_bars(
        {"a": {"stem": (1.5, 7.0), "head": (2.5, 3.0)}, "b": {"stem": (0, 1), "head": (4, 5)}}
    )
    lengths = [[bar.get_width() for bar in axes.patches] for axes in figure.axes]
    assert lengths == [[1.5, 2.5, 0, 4], [7.0, 3.0, 1, 5]]
    assert {"Parameters, millions", "GMACs"} <= set(texts(figure)) and "stem, head" in figure.alt
