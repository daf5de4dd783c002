"""The charts of scores and the concept figures of evaluation: what they draw, and that each has an alt text."""

import numpy as np
import pytest

from course.figures import score_charts
from course.figures.concepts import overlap, probabilities
from seglib.metrics import boundary_bands

from ..figure_helpers import pixels, texts


@pytest.mark.parametrize(
    "draw", [overlap.areas, overlap.band, probabilities.threshold, probabilities.calibration, probabilities.compositing]
)
def test_concept_figures_are_drawn_within_the_notebooks_width(draw):
    figure = draw()
    assert figure.alt and figure.get_figwidth() <= 9
    image = pixels(figure)
    assert image.std() > 10
    edges = np.concatenate([image[0].reshape(-1, image.shape[-1]), image[-1].reshape(-1, image.shape[-1])])
    assert (edges == edges[0]).all()  # nothing is cut off at the top or the bottom


def test_areas_name_the_scores_that_the_library_computes():
    target, prediction = overlap._blobs()
    both, either = ((target & prediction) == 1).sum(), ((target | prediction) == 1).sum()
    assert f"IoU = {both / either:.2f}" in texts(overlap.areas())
    assert f"Dice = {2 * both / (target.sum() + prediction.sum()):.2f}" in texts(overlap.areas())


def test_the_drawn_band_is_the_librarys():
    figure = overlap.band(width=2)
    mask = np.zeros((11, 18), np.uint8)
    mask[1:10, 0:12] = mask[3:6, 12:15] = 1
    expected = ((mask == 1) & boundary_bands(mask, 2)).sum()
    cells = [
        p for p in figure.axes[0].patches if p.get_facecolor()[:3] == pytest.approx(overlap.tint(overlap.ORANGE, 0.6))
    ]
    assert len(cells) == expected + 1  # and one in the legend


def test_line_panels_share_an_axis_and_a_legend():
    panels = {"one": ([0, 1], {"a": [0, 1], "b": [1, 0]}), "two | metres": ([0, 2], {"a": [0, 1], "b": [1, 0]})}
    figure = score_charts.line_panels(panels, "seconds", "score", "two charts", (0, 2))
    assert [axes.get_xlabel() for axes in figure.axes] == ["seconds", "metres"]
    assert figure.axes[1].get_ylim() == (0, 2) and figure.alt == "two charts"
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"a", "b"}
    pixels(figure)


def test_dot_rows_mark_every_score_and_the_mean():
    figure = score_charts.dot_rows({"a": [0.2, 0.4], "b": [0.5]}, "title", "score", "dots")
    drawn = [line.get_xdata() for line in figure.axes[0].lines]
    assert [0.2, 0.4] in [list(np.ravel(x)) for x in drawn] and pytest.approx(0.3) in [np.ravel(x)[0] for x in drawn]
    pixels(figure)


def test_reliability_draws_accuracy_over_confidence_and_the_gap():
    table = np.array([[60, 0, 40], [57.0, 0, 28.0], [54, 0, 26]])
    figure = score_charts.reliability({"toy": table}, "toy")
    line = figure.axes[0].lines[1]
    np.testing.assert_allclose(line.get_xdata(), [0.95, 0.7])
    np.testing.assert_allclose(line.get_ydata(), [0.9, 0.65])
    assert "expected calibration error 0.050" in texts(figure)
    pixels(figure)


def test_label_grids_and_histograms():
    grid = score_charts.label_grids({"map": np.array([[0, 255]], np.uint8)}, "labels")
    assert {"0", "255", "map"} <= set(texts(grid))
    pixels(grid)
    pixels(score_charts.histograms({"score": np.linspace(0, 1, 50)}, {"score": 0.5}, "a histogram"))
