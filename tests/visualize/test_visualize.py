"""Figures: exact pixels on tiny arrays, the right numbers in charts, and one style."""

import cv2
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nbclient import NotebookClient
from PIL import Image

from course.figures import compared_runs, confusion_figure, training_curves
from seglib import metrics, visualize
from seglib.visualize import FALSE_NEGATIVE, FALSE_POSITIVE, IGNORED, TRUE_POSITIVE

from ..figure_helpers import CAMVID, disc, history, mixed, photo, pixels, texts

PALETTE = np.array([[0, 0, 0], [200, 100, 0], [0, 40, 240]], np.uint8)


# Arrays


def test_colorize_paints_each_class_and_the_ignored_pixels():
    result = visualize.colorize(np.array([[0, 1], [2, 255]], np.uint8), PALETTE, ignore_color=(9, 8, 7))
    assert result.dtype == np.uint8
    assert result.tolist() == [[[0, 0, 0], [200, 100, 0]], [[0, 40, 240], [9, 8, 7]]]


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
    result = visualize.overlay(image, labels, PALETTE, alpha=0.5, background_class=0)
    assert result[2, 2].tolist() == [150, 100, 50]  # inside: half image, half colour
    border = [(y, x) for y in (1, 2, 3) for x in (1, 2, 3) if (y, x) != (2, 2)]
    assert all(result[place].tolist() == [200, 100, 0] for place in border)
    np.testing.assert_array_equal(result[labels != 1], 100)


def test_overlay_without_outline_is_the_tint_alone_and_the_images_edge_is_no_border():
    image, labels = photo(6, 8), np.ones((6, 8), np.uint8)

    def assert_tinted(result, at=slice(None)):
        exact = image * 0.55 + PALETTE[labels] * 0.45
        np.testing.assert_allclose(result[:, at], exact[:, at], rtol=0, atol=0.5 + 1e-4)  # rounded to the nearest

    assert_tinted(visualize.overlay(image, labels, PALETTE))
    labels[:, :4] = 2
    assert_tinted(visualize.overlay(image, labels, PALETTE, outline=False))
    outlined = visualize.overlay(image, labels, PALETTE)
    np.testing.assert_array_equal(outlined[:, 3], np.tile(PALETTE[2], (6, 1)))
    np.testing.assert_array_equal(outlined[:, 4], np.tile(PALETTE[1], (6, 1)))
    assert_tinted(outlined, at=[0, 1, 2, 5, 6, 7])


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**31))
def test_overlay_alpha_zero_is_the_image_and_one_the_colours_at_any_size(height, width, seed):
    labels = np.random.default_rng(seed).integers(0, 3, (height, width), dtype=np.uint8)
    image = photo(height, width, seed)
    np.testing.assert_array_equal(visualize.overlay(image, labels, PALETTE, alpha=0, outline=False), image)
    np.testing.assert_array_equal(visualize.overlay(image, labels, PALETTE, alpha=1), PALETTE[labels])


def test_error_map_colours_every_case_of_one_class():
    image = photo(1, 6)
    target = np.array([[0, 1, 1, 0, 255, 255]], np.uint8)
    prediction = np.array([[0, 1, 0, 1, 0, 1]], np.uint8)
    ground = visualize.darken(image)[0]
    assert (ground == ground[:, :1]).all() and ground.max() <= 24 + 0.45 * 255  # grey, and darker than the colours
    result = visualize.error_map(image, target, prediction)[0]
    np.testing.assert_array_equal(result[0], ground[0])
    np.testing.assert_array_equal(result[1], mixed(ground[1], TRUE_POSITIVE, 0.7))
    np.testing.assert_array_equal(result[2], mixed(ground[2], FALSE_NEGATIVE, 0.9))
    np.testing.assert_array_equal(result[3], mixed(ground[3], FALSE_POSITIVE, 0.9))
    np.testing.assert_array_equal(result[4:], [IGNORED, IGNORED])


def test_error_map_of_many_classes_is_right_wrong_or_ignored():
    image = photo(1, 4)
    target, prediction = np.array([[0, 2, 1, 255]]), np.array([[0, 2, 2, 1]])
    result, ground = visualize.error_map(image, target, prediction, foreground=None)[0], visualize.darken(image)[0]
    np.testing.assert_array_equal(result[:2], ground[:2])
    np.testing.assert_array_equal(result[2], mixed(ground[2], FALSE_POSITIVE, 0.9))
    np.testing.assert_array_equal(result[3], IGNORED)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: visualize.colorize(np.array([[0, 3]]), PALETTE), "label 3.*3 colors"),
        (lambda: visualize.colorize(np.array([[0, -1]]), PALETTE), "label -1"),
        (lambda: visualize.colorize(np.array([[0, 256]])), "label 256"),
        (lambda: visualize.colorize(np.array([[0.5]])), "integers.*float64"),
        (lambda: visualize.colorize(np.zeros((2, 2, 3), np.uint8)), r"\(2, 2, 3\)"),
        (lambda: visualize.colorize(np.array([[0]]), [[0, 0]]), "palette"),
        (lambda: visualize.overlay(photo(4, 5), np.zeros((5, 4), np.uint8)), "image 4x5, labels 5x4"),
        (lambda: visualize.overlay(photo(4, 5) / 255, np.zeros((4, 5), np.uint8)), "uint8.*float64"),
        (lambda: visualize.overlay(photo(4, 5), np.zeros((4, 5), np.uint8), alpha=2), "alpha is 2"),
        (lambda: visualize.error_map(photo(4, 5), np.zeros((4, 5), int), np.zeros((4, 6), int)), "prediction 4x6"),
        (lambda: visualize.show_prediction(photo(), disc(), disc(41)), "target|labels 41x60"),
        (lambda: visualize.show_prediction(photo(), disc() * 2, disc(), ("a", "b")), "label 2"),
        (lambda: visualize.legend(("a", "b", "c", "d"), PALETTE), "4 class names.*3 colors"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, words):
    with pytest.raises(visualize.VisualizeError, match=words) as excinfo:
        call()
    assert isinstance(excinfo.value, ValueError)
    assert "\n" not in str(excinfo.value) and not str(excinfo.value).endswith(".")


# Figures of images


def test_prediction_with_target_has_four_panels_and_the_foregrounds_scores():
    target, prediction = disc(), disc(shift=2)
    figure = visualize.show_prediction(photo(), prediction, target, ("background", "horse"))
    counts = metrics.Counts(2)
    counts.update(target, prediction)
    scores = counts.scores()
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Image", "Ground truth", "Prediction", "Errors"]
    written = texts(figure)
    assert f"IoU {scores['foreground_iou']:.3f}" in written
    assert f"Boundary IoU {scores['boundary_iou_foreground']:.3f}" in written
    assert {"true positive", "false negative", "false positive", "true negative"} <= set(
        written
    ) and "ignored" not in written
    np.testing.assert_array_equal(
        figure.axes[3].images[0].get_array(), visualize.error_map(photo(), target, prediction)
    )
    pixels(figure)


def test_prediction_of_many_classes_has_mean_scores_and_names_every_class():
    target = np.repeat(np.arange(11, dtype=np.uint8), 6)[None].repeat(40, 0)
    prediction = np.roll(target, 2, axis=1)
    target[:5] = 255
    figure = visualize.show_prediction(photo(40, 66), prediction, target, CAMVID)
    counts = metrics.Counts(11)
    counts.update(target, prediction)
    written = texts(figure)
    assert f"mIoU {counts.scores()['miou']:.3f}" in written
    assert f"Boundary IoU {counts.scores()['boundary_iou']:.3f}" in written
    assert {*CAMVID, "11 of 11 classes", "correct", "wrong", "ignored"} <= set(written)
    pixels(figure)
    places = [
        (-round(t.get_window_extent().y0), t.get_window_extent().x0, t.get_text()) for t in figure.legends[0].texts
    ]
    assert [name for *_, name in sorted(places)] == [
        *CAMVID,
        "correct",
        "wrong",
        "ignored",
    ]  # by line


def test_prediction_without_target_has_two_panels_and_one_without_any_foreground_a_dash():
    figure = visualize.show_prediction(photo(), disc())
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Image", "Prediction"]
    assert "class 1" in texts(figure)
    nothing = np.zeros((40, 60), np.uint8)
    assert {"IoU \u2013", "Boundary IoU \u2013"} <= set(texts(visualize.show_prediction(photo(), nothing, nothing)))
    pixels(figure)


def test_street_colours_differ_for_every_reader():
    """CIELAB distances with normal vision, protanopia and deuteranopia (matrices of Machado et al., 2009)."""
    visions = [
        np.eye(3),
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    ]
    palette = np.array([*visualize.figure_palette(CAMVID), visualize.masks.IGNORED_LABEL]) / 255
    linear = np.where(palette <= 0.04045, palette / 12.92, ((palette + 0.055) / 1.055) ** 2.4)
    for vision in visions:
        rgb = np.clip(linear @ np.transpose(vision), 0, 1)
        srgb = np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055)
        lab = cv2.cvtColor(srgb[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0]
        distances = np.linalg.norm(lab[:, None] - lab, axis=-1)
        assert distances[~np.eye(12, dtype=bool)].min() > 34
    assert (visualize.figure_palette(("a", "b"), PALETTE) == PALETTE).all()


# All figures


def test_names_from_files_may_hold_anything():
    names = ("_background_", "\u99ac $x_1$ {} \\frac \t")  # labelme's name; letters the font lacks, and formulas
    figures = [
        visualize.show_prediction(photo(), disc(), classes=names),
        confusion_figure(np.eye(2), names),
        compared_runs({name: history() for name in names}),
    ]
    for figure in figures:
        pixels(figure)
    assert len(figures[2].legends[0].get_texts()) == 2


def test_figures_look_the_same_with_any_style_and_do_not_change_it():
    def draw():
        return [
            pixels(training_curves(history())),
            pixels(visualize.show_prediction(photo(), disc())),
            pixels(confusion_figure(np.eye(2), ("a", "b"))),
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
        "import numpy as np\nfrom course.figures import confusion_figure\nfrom seglib import visualize\n"
        "mask = np.eye(30, dtype=np.uint8)\nimage = np.full((30, 30, 3), 90, np.uint8)"
    )
    picture, chart = "visualize.show_prediction(image, mask, mask)", "confusion_figure(np.eye(2), ['a', 'b'])"
    cells = [setup, picture, f"figure = {chart}\nfigure", f"figure = {chart}", "import matplotlib.pyplot as plt"]
    cells += ["%matplotlib inline", picture, chart]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=900, record_timing=False).execute()
    mime_types = [[set(output.get("data", {})) for output in cell.outputs] for cell in notebook.cells]
    jpeg, png = [{"image/jpeg", "text/plain"}], [{"image/png", "text/plain"}]
    assert mime_types == [[], jpeg, png, [], [], [], jpeg, png]


def test_real_images_and_a_distorted_mask(realdata):
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
