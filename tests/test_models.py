"""U-Net against its authors' own outputs, and the contract that every network keeps."""

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
    assert models.load_official(model, state) == len(state)
    expected = np.load(reference / f"unet_milesial_{variant}.npz")["logits"]
    with torch.inference_mode():
        found = model(fill.image(64, 96)).numpy()
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("bilinear, parameters", [(False, 31_037_698), (True, 17_263_042)])
def test_parameter_counts_of_the_table(bilinear, parameters):
    model = models.create("unet", num_classes=2, bilinear=bilinear)
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (33, 100), (45, 16), (64, 65)])
@pytest.mark.parametrize("bilinear", [False, True])
def test_logits_have_the_input_size(size, bilinear):
    model = models.create("unet", num_classes=3, in_channels=4, width=4, bilinear=bilinear)
    for mode in (model.train(), model.eval()):
        assert mode(torch.randn(1, 4, *size)).shape == (1, 3, *size)


def test_the_smaller_map_is_padded_as_the_authors_pad():
    """At odd sizes half of the missing rows and columns, rounded down, go before the enlarged map."""
    up = models.unet.Up(4, 2, 2).eval()
    nn.init.zeros_(up.enlarge.weight), nn.init.ones_(up.enlarge.bias)
    seen = {}
    up.merge.register_forward_pre_hook(lambda module, inputs: seen.update(x=inputs[0]))
    up(torch.zeros(1, 4, 2, 2), torch.zeros(1, 2, 5, 7))
    inside = seen["x"][0, 2]
    assert inside.shape == (5, 7)
    assert inside[:4, 1:5].eq(1).all() and inside.sum() == 16


def test_too_small_an_input_is_refused_by_name():
    with pytest.raises(ValueError, match="at least 16x16"):
        models.create("unet", num_classes=2, width=4)(torch.randn(1, 3, 15, 40))


def test_half_precision_double_precision_and_channels_last_agree():
    torch.manual_seed(1)
    model = models.create("unet", num_classes=2, width=8).eval()
    x = torch.randn(2, 3, 32, 48)
    with torch.inference_mode():
        plain = model(x)
        last = model.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(x)
        exact = model.double()(x.double())
    torch.testing.assert_close(last, plain, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(exact.float(), plain, rtol=1e-4, atol=1e-5)
    assert (rough.float() - plain).abs().max() < 0.05 * plain.abs().max()


def test_a_batch_of_one_trains():
    model = models.create("unet", num_classes=2, width=4).train()
    model(torch.randn(1, 3, 32, 32)).mean().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_unknown_names_and_options_are_refused():
    with pytest.raises(models.ModelError, match="'unett' is no model; choose one of: unet"):
        models.create("unett", num_classes=2)
    with pytest.raises(models.ModelError, match="no option 'depth'; it takes: width, bilinear"):
        models.create("unet", num_classes=2, depth=3)
    with pytest.raises(models.ModelError, match="at least one class"):
        models.create("unet", num_classes=0)


def test_a_checkpoint_that_does_not_fit_is_refused_by_name_and_changes_nothing(reference):
    state = authors_state(reference, "unet_milesial_transposed")
    model = models.create("unet", num_classes=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    lacking = dict(state)
    del lacking["up1.up.bias"]
    with pytest.raises(models.CheckpointError, match="missing: up1.enlarge.bias"):
        models.load_official(model, lacking)
    with pytest.raises(models.CheckpointError, match="left over: extra.weight"):
        models.load_official(model, {**state, "extra.weight": torch.zeros(1)})
    with pytest.raises(models.CheckpointError, match="of another shape: classify.bias"):
        models.load_official(model, {**state, "outc.conv.bias": torch.zeros(5)})
    with pytest.raises(models.CheckpointError, match="no published checkpoint is known for Linear"):
        models.load_official(nn.Linear(1, 1), {})
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_checkpoints_of_wrapped_models_and_with_extras_load(reference):
    """DataParallel puts "module." before each name, and the authors' script adds the values of the masks."""
    state = authors_state(reference, "unet_milesial_transposed")
    wrapped = {f"module.{name}": value for name, value in state.items()} | {"mask_values": [0, 1]}
    assert models.load_official(models.create("unet", num_classes=2), wrapped) == len(state)
