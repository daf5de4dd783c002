"""The command line: arguments, output and exit status, in a real process where that could change the result."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglib import weights
from seglib.cli.main import build_parser, load_commands, main
from seglib.cli.train import split_configuration
from seglib.config import Config, config_to_yaml, load_config
from tools.__main__ import main as tools_main

REPOSITORY = Path(__file__).parents[2]
RELEASED = pytest.mark.skipif("unet-horses" not in weights.names(), reason="unet-horses is not released yet")


def seglib(*arguments, cwd=REPOSITORY, **environment):
    return subprocess.run(
        [sys.executable, "-m", "seglib", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
    )


@pytest.fixture
def called(monkeypatch, capsys):
    """Call `seglib` in this process, which takes a tenth of the time."""
    monkeypatch.chdir(REPOSITORY)

    def call(*arguments):
        try:
            code = main([str(word) for word in arguments])
        except SystemExit as refused:
            code = refused.code
        code = code or 0  # Python turns None into the status 0
        output = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, output.out, output.err)

    return call


@RELEASED
def test_an_image_gets_a_mask_and_an_overlay(tmp_path):
    result = seglib("predict", "example", "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    with Image.open(tmp_path / "out" / "grace_hopper_mask.png") as mask:
        assert mask.size == (512, 600) and mask.mode == "L" and set(np.unique(np.asarray(mask))) <= {0, 1}
    with Image.open(tmp_path / "out" / "grace_hopper_overlay.jpg") as overlay:
        assert overlay.size == (512, 600)
    assert "1 of 1 images segmented" in result.stdout


@RELEASED
def test_every_image_format_is_accepted_and_a_bad_image_is_reported_but_not_fatal(called, tmp_path):
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
    (tmp_path / "text.png").write_text("not an image")
    result = called("predict", tmp_path, "--out", tmp_path / "out")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "6 of 8 images segmented" in result.stdout
    assert "cut.jpg" in result.stderr and "text.png" in result.stderr
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
        (
            ["train", "configs/horses-laptop.yaml", "--model.name=vgg"],
            "'vgg' is not a known network; choose one of",
        ),
        (["train", "configs/horses-laptop.yaml", "--model.options.depth=4"], "no option 'depth'"),
        (["train", "configs/horses-laptop.yaml", "--device=toaster"], "toaster"),
        (["train", "configs/horses-laptop.yaml", "--loss.terms={hinge: 1}"], "hinge"),
        (["data", "check", "unicorns"], "unicorns"),
        (
            ["models", "unet", "--counted", "--size", "0", "64"],
            "--size is 0 x 64, but height and width must be",
        ),
        (["data", "check", "horses"], "data download horses"),
    ],
)
def test_bad_input_gets_one_sentence_and_a_status(called, tmp_path, arguments, named):
    """Every error gives no traceback, names the cause, has a non-zero status and leaves no file behind."""
    extra = ["--data.root=nowhere", f"--output_dir={tmp_path / 'run'}"] if arguments[0] == "train" else []
    extra = ["--root", tmp_path] if arguments[0] == "data" else extra
    drawn = ["--data.name=creatures"] if "--model" in str(arguments) or "toaster" in str(arguments) else []
    drawn = drawn or (["--data.name=creatures"] if "hinge" in str(arguments) else [])
    result = called(*arguments, *extra, *drawn)
    assert result.returncode != 0
    assert "Traceback" not in result.stderr and "Traceback" not in result.stdout
    assert named in result.stderr + result.stdout
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["data", "check", "nonexist"], "nonexist"),
        (["predict", "nowhere.png", "--kind", "mask"], "nowhere.png: no such file"),
    ],
)
def test_a_matplotlib_backend_that_is_not_installed_does_not_matter(tmp_path, arguments, named):
    result = seglib(*arguments, cwd=tmp_path, MPLBACKEND="module://absent.backend")
    assert result.returncode == 1 and named in result.stderr and "Traceback" not in result.stderr


@RELEASED
@pytest.mark.parametrize(
    "arguments, named",
    [
        (["evaluate", "unet-horses", "--data", "horses"], "data download horses"),
        (["evaluate", "unet-horses", "--data", "streets"], "unet-horses was trained on the classes background, horse"),
        (["predict", "example", "--device", "toaster"], "toaster"),
        (["predict", "example", "--longest-side", "-5"], "--longest-side is -5"),
        (["predict", "nowhere.png"], "nowhere.png: no such file"),
    ],
)
def test_bad_input_to_released_weights(called, tmp_path, arguments, named):
    where = ["--root", tmp_path] if arguments[0] == "evaluate" else ["--out", tmp_path]
    result = called(*arguments, *where)
    assert result.returncode != 0 and "Traceback" not in result.stderr
    assert named in result.stderr + result.stdout


def test_train_evaluate_predict_on_a_custom_folder(called, tmp_path):
    """The whole workflow: images and masks in, weights out, scores printed and written, a mask for an image."""
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
    options = [
        f"--data.name={tmp_path / 'leaves'}",
        f"--output_dir={tmp_path / 'run'}",
        "--epochs=12",
        "--ema=0.8",
        "--augment.crop_sizes=[48]",
        "--model.options.width=4",
        "--optimizer.lr=1e-2",
        "--batch_size=4",
        "--inference.longest_side=0",
        "--device=cpu",
        "--amp=off",
        "--eval_interval=4",
    ]
    result = seglib("train", *options)  # in a real process
    assert result.returncode == 0, result.stderr
    trained = tmp_path / "run" / "best.safetensors"
    result = called("evaluate", trained, "--data", tmp_path / "leaves", "--split", "all", "--json", tmp_path / "s.json")
    assert result.returncode == 0, result.stderr
    scores = json.loads((tmp_path / "s.json").read_text())
    assert {"miou", "boundary_iou", "pixel_accuracy", "foreground_iou", "per_class"} <= scores.keys()
    assert scores["images"] == 12 and scores["miou"] > 0.7
    assert f"{scores['miou']:.4f}" in result.stdout and "leaf" in scores["per_class"]
    result = called(
        "predict", tmp_path / "leaves" / "images" / "leaf0.png", "--weights", trained, "--out", tmp_path / "out"
    )
    assert result.returncode == 0, result.stderr
    prediction = np.asarray(Image.open(tmp_path / "out" / "leaf0_mask.png"))
    target = np.asarray(Image.open(tmp_path / "leaves" / "masks" / "leaf0.png")) > 0
    assert ((prediction == 1) == target).mean() > 0.9


@pytest.mark.parametrize(
    "words, named",
    [
        (["train", "configs/horses-laptop.yaml", "--epochs", "none"], "epochs=none"),
        (["train", "configs/horses-laptop.yaml", "configs/other.yaml"], "takes one configuration file, not configs/"),
        (["data", "check", "horses", "--roo", "data"], "unrecognized arguments: --roo"),
        (["predict", "example", "--long", "64"], "unrecognized arguments: --long"),
        (["evaluate", "unet-horses", "--data", "horses", "--ratio", "-1"], "argument --ratio: '-1' must be"),
        (["evaluate", "unet-horses", "--data", "horses", "--ratio", "nan"], "argument --ratio: 'nan' must be"),
    ],
)
def test_invalid_arguments_get_one_sentence(called, words, named):
    result = called(*words)
    assert result.returncode != 0 and named in result.stderr and result.stdout == ""


@pytest.fixture
def image_folder(tmp_path):
    """Two small images and their masks as a custom folder with the classes of the released weights."""
    for part, values in (("images", (0, 255)), ("masks", (0, 1))):
        (tmp_path / "set" / part).mkdir(parents=True)
        for i in range(2):
            array = np.full((40, 50), values[0], np.uint8)
            array[10 + i : 30, 10:40] = values[1]
            Image.fromarray(array).save(tmp_path / "set" / part / f"p{i}.png")
    (tmp_path / "set" / "classes.yaml").write_text("classes: [background, horse]")
    return tmp_path / "set"


@RELEASED
def test_predicting_into_the_image_folder_takes_no_result_for_an_image(called, image_folder):
    folder = image_folder / "images"
    painted = folder / "p0_mask.png"
    painted.write_bytes((image_folder / "masks" / "p0.png").read_bytes())
    before = painted.read_bytes()
    result = called("predict", folder, "--out", folder)
    assert result.returncode == 0 and "3 of 3 images segmented" in result.stdout, result.stderr
    assert painted.read_bytes() == before, "an image must not be overwritten by a result"
    files = sorted(folder.iterdir())
    result = called("predict", folder, "--out", folder)
    assert result.returncode == 0 and "3 of 3 images segmented" in result.stdout, result.stderr
    assert "6 results of an earlier run" in result.stdout
    assert sorted(folder.iterdir()) == files and painted.read_bytes() == before
    assert result.stderr == "", "a progress bar would fill a log file"


@RELEASED
def test_characters_that_a_terminal_lacks_stop_nothing(tmp_path):
    write = Image.fromarray(np.zeros((20, 30, 3), np.uint8))
    for name in ("a \u99ac.png", "b.png"):
        write.save(tmp_path / name)
    result = seglib("predict", tmp_path, "--out", tmp_path / "out", PYTHONIOENCODING="ascii")
    assert result.returncode == 0 and "2 of 2 images segmented" in result.stdout and "a \\u99ac.png" in result.stdout


def test_a_closed_pipe_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [sys.executable, "-m", "seglib", "data", "list"],
        cwd=REPOSITORY,
        timeout=300,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert (result.returncode, result.stderr) == (1, "")
    closed = f"{shlex.quote(sys.executable)} -m seglib data list >&-"
    result = subprocess.run(["sh", "-c", closed], cwd=REPOSITORY, timeout=300, stderr=subprocess.PIPE, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_option_without_may_be_repeated():
    args = build_parser().parse_args(["evaluate", "w", "--data", "d", "--without", "a", "b", "--without", "c"])
    assert args.without == ["a", "b", "c"] and build_parser().parse_args(["evaluate", "w", "--data", "d"]).without == []


@RELEASED
def test_predicting_nothing_promises_no_masks(called, tmp_path):
    result = called("predict", "nowhere.png", "--out", tmp_path)
    assert result.returncode == 1 and result.stdout.splitlines()[-1] == "0 of 1 images segmented"


@RELEASED
def test_a_side_too_large_for_memory_is_named(called, tmp_path):
    result = called("predict", "example", "--longest-side", "10_000_000", "--out", tmp_path)
    assert result.returncode == 1 and "--longest-side 10000000; choose a smaller" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@RELEASED
def test_bad_output_paths_are_reported_with_their_option(called, image_folder, tmp_path):
    file = tmp_path / "kept.txt"
    file.write_text("kept")
    for out in (file, file / "below"):
        result = called("predict", "example", "--out", out)
        assert result.returncode == 1 and result.stderr.startswith("error: --out") and "Traceback" not in result.stderr
        assert len(result.stderr.splitlines()) == 1
    measuring = ["evaluate", "unet-horses", "--data", image_folder, "--split", "all", "--json"]
    for place, reason in ((tmp_path, "is a folder"), (file / "scores.json", "in a file")):
        result = called(*measuring, place)
        assert result.returncode == 1 and result.stderr.startswith("error: --json") and reason in result.stderr
        assert result.stdout == ""  # before any work
    assert file.read_text() == "kept"
    result = called(*measuring, tmp_path / "new" / "scores.json")
    assert result.returncode == 0 and result.stderr == "", "a missing folder is made, and no bar fills a log file"
    assert json.loads((tmp_path / "new" / "scores.json").read_text())["images"] == 2


@RELEASED
def test_nothing_to_score_is_an_error(called, image_folder):
    result = called("evaluate", "unet-horses", "--data", image_folder, "--split", "all", "--without", "p0", "p1")
    assert result.returncode == 1 and "none of the 2 images are left" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    ["c.yaml --epochs 3 --num_workers -1", "--epochs 3 c.yaml --num_workers=-1", "--epochs=3 --num_workers -1 c.yaml"],
)
def test_options_of_a_training_come_with_a_space_or_an_equals_sign(words):
    for options in (words, f"--resume {words}", f"{words} --resume"):
        args, rest = build_parser().parse_known_args(["train", *options.split()])
        assert args.resume == ("--resume" in options)
        assert split_configuration(rest) == ("c.yaml", ["--epochs=3", "--num_workers=-1"])
    assert split_configuration(["--epochs", "--output_dir=x"]) == (None, ["--epochs", "--output_dir=x"])
    assert split_configuration(["--loss.terms", "{ce: 1}"]) == (None, ["--loss.terms={ce: 1}"])


def test_help_of_every_command_shows_examples_that_can_be_parsed(called):
    for name in load_commands():
        help_text = called(name, "--help").stdout
        lines = help_text.split("examples:\n")[1].split("\n\n")[0].splitlines()
        assert len(lines) >= 2, name
        for line in lines:
            words = shlex.split(line.split("   ")[0])
            assert words[:2] == ["seglib", name]
            args, rest = build_parser().parse_known_args(words[1:])
            assert args.command == name and args.takes_config == (name in ("train", "tune"))
            assert not rest or args.takes_config
            if args.takes_config:
                load_config(REPOSITORY / rest[0], split_configuration(rest)[1])


def test_help_names_every_command(called):
    result = called("--help")
    assert result.returncode == 0
    for command in ("predict", "evaluate", "train", "data", "weights", "models"):
        assert command in result.stdout
    result = called("train", "--help")
    assert result.returncode == 0 and "--resume" in result.stdout and "CONFIG\n" not in result.stdout
    assert config_to_yaml(Config()) in result.stdout  # every option, with its description and default


def test_a_missing_run_cannot_be_released(tmp_path, capsys):
    words = ["release", str(tmp_path / "gone"), "mine", "--from", "a command", "--hardware", "a machine"]
    assert tools_main(words) == 1
    message = capsys.readouterr().err
    assert str(tmp_path / "gone") in message and message.count("\n") == 1


def test_lists_work_without_any_data(called, tmp_path):
    result = called("data", "list", "--root", tmp_path)
    assert result.returncode == 0 and "horses" in result.stdout and "creatures" in result.stdout
    result = called("weights", "list")
    assert result.returncode == 0
    result = called("data", "download", "cityscapes", "--root", tmp_path)
    assert "cityscapes-dataset.com" in result.stdout + result.stderr


def test_an_unexpected_failure_keeps_its_traceback(tmp_path):
    """Only expected errors become one sentence; a bug must stay visible."""
    script = "import seglib.__main__ as m, seglib.weights as w\nw.names = lambda: 1 / 0\nm.main(['weights', 'list'])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY)
    assert result.returncode == 1 and "ZeroDivisionError" in result.stderr and "Traceback" in result.stderr


def test_tables_are_written_between_their_markers(called, tmp_path, monkeypatch, capsys):
    from course import costs
    from tools import model_cards

    def table(*words):
        code = tools_main(list(words))
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(words, code, printed.out, printed.err)

    readme = tmp_path / "README.md"
    for module, page, command, words, mark in (
        (costs, "PAGE", called, ("models", "unet", "--counted", "--size", 64, 64, "--write"), "unet | 31,0"),
        (model_cards, "README", table, ("table",), "unet-horses.md"),
    ):
        monkeypatch.setattr(module, page, readme)
        readme.write_text(f"Before\n{module.BEGIN}\nold\n{module.END}\nafter\n", encoding="utf-8")
        result = command(*words)
        text = readme.read_text(encoding="utf-8")
        assert result.returncode == 0 and mark in result.stdout and mark in text, result
        assert text.startswith("Before\n") and text.endswith("\nafter\n") and "old" not in text
        readme.write_text("Before\n", encoding="utf-8")
        result = command(*words)
        assert result.returncode == 1 and "are missing; put them back" in result.stderr
        assert readme.read_text(encoding="utf-8") == "Before\n"


@RELEASED
def test_weights_get_prints_the_path(called):
    assert called("weights", "get", "unet-horses").stdout.strip() == str(weights.find("unet-horses"))


@RELEASED
def test_a_split_that_a_list_lacks_is_named(called, realdata):
    if not (realdata / "weizmann_horse_db").is_dir():
        pytest.skip(f"no horses in {realdata}")
    result = called("evaluate", "unet-horses", "--data", "horses", "--split", "gone", "--root", realdata)
    assert result.returncode == 1 and "horses has no split 'gone' in the list 'default'; choose 'all'" in result.stderr
