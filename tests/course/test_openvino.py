"""Prediction with OpenVINO: the same masks as with PyTorch at any size, and clear errors."""

import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from course import openvino_engine
from seglib import models, weights
from seglib.cli.main import main
from seglib.inference.onnx import OnnxNetwork
from tests.cli.test_predict import write_weights

MISSING = importlib.util.find_spec("openvino") is None
installed = pytest.mark.skipif(MISSING, reason="needs OpenVINO: pip install openvino")
NAMES = ("unet-horses", "efficientnet_unet-humans")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A current folder with small weights, images of different sizes, and a corrupted one."""
    write_weights(tmp_path / "w.safetensors", width=4)
    (tmp_path / "photos").mkdir()
    for number, size in enumerate(((61, 45), (40, 30), (33, 120))):
        image = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(image).resize(size).save(tmp_path / "photos" / f"p{number}.png")
    (tmp_path / "photos" / "bad.jpg").write_text("not an image")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words(*options: str) -> list[str]:
    return ["predict", "photos", "--weights", "w.safetensors", "--device", "cpu", "--longest-side", "0", *options]


@installed
def test_probabilities_equal_those_of_pytorch(place, capsys):
    kind = ("--kind", "probabilities")
    assert main(words("--out", "torch", *kind)) == main(words("--out", "openvino", "--engine", "openvino", *kind)) == 1
    assert "bad.jpg" in capsys.readouterr().err
    for number in range(3):
        files = (f"{folder}/p{number}_probabilities.npz" for folder in ("torch", "openvino"))
        expected, got = (np.load(file)["probabilities"] for file in files)
        assert expected.std() > 0 and expected.shape == got.shape
        np.testing.assert_allclose(got, expected, atol=1e-3)  # stored in fp16


@installed
@pytest.mark.parametrize("name", NAMES)
def test_logits_of_released_networks_equal_those_of_pytorch(name):
    model, _ = weights.load(name)
    network = openvino_engine.OpenVinoNetwork(model)
    with torch.inference_mode():
        for size in ((1, 3, 75, 143), (2, 3, 96, 64)):
            images = torch.randn(size, generator=torch.Generator().manual_seed(0))
            expected = model(images)
            torch.testing.assert_close(network(images), expected, rtol=0, atol=float(1e-4 * expected.abs().max()))


@installed
def test_networks_that_cannot_run_are_reported():
    class Broken(torch.nn.Module):
        def forward(self, x):
            raise RuntimeError("a broken layer")

    with pytest.raises(openvino_engine.PredictionError, match="cannot be converted .*a broken layer.*--engine local"):
        openvino_engine.OpenVinoNetwork(Broken())


def test_other_networks_and_devices_are_refused():
    onnx = SimpleNamespace(model=OnnxNetwork.__new__(OnnxNetwork))
    with pytest.raises(openvino_engine.PredictionError, match="not an .onnx file"):
        list(openvino_engine.predict_with_openvino([None], lambda: SimpleNamespace(predictor=onnx)))
    gpu = SimpleNamespace(model=torch.nn.Identity(), device=torch.device("cuda"))
    with pytest.raises(openvino_engine.PredictionError, match="runs on the CPU, not on cuda; add --device cpu"):
        list(openvino_engine.predict_with_openvino([None], lambda: SimpleNamespace(predictor=gpu)))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(openvino_engine.PredictionError, match="--engine openvino needs .* pip install openvino"):
        openvino_engine.OpenVinoNetwork(models.create("unet", 2, width=4))
