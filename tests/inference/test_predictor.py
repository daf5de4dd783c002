"""Prediction: original sizes, test-time augmentation, files."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from torch import nn
from torch.nn import functional as F

from course.importers.common import draw_shapes, polygon_shape
from seglib import data, evaluation, inference, models
from seglib.data.transforms import MEAN, STD, normalize, resize_longest_side
from seglib.inference import PredictionError, Predictor, batch, outputs, polygons, result_files
from seglib.inference.sliding_window import window_starts, window_weights


class RedIsForeground(nn.Module):
    """A network with a known output: the logits are the red values of the pixels."""

    def __init__(self, channels=2):
        super().__init__()
        self.channels = channels
        self.sizes = []

    def forward(self, x):
        self.sizes.append(tuple(x.shape))
        red = (x[:, :1] * STD[0] + MEAN[0] - 0.5) * 20
        return red if self.channels == 1 else torch.cat([-red, red], 1) / 2


def example_image(height=40, width=60):
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 3, 0] = 255
    return image


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("options", [{}, {"flip": True}, {"scales": (0.5, 1, 2)}, {"longest_side": 120, "flip": True}])
def test_the_label_map_has_the_size_and_content_of_the_image(channels, options):
    image = example_image()
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
    assert min(model.sizes[0][-2:]) >= inference.predictor.MIN_SIDE


def test_probabilities_are_averaged_not_logits():
    class ConfidentOnSmallImages(nn.Module):
        def forward(self, x):
            small = x.shape[-1] < 50
            one = torch.full((x.shape[0], 1, *x.shape[-2:]), 100.0 if small else -1.0)
            return torch.cat([torch.zeros_like(one), one], 1)

    actual = Predictor(ConfidentOnSmallImages(), scales=(0.8, 1.0)).probabilities(example_image())[1]
    np.testing.assert_allclose(actual, (1 + 1 / (1 + np.e)) / 2, rtol=1e-5)


def test_small_images_are_upsampled_and_their_results_downsampled():
    """The logits are much larger than the image: their outer rows count too."""
    torch.manual_seed(0)
    model = nn.Conv2d(3, 2, 3, padding=1)
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    actual = Predictor(model, 600).probabilities(image)
    scaled = torch.from_numpy(resize_longest_side(image, 600)).permute(2, 0, 1)[None]
    with torch.no_grad():
        logits = F.interpolate(model(normalize(scaled)), (40, 60), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(actual, logits.softmax(1)[0].numpy(), atol=1e-5)


def test_a_mirrored_view_is_mirrored_back():
    class LeftIsForeground(nn.Module):
        def forward(self, x):
            ramp = torch.linspace(5, -5, x.shape[-1]).expand(x.shape[0], 1, *x.shape[-2:])
            return torch.cat([torch.zeros_like(ramp), ramp], 1)

    actual = Predictor(LeftIsForeground(), flip=True).probabilities(example_image())[1]
    np.testing.assert_allclose(actual, 0.5, atol=1e-5)


def test_scaling_keeps_the_shape_and_normalisation_is_imagenets():
    assert resize_longest_side(example_image(40, 60), 30).shape == (20, 30, 3)
    assert resize_longest_side(example_image(60, 40), 120).shape == (120, 80, 3)
    assert resize_longest_side(example_image(1000, 2), 100).shape == (100, 1, 3)
    image = example_image()
    assert resize_longest_side(image, 0) is image
    checker = np.indices((64, 64)).sum(0).astype(np.uint8) % 2 * 254
    assert (
        abs(int(resize_longest_side(np.repeat(checker[:, :, None], 3, 2), 32).mean()) - 127) <= 1
    )  # averaged, not sampled
    values = normalize(torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2).expand(1, 3, 1, 2))
    for channel in range(3):
        expected = [-MEAN[channel] / STD[channel], (1 - MEAN[channel]) / STD[channel]]
        np.testing.assert_allclose(values[0, channel, 0], expected, rtol=1e-5)


def test_wrong_arrays_and_devices_are_refused():
    for array in (
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ):
        with pytest.raises(PredictionError, match="expected a path, a PIL image or a uint8 RGB array"):
            Predictor(RedIsForeground()).labels(array)
    for name in ("cuda:99", "toaster"):
        with pytest.raises(PredictionError, match=f"device '{name}' is not available"):
            inference.pick_device(name)
    assert inference.pick_device("cpu") == torch.device("cpu")


def test_sides_too_large_for_memory_are_refused_with_the_options_name():
    for side in (10_000_000, 10**12):
        with pytest.raises(PredictionError, match=f"60x40 needs more memory .*-side {side}; choose a smaller"):
            Predictor(RedIsForeground(), side).labels(example_image())

    class Greedy(nn.Module):
        def forward(self, x):
            return torch.empty(10**15)

    with pytest.raises(PredictionError, match=r"--longest-side 0 \(its own size\)"):
        Predictor(Greedy()).labels(example_image())

    class Faulty(nn.Module):
        def forward(self, x):
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        Predictor(Faulty()).labels(example_image())


def test_results_of_an_earlier_run_are_recognised(tmp_path):
    for name in ("a.jpg", "b.jpg", "b_mask.png", "c_mask.jpg", "c_overlay.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    inference.save_mask(tmp_path / "a_mask.png", np.zeros((4, 4), np.uint8), [(0, 0, 0)])
    inference.save_image(tmp_path / "a_cutout.png", np.zeros((4, 4, 4), np.uint8))
    inference.save_image(tmp_path / "a_overlay.jpg", np.zeros((4, 4, 3), np.uint8))
    older = PngImagePlugin.PngInfo()
    older.add_text("Software", "seglib predict")
    Image.new("RGB", (4, 4)).save(tmp_path / "a_overlay.png", pnginfo=older)
    files = result_files.image_files([tmp_path])
    remaining, reserved = result_files.without_results(files, tmp_path)
    assert [file.name for file in remaining] == ["a.jpg", "b.jpg", "b_mask.png", "c_mask.jpg", "c_overlay.png"]
    assert reserved == {"b", "c"}  # files of other programs must not be overwritten
    assert result_files.without_results(files, tmp_path / "elsewhere") == (files, set())
    (tmp_path / "d_mask.png").write_bytes(b"not an image")
    assert not result_files.is_result(tmp_path / "d_mask.png")
    with pytest.raises(PredictionError, match="only results of an earlier run"):
        result_files.without_results([tmp_path / "a_mask.png"], tmp_path)


def test_overlays_are_jpegs_that_fit_the_limit_of_the_format(tmp_path):
    inference.save_image(tmp_path / "wide.jpg", np.full((8, 70_000, 3), (200, 40, 90), np.uint8), "an id")
    with Image.open(tmp_path / "wide.jpg") as image:
        assert image.format == "JPEG" and image.size == (65_500, 8)
        assert abs(np.asarray(image).astype(int) - (200, 40, 90)).max() <= 3
    assert result_files.read_source_id(tmp_path / "wide.jpg") == "an id"


def test_results_are_recognised_without_decoding_their_pixels(tmp_path):
    file = tmp_path / "a_cutout.png"
    inference.save_image(file, np.random.default_rng(0).integers(0, 255, (90, 90, 4), np.uint8), "an id")
    file.write_bytes(file.read_bytes()[:5000])  # the pixels are truncated
    assert result_files.read_source_id(file) == "an id"


def test_files_folders_patterns_and_the_example(tmp_path):
    for name in ("b.jpg", "a.png", "below/c.tif", "[odd].png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")

    def names(*patterns):
        return [f.name for f in result_files.image_files([f"{tmp_path}/{pattern}" for pattern in patterns])]

    assert names("") == ["[odd].png", "a.png", "b.jpg"]
    assert names("?.*") == ["a.png", "b.jpg"]
    assert names("**/*") == ["[odd].png", "a.png", "b.jpg", "c.tif"]
    assert names("b.jpg", "*.jpg", "") == ["b.jpg", "[odd].png", "a.png"]  # each once
    assert names("[odd].png") == ["[odd].png"]  # a file before a pattern
    assert result_files.image_files(["nowhere.png"])[0].name == "nowhere.png"
    assert result_files.image_files(["example"])[0].is_file()
    (tmp_path / "empty").mkdir()
    with pytest.raises(PredictionError, match="no images in this folder"):
        result_files.image_files([tmp_path / "empty"])
    with pytest.raises(PredictionError, match=r"\*\.gif: no image matches this pattern"):
        names("*.gif")


def test_a_cutout_is_as_opaque_as_the_foreground_is_probable():
    image = example_image()
    actual = np.stack([np.linspace(1, 0, 60, dtype=np.float32)[None].repeat(40, 0)] * 3) / [[[1]], [[4]], [[2]]]
    cut = inference.cutout(image, actual)
    assert cut.shape == (40, 60, 4) and cut.dtype == np.uint8
    np.testing.assert_allclose(cut[:, :, 3], 255 * (1 - actual[0]), atol=0.51)
    assert (cut[:, 1:, :3] == image[:, 1:]).all() and (cut[:, 0] == 0).all()


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(1, 300), st.integers(1, 90), st.floats(0, 0.9))
def test_windows_cover_every_pixel_and_their_weights_sum_to_one(length, side, overlap):
    side = min(side, length)
    starts = window_starts(length, side, overlap)
    assert starts[0] == 0 and starts[-1] + side == length
    assert all(b - a <= side - min(side - 1, round(side * overlap)) for a, b in zip(starts, starts[1:], strict=False))
    total = np.zeros(length)
    for start, weight in zip(starts, window_weights(starts, side, length, overlap), strict=True):
        assert (weight >= 0).all() and len(weight) == side
        total[start : start + side] += weight
    np.testing.assert_allclose(total, 1, rtol=1e-5)


@pytest.mark.parametrize(
    "options", [{}, {"flip": True}, {"scales": (0.5, 1, 1.5), "flip": True}, {"longest_side": 150}]
)
@pytest.mark.parametrize("size", [(90, 131), (1, 200), (64, 64)])
@pytest.mark.parametrize("overlap, batch", [(0.25, 4), (0.0, 1), (0.6, 5)])
def test_windows_change_nothing_for_a_network_with_a_receptive_field_of_one_pixel(options, size, overlap, batch):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    whole = Predictor(RedIsForeground(), **options)
    parts = Predictor(RedIsForeground(), **options, tile=40, overlap=overlap, batch_size=batch)
    np.testing.assert_allclose(parts.probabilities(image), whole.probabilities(image), atol=2e-5)
    assert all(shape[0] <= max(batch, 1 + ("flip" in options)) for shape in parts.model.sizes)
    assert {shape[-1] for shape in parts.model.sizes} <= {32, 40}, "windows, or the padding of smaller images"


def test_a_window_fades_into_the_next():
    class LeftIsForeground(nn.Module):
        def forward(self, x):  # neighbouring windows have different values for the pixels they share
            ramp = torch.linspace(3, -3, x.shape[-1]).expand(x.shape[0], 1, *x.shape[-2:])
            return torch.cat([torch.zeros_like(ramp), ramp], 1)

    actual = Predictor(LeftIsForeground(), tile=64, overlap=0.5).probabilities(example_image(64, 300))[1, 0]
    steps = np.abs(np.diff(actual))
    assert actual.min() > 0.04 and actual.max() < 0.96 and steps.max() < 0.1, "a seam would be a step of 0.9"


def test_windows_out_of_range_are_refused():
    for options, named in (
        ({"tile": 8}, "tile is 8"),
        ({"overlap": 1.0}, "overlap is 1.0"),
        ({"overlap": -0.1}, "overlap is -0.1"),
        ({"batch_size": 0}, "batch_size is 0"),
    ):
        with pytest.raises(PredictionError, match=named):
            Predictor(RedIsForeground(), **options)


def test_the_callers_model_stays_in_its_mode():
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.Dropout(0.5))
    model[1].eval()  # a frozen layer in a model that is trained
    before = {name: value.clone() for name, value in model.state_dict().items()}
    predictor = Predictor(model)
    first, second = predictor.probabilities(example_image()), predictor.probabilities(example_image())
    assert (first == second).all(), "dropout is off"
    assert [module.training for module in model.modules()] == [True, True, False, True]
    assert all((before[name] == value).all() for name, value in model.state_dict().items())

    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("a bug")

    broken = Broken()
    with pytest.raises(RuntimeError, match="a bug"):
        Predictor(broken).labels(example_image())
    assert broken.training


def test_paths_and_pil_images_give_the_same_as_arrays(tmp_path):
    predictor, file = Predictor(RedIsForeground()), tmp_path / "a.png"
    Image.fromarray(example_image()).save(file)
    expected = predictor.labels(example_image())
    for image in (file, str(file), Image.open(file), Image.fromarray(example_image()).convert("P")):
        assert (predictor.labels(image) == expected).all()
    transparent = Image.new("RGBA", (50, 40), (255, 0, 0, 0))  # which is white
    assert (predictor.labels(transparent) == 1).all() and predictor.probabilities(transparent).shape == (2, 40, 50)
    for wrong in (None, 3, [[1]], torch.zeros(4, 4, 3), Image.new("F", (4, 4))):
        with pytest.raises(PredictionError, match="expected a path|no agreed range"):
            predictor.labels(wrong)
    with pytest.raises(data.DataError, match="absent.png: no such file"):
        predictor.labels(tmp_path / "absent.png")


@pytest.mark.parametrize("options", [{}, {"flip": True, "scales": (0.5, 1.0)}, {"longest_side": 400}])
def test_large_inputs_go_through_the_network_in_windows(monkeypatch, options):
    monkeypatch.setattr("seglib.inference.predictor.WHOLE_PIXELS", 64 * 64)
    monkeypatch.setattr("seglib.inference.predictor.TILE", 64)
    image, model = np.random.default_rng(0).integers(0, 256, (150, 200, 3), np.uint8), RedIsForeground()
    labels = Predictor(model, **options).labels(image)
    assert max(shape[-1] for shape in model.sizes) == 64 and max(shape[0] for shape in model.sizes) <= 4
    monkeypatch.undo()
    whole = Predictor(RedIsForeground(), **options)
    assert (labels != whole.labels(image)).mean() < 1e-3 and len(whole.model.sizes) == len(options.get("scales", [1]))


def test_the_background_is_the_class_of_this_name_at_any_position():
    for classes, expected in ((["leaf", "Background"], 1), (["_background_", "a"], 0), (["sky", "road"], None)):
        assert data.background_index(classes) == expected


def test_cutouts_follow_the_edges_of_the_image():
    """A soft edge that is two pixels off moves to the edge of the image; elsewhere nothing changes."""
    image = np.full((480, 640, 3), 40, np.uint8)
    image[:, 320:] = 200
    right = np.zeros((480, 640), np.float32)
    right[:, 320:] = 1
    for shift in (-2, 2):
        soft = np.clip((np.arange(640) - 320 - shift) / 8 + 0.5, 0, 1).astype(np.float32)[None].repeat(480, 0)
        refined = outputs.refine_alpha(image, soft)
        assert refined.shape == soft.shape and refined.dtype == np.float32
        assert np.abs(refined - right).mean() < 0.8 * np.abs(soft - right).mean()
        assert np.abs(refined[:, :300]).max() < 0.01 and np.abs(refined[:, 340:] - 1).max() < 0.01
    flat = np.full((50, 60, 3), 90, np.uint8)
    blob = np.zeros((50, 60), np.float32)
    blob[20:30, 20:30] = 1
    assert 0 <= outputs.refine_alpha(flat, blob).min() and outputs.refine_alpha(flat, blob).max() <= 1


def test_jpeg_files_are_decoded_at_reduced_size_for_a_smaller_input(tmp_path):
    """Masks differ by less than one pixel in 200 from those of the whole image, and have its size, upright."""
    y, x = np.mgrid[:1000, :1400]
    image = np.stack([128 + 90 * np.sin(x / 131) * np.cos(y / 123), (x + y) % 256, x * y // 400 % 256], 2)
    image = image.astype(np.uint8)
    image[300:500, 350:700, 0] = 240
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, options in (("a.jpg", {}), ("turned.jpg", {"exif": exif})):
        Image.fromarray(image).save(tmp_path / name, quality=92, **options)
        reduced, whole = batch.read_reduced(tmp_path / name, 256), data.read_image(tmp_path / name)
        assert max(reduced.image.shape) == 350 and (reduced.height, reduced.width) == whole.shape[:2]
        predictor = Predictor(RedIsForeground(), 128)
        labels = predictor.labels(reduced)
        assert labels.shape == whole.shape[:2] and 0.1 < labels.mean() < 0.9
        assert (labels != predictor.labels(whole)).mean() < 0.005
    Image.fromarray(image[:, :1001]).save(tmp_path / "square.jpg", exif=exif)  # nearly
    reduced = batch.read_reduced(tmp_path / "square.jpg", 256)
    assert (reduced.height, reduced.width) == (1001, 1000)
    Image.fromarray(image).save(tmp_path / "a.png")
    for name, side in (("a.png", 256), ("a.jpg", 0), ("a.jpg", 800)):
        assert batch.read_reduced(tmp_path / name, side).image.shape == image.shape
    (tmp_path / "broken.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:9000])
    with pytest.raises(data.DataError, match="broken.jpg"):
        batch.read_reduced(tmp_path / "broken.jpg", 256)


def shape_with_a_hole():
    labels = np.zeros((120, 160), np.uint8)
    cv2.ellipse(labels, (70, 60), (50, 40), 20, 0, 360, 1, -1)
    cv2.circle(labels, (70, 60), 15, 0, -1)
    cv2.rectangle(labels, (65, 55), (74, 64), 2, -1)
    labels[0:30, 130:160] = 1
    return labels


def test_polygons_reproduce_their_masks():
    """With pycocotools, as COCO data are read: holes stay holes, and edges are off by a pixel at most."""
    pytest.importorskip("pycocotools")
    labels = shape_with_a_hole()
    shapes = polygons.find_polygons(labels, background=0)
    assert sorted(label for label, _ in shapes) == [1, 1, 2]
    for _, points in shapes:
        assert len(points) < 100, "few enough to be corrected by hand"
    drawn = draw_shapes([polygon_shape(label, [points], (120, 160), "") for label, points in shapes], (120, 160), 1)
    edges = cv2.dilate(labels, np.ones((3, 3))) != cv2.erode(labels, np.ones((3, 3)))
    assert (drawn == labels)[~edges].all() and (drawn != labels).mean() < 0.02
    assert {label for label, _ in polygons.find_polygons(labels)} == {0, 1, 2}
    assert polygons.find_polygons(np.zeros((9, 9), np.uint8), 0) == []
    line = np.zeros((60, 900), np.uint8)
    line[30, 50:850] = 1  # one pixel wide
    ((label, corners),) = polygons.find_polygons(line, 0)
    assert label == 1 and np.min(corners, 0) == pytest.approx([50.25, 30.25]) and np.max(corners, 0)[0] > 849


def test_a_saved_mask_holds_the_labels_and_shows_the_palette(tmp_path):
    labels = np.array([[0, 1], [2, 1]], np.uint8)
    inference.save_mask(tmp_path / "mask.png", labels, [(0, 0, 0), (255, 0, 0), (0, 0, 255)])
    with Image.open(tmp_path / "mask.png") as saved:
        assert saved.mode == "P" and (np.asarray(saved) == labels).all()
        assert saved.convert("RGB").getpixel((0, 1)) == (0, 0, 255)


def test_images_of_the_same_name_do_not_overwrite_each_other(tmp_path):
    """This is true in one call or in several, and in any order."""
    out, labels = tmp_path / "out", np.zeros((4, 4), np.uint8)
    out.mkdir()

    def names(*images):
        reserved = set()
        actual = [result_files.free_name(tmp_path / file, out, reserved) for file in images]
        for name, file in zip(actual, images, strict=True):
            inference.save_mask(out / f"{name}_mask.png", labels, [(0, 0, 0)], result_files.source_id(tmp_path / file))
        return actual

    assert names("x/a.jpg", "x/b.jpg", "y/a.jpg", "z/a.jpg") == ["a", "b", "a-2", "a-3"]
    assert names("y/a.jpg", "w/a.jpg", "x/a.jpg") == ["a-2", "a-4", "a"]
    Image.new("L", (4, 4)).save(out / "c_mask.png")  # painted by hand
    assert names("x/c.jpg") == ["c-2"]
    inference.save_mask(out / "d_mask.png", labels, [(0, 0, 0)])  # as versions before this one wrote it
    assert names("x/d.jpg") == ["d"]
    assert len(result_files.source_id(tmp_path)) == 16  # of the place alone, where nothing can be read


def test_a_result_is_known_by_the_place_of_its_image_or_by_its_content(tmp_path):
    out, labels = tmp_path / "out", np.zeros((4, 4), np.uint8)
    day1, day2, moved = (tmp_path / day / "trip/photos/1.jpg" for day in ("day1", "day2", "moved"))
    for file, text in ((day1, b"one"), (day2, b"two"), (moved, b"one")):
        file.parent.mkdir(parents=True)
        file.write_bytes(text)
    out.mkdir()
    inference.save_mask(out / "1_mask.png", labels, [(0, 0, 0)], result_files.source_id(day1))
    assert result_files.free_name(day2, out, set()) == "1-2"  # its last folders have the same names
    assert result_files.free_name(moved, out, set()) == "1"
    day1.write_bytes(b"edited")
    assert result_files.free_name(day1, out, set()) == "1"


def test_results_larger_than_pillow_opens_are_known_as_results(tmp_path, monkeypatch):
    inference.save_mask(tmp_path / "a_mask.png", np.zeros((40, 40), np.uint8), [(0, 0, 0)])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert result_files.is_result(tmp_path / "a_mask.png") and Image.MAX_IMAGE_PIXELS == 100


def test_counts_on_the_device_are_those_on_the_cpu(monkeypatch):
    """A GPU counts with tensors; tensors on the CPU take their place here."""
    torch.manual_seed(0)
    dataset = data.load("streets", "val", length=3, size=[48, 64])
    predictor = inference.Predictor(models.create("unet", dataset.num_classes, width=4))
    here, types = evaluation.evaluate(predictor, dataset), []
    monkeypatch.setattr(evaluation, "COUNT_ON_DEVICE", {"cpu"})
    original = evaluation.Counts.update
    monkeypatch.setattr(
        evaluation.Counts, "update", lambda counts, *maps: types.extend(map(type, maps)) or original(counts, *maps)
    )
    assert evaluation.evaluate(predictor, dataset) == here
    assert types == [torch.Tensor] * 6


def test_long_class_names_are_separated_from_their_scores():
    names = ["background", "traffic sign, back"]  # the second has 18 characters
    counts = evaluation.Counts(2)
    counts.update(np.eye(8, dtype=np.uint8), np.eye(8, dtype=np.uint8))
    *_, header, first, second = evaluation.summary(counts.scores(names)).splitlines()
    assert second.startswith("traffic sign, back  1.0000") and header.index("IoU") == first.index("1.0000") == 20


def test_batches_of_label_maps_agree_with_single_images():
    """Images of equal size after scaling share a batch; the order of the results is that of the images."""
    torch.manual_seed(0)
    predictor = inference.Predictor(models.create("unet", 3, width=4), 64, scales=(1.0, 0.75), flip=True)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((48, 64), (80, 60), (96, 128), (48, 64))]
    sizes = []
    predictor.model.register_forward_pre_hook(lambda model, inputs: sizes.append(len(inputs[0])))
    with torch.inference_mode():
        batched = predictor._label_batches(images)
    assert sizes == [6, 6, 2, 2]  # three images of one size at two scales, each with its mirror image, then the other
    for image, labels in zip(images, batched, strict=True):
        expected = predictor.label_map(image)
        assert labels.shape == image.shape[:2] and (labels != expected).float().mean() < 1e-3
    assert all(
        torch.equal(*pair) for pair in zip(predictor.label_maps(images), map(predictor.label_map, images), strict=True)
    )


def test_a_hole_is_joined_without_comparing_all_pairs_of_corners():
    """Large masks have outlines and holes of 100,000 corners; all pairs of them would take 150 GB."""
    ring, hole = (np.stack([np.cos(angle), np.sin(angle)], 1) for angle in np.linspace(0, 6, 200_000).reshape(2, -1))
    joined = polygons._join_hole(2 * ring, hole[::-1])
    assert len(joined) == 200_002 and (joined[0] == 2 * ring[0]).all() and (joined[-1] == 2 * ring[-1]).all()
