"""The command predict: which pictures, which results, bad files, going on after an interruption."""

import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from seglib import inference, models, weights
from seglib.cli.main import main
from seglib.config import config_to_dict, parse_config

PALETTE = [[0, 0, 0], [250, 0, 0]]


def write_weights(file, width):
    """A U-Net that has learned nothing, and sees pictures at their own size."""
    torch.manual_seed(0)
    model = models.create("unet", 2, width=width)
    wanted = parse_config(json.dumps({"model": {"name": "unet", "options": {"width": width}}}))
    wanted.inference.longest_side = 0
    notes = {"config": config_to_dict(wanted), "classes": ["background", "leaf"], "palette": PALETTE, "num_outputs": 2}
    weights.write_tensors(file, model.state_dict(), notes)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder, which is the current one, with small weights, three photographs and a broken one."""
    write_weights(tmp_path / "w.safetensors", width=2)
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.tif", "more/a.png")):
        picture = np.random.default_rng(number).integers(0, 256, (40 + number, 50, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "bad.jpg").write_text("no picture")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def called(place, capsys):
    def call(*words):
        try:
            code = main(["predict", *map(str, words), "--weights", "w.safetensors", "--out", "out", "--device", "cpu"])
        except SystemExit as refused:
            code = refused.code
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


def written(place):
    return sorted(file.name for file in (place / "out").iterdir())


def test_patterns_and_bad_files(called, place):
    code, out, err = called("photos/**/*.*", "photos/a.png")
    assert code == 1 and "3 of 4 images segmented; the results are in out/" in out
    assert err.splitlines() == [f"skipped: {place_of_bad()}"]
    assert written(place) == [
        "a-2_mask.png",
        "a-2_overlay.png",
        "a_mask.png",
        "a_overlay.png",
        "b_mask.png",
        "b_overlay.png",
    ]
    code, out, err = called("nothing/*.png")
    assert code == 1 and "nothing/*.png: no picture fits this pattern" in err


def place_of_bad():
    return "photos/bad.jpg: not an image that can be read, or one cut short; get it again as PNG."


def test_a_name_too_long_for_results_and_a_picture_too_large_are_named_and_the_rest_is_done(called, place, monkeypatch):
    long = "n" * 245 + ".png"
    (place / "photos" / "a.png").rename(place / "photos" / long)
    code, out, err = called("photos/" + long, "photos/b.tif")
    assert code == 1 and "1 of 2 images segmented" in out and written(place) == ["b_mask.png", "b_overlay.png"]
    assert f"skipped: photos/{long}: the names of its results would be too long; rename it." in err

    def full(*ignored, **ignored_too):
        raise MemoryError

    monkeypatch.setattr(torch.nn.functional, "interpolate", full)
    monkeypatch.setattr(models.UNet, "forward", full)
    code, _, err = called("photos/b.tif")
    assert code == 1 and "skipped: photos/b.tif: a picture of 50x41 needs more memory than there is" in err


def test_the_kinds_that_are_asked_for(called, place):
    code, out, _ = called("photos/a.png", "--kind", "cutout")
    assert code == 0 and "1 of 1 images segmented; the results are in out/" in out
    assert written(place) == ["a_cutout.png"]
    model, _ = weights.load("w.safetensors")
    image = np.asarray(Image.open("photos/a.png"))
    found = inference.Predictor(model).probabilities(image)
    with Image.open("out/a_cutout.png") as cut:
        assert cut.mode == "RGBA" and cut.size == (50, 40)
        alpha = np.asarray(cut)[:, :, 3]
        np.testing.assert_allclose(alpha, 255 * found[1], atol=0.6)
        assert ((alpha > 0) & (alpha < 255)).any(), "soft, not a stencil"
    code, _, _ = called("photos/a.png", "--kind", "mask, cutout")
    assert code == 0 and written(place) == ["a_cutout.png", "a_mask.png"]
    assert (np.asarray(Image.open("out/a_mask.png")) == found.argmax(0)).all()
    code, _, err = called("photos/a.png", "--kind", "mask,sketch")
    assert code == 2 and "--kind: 'sketch' is none of mask, overlay, cutout" in err


def test_going_on_leaves_out_what_is_there(called, place):
    called("photos/a.png")
    mask = place / "out" / "a_mask.png"
    os.utime(mask, (1, 1))
    code, out, _ = called("photos/a.png", "photos/b.tif", "photos/more/a.png", "--skip-existing")
    assert code == 0 and "1 of 3 images have their results already" in out and "2 of 2 images segmented" in out
    assert mask.stat().st_mtime == 1
    code, out, _ = called("photos/a.png", "--skip-existing", "--kind", "mask,cutout")
    assert "0 of 1 images have" in out and mask.stat().st_mtime > 1
    code, out, _ = called("photos/a.png", "photos/b.tif", "photos/more/a.png", "--skip-existing")
    assert code == 0 and "3 of 3 images have" in out and "0 of 0 images segmented" in out
    before = mask.read_bytes()
    code, _, _ = called("photos/more/a.png")  # alone it is not the first of its name
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


def test_large_pictures_are_read_by_window_or_refused(called, place, monkeypatch):
    pytest.importorskip("tifffile")
    monkeypatch.setattr("seglib.inference.tiff.LARGE", 2000)
    code, out, err = called("photos/b.tif", "photos/more/a.png")
    assert code == 1 and "1 of 2 images segmented" in out
    assert "more/a.png: more than 2,000 pixels" in err and "save it as a tiled TIFF" in err
    assert written(place) == ["b_mask.tif"]
    with Image.open("out/b_mask.tif") as mask:
        assert mask.size == (50, 41) and set(np.unique(np.asarray(mask))) <= {0, 1}
    code, out, _ = called("photos/b.tif", "--skip-existing")
    assert code == 0 and "1 of 1 images have their results already" in out
    code, _, err = called("photos/b.tif", "--kind", "overlay")
    assert code == 1 and "only gets a mask; add mask to --kind" in err
