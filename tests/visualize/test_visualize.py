"""Pictures: exact pixels on tiny arrays, and figures that say the right numbers, once, in their own style."""

import io

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nbclient import NotebookClient
from PIL import Image

from seglib import metrics, visualize
from seglib.visualize import FALSE_ALARM, HIT, IGNORED, MISS

PALETTE = np.array([[0, 0, 0], [200, 100, 0], [0, 40, 240]], np.uint8)
CAMVID = "Sky Building Pole Road Pavement Tree SignSymbol Fence Car Pedestrian Bicyclist".split()


def photo(height=40, width=60, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def disc(height=40, width=60, radius=12, shift=0):
    y, x = np.ogrid[:height, :width]
    return ((y - height / 2) ** 2 + (x - width / 2 - shift) ** 2 < radius**2).astype(np.uint8)


def item(seed=0, **changes):
    return {"image": photo(seed=seed), "mask": disc(shift=seed), "key": f"photo{seed:03d}"} | changes


def texts(figure):
    """Everything that is written in a figure, on its axes and in its legends."""
    found = [figure, *figure.axes]
    found = [text.get_text() for part in found for text in part.findobj(matplotlib.text.Text)]
    return [text for text in found if text]


def pixels(figure):
    """The figure saved as PNG and read again; no figure may be blank, and none may be known to pyplot."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    array = np.asarray(Image.open(buffer).convert("RGB"))
    assert array.std() > 1
    assert plt.get_fignums() == []
    return array


def mixed(below, colour, alpha):
    return np.floor(below * (1 - alpha) + np.array(colour) * alpha + 0.5).astype(np.uint8)


# Arrays


def test_colorize_paints_each_class_and_the_ignored_pixels():
    picture = visualize.colorize(np.array([[0, 1], [2, 255]], np.uint8), PALETTE, ignore_color=(9, 8, 7))
    assert picture.dtype == np.uint8
    assert picture.tolist() == [[[0, 0, 0], [200, 100, 0]], [[0, 40, 240], [9, 8, 7]]]


def test_colorize_takes_bool_and_any_integers_and_makes_up_a_palette():
    mask = np.array([[True, False]])
    expected = visualize.default_palette(2)[[[1, 0]]]
    for labels in (mask, mask.astype(np.int64), torch.tensor([[1, 0]])):
        np.testing.assert_array_equal(visualize.colorize(labels), expected)


def test_default_palette_has_distinct_colours_and_keeps_them_as_classes_are_added():
    palette = visualize.default_palette(60)
    assert palette.shape == (60, 3) and palette.dtype == np.uint8
    assert len({tuple(colour) for colour in palette.tolist()}) == 60
    np.testing.assert_array_equal(visualize.default_palette(7), palette[:7])


def test_overlay_tints_inside_outlines_borders_and_leaves_background_and_ignored_pixels():
    image, labels = np.full((5, 7, 3), 100, np.uint8), np.zeros((5, 7), np.uint8)
    labels[1:4, 1:4] = 1
    labels[:, 6] = 255
    picture = visualize.overlay(image, labels, PALETTE, alpha=0.5, background_class=0)
    assert picture[2, 2].tolist() == [150, 100, 50]  # inside: half image, half colour
    border = [(y, x) for y in (1, 2, 3) for x in (1, 2, 3) if (y, x) != (2, 2)]
    assert all(picture[place].tolist() == [200, 100, 0] for place in border)
    np.testing.assert_array_equal(picture[labels != 1], 100)


def test_overlay_without_outline_is_the_tint_alone_and_the_images_edge_is_no_border():
    image, labels = photo(6, 8), np.ones((6, 8), np.uint8)
    tinted = mixed(image, PALETTE[1], 0.45)
    np.testing.assert_array_equal(visualize.overlay(image, labels, PALETTE), tinted)
    labels[:, :4] = 2
    expected = np.where(labels[..., None] == 1, tinted, mixed(image, PALETTE[2], 0.45))
    np.testing.assert_array_equal(visualize.overlay(image, labels, PALETTE, outline=False), expected)
    outlined = visualize.overlay(image, labels, PALETTE)
    np.testing.assert_array_equal(outlined[:, 3], np.tile(PALETTE[2], (6, 1)))
    np.testing.assert_array_equal(outlined[:, 4], np.tile(PALETTE[1], (6, 1)))
    np.testing.assert_array_equal(outlined[:, [0, 1, 2, 5, 6, 7]], expected[:, [0, 1, 2, 5, 6, 7]])


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**31))
def test_overlay_alpha_zero_is_the_image_and_one_the_colours_at_any_size(height, width, seed):
    labels = np.random.default_rng(seed).integers(0, 3, (height, width), dtype=np.uint8)
    image = photo(height, width, seed)
    np.testing.assert_array_equal(visualize.overlay(image, labels, PALETTE, alpha=0, outline=False), image)
    np.testing.assert_array_equal(visualize.overlay(image, labels, PALETTE, alpha=1), PALETTE[labels])


def test_cutout_keeps_the_image_and_makes_all_but_the_foreground_transparent():
    image, labels = photo(1, 3), np.array([[0, 1, 255]], np.uint8)
    picture = visualize.cutout(image, labels)
    assert picture.shape == (1, 3, 4) and picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[..., :3], image)
    assert picture[..., 3].tolist() == [[0, 255, 0]]
    assert visualize.cutout(image, labels, foreground=0)[..., 3].tolist() == [[255, 0, 0]]


def test_error_map_colours_every_case_of_one_class():
    image = photo(1, 6)
    truth = np.array([[0, 1, 1, 0, 255, 255]], np.uint8)
    prediction = np.array([[0, 1, 0, 1, 0, 1]], np.uint8)
    ground = visualize.dimmed(image)[0]
    assert (ground == ground[:, :1]).all() and ground.max() <= 24 + 0.45 * 255  # grey, and darker than the colours
    picture = visualize.error_map(image, truth, prediction)[0]
    np.testing.assert_array_equal(picture[0], ground[0])
    np.testing.assert_array_equal(picture[1], mixed(ground[1], HIT, 0.7))
    np.testing.assert_array_equal(picture[2], mixed(ground[2], MISS, 0.9))
    np.testing.assert_array_equal(picture[3], mixed(ground[3], FALSE_ALARM, 0.9))
    np.testing.assert_array_equal(picture[4:], [IGNORED, IGNORED])


def test_error_map_of_many_classes_is_right_wrong_or_ignored():
    image = photo(1, 4)
    truth, prediction = np.array([[0, 2, 1, 255]]), np.array([[0, 2, 2, 1]])
    picture, ground = visualize.error_map(image, truth, prediction, foreground=None)[0], visualize.dimmed(image)[0]
    np.testing.assert_array_equal(picture[:2], ground[:2])
    np.testing.assert_array_equal(picture[2], mixed(ground[2], FALSE_ALARM, 0.9))
    np.testing.assert_array_equal(picture[3], IGNORED)


def test_band_picture_shows_the_areas_that_boundary_iou_divides():
    image, truth, prediction = np.zeros((40, 60, 3), np.uint8), disc(), disc(shift=3)
    truth[:3] = 255
    picture = visualize.boundary_band_picture(image, truth, prediction, class_index=1, ratio=0.03)
    ground = visualize.dimmed(image)[0, 0]
    colours = (HIT, 0.7), (MISS, 0.9), (FALSE_ALARM, 0.9)
    hit, miss, alarm = ((picture == mixed(ground, *colour)).all(-1).sum() for colour in colours)
    counts = metrics.Counts(2, ratio=0.03)
    counts.update(truth, prediction)
    assert hit == counts.boundary_intersection[1] > 0
    assert hit + miss + alarm == counts.boundary_union[1]
    np.testing.assert_array_equal(picture[0, 0], IGNORED)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: visualize.colorize(np.array([[0, 3]]), PALETTE), "label 3.*3 colours"),
        (lambda: visualize.colorize(np.array([[0, -1]]), PALETTE), "label -1"),
        (lambda: visualize.colorize(np.array([[0, 256]])), "label 256"),
        (lambda: visualize.colorize(np.array([[0.5]])), "integers.*float64"),
        (lambda: visualize.colorize(np.zeros((2, 2, 3), np.uint8)), r"\(2, 2, 3\)"),
        (lambda: visualize.colorize(np.array([[0]]), [[0, 0]]), "palette"),
        (lambda: visualize.overlay(photo(4, 5), np.zeros((5, 4), np.uint8)), "image 4x5, labels 5x4"),
        (lambda: visualize.overlay(photo(4, 5) / 255, np.zeros((4, 5), np.uint8)), "uint8.*float64"),
        (lambda: visualize.overlay(photo(4, 5), np.zeros((4, 5), np.uint8), alpha=2), "alpha is 2"),
        (lambda: visualize.cutout(photo(4, 5)[..., 0], np.zeros((4, 5), np.uint8)), r"\(4, 5\)"),
        (lambda: visualize.error_map(photo(4, 5), np.zeros((4, 5), int), np.zeros((4, 6), int)), "prediction 4x6"),
        (lambda: visualize.show_prediction(photo(), disc(), disc(41)), "truth|labels 41x60"),
        (lambda: visualize.show_prediction(photo(), disc() * 2, disc(), ("a", "b")), "label 2"),
        (lambda: visualize.show_samples([]), "no items"),
        (lambda: visualize.show_samples([item(mask=disc(20, 20))]), "40x60.*20x20"),
        (lambda: visualize.legend(("a", "b", "c", "d"), PALETTE), "4 class names.*3 colours"),
        (lambda: visualize.gallery([item()], [disc()], [0.5, 0.6]), "1 items, 1 predictions and 2 scores"),
        (lambda: visualize.gallery([item()], [disc()], [None]), "nothing to show"),
        (lambda: visualize.gallery([item()], [disc()], [0.5], order="top"), "'top'.*best, worst or both"),
        (lambda: visualize.feature_maps(np.zeros((3, 4))), r"\(C, H, W\)"),
        (lambda: visualize.feature_maps(np.full((1, 2, 2), np.nan)), "NaN"),
        (lambda: visualize.training_curves([]), "at least one epoch"),
        (lambda: visualize.per_class_bars({"miou": 0.5}), "per_class"),
        (lambda: visualize.confusion_figure(np.eye(3), ("a", "b")), r"2 by 2.*\(3, 3\)"),
        (lambda: visualize.class_histogram([0, 0], ("a", "b")), "not all zero"),
        (lambda: visualize.class_histogram([1, 2], ("a", "b"), PALETTE[:1]), "1 colours"),
        (lambda: visualize.score_histogram([None]), "at least one score"),
        (lambda: visualize.score_histogram([0.5, 93.0]), "from 0 to 1"),
        (lambda: visualize.roadmap(["one", "two"], 3), "from 0 to 2"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, words):
    with pytest.raises(visualize.VisualizeError, match=words) as caught:
        call()
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value) and not str(caught.value).endswith(".")


# Figures of pictures


def test_samples_are_rows_of_image_labels_and_overlay():
    figure = visualize.show_samples([item(0), item(1)], ("background", "horse"))
    assert len(figure.axes) == 6
    written = texts(figure)
    share = f"{disc().mean():.0%} horse"
    assert {"Image", "Labels", "Overlay", "photo000  60 \u00d7 40", "photo001  60 \u00d7 40", share} <= set(written)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["background", "horse"]
    pixels(figure)


def test_prediction_with_truth_has_four_pictures_and_the_foregrounds_scores():
    truth, prediction = disc(), disc(shift=2)
    figure = visualize.show_prediction(photo(), prediction, truth, ("background", "horse"))
    counts = metrics.Counts(2)
    counts.update(truth, prediction)
    scores = counts.scores()
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Image", "Truth", "Prediction", "Errors"]
    written = texts(figure)
    assert f"IoU {scores['foreground_iou']:.3f}" in written
    assert f"Boundary IoU {scores['boundary_iou_foreground']:.3f}" in written
    assert {"hit", "miss", "false alarm"} <= set(written) and "ignored" not in written
    np.testing.assert_array_equal(figure.axes[3].images[0].get_array(), visualize.error_map(photo(), truth, prediction))
    pixels(figure)


def test_prediction_of_many_classes_has_mean_scores_and_names_every_class():
    truth = np.repeat(np.arange(11, dtype=np.uint8), 6)[None].repeat(40, 0)
    prediction = np.roll(truth, 2, axis=1)
    truth[:5] = 255
    figure = visualize.show_prediction(photo(40, 66), prediction, truth, CAMVID)
    counts = metrics.Counts(11)
    counts.update(truth, prediction)
    written = texts(figure)
    assert f"mIoU {counts.scores()['miou']:.3f}" in written
    assert f"Boundary IoU {counts.scores()['boundary_iou']:.3f}" in written
    assert {*CAMVID, "11 of 11 classes", "right", "wrong", "ignored"} <= set(written)
    pixels(figure)
    assert len(figure.legends) == 2
    places = [
        (-round(t.get_window_extent().y0), t.get_window_extent().x0, t.get_text()) for t in figure.legends[0].texts
    ]
    assert [name for *_, name in sorted(places)] == CAMVID  # line by line, as one reads


def test_prediction_without_truth_has_two_pictures_and_one_without_any_foreground_a_dash():
    figure = visualize.show_prediction(photo(), disc())
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Image", "Prediction"]
    assert "class 1" in texts(figure)
    nothing = np.zeros((40, 60), np.uint8)
    assert {"IoU \u2013", "Boundary IoU \u2013"} <= set(texts(visualize.show_prediction(photo(), nothing, nothing)))
    pixels(figure)


@pytest.mark.parametrize(
    "order, expected", [("worst", [1, 4, 0]), ("best", [3, 5, 0]), ("both", [3, 5, 1]), ("worst of one", [1])]
)
def test_gallery_reads_and_shows_only_the_ones_it_names(order, expected):
    scores = [0.5, 0.1, None, 0.9, 0.2, 0.6, float("nan")]

    class Items(list):
        read = []

        def __getitem__(self, index):
            self.read.append(index)
            return super().__getitem__(index)

    items = Items(item(seed) for seed in range(7))
    Items.read.clear()
    count = len(expected)
    figure = visualize.gallery(items, [disc()] * 7, scores, count=count, order=order.split()[0], name="IoU")
    assert sorted(Items.read) == sorted(expected)
    shown = [text for text in texts(figure) if "photo" in text]
    assert list(dict.fromkeys(shown)) == [f"{scores[index]:.3f}  photo{index:03d}" for index in expected]
    assert len(figure.axes) == count
    pixels(figure)


def test_gallery_without_masks_shows_overlays():
    figure = visualize.gallery([item(mask=None)], [disc()], [0.5], classes=("background", "horse"), palette=PALETTE)
    expected = visualize.overlay(photo(), disc(), PALETTE, background_class=0)
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), expected)
    assert "horse" in texts(figure)


def test_pictures_keep_their_shape_and_stay_on_the_page():
    shapes = [(40, 60), (90, 30), (20, 200), (50, 50), (64, 48)]
    items = [{"image": photo(*shape), "mask": disc(*shape), "key": "x"} for shape in shapes]
    predictions = [entry["mask"] for entry in items]
    for figure in (visualize.gallery(items, predictions, np.linspace(0, 1, 5)), visualize.show_samples(items)):
        width, height = figure.get_size_inches()
        assert width <= visualize.style.WIDTH + 1e-9
        boxes = [axes.get_position() for axes in figure.axes]
        for axes, box in zip(figure.axes, boxes, strict=True):
            rows, columns = axes.images[0].get_array().shape[:2]
            assert box.width * width / (box.height * height) == pytest.approx(columns / rows)
            assert min(box.x0, box.y0) >= 0 and max(box.x1, box.y1) <= 1
        for i, one in enumerate(boxes):
            assert not any(one.overlaps(other) for other in boxes[i + 1 :])


def test_feature_maps_are_scaled_one_by_one_from_a_tensor_on_a_graph():
    features = torch.stack([torch.tensor([[0.0, 1.0], [2.0, 4.0]]), torch.full((2, 2), 7.0), torch.eye(2)])
    figure = visualize.feature_maps(features.requires_grad_(), n=2)
    assert [axes.images[0].get_array()[..., 0].tolist() for axes in figure.axes] == [
        [[0, 64], [128, 255]],
        [[128] * 2] * 2,
    ]
    assert "2 of 3 channels, 2 \u00d7 2" in texts(figure)
    pixels(figure)


# Figures of numbers


def history(epochs=12):
    entries = [{"epoch": epoch, "loss": 1 / (epoch + 1), "lr": 0.002 / (epoch + 1)} for epoch in range(epochs)]
    for entry in entries[2::3]:
        entry["val"] = {"miou": 0.52 + 0.02 * entry["epoch"], "boundary_iou": 0.4, "pixel_accuracy": None}
    entries[5]["val"]["miou"] = 0.912
    return entries


def test_training_curves_draw_what_there_is_and_name_the_best_epoch():
    figure = visualize.training_curves(history())
    loss, scores, rate = figure.axes
    assert scores.get_title(loc="left") == "Validation: best mIoU 0.912, epoch 6"
    assert scores.lines[0].get_xdata().tolist() == [3, 6, 9, 12]  # epochs without validation leave no gap
    assert scores.lines[0].get_ydata()[1] == 0.912 and len(loss.lines[0].get_xdata()) == 12
    assert {"0.0833 after epoch 12", "highest after an epoch 0.002", "mIoU", "Boundary IoU"} <= set(texts(figure))
    pixels(figure)


def test_training_curves_without_validation_or_rate_or_with_one_epoch():
    bare = [{"epoch": 1, "loss": 0.5}]
    assert [len(visualize.training_curves(h).axes) for h in (bare, [bare[0] | {"lr": 0.1}])] == [1, 2]
    assert len(visualize.training_curves(history(), scores=("pixel_accuracy",)).axes) == 2
    pixels(visualize.training_curves(bare))
    pixels(visualize.training_curves([{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 0.01}]))  # logarithmic


def test_legends_do_not_cover_data():
    for figure in (visualize.training_curves(history()), visualize.per_class_bars(scores_of_streets())):
        pixels(figure)
        for axes in (axes for axes in figure.axes if axes.get_legend()):
            assert not axes.get_legend().get_window_extent().overlaps(axes.get_window_extent())


def scores_of_streets():
    counts = metrics.Counts(3)
    truth = np.zeros((20, 30), np.uint8)
    truth[:, 15:] = 1
    counts.update(truth, np.roll(truth, 1, axis=1))
    return counts.scores(("sky", "road", "bicycle"))


def test_bars_show_both_scores_and_say_which_class_is_absent():
    scores = scores_of_streets()
    figure = visualize.per_class_bars(scores)
    written, axes = texts(figure), figure.axes[0]
    assert sum("absent" in text for text in set(written)) == 1
    assert [bar.get_width() for bar in axes.patches] == [
        scores["per_class"][name][key] for name in ("sky", "road") for key in ("iou", "boundary_iou")
    ]
    assert f"{scores['per_class']['sky']['iou']:.3f}" in written
    assert f"IoU, mean {scores['miou']:.3f}" in written
    assert f"Boundary IoU, mean {scores['boundary_iou']:.3f} (band 2% of the diagonal)" in written
    pixels(figure)


def test_confusion_figure_is_normalised_by_row_and_readable_at_2_and_11_classes():
    figure = visualize.confusion_figure(np.array([[90, 10], [0, 5]]), ("background", "horse"))
    assert figure.axes[0].images[0].get_array().tolist() == [[0.9, 0.1], [0, 1]]
    assert {"90", "10", "100", "background", "horse"} <= set(texts(figure))
    pixels(figure)
    matrix = np.diag([1000] * 11)
    matrix[0, 1], matrix[10] = 1, 0
    figure = visualize.confusion_figure(matrix, CAMVID)
    cells = {text.get_position(): text for text in figure.axes[0].texts}
    assert cells[(0, 0)].get_text() == ">99" and cells[(1, 0)].get_text() == "<1"  # never a false 100 or 0
    assert all(cells[(column, 10)].get_text() == "\u2013" for column in range(11))  # no true pixels
    pixels(figure)
    box = figure.axes[0].get_window_extent()
    widest = max(cell.get_window_extent().width for cell in cells.values())
    assert widest < box.width / 11 and cells[(0, 0)].get_fontsize() >= 8


def test_class_histogram_turns_logarithmic_where_shares_differ_much():
    figure = visualize.class_histogram([990_000, 9_990, 10, 0], ("road", "car", "sign", "fence"))
    assert figure.axes[0].get_xscale() == "log"
    assert {" 99.0%", " 0.001%", " none", "Share of each class in 1,000,000 pixels"} <= set(texts(figure))
    pixels(figure)
    figure = visualize.class_histogram([3, 1], ("a", "b"), PALETTE)
    assert figure.axes[0].get_xscale() == "linear"
    assert [bar.get_width() for bar in figure.axes[0].patches] == [75, 25]
    assert matplotlib.colors.to_rgb(figure.axes[0].patches[1].get_facecolor()) == pytest.approx(PALETTE[1] / 255)
    pixels(figure)


def test_score_histogram_counts_every_score_and_gives_median_and_mean():
    figure = visualize.score_histogram([0.9, 1.0, 0.8, None, float("nan"), 0.5])
    axes = figure.axes[0]
    assert sum(bar.get_height() for bar in axes.patches) == 4
    assert axes.get_title(loc="left") == "IoU of 4 images: median 0.850, mean 0.800"
    pixels(figure)
    pixels(visualize.score_histogram([1.0]))


def test_roadmap_names_the_chapters_and_marks_the_current_one():
    chapters = ["Data preparation", "U-Net", "U\u00b2-Net", "Evaluation"]
    figure = visualize.roadmap(chapters, 2)
    bold = [text.get_text() for text in figure.axes[0].texts if text.get_weight() == "bold" and text.get_text() > "9"]
    assert bold == ["U-Net"]
    assert {"U-Net", "U\u00b2-Net", "Evaluation", "1", "4"} <= {text.replace("\n", " ") for text in texts(figure)}
    assert (pixels(figure) != pixels(visualize.roadmap(chapters, 3))).any()
    pixels(visualize.roadmap(chapters))


# All figures


def test_names_from_files_may_hold_anything():
    names = ("_background_", "\u99ac $x_1$ {} \\frac \t")  # labelme's name; letters the font lacks, and formulas
    figures = [
        visualize.show_samples([item(key="\u99ac$0$" * 30)], names),
        visualize.confusion_figure(np.eye(2), names),
        visualize.class_histogram([1, 2], names),
        visualize.roadmap(names, 1),
        visualize.score_histogram([0.5], name=names[1]),
    ]
    for figure in figures:
        pixels(figure)
    assert len(figures[0].legends[0].get_texts()) == 2


def test_figures_look_the_same_whatever_the_readers_style_and_leave_it_alone():
    def draw():
        return [
            pixels(visualize.training_curves(history())),
            pixels(visualize.show_samples([item()])),
            pixels(visualize.confusion_figure(np.eye(2), ("a", "b"))),
        ]

    plain = draw()
    with plt.style.context("dark_background"):
        plt.rcParams["font.size"] = 20
        before = dict(plt.rcParams)
        dark = draw()
        assert dict(plt.rcParams) == before
    for one, other in zip(plain, dark, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_notebook_shows_a_figure_once_with_or_without_pyplot():
    setup = (
        "import numpy as np\nfrom seglib import visualize\n"
        "mask = np.eye(30, dtype=np.uint8)\nimage = np.full((30, 30, 3), 90, np.uint8)"
    )
    picture, chart = "visualize.show_prediction(image, mask, mask)", "visualize.roadmap(['one', 'two'], 1)"
    cells = [setup, picture, f"figure = {chart}\nfigure", f"figure = {chart}", "import matplotlib.pyplot as plt"]
    cells += ["%matplotlib inline", picture, chart]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=900, record_timing=False).execute()
    shown = [[set(output.get("data", {})) for output in cell.outputs] for cell in notebook.cells]
    jpeg, png = [{"image/jpeg", "text/plain"}], [{"image/png", "text/plain"}]
    assert shown == [[], jpeg, png, [], [], [], jpeg, png]


def test_real_photographs_and_a_distorted_mask(realdata):
    folder = realdata / "weizmann_horse_db"
    if not folder.is_dir():
        pytest.skip(f"no horses in {realdata}")
    image = np.array(Image.open(folder / "horse" / "horse001.png").convert("RGB"))
    mask = np.array(Image.open(folder / "mask" / "horse001.png"))
    shifted = np.roll(mask, 6, axis=1)
    figure = visualize.show_prediction(image, shifted, mask, ("background", "horse"))
    iou = (mask & shifted).sum() / (mask | shifted).sum()
    assert f"IoU {iou:.3f}" in texts(figure)
    assert len(pixels(figure).shape) == 3
