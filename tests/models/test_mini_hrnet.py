"""The Mini-HRNets: the published one against its authors' outputs, and the parameters and MACs of each."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course import mini_hrnet_v3
from seglib import models
from tests.reference import fill

PARAMETERS = {
    "mini_hrnet_v1": 17_156_851,
    "mini_hrnet_v2": 13_392_211,
    "mini_hrnet_v3": 9_545_035,
    "mini_hrnet": 5_964_275,
}
GIGA_MACS = {
    "mini_hrnet_v1": 101.3,
    "mini_hrnet_v2": 62.4,
    "mini_hrnet_v3": 77.3,
    "mini_hrnet": 17.3,
    "hrnet_w18": 36.9,
}  # of 512x1024 pixels, 19 classes


@pytest.fixture
def published(reference):
    """The entries of the published network under its authors' names, filled with reference values."""
    shapes = json.loads((reference / "mini_hrnet_v3.state_dict.json").read_text())
    return {key: fill.tensor_for(key, shape) for key, shape in shapes.items()}


def multiply_adds(model, height, width):
    counts = []

    def count(module, inputs, output):
        counts.append(output[0, 0].numel() * module.weight.numel())

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.inference_mode():
        model.eval()(torch.empty(1, 3, height, width, device="meta"))
    return sum(counts)


def relative(actual, expected):
    return np.abs(actual - expected).max() / np.abs(expected).max()


@torch.inference_mode()
def test_the_third_equals_the_published_outputs(published, reference):
    """As exactly as single precision allows.

    Normalising maps of 2x3 values amplifies rounding: the published outputs themselves are 5e-5 off those in double
    precision, and another number of threads or another processor rounds otherwise.  So the bound is what this
    machine's own rounding allows, and 1e-5 where that is smaller.
    """
    model = models.create("mini_hrnet_v3", num_classes=19).eval()
    loaded = models.load_official(model, published)
    assert (loaded.used, loaded.fresh, loaded.dropped) == (302, [], [])
    expected = np.load(reference / "mini_hrnet_v3.npz")["logits"]
    output = model(fill.image(64, 96)).numpy()[..., ::4, ::4]
    exact = model.double()(fill.image(64, 96).double()).numpy()[..., ::4, ::4]
    assert relative(exact, expected) < 1e-4
    assert relative(output, expected) < max(1e-5, 4 * relative(output, exact))


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_and_macs_of_the_docstring(name):
    with torch.device("meta"):
        model = models.create(name, num_classes=19)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]
    assert round(multiply_adds(model, 512, 1024) / 1e9, 1) == GIGA_MACS[name]


def test_ours_keeps_within_its_budget():
    with torch.device("meta"):
        ours, w18, w48 = (models.create(name, num_classes=19) for name in ("mini_hrnet", "hrnet_w18", "hrnet_w48"))
    parameters = [sum(p.numel() for p in model.parameters()) for model in (ours, w48)]
    assert parameters[0] <= 8_560_000 and parameters[0] <= 0.13 * parameters[1]
    assert round(multiply_adds(w18, 512, 1024) / 1e9, 1) == GIGA_MACS["hrnet_w18"]
    assert multiply_adds(ours, 512, 1024) < multiply_adds(w18, 512, 1024)


def test_the_first_lacks_the_fourth_stage_and_the_second_repeats_nothing():
    with torch.device("meta"):
        first, second = (models.create(f"mini_hrnet_v{n}", num_classes=2) for n in (1, 2))
    assert not hasattr(first, "stage4") and [len(first.stage2), len(first.stage3)] == [1, 4]
    assert [len(second.stage2), len(second.stage3), len(second.stage4)] == [1, 1, 1]
    assert {len(branch) for branch in second.stage4[0].branches} == {2}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_batch_of_one_trains(name):
    model = models.create(name, num_classes=2).train()
    logits = model(torch.randn(1, 3, 64, 40))
    assert logits.shape == (1, 2, 64, 40)
    logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (31, 65), (64, 32)])
@pytest.mark.parametrize("name", PARAMETERS)
@torch.inference_mode()
def test_any_size_gives_logits_of_that_size(name, size):
    logits = models.create(name, num_classes=2).eval()(torch.randn(1, 3, *size))
    assert logits.shape == (1, 2, *size) and logits.isfinite().all()


@torch.inference_mode()
def test_the_third_pads_by_repeating_the_border_and_crops():
    model = fill.fill(models.create("mini_hrnet_v3", num_classes=2))
    x = torch.randn(1, 3, 70, 30)
    by_hand = F.pad(x, [0, 34, 0, 26], mode="replicate")
    assert torch.equal(model(x), model(by_hand)[..., :70, :30])


def test_the_third_pads_no_side_that_is_right_already():
    missing = {size: mini_hrnet_v3._padding(size) for size in (1, 31, 32, 33, 63, 64, 65, 96, 1000, 1024)}
    assert missing == {1: 63, 31: 33, 32: 32, 33: 31, 63: 1, 64: 0, 65: 31, 96: 0, 1000: 24, 1024: 0}


def test_another_number_of_classes_keeps_all_but_the_last_layer(published):
    model = models.create("mini_hrnet_v3", num_classes=2)
    loaded = models.load_official(model, published)
    assert loaded.fresh == ["last_layer.3.weight", "last_layer.3.bias"] and loaded.used == 300


def test_checkpoints_that_do_not_fit_are_refused_by_name(published):
    model = models.create("mini_hrnet_v3", num_classes=19)
    incomplete = {key: value for key, value in published.items() if key != "streams.transStreams.1.conv.bias"}
    with pytest.raises(models.CheckpointError, match="missing: transitions.2.0.bias"):
        models.load_official(model, incomplete)
    with pytest.raises(models.CheckpointError, match="unexpected: stages.1.mainStreams.0.stream.0.dil1.0.weight"):
        extra = {"stages.1.mainStreams.0.stream.0.dil1.0.weight": torch.zeros(48, 48, 3, 3)}
        models.load_official(model, published | extra)
