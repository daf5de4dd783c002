"""Comparing runs: the right numbers from the files of training, and a sentence for everything that is broken."""

import json
import random
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from course import runs
from course.figures import compared_runs
from seglib import training
from seglib.cli.main import main
from seglib.config import PLACES, Config, config_to_dict, flatten


def write_run(folder: Path, scores=(0.5, 0.7, 0.6), epochs=3, checkpoint=True, **changes) -> Path:
    """Write a run's folder as training leaves it."""
    folder.mkdir(parents=True)
    config = Config(output_dir=str(folder), epochs=epochs)
    for name, value in changes.items():
        part, _, option = name.rpartition("__")
        setattr(getattr(config, part) if part else config, option, value)
    (folder / "config.yaml").write_text(yaml.safe_dump(config_to_dict(config)))
    history = [
        {"epoch": i, "loss": 1.0 - 0.1 * i, "lr": 1e-3, "seconds": 30.0, "val": {"miou": s, "boundary_iou": s / 2}}
        for i, s in enumerate(scores)
    ]
    (folder / "history.json").write_text(json.dumps(history))
    if checkpoint:
        (folder / "checkpoint.pt").write_bytes(b"weights")
    return folder


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_the_table_says_what_differs_and_ranks_by_the_best_epoch(tmp_path):
    write_run(tmp_path / "plain")
    write_run(tmp_path / "wide", (0.4, 0.9, 0.8), optimizer__lr=0.01, model__options={"width": 32}, device="cpu")
    heads, first, second = map(cells, runs.table(runs.find([tmp_path]), 500).splitlines())
    assert heads == ["run", "state", "minutes", "miou", "boundary_iou", "at epoch", "width", "lr"]
    assert first[:6] == [str(tmp_path / "wide"), "finished, 3 epochs", "1.5", "0.9000", "0.4500", "2"]
    assert second[0] == str(tmp_path / "plain") and second[heads.index("lr")] == "0.002"
    assert first[heads.index("width")] == "32" and second[heads.index("width")] == "-"


@pytest.mark.parametrize(
    "epochs, checkpoint, state",
    [
        (3, True, "finished, 3 epochs"),
        (9, True, "resumable at epoch 3 of 9"),
        (9, False, "stopped at epoch 3 of 9"),
    ],
)
def test_the_state_of_a_run(tmp_path, epochs, checkpoint, state):
    record = runs.read(write_run(tmp_path / "run", epochs=epochs, checkpoint=checkpoint))
    assert record.state == state and record.faults == []
    assert record.minutes == 1.5 and record.best["epoch"] == 1


def test_a_real_run_reads_as_it_was_trained(tmp_path):
    config = Config(output_dir=str(tmp_path / "run"), epochs=1, batch_size=4, amp="off", device="cpu", num_workers=0)
    config.data.name, config.data.options = "creatures", {"length": 4, "size": [48, 64]}
    config.augment.crop_sizes, config.model.options, config.inference.longest_side = [32], {"width": 4}, 48
    history = training.fit(config, progress=False)
    (record,) = runs.find([tmp_path])
    assert record.history == history and record.state == "finished, 1 epochs" and record.faults == []
    assert record.options["model.options.width"] == 4 and record.best["val"] == history[0]["val"]


def test_what_changes_nothing_in_the_result_is_an_option():
    """A misspelt name would hide a difference between two configurations, or refuse a run because of its path."""
    assert flatten(config_to_dict(Config())).keys() >= PLACES


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("config.yaml", None, "config.yaml: not there, so the options of this run are unknown"),
        ("config.yaml", "a: [1", "config.yaml: cannot be read"),
        ("config.yaml", "- 1\n- 2", "config.yaml: has no options"),
        ("history.json", "[{", "history.json: cannot be read"),
        ("history.json", '{"epoch": 1}', "history.json: has no list of epochs"),
        ("history.json", '[3, {"epoch": 1, "val": {"miou": 0.5}}]', "1 of its 2 entries are not epochs"),
        ("history.json", "\0\x01\x80", "history.json: cannot be read"),
    ],
)
def test_a_broken_run_is_named_and_the_others_are_shown(tmp_path, capsys, name, content, message):
    write_run(tmp_path / "good")
    file = write_run(tmp_path / "broken") / name
    file.unlink()
    if content is not None:
        file.write_text(content, encoding="latin-1")
    assert main(["runs", str(tmp_path)]) == 0
    output = capsys.readouterr()
    assert message in output.err and str(file) in output.err and len(output.err.splitlines()) == 1
    assert "0.7000" in output.out and str(tmp_path / "broken") in output.out


def test_a_new_run_is_no_fault(tmp_path, capsys):
    (write_run(tmp_path / "new") / "history.json").unlink()
    assert main(["runs", str(tmp_path), "--plot", str(tmp_path / "x.png")]) == 1
    output = capsys.readouterr()
    assert "resumable at epoch 0 of 3" in output.out and "no run has finished an epoch yet" in output.err


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.randoms(use_true_random=False))
def test_no_corrupted_history_or_configuration_breaks_the_table(tmp_path_factory, source: random.Random):
    """The table is printed for values of every type in every place."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "run")
    odd = [None, "text", -1, 1e999, float("nan"), [], {}, True, {"miou": "high"}, [1]]
    history = json.loads((folder / "history.json").read_text())
    for entry in history:
        entry[source.choice(list(entry))] = source.choice(odd)
    options = yaml.safe_load((folder / "config.yaml").read_text())
    options[source.choice(list(options))] = source.choice(odd)
    (folder / "history.json").write_text(json.dumps(history))
    (folder / "config.yaml").write_text(yaml.safe_dump(options))
    assert str(folder) in runs.table([runs.read(folder), runs.read(write_run(folder.parent / "other"))])


def test_wide_tables_wrap(tmp_path):
    text = runs.align_columns(["run", "first", "second"], [["a", "1" * 20, "2" * 20]], 30)
    assert text.splitlines() == ["run  first", "a    " + "1" * 20, "", "run  second", "a    " + "2" * 20]
    assert runs.shorten_names(["a.lr", "b.lr", "c.d"]) == ["a.lr", "b.lr", "d"]


def test_folders_without_runs_are_refused(tmp_path, capsys):
    assert main(["runs", str(tmp_path / "absent")]) == 1 and main(["runs", str(tmp_path)]) == 1
    output = capsys.readouterr().err.splitlines()
    assert "absent: no such folder" in output[0] and "there is no run" in output[1]


def test_runs_are_plotted_together(tmp_path, capsys):
    write_run(tmp_path / "a"), write_run(tmp_path / "b", (0.3,))
    file = tmp_path / "new" / "curves.png"
    assert main(["runs", str(tmp_path), "--plot", str(file)]) == 0
    assert file.read_bytes()[:4] == b"\x89PNG"
    assert main(["runs", str(tmp_path), "--plot", str(file), "--score", "beauty"]) == 1
    assert "no run has the validation score 'beauty'; they have: boundary_iou, miou" in capsys.readouterr().err
    assert main(["runs", str(tmp_path), "--plot", str(tmp_path / "curves.txt")]) == 1
    assert "use a name that ends in .png" in capsys.readouterr().err


def test_the_curves_are_those_of_the_histories(tmp_path):
    histories = {record.folder.name: record.history for record in (runs.read(write_run(tmp_path / "a")),)}
    losses, scores = compared_runs(histories).axes
    assert losses.lines[0].get_xdata().tolist() == [1, 2, 3] and scores.lines[0].get_ydata().tolist() == [0.5, 0.7, 0.6]
    assert losses.lines[0].get_ydata().tolist() == [1.0, 0.9, 0.8]
