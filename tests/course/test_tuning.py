"""The search finds good options, prunes, survives failures and kills, and refuses impossible searches at the start."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

from course import tuning
from course.tuning import Choices, Range, TuneError
from seglib import data, files, models, training, visualize
from seglib.cli.main import main
from seglib.config import Config, ConfigError, config_to_dict, load_config
from seglib.losses import LossError

pytest.importorskip("optuna", reason="the search needs Optuna: python -m pip install optuna")
REPOSITORY = Path(__file__).parents[2]
SPACE = {"optimizer.lr": Range(1e-4, 1e-1, log=True), "batch_size": Choices((2, 4, 8)), "augment.rotate": Range(0, 40)}


def tiny(folder, **changes) -> Config:
    config = Config(output_dir=str(folder), epochs=2, batch_size=4, ema=0.0, amp="off", device="cpu", num_workers=0)
    config.data.name, config.data.options = "creatures", {"length": 6, "size": [48, 64]}
    config.augment.crop_sizes = [32]
    config.model.options = {"width": 4}
    config.inference.longest_side = 48
    for name, value in changes.items():
        setattr(config, name, value)
    return config


class Trainer:
    """A fake trainer that writes all files; its score is best at lr 0.01 and batch size 2.

    `interrupt` and `fail` are functions of (trial, epoch) and of the configuration.
    """

    def __init__(self, interrupt=lambda trial, epoch: False, fail=lambda config: False):
        self.interrupt, self.fail, self.calls = interrupt, fail, []

    def __call__(self, config, resume=False, progress=True, on_validated=None):
        folder = Path(config.output_dir)
        self.calls.append((folder.name, resume))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(config_to_dict(config)))
        file = folder / "history.json"
        history = json.loads(file.read_text()) if resume else []
        if self.fail(config):
            raise training.TrainingError("the loss became nan at step 1 of 9")
        for epoch in range(len(history), config.epochs):
            if self.interrupt(folder.name, epoch):
                raise KeyboardInterrupt
            score = 0.9 - abs(config.optimizer.lr - 0.01) - 0.01 * config.batch_size
            history.append({"epoch": epoch, "loss": 1.0, "seconds": 6.0, "val": {"miou": score * (epoch + 1) / 4}})
            file.write_text(json.dumps(history))
            (folder / "checkpoint.pt").write_bytes(b"checkpoint")
            on_validated(history[-1])
        return history


def searched(monkeypatch, folder, trials, resume=False, trainer=None, space=SPACE, drawn=False, **changes):
    monkeypatch.setattr(training, "fit", trainer or Trainer())
    if not drawn:  # the slowest part of these tests
        monkeypatch.setattr(tuning.result, "search_figure", lambda summary: None)
        monkeypatch.setattr(visualize, "save", lambda figure, file: None)
    return tuning.search(tiny(folder, epochs=4, **changes), space, trials, folder, resume, progress=False)


def gist(summary):
    return [(trial["number"], trial["state"], trial["score"], trial["options"]) for trial in summary["trials"]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted search of twelve trials: its folder and its summary."""
    folder = tmp_path_factory.mktemp("search") / "s"
    with pytest.MonkeyPatch.context() as monkeypatch:
        return folder, searched(monkeypatch, folder, 12, drawn=True)


def test_a_search_finds_better_options_and_says_which_mattered(whole):
    folder, summary = whole
    first, best = summary["trials"][0], max(t["score"] for t in summary["trials"] if t["state"] == "complete")
    assert first["options"] == {"optimizer.lr": 0.002, "batch_size": 4, "augment.rotate": 15}  # the configuration
    assert best > first["score"] and len(summary["trials"]) == 12
    last, is_old = list(summary["importances"])[-1], Version(version("optuna")) < Version("5")
    share = summary["importances"]["augment.rotate"]
    assert last == "augment.rotate" or (is_old and share < 1 / 3), "it has no influence at all"
    assert sum(summary["importances"].values()) == pytest.approx(1)
    assert json.loads((folder / "trials.json").read_text()) == summary
    assert (folder / "search.png").read_bytes()[:4] == b"\x89PNG"
    assert not list(folder.glob("*/checkpoint.pt")), "ended trials need none"
    lines = tuning.table(summary).splitlines()
    assert lines[0].split()[:3] == ["trial", "state", "miou"] and f"{best:.4f}" in lines[1] and len(lines) == 13


def test_the_figure_shows_every_trial_and_what_mattered(whole):
    summary = whole[1]
    history, shares, *options = tuning.search_figure(summary).axes
    complete, pruned, best = history.lines
    for line, state in ((complete, "complete"), (pruned, "pruned")):
        trials = [trial for trial in summary["trials"] if trial["state"] == state]
        assert line.get_xdata().tolist() == [trial["number"] for trial in trials]
        assert line.get_ydata().tolist() == [trial["score"] for trial in trials]
    assert best.get_ydata()[-1] == max(complete.get_ydata())
    assert [bar.get_width() for bar in shares.patches] == sorted(summary["importances"].values())
    assert [axes.get_xlabel() for axes in options] == list(summary["importances"])
    with pytest.raises(visualize.VisualizeError, match="no trial of the search has a score"):
        tuning.search_figure({**summary, "trials": []})


def test_poor_trials_are_pruned_after_the_first_ones(whole):
    trials = whole[1]["trials"]
    pruned = [trial for trial in trials if trial["state"] == "pruned"]
    assert pruned and all(trial["number"] >= 5 and 2 <= trial["epochs"] < 4 for trial in pruned)
    assert all(trial["epochs"] == 4 for trial in trials if trial["state"] == "complete")
    assert trials[0]["minutes"] == pytest.approx(0.4)


def test_the_best_trial_becomes_a_configuration(tmp_path, monkeypatch):
    space = {**SPACE, "model.options.width": Choices((4, 8)), "loss.terms": Choices(({"ce": 1.0}, {"focal": 1.0}))}
    summary = searched(monkeypatch, tmp_path / "s", 3, space=space)
    best = max((t for t in summary["trials"] if t["state"] == "complete"), key=lambda t: t["score"])
    file = tmp_path / "s" / "best.yaml"
    expected = tuning.with_options(
        tiny(tmp_path / "s", epochs=4), {**best["options"], "output_dir": f"{tmp_path / 's'}-tuned"}
    )
    assert load_config(file) == expected
    text = file.read_text()
    assert "momentum" not in text and "schedule" not in text, "only what differs, or was searched"
    assert "# optimizer.lr: searched: 0.0001 to 0.1, logarithmic; it was 0.002" in text
    assert f"{best['score']:.4f}" in text
    assert "# model.options.width: searched: one of 4, 8; it was 4" in text


def test_an_interrupted_search_ends_as_if_it_had_not_been(tmp_path, monkeypatch, whole):
    """Stopped in the middle of a trial: that trial is resumed, the count continues, and the proposals are the same."""
    stopping = Trainer(interrupt=lambda trial, epoch: trial == "trial-005" and epoch == 1)
    with pytest.raises(KeyboardInterrupt):
        searched(monkeypatch, tmp_path, 8, trainer=stopping)
    assert (tmp_path / "trial-005" / "checkpoint.pt").exists() and not (tmp_path / "trials.json").exists()
    going_on = Trainer()
    parts = searched(monkeypatch, tmp_path, 8, resume=True, trainer=going_on)
    assert going_on.calls == [("trial-005", True), ("trial-006", False), ("trial-007", False)]
    assert gist(parts) == gist(whole[1])[:8] and len({str(t["options"]) for t in parts["trials"]}) == 8
    more = searched(monkeypatch, tmp_path, 9, resume=True)
    assert gist(more) == gist(whole[1])[:9]
    idle = Trainer()
    assert gist(searched(monkeypatch, tmp_path, 9, resume=True, trainer=idle)) == gist(more)
    assert idle.calls == []


def test_another_seed_proposes_something_else(tmp_path, monkeypatch, whole):
    other = searched(monkeypatch, tmp_path, 2, seed=1)
    assert gist(other)[0] == gist(whole[1])[0] and gist(other)[1] != gist(whole[1])[1]


def test_a_failed_trial_is_recorded_and_the_search_continues(tmp_path, monkeypatch):
    diverging = Trainer(fail=lambda config: config.optimizer.lr > 0.01)
    summary = searched(monkeypatch, tmp_path / "s", 6, trainer=diverging)
    failed = [trial for trial in summary["trials"] if trial["state"] == "failed"]
    assert failed and len(summary["trials"]) == 6
    assert all(t["options"]["optimizer.lr"] > 0.01 and "nan at step 1" in t["reason"] for t in failed)
    assert all(trial["score"] is None for trial in failed)
    assert tuning.table(summary).splitlines()[-1].split()[1] == "failed"


def test_options_that_do_not_fit_the_data_fail_their_trial_only(tmp_path, monkeypatch):
    def refused(config):
        if config.optimizer.lr > 0.01:
            raise LossError("class weights 'hrnet' are for 19 classes")

    summary = searched(monkeypatch, tmp_path / "s", 6, trainer=Trainer(fail=refused))
    failed = [trial for trial in summary["trials"] if trial["state"] == "failed"]
    assert failed and len(summary["trials"]) == 6 and all("19 classes" in trial["reason"] for trial in failed)


def test_a_trial_is_judged_by_the_weights_that_it_keeps(tmp_path, monkeypatch):
    def falling(config, resume, progress, on_validated):
        history = [{"epoch": i, "loss": 1.0, "seconds": 6.0, "val": {"miou": 0.9 - 0.1 * i}} for i in range(4)]
        for entry in history:
            on_validated(entry)
        return history

    for selection, score in (("best", 0.9), ("last", 0.6)):
        summary = searched(monkeypatch, tmp_path / selection, 1, trainer=falling, selection=selection)
        assert summary["trials"][0]["score"] == pytest.approx(score)


def test_the_best_configuration_keeps_the_learning_rate_of_pretrained_weights():
    config = tiny("runs/s")
    config.model.init_from, config.optimizer.lr = "some.safetensors", 2e-3
    trial = {"number": 0, "state": "complete", "score": 0.5, "options": {"augment.rotate": 9.0}, "epochs": 2}
    space = {"augment.rotate": Range(0.0, 30.0)}
    text = tuning.result.best_yaml({"metric": "miou", "trials": [trial]}, config, space, "s")
    assert yaml.safe_load(text)["optimizer"] == {"lr": 2e-3}


def test_a_search_in_which_everything_fails_says_why(tmp_path, monkeypatch):
    with pytest.raises(TuneError, match="no trial was completed; the last reason: the loss became nan"):
        searched(monkeypatch, tmp_path / "s", 2, trainer=Trainer(fail=lambda config: True))


@pytest.mark.parametrize(
    "space, error, named",
    [
        (
            {"optimizer.rate": Range(0.1, 1.0)},
            TuneError,
            "'optimizer.rate', which is not an option; did you mean",
        ),
        ({"learning": Range(0.1, 1.0)}, TuneError, "'learning', which is not an option"),
        ({"optimizer.lr.peak": Range(0.1, 1.0)}, TuneError, "'optimizer.lr.peak', which is not an option"),
        ({"optimizer": Choices((1, 2))}, TuneError, "'optimizer', which is not an option"),
        ({"output_dir": Choices(("a", "b"))}, TuneError, "'output_dir', which all trials of a search must share"),
        ({"data.name": Choices(("horses", "creatures"))}, TuneError, "'data.name', which all trials"),
        ({"optimizer.lr": Range(-0.1, 1.0)}, ConfigError, "optimizer.lr is -0.1"),
        ({"batch_size": Range(2.0, 4.5)}, ConfigError, "batch_size"),
        ({"optimizer.name": Choices(("adamw", "lion"))}, ConfigError, "the search space: .*optimizer.name"),
        ({"model.options.depth": Choices((3, 4))}, models.ModelError, "no option 'depth'"),
        ({"model.name": Choices(("unet", "vgg"))}, models.ModelError, "'vgg' is not a known network"),
        ({"loss.terms.hinge": Range(0.0, 1.0)}, LossError, "hinge"),
    ],
)
def test_what_cannot_be_searched_is_refused_by_name_before_anything_runs(tmp_path, monkeypatch, space, error, named):
    trainer = Trainer()
    with pytest.raises(error, match="(?s)" + named):
        searched(monkeypatch, tmp_path / "s", 2, trainer=trainer, space=space)
    assert trainer.calls == [] and not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    "text, named",
    [
        ("optimizer.lr: {low: 1e-4}", "needs low and high"),
        ("optimizer.lr: {low: 1e-4, high: 1e-2, step: 3}", "needs low and high"),
        ("optimizer.lr: {low: 1e-2, high: 1e-4}", "low must be below high"),
        ("optimizer.lr: {low: 0, high: 1.0, log: true}", "above 0 with log"),
        ("optimizer.lr: {low: small, high: 1.0}", "optimizer.lr.low is 'small', but must be a finite number"),
        ("optimizer.lr: {low: .nan, high: 1.0}", "must be a finite number"),
        ("optimizer.lr: {low: 0.1, high: 1.0, log: loud}", "log is loud"),
        ("batch_size: {choices: [4]}", "at least two different"),
        ("batch_size: {choices: [4, 4]}", "at least two different"),
        ("batch_size: 4", "needs low and high"),
        ("batch_size", "has no options"),
        ("a: [1", "cannot be read"),
    ],
)
def test_a_senseless_search_space_is_named(tmp_path, text, named):
    (tmp_path / "space.yaml").write_text(text)
    with pytest.raises(TuneError, match=named) as refused:
        tuning.read_space(tmp_path / "space.yaml")
    assert "space.yaml" in str(refused.value)
    with pytest.raises(TuneError, match="absent.yaml: no such file"):
        tuning.read_space(tmp_path / "absent.yaml")


def test_the_released_space_and_the_default_one_fit_the_released_configurations():
    for name in ("unet-horses", "horses-laptop"):
        config = load_config(REPOSITORY / "configs" / f"{name}.yaml")
        tuning.space.check(config, tuning.read_space(REPOSITORY / "configs" / "search" / "horses.yaml"))
    config = load_config(REPOSITORY / "configs" / "horses-laptop.yaml")
    space = tuning.default_space(config)
    tuning.space.check(config, space)
    assert {"optimizer.lr", "optimizer.weight_decay", "batch_size"} < space.keys()


@settings(deadline=None, derandomize=True)
@given(st.floats(1e-7, 1e3), st.floats(1.001, 1e4), st.floats(0, 1))
def test_rounding_to_three_digits_never_leaves_the_range(low, factor, place):
    entry = Range(low, low * factor)
    value = low + place * (low * factor - low)
    assert entry.low <= entry.value(value) <= entry.high
    assert entry.value(value) == pytest.approx(value, rel=0.0051)


def test_unknown_and_old_options_are_refused_by_name():
    with pytest.raises(ConfigError, match="augment.grey is not an option; it is called augment.grayscale now"):
        tuning.with_options(Config(), {"augment.grey": 0.5})
    with pytest.raises(ConfigError, match="no.such.option|no is not an option"):
        tuning.with_options(Config(), {"no.such.option": 0.5})
    with pytest.raises(
        TuneError, match="'optimizer.clip_norm', which is not an option; it is called optimizer.max_grad"
    ):
        tuning.space.check(Config(), {"optimizer.clip_norm": Range(0.1, 1.0)})


def test_choices_may_be_of_any_kind():
    entry = Choices(([0.1, 1.0], None, "imagenet", True, {"ce": 1.0}))
    assert [entry.value(entry.key(value)) for value in entry.values] == list(entry.values)
    assert not Range(1, 4).contains(2.5) and Range(1, 4).contains(2) and Range(1.0, 4).contains(2.5)


def test_an_existing_search_is_not_overwritten(tmp_path, monkeypatch):
    folder = tmp_path / "s"
    with pytest.raises(TuneError, match="no search to resume"):
        searched(monkeypatch, folder, 2, resume=True)
    searched(monkeypatch, folder, 2)
    with pytest.raises(TuneError, match="already has a search; add --resume"):
        searched(monkeypatch, folder, 3)
    with pytest.raises(TuneError, match="batch_size was 4 and is now 2"):
        searched(monkeypatch, folder, 3, resume=True, batch_size=2)
    with pytest.raises(TuneError, match="space.augment.rotate.high was 40 and is now 30"):
        searched(monkeypatch, folder, 3, resume=True, space={**SPACE, "augment.rotate": Range(0, 30)})
    with pytest.raises(TuneError, match="--trials is 0"):
        searched(monkeypatch, folder, 0, resume=True)
    with files.lock_folder(folder), pytest.raises(TuneError, match="used by another search"):
        searched(monkeypatch, folder, 3, resume=True)
    assert len(searched(monkeypatch, folder, 3, resume=True)["trials"]) == 3


def test_a_mistyped_data_set_leaves_no_search_behind(tmp_path):
    config = tiny(tmp_path / "run")
    config.data.name, config.data.options = str(tmp_path / "onw"), {}
    with pytest.raises(data.DataError, match="onw"):
        tuning.search(config, SPACE, 1, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_a_damaged_study_is_named(tmp_path, monkeypatch):
    searched(monkeypatch, tmp_path / "s", 1)
    (tmp_path / "s" / "study.db").write_bytes(b"no database" * 100)
    with pytest.raises(TuneError, match="study.db: the study cannot be read or written"):
        searched(monkeypatch, tmp_path / "s", 2, resume=True)


def test_without_optuna_the_sentence_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    code = main(["tune", "--data.name=creatures", "--out", str(tmp_path / "s")])
    assert code == 1 and "python -m pip install 'seglib[tune]'" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_a_killed_search_resumes_to_the_same_result(tmp_path, capsys):
    """Real training in a real process, killed without warning in its second trial."""
    config = tiny(tmp_path / "run", epochs=3)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config_to_dict(config)))
    (tmp_path / "space.yaml").write_text("optimizer.lr: {low: 1e-3, high: 1e-1, log: true}")
    words = [str(tmp_path / "config.yaml"), "--trials", "3", "--space", str(tmp_path / "space.yaml"), "--out"]
    assert main(["tune", *words, str(tmp_path / "whole")]) == 0
    output = capsys.readouterr().out
    assert "trial 2: complete miou 0." in output and "best.yaml" in output
    parts = tmp_path / "parts"
    process = subprocess.Popen(
        [sys.executable, "-m", "seglib", "tune", *words, str(parts)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    deadline = time.monotonic() + 120
    while not (parts / "trial-001" / "checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert main(["tune", *words, str(parts), "--resume"]) == 0
    assert "trial 0:" not in capsys.readouterr().out, "it was over"
    whole, again = (json.loads((folder / "trials.json").read_text()) for folder in (tmp_path / "whole", parts))
    assert gist(again) == gist(whole)
