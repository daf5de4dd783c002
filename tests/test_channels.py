"""Images of other channels than RGB: read as they are stored, trained, evaluated, predicted and exported."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from course.datasets import validation
from seglib import data, inference, models, training, weights
from seglib.cli.main import main
from seglib.config import Config, ConfigError, parse_config
from seglib.data import DataError
from seglib.data.images import bands_to_rgb
from seglib.data.masks import read_mask
from seglib.data.transforms import normalize, resize
from seglib.inference import PredictionError, Predictor
from seglib.training import TrainingError

tifffile = pytest.importorskip("tifffile")
NODATA = -9999.0
BANDS = {"photometric": "minisblack", "planarconfig": "contig"}


def scene(number: int, size=(60, 80)) -> tuple[np.ndarray, np.ndarray]:
    """Five bands, float (H, W, 5), of very different ranges, and a mask: the object is visible in band 4 alone."""
    rng = np.random.default_rng(number)
    mask = np.zeros(size, np.uint8)
    top, left = rng.integers(5, 25, 2)
    mask[top : top + 25, left : left + 30] = 1
    bands = rng.normal(0, 1, (*size, 5)) * (0.01, 3, 200, 0.2, 30) + (0.1, -50, 3000, 1, 0)
    bands[..., 3] += 2 * mask
    return bands, mask


def write_folder(folder, convert=np.float32, classes="channels: 5\nclasses: [background, object]\n", count=12, **tiff):
    """Write a folder of `count` scenes; `convert` makes what is stored of the bands."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        bands, mask = scene(number)
        tifffile.imwrite(folder / f"images/s{number:02}.tif", convert(bands), **BANDS, **tiff)
        Image.fromarray(mask).save(folder / f"masks/s{number:02}.png")
    (folder / "classes.yaml").write_text(classes)
    return folder


def twelve_bits(bands):
    return ((bands - bands.min((0, 1))) / np.ptp(bands, (0, 1)) * 4095).round().astype(np.uint16)


def configure(folder, output_dir, **values) -> Config:
    values = {"data": {"name": str(folder)}, "model": {"options": {"width": 4}}, "optimizer": {"lr": 0.01}} | values
    fixed = {"epochs": 6, "batch_size": 4, "amp": "off", "device": "cpu", "num_workers": 0, "ema": 0.5}
    sizes = {"augment": {"crop_sizes": [48]}, "inference": {"longest_side": 64}}
    return parse_config({"output_dir": str(output_dir), **fixed, **sizes, **values})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(folder, weights) of a small U-Net on five float bands, from files in which some pixels have no data."""
    root = tmp_path_factory.mktemp("channels")

    def with_gaps(bands):
        stored = bands.astype(np.float32)
        stored[:3, :4, 1], stored[10, 10, 2], stored[20, 20, 0] = NODATA, np.nan, np.inf
        return stored

    place = [(33550, "d", 3, (10.0, 10.0, 0.0), False), (33922, "d", 6, (0, 0, 0, 500000.0, 4000000.0, 0), False)]
    tags = [(42113, "s", 0, str(NODATA), False), *place]
    folder = write_folder(root / "fields", with_gaps, extratags=tags)
    training.fit(configure(folder, root / "run"), progress=False)
    return folder, root / "run/best.safetensors"


def stored(number):
    """The array that reading a file of `trained` must give."""
    bands = scene(number)[0].astype(np.float32)
    bands[:3, :4, 1], bands[10, 10, 2], bands[20, 20, 0] = np.nan, np.nan, np.inf
    return bands


def test_bands_are_read_as_they_are_stored(trained):
    loaded = data.load(str(trained[0]), "all")
    assert loaded.channels == 5 and loaded.reading == {"bits": 0, "bands": (), "channels": 5}
    for item in loaded:
        number = int(item["key"][1:])
        assert item["image"].dtype == np.float32 and np.array_equal(item["image"], stored(number), equal_nan=True)
        assert np.array_equal(item["mask"], scene(number)[1])
    report = validation.check(str(trained[0]), progress=False)
    assert report.ok and not report.warnings, report.text()


def test_statistics_are_those_of_the_training_images(trained):
    images = [stored(int(item["key"][1:])).reshape(-1, 5) for item in data.load(str(trained[0]), "train")]
    pixels = np.concatenate(images).astype(np.float64)
    pixels[~np.isfinite(pixels)] = np.nan
    inferred = weights.load(str(trained[1]))[1]["config"]["inference"]
    assert np.allclose(inferred["mean"], np.nanmean(pixels, 0), rtol=1e-5, atol=1e-9)
    assert np.allclose(inferred["std"], np.nanstd(pixels, 0), rtol=1e-5)


def test_training_finds_what_only_the_fourth_band_has(trained, capsys):
    folder, file = trained
    assert main(["evaluate", str(file), "--data", str(folder), "--json", str(file.parent / "scores.json")]) == 0
    assert json.loads((file.parent / "scores.json").read_text())["miou"] > 0.8


def test_predictor_equals_a_plain_loop(trained):
    model, metadata = weights.load(str(trained[1]))
    predictor = Predictor(model, **metadata["config"]["inference"])
    mean, std = (np.array(metadata["config"]["inference"][name], np.float32) for name in ("mean", "std"))
    for number in range(3):
        image = stored(number)
        filled = np.where(np.isfinite(image), image, mean)
        small = np.dstack([resize(np.ascontiguousarray(filled[..., band]), 48, 64) for band in range(5)])
        inputs = (small - mean) / std
        with torch.inference_mode():
            logits = model(torch.from_numpy(inputs.transpose(2, 0, 1)[None].copy()))
        expected = F.interpolate(logits, image.shape[:2], mode="bilinear").softmax(1)[0].numpy()
        assert np.allclose(predictor.probabilities(image), expected, atol=1e-5)
        assert torch.equal(predictor._label_batches([image, image])[1], predictor.label_map(image))  # as on a GPU
        path = trained[0] / f"images/s{number:02}.tif"
        assert np.array_equal(predictor.labels(path), predictor.labels(image))


def test_predict_command_writes_all_kinds_of_results(trained, tmp_path, capsys):
    folder, file = trained
    kinds = "mask,overlay,cutout,probabilities,coco,labelme"
    command = ["predict", str(folder / "images"), "--weights", str(file), "--out", str(tmp_path), "--kind", kinds]
    assert main(command) == 0, capsys.readouterr().err
    model, metadata = weights.load(str(file))
    expected = Predictor(model, **metadata["config"]["inference"]).labels(stored(3))
    assert np.array_equal(read_mask(tmp_path / "s03_mask.png"), expected)
    place = (tmp_path / "s03_mask.pgw").read_text()  # Pillow cannot open such files, but their georeference is kept
    assert place.split() == ["10", "0", "0", "-10", "500005", "3999995"]
    shown = data.read_image(tmp_path / "s03_overlay.jpg")
    difference = shown[expected == 0] - bands_to_rgb(stored(3))[expected == 0].astype(float)
    assert shown.shape == (60, 80, 3) and abs(difference).mean() < 8  # noise, as a JPEG


def test_large_files_are_predicted_in_parts(trained, tmp_path, monkeypatch):
    pytest.importorskip("rasterio")
    from seglib.inference import tiff

    monkeypatch.setattr(tiff, "LARGE_BYTES", 60 * 80 * 5 * 4 - 1)
    folder, file = trained
    images = [str(folder / f"images/s0{number}.tif") for number in (0, 1)]
    assert main(["predict", *images, "--weights", str(file), "--out", str(tmp_path), "--kind", "mask"]) == 0
    model, metadata = weights.load(str(file))
    expected = Predictor(model, **metadata["config"]["inference"]).labels(stored(1))
    assert np.mean(tifffile.imread(tmp_path / "s01_mask.tif") != expected) < 0.002
    with tiff.TiffReader(folder / "images/s01.tif", channels=3, bands=(5, 1, 2)) as reader:
        assert np.array_equal(reader.rows(7, 30), stored(1)[7:30, :, [4, 0, 1]], equal_nan=True)


def test_onnx_gives_the_same(trained, tmp_path, capsys):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    if torch.__version__ < (2, 13):
        pytest.skip("export needs PyTorch 2.13")
    folder, file = trained
    assert main(["export", str(file), "--out", str(tmp_path / "a.onnx")]) == 0
    network, metadata = inference.load(str(tmp_path / "a.onnx"))
    assert metadata["input"]["type"] == "float32" and metadata["input"]["shape"] == ["N", 5, "H", "W"]
    assert metadata["config"]["inference"] == weights.load(str(file))[1]["config"]["inference"]
    options = metadata["config"]["inference"]
    expected = Predictor(weights.load(str(file))[0], **options).probabilities(stored(2))
    assert np.allclose(Predictor(network, **options).probabilities(stored(2)), expected, atol=1e-4)
    command = ["predict", str(folder / "images/s02.tif"), "--weights", str(tmp_path / "a.onnx"), "--kind", "mask"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    assert np.array_equal(read_mask(tmp_path / "out/s02_mask.png"), expected.argmax(0))


def test_twelve_bits_and_chosen_bands(tmp_path):
    folder = write_folder(tmp_path / "set", twelve_bits, "classes: [background, object]\nchannels: 2\nbands: [4, 1]\n")
    item = data.load(str(folder), "val")[0]
    assert np.array_equal(item["image"], twelve_bits(scene(int(item["key"][1:]))[0])[..., [3, 0]])
    history = training.fit(configure(folder, tmp_path / "run"), progress=False)
    assert history[-1]["val"]["miou"] > 0.8
    metadata = weights.load(str(tmp_path / "run/best.safetensors"))[1]
    assert metadata["reading"] == {"bits": 0, "bands": [4, 1], "channels": 2}
    command = ["predict", str(folder / "images/s00.tif"), "--weights", str(tmp_path / "run/best.safetensors")]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    mask = read_mask(tmp_path / "out/s00_mask.png")
    assert (mask == scene(0)[1]).mean() > 0.9


@pytest.mark.parametrize("channels", [1, 3, 12])
def test_any_number_of_channels_of_any_type(tmp_path, channels):
    path, values = tmp_path / "a.tif", np.random.default_rng(0).integers(0, 60000, (40, 50, channels))
    for dtype in (np.uint8, np.uint16, np.int32, np.float64):
        pages = np.moveaxis(values.astype(dtype), 2, 0)
        for planes in ("contig", "separate", None):
            array = values.astype(dtype) if planes == "contig" else pages
            tifffile.imwrite(path, array, photometric="minisblack", planarconfig=planes if channels > 1 else None)
            read = data.read_image(path, channels=channels)
            assert read.dtype == np.float32 and np.array_equal(read, values.astype(dtype).astype(np.float32)), planes
    model = models.create("unet", 2, channels, width=2)
    mean, std = [30000.0] * channels, [17000.0] * channels
    for options in ({}, {"longest_side": 33}, {"longest_side": 90, "flip": True, "tile": 32, "scales": (1, 1.5)}):
        predicted = Predictor(model, mean=mean, std=std, **options).probabilities(path)
        assert predicted.shape == (2, 40, 50) and np.isfinite(predicted).all()
    rgb = bands_to_rgb(data.read_image(path, channels=channels))
    assert rgb.shape == (40, 50, 3) and rgb.dtype == np.uint8 and np.abs(rgb.mean() - 127.5) < 2


@pytest.mark.parametrize(
    ("dtype", "nodata", "num_finite"),
    [("uint8", "0", 39), ("uint8", "0.0", 39), ("int16", "5", 39), ("float64", "-1.7976931348623157e+308", 39)]
    + [("uint8", nodata, 40) for nodata in ("-9999", "nan", "none")],
)
def test_only_the_value_that_a_geotiff_names_stands_for_no_data(tmp_path, dtype, nodata, num_finite):
    values = np.arange(40, dtype=dtype).reshape(4, 5, 2)
    if dtype == "float64":
        values[3, 4, 1] = float(nodata)
    tifffile.imwrite(tmp_path / "a.tif", values, **BANDS, extratags=[(42113, "s", 0, nodata, False)])
    read = data.read_image(tmp_path / "a.tif", channels=2)
    valid = np.isfinite(read)
    assert valid.sum() == num_finite and np.array_equal(read[valid], values[valid])


def test_sets_are_joined_with_equal_channels_only(trained, tmp_path):
    other = write_folder(tmp_path / "other", classes="classes: [background, object]\nchannels: 2\nbands: [4, 1]\n")
    two = write_folder(tmp_path / "two", classes="classes: [background, object]\nchannels: 2\nbands: [4, 1]\n")
    joined = data.load(f"{other}+{two}", "val")
    assert joined.reading == {"bits": 0, "bands": (4, 1), "channels": 2} and joined[0]["image"].shape == (60, 80, 2)
    with pytest.raises(DataError, match="fields has images of 5 channels, other of 2"):
        data.load(f"{trained[0]}+{other}", "val")


def test_resizing_treats_every_band_alike():
    image = np.random.default_rng(0).normal(size=(37, 53, 11)).astype(np.float32)
    for size in ((20, 31), (74, 106), (36, 52)):
        expected = np.dstack([resize(np.ascontiguousarray(image[..., band]), *size) for band in range(11)])
        assert np.allclose(resize(image, *size), expected, atol=1e-6)


def test_normalization_puts_the_mean_where_there_is_no_value():
    images = torch.tensor([5.0, np.nan, np.inf, -np.inf]).view(1, 1, 1, 4)
    assert normalize(images, [3], [4]).flatten().tolist() == [0.5, 0, 0, 0]


@pytest.mark.parametrize("name", models.names())
def test_every_network_takes_other_channels(name):
    if name in ("u2net", "dilated_resnet50") or ("hrnet" in name and "mini" not in name and "small_v1" not in name):
        pytest.skip("as its smaller variant")
    model = models.create(name, 2, 5).eval()
    with torch.inference_mode():
        assert model(torch.zeros(1, 5, 64, 64)).shape == (1, 2, 64, 64)


def test_published_weights_are_repeated_for_other_channels(monkeypatch):
    published = models.create("efficientnet_unet", 2)
    theirs = {name: torch.rand(value.shape) for name, value in published.encoder.state_dict().items()}
    monkeypatch.setattr(models.registry, "fetch", lambda *_: theirs)
    model = models.create("efficientnet_unet", 2, 5, "imagenet")
    original = models.create("efficientnet_unet", 2, 3, "imagenet").encoder.conv_stem.weight
    assert torch.allclose(model.encoder.conv_stem.weight, original[:, [0, 1, 2, 0, 1]] * 0.6)
    assert model.eval()(torch.zeros(1, 5, 32, 32)).shape == (1, 2, 32, 32)


def test_files_with_other_bands_are_refused_by_name(trained, tmp_path, capsys):
    folder, file = trained
    odd = tmp_path / "odd.tif"
    tifffile.imwrite(odd, np.zeros((40, 50, 4), np.float32), **BANDS)
    reason = "odd.tif: has 4 bands, but the network takes 5 channels; choose as many with --bands"
    with pytest.raises(DataError, match=reason):
        data.read_image(odd, channels=5)
    assert main(["predict", str(odd), "--weights", str(file), "--out", str(tmp_path / "out")]) == 1
    assert reason in capsys.readouterr().err
    with pytest.raises(DataError, match=r"bands: \[1, 2\] must be 5 bands, one for each channel \(data.channels\)"):
        data.read_image(odd, channels=5, bands=(1, 2))
    with pytest.raises(DataError, match=r"odd.tif: has 4 bands, not the chosen \[1, 2, 3, 5\]"):
        data.read_image(odd, channels=4, bands=(1, 2, 3, 5))
    with pytest.raises(DataError, match="odd.tif: 4 bands.*train a network on all of them with `channels: 4`"):
        data.read_image(odd)
    tifffile.imwrite(odd, np.zeros((40, 50, 4), np.complex64), **BANDS)
    with pytest.raises(DataError, match="odd.tif: pixels are complex64"):
        data.read_image(odd, channels=4)
    rgb = tmp_path / "rgb.png"
    Image.new("RGB", (40, 50)).save(rgb)
    with pytest.raises(DataError, match="rgb.png: has 3 bands, but the network takes 5"):
        data.read_image(rgb, channels=5)
    predictor = Predictor(models.create("unet", 2, 5, width=2), mean=[0] * 5, std=[1] * 5)
    for image in (np.zeros((40, 50, 3), np.uint8), Image.new("RGB", (40, 50)), np.zeros((40, 50, 5), complex)):
        with pytest.raises(PredictionError, match=r"expected a path, or an array \(H, W, 5\), got"):
            predictor.labels(image)


def test_options_that_do_not_fit_are_refused(trained, tmp_path):
    folder, file = trained
    cases = [
        (DataError, {"data": {"name": "creatures", "channels": 5}}, "creatures is generated in RGB"),
        (DataError, {"data": {"name": str(folder), "channels": 4}}, "s00.tif: has 5 bands, but the network takes 4"),
        (TrainingError, {"inference": {"mean": [1, 2], "std": [1, 2]}}, "inference.mean has 2 numbers.* have 5 chan"),
    ]
    for error, values, message in cases:
        with pytest.raises(error, match=message):
            training.Trainer(configure(folder, tmp_path / "run", **values))
    with pytest.raises(ConfigError, match=r"inference.std is \[\], but must be as long as inference.mean"):
        parse_config({"inference": {"mean": [1]}})
    with pytest.raises(ConfigError, match="model.options .* without in_channels; set data.channels"):
        parse_config({"model": {"options": {"in_channels": 5}}})
    (folder / "classes.yaml").rename(folder / "kept.yaml")
    for text, fault in (("channels: x", "'channels' must be the number"), ("bands: [1, 2]", "or of 'channels' num")):
        (folder / "classes.yaml").write_text(f"classes: [background, object]\n{text}\n")
        with pytest.raises(DataError, match=fault):
            data.load(str(folder))
    (folder / "kept.yaml").replace(folder / "classes.yaml")
    constant = write_folder(tmp_path / "constant", lambda bands: np.ones_like(bands, np.float32))
    with pytest.raises(DataError, match="constant: band 1 has one value in all training images"):
        training.Trainer(configure(constant, tmp_path / "run"))


def test_rgb_weights_refuse_a_set_of_bands(trained, capsys):
    assert main(["evaluate", "unet-horses", "--data", str(trained[0])]) == 1
    assert "unet-horses was trained on RGB, but" in capsys.readouterr().err


def test_augmentation_for_rgb_is_turned_off_and_reported(trained, tmp_path, capsys):
    trainer = training.Trainer(configure(trained[0], tmp_path / "run"))
    assert "images of 5 channels: augment.color_jitter, grayscale, blur, noise are for RGB" in capsys.readouterr().err
    augment = trainer.config.augment
    assert (augment.color_jitter, augment.grayscale, augment.blur, augment.noise) == (0, 0, 0, 0)
    assert augment.flip == 0.5 and augment.rotate == 15


def test_a_run_resumes_with_its_statistics(trained, tmp_path):
    config = configure(trained[0], tmp_path / "run", epochs=1)
    training.fit(config, progress=False)
    config.epochs = 2
    assert len(training.fit(config, resume=True, progress=False)) == 2
