"""Several real processes under torchrun: the same result as one, and restarts."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from seglib import weights
from seglib.config import config_to_dict
from seglib.data.sampler import DistributedBatchSampler, TrainingBatchSampler, accumulation_weights
from tests.training.test_trainer import checkpoint, tiny

REPOSITORY = Path(__file__).resolve().parents[2]
# A network without batch normalization, whose statistics each CPU process would take from its own share.
SCRIPT = """
import os, sys
import torch
from torch import nn
from seglib import distributed, models, training
from seglib.config import load_config
from seglib.training import checkpoint

def create(name, classes, channels, start, **options):
    layers = nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, classes, 3, padding=1)
    return nn.Sequential(*layers, *[nn.Dropout(0.5)] * ("dropout" in options))

def write_noted(folder, state):
    (folder / f"wrote-{os.environ.get('RANK', 0)}").touch()
    write_checkpoint(folder, state)

models.create = create
write_checkpoint, checkpoint.write_checkpoint = checkpoint.write_checkpoint, write_noted
"""
TRAIN = """
for file in sys.argv[1:]:
    training.fit(load_config(file), progress=False)
"""
# The last run is stopped by Ctrl-C in one of the processes in the second epoch, and resumed by the same processes.
STOP_AND_RESUME = """
import signal
from seglib.training import interrupt

def stopping(trainer, *batch):
    loss = train_step(trainer, *batch)
    if trainer.step == 4 and distributed.rank() == 1:
        os.kill(os.getpid(), signal.SIGINT)
    return loss

settings = load_config(sys.argv.pop())
steps_between, train_step = interrupt.MAX_STEPS_BETWEEN, training.Trainer.train_step
interrupt.MAX_STEPS_BETWEEN, training.Trainer.train_step = 1, stopping
try:
    training.fit(settings, progress=False)
    sys.exit("not stopped")
except KeyboardInterrupt:
    training.Trainer.train_step = train_step
training.fit(settings, resume=True, progress=False)
interrupt.MAX_STEPS_BETWEEN = steps_between  # the runs after this one exchange flags as rarely as any
"""
DROPOUT = """
dropout_file = sys.argv.pop()
trainer = training.Trainer(load_config(dropout_file))
masks = []
trainer.model[-1].register_forward_hook(lambda module, inputs, output: masks.append(output.detach() != 0))
images, labels = torch.zeros(2, 32, 32, 3, dtype=torch.uint8), torch.zeros(2, 32, 32, dtype=torch.uint8)
trainer.train_step(images, labels)
first, second = distributed.all_gather(masks[0])
assert not torch.equal(first, second), "both processes drew the same dropout mask"
if distributed.rank() == 0:
    torch.save(masks[0], dropout_file + ".mask")
"""
TORCHRUN = "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"


def launch(folder: Path, *command: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
        cwd=folder,
    )


def finish(process: subprocess.Popen) -> None:
    out, _ = process.communicate(timeout=900)
    assert process.returncode == 0, out


def written(config) -> str:
    """The file of `config`."""
    file = Path(f"{config.output_dir}.yaml")
    file.write_text(json.dumps(config_to_dict(config)))
    return str(file)


def test_shares_make_up_the_batches():
    sampler = TrainingBatchSampler(10, tiny("unused"))
    shares = [list(DistributedBatchSampler(sampler, rank, 3)) for rank in range(3)]
    for batch, *parts in zip(sampler, *shares, strict=True):
        items = [item for part in parts for item in part if item[1] >= 0]
        assert sorted(items) == sorted(batch)
        assert all(part for part in parts)  # a process without an image gets one with an ignored mask
    assert shares[2][2] == [(0, ~sampler.batch(2)[0][1])]


@pytest.mark.parametrize("num_images, num_parts, world_size", [(5, 2, 2), (7, 3, 2), (8, 2, 1), (9, 3, 3), (1, 1, 4)])
def test_accumulation_weights_are_shares_of_the_batch(num_images, num_parts, world_size):
    """The parts of all processes together, cut as `torch.tensor_split` does."""
    sizes = [0] * num_parts
    for rank in range(world_size):
        for i, part in enumerate(torch.arange(num_images)[rank::world_size].tensor_split(num_parts)):
            sizes[i] += len(part)
    weights_of_parts = accumulation_weights(num_images, num_parts, world_size)
    assert weights_of_parts == [size / num_images for size in sizes] and sum(sizes) == num_images


def uneven(folder, **changes):
    """A run whose batches the processes cannot share evenly."""
    config = tiny(folder, batch_size=5, epochs=3, **changes)
    config.data.options = {"length": 11, "size": [48, 64]}
    config.loss.terms = {"ce": 1.0, "dice": 1.0, "boundary": 0.5}
    return config


RUNS = {"plain": 1, "accumulation": 2, "resumed": 1}  # accumulation steps


@pytest.fixture(scope="module")
def runs_of_one_and_two(tmp_path_factory):
    """Train all runs in one process, and in two. Returns their folder."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "one.py").write_text(SCRIPT + TRAIN)
    (folder / "two.py").write_text(SCRIPT + DROPOUT + STOP_AND_RESUME + TRAIN)
    dropout = tiny(folder / "dropout")
    dropout.model.options = {"dropout": 0.5}
    for script, start, last in (("one", [], []), ("two", TORCHRUN, [dropout])):
        configs = [uneven(folder / f"{script}-{name}", accumulation_steps=steps) for name, steps in RUNS.items()]
        finish(launch(folder, *start, f"{script}.py", *map(written, configs + last)))
    return folder


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_match_one(runs_of_one_and_two, name):
    """Losses, scores and weights, with an uneven last batch; and only rank 0 writes."""
    folders = [runs_of_one_and_two / f"{processes}-{name}" for processes in ("one", "two")]
    expected, history = (json.loads((folder / "history.json").read_text()) for folder in folders)
    assert [entry["images"] for entry in history] == [11, 11, 11]
    for a, b in zip(expected, history, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-5)
        assert b["val"] == pytest.approx(a["val"], abs=1e-3)
    assert [file.name for file in folders[1].glob("wrote-*")] == ["wrote-0"]
    one, two = map(checkpoint, folders)
    for part in ("model", "ema"):
        alike(one[part], two[part])
    assert one["optimizer"]["param_groups"] == two["optimizer"]["param_groups"]
    for number, state in one["optimizer"]["state"].items():
        alike(state, two["optimizer"]["state"][number])
    alike(*(weights.read_tensors(folder / "best.safetensors")[0] for folder in folders))


def test_processes_draw_different_dropout_masks(runs_of_one_and_two):
    seed = int(np.random.SeedSequence([0, 0]).generate_state(1)[0])  # rank 0 draws what one process draws
    torch.manual_seed(seed)
    mask = torch.load(runs_of_one_and_two / "dropout.yaml.mask")
    ones = torch.ones(mask.shape).contiguous(memory_format=torch.channels_last)
    assert torch.equal(mask, torch.nn.functional.dropout(ones, 0.5) != 0)


def alike(one: dict, two: dict) -> None:
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes as on Linux")
def test_two_hosts_resume_after_one_was_killed(tmp_path):
    """Two launchers on this machine stand for two hosts.  When one is killed with its process the other one stops too;
    restarted with --resume they continue, and end with the weights of an uninterrupted run on one host.

    The uninterrupted run gets all its options on the command line: torchrun reads abbreviations of its own options
    anywhere in the command, and --run meant --run-path.
    """

    def hosts(name: str, *more: str) -> list[subprocess.Popen]:
        where = ["-m", "torch.distributed.run", "--nnodes=2", "--master-port=29731"]
        file = written(tiny(tmp_path / name, epochs=6))
        return [
            launch(tmp_path, *where, f"--node-rank={rank}", "-m", "seglib", "train", file, *more) for rank in (0, 1)
        ]

    words = [f"--output_dir={tmp_path / 'whole'}", "--epochs=6"]
    finish(launch(tmp_path, *TORCHRUN, "-m", "seglib", "train", written(tiny(tmp_path / "unused")), *words))
    first, second = hosts("killed")
    wait_for(tmp_path / "killed" / "checkpoint.pt")
    workers = Path(f"/proc/{second.pid}/task/{second.pid}/children").read_text().split()
    for pid in [second.pid, *map(int, workers)]:
        os.kill(pid, signal.SIGKILL)
    second.communicate()
    out, _ = first.communicate(timeout=900)
    assert first.returncode == 1, out
    assert checkpoint(tmp_path / "killed")["step"] < 18
    for process in hosts("killed", "--resume"):
        finish(process)
    whole, killed = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "killed")
    assert len(killed["history"]) == 6
    for key, value in whole["model"].items():
        torch.testing.assert_close(killed["model"][key], value, rtol=1e-5, atol=1e-6)


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 600
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} did not come"
        time.sleep(0.02)
