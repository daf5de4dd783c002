"""ONNX files: the same results as PyTorch at any size; a file is complete, or it is not written at all."""

import json
import re
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from seglib import inference, models, weights
from seglib.cli.main import main
from seglib.config import config_to_dict, parse_config
from seglib.data.transforms import normalize
from seglib.inference import PredictionError, Predictor

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package)
if torch.__version__ < (2, 13):
    pytest.skip("export needs PyTorch 2.13", allow_module_level=True)

from seglib.inference import export  # noqa: E402
from seglib.models.dilated_resnet import PPM  # noqa: E402

ROOT = Path(__file__).parents[2]
CLASSES = {1: ["ground", "leaf"], 2: ["ground", "leaf"], 3: ["sky", "tree", "road"]}


def released(folder, outputs=1, name="unet", **options):
    """Weights as training writes them; the statistics of the normalisation are not those of a fresh network."""
    torch.manual_seed(0)
    model = models.create(name, outputs, **options)
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(2, 3, 64, 64))
    config = parse_config(json.dumps({"model": {"name": name, "options": options}, "output_dir": "/home/me/secret"}))
    config.inference.longest_side = 80
    notes = {
        "config": config_to_dict(config),
        "classes": CLASSES[outputs],
        "num_outputs": outputs,
        "palette": [[0, 0, 0], [255, 0, 0], [0, 0, 255]][: len(CLASSES[outputs])],
    }
    weights.write_tensors(folder / "small.safetensors", model.state_dict(), notes)
    return folder / "small.safetensors"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(weights, ONNX file, report of the export) of a small U-Net with one sigmoid output."""
    folder = tmp_path_factory.mktemp("exported")
    file = released(folder, width=2)
    return file, folder / "small.onnx", export.export(str(file), folder / "small.onnx")


def random_image(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_file_gives_pytorchs_logits_at_any_size(exported):
    source, file, report = exported
    assert report["error"] <= export.TOLERANCE and report["bytes"] == file.stat().st_size
    model, _ = weights.load(str(source))
    network, _ = inference.load(str(file))
    for number, height, width in ((1, 32, 32), (3, 45, 171), (2, 301, 33)):
        images = torch.randint(256, (number, 3, height, width), dtype=torch.uint8)
        with torch.inference_mode():
            expected, actual = model(normalize(images)), network(images)
        assert actual.shape == (number, 2, height, width) and actual.dtype == torch.float32
        torch.testing.assert_close(actual.softmax(1)[:, 1:], expected.sigmoid(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("options", [{}, {"flip": True, "scales": (0.75, 1.0)}, {"tile": 48}])
@pytest.mark.parametrize("size", [(70, 101), (9, 200)])
def test_prediction_treats_the_file_as_the_network(exported, size, options):
    (first, notes), (second, described) = (inference.load(str(file)) for file in exported[:2])
    expected, actual = (
        Predictor(model, described["config"]["inference"]["longest_side"], **options).probabilities(random_image(*size))
        for model in (first, second)
    )
    np.testing.assert_allclose(actual, expected, atol=1e-4)
    assert described["classes"] == notes["classes"] and described["palette"] == notes["palette"]


def test_metadata_is_also_at_the_end_of_the_file(exported):
    import onnx

    source, file, _ = exported
    content = file.read_bytes()
    onnx.checker.check_model(onnx.load_from_string(content))
    text = content.decode("latin-1")
    notes = json.loads(text[text.rindex('{"format": "seglib"') :])  # as a browser reads them, which has no metadata
    assert notes == inference.load(str(file))[1]
    trained = weights.read_tensors(source)[1]
    assert notes["config"]["inference"] == trained["config"]["inference"] and notes["classes"] == ["ground", "leaf"]
    assert b"secret" not in content, "where a network was trained is nobody's concern"
    assert b"export.py" not in content and str(ROOT).encode() not in content, "nor is where its code lies"


def test_ten_lines_of_onnxruntime_in_the_docs_give_the_masks_of_predict(exported, tmp_path, monkeypatch):
    """The file itself resizes nothing: its metadata describes the resizing, and docs/onnx.md shows it."""
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "onnx.md").read_text(), re.DOTALL)
    assert len(program.strip().splitlines()) < 15 and "seglib" not in program
    monkeypatch.chdir(tmp_path)
    shutil.copy(exported[1], "model.onnx")
    y, x = np.mgrid[:150, :211]
    image = np.stack([128 + 90 * np.sin(x / 31) * np.cos(y / 23), (x + y) % 256, x % 256], 2).astype(np.uint8)
    Image.fromarray(image).save("photo.png")
    names = {}
    exec(program, names)
    model, metadata = inference.load("model.onnx")
    predictor = Predictor(model, **metadata["config"]["inference"])
    mask = cv2.imread("mask.png", cv2.IMREAD_UNCHANGED)
    assert (mask != predictor.labels("photo.png")).mean() < 1e-3
    logits = torch.from_numpy(cv2.resize(names["logits"].transpose(1, 2, 0), (211, 150)))
    np.testing.assert_allclose(logits.softmax(2)[..., 1], predictor.probabilities("photo.png")[1], atol=1e-4)


def test_pyramid_pooling_at_sizes_that_its_bins_do_not_divide():
    torch.manual_seed(0)
    body = nn.Conv2d(3, 16, 5, stride=4, padding=2)
    network = nn.Sequential(body, PPM(16), nn.Conv2d(32, 2, 1))
    network.append(nn.Upsample(scale_factor=4))

    class Cropped(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x):
            return self.network(x)[:, :, : x.shape[2], : x.shape[3]]

    model = export.BytesToLogits(Cropped()).eval()
    metadata = {"classes": ["a", "b"], "palette": [[0, 0, 0]] * 2, "num_outputs": 2}
    metadata["config"] = {"model": {"name": "unet", "options": {}}}
    metadata["config"]["inference"] = {"longest_side": 0, "flip": False, "scales": [1.0]}
    content = export.append_metadata(export.to_onnx(model), export.public_metadata(metadata))
    assert export.compare(model, content, ((75, 143), (64, 64), (97, 131))) <= export.TOLERANCE


@pytest.mark.parametrize("name", [pytest.param("hrnet_w18_small_v1", marks=pytest.mark.slow), "efficientnet_unet"])
def test_other_networks(tmp_path, name):
    file = released(tmp_path, 3, name)
    report = export.export(str(file), tmp_path / "a.onnx", sizes=((64, 64), (45, 131)))
    assert report["error"] <= export.TOLERANCE


def test_nothing_is_written_if_the_results_differ(exported, tmp_path, monkeypatch):
    source, file, _ = exported
    other = export.BytesToLogits(models.create("unet", 1, width=2)).eval()
    with pytest.raises(export.ExportError, match="at 64x64 are wrong by .* nothing was written"):
        export.compare(other, file.read_bytes(), export.SIZES)

    class Undefined(nn.Module):
        def forward(self, image):
            return image[:, :2] * torch.nan

    with pytest.raises(export.ExportError, match="wrong by nan"):
        export.compare(Undefined(), file.read_bytes(), export.SIZES)
    with pytest.raises(export.ExportError, match="onnxruntime refuses"):
        export.compare(other, b"no graph", export.SIZES)
    monkeypatch.setattr(export, "to_onnx", lambda network: file.read_bytes())
    changed = released(tmp_path, 1, width=3)
    (tmp_path / "kept.onnx").write_text("as before")
    with pytest.raises(export.ExportError, match="nothing was written"):
        export.export(str(changed), tmp_path / "kept.onnx")
    assert (tmp_path / "kept.onnx").read_text() == "as before"
    assert sorted(f.name for f in tmp_path.iterdir()) == ["kept.onnx", "small.safetensors"]


def test_missing_packages_are_named_together(exported, tmp_path, monkeypatch):
    source, file, _ = exported
    find = export.find_spec
    monkeypatch.setattr(export, "find_spec", lambda name: None if name.startswith("onnx") else find(name))
    with pytest.raises(export.ExportError, match="python -m pip install onnx onnxscript onnxruntime"):
        export.export(str(source), tmp_path / "a.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(PredictionError, match="python -m pip install onnxruntime"):
        inference.load(str(file))


def test_files_that_are_no_exports_are_refused(exported, tmp_path):
    import onnx

    source, file, _ = exported
    with pytest.raises(PredictionError, match=r"absent\.onnx: no such file"):
        inference.load(str(tmp_path / "absent.onnx"))
    (tmp_path / "cut.onnx").write_bytes(file.read_bytes()[:2000])
    (tmp_path / "text.onnx").write_text("no network")
    for name in ("cut", "text"):
        with pytest.raises(PredictionError, match=rf"{name}\.onnx: damaged, or not an ONNX file"):
            inference.load(str(tmp_path / f"{name}.onnx"))
    strange = onnx.load(file)
    del strange.metadata_props[:]
    onnx.save(strange, tmp_path / "strange.onnx")
    with pytest.raises(PredictionError, match=r"strange\.onnx: not written by"):
        inference.load(str(tmp_path / "strange.onnx"))
    with pytest.raises(export.ExportError, match="is already an ONNX file"):
        export.export(str(file), tmp_path / "a.onnx")


def test_an_export_with_other_notes_or_another_graph_is_refused(exported, tmp_path):
    import onnx

    source, file, _ = exported
    network = onnx.load(file)
    good = json.loads(network.metadata_props[0].value)

    def load(notes: dict, changed=None):
        changed = changed or onnx.load(file)
        del changed.metadata_props[:]
        changed.metadata_props.add(key="notes", value=json.dumps(notes))
        onnx.save(changed, tmp_path / "other.onnx")
        return inference.load(str(tmp_path / "other.onnx"))

    for notes, reported in (
        ([], "no metadata"),
        ({}, "no classes, config, num_outputs, palette"),
        ({**good, "classes": ["\x1b[2J", "b"]}, "invalid classes"),
        ({**good, "palette": [[0, 0, 0]]}, "invalid palette"),
        ({**good, "config": {**good["config"], "inference": {}}}, r"invalid config\.inference"),
    ):
        with pytest.raises(PredictionError, match=rf"other\.onnx: {reported} in its metadata"):
            load(notes)
    foreign = onnx.load(file)
    foreign.graph.node[0].domain = "somebody.else"
    foreign.opset_import.add(domain="somebody.else", version=1)
    with pytest.raises(PredictionError, match=r"other\.onnx: damaged, or not an ONNX file"):
        load(good, foreign)
    three = {**good, "classes": ["a", "b", "c"], "palette": [[0, 0, 0]] * 3, "num_outputs": 3}
    model, _ = load(three)
    with pytest.raises(PredictionError, match=r"gives \(1, 2, 48, 48\), not \(1, 3, 48, 48\)"):
        model(torch.zeros(1, 3, 48, 48, dtype=torch.uint8))
    model, _ = load(good)
    with pytest.raises(PredictionError, match="cannot be run on images"):
        model(torch.zeros(1, 3, 48, 48))  # not the bytes that the graph takes


def test_the_commands(exported, tmp_path, monkeypatch, capsys):
    source, file, _ = exported
    monkeypatch.setattr(export, "to_onnx", lambda network: file.read_bytes())  # a quarter of a minute
    monkeypatch.chdir(tmp_path)
    Image.fromarray(random_image(50, 60)).save("a.png")
    assert main(["export", str(source)]) == 0
    assert "small.onnx" in (output := capsys.readouterr().out) and "times the largest logit" in output
    assert main(["predict", "a.png", "--weights", "small.onnx", "--out", "onnx", "--device", "cpu"]) == 0
    assert main(["predict", "a.png", "--weights", str(source), "--out", "torch", "--device", "cpu"]) == 0
    actual, expected = (np.asarray(Image.open(f"{folder}/a_mask.png")) for folder in ("onnx", "torch"))
    assert actual.shape == (50, 60) and (actual != expected).mean() < 0.002
    capsys.readouterr()
    for words, named in (
        (["export", "nonsense"], "'nonsense': no released weights"),
        (["export", str(source), "--out", "a.bin"], "--out a.bin: must be a file whose name ends in .onnx"),
        (["predict", "a.png", "--weights", "absent.onnx"], "absent.onnx: no such file"),
    ):
        assert main(words) == 1
        error = capsys.readouterr().err
        assert named in error and len(error.splitlines()) == 1
