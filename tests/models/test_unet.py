"""U-Net against its authors' own outputs and checkpoints."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from seglib import models
from tests.reference import fill


def authors_state(reference, name):
    """A checkpoint with the authors' names, filled with the reference values."""
    shapes = json.loads((reference / f"{name}.state_dict.json").read_text())
    return {key: fill.tensor_for(key, shape) for key, shape in shapes.items()}


@pytest.mark.parametrize("variant", ["transposed", "bilinear"])
def test_equals_the_authors_outputs(reference, variant):
    model = models.create("unet", num_classes=2, bilinear=variant == "bilinear").eval()
    state = authors_state(reference, f"unet_milesial_{variant}")
    loaded = models.load_official(model, state)
    assert loaded.used == len(state) and not loaded.fresh and not loaded.dropped
    expected = np.load(reference / f"unet_milesial_{variant}.npz")["logits"]
    with torch.inference_mode():
        output = model(fill.image(64, 96)).numpy()
    assert output.shape == expected.shape
    assert np.abs(output - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("bilinear, parameters", [(False, 31_037_698), (True, 17_263_042)])
def test_parameter_counts_of_the_paper(bilinear, parameters):
    model = models.create("unet", num_classes=2, bilinear=bilinear)
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (33, 100), (45, 16), (64, 65)])
@pytest.mark.parametrize("bilinear", [False, True])
def test_logits_have_the_input_size(size, bilinear):
    model = models.create("unet", num_classes=3, in_channels=4, width=4, bilinear=bilinear)
    for mode in (model.train(), model.eval()):
        assert mode(torch.randn(1, 4, *size)).shape == (1, 3, *size)


def test_the_smaller_map_is_padded_as_the_authors_pad():
    """At odd sizes half of the missing rows and columns, rounded down, are added before the upsampled features."""
    up = models.unet.Up(4, 2, 2).eval()
    nn.init.zeros_(up.upsample.weight), nn.init.ones_(up.upsample.bias)
    captured = {}
    up.conv.register_forward_pre_hook(lambda module, inputs: captured.update(x=inputs[0]))
    up(torch.zeros(1, 4, 2, 2), torch.zeros(1, 2, 5, 7))
    inside = captured["x"][0, 2]
    assert inside.shape == (5, 7)
    assert inside[:4, 1:5].eq(1).all() and inside.sum() == 16


def test_a_checkpoint_that_does_not_fit_is_refused_by_name_and_changes_nothing(reference):
    state = authors_state(reference, "unet_milesial_transposed")
    model = models.create("unet", num_classes=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    incomplete = dict(state)
    del incomplete["up1.up.bias"]
    with pytest.raises(models.CheckpointError, match="missing: up1.upsample.bias"):
        models.load_official(model, incomplete)
    with pytest.raises(models.CheckpointError, match="unexpected: extra.weight"):
        models.load_official(model, {**state, "extra.weight": torch.zeros(1)})
    with pytest.raises(models.CheckpointError, match=r"of another shape: inc.double_conv.1.bias \(5,\) for \(64,\)"):
        models.load_official(model, {**state, "inc.double_conv.1.bias": torch.zeros(5)})
    with pytest.raises(models.CheckpointError, match=r"of another shape: outc.conv.bias \(5,\) for \(2,\)"):
        models.load_official(model, {**state, "outc.conv.bias": torch.zeros(5)})  # of no number of classes at all
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_checkpoint_for_other_classes_gives_all_but_the_last_layer_and_says_so(reference):
    state = authors_state(reference, "unet_milesial_transposed")
    model = models.create("unet", num_classes=7)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loaded = models.load_official(model, state)
    assert loaded.used == len(state) - 2 and loaded.fresh == ["classifier.weight", "classifier.bias"]
    assert "classifier.weight" in str(loaded) and str(loaded.used) in str(loaded)
    after = model.state_dict()
    unchanged = {name for name in after if torch.equal(before[name], after[name]) and after[name].dim()}
    assert unchanged == {"classifier.weight", "classifier.bias"}


def test_checkpoints_of_wrapped_models_and_with_extras_load(reference):
    """DataParallel puts "module." before each name, and the authors' script adds the values of the masks."""
    state = authors_state(reference, "unet_milesial_transposed")
    wrapped = {f"module.{name}": value for name, value in state.items()} | {"mask_values": [0, 1]}
    loaded = models.load_official(models.create("unet", num_classes=2), {"state_dict": wrapped})
    assert loaded.used == len(state) and loaded.dropped == ["mask_values"]
