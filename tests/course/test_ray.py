"""Prediction with Ray: every image once, even if a process is killed; existing results stay; clear errors."""

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

from course import ray_engine
from seglib import inference
from seglib.cli.main import main
from seglib.inference import batch
from tests.cli.test_predict import place_of_bad, write_weights

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGES = 24


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A current folder with small weights, images and a corrupted one."""
    write_weights(tmp_path / "w.safetensors", width=4)
    (tmp_path / "photos").mkdir()
    for number in range(IMAGES):
        image = np.random.default_rng(number).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(image).resize((800, 600)).save(tmp_path / "photos" / f"p{number:02}.png")
    (tmp_path / "photos" / "bad.jpg").write_text("not an image")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words(out: str) -> list[str]:
    return ["predict", "photos", "--weights", "w.safetensors", "--kind", "mask", "--out", out, "--device", "cpu"]


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray: python -m pip install 'ray[data]'")
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes as on Linux")
def test_every_image_gets_its_result_once_even_if_a_process_is_killed(place):
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
            pytest.fail(f"processes no process to kill: {process.communicate()}")
        assert len(written(place)) < IMAGES - 8, "killed too late to matter"
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 1 and "Traceback" not in err, err
    skipped = [line for line in err.splitlines() if line.startswith("skipped")]  # Ray reports the death too
    assert skipped == [f"skipped: {place}/{place_of_bad()}"]
    lines = out.splitlines()
    assert lines[0] == f"1 of {IMAGES + 1} images already have results"
    assert lines[-1] == f"{IMAGES - 1} of {IMAGES} images segmented; the results are in out/"
    named = [f"photos/p{number:02}.png" for number in range(IMAGES) if number != 7]
    assert sorted(line.partition(":")[0] for line in lines if line.startswith("photos/")) == named
    assert written(place) == sorted(file.name for file in (place / "local").iterdir())
    for name in written(place):
        assert (np.asarray(Image.open(f"out/{name}")) == np.asarray(Image.open(f"local/{name}"))).all()
    assert Path("out/p07_mask.png").stat().st_mtime == 1


def written(place: Path) -> list[str]:
    return sorted(file.name for file in (place / "out").glob("*.png"))


def working(pid: int) -> list[int]:
    """Return the child processes of `pid` in which Ray runs the tasks."""
    processes = []
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        commands = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    except FileNotFoundError:  # the process has ended
        return []
    for child, command in commands.items():
        processes += [int(child)] * (b"ray::" in command and b"Map" in command) + working(int(child))
    return processes


def test_without_ray_it_is_named(place, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*words("out"), "--engine", "ray"]) == 1
    err = capsys.readouterr().err
    assert "python -m pip install 'ray[data]'" in err and len(err.splitlines()) == 1
    assert main([*words("out"), "--ray-address", "somewhere:6379"]) == 1
    assert "--ray-address needs --engine ray" in capsys.readouterr().err


def test_results_and_errors_of_a_process_reach_the_caller(tmp_path, monkeypatch):
    """Without Ray, which a plain loop replaces: results, errors, a full disk, a result that is missing."""

    class Predictor:
        def predict(self, task):
            if task.image.name == "full":
                raise OSError(28, "No space left on device", str(task.target))
            if task.image.name == "bad":
                return batch.PredictResult(task.image, error="bad: is bad")
            return batch.PredictResult(task.image, np.arange(256))

    def rows(ray, tasks, make, gpu):
        process = ray_engine._Process(make)
        for number, task in reversed(list(enumerate(tasks))):
            if not task[0].endswith("lost"):
                yield process({"number": number, "task": task})

    ended = []
    kinds = SimpleNamespace(RayError=RuntimeError, RayTaskError=RecursionError)
    ray = SimpleNamespace(exceptions=kinds, shutdown=lambda: ended.append(1))
    monkeypatch.setattr(ray_engine, "_import_ray", lambda: ray)
    monkeypatch.setattr(ray_engine, "_connect", lambda ray, address: None)
    monkeypatch.setattr(ray_engine, "_rows", rows)

    def results(*names):
        return list(
            ray_engine.predict_with_ray([batch.PredictTask(Path(name), tmp_path / name) for name in names], Predictor)
        )

    bad, good = results("good", "bad")
    assert (good.file, good.error, bad.file, bad.error) == (Path("good"), "", Path("bad"), "bad: is bad")
    assert (good.counts == np.arange(256)).all() and bad.counts is None
    with pytest.raises(OSError, match="No space left on device: .*full"):
        results("good", "full")
    with pytest.raises(inference.PredictionError, match="1 images have no result; resume with --skip-existing"):
        results("good", "lost")
    assert len(ended) == 3 and results() == []


def test_one_cpu_is_reserved_for_ray(monkeypatch):
    """A fake records the arguments of Ray Data."""
    recorded = {}

    class Recorder:
        def map(self, what, **arguments):
            recorded.update(arguments)
            return self

        def iter_rows(self):
            return []

    def arguments(images, gpu=False, **there):
        recorded.clear()
        fake_ray = SimpleNamespace(
            cluster_resources=lambda: there,
            data=SimpleNamespace(
                DataContext=SimpleNamespace(get_current=SimpleNamespace),
                ActorPoolStrategy=lambda size: size,
                from_items=lambda items, override_num_blocks: recorded.update(blocks=override_num_blocks) or Recorder(),
            ),
        )
        assert list(ray_engine._rows(fake_ray, [batch.PredictTask(Path("a"), Path("b"))] * images, None, gpu)) == []
        return recorded["compute"], recorded["blocks"], recorded["num_cpus"], recorded["num_gpus"]

    assert arguments(100, CPU=8) == (7, 28, 1, 0)
    assert arguments(3, CPU=8) == (3, 3, 1, 0)
    assert arguments(1_000_000, CPU=2) == (1, 10_000, 1, 0)
    assert arguments(100, gpu=True, CPU=8, GPU=2) == (2, 13, 0, 1)
    assert arguments(100, gpu=False, CPU=8, GPU=2) == (7, 28, 1, 0)
    with pytest.raises(inference.PredictionError, match="has 1 processors, but needs two"):
        arguments(100, CPU=1)
