"""The command predict: which images, which results, corrupted files, resuming."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from seglib import inference, models, visualize, weights
from seglib.cli.main import main
from seglib.config import config_to_dict, parse_config
from seglib.inference import outputs

REPOSITORY = Path(__file__).parents[2]
PALETTE = [[0, 0, 0], [250, 0, 0]]


def write_weights(file, width, classes=("background", "leaf")):
    """Write an untrained U-Net for images at their original size."""
    torch.manual_seed(0)
    model = models.create("unet", 2, width=width)
    config = parse_config(json.dumps({"model": {"name": "unet", "options": {"width": width}}}))
    config.inference.longest_side = 0
    notes = {"config": config_to_dict(config), "classes": list(classes), "palette": PALETTE, "num_outputs": 2}
    weights.write_tensors(file, model.state_dict(), notes)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A current folder with small weights, three images and a corrupted one."""
    write_weights(tmp_path / "w.safetensors", width=2)
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.tif", "more/a.png")):
        image = np.random.default_rng(number).integers(0, 256, (40 + number, 50, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "bad.jpg").write_text("not an image")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def called(place, capsys):
    def call(*words):
        try:
            code = main(["predict", *map(str, words), "--weights", "w.safetensors", "--out", "out", "--device", "cpu"])
        except SystemExit as refused:
            code = refused.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def written(place):
    return sorted(file.name for file in (place / "out").iterdir())


def test_patterns_and_bad_files(called, place):
    code, out, err = called("photos/**/*.*", "photos/a.png")
    assert code == 1 and "3 of 4 images segmented; the results are in out/" in out
    assert err.splitlines() == [f"skipped: {place_of_bad()}"]
    assert written(place) == [
        "a-2_mask.png",
        "a-2_overlay.jpg",
        "a_mask.png",
        "a_overlay.jpg",
        "b_mask.png",
        "b_overlay.jpg",
    ]
    code, out, err = called("nothing/*.png")
    assert code == 1 and "nothing/*.png: no image matches this pattern" in err


def place_of_bad():
    return "photos/bad.jpg: not an image that can be read, or truncated; get it again as PNG."


def test_too_long_names_and_too_large_images_are_reported_and_the_rest_is_done(called, place, monkeypatch):
    long = "n" * 245 + ".png"
    (place / "photos" / "a.png").rename(place / "photos" / long)
    code, out, err = called("photos/" + long, "photos/b.tif")
    assert code == 1 and "1 of 2 images segmented" in out and written(place) == ["b_mask.png", "b_overlay.jpg"]
    assert f"skipped: photos/{long}: the names of its results would be too long; rename it." in err

    def full(*ignored, **ignored_too):
        raise MemoryError

    monkeypatch.setattr(torch.nn.functional, "interpolate", full)
    monkeypatch.setattr(models.UNet, "forward", full)
    code, _, err = called("photos/b.tif")
    assert code == 1 and "skipped: photos/b.tif: an image of 50x41 needs more memory than there is" in err


def test_kinds_of_results(called, place):
    code, out, _ = called("photos/a.png", "--kind", "cutout")
    assert code == 0 and "1 of 1 images segmented; the results are in out/" in out
    assert written(place) == ["a_cutout.png"]
    model, _ = weights.load("w.safetensors")
    image = np.asarray(Image.open("photos/a.png"))
    probabilities = inference.Predictor(model).probabilities(image)
    with Image.open("out/a_cutout.png") as cut:
        assert cut.mode == "RGBA" and cut.size == (50, 40)
        alpha = np.asarray(cut)[:, :, 3]
        np.testing.assert_allclose(alpha, 255 * outputs.refine_alpha(image, probabilities[1]), atol=0.6)
        assert ((alpha > 0) & (alpha < 255)).any(), "soft edges"
    code, _, _ = called("photos/a.png", "--kind", "mask, cutout")
    assert code == 0 and written(place) == ["a_cutout.png", "a_mask.png"]
    assert (np.asarray(Image.open("out/a_mask.png")) == probabilities.argmax(0)).all()
    code, _, err = called("photos/a.png", "--kind", "mask,sketch")
    assert code == 2 and "--kind: 'sketch' must be one of mask, overlay, cutout, probabilities, coco, labelme" in err


def test_skip_existing(called, place):
    called("photos/a.png")
    mask = place / "out" / "a_mask.png"
    os.utime(mask, (1, 1))
    code, out, _ = called("photos/a.png", "photos/b.tif", "photos/more/a.png", "--skip-existing")
    assert code == 0 and "1 of 3 images already have results" in out and "2 of 2 images segmented" in out
    assert mask.stat().st_mtime == 1
    code, out, _ = called("photos/a.png", "--skip-existing", "--kind", "mask,cutout")
    assert "0 of 1 images already have" in out and mask.stat().st_mtime > 1
    code, out, _ = called("photos/a.png", "photos/b.tif", "photos/more/a.png", "--skip-existing")
    assert code == 0 and "3 of 3 images already have" in out and "0 of 0 images segmented" in out
    before = mask.read_bytes()
    code, _, _ = called("photos/more/a.png")  # alone it is no longer the first of its name
    assert code == 0 and mask.read_bytes() == before
    assert [name for name in written(place) if "mask" in name] == ["a-2_mask.png", "a_mask.png", "b_mask.png"]


def test_windows_by_options(called, place):
    code, out, _ = called("photos/a.png", "--tile", "32", "--overlap", "0.5", "--batch-size", "2", "--multi-scale")
    assert code == 0
    for words, named in (
        (["--tile", "5"], "tile is 5"),
        (["--overlap", "2"], "overlap is 2"),
        (["--batch-size", "0"], "batch_size is 0"),
    ):
        code, _, err = called("photos/a.png", *words)
        assert code == 1 and named in err and len(err.splitlines()) == 1


def test_a_lower_precision_changes_the_probabilities_slightly(called, place):
    probabilities = {}
    for amp in ("off", "bf16"):
        assert called("photos/a.png", "--kind", "probabilities", "--amp", amp)[0] == 0
        probabilities[amp] = np.load(place / "out" / "a_probabilities.npz")["probabilities"].astype(float)
    differences = np.abs(probabilities["off"] - probabilities["bf16"])
    assert 0 < differences.max() < 0.05
    code, _, _ = called("photos/a.png", "--amp", "auto")
    assert code == 0


def test_large_images_are_read_in_parts_or_refused(called, place, monkeypatch):
    pytest.importorskip("rasterio")
    monkeypatch.setattr("seglib.inference.tiff.LARGE_PIXELS", 2000)
    code, out, err = called("photos/b.tif", "photos/more/a.png")
    assert code == 1 and "1 of 2 images segmented" in out
    assert "more/a.png: more than 2,000 pixels" in err and "save it as a tiled TIFF" in err
    assert written(place) == ["b_mask.tif"]
    with Image.open("out/b_mask.tif") as mask:
        assert mask.size == (50, 41) and set(np.unique(np.asarray(mask))) <= {0, 1}
    assert "b.tif: too large for overlay; only the mask is written" in err
    code, out, _ = called("photos/b.tif", "--skip-existing")
    assert code == 0 and "1 of 1 images already have results" in out
    assert called("photos/b.tif", "--kind", "mask,coco")[0] == 0
    assert json.loads(Path("out/coco.json").read_text())["images"] == []
    code, out, _ = called("photos/b.tif", "--kind", "mask,coco", "--skip-existing")
    assert code == 0 and "1 of 1 images already have results" in out
    code, _, err = called("photos/b.tif", "--kind", "overlay")
    assert code == 1 and "only masks are written; add mask to --kind" in err


@pytest.mark.parametrize("background", [0, 1])
def test_masks_are_what_opencv_users_expect(called, place, background):
    if background:
        write_weights(place / "w.safetensors", width=2, classes=["leaf", "background"])
    labels = inference.Predictor(weights.load("w.safetensors")[0]).labels("photos/a.png")
    palette = np.array(PALETTE, np.uint8)
    expected = {"ids": labels, "binary": np.where(labels == background, 0, 255), "palette": palette[labels][..., ::-1]}
    for name, values in expected.items():
        code, _, err = called("photos/a.png", "--kind", "mask", "--mask-format", name)
        assert code == 0, err
        read = cv2.imread("out/a_mask.png", cv2.IMREAD_UNCHANGED)
        assert read.dtype == np.uint8 and read.shape == values.shape and (read == values).all()
    assert (np.asarray(Image.open("out/a_mask.png")) == labels).all(), "a palette image also holds the ids"
    called("photos/a.png", "--kind", "mask")
    assert (cv2.imread("out/a_mask.png", cv2.IMREAD_GRAYSCALE) == labels).all(), "ids is the default"


def test_without_a_class_called_background_it_must_be_named(called, place):
    write_weights(place / "w.safetensors", width=2, classes=["ground", "leaf"])
    for words in (["--kind", "cutout"], ["--mask-format", "binary"]):
        code, _, err = called("photos/a.png", *words)
        assert code == 1 and "none of the classes ground, leaf is called background; name one with --background" in err
        code, _, err = called("photos/a.png", *words, "--background", "soil")
        assert code == 1 and "--background soil: must be one of ground, leaf" in err
        assert called("photos/a.png", *words, "--background", "ground")[0] == 0
    assert called("photos/a.png", "--kind", "overlay")[0] == 0
    overlay, image = (np.asarray(Image.open(file)) for file in ("out/a_overlay.jpg", "photos/a.png"))
    palette = weights.load("w.safetensors")[1]["palette"]
    labels = inference.Predictor(weights.load("w.safetensors")[0]).labels("photos/a.png")
    expected = visualize.overlay(image, labels, palette)
    assert abs(overlay - expected.astype(float)).mean() < 8, "without a background every class is tinted"
    assert abs(expected - image.astype(float)).mean() > 20


def test_probabilities_and_polygons(called, place):
    code, _, err = called("photos/a.png", "photos/b.tif", "--kind", "probabilities,coco,labelme")
    assert code == 0, err
    assert written(place) == [
        "a_labelme.json",
        "a_probabilities.npz",
        "b_labelme.json",
        "b_probabilities.npz",
        "coco.json",
    ]
    expected = inference.Predictor(weights.load("w.safetensors")[0]).probabilities("photos/a.png")
    with np.load("out/a_probabilities.npz") as arrays:
        assert arrays["probabilities"].dtype == np.float16 and arrays["classes"].tolist() == ["background", "leaf"]
        np.testing.assert_allclose(arrays["probabilities"], expected, atol=1e-3)
    coco, labelme = (json.loads((place / "out" / name).read_text()) for name in ("coco.json", "a_labelme.json"))
    assert [(image["id"], image["file_name"], image["height"]) for image in coco["images"]] == [
        (1, "../photos/a.png", 40),
        (2, "../photos/b.tif", 41),
    ]
    assert [category["name"] for category in coco["categories"]] == ["background", "leaf"]
    of_a = [entry for entry in coco["annotations"] if entry["image_id"] == 1]
    assert labelme["imagePath"] == "../photos/a.png" and (labelme["imageHeight"], labelme["imageWidth"]) == (40, 50)
    assert len(of_a) == len(labelme["shapes"]) > 0 and {entry["category_id"] for entry in of_a} == {1}
    for entry, shape in zip(of_a, labelme["shapes"], strict=True):
        assert shape["label"] == "leaf" and shape["shape_type"] == "polygon"
        np.testing.assert_allclose(np.ravel(shape["points"]), entry["segmentation"][0], atol=0.01)
    # The same name from another folder: neither overwritten nor lost.
    code, _, _ = called("photos/more/a.png", "photos/a.png", "--kind", "coco,labelme", "--skip-existing")
    assert code == 0 and "a-2_labelme.json" in written(place)
    coco = json.loads((place / "out" / "coco.json").read_text())
    assert [image["file_name"][10:] for image in coco["images"]] == ["a.png", "b.tif", "more/a.png"]
    assert len({entry["id"] for entry in coco["annotations"]}) == len(coco["annotations"])
    code, out, _ = called("photos/more/a.png", "photos/a.png", "--kind", "coco,labelme", "--skip-existing")
    assert "2 of 2 images already have results" in out


def test_polygons_name_their_image_if_the_folder_of_the_results_is_a_link(called, place):
    (place / "disk" / "results").mkdir(parents=True)
    (place / "out").symlink_to(place / "disk" / "results")
    (place / "photos" / "link.png").symlink_to("a.png")
    assert called("photos/link.png", "--kind", "coco,labelme")[0] == 0
    labelme = json.loads(Path("out/link_labelme.json").read_text())
    coco = json.loads(Path("out/coco.json").read_text())
    assert labelme["imagePath"] == coco["images"][0]["file_name"] == "../../photos/link.png"
    assert Path("out", labelme["imagePath"]).exists()


def test_polygons_of_other_classes_are_refused_before_the_run(called, place):
    assert called("photos/a.png", "--kind", "coco")[0] == 0
    before = (place / "out" / "coco.json").read_text()
    write_weights("w.safetensors", 2, ("background", "cell"))
    code, _, err = called("photos/b.tif", "--kind", "coco,mask")
    assert code == 1 and "coco.json: not a COCO file of the classes background, cell; name another --out" in err
    assert (place / "out" / "coco.json").read_text() == before and written(place) == ["coco.json"]
    for text in ("[]", '{"images": ['):
        (place / "out" / "coco.json").write_text(text)
        code, _, err = called("photos/b.tif", "--kind", "coco,mask")
        assert code == 1 and "not a COCO file of the classes background, cell" in err


def test_the_least_certain_images_come_first(called, place):
    def ranking():
        with open("out/uncertainty.csv", newline="") as stream:
            return list(csv.DictReader(stream))

    code, _, _ = called("photos/a.png", "photos/b.tif", "--rank", "uncertainty")
    predictor = inference.Predictor(weights.load("w.safetensors")[0])
    expected = {f: 1 - predictor.probabilities(f).max(0).mean() for f in ("photos/a.png", "photos/b.tif")}
    assert code == 0 and {row["image"] for row in ranking()} == set(expected)
    for row in ranking():
        assert float(row["uncertainty"]) == pytest.approx(expected[row["image"]], abs=1e-5)
    text = Path("out/uncertainty.csv").read_text(encoding="utf-8")
    Path("out/uncertainty.csv").write_text(f"{text}\n", encoding="utf-8-sig")  # a mark and an empty line from editors
    called("photos/more/a.png", "photos/b.tif", "--rank", "uncertainty")
    values = [float(row["uncertainty"]) for row in ranking()]
    assert len(values) == 3 and values == sorted(values, reverse=True)


def test_another_ranking_is_refused_before_the_run(called, place):
    (place / "out").mkdir()
    for text in (
        "image;uncertainty\na.png;0,5\n",
        "image,uncertainty\na.png,high\n",
        "image,uncertainty\n\xe4.png,0.2\n",
    ):
        (place / "out" / "uncertainty.csv").write_text(text, encoding="latin-1")
        code, _, err = called("photos/a.png", "--rank", "uncertainty")
        assert code == 1 and "uncertainty.csv: not written by --rank uncertainty; name another --out" in err
        assert [file.name for file in (place / "out").iterdir()] == ["uncertainty.csv"]
        assert (place / "out" / "uncertainty.csv").read_text(encoding="latin-1") == text


def test_prediction_does_not_import_what_only_training_needs(place):
    """Predicting one image must not wait for the import of albumentations or matplotlib."""
    program = """
import sys
from seglib.cli.main import main
code = main(["predict", "photos/a.png", "--weights", "w.safetensors", "--kind", "mask", "--device", "cpu"])
slow = {"albumentations", "matplotlib", "scipy", "ray", "optuna", "onnxruntime", "tifffile", "rasterio"}
print(code, sorted(slow & sys.modules.keys()))
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
    )
    assert result.stdout.splitlines()[-1:] == ["0 []"], result.stdout + result.stderr
