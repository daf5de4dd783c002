"""Faults during training and what remains after them, as listed in docs/reliability.md."""

import contextlib
import ctypes
import gc
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seglib import data, training, weights
from seglib.config import config_to_dict
from seglib.training.interrupt import Interrupt
from tests.training.test_trainer import checkpoint, same, tiny, without_clock

REPOSITORY = Path(__file__).resolve().parents[2]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="finds processes and drops rights as on Linux")
CAP_DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24


def command(config, *words, **options) -> subprocess.Popen:
    """Start `seglib train` with `config` in a process of its own."""
    file = Path(f"{config.output_dir}.yaml")
    file.write_text(json.dumps(config_to_dict(config)))
    return subprocess.Popen(
        [sys.executable, "-m", "seglib", "train", str(file), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **options,
    )


def refused(process: subprocess.Popen) -> str:
    """Return the one error message of the failed command."""
    _, err = process.communicate(timeout=900)
    messages = [line for line in err.splitlines() if line.startswith("error: ")]
    assert process.returncode == 1 and len(messages) == 1 and "Traceback" not in err, err
    return messages[0]


def write_images(folder: Path, count: int = 8) -> Path:
    """Write a custom folder with `count` small images and masks."""
    generator = np.random.default_rng(0)
    for part, top, shape in (("images", 255, (40, 40, 3)), ("masks", 2, (40, 40))):
        (folder / part).mkdir(parents=True)
        for i in range(count):
            values = generator.integers(0, top, shape, dtype=np.uint8)
            Image.fromarray(values).save(folder / part / f"{i}.png")
    return folder


def use_folder(config, folder: Path):
    config.data.name, config.data.options, config.data.cache_mb = str(folder), {}, 0
    return config


def after_step(monkeypatch, number: int, act) -> None:
    """Call `act(run)` after this number of steps."""
    original = training.Trainer.train_step

    def stepping(run, *batch):
        loss = original(run, *batch)
        if run.step == number:
            act(run)
        return loss

    monkeypatch.setattr(training.Trainer, "train_step", stepping)


def ends_as_if_nothing_happened(config, whole) -> None:
    """Resuming `config`'s run gives the weights of the run `whole`, bit for bit."""
    training.fit(config, resume=True, progress=False)
    one, other = checkpoint(whole.output_dir), checkpoint(config.output_dir)
    assert same(one["model"], other["model"]) and same(one["ema"], other["ema"])
    assert without_clock(one["history"]) == without_clock(other["history"])


@LINUX
def test_killed_loading_process_is_reported_and_the_run_resumes(tmp_path):
    whole = tiny(tmp_path / "whole", epochs=24, eval_interval=24)
    training.fit(whole, progress=False)
    config = tiny(tmp_path / "run", epochs=24, eval_interval=24, num_workers=1)
    process = command(config)
    deadline = time.monotonic() + 600
    while not (tmp_path / "run" / "checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert children, "the run had no loading process any more"
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    assert "a worker process that loads images died" in (message := refused(process)) and "--resume" in message
    assert 0 < checkpoint(tmp_path / "run")["step"] < 72
    ends_as_if_nothing_happened(config, whole)


def test_deleted_data_file_is_named_and_the_run_resumes(tmp_path, monkeypatch):
    folder = write_images(tmp_path / "set")
    whole = use_folder(tiny(tmp_path / "whole", epochs=3), folder)
    training.fit(whole, progress=False)
    config = use_folder(tiny(tmp_path / "run", epochs=3), folder)
    image, backup = folder / "images" / "5.png", tmp_path / "kept.png"
    after_step(monkeypatch, 3, lambda run: image.rename(backup))
    with pytest.raises(data.DataError, match=r"images/5\.png: no such file"):
        training.fit(config, progress=False)
    monkeypatch.undo()
    assert checkpoint(tmp_path / "run")["step"] in (2, 4)
    backup.rename(image)
    ends_as_if_nothing_happened(config, whole)


def test_changed_data_file_is_read_again(tmp_path):
    folder = write_images(tmp_path / "set")
    dataset = data.load(str(folder), "all")
    before = [dataset[i]["image"].copy() for i in range(2)]
    Image.fromarray(before[1]).save(folder / "images" / "0.png")
    assert np.array_equal(dataset[0]["image"], before[1]) and np.array_equal(dataset[1]["image"], before[1])
    Image.fromarray(np.full((40, 40), 7, np.uint8)).save(folder / "masks" / "0.png")
    with pytest.raises(data.DataError, match=r"masks/0\.png: has values other than 0 and 1"):
        dataset[0]


@pytest.mark.parametrize("minutes", [1e-9, 10], ids=["saved at each step", "saved at the end of an epoch"])
@pytest.mark.parametrize("what", ["gradient", "outputs"])
def test_nan_stops_the_run_before_anything_is_overwritten(tmp_path, monkeypatch, what, minutes):
    """A gradient, or an output of the network, that is NaN in the middle of an epoch."""
    whole = tiny(tmp_path / "whole", epochs=3)
    training.fit(whole, progress=False)
    config = tiny(tmp_path / "run", epochs=3, checkpoint_minutes=minutes)

    def corrupt(run):
        if what == "gradient":
            parameter = next(run.model.parameters())
            parameter.register_hook(lambda gradient: gradient * float("nan"))
        else:
            run.model.register_forward_hook(lambda model, inputs, outputs: outputs * float("nan"))

    after_step(monkeypatch, 4, corrupt)
    # Unless the weights are checked, a bad gradient shows in the loss of the next step.
    named = 5 if what == "gradient" and minutes == 10 else 4
    reason = r"epoch 2, learning rate .*, images \w" if what == "outputs" or minutes == 10 else "a weight is NaN"
    with pytest.raises(training.TrainingError, match=rf"(?=.*{reason}).*step {named} of 9.*checkpoint.*unchanged"):
        training.fit(config, progress=False)
    monkeypatch.undo()
    saved = checkpoint(tmp_path / "run")
    assert saved["step"] == (3 if minutes == 10 else 4)
    assert all(t.isfinite().all() for part in ("model", "ema") for t in saved[part].values())
    ends_as_if_nothing_happened(config, whole)


def test_jumping_clock_changes_nothing(tmp_path, monkeypatch):
    training.fit(tiny(tmp_path / "whole"), progress=False)
    jumps = iter([0, 1e9, -1e9, 3600, -3600] * 10_000)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + next(jumps))
    monkeypatch.setattr("tqdm.std.time", time.time)
    history = training.fit(tiny(tmp_path / "run", checkpoint_minutes=1e-9), progress=True)
    assert all(0 < entry["seconds"] < 600 and 0 <= entry["waiting_share"] <= 1 for entry in history)
    assert same(checkpoint(tmp_path / "whole")["model"], checkpoint(tmp_path / "run")["model"])


@pytest.mark.parametrize("room", ["for no file", "for the best weights alone"])
def test_full_disk_stops_the_command_and_keeps_the_files(tmp_path, room):
    """A limit on the size of the files stands for a disk that is nearly full."""
    whole = tiny(tmp_path / "whole", epochs=4)
    training.fit(whole, progress=False)
    config = tiny(tmp_path / "run", epochs=4)

    class Stop(Exception):
        pass

    def stop(entry):
        raise Stop

    with contextlib.suppress(Stop):
        training.fit(config, progress=False, on_validated=stop)
    before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
    best, all_of_it = len(before["best.safetensors"]), len(before["checkpoint.pt"])
    assert best < all_of_it
    limit = best // 2 if room == "for no file" else (best + all_of_it) // 2
    message = refused(
        command(config, "--resume", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    )
    assert re.search(r"(best\.safetensors|checkpoint\.pt): .*as it was before", message)
    after = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
    if room != "for no file":  # then the best weights may be one measurement ahead, and are whole
        weights.load(str(tmp_path / "run" / "best.safetensors"))
        assert "checkpoint.pt" in message and after.pop("best.safetensors") and before.pop("best.safetensors")
    assert after == before
    ends_as_if_nothing_happened(config, whole)


def without_roots_rights() -> None:
    """Remove root's right to write into any folder from this process and its children."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


@LINUX
@pytest.mark.parametrize("run", ["locked", "locked/run"])
def test_folder_that_cannot_be_written_is_named_at_the_start(tmp_path, run):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    config = tiny(tmp_path / run)
    config_file = tmp_path / "config.yaml"
    config_file.write_text(json.dumps(config_to_dict(config)))
    words = [sys.executable, "-m", "seglib", "train", str(config_file)]
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        preexec_fn=without_roots_rights,
    )
    assert config.output_dir in refused(process) and not list(locked.iterdir())


def test_files_stay_when_the_folder_becomes_read_only(tmp_path, monkeypatch):
    """The error of the system is simulated, because root may write everywhere."""
    config = tiny(tmp_path / "run", epochs=3)
    whole = tiny(tmp_path / "whole", epochs=3)
    training.fit(whole, progress=False)

    def deny(file, mode):
        raise PermissionError(13, "Permission denied", str(file))

    after_step(monkeypatch, 4, lambda run: monkeypatch.setattr("seglib.files.open", deny, raising=False))
    with pytest.raises(OSError, match="Permission denied; nothing was written"):
        training.fit(config, progress=False)
    monkeypatch.undo()
    assert checkpoint(tmp_path / "run")["step"] == 3
    ends_as_if_nothing_happened(config, whole)


def test_sigterm_is_handled_as_ctrl_c(tmp_path, monkeypatch):
    whole = tiny(tmp_path / "whole")
    training.fit(whole, progress=False)
    config = tiny(tmp_path / "run")
    after_step(monkeypatch, 2, lambda run: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        training.fit(config, progress=False)
    monkeypatch.undo()
    assert checkpoint(tmp_path / "run")["step"] == 2
    ends_as_if_nothing_happened(config, whole)


def test_a_second_ctrl_c_stops_at_once():
    before = signal.getsignal(signal.SIGINT)
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert interrupt.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_time_before_an_interruption_counts(tmp_path, monkeypatch):
    config = tiny(tmp_path / "run", epochs=1)
    after_step(monkeypatch, 2, lambda run: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        training.fit(config, progress=False)
    monkeypatch.undo()
    stopped = checkpoint(config.output_dir)
    assert 0 < stopped["partial_epoch"]["seconds"] < 600 and 0 <= stopped["partial_epoch"]["waiting"] < 600
    stopped["partial_epoch"] |= {"seconds": 4000.0, "waiting": 1000.0}
    torch.save(stopped, tmp_path / "run" / "checkpoint.pt")
    (entry,) = training.fit(config, resume=True, progress=False)
    assert 4000 < entry["seconds"] < 4600 and 0.2 < entry["waiting_share"] < 0.3


@pytest.mark.parametrize("kind", ["CUDA", "CPU", "MPS", "Python"])
def test_out_of_memory_says_what_fits_and_the_run_resumes(tmp_path, monkeypatch, kind):
    whole = tiny(tmp_path / "whole")
    training.fit(whole, progress=False)
    config = tiny(tmp_path / "run")

    def fill(run):
        if kind == "CPU":
            torch.empty(10**15)
        raise {
            "CUDA": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nAnd more."),
            "MPS": RuntimeError("MPS backend out of memory (MPS allocated: 8 GiB)"),
            "Python": MemoryError(),
        }[kind]

    after_step(monkeypatch, 4, fill)
    reason = {"CUDA": "CUDA out of", "CPU": ".*allocate memory", "MPS": "MPS backend out", "Python": "MemoryError"}
    remedy = "4 images at once do not fit.*--accumulation_steps=2.*--batch_size=2.*--resume"
    with pytest.raises(
        training.TrainingError,
        match=rf"out of memory \({reason[kind]}.*; {remedy}",
    ):
        training.fit(config, progress=False)
    monkeypatch.undo()
    assert checkpoint(tmp_path / "run")["step"] == 3
    ends_as_if_nothing_happened(config, whole)


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "appended pickle"])
def test_damaged_checkpoint_is_refused(tmp_path, damage):
    """One changed bit in the weights is enough; torch.load alone does not check the checksums."""
    training.fit(tiny(tmp_path / "run"), progress=False)
    file = tmp_path / "run" / "checkpoint.pt"
    good = bytearray(file.read_bytes())
    if damage == "flipped":
        value = next(iter(checkpoint(tmp_path / "run")["model"].values()))
        place = bytes(good).index(bytes(value.untyped_storage()))
        good[place + 5] ^= 4
    file.write_bytes({"cut": good[:-100], "empty": b"", "appended pickle": b"\x80\x04N."}.get(damage, bytes(good)))
    with pytest.raises(training.TrainingError, match="checkpoint.pt: the checkpoint is damaged"):
        training.fit(tiny(tmp_path / "run"), resume=True, progress=False)


SLOW = bool(os.environ.get("SEGLIB_SLOW"))


def open_files():
    """Count the open files. A loader and its worker refer to each other, so only a collection closes their pipes."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@LINUX
@pytest.mark.parametrize("workers", [0, 1])
def test_memory_files_and_processes_do_not_grow(tmp_path, workers):
    """A hundred steps, with SEGLIB_SLOW=1 an hour of them: memory, files and processes must not grow."""
    epochs = 4000 // (1 + workers) if SLOW else 60 // (1 + workers)
    config = tiny(tmp_path / "run", epochs=epochs, num_workers=workers, eval_interval=5)
    config.data.options = {"length": 6, "size": [32, 32]}
    config.model.options, config.augment.crop_sizes = {"width": 2}, [32]
    usage = []

    def look(entry):
        status = Path("/proc/self/status").read_text()
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        memory = int(status.split("VmRSS:")[1].split()[0]) / 1024
        usage.append((memory, len(os.listdir("/proc/self/fd")), len(children)))

    # Resources that a first run opens once, such as the monitor of loading processes, are no leak.
    training.fit(replace(config, output_dir=str(tmp_path / "first"), epochs=1), progress=False)
    files_before = open_files()
    training.fit(config, progress=False, on_validated=look)
    half = len(usage) // 2
    memory, files, children = zip(*usage[half:], strict=True)
    print(
        f"\n{epochs * 2} steps, {workers} workers: {memory[0]:.0f} MB at half time, {memory[-1]:.0f} MB at the end, "
        f"{files[-1]} open files, {children[-1]} processes"
    )
    assert max(memory) - memory[0] < 20
    assert len(set(files)) == 1 and len(set(children)) == 1
    assert open_files() <= files_before + 1
    assert not list((tmp_path / "run").glob(".*")), "temporary files were left behind"
    weights.load(str(tmp_path / "run" / "best.safetensors"))
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"] == 2 * epochs
