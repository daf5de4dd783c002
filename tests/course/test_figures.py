"""The figures that only the notebooks use."""

import matplotlib
import numpy as np
import pytest
import torch

from course import figures
from course.figures import concepts
from course.figures.concepts import hrnet, u2net
from seglib import metrics, visualize
from seglib.visualize import FALSE_NEGATIVE, FALSE_POSITIVE, IGNORED, TRUE_POSITIVE

from ..figure_helpers import disc, item, mixed, photo, pixels, texts

PALETTE = np.array([[0, 0, 0], [200, 100, 0], [0, 40, 240]], np.uint8)


def test_cutout_keeps_the_image_and_makes_all_but_the_foreground_transparent():
    image, labels = photo(1, 3), np.array([[0, 1, 255]], np.uint8)
    result = figures.cutout(image, labels)
    assert result.shape == (1, 3, 4) and result.dtype == np.uint8
    np.testing.assert_array_equal(result[..., :3], image)
    assert result[..., 3].tolist() == [[0, 255, 0]]
    assert figures.cutout(image, labels, foreground=0)[..., 3].tolist() == [[255, 0, 0]]


def test_band_figure_shows_the_areas_that_boundary_iou_divides():
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


def test_samples_are_rows_of_image_labels_and_overlay():
    figure = figures.show_samples([item(0), item(1)], ("background", "horse"))
    assert len(figure.axes) == 6
    written = texts(figure)
    share = f"{disc().mean():.0%} horse"
    assert {"Image", "Mask", "Overlay", "photo000  60 \u00d7 40", "photo001  60 \u00d7 40", share} <= set(written)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["background", "horse"]
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
    figure = figures.gallery(items, [disc()] * 7, scores, count=count, order=order.split()[0], name="IoU")
    assert sorted(Items.read) == sorted(expected)
    titles = [text for text in texts(figure) if "photo" in text]
    assert list(dict.fromkeys(titles)) == [f"{scores[index]:.3f}  photo{index:03d}" for index in expected]
    assert len(figure.axes) == count
    pixels(figure)


def test_samples_name_ignored_pixels_only_where_there_are_any():
    for labels, names in ((disc(), ["background", "horse"]), (disc() * 255, ["background", "horse", "ignored"])):
        figure = figures.show_samples([item(mask=labels)], ("background", "horse"))
        assert [text.get_text() for text in figure.legends[0].get_texts()] == names


def test_gallery_without_masks_shows_overlays():
    figure = figures.gallery([item(mask=None)], [disc()], [0.5], classes=("background", "horse"), palette=PALETTE)
    expected = visualize.overlay(photo(), disc(), PALETTE, background_class=0)
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), expected)
    assert "horse" in texts(figure)


def test_images_keep_their_shape_and_stay_on_the_page():
    shapes = [(40, 60), (90, 30), (20, 200), (50, 50), (64, 48)]
    items = [{"image": photo(*shape), "mask": disc(*shape), "key": "x"} for shape in shapes]
    predictions = [entry["mask"] for entry in items]
    for figure in (figures.gallery(items, predictions, np.linspace(0, 1, 5)), figures.show_samples(items)):
        width, height = figure.get_size_inches()
        assert width <= visualize.style.WIDTH + 1e-9
        boxes = [axes.get_position() for axes in figure.axes]
        for axes, box in zip(figure.axes, boxes, strict=True):
            rows, columns = axes.images[0].get_array().shape[:2]
            assert box.width * width / (box.height * height) == pytest.approx(columns / rows)
            assert min(box.x0, box.y0) >= 0 and max(box.x1, box.y1) <= 1
        for i, one in enumerate(boxes):
            assert not any(one.overlaps(other) for other in boxes[i + 1 :])


def test_bars_show_both_scores_and_say_which_class_is_absent():
    scores = scores_of_streets()
    figure = figures.per_class_bars(scores)
    written, axes = texts(figure), figure.axes[0]
    assert sum("absent" in text for text in set(written)) == 1
    assert [bar.get_width() for bar in axes.patches] == [
        scores["per_class"][name][key] for name in ("sky", "road") for key in ("iou", "boundary_iou")
    ]
    assert f"{scores['per_class']['sky']['iou']:.3f}" in written
    assert f"IoU, mean {scores['miou']:.3f}" in written
    assert f"Boundary IoU, mean {scores['boundary_iou']:.3f} (band 2% of the diagonal)" in written
    pixels(figure)


def test_class_histogram_turns_logarithmic_where_shares_differ_much():
    figure = figures.class_histogram([990_000, 9_990, 10, 0], ("road", "car", "sign", "fence"))
    assert figure.axes[0].get_xscale() == "log"
    assert {" 99.0%", " 0.001%", " none", "Share of each class in 1,000,000 pixels"} <= set(texts(figure))
    pixels(figure)
    figure = figures.class_histogram([3, 1], ("a", "b"), PALETTE)
    assert figure.axes[0].get_xscale() == "linear"
    assert [bar.get_width() for bar in figure.axes[0].patches] == [75, 25]
    assert matplotlib.colors.to_rgb(figure.axes[0].patches[1].get_facecolor()) == pytest.approx(PALETTE[1] / 255)
    pixels(figure)


def scores_of_streets():
    counts = metrics.Counts(3)
    target = np.zeros((20, 30), np.uint8)
    target[:, 15:] = 1
    counts.update(target, np.roll(target, 1, axis=1))
    return counts.scores(("sky", "road", "bicycle"))


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: figures.show_samples([]), "no items"),
        (lambda: figures.show_samples([item(mask=disc(20, 20))]), "40x60.*20x20"),
        (lambda: figures.gallery([item()], [disc()], [0.5, 0.6]), "1 items, 1 predictions and 2 scores"),
        (lambda: figures.gallery([item()], [disc()], [None]), "nothing to show"),
        (lambda: figures.gallery([item()], [disc()], [0.5], order="top"), "'top'.*best, worst or both"),
        (lambda: figures.per_class_bars({"miou": 0.5}), "per_class"),
        (lambda: figures.class_histogram([0, 0], ("a", "b")), "not all zero"),
        (lambda: figures.class_histogram([1, 2], ("a", "b"), PALETTE[:1]), "1 colors"),
    ],
)
def test_figures_of_a_data_set_refuse_bad_input_in_one_sentence(call, words):
    with pytest.raises(visualize.VisualizeError, match=words) as excinfo:
        call()
    assert "\n" not in str(excinfo.value) and not str(excinfo.value).endswith(".")


def test_names_from_files_may_hold_anything():
    names = ("_background_", "\u99ac $x_1$ {} \\frac \t")  # labelme's name; letters the font lacks, and formulas
    samples = figures.show_samples([item(key="\u99ac$0$" * 30)], names)
    for figure in (samples, figures.class_histogram([1, 2], names)):
        pixels(figure)
    assert len(samples.legends[0].get_texts()) == 2


def test_the_legend_of_bars_does_not_cover_data():
    figure = figures.per_class_bars(scores_of_streets())
    pixels(figure)
    axes = figure.axes[0]
    assert not axes.get_legend().get_window_extent().overlaps(axes.get_window_extent())
