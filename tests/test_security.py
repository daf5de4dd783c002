"""Promises of docs/security.md that no other test checks, and that the tests named in the documents exist."""

import ast
import contextlib
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from safetensors.torch import save as to_bytes

from seglib import models, training, weights
from seglib.models import CheckpointError, pretrained
from tests.fuzz.networks import WILD, hostile, pickles, small
from tests.training.test_trainer import tiny

REPOSITORY = Path(__file__).resolve().parents[1]
LOCKED_FOR = {
    "extra": "",
    "python_version": "3.11",
    "python_full_version": "3.11.0",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "implementation_name": "cpython",
}
PACKAGE = sorted((REPOSITORY / "seglib").rglob("*.py"))


@pytest.mark.parametrize("document", ["security.md", "reliability.md"])
def test_documents_name_existing_tests(document):
    text = (REPOSITORY / "docs" / document).read_text(encoding="utf-8")
    named = re.findall(r"\[(test_\w+)\]\(\.\./(tests/[\w/]+\.py)\)", text)
    assert len(named) >= 15 and len(named) == len(re.findall(r"\btest_\w+(?!\w*\.py)\b(?=\])", text))
    for test, file in named:
        tree = ast.parse((REPOSITORY / file).read_text(encoding="utf-8"))
        assert test in {part.name for part in tree.body if isinstance(part, ast.FunctionDef)}, f"{file} has no {test}"


def test_every_fault_of_the_reliability_page_has_a_test():
    text = (REPOSITORY / "docs" / "reliability.md").read_text(encoding="utf-8")
    faults = text.split("| what breaks |")[1].split("\n\n")[0]
    rows = [line for line in faults.splitlines() if line.startswith("| ")]
    assert len(rows) >= 19 and all("[test_" in row for row in rows)


def test_files_are_loaded_without_running_them_everywhere():
    """No pickle, no eval, no shell; torch.load and its like only with weights_only=True; YAML only as plain values."""
    for file in PACKAGE:
        for call in (part for part in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(part, ast.Call)):
            name = ast.unparse(call.func)
            where = f"{file.relative_to(REPOSITORY)}:{call.lineno}: {name}"
            assert name not in ("eval", "exec", "os.system", "os.popen", "__import__", "yaml.load"), where
            assert not re.match(r"(pickle|marshal|shelve|dill|joblib)\.", name), where
            options = {option.arg: ast.unparse(option.value) for option in call.keywords}
            assert options.get("shell", "False") == "False" and options.get("allow_pickle", "False") == "False", where
            if name in ("torch.load", "torch.hub.load_state_dict_from_url"):
                assert options.get("weights_only") == "True", where


def test_no_pickle_is_ever_run(tmp_path, monkeypatch):
    """A payload, which would create a folder, is put in every place from which weights are read."""
    mark = tmp_path / "mark"
    run = training.Trainer(tiny(tmp_path / "run"))
    run.folder.mkdir()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    for content in pickles(mark):
        (tmp_path / "own.safetensors").write_bytes(content)
        with pytest.raises(weights.WeightsError, match="damaged or not a safetensors file"):
            weights.load(str(tmp_path / "own.safetensors"))
        (run.folder / "checkpoint.pt").write_bytes(content)
        with pytest.raises(training.TrainingError, match="damaged"):
            run.load_checkpoint()
        name = f"hrnet_w18_small_v1-{hashlib.sha256(content).hexdigest()[:8]}.pth"  # as with a forged hash
        monkeypatch.setitem(pretrained.PUBLIC["hrnet_w18_small_v1"], "imagenet", f"https://example.org/{name}")
        (tmp_path / "checkpoints" / name).write_bytes(content)
        with pytest.raises(CheckpointError, match="hrnet_w18_small_v1"):
            pretrained.fetch("hrnet_w18_small_v1", "imagenet")
        assert not mark.exists()
    torch.load(io.BytesIO(pickles(mark)[1]), weights_only=False)
    assert mark.exists()  # the payload works, so this test would detect that it ran


def test_invalid_metadata_is_refused_before_anything_is_built(tmp_path, monkeypatch):
    tensors, notes = small()
    file = tmp_path / "own.safetensors"

    def message(**changes) -> str:
        changed = json.loads(json.dumps({**notes, **changes}))
        file.write_bytes(to_bytes(tensors, {"notes": json.dumps(changed)}))
        with pytest.raises(weights.WeightsError) as excinfo:
            weights.load(str(file))
        return str(excinfo.value)

    def config(**model):
        return {**notes["config"], "model": {**notes["config"]["model"], **model}}

    assert "invalid config.model in its metadata" in message(config=config(options={"width": 10**9}))
    assert "invalid palette in its metadata" in message(palette=[[0, 0, 0], [0, 0, 256]])
    assert "invalid palette in its metadata" in message(palette=[[0, 0, 0]])
    assert "invalid classes in its metadata" in message(classes=["a\n", "b"])
    assert "invalid num_outputs in its metadata" in message(num_outputs=10**6)
    assert "no config.data in its metadata" in message(config={k: v for k, v in notes["config"].items() if k != "data"})
    assert "invalid config.data in its metadata" in message(config={**notes["config"], "data": {"name": 3}})
    assert "invalid config.inference in its metadata" in message(
        config={**notes["config"], "inference": {"longest_side": -1}}
    )
    large = {"longest_side": 0, "flip": False, "scales": [1.0], "mean": [10**400], "std": [1.0]}  # no float
    assert "invalid config.inference in its metadata" in message(config={**notes["config"], "inference": large})
    real, devices = models.create, []

    def watched(*words, **options):
        model = real(*words, **options)
        devices.append(next(model.parameters()).device.type)
        return model

    monkeypatch.setattr(models, "create", watched)
    wider = message(config=config(options={"width": 4096}))
    assert re.search(r"stem\.0\.weight: .*\[2, 3, 3, 3\].* from checkpoint, .*\[4096, 3, 3, 3\]", wider)
    assert "the tensors do not fit hrnet_w18" in message(config=config(name="hrnet_w18", options={}))
    assert "'vgg' is not a known network" in message(config=config(name="vgg"))
    assert devices == ["meta", "meta"]  # which takes no memory


def test_the_fuzz_tests_replace_every_part_of_the_metadata():
    """Every part of the metadata is replaced, and every wrong value is used."""
    _, notes = small()
    changed = [hostile(notes, np.random.default_rng(i)) for i in range(400)]
    assert sum(one != notes for one in changed) > 390
    for part in ("classes", "palette", "num_outputs", "config"):
        assert any(one.get(part) != notes[part] for one in changed)
    options = [one.get("config") or {} for one in changed]
    widths = [
        o["model"]["options"]
        for o in options
        if isinstance(o, dict) and isinstance(o.get("model"), dict) and isinstance(o["model"].get("options"), dict)
    ]
    assert any(width.get("width") not in (2, None) for width in widths) and len(WILD) > 15


def test_importing_and_training_open_no_connection(tmp_path):
    script = f"""
import socket, sys
tried = []
def refuse(*_):
    tried.append("a connection")  # recorded too, since callers may catch every exception
    raise AssertionError("a connection was opened")
socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refuse
import seglib
[getattr(seglib, name) for name in dir(seglib)]
from seglib import training
from tests.training.test_trainer import tiny
training.fit(tiny({str(tmp_path / "run")!r}, epochs=1), progress=False)
print("trained", *tried)
"""
    clean = {name: value for name, value in os.environ.items() if name != "NO_ALBUMENTATIONS_UPDATE"}  # set by tests
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY, timeout=240, env=clean
    )
    assert result.stdout.strip().endswith("trained"), result.stderr


def test_every_package_of_the_lock_file_is_pinned_by_a_hash():
    text = (REPOSITORY / "requirements" / "lock.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.!+-]+ \\", line) for line in lines[::2])
    assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}", line) for line in lines[1::2])
    assert not re.search(r"https?:|file:|--index|--find-links|/", "".join(lines))
    pinned = dict(line.removesuffix(" \\").split("==") for line in lines[::2])
    pinned = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pinned.items()}
    direct = re.findall(r"^([\w-]+)", (REPOSITORY / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    todo, needed = [name.lower() for name in direct], set()
    while todo:
        name = todo.pop()
        assert name in pinned, name
        needed.add(name)
        with contextlib.suppress(metadata.PackageNotFoundError):
            if metadata.version(name) == pinned[name]:  # else it may need other things
                requirements = [Requirement(text) for text in metadata.requires(name) or []]
                names = {one.name for one in requirements if not one.marker or one.marker.evaluate(LOCKED_FOR)}
                todo += {re.sub(r"[-_.]+", "-", one).lower() for one in names} - needed
    assert needed <= pinned.keys()
