"""Prediction: native sizes, averaged views, files."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from seglib import predict
from seglib.augment import MEAN, STD, fit, normalize
from seglib.predict import PredictionError, Predictor


class RedIsForeground(nn.Module):
    """Logits that say how red a pixel is: a network whose right answer is known."""

    def __init__(self, channels=2):
        super().__init__()
        self.channels = channels
        self.sizes = []

    def forward(self, x):
        self.sizes.append(tuple(x.shape))
        red = (x[:, :1] * STD[0] + MEAN[0] - 0.5) * 20
        return red if self.channels == 1 else torch.cat([-red, red], 1) / 2


def picture(height=40, width=60):
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 3, 0] = 255
    return image


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("options", [{}, {"flip": True}, {"scales": (0.5, 1, 2)}, {"longest_side": 120, "flip": True}])
def test_the_label_map_has_the_pictures_size_and_content(channels, options):
    image = picture()
    labels = Predictor(RedIsForeground(channels), **options).labels(image)
    assert labels.shape == (40, 60) and labels.dtype == np.uint8
    expected = image[:, :, 0] > 0
    inner = np.ones_like(expected)
    inner[18:23], inner[:, 18:23] = False, False  # scaling blurs the border of the red area
    assert (labels[inner] == expected[inner]).all()
    probabilities = Predictor(RedIsForeground(channels), **options).probabilities(image)
    assert probabilities.shape == (2, 40, 60)
    np.testing.assert_allclose(probabilities.sum(0), 1, rtol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (7, 5), (33, 31), (500, 20)])
@pytest.mark.parametrize("side", [0, 64])
def test_any_size_works(size, side):
    model = RedIsForeground()
    labels = Predictor(model, side).labels(np.full((*size, 3), 255, np.uint8))
    assert labels.shape == size and (labels == 1).all()
    assert min(model.sizes[0][-2:]) >= predict.MIN_SIDE


def test_probabilities_are_averaged_not_logits():
    class SureOfSmallPictures(nn.Module):
        def forward(self, x):
            small = x.shape[-1] < 50
            one = torch.full((x.shape[0], 1, *x.shape[-2:]), 100.0 if small else -1.0)
            return torch.cat([torch.zeros_like(one), one], 1)

    found = Predictor(SureOfSmallPictures(), scales=(0.8, 1.0)).probabilities(picture())[1]
    np.testing.assert_allclose(found, (1 + 1 / (1 + np.e)) / 2, rtol=1e-5)


def test_a_mirrored_view_is_mirrored_back():
    class LeftIsForeground(nn.Module):
        def forward(self, x):
            ramp = torch.linspace(5, -5, x.shape[-1]).expand(x.shape[0], 1, *x.shape[-2:])
            return torch.cat([torch.zeros_like(ramp), ramp], 1)

    found = Predictor(LeftIsForeground(), flip=True).probabilities(picture())[1]
    np.testing.assert_allclose(found, 0.5, atol=1e-5)


def test_scaling_keeps_the_shape_and_normalisation_is_imagenets():
    assert fit(picture(40, 60), 30).shape == (20, 30, 3)
    assert fit(picture(60, 40), 120).shape == (120, 80, 3)
    assert fit(picture(1000, 2), 100).shape == (100, 1, 3)
    image = picture()
    assert fit(image, 0) is image
    checker = np.indices((64, 64)).sum(0).astype(np.uint8) % 2 * 254
    assert abs(int(fit(np.repeat(checker[:, :, None], 3, 2), 32).mean()) - 127) <= 1  # averaged, not sampled
    values = normalize(torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2).expand(1, 3, 1, 2))
    for channel in range(3):
        expected = [-MEAN[channel] / STD[channel], (1 - MEAN[channel]) / STD[channel]]
        np.testing.assert_allclose(values[0, channel, 0], expected, rtol=1e-5)


def test_wrong_arrays_and_devices_are_refused():
    for array in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)):
        with pytest.raises(PredictionError, match="expected a uint8 RGB picture"):
            Predictor(RedIsForeground()).labels(array)
    for name in ("cuda:99", "toaster"):
        with pytest.raises(PredictionError, match=f"device '{name}' is not available"):
            predict.pick_device(name)
    assert predict.pick_device("cpu") == torch.device("cpu")


def test_sides_beyond_the_memory_are_refused_by_the_options_name():
    for side in (10_000_000, 10**12):
        with pytest.raises(PredictionError, match=f"60x40 needs more memory .*-side {side}; choose a smaller"):
            Predictor(RedIsForeground(), side).labels(picture())

    class Greedy(nn.Module):
        def forward(self, x):
            return torch.empty(10**15)

    with pytest.raises(PredictionError, match=r"--longest-side 0 \(its own size\)"):
        Predictor(Greedy()).labels(picture())

    class Faulty(nn.Module):
        def forward(self, x):
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        Predictor(Faulty()).labels(picture())


def test_results_of_an_earlier_run_are_told_from_pictures(tmp_path):
    for name in ("a.jpg", "a_mask.png", "a_overlay.png", "b.jpg", "b_mask.png", "c_mask.jpg", "c_overlay.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    files = predict.image_files([tmp_path])
    left, taken = predict.without_results(files, tmp_path)
    assert [file.name for file in left] == ["a.jpg", "b.jpg", "b_mask.png", "c_mask.jpg", "c_overlay.png"]
    assert taken == {"b", "c"}  # what is not of this program must not be overwritten
    assert predict.without_results(files, tmp_path / "elsewhere") == (files, set())
    with pytest.raises(PredictionError, match="only results of an earlier run"):
        predict.without_results([tmp_path / "a_mask.png"], tmp_path)


def test_files_folders_and_the_example(tmp_path):
    for name in ("b.jpg", "a.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    assert [f.name for f in predict.image_files([tmp_path])] == ["a.png", "b.jpg"]
    assert predict.image_files(["nowhere.png"])[0].name == "nowhere.png"
    assert predict.image_files(["example"])[0].is_file()
    (tmp_path / "empty").mkdir()
    with pytest.raises(PredictionError, match="no pictures in this folder"):
        predict.image_files([tmp_path / "empty"])


def test_a_saved_mask_holds_the_labels_and_shows_the_palette(tmp_path):
    labels = np.array([[0, 1], [2, 1]], np.uint8)
    predict.save_mask(tmp_path / "mask.png", labels, [(0, 0, 0), (255, 0, 0), (0, 0, 255)])
    with Image.open(tmp_path / "mask.png") as saved:
        assert saved.mode == "P" and (np.asarray(saved) == labels).all()
        assert saved.convert("RGB").getpixel((0, 1)) == (0, 0, 255)


def test_pictures_of_the_same_name_do_not_overwrite_each_other():
    taken = set()
    assert [predict.free_name(stem, taken) for stem in ("a", "b", "a", "a")] == ["a", "b", "a-2", "a-3"]
