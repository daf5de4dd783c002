"""HRNet against its authors' own outputs, their checkpoints, and timm's networks of the same names."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from seglib import models
from tests.reference import fill

PARAMETERS = {
    "hrnet_w18_small_v1": 1_540_819,
    "hrnet_w18_small_v2": 3_939_579,
    "hrnet_w18": 9_641_119,
    "hrnet_w32": 29_546_515,
    "hrnet_w48": 65_859_379,
}
TINY = {"widths": (4, 6, 8, 10), "modules": (1, 2, 1), "dilations": (1, 2), "stem_width": 4, "stage1_width": 4}
IMAGENET_HEAD = {
    "incre_modules.0.0.conv1.weight": torch.zeros(32, 18, 1, 1),
    "downsamp_modules.0.0.weight": torch.zeros(256, 128, 3, 3),
    "final_layer.0.weight": torch.zeros(2048, 1024, 1, 1),
    "classifier.weight": torch.zeros(1000, 2048),
}


@pytest.fixture(scope="module")
def authors_state(reference):
    """The entries of the smallest network's checkpoint under the authors' names, filled with reference values."""
    shapes = json.loads((reference / "hrnet_w18_small_v1.state_dict.json").read_text())
    return {key: fill.tensor_for(key, shape) for key, shape in shapes.items()}


def small(num_classes=19, **options):
    return models.create("hrnet_w18_small_v1", num_classes=num_classes, **options)


@pytest.mark.parametrize("name", ["hrnet_w18_small_v1", "hrnet_w18_small_v2", "hrnet_w18", "hrnet_w48"])
def test_equals_the_authors_outputs(reference, name):
    shapes = json.loads((reference / f"{name}.state_dict.json").read_text())
    state = {key: fill.tensor_for(key, shape) for key, shape in shapes.items()}
    model = models.create(name, num_classes=19).eval()
    loaded = models.load_official(model, state)
    assert (loaded.used, loaded.fresh, loaded.dropped) == (len(state), [], [])
    expected = np.load(reference / f"{name}.npz")["logits_quarter"]
    captured = []
    model.last_layer.register_forward_hook(lambda module, inputs, output: captured.append(output))
    with torch.inference_mode():
        logits = model(fill.image(64, 96))
    assert np.abs(captured[0].numpy() - expected).max() < 1e-5 * np.abs(expected).max()
    assert torch.equal(logits, F.interpolate(captured[0], scale_factor=4, mode="bilinear", align_corners=False))


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts_of_the_table(name):
    with torch.device("meta"):
        model = models.create(name, num_classes=19)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (2, 3), (33, 65), (64, 96), (127, 31)])
def test_any_size_gives_logits_of_that_size(size):
    model = models.create("hrnet_w18", num_classes=3, in_channels=4, **TINY)
    x = torch.randn(2, 4, *size)
    for mode in (model.train(), model.eval()):
        logits = mode(x)
        assert logits.shape == (2, 3, *size) and logits.isfinite().all()


def test_each_branch_has_half_the_resolution_rounded_up():
    model = models.create("hrnet_w18", num_classes=3, **TINY).eval()
    shapes = [tuple(x.shape[1:]) for x in model.features(torch.randn(1, 3, 65, 97))]
    assert shapes == [(4, 17, 25), (6, 9, 13), (8, 5, 7), (10, 3, 4)]


def test_every_branch_is_fused_with_every_other():
    exchange = models.hrnet.HighResolutionModule((4, 6, 8), dilations=(1, 2), upsampling="bilinear").eval()
    for source in range(3):
        streams = [torch.randn(1, c, s, s) for c, s in ((4, 17), (6, 9), (8, 5))]
        before = exchange(streams)
        streams[source] = streams[source] + 1
        assert all((old - new).abs().max() > 1e-4 for old, new in zip(before, exchange(streams), strict=True))


@pytest.mark.parametrize("name", ["hrnet_w18_small", "hrnet_w18"])
def test_the_body_equals_that_of_timm(name):
    """timm, like the authors' networks for ImageNet, exchanges by nearest neighbours."""
    timm = pytest.importorskip("timm")
    theirs = fill.fill(timm.create_model(name, pretrained=False))
    ours = models.create("hrnet_w18_small_v1" if name.endswith("small") else name, 5, upsampling="nearest").eval()
    loaded = models.load_official(ours, theirs.state_dict())
    assert loaded.fresh == [key for key in ours.state_dict() if key.startswith("last_layer.")]
    x = fill.image(64, 96)
    with torch.inference_mode():
        stem = theirs.act2(theirs.bn2(theirs.conv2(theirs.act1(theirs.bn1(theirs.conv1(x))))))
        for expected, actual in zip(theirs.stages(stem), ours.features(x), strict=True):
            assert (actual - expected).abs().max() < 1e-5 * expected.abs().max()


def test_the_released_form_of_segmentation_checkpoints_loads(authors_state):
    """The authors save a module that holds network and loss, and torch before 0.4.1 did not count the batches."""
    old = {key: value for key, value in authors_state.items() if not key.endswith("num_batches_tracked")}
    released = {f"model.{key}": value for key, value in old.items()} | {"loss.criterion.weight": torch.ones(19)}
    model = small()
    loaded = models.load_official(model, released)
    assert loaded.used == len(old) and loaded.dropped == ["loss.criterion.weight"]
    assert all(torch.equal(model.state_dict()[key], value) for key, value in old.items())


def test_another_number_of_classes_keeps_all_but_the_last_layer_and_says_so(authors_state):
    model = small(num_classes=2)
    loaded = models.load_official(model, authors_state)
    last = ["last_layer.3.weight", "last_layer.3.bias"]
    assert loaded.fresh == last and loaded.used == len(authors_state) - 2
    assert "not in the checkpoint: last_layer.3.weight, last_layer.3.bias" in str(loaded)
    assert all(torch.equal(value, authors_state[key]) for key, value in model.state_dict().items() if key not in last)


def test_imagenet_checkpoints_give_the_body(authors_state):
    body = {key: value for key, value in authors_state.items() if not key.startswith("last_layer.")}
    model = small()
    loaded = models.load_official(model, body | IMAGENET_HEAD)
    assert loaded.dropped == list(IMAGENET_HEAD) and loaded.used == len(body)
    assert {key.split(".")[0] for key in loaded.fresh} == {"last_layer"}
    assert all(torch.equal(model.state_dict()[key], value) for key, value in body.items())


def test_checkpoints_that_do_not_fit_are_refused_by_name(authors_state):
    model = small()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    incomplete = {key: value for key, value in authors_state.items() if key != "stage3.0.fuse_layers.2.0.1.0.weight"}
    with pytest.raises(models.CheckpointError, match="missing: stage3.0.fuse_layers.2.0.1.0.weight"):
        models.load_official(model, incomplete)
    with pytest.raises(models.CheckpointError, match="missing: layer1.0.bn1.bias"):
        body = {key: value for key, value in authors_state.items() if not key.startswith(("last_layer.", "layer1."))}
        models.load_official(model, body | IMAGENET_HEAD)
    with pytest.raises(models.CheckpointError, match="unexpected: ocr.weight"):
        models.load_official(model, {**authors_state, "ocr.weight": torch.zeros(1)})
    with pytest.raises(models.CheckpointError, match=r"of another shape: bn1.bias \(64,\) for \(32,\)"):
        models.load_official(small(stem_width=32), authors_state)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def training_step(model, x):
    """(output, gradients, buffers afterwards, number of values stored for the backward pass) of one step."""
    saved_sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved_sizes.append(t.numel()) or t, lambda t: t):
        output = model.train()(x)
    output.square().mean().backward()
    return output, [p.grad for p in model.parameters()], list(model.buffers()), sum(saved_sizes)


def test_checkpointing_changes_the_memory_and_nothing_else():
    plain, saving = (models.create("hrnet_w18", 3, checkpointing=choice, **TINY) for choice in (False, True))
    saving.load_state_dict(plain.state_dict())
    x = torch.randn(1, 3, 64, 96)
    (output, gradients, buffers, saved), (output2, gradients2, buffers2, saved2) = (
        training_step(model, x) for model in (plain, saving)
    )
    assert torch.equal(output, output2)
    assert all(torch.equal(a, b) for a, b in zip(gradients, gradients2, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(buffers, buffers2, strict=True))
    assert saved2 < 0.5 * saved


def test_a_training_batch_that_leaves_one_value_a_channel_is_refused():
    model = models.create("hrnet_w18", 3, **TINY).train()
    with pytest.raises(models.ModelError, match="32x32 pixels leaves its batch normalization a single value"):
        model(torch.randn(1, 3, 32, 32))
    model(torch.randn(1, 3, 32, 33)), model(torch.randn(2, 3, 32, 32))
    assert model.eval()(torch.randn(1, 3, 32, 32)).shape == (1, 3, 32, 32)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"widths": (16,)}, "two or more widths"),
        ({"modules": (1, 1)}, "two or more widths and one number of modules"),
        ({"dilations": ()}, "at least 1"),
        ({"stage1_blocks": 0}, "at least 1"),
        ({"stem_width": 0}, "at least 1"),
        ({"upsampling": "bicubic"}, "'bilinear' or 'nearest', not 'bicubic'"),
        ({"width": 18}, "no option 'width'; it takes: widths, modules, dilations"),
        ({"widths": "wide"}, "hrnet_w18"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(models.ModelError, match=message):
        models.create("hrnet_w18", 3, **options)
