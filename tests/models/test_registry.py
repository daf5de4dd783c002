"""Requirements that all networks meet; each architecture has its own file of tests."""

import copy
import json
import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from course.mini_hrnet_v3 import MiniHRNetV3
from seglib import models
from tests.reference import fill

# One small member of each family, and both heads of the dilated ResNet.
FAMILIES = {
    "unet": ("unet", {"width": 4}),
    "unet-bilinear": ("unet", {"width": 4, "bilinear": True}),
    "u2netp": ("u2netp", {}),
    "hrnet": ("hrnet_w18_small_v1", {}),
    "mini_hrnet_v1": ("mini_hrnet_v1", {}),
    "mini_hrnet_v2": ("mini_hrnet_v2", {}),
    "mini_hrnet_v3": ("mini_hrnet_v3", {}),
    "mini_hrnet": ("mini_hrnet", {}),
    "dilated-aspp": ("dilated_resnet50", {"head": "aspp", "head_channels": 16}),
    "dilated-ppm": ("dilated_resnet50", {"head": "ppm", "head_channels": 16}),
    "efficientnet_unet": ("efficientnet_unet", {}),
}
# Their blocks are compiled and exported as parts of the others; `make soak` traces them as well.
SLOW_TO_TRACE = ("mini_hrnet_v1", "mini_hrnet_v2", "mini_hrnet_v3")
SIZES = [(64, 96), (65, 97), (33, 100), (1, 1), (2, 3), (1, 70), (96, 32)]


@pytest.fixture
def traced(request):
    """Skip the networks that take long to trace."""
    if request.node.callspec.params["network"] in SLOW_TO_TRACE and not os.environ.get("SEGLIB_SLOW"):
        pytest.skip("slow to trace: make soak does it")


@pytest.fixture(scope="module", params=FAMILIES)
def network(request):
    """A network with reference weights in eval mode; tests that change it take a copy."""
    name, options = FAMILIES[request.param]
    return fill.fill(models.create(name, num_classes=3, **options))


def close(actual, expected, tolerance):
    assert (actual.double() - expected.double()).abs().max() <= tolerance * expected.double().abs().max()


@torch.inference_mode()
def test_logits_have_the_input_size_or_the_smallest_is_named(network):
    for height, width in SIZES:
        smallest = getattr(network, "min_size", 1)
        if min(height, width) < smallest:
            with pytest.raises(models.ModelError, match=f"{smallest}x{smallest}"):
                network(torch.randn(1, 3, height, width))
        else:
            logits = network(fill.image(height, width))
            assert logits.shape == (1, 3, height, width) and logits.isfinite().all()


@torch.inference_mode()
def test_images_of_a_batch_do_not_influence_each_other(network):
    """In double precision, since normalising the tiny maps of mini_hrnet_v3 amplifies rounding."""
    exact = copy.deepcopy(network).double()
    pair = torch.cat([fill.image(64, 96, seed=1), fill.image(64, 96, seed=2)]).double()
    close(exact(pair)[1:], exact(pair[1:]), 1e-9)


@torch.inference_mode()
def test_precisions_and_memory_formats_agree(network):
    x = fill.image(64, 96)
    plain = network(x)
    exact = copy.deepcopy(network).double()(x.double())
    assert exact.dtype == torch.float64
    # Instance normalisation of the tiny maps of mini_hrnet_v3 amplifies rounding: 1.4e-4 on a CPU without AVX-512.
    tolerance = 5e-4 if any(isinstance(m, torch.nn.InstanceNorm2d) for m in network.modules()) else 1e-4
    close(plain, exact, tolerance)
    last = copy.deepcopy(network).to(memory_format=torch.channels_last)
    close(last(x.to(memory_format=torch.channels_last)), plain, tolerance)
    with torch.autocast("cpu", torch.bfloat16):
        rough = network(x)
    assert rough.shape == plain.shape
    correlation = torch.corrcoef(torch.stack([rough.flatten().float(), plain.flatten()]))[0, 1]
    # Reference weights amplify rounding, most where single images are normalised; so only the drift is bounded.
    assert correlation > (0.8 if isinstance(network, MiniHRNetV3) else 0.95)


def test_a_batch_of_one_trains_with_other_channels_and_one_class(network):
    name, options = next((n, o) for n, o in FAMILIES.values() if type(models.create(n, 3, **o)) is type(network))
    torch.manual_seed(0)
    model = models.create(name, num_classes=1, in_channels=5, **options).train()
    outputs = model(torch.randn(1, 5, 64, 64))
    outputs = [outputs] if isinstance(outputs, torch.Tensor) else outputs
    assert all(output.shape == (1, 1, 64, 64) for output in outputs)
    assert len(outputs) == len(getattr(model, "aux_loss_weights", [1.0]))
    sum(output.square().mean() for output in outputs).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@torch.inference_mode()
def test_it_compiles_as_one_graph(traced, network):
    """The eager backend shows every graph break, without a compiler."""
    torch._dynamo.reset()
    x = fill.image(64, 96)
    close(torch.compile(network, backend="eager", fullgraph=True)(x), network(x), 1e-6)


@pytest.mark.skipif(torch.__version__ < (2, 13), reason="export needs PyTorch 2.13")
@torch.inference_mode()
def test_it_exports_with_dynamic_height_and_width(traced, network):
    sides = {2: torch.export.Dim("height", min=64, max=2048), 3: torch.export.Dim("width", min=64, max=2048)}
    exported = torch.export.export(network, (fill.image(128, 160),), dynamic_shapes=(sides,)).module()
    for size in ((128, 160), (97, 131), (64, 200)):
        close(exported(fill.image(*size)), network(fill.image(*size)), 1e-6)


@pytest.mark.parametrize(
    "name", ["unet", "u2netp", "hrnet_w18_small_v1", "mini_hrnet", "dilated_resnet50", "efficientnet_unet"]
)
def test_the_last_layers_are_those_that_depend_on_the_classes(name):
    two, five = (models.create(name, num_classes=n).state_dict() for n in (2, 5))
    differing = {key for key in two if two[key].shape != five[key].shape}
    last = models.create(name, num_classes=2).head_prefixes
    assert differing and differing == {key for key in two if key.startswith(last)}


def test_unknown_names_and_options_are_refused():
    with pytest.raises(models.ModelError, match="'unett' is not a known network; choose one of: unet, "):
        models.create("unett", num_classes=2)
    with pytest.raises(models.ModelError, match="no option 'depth'; it takes: width, bilinear"):
        models.create("unet", num_classes=2, depth=3)
    with pytest.raises(models.ModelError, match="at least one class"):
        models.create("unet", num_classes=0)


def test_names_of_all_networks():
    assert models.names() == [
        "unet",
        "u2net",
        "u2netp",
        "hrnet_w18_small_v1",
        "hrnet_w18_small_v2",
        "hrnet_w18",
        "hrnet_w32",
        "hrnet_w48",
        "mini_hrnet_v1",
        "mini_hrnet_v2",
        "mini_hrnet",
        "dilated_resnet50",
        "efficientnet_unet",
        "mini_hrnet_v3",  # the course's
    ]


def test_checkpoints_for_what_has_none_are_refused():
    with pytest.raises(models.CheckpointError, match="no published checkpoint is known for Linear"):
        models.load_official(nn.Linear(1, 1), {})


@pytest.mark.parametrize(
    "name, option", [("u2netp", "checkpointing"), ("hrnet_w18", "checkpointing"), ("unet", "bilinear")]
)
@pytest.mark.parametrize("value", ["no", "false", 1, None])
def test_options_that_are_true_or_false_take_nothing_else(name, option, value):
    with pytest.raises(models.ModelError, match=f"{name}: {option} is {value!r}, but must be true or false"):
        models.create(name, num_classes=2, **{option: value})


# Old names of layers whose names changed: (network, options, {today's name: old name}).
OLD_NAMES = [
    (
        "unet",
        {"width": 4},
        {
            "stem.0.weight": "enter.0.weight",
            "down1.1.0.weight": "down1.1.0.weight",
            "up2.upsample.bias": "up2.enlarge.bias",
            "up4.conv.3.weight": "up4.merge.3.weight",
            "classifier.bias": "classify.bias",
        },
    ),
    (
        "u2netp",
        {},
        {
            "encoder.0.conv_in.0.weight": "encoder.0.enter.0.weight",
            "decoder.3.up.1.0.bias": "decoder.3.up.1.0.bias",
            "side_convs.5.weight": "sides.5.weight",
            "out_conv.bias": "fuse.bias",
        },
    ),
    (
        "mini_hrnet_v3",
        {},
        {
            "transitions.1.0.weight": "starts.1.0.weight",
            "branches1.0.0.branches.2.0.weight": "started.0.0.reaches.2.0.weight",
            "branches2.3.1.branches.0.3.weight": "parallel.3.1.reaches.0.3.weight",
            "fusion1.paths.0.0.0.0.weight": "fusion1.paths.0.0.0.0.weight",
        },
    ),
    (
        "dilated_resnet50",
        {"head_channels": 8},
        {
            "classifier.weight": "classify.weight",
            "aux_head.0.weight": "auxiliary.0.weight",
            "aux_classifier.bias": "classify_auxiliary.bias",
            "head.1.weight": "head.1.weight",
        },
    ),
    ("hrnet_w18_small_v1", {}, {"stage2.0.branches.0.0.conv1.weight": "stage2.0.branches.0.0.conv1.weight"}),
]


@pytest.mark.parametrize("name, options, renamed", OLD_NAMES)
def test_state_dicts_with_old_names_load(name, options, renamed):
    """Names in files written before version 0.2; a file with today's names does not change."""
    with torch.device("meta"):
        model = models.create(name, num_classes=2, **options)
    state = model.state_dict()
    assert list(models.upgrade_state_dict(state)) == list(state)
    old = {renamed.get(key, key): value for key, value in state.items()}
    assert renamed.keys() <= state.keys() and list(models.upgrade_state_dict(old)) == list(state)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_published_checkpoint_loads_from_its_file(tmp_path, suffix, reference):
    shapes = json.loads((reference / "u2netp.state_dict.json").read_text())
    state = {key: fill.tensor_for(key, shape) for key, shape in shapes.items()}
    file = tmp_path / f"published{suffix}"
    torch.save(state, file) if suffix == ".pth" else save_file(state, file)
    for path in (file, str(file)):
        model = models.create("u2netp", num_classes=1)
        assert models.load_official(model, path).used == len(state)
    assert torch.equal(model.state_dict()["out_conv.weight"], state["outconv.weight"])


def test_files_that_are_not_checkpoints_are_refused_by_name(tmp_path):
    model = models.create("unet", num_classes=2, width=4)
    for name in ("broken.pth", "broken.safetensors"):
        (tmp_path / name).write_bytes(b"<html>not found</html>")
        with pytest.raises(models.CheckpointError, match=f"{name}: not a checkpoint that can be read"):
            models.load_official(model, tmp_path / name)
        with pytest.raises(models.CheckpointError, match="missing.*: no such file"):
            models.load_official(model, tmp_path / f"missing{name[-4:]}")
    torch.save([1, 2], tmp_path / "list.pth")
    for wrong in (tmp_path / "list.pth", 3, None):
        with pytest.raises(models.CheckpointError, match="a checkpoint is a state_dict or the path of a file, not"):
            models.load_official(model, wrong)
