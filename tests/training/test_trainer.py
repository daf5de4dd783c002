"""The training loop: it learns, resumes bit for bit, stops with clear messages, and loses nothing."""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from seglib import data, files, models, training, weights
from seglib.config import RENAMED, Config, ModelConfig, OptimizerConfig, config_to_dict, load_config
from seglib.data.sampler import TrainingBatchSampler, TrainingDataset
from seglib.training.build import pick_memory_format
from seglib.training.optimizer import ModelEMA, amp_dtype, learning_rate, make_optimizer


def tiny(folder, **changes) -> Config:
    """A run of seconds on the synthetic animals."""
    config = Config(output_dir=str(folder), epochs=2, batch_size=4, ema=0.9, amp="off", device="cpu", num_workers=0)
    config.data.name, config.data.options = "creatures", {"length": 10, "size": [48, 64]}
    config.augment.crop_sizes = [32, 48]
    config.model.options = {"width": 4}
    config.inference.longest_side = 48
    for name, value in changes.items():
        setattr(config, name, value)
    return config


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def checkpoint(folder) -> dict:
    return torch.load(Path(folder) / "checkpoint.pt", weights_only=True)


def without_clock(history):
    return [
        {k: v for k, v in entry.items() if k not in ("seconds", "waiting_share", "images_per_second")}
        for entry in history
    ]


def test_training_lowers_the_loss(tmp_path):
    config = tiny(tmp_path / "run", epochs=12)
    config.model.options = {"width": 8}
    config.optimizer.lr = 1e-2
    history = training.fit(config, progress=False)
    assert [entry["epoch"] for entry in history] == list(range(12))
    assert [entry["crop_size"] for entry in history] == [32] * 6 + [48] * 6
    assert all(entry["images"] == 10 for entry in history)
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert json.loads((tmp_path / "run" / "history.json").read_text()) == history


def test_best_weights_come_from_the_best_epoch(tmp_path):
    config = tiny(tmp_path / "run", epochs=4)
    history = training.fit(config, progress=False)
    model, notes = weights.load(str(tmp_path / "run" / "best.safetensors"))
    best = max(history, key=lambda entry: entry["val"]["miou"])
    assert notes["epoch"] == best["epoch"] and notes["val"] == best["val"]
    from seglib.evaluation import evaluate
    from seglib.inference import Predictor

    val = data.load("creatures", "val", **config.data.options)
    assert evaluate(Predictor(model, 48), val)["miou"] == pytest.approx(best["val"]["miou"], abs=1e-12)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_validation_gives_the_scores_of_evaluate(tmp_path, num_workers):
    from seglib.evaluation import evaluate
    from seglib.inference import Predictor
    from seglib.training.build import make_val_loader

    config = tiny(tmp_path / "run")
    trainer = training.Trainer(config)
    scores = trainer.validate(make_val_loader(config, trainer.val_set, num_workers))
    expected = evaluate(Predictor(trainer.eval_model, config.inference.longest_side), trainer.val_set)
    assert scores == {name: value for name, value in expected.items() if name != "per_image"}


def test_two_runs_are_bit_exact(tmp_path):
    histories = [training.fit(tiny(tmp_path / name), progress=False) for name in ("a", "b")]
    assert without_clock(histories[0]) == without_clock(histories[1])
    assert same(checkpoint(tmp_path / "a")["model"], checkpoint(tmp_path / "b")["model"])
    other = training.fit(tiny(tmp_path / "c", seed=1), progress=False)
    assert other[0]["loss"] != histories[0][0]["loss"]


def test_results_do_not_depend_on_num_workers(tmp_path):
    training.fit(tiny(tmp_path / "none"), progress=False)
    training.fit(tiny(tmp_path / "two", num_workers=2), progress=False)
    assert same(checkpoint(tmp_path / "none")["model"], checkpoint(tmp_path / "two")["model"])


@pytest.mark.parametrize(
    "stop_after, ema",
    [(1, 0.9), (3, 0.9), (4, 0.9), (4, 0.0)],
    ids=["first epoch", "end of an epoch", "ema", "no ema"],
)
def test_resume_is_bit_exact(tmp_path, monkeypatch, stop_after, ema):
    """Stopped within an epoch or after its last step: model, EMA, optimizer and history end up the same."""
    training.fit(tiny(tmp_path / "whole", ema=ema), progress=False)
    original = training.Trainer.train_step

    def stopping(run, *batch):
        loss = original(run, *batch)
        if run.step == stop_after:
            os.kill(os.getpid(), signal.SIGINT)
        return loss

    monkeypatch.setattr(training.Trainer, "train_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        training.fit(tiny(tmp_path / "parts", ema=ema), progress=False)
    assert checkpoint(tmp_path / "parts")["step"] == stop_after
    monkeypatch.undo()
    training.fit(tiny(tmp_path / "parts", ema=ema), resume=True, progress=False)
    whole, parts = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "parts")
    assert same(whole["model"], parts["model"]) and (not ema or same(whole["ema"], parts["ema"]))
    for key, state in whole["optimizer"]["state"].items():
        assert same(state, parts["optimizer"]["state"][key])
    assert without_clock(whole["history"]) == without_clock(parts["history"])


def test_validation_leaves_the_network_in_training_mode(tmp_path, monkeypatch):
    modes = []
    original = training.Trainer.train_step
    monkeypatch.setattr(
        training.Trainer, "train_step", lambda run, *batch: modes.append(run.model.training) or original(run, *batch)
    )
    training.fit(tiny(tmp_path / "run", ema=0.0, epochs=3), progress=False)
    assert all(modes) and len(modes) == 9


def test_ctrl_c_never_saves_after_a_loss_that_is_not_finite(tmp_path, monkeypatch):
    original = training.Trainer.train_step

    def stopping(run, *batch):
        loss = original(run, *batch)
        if run.step == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return loss * float("nan") if run.step >= 5 else loss

    monkeypatch.setattr(training.Trainer, "train_step", stopping)
    with pytest.raises(training.TrainingError, match="nan at step 4"):
        training.fit(tiny(tmp_path / "run"), progress=False)
    assert checkpoint(tmp_path / "run")["step"] == 3


def test_repeatedly_killed_process_ends_with_the_same_weights(tmp_path):
    """A real process is killed without warning at random times, with checkpoints within the epochs."""
    training.fit(tiny(tmp_path / "whole", epochs=8), progress=False)
    config = tiny(tmp_path / "killed", epochs=8, checkpoint_minutes=1e-9)
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(config_to_dict(config)))
    place, chance = tmp_path / "killed" / "checkpoint.pt", random.Random(0)
    for _ in range(2):
        resume = ["--resume"] if place.exists() else []
        before = place.stat().st_mtime_ns if place.exists() else 0
        process = subprocess.Popen(
            [sys.executable, "-m", "seglib", "train", str(file), *resume], stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline and not (place.exists() and place.stat().st_mtime_ns > before):
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        process.wait()
        assert checkpoint(tmp_path / "killed")["step"] < 24
    training.fit(load_config(file), resume=True, progress=False)
    whole, killed = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "killed")
    assert same(whole["ema"], killed["ema"]) and same(whole["model"], killed["model"])
    assert without_clock(whole["history"]) == without_clock(killed["history"])


def test_ctrl_c_in_a_terminal_leaves_a_resumable_checkpoint(tmp_path):
    """A real process group with loading processes, all of which get the signal, as from a terminal."""
    config = config_to_dict(tiny(tmp_path / "run", epochs=500, num_workers=2))
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    command = [sys.executable, "-m", "seglib", "train", str(tmp_path / "config.yaml")]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 600
    while not (tmp_path / "run" / "checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 130 and f"train {tmp_path}/run/config.yaml --resume" in out, err
    assert "Traceback" not in err
    assert checkpoint(tmp_path / "run")["step"] > 0


def test_training_in_a_thread_and_in_a_new_nested_folder(tmp_path):
    histories, run = [], tmp_path / "new" / "newer" / "run"
    thread = threading.Thread(target=lambda: histories.append(training.fit(tiny(run, epochs=1))))
    thread.start()
    thread.join()
    assert len(histories) == 1 and len(histories[0]) == 1 and (run / "best.safetensors").is_file()
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert list(saved) == [field.name for field in fields(Config)]  # in the documented order


def test_progress_bar_on_a_terminal_only(tmp_path, monkeypatch):
    from seglib.training import logger

    disabled = []

    class Bar(logger.tqdm):
        def __init__(self, **options):
            disabled.append(options["disable"])
            super().__init__(**options | {"disable": True})

    monkeypatch.setattr(logger, "tqdm", Bar)
    training.fit(tiny(tmp_path / "a", epochs=1))
    training.fit(tiny(tmp_path / "b", epochs=1), progress=False)
    assert disabled == [None, True]  # None lets tqdm check whether it writes to a terminal


def test_one_line_an_epoch_where_there_is_no_terminal(tmp_path, capsys):
    training.fit(tiny(tmp_path / "run"))
    lines = [line for line in capsys.readouterr().err.splitlines() if "images/s" in line]
    pattern = r"epoch {}/2: loss [\d.]+, mIoU [\d.]+, B-IoU [\d.]+, [\d.]+ images/s.*, [\d.]+ s"
    assert len(lines) == 2 and all(re.fullmatch(pattern.format(i + 1), line) for i, line in enumerate(lines)), lines
    training.fit(tiny(tmp_path / "quiet"), progress=False)
    assert "images/s" not in capsys.readouterr().err


def test_the_progress_bar_shows_images_per_second(tmp_path, monkeypatch):
    from seglib.training import logger

    postfixes = []

    class Bar(logger.tqdm):
        def __init__(self, **options):
            super().__init__(**options | {"disable": True})

        def set_postfix_str(self, text, refresh=True):
            postfixes.append(text)

    monkeypatch.setattr(logger, "tqdm", Bar)
    training.fit(tiny(tmp_path / "run", epochs=1))
    assert len(postfixes) == 3 and all(re.fullmatch(r"[\d.]+ images/s", text) for text in postfixes)


def test_unused_crop_sizes_are_reported(tmp_path, capsys):
    config = tiny(tmp_path / "run", epochs=2)
    config.augment.crop_sizes = [32, 40, 48, 64]
    history = training.fit(config, progress=False)
    assert [entry["crop_size"] for entry in history] == [32, 48]
    assert "augment.crop_sizes: 4 sizes share 2 epochs, so 40, 64 will not be used" in capsys.readouterr().err
    training.fit(tiny(tmp_path / "other", epochs=2), progress=False)
    assert "will not be used" not in capsys.readouterr().err


def test_a_profile_longer_than_the_run_is_reported(tmp_path, capsys):
    training.fit(tiny(tmp_path / "run", epochs=2, profile_steps=9), progress=False)
    assert "profile_steps is 9, but after the first 3 steps only 3 remain" in capsys.readouterr().err
    training.fit(tiny(tmp_path / "other", epochs=2, profile_steps=3), progress=False)
    training.fit(tiny(tmp_path / "short", epochs=1, batch_size=10), progress=False)  # one step, none profiled
    assert "remain" not in capsys.readouterr().err


def test_predictions_of_one_class_are_reported_with_likely_causes(tmp_path, capsys):
    config = tiny(tmp_path / "run", epochs=1)
    trainer = training.Trainer(config)
    with torch.no_grad():
        for model in (trainer.model, trainer.ema.model):
            last = [layer for layer in model.modules() if isinstance(layer, torch.nn.Conv2d)][-1]
            last.weight.zero_()
            last.bias.copy_(torch.tensor([1.0, 0.0]))
    scores = trainer.validate()
    assert scores["per_class"]["creature"]["recall"] == 0
    warning = capsys.readouterr().err
    assert "epoch 1: all validation pixels were predicted as 'background'" in warning
    assert "--optimizer.lr=0.0002" in warning and "--loss.class_weights=sqrt_freq" in warning


def test_an_existing_run_is_not_overwritten(tmp_path):
    training.fit(tiny(tmp_path / "run"), progress=False)
    before = (tmp_path / "run" / "checkpoint.pt").read_bytes()
    with pytest.raises(training.TrainingError, match="already holds a run; add --resume"):
        training.fit(tiny(tmp_path / "run", seed=3), progress=False)
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == before


def test_results_without_a_checkpoint_are_not_overwritten(tmp_path):
    """A search deletes the checkpoints of its trials, and people those of their runs."""
    config = tiny(tmp_path / "run", epochs=1)
    training.fit(config, progress=False)
    (tmp_path / "run" / "checkpoint.pt").unlink()
    before = (tmp_path / "run" / "best.safetensors").read_bytes()
    with pytest.raises(training.TrainingError, match="holds the results of a run without its checkpoint"):
        training.fit(config, progress=False)
    assert (tmp_path / "run" / "best.safetensors").read_bytes() == before


def test_config_in_the_run_folder_is_not_lost(tmp_path):
    config, folder = tiny(tmp_path / "run", epochs=1), tmp_path / "run"
    folder.mkdir()
    text = "# mine\n" + yaml.safe_dump(config_to_dict(config))
    (folder / "config.yaml").write_text(text)
    training.fit(config, progress=False)
    assert (folder / "config.yaml").read_text() == text  # it documents the run
    for file in ("checkpoint.pt", "history.json", "best.safetensors"):
        (folder / file).unlink()
    for config.batch_size in (5, 3):
        training.fit(config, progress=False)
        assert load_config(folder / "config.yaml") == config
        for file in ("checkpoint.pt", "history.json", "best.safetensors"):
            (folder / file).rename(folder / f"{file} of before")
    assert (folder / "config-before-1.yaml").read_text() == text
    assert load_config(folder / "config-before-2.yaml").batch_size == 5
    (folder / "checkpoint.pt of before").rename(folder / "checkpoint.pt")
    commented = "# mine\n" + (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(commented)
    training.fit(config, resume=True, progress=False)
    assert (folder / "config.yaml").read_text() == commented  # resuming keeps the comments
    config.data.cache_mb += 1  # a run may continue with another one
    training.fit(config, resume=True, progress=False)
    assert load_config(folder / "config.yaml") == config
    assert (folder / "config-before-3.yaml").read_text() == commented
    assert next(iter(yaml.safe_load((folder / "config.yaml").read_text()))) == "output_dir", (
        "in the order of the options"
    )


def test_invalid_output_dir_and_init_from_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(training.TrainingError, match="file: is a file, but a run needs a folder"):
        training.fit(tiny(tmp_path / "file"), progress=False)
    config = tiny(tmp_path / "run")
    config.model.init_from = "unet-horse"
    with pytest.raises(training.TrainingError, match="model.init_from is 'unet-horse'.*did you mean unet-horses"):
        training.fit(config, progress=False)


def test_two_runs_do_not_share_a_folder(tmp_path):
    config = tiny(tmp_path / "run", epochs=1)
    (tmp_path / "run").mkdir()
    with files.lock_folder(tmp_path / "run"), pytest.raises(training.TrainingError, match="another run is using it"):
        training.fit(config, progress=False)
    assert not (tmp_path / "run" / "config.yaml").exists()
    assert len(training.fit(config, progress=False)) == 1


def test_validation_masks_without_labels_are_refused(tmp_path):
    for part, values in (("train", (0, 1)), ("val", (255, 255))):
        for kind in ("images", "masks"):
            (tmp_path / "set" / kind / part).mkdir(parents=True)
        image, mask = np.zeros((40, 40, 3), np.uint8), np.repeat(np.uint8([values]), 20, 1).repeat(40, 0)
        Image.fromarray(image).save(tmp_path / "set" / "images" / part / "a.png")
        Image.fromarray(mask).save(tmp_path / "set" / "masks" / part / "a.png")
    (tmp_path / "set" / "classes.yaml").write_text("classes: [ground, thing]\nignore: 255\n")
    config = tiny(tmp_path / "run", epochs=1)
    config.data.name, config.data.options = str(tmp_path / "set"), {}
    with pytest.raises(
        training.TrainingError, match="set, val: miou cannot be computed, because none of its classes occurs"
    ):
        training.fit(config, progress=False)
    assert checkpoint(tmp_path / "run")["step"] == 1


def test_output_weights_must_match_the_outputs(tmp_path):
    config = tiny(tmp_path / "run")
    config.loss.output_weights = [0.0, 5.0]
    with pytest.raises(training.TrainingError, match="has 2 factors, but unet has 1 outputs"):
        training.fit(config, progress=False)


def test_resuming_refuses_another_configuration_and_damage(tmp_path):
    with pytest.raises(training.TrainingError, match="there is no checkpoint to resume"):
        training.fit(tiny(tmp_path / "run"), resume=True, progress=False)
    training.fit(tiny(tmp_path / "run"), progress=False)
    other = tiny(tmp_path / "run")
    other.optimizer.lr = 0.5
    with pytest.raises(
        training.TrainingError, match=r"optimizer.lr was 0.002 and is now 0.5.*--model.init_from=\S*best.safetensors"
    ):
        training.fit(other, resume=True, progress=False)
    file = tmp_path / "run" / "checkpoint.pt"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(training.TrainingError, match="damaged"):
        training.fit(tiny(tmp_path / "run"), resume=True, progress=False)


def test_loss_that_is_not_finite_stops_the_run(tmp_path, monkeypatch):
    original = training.Trainer.train_step

    def poisoned(run, *batch):
        loss = original(run, *batch)
        return loss * float("nan") if run.step == 5 else loss

    monkeypatch.setattr(training.Trainer, "train_step", poisoned)
    with pytest.raises(training.TrainingError, match=r"loss became nan at step 4 of 6 \(epoch 2, .*creatures-train-"):
        training.fit(tiny(tmp_path / "run"), progress=False)
    assert checkpoint(tmp_path / "run")["step"] == 3  # the end of the last good epoch


def test_full_disk_keeps_the_last_checkpoint(tmp_path):
    """A real process whose files may not grow beyond a limit that the checkpoint exceeds."""
    config = tiny(tmp_path / "run", epochs=1)
    training.fit(config, progress=False)
    size = (tmp_path / "run" / "checkpoint.pt").stat().st_size
    before = (tmp_path / "run" / "checkpoint.pt").read_bytes()
    script = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({size // 2}, {size // 2}))
from seglib import config, training
run = training.Trainer(config.load_config({str(tmp_path / "run" / "config.yaml")!r}), resume=True)
try:
    run.save_checkpoint()
except OSError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "checkpoint.pt" in result.stdout and "as it was before" in result.stdout, result.stderr
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == before
    assert not list((tmp_path / "run").glob(".checkpoint*"))


def test_damaged_file_is_named_during_training(tmp_path):
    from PIL import Image

    for part in ("images", "masks"):
        (tmp_path / "set" / part).mkdir(parents=True)
    generator = np.random.default_rng(0)
    for i in range(8):
        Image.fromarray(generator.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(tmp_path / f"set/images/{i}.png")
        Image.fromarray(generator.integers(0, 2, (40, 40), dtype=np.uint8)).save(tmp_path / f"set/masks/{i}.png")
    (tmp_path / "set/masks/3.png").write_bytes(b"not an image")
    (tmp_path / "set/masks/4.png").write_bytes(b"not an image")
    for workers in (0, 1):
        config = tiny(tmp_path / f"run{workers}", num_workers=workers)
        config.data.name, config.data.options = str(tmp_path / "set"), {}
        with pytest.raises(data.DataError, match=r"^\S*masks/[34].png: not an image that can be read[^\n]*$"):
            training.fit(config, progress=False)


def test_one_sigmoid_output_trains_on_a_binary_set(tmp_path):
    config = tiny(tmp_path / "run", num_classes=1, epochs=12)
    config.model.options, config.optimizer.lr = {"width": 8}, 1e-2
    config.loss.terms = {"bce": 1.0, "dice": 1.0}
    history = training.fit(config, progress=False)
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert history[-1]["val"]["foreground_iou"] > 0.2
    model, _ = weights.load(str(tmp_path / "run" / "best.safetensors"))
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 1, 32, 32)


def test_several_classes_train(tmp_path):
    config = tiny(tmp_path / "run")
    config.data.name = "streets"
    config.optimizer.name, config.schedule.name = "sgd", "poly"
    assert len(training.fit(config, progress=False)) == 2
    config.output_dir, config.num_classes = str(tmp_path / "other"), 5
    with pytest.raises(training.TrainingError, match="num_classes is 5, but streets has 11 classes"):
        training.fit(config, progress=False)


def test_every_epoch_uses_each_image_once_in_a_new_order():
    sampler = TrainingBatchSampler(10, tiny("unused", epochs=3))
    assert sampler.total_steps == 9
    epochs = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
        assert [len(batch) for batch in epochs[-1]] == [4, 4, 2]
        assert sorted(item for batch in epochs[-1] for item in batch) == [(epoch, index) for index in range(10)]
    assert [i for batch in epochs[0] for _, i in batch] != [i for batch in epochs[1] for _, i in batch]
    sampler.set_epoch(1, first_step=4)
    assert list(sampler) == epochs[1][1:] and len(sampler) == 2
    sampler.set_epoch(1, first_step=6)  # stopped after the last step of the epoch
    assert list(sampler) == [] and len(sampler) == 0


def test_batch_pixels_follow_the_crop_size():
    sampler = TrainingBatchSampler(10, tiny("unused"))
    steps = range(sampler.total_steps)
    assert [sampler.num_batch_images(step) for step in steps] == [4, 4, 2] * 2
    pixels = [4 * 32**2, 4 * 32**2, 2 * 32**2, 4 * 48**2, 4 * 48**2, 2 * 48**2]
    assert [sampler.num_batch_pixels(step) for step in steps] == pixels


def test_negative_index_gives_an_ignored_mask():
    config = tiny("unused")
    augmented = TrainingDataset(
        data.load("creatures", "train", **config.data.options), TrainingBatchSampler(10, config), config
    )
    for index in (0, 7):
        (image, mask), (same_image, ignored) = augmented[0, index], augmented[0, ~index]
        assert torch.equal(image, same_image) and bool((ignored == 255).all()) and not bool((mask == 255).all())


def test_augmentation_depends_on_seed_epoch_and_index_only():
    config = tiny("unused")
    dataset = data.load("creatures", "train", **config.data.options)
    one, two = (TrainingDataset(dataset, TrainingBatchSampler(10, config), config) for _ in range(2))
    first = one[0, 7]
    for place in ((0, 1), (1, 7), (0, 2)):
        two[place]
    again = two[0, 7]
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert first[0].shape == (32, 32, 3) and one[1, 7][0].shape == (48, 48, 3)
    assert not torch.equal(
        TrainingDataset(dataset, TrainingBatchSampler(10, config), tiny("unused", seed=5))[0, 7][0], first[0]
    )


def test_learning_rates():
    config = tiny("unused")
    config.schedule.warmup = 0.2
    for name in ("cosine", "poly", "constant"):
        config.schedule.name = name
        rates = [learning_rate(config, step, 100) for step in range(100)]
        assert rates[:20] == sorted(rates[:20]) and rates[0] < 0.1 * max(rates)
        assert max(rates) == rates[20] == config.optimizer.lr
        assert rates[20:] == sorted(rates[20:], reverse=True)
        assert (rates[-1] == config.optimizer.lr) if name == "constant" else (rates[-1] < 0.03 * max(rates))
    config.schedule.name = "poly"
    assert learning_rate(config, 60, 100) == pytest.approx(config.optimizer.lr * 0.5**0.9)


def test_only_convolutions_decay():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    for name, kind in (("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)):
        config = tiny("unused")
        config.optimizer.name, config.optimizer.weight_decay = name, 0.3
        optimizer = make_optimizer(model, config)
        assert type(optimizer) is kind
        decayed, free = optimizer.param_groups
        assert [p.shape for p in decayed["params"]] == [(4, 3, 3, 3)] and decayed["weight_decay"] == 0.3
        assert len(free["params"]) == 3 and free["weight_decay"] == 0


def test_ema_follows_the_weights():
    model = torch.nn.BatchNorm1d(2)
    average = ModelEMA(model, decay=0.5)
    for step, value in ((0, 1.0), (100, 3.0)):
        torch.nn.init.constant_(model.weight, value)
        average.update(step)
    model.num_batches_tracked += 5
    average.update(101)
    # 1 -> 1, then halfway to 3 twice: 2, 2.5
    torch.testing.assert_close(average.model.weight, torch.full((2,), 2.5))
    assert average.model.num_batches_tracked == 5


def test_amp_dtype_of_each_mode(monkeypatch):
    cpu = torch.device("cpu")
    assert amp_dtype("off", cpu) is None
    assert amp_dtype("bf16", cpu) is torch.bfloat16 and amp_dtype("fp16", cpu) is torch.float16
    assert amp_dtype("auto", torch.device("mps")) is None
    for capabilities, expected in (
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": True, "cpu_name": "AMD EPYC"}, torch.bfloat16),
        ({"avx512_bf16": True, "cpu_name": "Intel Xeon"}, None),
        ({"avx512_bf16": True, "amx_bf16": True, "cpu_name": "Intel Xeon"}, torch.bfloat16),
        ({}, None),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda value=capabilities: value, raising=False)
        assert amp_dtype("auto", cpu) is expected


def test_bf16_is_refused_where_its_gradients_are_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    config = tiny(tmp_path / "run", amp="auto")
    config.model.name, config.model.options = "mini_hrnet", {}
    assert training.Trainer(config).amp_dtype is None
    config.amp = "bf16"
    with pytest.raises(training.TrainingError, match="amp is bf16.* like stage2.0.branches.0.1.conv1; .* auto, or off"):
        training.Trainer(config)
    plain = torch.nn.Conv2d(24, 24, 3, padding=1), torch.nn.Conv2d(32, 24, 3, padding=2, dilation=2)
    assert all(amp_dtype("auto", torch.device("cpu"), layer) is torch.bfloat16 for layer in plain)


@pytest.mark.parametrize(
    ("capability", "amp", "name", "expected"),
    [
        ("AVX2", None, "unet", torch.contiguous_format),
        ("AVX2", None, "u2netp", torch.contiguous_format),
        ("AVX2", None, "mini_hrnet", torch.channels_last),
        ("AVX2", torch.bfloat16, "unet", torch.channels_last),
        ("AVX512", None, "unet", torch.channels_last),
    ],
)
def test_memory_format_of_training(monkeypatch, capability, amp, name, expected):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    model = models.create(name, 2)
    assert pick_memory_format(model, torch.device("cpu"), amp) is expected
    assert pick_memory_format(model, torch.device("cuda"), amp) is torch.channels_last


def test_both_memory_formats_give_the_same_gradients(tmp_path, monkeypatch):
    images, masks = torch.rand(2, 3, 48, 48), torch.randint(0, 2, (2, 48, 48))
    images = images.contiguous(memory_format=torch.channels_last)  # as the loader returns them
    gradients, formats = [], []
    for capability in ("AVX2", "AVX512"):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda value=capability: value)
        run = training.Trainer(tiny(tmp_path / capability))
        run.model.register_forward_hook(lambda _, inputs, outputs: formats.append([x.stride() for x in inputs]))
        run.compute_loss(images, masks).backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in run.model.parameters()]))
    assert formats == [[(6912, 2304, 48, 1)], [(6912, 1, 144, 3)]]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "side"), [("mini_hrnet", 128), ("u2netp", 96), ("dilated_resnet50", 64)])
def test_amp_gradients_agree_with_float32(tmp_path, name, side):
    """Low precision changes the last digits; a fault of a library, such as NaN, changes the direction."""
    if amp_dtype("auto", torch.device("cpu")) is None:
        pytest.skip("this machine computes in float32 alone")
    config = tiny(tmp_path / "run", amp="auto")
    config.model.name, config.model.options = name, {}
    run = training.Trainer(config)
    run.model.eval()  # the statistics of a small batch would amplify what is rounded
    images, masks = torch.rand(2, 3, side, side), torch.randint(0, 2, (2, side, side))
    gradients = []
    for amp in (None, run.amp_dtype):
        run.model.zero_grad()
        with torch.autocast("cpu", amp, enabled=amp is not None):
            output = run.model(images)
        torch.nn.functional.cross_entropy(output.float(), masks).backward()
        gradients.append({n: p.grad.flatten().clone() for n, p in run.model.named_parameters() if p.grad is not None})
    largest = max(float(gradient.norm()) for gradient in gradients[0].values())
    for parameter, expected in gradients[0].items():
        if expected.norm() > 1e-4 * largest:  # smaller ones may be nothing but rounding
            similarity = torch.nn.functional.cosine_similarity(gradients[1][parameter], expected, 0)
            assert similarity > 0.9, (parameter, float(similarity))
        assert gradients[1][parameter].isfinite().all(), parameter


def test_init_from_trained_weights(tmp_path, capsys):
    """With another number of classes all but the last layer is taken over; an unknown name says so."""
    training.fit(tiny(tmp_path / "before"), progress=False)
    tensors, _ = weights.read_tensors(tmp_path / "before" / "best.safetensors")
    config = tiny(tmp_path / "after", epochs=1)
    config.data.name, config.model.init_from = "streets", str(tmp_path / "before" / "best.safetensors")
    model = training.make_model(config.model, 11)
    assert all(
        torch.equal(value, tensors[name]) for name, value in model.state_dict().items() if "classifier" not in name
    )
    assert "2 of the network not in the checkpoint" in capsys.readouterr().err
    assert len(training.fit(config, progress=False)) == 1
    (tmp_path / "before" / "best.safetensors").unlink()  # the checkpoint has all that a resumed run needs
    assert len(training.fit(config, resume=True, progress=False)) == 1
    config.model.init_from = "imagenet"
    with pytest.raises(training.TrainingError, match=r"nor public ones of unet \(there are none\)"):
        training.make_model(config.model, 11)


def test_accumulated_gradients_equal_those_of_the_batch(tmp_path):
    """Without batch normalisation, in evaluation mode, accumulation changes nothing but rounding."""
    gradients, sizes = [], {}
    for parts in (1, 2, 3):
        run = training.Trainer(tiny(tmp_path / "run", batch_size=3, accumulation_steps=parts, seed=4))
        part_sizes = sizes[parts] = []
        run.model.register_forward_pre_hook(lambda model, inputs, sizes=part_sizes: sizes.append(len(inputs[0])))
        run.loss = training.make_loss(run.config, run.model, run.train_set)
        run.model.eval()
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8, generator=generator)
        masks = torch.randint(0, 2, (3, 32, 32), generator=generator)
        run.loss.terms = {"ce": 1.0}
        run.train_step(images, masks)
        gradients.append(torch.cat([p.grad.flatten() for p in run.model.parameters()]))
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0], rtol=1e-3, atol=1e-6)
    assert sizes == {1: [3], 2: [2, 1], 3: [1, 1, 1]}  # which saves the memory


@pytest.mark.parametrize("before", [None, torch.float16])
@pytest.mark.parametrize("after", [None, torch.float16])
def test_resume_with_another_precision(tmp_path, monkeypatch, before, after):
    config = tiny(tmp_path / "run", amp="auto")
    monkeypatch.setattr("seglib.training.trainer.amp_dtype", lambda *arguments: before)
    trainer = training.Trainer(config)
    trainer.scaler.scale(torch.ones(1))  # which then has a scale to save, if it is used
    if before:
        trainer.scaler.update(2.0**7)
    trainer.folder.mkdir()
    trainer.save_checkpoint()
    monkeypatch.setattr("seglib.training.trainer.amp_dtype", lambda *arguments: after)
    resumed = training.Trainer(config, resume=True)
    resumed.scaler.scale(torch.ones(1))
    assert resumed.scaler.get_scale() == (1 if not after else 2.0**7 if before else 2.0**16)


@pytest.mark.parametrize(
    ("changes", "is_valid"),
    [
        ({"step": -1}, False),
        ({"step": 0}, True),
        ({"step": 3}, True),
        ({"step": 4}, False),
        ({"step": 4, "history": [{"epoch": 0}]}, True),
        ({"step": 2, "history": [{"epoch": 0}]}, False),
        ({"step": 6, "history": [{"epoch": 0}, {"epoch": 1}]}, True),
        ({"step": 7, "history": [{"epoch": 0}, {"epoch": 1}]}, False),
        ({"step": 10**9}, False),
        ({"history": {}}, False),
        ({"history": []}, True),
        ({"step": None}, False),
    ],
)
def test_checkpoint_with_impossible_progress_is_refused(tmp_path, changes, is_valid):
    config = tiny(tmp_path / "run")
    trainer = training.Trainer(config)
    assert trainer.sampler.total_steps == 6
    trainer.folder.mkdir()
    trainer.save_checkpoint()
    state = torch.load(trainer.folder / "checkpoint.pt", weights_only=True) | changes
    torch.save(state, trainer.folder / "checkpoint.pt")
    if is_valid:
        resumed = training.Trainer(config, resume=True)
        assert (resumed.step, resumed.history) == (state["step"], state["history"])
    else:
        with pytest.raises(training.TrainingError, match="the checkpoint is damaged"):
            training.Trainer(config, resume=True)


def test_a_changed_data_set_is_named_as_a_possible_reason(tmp_path):
    training.fit(tiny(tmp_path / "run", epochs=1), progress=False)
    more = tiny(tmp_path / "run", epochs=2)
    more.data.options = {"length": 14, "size": [48, 64]}
    saved = checkpoint(tmp_path / "run")
    saved["config"]["data"]["options"] = more.data.options  # for a folder, no option says how many images it has
    torch.save(saved, tmp_path / "run" / "checkpoint.pt")
    with pytest.raises(training.TrainingError, match="or the training images or classes have changed since then"):
        training.fit(more, resume=True, progress=False)


def test_class_weights_that_are_none_do_not_prevent_resuming(tmp_path):
    config = tiny(tmp_path / "run", epochs=1)
    config.loss.class_weights = None
    training.fit(config, progress=False)
    again = load_config(tmp_path / "run" / "config.yaml", ["--epochs=2"])
    assert len(training.fit(again, resume=True, progress=False)) == 2


def saved_with(trainer, change) -> None:
    """Write the trainer's checkpoint with `change` applied to its options."""
    trainer.folder.mkdir(exist_ok=True)
    trainer.save_checkpoint()
    state = torch.load(trainer.folder / "checkpoint.pt", weights_only=True)
    change(state["config"])
    torch.save(state, trainer.folder / "checkpoint.pt")


def test_checkpoint_with_unknown_options_is_refused(tmp_path):
    config = tiny(tmp_path / "run")
    saved_with(training.Trainer(config), lambda options: options["optimizer"].update(nesterov=True))
    with pytest.raises(training.TrainingError, match="optimizer.nesterov was True and is now None"):
        training.Trainer(config, resume=True)


def test_options_that_a_checkpoint_does_not_know_count_as_defaults(tmp_path):
    """They were added after it was written, and the defaults leave a run as it was."""
    config = tiny(tmp_path / "run")
    trainer = training.Trainer(config)
    saved_with(trainer, lambda options: options["optimizer"].pop("momentum"))
    assert training.Trainer(config, resume=True).step == 0
    config.optimizer.momentum = 0.5
    with pytest.raises(training.TrainingError, match="optimizer.momentum was 0.9 and is now 0.5"):
        training.Trainer(config, resume=True)
    trainer = training.Trainer(config)
    saved_with(trainer, lambda options: options.pop("distillation"))
    assert training.Trainer(config, resume=True).step == 0


def test_checkpoint_with_old_option_names_resumes(tmp_path):
    training.fit(tiny(tmp_path / "whole"), progress=False)
    config = tiny(tmp_path / "run")
    with pytest.raises(StopIteration):
        training.fit(config, progress=False, on_validated=stop_at_once)
    file = tmp_path / "run" / "checkpoint.pt"
    state = torch.load(file, weights_only=True)
    names = {new: old for old, new in RENAMED.items()}
    old = {names.get(name, name): value for name, value in state["config"].items()} | {"sharding": "none"}
    for group in ("augment", "model", "optimizer"):
        old[group] = {
            names.get(f"{group}.{name}", name).rpartition(".")[2]: v for name, v in state["config"][group].items()
        }
    assert old["run"] == str(tmp_path / "run") and old["optimizer"]["clip_norm"] == 1.0
    for part in state["optimizer"]["param_groups"]:
        del part["lr_factor"]
    for part in ("model", "ema"):  # layers had other names too
        tensors = {re.sub(r"^stem\.", "enter.", name): tensor for name, tensor in state[part].items()}
        state[part] = {re.sub(r"^classifier\.", "classify.", name): tensor for name, tensor in tensors.items()}
    assert "enter.0.weight" in state["model"] and "classify.bias" in state["ema"]
    state["average"], state["partial"] = state.pop("ema"), state.pop("partial_epoch")
    torch.save(state | {"config": old}, file)
    training.fit(config, resume=True, progress=False)
    whole, resumed = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "run")
    assert same(whole["model"], resumed["model"]) and same(whole["ema"], resumed["ema"])


def stop_at_once(entry):
    raise StopIteration


def test_more_epochs_of_a_finished_run(tmp_path, capsys):
    """The learning rate follows the schedule of the new length from the epoch that was reached."""
    training.fit(tiny(tmp_path / "run", epochs=1), progress=False)
    history = training.fit(tiny(tmp_path / "run", epochs=3), resume=True, progress=False)
    assert "saved with epochs=1; continues with 3.\nFrom here on, learning rates" in capsys.readouterr().err
    whole = training.fit(tiny(tmp_path / "whole", epochs=3), progress=False)
    for entry, expected in zip(history[1:], whole[1:], strict=True):
        assert entry["lr"] == expected["lr"] and entry["crop_size"] == expected["crop_size"]
    assert load_config(tmp_path / "run" / "config.yaml").epochs == 3
    with pytest.raises(training.TrainingError, match=r"epochs was 3 and is now 2.*--model.init_from"):
        training.fit(tiny(tmp_path / "run", epochs=2), resume=True, progress=False)


def test_resume_with_more_accumulation_steps(tmp_path, capsys):
    """The out-of-memory message recommends this."""
    config = tiny(tmp_path / "run")
    with pytest.raises(StopIteration):
        training.fit(config, progress=False, on_validated=stop_at_once)
    config.accumulation_steps = 2
    assert len(training.fit(config, resume=True, progress=False)) == 2
    assert "saved with accumulation_steps=1; continues with 2" in capsys.readouterr().err


def test_weights_that_do_not_fit_name_the_options_that_do(tmp_path):
    training.fit(tiny(tmp_path / "before", epochs=1), progress=False)
    config = tiny(tmp_path / "after")
    config.model.options = {"width": 8}
    config.model.init_from = str(tmp_path / "before" / "best.safetensors")
    with pytest.raises(training.TrainingError, match="These weights fit --model.name=unet --model.options.width=4"):
        training.Trainer(config)


def test_gradient_clipping(tmp_path):
    moved = {}
    for norm in (0.0, 1e-3, 1e6):
        config = tiny(tmp_path / "run", ema=0)
        config.optimizer = OptimizerConfig("sgd", lr=1.0, weight_decay=0.0, momentum=0.0, max_grad_norm=norm)
        config.schedule.warmup = 0.0
        run = training.Trainer(config)
        before = [parameter.detach().clone() for parameter in run.model.parameters()]
        images = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        run.train_step(images, torch.zeros(2, 32, 32, dtype=torch.long))
        steps = zip(run.model.parameters(), before, strict=True)
        moved[norm] = sum(float((after.detach() - earlier).square().sum()) for after, earlier in steps) ** 0.5
    assert moved[1e-3] == pytest.approx(1e-3, rel=0.01)
    assert moved[0.0] == moved[1e6] > 0.1


def test_every_process_uses_the_same_number_of_parts(tmp_path, monkeypatch):
    """With two processes, of which this is one: they must take the same number of parts."""
    run = training.Trainer(tiny(tmp_path / "run", accumulation_steps=3))
    part_sizes, waits = [], []
    run.loss = training.make_loss(run.config, run.model, run.train_set)
    run.loss.terms, run.loss.options = {"ce": 1.0}, {"ce": {}}
    run.model.register_forward_pre_hook(lambda model, inputs: part_sizes.append(len(inputs[0])))
    run.model.no_sync = lambda: waits.append(len(part_sizes)) or contextlib.nullcontext()
    monkeypatch.setattr("seglib.distributed.world_size", lambda: 2)
    assert [run.sampler.num_batch_images(step) for step in range(3)] == [4, 4, 2]
    for step, images in ((0, 2), (1, 2), (2, 1)):
        assert run.step == step
        run.train_step(torch.zeros(images, 32, 32, 3, dtype=torch.uint8), torch.zeros(images, 32, 32, dtype=torch.long))
    assert part_sizes == [1, 1, 1, 1, 1]
    assert waits == [0, 2]  # gradients are exchanged after the last part of each step


class Watched(TorchDispatchMode):
    """Records the operations that would make the CPU wait for a GPU."""

    WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_unique2", "item"}

    def __init__(self):
        super().__init__()
        self.waited, self.operations = [], 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = operation.overloadpacket.__name__
        self.operations += 1
        picked = name in ("index", "index_put", "index_put_") and any(
            isinstance(i, torch.Tensor) and i.dtype is torch.bool for i in args[1]
        )
        self.waited += [name] * (picked or name in self.WAITING)
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "name, options, amp", [("unet", {"width": 4}, "bf16"), ("u2netp", {}, "off"), ("hrnet_w18_small_v1", {}, "off")]
)
def test_no_step_waits_for_the_device(tmp_path, name, options, amp):
    config = tiny(tmp_path / "run", amp=amp)
    config.model = ModelConfig(name, options)
    config.loss.terms = dict.fromkeys(("ce", "dice", "focal", "lovasz", "ohem", "boundary"), 1.0)
    config.loss.class_weights = [1.0, 2.0]
    run = training.Trainer(config)
    images = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    masks = torch.randint(0, 2, (4, 32, 32), dtype=torch.uint8)
    run.train_step(images, masks)  # the optimizer creates its state in the first step
    with Watched() as watched:
        loss = run.train_step(images, masks)
    assert watched.operations > 100 and not watched.waited
    with watched:
        float(loss)
    assert watched.waited, "or this test sees nothing"


@pytest.mark.parametrize("what", ["weight", "statistic", "ema weight", "ema statistic"])
def test_weights_that_are_not_finite_are_never_saved(tmp_path, monkeypatch, what):
    """The loss of the last step of an epoch is finite, its gradient is not."""
    original = training.Trainer.train_step

    def poisoned(run, *batch):
        loss = original(run, *batch)
        if run.step == 6:
            network = run.ema.model if "ema" in what else run.model
            tensors = network.buffers() if "statistic" in what else network.parameters()
            next(tensors).data[0] = float("nan")
        return loss

    monkeypatch.setattr(training.Trainer, "train_step", poisoned)
    with pytest.raises(training.TrainingError, match="a weight is NaN or infinite after step 5 of 6"):
        training.fit(tiny(tmp_path / "run"), progress=False)
    assert checkpoint(tmp_path / "run")["step"] == 3


def test_losses_are_read_from_the_device_during_an_epoch(tmp_path, monkeypatch):
    from seglib.training import logger, trainer

    pending, update, read = [], logger.EpochMeter.update, logger.EpochMeter.read_pending

    def counting(meter, *step):
        update(meter, *step)
        pending.append(len(meter.pending))

    def reading(meter):
        result = read(meter)
        pending.append(len(meter.pending))
        return result

    monkeypatch.setattr(logger.EpochMeter, "update", counting)
    monkeypatch.setattr(logger.EpochMeter, "read_pending", reading)
    config = tiny(tmp_path / "run", epochs=1, batch_size=1)
    config.data.options = {"length": 50, "size": [32, 32]}
    (entry,) = training.fit(config, progress=False)
    assert len(pending) == 53 and max(pending) == trainer.CHECK_EVERY and pending[-1] == 0
    assert entry["images"] == 50 and 0.1 < entry["loss"] < 3


def test_profile_and_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    training.fit(tiny(tmp_path / "run", profile_steps=2, tensorboard=True), progress=False)
    trace = json.loads((tmp_path / "run" / "trace.json").read_text())
    assert any("conv" in str(event.get("name")) for event in trace["traceEvents"])
    assert list((tmp_path / "run").glob("events.out.tfevents*"))


def test_compiled_network_trains_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda model: torch._dynamo.optimize("eager")(model))
    training.fit(tiny(tmp_path / "run", compile=True), progress=False)
    monkeypatch.undo()
    training.fit(tiny(tmp_path / "plain"), progress=False)
    assert same(checkpoint(tmp_path / "run")["model"], checkpoint(tmp_path / "plain")["model"])
    weights.load(str(tmp_path / "run" / "best.safetensors"))


def test_on_validated_gets_entries_and_can_stop_the_run(tmp_path):
    entries = []
    training.fit(tiny(tmp_path / "run", epochs=3, eval_interval=2), progress=False, on_validated=entries.append)
    assert [entry["epoch"] for entry in entries] == [1, 2]

    def stop(entry):
        raise StopIteration

    with pytest.raises(StopIteration):
        training.fit(tiny(tmp_path / "other", epochs=3), progress=False, on_validated=stop)
    assert checkpoint(tmp_path / "other")["step"] == 3


@pytest.mark.parametrize("scheme, counts", [("none", False), ("hrnet", False), ("sqrt_freq", True), ("inv_freq", True)])
def test_masks_are_counted_only_for_class_weights_by_frequency(scheme, counts):
    reads = []

    def read(index):
        reads.append(index)
        return np.zeros((4, 5, 3), np.uint8), np.arange(20, dtype=np.uint8).reshape(4, 5) % 19

    names = [str(i) for i in range(19)]
    dataset = data.SegmentationDataset("streets19", names, [(i, i, i) for i in range(19)], ["a", "b"], read)
    config = Config()
    config.loss.class_weights = scheme
    loss = training.make_loss(config, torch.nn.Conv2d(3, 19, 1), dataset)
    assert bool(reads) == counts
    assert torch.isfinite(loss(torch.zeros(1, 19, 4, 5), torch.zeros(1, 4, 5, dtype=torch.long)))
