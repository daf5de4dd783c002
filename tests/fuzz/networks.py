"""Corrupted weights and checkpoints: refused, or loaded with the same tensors; no code in them ever runs."""

import copy
import io
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pooch
import torch
from numpy.random import Generator
from safetensors.torch import save as to_bytes

from seglib import models, training, weights
from seglib.config import Config, config_to_dict

from .mutate import corrupted
from .verdict import one_line

# Wrong values that a hostile file may contain.
WILD = (
    None,
    True,
    -1,
    0,
    10**9,
    10**30,
    1e300,
    float("nan"),
    "",
    "unet",
    "../..",
    "x" * 10_000,
    [],
    [[[]]],
    {},
    {"a": 1},
    [1] * 300,
    ["a", "a"],
    "\ud800",
)


class Payload:
    """An object that creates the folder `mark` when it is unpickled, which proves that a pickle ran."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def pickles(mark: Path) -> list[bytes]:
    """Return files in several formats that run `Payload` if they are unpickled without protection."""
    whole, inside, old = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save(Payload(mark), whole)
    torch.save({"model": {"a": torch.zeros(2)}, "step": 0, "config": Payload(mark)}, inside)
    torch.save(Payload(mark), old, _use_new_zipfile_serialization=False)
    return [pickle.dumps(Payload(mark), protocol=2), whole.getvalue(), inside.getvalue(), old.getvalue()]


def small() -> tuple[dict[str, torch.Tensor], dict]:
    """Return the tensors and metadata of a small network, as a training run writes them."""
    torch.manual_seed(0)
    config = Config()
    config.model.options = {"width": 2}
    notes = {
        "config": config_to_dict(config),
        "classes": ["background", "horse"],
        "palette": [[0, 0, 0], [230, 159, 0]],
        "num_outputs": 2,
        "epoch": 3,
        "val": {"miou": 0.5},
    }
    return models.create("unet", 2, width=2).state_dict(), notes


def released(folder: Path) -> Callable[[Generator], str]:
    """Released weights, which the manifest lists: every change must be refused."""
    tensors, notes = small()
    good = to_bytes(tensors, {"notes": json.dumps(notes)})
    file, mark = folder / "small.safetensors", folder / "mark"
    file.write_bytes(good)
    entry = {"file": file.name, "bytes": len(good), "sha256": pooch.file_hash(str(file))}
    (folder / "manifest.json").write_text(json.dumps({"address": "", "weights": {"small": entry}}))
    others = [good, *pickles(mark)]

    def run_case(rng: Generator) -> str:
        weights.FOLDER = folder
        content = corrupted(others[int(rng.integers(len(others)))] if rng.random() < 0.1 else good, rng, others)
        file.write_bytes(content)
        try:
            weights.load("small")
        except weights.WeightsError as error:
            assert not mark.exists() and content != good
            return one_line(error, file)
        assert content == good, "a file that differs from the released one was accepted"
        return "read"

    return run_case


def unlisted(folder: Path) -> Callable[[Generator], str]:
    """A .safetensors file without a published hash: it gives the network that it describes, or is refused."""
    tensors, notes = small()
    good, mark = to_bytes(tensors, {"notes": json.dumps(notes)}), folder / "mark"
    others, file = [good, *pickles(mark)], folder / "own.safetensors"

    def run_case(rng: Generator) -> str:
        way = rng.random()
        if way < 0.4:
            content = corrupted(good, rng, others)
        elif way < 0.5:
            content = others[1 + int(rng.integers(len(others) - 1))]
        else:
            content = to_bytes(tensors, {"notes": json.dumps(hostile(notes, rng))})
        file.write_bytes(content)
        try:
            model, metadata = weights.load(str(file))
        except weights.WeightsError as error:
            assert not mark.exists()
            return one_line(error, file)
        with torch.inference_mode():
            assert model(torch.zeros(1, 3, 16, 16)).shape[0] == 1
        _usable(metadata)
        return "read"

    return run_case


def _usable(notes: dict) -> None:
    """Use the metadata of an accepted file as the commands do."""
    assert np.array(notes["palette"], np.uint8).reshape(-1, 3).shape[0] == len(notes["classes"])
    ", ".join(notes["classes"])
    assert set(notes["config"]["inference"]) >= {"longest_side", "flip", "scales"}


def hostile(notes: dict, rng: Generator) -> dict:
    """Return the metadata with one to three of its values, at any depth, replaced or removed."""
    notes = copy.deepcopy(notes)
    for _ in range(int(rng.integers(1, 4))):
        part = notes
        while True:
            keys = list(part) if isinstance(part, dict) else range(len(part))
            if not keys:
                break
            # the entries that define the network matter most
            near = [key for key in keys if key in ("config", "model", "inference", "options", "classes", "palette")]
            chosen = near if near and rng.random() < 0.7 else list(keys)
            key = chosen[int(rng.integers(len(chosen)))]
            if isinstance(part[key], (dict, list)) and part[key] and rng.random() < 0.8:
                part = part[key]
                continue
            if rng.random() < 0.2:
                del part[key]
            else:
                part[key] = copy.deepcopy(WILD[int(rng.integers(len(WILD)))])
            break
    return notes


def checkpoints(folder: Path) -> Callable[[Generator], str]:
    """checkpoint.pt of a training run: refused, or exactly what was saved."""
    config = Config(output_dir=str(folder), epochs=1, batch_size=4, amp="off", device="cpu", num_workers=0)
    config.data.name, config.data.options = "creatures", {"length": 4, "size": [32, 32]}
    config.augment.crop_sizes, config.model.options = [32], {"width": 2}
    run, file, mark = training.Trainer(config), folder / "checkpoint.pt", folder / "mark"
    run.save_checkpoint()
    good, others = file.read_bytes(), [file.read_bytes(), *pickles(mark)]
    state, saved = torch.load(io.BytesIO(good), weights_only=True), _everything(run)

    def run_case(rng: Generator) -> str:
        way = rng.random()
        if way < 0.7:
            content = corrupted(good, rng, others)
        elif way < 0.75:
            content = others[1 + int(rng.integers(len(others) - 1))]
        else:  # a valid file with other content
            buffer = io.BytesIO()
            torch.save(hostile(state, rng) if way < 0.95 else WILD[int(rng.integers(len(WILD)))], buffer)
            content = buffer.getvalue()
        file.write_bytes(content)
        try:
            run.load_checkpoint()
        except training.TrainingError as error:
            assert not mark.exists()
            return one_line(error, file)
        assert not mark.exists()
        assert way >= 0.7 or _everything(run) == saved, "weights other than the saved ones were accepted silently"
        return "read"

    return run_case


def _everything(run: training.Trainer) -> bytes:
    """Return the weights and everything else that a training step depends on, as bytes."""
    parts = [*run.model.state_dict().values(), *run.ema.model.state_dict().values()]
    numbers = b"".join(part.numpy().tobytes() for part in parts)
    return numbers + repr((run.step, run.history, run.partial_epoch, run.optimizer.state_dict())).encode()
