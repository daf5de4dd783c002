"""Several real processes under torchrun: the same result as one, and restarts."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from seglib import weights
from seglib.config import config_to_dict
from seglib.data.sampler import Plan, Share
from tests.training.test_trainer import checkpoint, tiny

REPOSITORY = Path(__file__).resolve().parents[2]
# A network without batch normalisation, whose statistics each CPU process would take from its own share.
SCRIPT = """
import os, sys
from torch import nn
from seglib import models, train
from seglib.config import load_config

def create(name, classes, **options):
    layers = nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, classes, 3, padding=1)
    return nn.Sequential(*layers)

def noted(run, networks):
    (run.folder / f"wrote-{os.environ.get('RANK', 0)}").touch()
    write(run, networks)

models.create = create
write, train.Run._write = train.Run._write, noted
wanted = load_config(sys.argv[1])
"""
TRAIN = SCRIPT + "train.train(wanted, progress=False)"
# Stopped in the second epoch as by Ctrl-C, and resumed by the same processes.
STOP_AND_GO_ON = (
    SCRIPT
    + """
import signal
from seglib.train import watch

def stopping(run, *batch):
    loss = original(run, *batch)
    assert all(p.to_local().numel() < p.numel() for p in run.model.parameters()), "not shared out"
    if run.step == 4:
        os.kill(os.getpid(), signal.SIGINT)
    return loss

watch.CHECK_EVERY, original, train.Run.train_step = 1, train.Run.train_step, stopping
try:
    train.train(wanted, progress=False)
    sys.exit("not stopped")
except KeyboardInterrupt:
    train.Run.train_step = original
train.train(wanted, resume=True, progress=False)
"""
)
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
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out


def written(config) -> str:
    """The file of `config`."""
    file = Path(f"{config.output_dir}.yaml")
    file.write_text(json.dumps(config_to_dict(config)))
    return str(file)


def test_shares_are_parts_of_the_batches():
    plan = Plan(10, tiny("unused"))
    shares = [list(Share(plan, rank, 3)) for rank in range(3)]
    for batch, *parts in zip(plan, *shares, strict=True):
        seen = [place for part in parts for place in part if place[1] >= 0]
        assert sorted(seen) == sorted(batch)
        assert all(part for part in parts)  # who has nothing to see looks at an ignored picture
    assert shares[2][2] == [(0, ~plan.batch(2)[0][1])]


def uneven(folder, **changes):
    config = tiny(folder, batch_size=5, epochs=3, **changes)
    config.data.options = {"length": 11, "size": [48, 64]}
    config.loss.terms = {"ce": 1.0, "dice": 1.0, "boundary": 0.5}
    return config


@pytest.mark.parametrize("name, script", [("copied", TRAIN), ("shared out", STOP_AND_GO_ON)])
def test_two_processes_give_what_one_gives(tmp_path, name, script):
    """Losses, scores and weights, an uneven last batch with an ignored picture included; and both write once.

    Whether each has a copy of the weights or a share: then the run also stops in the middle and goes on.
    """
    (tmp_path / "one.py").write_text(TRAIN)
    (tmp_path / "two.py").write_text(script)
    sharding = "full" if name == "shared out" else "none"
    finish(launch(tmp_path, "one.py", written(uneven(tmp_path / "one"))))
    finish(launch(tmp_path, *TORCHRUN, "two.py", written(uneven(tmp_path / "two", sharding=sharding))))
    mine, theirs = (json.loads((tmp_path / run / "history.json").read_text()) for run in ("one", "two"))
    assert [entry["images"] for entry in theirs] == [11, 11, 11]
    for a, b in zip(mine, theirs, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-5)
        assert b["val"] == pytest.approx(a["val"], abs=1e-3)
    assert [file.name for file in (tmp_path / "two").glob("wrote-*")] == ["wrote-0"]
    one, two = checkpoint(tmp_path / "one"), checkpoint(tmp_path / "two")
    for part in ("model", "average"):
        alike(one[part], two[part])
    assert one["optimizer"]["param_groups"] == two["optimizer"]["param_groups"]
    for number, state in one["optimizer"]["state"].items():
        alike(state, two["optimizer"]["state"][number])
    released = [weights.read_tensors(tmp_path / run / "best.safetensors")[0] for run in ("one", "two")]
    alike(*released)


def alike(one: dict, two: dict) -> None:
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes as on Linux")
def test_two_hosts_one_of_them_killed_go_on_and_end_the_same(tmp_path):
    """Two launchers on this machine stand for two hosts.  When one is killed with its process the other one stops too;
    started again with --resume they go on, and end with the weights of a run that nothing happened to."""

    def hosts(name: str, *more: str) -> list[subprocess.Popen]:
        where = ["-m", "torch.distributed.run", "--nnodes=2", "--master-port=29731"]
        file = written(tiny(tmp_path / name, epochs=6))
        return [
            launch(tmp_path, *where, f"--node-rank={rank}", "-m", "seglib", "train", file, *more) for rank in (0, 1)
        ]

    for process in hosts("whole"):
        finish(process)
    first, second = hosts("killed")
    wait_for(tmp_path / "killed" / "checkpoint.pt")
    workers = Path(f"/proc/{second.pid}/task/{second.pid}/children").read_text().split()
    for pid in [second.pid, *map(int, workers)]:
        os.kill(pid, signal.SIGKILL)
    second.communicate()
    out, _ = first.communicate(timeout=300)
    assert first.returncode == 1, out
    assert checkpoint(tmp_path / "killed")["step"] < 18
    for process in hosts("killed", "--resume"):
        finish(process)
    whole, killed = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "killed")
    assert len(killed["history"]) == 6
    for key, value in whole["model"].items():
        torch.testing.assert_close(killed["model"][key], value, rtol=1e-5, atol=1e-6)


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 180
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} did not come"
        time.sleep(0.02)
