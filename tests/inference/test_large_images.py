"""Images that are read and predicted in parts: the same results as in memory; corrupted and unusual TIFF files."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import PIL
import pytest
import torch
from PIL import Image
from torch import nn

from seglib import inference
from seglib.data import read_image
from seglib.inference import PredictionError, Predictor
from seglib.inference.resize import ResizedReader, area_weights, linear_weights
from seglib.inference.result_files import is_result
from seglib.inference.tiff import TiffReader, is_large

from ..data.forms import wide_gamut_profile

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("rasterio")
REPOSITORY = Path(__file__).parents[2]


class InMemoryReader:
    """An image in memory that is read in parts."""

    def __init__(self, image):
        self.image, (self.height, self.width) = image, image.shape[:2]

    def rows(self, top, bottom):
        assert 0 <= top < bottom <= self.height
        return self.image[top:bottom]


def scene(height, width):
    """Smooth and sharp content, so that resizing and windows change the result."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([128 + 90 * np.sin(x / 31) * np.cos(y / 23), (x + y) % 256, (x * y // 40) % 256], 2)
    image[height // 3 : height // 2, width // 4 : width // 2] = 240
    return image.astype(np.uint8)


@pytest.fixture(scope="module")
def network():
    """Three classes from a receptive field of 15 pixels: windows change their output."""
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 8, 7, padding=3), nn.ReLU(), nn.Conv2d(8, 3, 9, padding=4)).eval()


@pytest.mark.parametrize("size", [(150, 211), (75, 60), (411, 330), (150, 100)])
def test_scaling_by_rows_is_scaling(size):
    image = scene(300, 220)
    shrunk = size[0] <= 300 and size[1] <= 220
    way = cv2.INTER_AREA if shrunk else cv2.INTER_LINEAR
    whole = cv2.resize(image, size[::-1], interpolation=way).astype(int)
    scaled = ResizedReader(InMemoryReader(image), *size)
    actual = np.concatenate([scaled.rows(0, 41), scaled.rows(41, size[0])])
    # OpenCV upsamples bytes in fixed point, so that one value in nine is off by one.
    assert np.abs(actual - whole).max() <= 1 and (actual != whole).mean() < (0.02 if shrunk else 0.15)


def test_weights_of_rows_sum_to_one_and_name_the_rows_needed():
    for make in (area_weights, linear_weights):
        for length, scaled in ((10, 7), (7, 7), (100, 3), (5, 11)):
            if make is area_weights and scaled > length:
                continue
            for top in range(scaled):
                first, weights = make(top, scaled, length, scaled)
                assert first + weights.shape[1] <= length and weights.shape[0] == scaled - top
                np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    assert area_weights(1, 2, 8, 2)[0] == 4 and (area_weights(1, 2, 8, 2)[1] == 0.25).all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"flip": True},
        {"longest_side": 200},
        {"longest_side": 500, "flip": True},
        {"scales": (0.75, 1, 1.25)},
        {"longest_side": 50},
    ],
)
@pytest.mark.parametrize("size", [(320, 250), (130, 401)])
def test_by_rows_as_in_memory(network, monkeypatch, size, options):
    monkeypatch.setattr("seglib.inference.predictor.CHUNK", 7919)  # a number of rows that divides nothing
    image = scene(*size)
    predictor = Predictor(network, **options, tile=96)
    rows = list(predictor.label_rows(InMemoryReader(image)))
    assert len(rows) > 5 and {part.shape[1] for part in rows} == {size[1]}
    labels = np.concatenate(rows)
    expected = predictor.labels(image)
    assert labels.shape == size and labels.dtype == np.uint8 and len(np.unique(expected)) == 3
    # Scaling by rows rounds some values the other way, which moves a border by a pixel here and there.
    assert (labels != expected).mean() <= (0.004 if "longest_side" in options or "scales" in options else 0)


class Planes(nn.Module):
    """A model with a number of classes; every pixel belongs to the last but one."""

    def __init__(self, classes):
        super().__init__()
        self.register_buffer("bias", torch.arange(classes)[:, None, None] % (classes - 1) * 1.0)

    def forward(self, x):
        return x[:, :1] * 0 + self.bias


@pytest.mark.parametrize("classes", [2, 11, 19, 100])
@pytest.mark.parametrize("options", [{}, {"flip": True}, {"longest_side": 5000}, {"scales": (0.5, 1.0), "flip": True}])
def test_windows_are_as_large_as_memory_allows(classes, options):
    """For an image of 20,000 pixels across: their rows, in float32, stay below 512 MiB, or the image is refused."""
    predictor = Predictor(Planes(classes), **options)
    views, width = 1 + predictor.flip, (options.get("longest_side") or 20_000) * sum(predictor.scales)
    row = 4 * classes * views * width
    try:
        predictor._num_classes = classes
        side = predictor._window_side((20_000, 20_000), round(width), views)
    except PredictionError as error:
        assert 64 * row > 2**29 and "--multi-scale" in str(error) and "--tile 512" in str(error)
    else:
        assert 64 <= side <= 512 and side % 32 == 0 and side * row <= 2**29
        assert side == 512 or (side + 32) * row > 2**29


def test_many_classes_are_labelled_in_smaller_windows(monkeypatch):
    image, predictor = scene(150, 400), Predictor(Planes(60))
    calls = []
    predictor.model.register_forward_pre_hook(lambda model, inputs: calls.append(inputs[0].shape[-1]))
    monkeypatch.setattr("seglib.inference.predictor.WHOLE_PIXELS", 0)
    monkeypatch.setattr("seglib.inference.predictor.BAND_BYTES", 4 * 60 * 400 * 100)
    rows = list(predictor.label_rows(InMemoryReader(image)))
    assert np.concatenate(rows).shape == (150, 400) and (np.concatenate(rows) == 58).all()
    assert set(calls) == {32, 96}  # the first one counts the classes
    monkeypatch.setattr("seglib.inference.predictor.BAND_BYTES", 4 * 60 * 400 * 63)
    with pytest.raises(PredictionError, match="400x150 in 60 planes .* less than 64 pixels"):
        next(predictor.label_rows(InMemoryReader(image)))
    # A window size that was chosen explicitly is allowed.
    assert next(Predictor(Planes(60), tile=512).label_rows(InMemoryReader(image))).shape[1] == 400


def test_parts_of_a_result_are_the_result(network, monkeypatch):
    image = scene(200, 170)
    whole = Predictor(network, longest_side=90, scales=(0.8, 1.1), flip=True).labels(image)
    monkeypatch.setattr("seglib.inference.predictor.CHUNK", 1000)
    assert (Predictor(network, longest_side=90, scales=(0.8, 1.1), flip=True).labels(image) != whole).mean() < 1e-4


STORED = {
    "plain": {},
    "tiles": {"tile": (64, 48), "compression": "zlib"},
    "strips": {"rowsperstrip": 37, "compression": "zlib", "predictor": True},
    "big": {"bigtiff": True, "tile": (32, 32)},
    "other-endian": {"byteorder": ">"},
    "planes": {"planarconfig": "separate"},
    "planes-in-tiles": {"planarconfig": "separate", "tile": (64, 64), "compression": "zlib"},
}


@pytest.mark.parametrize("stored", STORED)
def test_tiff_files_are_read_in_parts(tmp_path, stored):
    image, file = scene(201, 150), tmp_path / "a.tif"
    values = np.moveaxis(image, 2, 0) if "planes" in stored else image
    tifffile.imwrite(file, values, photometric="rgb", **STORED[stored])
    with TiffReader(file) as reader:
        assert (reader.height, reader.width) == (201, 150)
        for top, bottom in ((0, 201), (0, 1), (63, 65), (200, 201), (40, 170)):
            assert (reader.rows(top, bottom) == image[top:bottom]).all()


@pytest.mark.parametrize(
    "kind", ["grey", "16-bit", "16-bit big endian", "palette", "rgba", "multiplied", "white is zero", "color profile"]
)
def test_tiff_files_are_converted_as_in_memory(tmp_path, kind):
    image, file = scene(60, 70), tmp_path / "a.tif"
    if kind == "palette":
        Image.fromarray(image).convert("P").save(file)
    elif kind == "rgba":
        Image.fromarray(np.dstack([image, image[:, :, 1]])).save(file)
    elif kind == "multiplied":  # the colours by their opacity; one pixel is brighter than it can be
        multiplied = (image.astype(int) * image[:, :, 1:2] // 255).astype(np.uint8)
        multiplied[0, 0] = 255
        tifffile.imwrite(file, np.dstack([multiplied, image[:, :, 1]]), photometric="rgb", extrasamples=["assocalpha"])
    elif kind == "color profile":
        Image.fromarray(image).save(file, icc_profile=wide_gamut_profile())
    elif kind == "white is zero":
        tifffile.imwrite(file, image[:, :, 0], photometric="miniswhite")
    elif "16" in kind:
        deep = image[:, :, 0].astype(np.uint16) * 200 + 7
        tifffile.imwrite(file, deep, byteorder=">" if "big" in kind else "<", tile=(16, 16), compression="zlib")
    else:
        tifffile.imwrite(file, image[:, :, 0])
    with TiffReader(file) as reader:
        actual = reader.rows(0, 60)
    expected = read_image(file)
    if kind == "multiplied":  # Pillow divides the colours and multiplies them again, and may lose a step each time
        assert (actual[0, 0] == 255).all()
        actual, expected = actual[1:], expected[1:]
    tolerance = {"rgba": 1, "multiplied": 3}
    if int(PIL.__version__.split(".")[0]) < 11:  # these versions round 16-bit palettes differently
        tolerance["palette"] = 1
    assert np.abs(actual.astype(int) - expected).max() <= tolerance.get(kind, 0)


def test_chosen_bands_of_a_tiff_file_have_no_color_profile(tmp_path):
    file = tmp_path / "a.tif"
    Image.fromarray(scene(60, 70)).save(file, icc_profile=wide_gamut_profile())
    with TiffReader(file, bands=[3, 2, 1]) as reader:
        assert (reader.rows(0, 60) == read_image(file, bands=[3, 2, 1])).all()
        assert (reader.rows(0, 60) == scene(60, 70)[:, :, ::-1]).all()


@pytest.mark.parametrize(
    "kind, bits", [("minisblack", 1), ("miniswhite", 1), ("minisblack", 2), ("minisblack", 4), ("palette", 4)]
)
def test_tiff_files_of_few_bits_are_converted_as_in_memory(tmp_path, kind, bits):
    import rasterio

    image, file = scene(60, 70)[:, :, 0] >> (8 - bits), tmp_path / "a.tif"
    shape = {"count": 1, "height": 60, "width": 70, "dtype": "uint8", "transform": rasterio.Affine(2, 0, 0, 0, -2, 0)}
    photometric = {"photometric": kind} if kind != "palette" else {}
    with rasterio.open(file, "w", driver="GTiff", nbits=bits, **shape, **photometric) as tiff:
        if kind == "palette":
            tiff.write_colormap(1, {index: (9 * index, 200 - index, 7) for index in range(2**bits)})
        tiff.write(image, 1)
    with TiffReader(file) as reader:
        assert (reader.rows(0, 60) == read_image(file)).all()


@pytest.mark.parametrize("bits", [0, 12])
def test_opacity_does_not_change_the_bit_depth_of_colors(tmp_path, bits):
    image, file = scene(60, 70).astype(np.uint16), tmp_path / "a.tif"
    deep = np.dstack([image * 16, image[:, :, 1] * 257])  # 12 bits, as from a camera, and opacity in 16 bits
    tifffile.imwrite(file, deep, photometric="rgb", extrasamples=["unassalpha"])
    with TiffReader(file, bits) as reader:
        assert np.abs(reader.rows(0, 60).astype(int) - read_image(file, bits)).max() <= 1


def test_tiff_files_that_cannot_be_read_by_window(tmp_path, monkeypatch):
    image, file = scene(300, 200), tmp_path / "a.tif"

    def refused(named, **options):
        tifffile.imwrite(file, options.pop("values", image), **options)
        with pytest.raises(PredictionError, match=named) as excinfo, TiffReader(file) as reader:
            reader.rows(0, reader.height)
        assert str(file) in str(excinfo.value)

    refused("neither 8-bit", values=image.astype(np.float32), photometric="rgb")
    refused("channels that are neither", values=np.dstack([image] * 2), photometric="minisblack", planarconfig=1)
    refused("several pages", values=np.stack([image, image]), photometric="rgb")
    refused("channels that are neither", values=image, photometric="cielab")
    refused("rotation", photometric="rgb", extratags=[(274, 3, 1, 6, True)])
    monkeypatch.setattr("seglib.inference.tiff.BLOCK_BYTES", 1000)
    refused("in one piece.*tiled TIFF", photometric="rgb", compression="zlib", rowsperstrip=300)
    monkeypatch.undo()
    file.write_bytes(b"II*\0 and no more")
    with pytest.raises(PredictionError, match=r"a\.tif: not a TIFF file"):
        TiffReader(file)
    for options in ({}, {"tile": (64, 64), "compression": "zlib"}):
        tifffile.imwrite(file, image, photometric="rgb", **options)
        whole = file.read_bytes()
        with tifffile.TiffFile(file) as tiff:
            last = max(tiff.pages[0].dataoffsets)
        file.write_bytes(whole[: last + 100])
        with pytest.raises(PredictionError, match="damaged or truncated|not a TIFF file"), TiffReader(file) as reader:
            reader.rows(0, 300)


def test_any_compression_is_read_and_a_missing_package_is_named(tmp_path, monkeypatch):
    file = tmp_path / "a.tif"
    Image.fromarray(scene(50, 60)).save(file, compression="tiff_lzw")
    with TiffReader(file) as reader:
        assert (reader.rows(0, 50) == scene(50, 60)).all()
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(PredictionError, match="python -m pip install rasterio"):
        TiffReader(file)


def test_large_images_are_read_in_parts_or_refused(tmp_path, monkeypatch):
    for ending in ("png", "tif"):
        Image.fromarray(scene(50, 60)).save(tmp_path / f"a.{ending}")
        assert not is_large(tmp_path / f"a.{ending}")
    monkeypatch.setattr("seglib.inference.tiff.LARGE_PIXELS", 2999)
    assert is_large(tmp_path / "a.tif")
    with pytest.raises(PredictionError, match=r"a\.png: more than 2,999 pixels .*tiled TIFF.*vips copy"):
        is_large(tmp_path / "a.png")
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 1000)  # too large for Pillow to open
    assert is_large(tmp_path / "a.tif")
    assert not is_large(tmp_path / "absent.tif")


def test_a_label_tiff_is_tiled_small_and_as_in_memory(network, tmp_path):
    image, palette = scene(700, 531), [(0, 0, 0), (255, 0, 0), (0, 90, 255)]
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb")
    predictor, calls = Predictor(network, tile=128), []
    counts = inference.predict_tiff(
        predictor, tmp_path / "a.tif", tmp_path / "out.tif", palette, lambda *done: calls.append(done)
    )
    expected = predictor.labels(image)
    with tifffile.TiffFile(tmp_path / "out.tif") as written:
        assert written.pages[0].is_tiled and written.pages[0].compression != 1
        assert (written.pages[0].asarray() == expected).all()
    with Image.open(tmp_path / "out.tif") as opened:
        assert opened.size == (531, 700) and (np.asarray(opened) == expected).all()
        assert (np.asarray(opened.convert("RGB")) == np.array(palette)[expected]).all()
    assert (counts[:3] == np.bincount(expected.ravel(), minlength=3)).all() and counts.sum() == 700 * 531
    assert calls[-1] == (700, 700)
    assert is_result(tmp_path / "out.tif") and not is_result(tmp_path / "a.tif")


def test_a_truncated_source_leaves_no_result(network, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", scene(900, 200), photometric="rgb")
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:400_000])
    (tmp_path / "out").mkdir()
    with pytest.raises(PredictionError, match="damaged"):
        inference.predict_tiff(
            Predictor(network, tile=128), tmp_path / "a.tif", tmp_path / "out" / "a.tif", [(0, 0, 0)]
        )
    assert list((tmp_path / "out").iterdir()) == []


PROCESS = """
import resource, sys
from pathlib import Path
import torch
from seglib import inference
torch.set_num_threads(1)

class Red(torch.nn.Module):
    def forward(self, x):
        return torch.cat([-x[:, :1], x[:, :1]], 1)

predictor = inference.Predictor(Red())
counts = inference.predict_tiff(predictor, Path(sys.argv[1]), Path(sys.argv[2]), [(0, 0, 0), (9, 9, 9)])
# Not getrusage, on Linux: a process begins there with the peak of the one that started it.
status = Path("/proc/self/status")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if status.exists():
    peak = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
print(counts[1], peak)
"""


@pytest.mark.parametrize("side, megabytes", [(8_000, 1200), pytest.param(20_000, 2000, marks=pytest.mark.slow)])
def test_a_large_file_needs_little_memory(tmp_path, side, megabytes):
    """A real process: in memory, float32 probabilities and logits of 20,000 x 20,000 pixels alone take 6.4 GB."""
    part = np.zeros((500, 500, 3), np.uint8)
    part[100:200, 50:150, 0] = 255
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        repeated = (part[y : y + 400, x : x + 400] for y in [0] * (side // 400) for x in [0] * (side // 400))
        writer.write(
            repeated,
            shape=(side, side, 3),
            dtype=np.uint8,
            tile=(400, 400),
            photometric="rgb",
            compression="zlib",
            metadata=None,
            maxworkers=1,
        )
    result = subprocess.run(
        [sys.executable, "-c", PROCESS, tmp_path / "a.tif", tmp_path / "out.tif"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    red, peak = map(int, result.stdout.split())
    assert red == (side // 400) ** 2 * 100 * 100
    assert peak * (1 if sys.platform != "darwin" else 1 / 1024) < megabytes * 1e6 / 1024


def test_a_mask_is_at_the_place_of_its_image(network, tmp_path):
    import rasterio

    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(0.5, 0, 400_000, 0, -0.5, 5_000_000)}
    shape = {"count": 3, "height": 90, "width": 120, "dtype": "uint8", "photometric": "rgb"}
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", **shape, **place) as file:
        file.write(np.moveaxis(scene(90, 120), 2, 0))
    inference.predict_tiff(Predictor(network, tile=64), tmp_path / "a.tif", tmp_path / "mask.tif")
    with rasterio.open(tmp_path / "mask.tif") as mask:
        assert mask.crs == place["crs"] and mask.transform == place["transform"]


FULL_DISK = """
import resource, sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from PIL import Image
from seglib.inference import predict_tiff

noise = np.random.default_rng(0).integers(0, 256, (1000, 1000), dtype=np.uint8)
predictor = SimpleNamespace(label_rows=lambda reader: np.split(noise, 10))
source, target = Path(sys.argv[1], "image.tif"), Path(sys.argv[1], "mask.tif")
Image.fromarray(noise).save(source)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
predict_tiff(predictor, source, target)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as on Unix")
def test_a_mask_that_does_not_fit_on_the_disk_is_not_written(tmp_path):
    for limit, fits in ((100_000, False), (900_000, False), (4_000_000, True)):
        words = [sys.executable, "-c", FULL_DISK, tmp_path, str(limit)]
        result = subprocess.run(words, capture_output=True, text=True, cwd=REPOSITORY)
        assert (result.returncode == 0) == fits, result.stderr
        assert fits or "No space left on device; the file is as it was before" in result.stderr
        assert {file.name for file in tmp_path.iterdir()} == {"image.tif"} | ({"mask.tif"} if fits else set())
