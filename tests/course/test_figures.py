"""The figures that only the notebooks use."""

import numpy as np
import pytest
import torch

from course import figures
from course.figures import concepts
from course.figures.concepts import hrnet, u2net
from seglib import metrics, visualize
from seglib.visualize import FALSE_NEGATIVE, FALSE_POSITIVE, IGNORED, TRUE_POSITIVE

from ..figure_helpers import disc, mixed, photo, pixels, texts


def test_cutout_keeps_the_image_and_makes_all_but_the_foreground_transparent():
    image, labels = photo(1, 3), np.array([[0, 1, 255]], np.uint8)
    result = figures.cutout(image, labels)
    assert result.shape == (1, 3, 4) and result.dtype == np.uint8
    np.testing.assert_array_equal(result[..., :3], image)
    assert result[..., 3].tolist() == [[0, 255, 0]]
    assert figures.cutout(image, labels, foreground=0)[..., 3].tolist() == [[255, 0, 0]]


def test_band_picture_shows_the_areas_that_boundary_iou_divides():
    image, target, prediction = np.zeros((40, 60, 3), np.uint8), disc(), disc(shift=3)
    target[:3] = 255
    result = figures.boundary_errors(image, target, prediction, class_index=1, ratio=0.03)
    ground = visualize.darken(image)[0, 0]
    colours = (TRUE_POSITIVE, 0.7), (FALSE_NEGATIVE, 0.9), (FALSE_POSITIVE, 0.9)
    hit, miss, alarm = ((result == mixed(ground, *colour)).all(-1).sum() for colour in colours)
    counts = metrics.Counts(2, ratio=0.03)
    counts.update(target, prediction)
    assert hit == counts.boundary_intersection[1] > 0
    assert hit + miss + alarm == counts.boundary_union[1]
    np.testing.assert_array_equal(result[0, 0], IGNORED)


def test_arrays_become_images():
    heat = figures.heat_map(torch.tensor([[0.0, 0.01], [0.5, 1.0]]), exponent=0.5, scale=2)
    assert heat.shape == (4, 4, 3) and heat.dtype == np.uint8
    brightness = heat[::2, ::2].astype(int).sum(-1).ravel()
    assert (np.diff(brightness) > 0).all()
    assert figures.heat_map(np.zeros((2, 3))).max() < 10
    assert figures.probability_map(np.array([[0, 0.5, 1]]), scale=1).tolist() == [[[0] * 3, [128] * 3, [255] * 3]]


@pytest.mark.parametrize(
    "draw",
    [
        u2net.nested_u,
        u2net.dilated_kernels,
        u2net.deep_supervision,
        hrnet.resolution_over_depth,
        hrnet.parallel_branches,
        hrnet.exchange_unit,
    ],
)
def test_concept_figures_fit_a_column_and_describe_themselves(draw):
    figure = draw()
    assert figure.get_figwidth() <= concepts.WIDTH and len(figure.alt) > 100
    width, height = figure.get_size_inches()
    for text in figure.findobj(lambda artist: hasattr(artist, "get_text") and artist.get_text()):
        left, bottom, right, top = text.get_window_extent().extents / figure.dpi
        assert 0 <= left and right <= width and 0 <= bottom and top <= height, text.get_text()


def test_feature_maps_are_scaled_one_by_one_from_a_tensor_on_a_graph():
    features = torch.stack([torch.tensor([[0.0, 1.0], [2.0, 4.0]]), torch.full((2, 2), 7.0), torch.eye(2)])
    figure = figures.feature_maps(features.requires_grad_(), n=2)
    assert [axes.images[0].get_array()[..., 0].tolist() for axes in figure.axes] == [
        [[0, 64], [128, 255]],
        [[128] * 2] * 2,
    ]
    assert "2 of 3 channels, 2 \u00d7 2" in texts(figure)
    pixels(figure)


def test_score_histogram_counts_every_score_and_gives_median_and_mean():
    figure = figures.score_histogram([0.9, 1.0, 0.8, None, float("nan"), 0.5])
    axes = figure.axes[0]
    assert sum(bar.get_height() for bar in axes.patches) == 4
    assert axes.get_title(loc="left") == "IoU of 4 images: median 0.850, mean 0.800"
    pixels(figure)
    pixels(figures.score_histogram([1.0]))


def test_roadmap_names_the_chapters_and_marks_the_current_one():
    chapters = ["Data preparation", "U-Net", "U\u00b2-Net", "Evaluation"]
    figure = figures.roadmap(chapters, 2)
    bold = [text.get_text() for text in figure.axes[0].texts if text.get_weight() == "bold" and text.get_text() > "9"]
    assert bold == ["U-Net"]
    assert {"U-Net", "U\u00b2-Net", "Evaluation", "1", "4"} <= {text.replace("\n", " ") for text in texts(figure)}
    assert (pixels(figure) != pixels(figures.roadmap(chapters, 3))).any()
    pixels(figures.roadmap(chapters))


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: figures.cutout(photo(4, 5)[..., 0], np.zeros((4, 5), np.uint8)), r"\(4, 5\)"),
        (lambda: figures.feature_maps(np.zeros((3, 4))), r"\(C, H, W\)"),
        (lambda: figures.feature_maps(np.full((1, 2, 2), np.nan)), "NaN"),
        (lambda: figures.score_histogram([None]), "at least one score"),
        (lambda: figures.score_histogram([0.5, 93.0]), "from 0 to 1"),
        (lambda: figures.roadmap(["one", "two"], 3), "from 0 to 2"),
    ],
)
def test_bad_input_is_rejected_in_one_sentence(call, words):
    with pytest.raises(visualize.VisualizeError, match=words):
        call()


def test_figures_print_any_names():
    names = ("_background_", "\u99ac $x_1$ {} \\frac \t")
    pixels(figures.roadmap(names, 1))
    pixels(figures.score_histogram([0.5], name=names[1]))


def test_line_chart_names_each_line():
    lines = {"one": ([0, 1], [1.0, 2.0]), "two": (range(3), np.array([3.0, 2, 1]))}
    figure = figures.line_chart(lines, "Title", "step", "loss", log=True)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "two"]
    assert axes.get_yscale() == "log" and axes.get_xlabel() == "step" and axes.get_title(loc="left") == "Title"
    assert pixels(figure).std() > 0
    assert figures.line_chart({"one": ([0, 1], [1, 2])}, "Title").axes[0].get_legend() is None


@pytest.mark.parametrize("lines", [{}, {"a": ([], [])}, {"a": ([1, 2], [1])}])
def test_line_chart_rejects_lines_without_points(lines):
    with pytest.raises(visualize.VisualizeError, match="at least one line"):
        figures.line_chart(lines, "Title")


def test_image_grid_shows_the_images_unchanged():
    red = np.zeros((20, 30, 3), np.uint8)
    red[..., 0] = 200
    rows = [[(red, "Title", "detail"), (red,)], [(red, "below")]]
    figure = figures.image_grid(rows, ["a", "b"], [(0, 0, 0), (9, 9, 9)])
    assert len(figure.axes) == 3
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), red)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    assert pixels(figure).std() > 0


@pytest.mark.parametrize(
    ("rows", "words"), [([], "no images"), ([[]], "no images"), ([[(np.zeros((2, 2)),)]], "uint8")]
)
def test_image_grid_rejects_what_is_not_an_image(rows, words):
    with pytest.raises(visualize.VisualizeError, match=words):
        figures.image_grid(rows)
