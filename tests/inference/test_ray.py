"""Prediction by Ray: every photograph once, though a process is killed; what is there stays; faults in a sentence."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from seglib import inference
from seglib.cli.main import main
from seglib.inference import batch, ray_engine
from tests.cli.test_predict import place_of_bad, write_weights

REPOSITORY = Path(__file__).resolve().parents[2]
PHOTOGRAPHS = 24


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder, which is the current one, with small weights, photographs and a broken one."""
    write_weights(tmp_path / "w.safetensors", width=4)
    (tmp_path / "photos").mkdir()
    for number in range(PHOTOGRAPHS):
        picture = np.random.default_rng(number).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(picture).resize((800, 600)).save(tmp_path / "photos" / f"p{number:02}.png")
    (tmp_path / "photos" / "bad.jpg").write_text("no picture")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words(out: str) -> list[str]:
    return ["predict", "photos", "--weights", "w.safetensors", "--kind", "mask", "--out", out, "--device", "cpu"]


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray: python -m pip install 'ray[data]'")
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes as on Linux")
def test_every_photograph_gets_its_result_once_though_a_process_is_killed(place):
    assert main(words("local")) == 1
    (place / "out").mkdir()
    shutil.copy("local/p07_mask.png", "out")
    os.utime("out/p07_mask.png", (1, 1))
    process = subprocess.Popen(
        [sys.executable, "-m", "seglib", *words("out"), "--engine", "ray", "--skip-existing"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
    )
    try:
        while len(written(place)) < 3 and process.poll() is None:
            time.sleep(0.005)
        for pid in working(process.pid):
            os.kill(pid, signal.SIGKILL)
            break
        else:
            pytest.fail(f"found no process to kill: {process.communicate()}")
        assert len(written(place)) < PHOTOGRAPHS - 8, "killed too late to matter"
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 1 and "Traceback" not in err, err
    skipped = [line for line in err.splitlines() if line.startswith("skipped")]  # Ray tells of the death too
    assert skipped == [f"skipped: {place}/{place_of_bad()}"]
    told = out.splitlines()
    assert told[0] == f"1 of {PHOTOGRAPHS + 1} images have their results already"
    assert told[-1] == f"{PHOTOGRAPHS - 1} of {PHOTOGRAPHS} images segmented; the results are in out/"
    named = [f"photos/p{number:02}.png" for number in range(PHOTOGRAPHS) if number != 7]
    assert sorted(line.partition(":")[0] for line in told if line.startswith("photos/")) == named
    assert written(place) == sorted(file.name for file in (place / "local").iterdir())
    for name in written(place):
        assert (np.asarray(Image.open(f"out/{name}")) == np.asarray(Image.open(f"local/{name}"))).all()
    assert Path("out/p07_mask.png").stat().st_mtime == 1


def written(place: Path) -> list[str]:
    return sorted(file.name for file in (place / "out").glob("*.png"))


def working(pid: int) -> list[int]:
    """The processes below `pid` in which Ray maps."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        command = Path(f"/proc/{child}/cmdline").read_bytes()
        found += [int(child)] * (b"ray::" in command and b"Map" in command) + working(int(child))
    return found


def test_without_ray_it_is_named(place, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*words("out"), "--engine", "ray"]) == 1
    err = capsys.readouterr().err
    assert "python -m pip install 'ray[data]'" in err and len(err.splitlines()) == 1
    assert main([*words("out"), "--ray-address", "somewhere:6379"]) == 1
    assert "--ray-address is for --engine ray" in capsys.readouterr().err


def test_what_a_process_says_reaches_the_caller(tmp_path, monkeypatch):
    """Without Ray, whose part a plain loop plays: results, faults, a full disk, a result that never came."""

    class Segmenter:
        def attempt(self, job):
            if job[0].name == "full":
                raise OSError(28, "No space left on device", str(job[1]))
            if job[0].name == "bad":
                return batch.Result(job[0], None, "bad: is bad")
            return batch.Result(job[0], np.arange(256))

    def rows(ray, jobs, make, gpu):
        process = ray_engine._Process(make)
        for number, (file, target) in reversed(list(enumerate(jobs))):
            if Path(file).name != "lost":
                yield process({"number": number, "file": file, "target": target})

    ended = []
    kinds = SimpleNamespace(RayError=RuntimeError, RayTaskError=RecursionError)
    ray = SimpleNamespace(exceptions=kinds, shutdown=lambda: ended.append(1))
    monkeypatch.setattr(ray_engine, "_ray", lambda: ray)
    monkeypatch.setattr(ray_engine, "_connect", lambda ray, address: None)
    monkeypatch.setattr(ray_engine, "_rows", rows)

    def results(*names):
        return list(ray_engine.results([(Path(name), tmp_path / name) for name in names], Segmenter))

    bad, good = results("good", "bad")
    assert (good.file, good.fault, bad.file, bad.fault) == (Path("good"), "", Path("bad"), "bad: is bad")
    assert (good.counts == np.arange(256)).all() and bad.counts is None
    with pytest.raises(OSError, match="full: No space left on device"):
        results("good", "full")
    with pytest.raises(inference.PredictionError, match="1 photographs got no result; go on with --skip-existing"):
        results("good", "lost")
    assert len(ended) == 3 and results() == []


def test_a_processor_is_left_to_ray(monkeypatch):
    """What is asked of Ray Data, as a stand-in hears it."""
    heard = {}

    class Heard:
        def map(self, what, **asked):
            heard.update(asked)
            return self

        def iter_rows(self):
            return []

    def asked(photographs, gpu=False, **there):
        heard.clear()
        stand_in = SimpleNamespace(
            cluster_resources=lambda: there,
            data=SimpleNamespace(
                DataContext=SimpleNamespace(get_current=SimpleNamespace),
                ActorPoolStrategy=lambda size: size,
                from_items=lambda items, override_num_blocks: heard.update(blocks=override_num_blocks) or Heard(),
            ),
        )
        assert list(ray_engine._rows(stand_in, [("a", "b")] * photographs, None, gpu)) == []
        return heard["compute"], heard["blocks"], heard["num_cpus"], heard["num_gpus"]

    assert asked(100, CPU=8) == (7, 28, 1, 0)
    assert asked(3, CPU=8) == (3, 3, 1, 0)
    assert asked(1_000_000, CPU=2) == (1, 10_000, 1, 0)
    assert asked(100, gpu=True, CPU=8, GPU=2) == (2, 13, 0, 1)
    assert asked(100, gpu=False, CPU=8, GPU=2) == (7, 28, 1, 0)
    with pytest.raises(inference.PredictionError, match="has 1 processors, but needs two"):
        asked(100, CPU=1)
