"""Charts of training: the right numbers, legends beside the data, readable matrices."""

import numpy as np
import pytest

from course.figures import compared_runs, confusion_figure, training_curves
from seglib.visualize import VisualizeError

from ..figure_helpers import CAMVID, history, pixels, texts


def test_training_curves_draw_what_there_is_and_name_the_best_epoch():
    figure = training_curves(history())
    loss, scores, rate = figure.axes
    assert scores.get_title(loc="left") == "Validation: best mIoU 0.912, epoch 6"
    assert scores.lines[0].get_xdata().tolist() == [3, 6, 9, 12]  # epochs without validation leave no gap
    assert scores.lines[0].get_ydata()[1] == 0.912 and len(loss.lines[0].get_xdata()) == 12
    assert {"0.0833 after epoch 12", "maximum 0.002", "mIoU", "Boundary IoU"} <= set(texts(figure))
    pixels(figure)


def test_training_curves_without_validation_or_rate_or_with_one_epoch():
    bare = [{"epoch": 1, "loss": 0.5}]
    assert [len(training_curves(h).axes) for h in (bare, [bare[0] | {"lr": 0.1}])] == [1, 2]
    assert len(training_curves(history(), scores=("pixel_accuracy",)).axes) == 2
    pixels(training_curves(bare))
    pixels(training_curves([{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 0.01}]))  # logarithmic


def test_legends_do_not_cover_data():
    for figure in (training_curves(history()), compared_runs({"a": history()})):
        pixels(figure)
        for axes in (axes for axes in figure.axes if axes.get_legend()):
            assert not axes.get_legend().get_window_extent().overlaps(axes.get_window_extent())


def test_confusion_figure_is_normalised_by_row_and_readable_at_2_and_11_classes():
    figure = confusion_figure(np.array([[90, 10], [0, 5]]), ("background", "horse"))
    assert figure.axes[0].images[0].get_array().tolist() == [[0.9, 0.1], [0, 1]]
    assert {"90", "10", "100", "background", "horse"} <= set(texts(figure))
    pixels(figure)
    matrix = np.diag([1000] * 11)
    matrix[0, 1], matrix[10] = 1, 0
    figure = confusion_figure(matrix, CAMVID)
    cells = {text.get_position(): text for text in figure.axes[0].texts}
    assert cells[(0, 0)].get_text() == ">99" and cells[(1, 0)].get_text() == "<1"  # never a false 100 or 0
    assert all(cells[(column, 10)].get_text() == "\u2013" for column in range(11))  # no true pixels
    pixels(figure)
    box = figure.axes[0].get_window_extent()
    widest = max(cell.get_window_extent().width for cell in cells.values())
    assert widest < box.width / 11 and cells[(0, 0)].get_fontsize() >= 8


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: training_curves([]), "at least one epoch"),
        (lambda: confusion_figure(np.eye(3), ("a", "b")), r"2 by 2.*\(3, 3\)"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, words):
    with pytest.raises(VisualizeError, match=words) as excinfo:
        call()
    assert "\n" not in str(excinfo.value) and not str(excinfo.value).endswith(".")
