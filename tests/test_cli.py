"""The command line, as real processes: what a person types, what is printed, the exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglib import weights

REPOSITORY = Path(__file__).parents[1]
RELEASED = pytest.mark.skipif("unet-horses" not in weights.names(), reason="unet-horses is not released yet")


def seglib(*arguments, cwd=REPOSITORY, **environment):
    return subprocess.run(
        [sys.executable, "-m", "seglib", *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
    )  # fmt: skip


@RELEASED
def test_a_photograph_gets_a_mask_and_an_overlay(tmp_path):
    done = seglib("predict", "example", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out" / "grace_hopper_mask.png") as mask:
        assert mask.size == (512, 600) and mask.mode == "P" and set(np.unique(np.asarray(mask))) <= {0, 1}
    with Image.open(tmp_path / "out" / "grace_hopper_overlay.png") as overlay:
        assert overlay.size == (512, 600)
    assert "1 of 1 images segmented" in done.stdout


@RELEASED
def test_every_kind_of_picture_is_taken_and_a_bad_one_is_reported_not_fatal(tmp_path):
    grey = np.tile(np.arange(80, dtype=np.uint8), (60, 1))
    colour = np.repeat(grey[:, :, None], 3, 2)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(np.dstack([colour, grey])).save(tmp_path / "transparent.png")
    Image.fromarray(colour).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(colour).convert("CMYK").save(tmp_path / "press.jpg")
    rotated = Image.Exif()
    rotated[0x0112] = 6
    Image.fromarray(colour).save(tmp_path / "rotated.jpg", exif=rotated)
    whole = (tmp_path / "press.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("no picture")
    done = seglib("predict", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "6 of 8 images segmented" in done.stdout
    assert "cut.jpg" in done.stderr and "text.png" in done.stderr
    with Image.open(tmp_path / "out" / "rotated_mask.png") as mask:
        assert mask.size == (60, 80)


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["predict", "absent.png", "--weights", "nonsense"], "nonsense"),
        (["predict", "absent.png", "--weights", "absent.safetensors"], "absent.safetensors: no such file"),
        (["train", "absent.yaml"], "absent.yaml: no such configuration file"),
        (["train", "configs/horses-laptop.yaml", "--optimizer.rate=3"], "rate"),
        (["train", "configs/horses-laptop.yaml", "--epochs=none"], "epochs"),
        (["train", "configs/horses-laptop.yaml", "--model.name=vgg"], "'vgg' is no model; choose one of: unet"),
        (["train", "configs/horses-laptop.yaml", "--model.options.depth=4"], "no option 'depth'"),
        (["train", "configs/horses-laptop.yaml", "--device=toaster"], "toaster"),
        (["train", "configs/horses-laptop.yaml", "--loss.terms={hinge: 1}"], "hinge"),
        (["data", "check", "unicorns"], "unicorns"),
        (["data", "check", "horses"], "data download horses"),
    ],
)  # fmt: skip
def test_bad_input_gets_one_sentence_and_a_status(tmp_path, arguments, named):
    """Whatever is wrong: no traceback, the culprit's name, a non-zero status, and no file left behind."""
    extra = ["--data.root=nowhere", f"--run={tmp_path / 'run'}"] if arguments[0] == "train" else []
    extra = ["--root", tmp_path] if arguments[0] == "data" else extra
    drawn = ["--data.name=creatures"] if "--model" in str(arguments) or "toaster" in str(arguments) else []
    drawn = drawn or (["--data.name=creatures"] if "hinge" in str(arguments) else [])
    done = seglib(*arguments, *extra, *drawn)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr and "Traceback" not in done.stdout
    assert named in done.stderr + done.stdout
    assert not (tmp_path / "run").exists()


@RELEASED
@pytest.mark.parametrize(
    "arguments, named",
    [
        (["evaluate", "unet-horses", "--data", "horses"], "data download horses"),
        (["evaluate", "unet-horses", "--data", "streets"], "unet-horses knows the classes background, horse"),
        (["predict", "example", "--device", "toaster"], "toaster"),
        (["predict", "example", "--longest-side", "-5"], "--longest-side is -5"),
        (["predict", "nowhere.png"], "nowhere.png: no such file"),
    ],
)  # fmt: skip
def test_bad_input_to_released_weights(tmp_path, arguments, named):
    where = ["--root", tmp_path] if arguments[0] == "evaluate" else ["--out", tmp_path]
    done = seglib(*arguments, *where)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert named in done.stderr + done.stdout


def test_train_evaluate_predict_on_a_folder_of_ones_own(tmp_path):
    """The whole path: images and masks in, weights out, scores printed and written, a mask for a picture."""
    generator = np.random.default_rng(0)
    for part in ("images", "masks"):
        (tmp_path / "leaves" / part).mkdir(parents=True)
    for i in range(12):
        mask = np.zeros((50, 60), np.uint8)
        top, left = generator.integers(5, 20, 2)
        mask[top : top + 20, left : left + 25] = 1
        image = generator.integers(0, 90, (50, 60, 3), dtype=np.uint8)
        image[mask == 1, 1] += 140
        Image.fromarray(image).save(tmp_path / "leaves" / "images" / f"leaf{i}.png")
        Image.fromarray(mask * 255).save(tmp_path / "leaves" / "masks" / f"leaf{i}.png")
    (tmp_path / "leaves" / "classes.yaml").write_text("classes: [soil, leaf]\ncolors: [[0, 0, 0], [255, 255, 255]]\n")
    options = [f"--data.name={tmp_path / 'leaves'}", f"--run={tmp_path / 'run'}", "--epochs=12", "--ema=0.8",
               "--augment.crop_sizes=[48]", "--model.options.width=4", "--optimizer.lr=1e-2", "--batch_size=4",
               "--inference.longest_side=0", "--device=cpu", "--amp=off", "--evaluate_every=4"]  # fmt: skip
    done = seglib("train", *options)
    assert done.returncode == 0, done.stderr
    trained = tmp_path / "run" / "best.safetensors"
    done = seglib("evaluate", trained, "--data", tmp_path / "leaves", "--split", "all", "--json", tmp_path / "s.json")
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "s.json").read_text())
    assert {"miou", "boundary_iou", "pixel_accuracy", "foreground_iou", "per_class"} <= scores.keys()
    assert scores["images"] == 12 and scores["miou"] > 0.7
    assert f"{scores['miou']:.4f}" in done.stdout and "leaf" in scores["per_class"]
    done = seglib(
        "predict", tmp_path / "leaves" / "images" / "leaf0.png", "--weights", trained, "--out", tmp_path / "out"
    )
    assert done.returncode == 0, done.stderr
    found = np.asarray(Image.open(tmp_path / "out" / "leaf0_mask.png"))
    truth = np.asarray(Image.open(tmp_path / "leaves" / "masks" / "leaf0.png")) > 0
    assert ((found == 1) == truth).mean() > 0.9


def test_help_names_every_command():
    done = seglib("--help")
    assert done.returncode == 0
    for command in ("predict", "evaluate", "train", "data", "weights", "course"):
        assert command in done.stdout
    done = seglib("train", "--help")
    assert done.returncode == 0 and "--optimizer.lr" in done.stdout


def test_lists_work_without_any_data(tmp_path):
    done = seglib("data", "list", "--root", tmp_path)
    assert done.returncode == 0 and "horses" in done.stdout and "creatures" in done.stdout
    done = seglib("weights", "list")
    assert done.returncode == 0
    done = seglib("data", "download", "cityscapes", "--root", tmp_path)
    assert "cityscapes-dataset.com" in done.stdout + done.stderr


def test_an_unexpected_failure_keeps_its_traceback(tmp_path):
    """Only foreseen faults become sentences; a bug must stay visible."""
    script = "import seglib.__main__ as m, seglib.weights as w\nw.names = lambda: 1 / 0\nm.main(['weights', 'list'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr and "Traceback" in done.stderr
