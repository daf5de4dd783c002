"""Dilated ResNet-50 against torchvision's own outputs, its two heads, and public weights from a local server."""

import hashlib
import json
import socket
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from seglib import models
from seglib.models import dilated_resnet, pretrained
from tests.reference import fill

SIZES = [(64, 96), (1, 1), (7, 5), (8, 9), (33, 65), (50, 97), (90, 9)]


def parts_apart(actual, expected):
    """Return the largest difference relative to the largest expected value."""
    return ((actual - expected).abs().max() / expected.abs().max()).item()


def empty(build, *args, **options):
    """Return a network without initial weights: drawing 42 million of them takes a second or two."""
    with torch.device("meta"):
        model = build(*args, **options)
    return model.to_empty(device="cpu")


def ours(**options):
    return empty(models.create, "dilated_resnet50", **options)


def deeplab():
    return empty(torchvision.models.segmentation.deeplabv3_resnet50, weights=None, weights_backbone=None, aux_loss=True)


def both_outputs(model):
    """In eval mode, but with the auxiliary output: batch normalisation by running statistics and no dropout."""
    model.eval().training = True
    return model


@pytest.fixture(scope="module")
def theirs():
    """torchvision's network with reference weights."""
    return fill.fill(deeplab())


@pytest.fixture(scope="module")
def loaded(theirs):
    """Our network with the same weights."""
    model = ours(num_classes=21)
    assert models.load_official(model, theirs.state_dict()).used == len(theirs.state_dict())
    return model


@pytest.fixture(scope="module")
def resnet50_state():
    """A file like torchvision's for ImageNet."""
    return fill.fill(empty(torchvision.models.resnet50, weights=None)).state_dict()


def test_equals_the_reference_outputs(loaded, theirs, reference):
    shapes = json.loads((reference / "deeplabv3_resnet50.state_dict.json").read_text())
    assert {name: list(value.shape) for name, value in theirs.state_dict().items()} == shapes
    expected = np.load(reference / "deeplabv3_resnet50.npz")
    x = fill.image(64, 96)
    with torch.no_grad():
        logits, auxiliary = both_outputs(loaded)(x)
        _, deep = loaded.backbone(x)
    for output, name in ((logits, "logits"), (auxiliary, "aux"), (deep[:, ::32], "backbone_out")):
        assert parts_apart(output[..., ::4, ::4], torch.from_numpy(expected[name])) < 1e-5


@pytest.mark.parametrize("size", SIZES)
def test_equals_torchvision_at_any_size(loaded, theirs, size):
    x = fill.image(*size)
    with torch.no_grad():
        logits, auxiliary = both_outputs(loaded)(x)
        expected = theirs.eval()(x)
        alone = loaded.eval()(x)
    assert logits.shape == auxiliary.shape == (1, 21, *size)
    assert torch.equal(alone, logits)
    assert parts_apart(logits, expected["out"]) < 1e-5
    assert parts_apart(auxiliary, expected["aux"]) < 1e-5


def test_trains_as_torchvision_does(theirs):
    """Outputs with the statistics of the batch, and the gradient of the first layer, without dropout."""
    model, other = ours(num_classes=21), deeplab()
    models.load_official(model, theirs.state_dict())
    other.load_state_dict(theirs.state_dict())
    for network in (model, other):
        for module in network.train().modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    x = torch.randn(2, 3, 33, 40)
    logits, auxiliary = model(x)
    expected = other(x)
    assert parts_apart(logits, expected["out"]) < 1e-5 and parts_apart(auxiliary, expected["aux"]) < 1e-5
    (logits.square().mean() + auxiliary.square().mean()).backward()
    (expected["out"].square().mean() + expected["aux"].square().mean()).backward()
    assert parts_apart(model.backbone.conv1.weight.grad, other.backbone.conv1.weight.grad) < 1e-4


def test_parameter_counts(theirs):
    def count(**options):
        with torch.device("meta"):
            return sum(p.numel() for p in models.create("dilated_resnet50", **options).parameters())

    assert count(num_classes=21) == sum(p.numel() for p in theirs.parameters()) == 42_004_074
    assert count(num_classes=2, head_channels=64) == 27_957_572
    assert count(num_classes=2, head="ppm", head_channels=64) == 30_656_068


def test_a_released_file_of_each_head_fits_into_64_megabytes_of_half_precision():
    for head, width in (("aspp", 96), ("ppm", 64)):
        with torch.device("meta"):
            model = models.create("dilated_resnet50", num_classes=11, head=head, head_channels=width)
        assert sum(2 * value.numel() for value in model.state_dict().values()) < 64e6


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
def test_averages_are_those_of_adaptive_pooling_also_with_more_bins_than_pixels(bins):
    for height in range(1, 20):
        for width in (1, 2, 5, 13):
            x = torch.randn(2, 3, height, width, dtype=torch.float64)
            torch.testing.assert_close(dilated_resnet.adaptive_avg_pool(x, bins), F.adaptive_avg_pool2d(x, bins))


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (12, 12), (9, 14)])
def test_the_pyramid_is_pspnets(size):
    """Each level: adaptive pooling, 1x1 convolution to a quarter of the channels, norm, ReLU, upsampling."""
    ppm = dilated_resnet.PPM(8).eval()
    for level in ppm.levels:
        nn.init.normal_(level[1].running_mean)
        assert level[0].weight.shape == (2, 8, 1, 1)
    x = torch.randn(2, 8, *size)
    expected = [x]
    for bins, level in zip((1, 2, 3, 6), ppm.levels, strict=True):
        pooled = level(F.adaptive_avg_pool2d(x, bins))
        expected.append(F.interpolate(pooled, size=size, mode="bilinear", align_corners=False))
    output = ppm(x)
    assert output.shape == (2, 16, *size)
    torch.testing.assert_close(output, torch.cat(expected, dim=1))


@pytest.mark.parametrize("head", ["aspp", "ppm"])
def test_any_size_channels_and_classes(head):
    model = models.create("dilated_resnet50", num_classes=5, in_channels=1, head=head, head_channels=8).eval()
    with torch.no_grad():
        for size in SIZES:
            assert model(torch.randn(1, 1, *size)).shape == (1, 5, *size)


@pytest.mark.parametrize("head", ["aspp", "ppm"])
def test_a_batch_of_one_trains(head):
    model = models.create("dilated_resnet50", num_classes=3, head=head, head_channels=8).train()
    outputs = model(torch.randn(1, 3, 40, 56))
    assert [output.shape for output in outputs] == [(1, 3, 40, 56)] * 2 and len(model.aux_loss_weights) == 2
    sum(output.square().mean() for output in outputs).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_single_value_per_channel_is_normalised_by_running_statistics_and_leaves_them():
    norm = dilated_resnet.PooledNorm(4).train()
    nn.init.normal_(norm.running_mean), nn.init.normal_(norm.weight)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    x = torch.randn(1, 4, 1, 1)
    in_training = norm(x)
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())
    assert torch.equal(in_training, norm.eval()(x))
    plain = nn.BatchNorm2d(4)
    plain.load_state_dict(before)
    norm.train()
    two = torch.randn(2, 4, 1, 1)
    assert torch.equal(norm(two), plain(two)) and torch.equal(norm.running_mean, plain.running_mean)


def test_senseless_options_are_refused():
    with pytest.raises(models.ModelError, match="head is 'fcn', but must be 'aspp' or 'ppm'"):
        models.create("dilated_resnet50", num_classes=2, head="fcn")
    for width in (0, 1.5, "8"):
        with pytest.raises(models.ModelError, match="head_channels is .*, but must be a whole number"):
            models.create("dilated_resnet50", num_classes=2, head_channels=width)


@pytest.mark.parametrize("auxiliary", [True, False])
def test_another_number_of_classes_keeps_everything_but_the_last_layers(theirs, auxiliary):
    state = {k: v for k, v in theirs.state_dict().items() if auxiliary or not k.startswith("aux_classifier.")}
    model = ours(num_classes=4)
    initial = {name: value.clone() for name, value in model.state_dict().items()}
    loaded = models.load_official(model, state)
    last = {f"{layer}.{leaf}" for layer in ("classifier", "aux_classifier") for leaf in ("weight", "bias")}
    whole_head = {name for name in initial if name.startswith("aux_head.")}
    assert set(loaded.fresh) == (last if auxiliary else last | whole_head)
    assert loaded.used == len(initial) - len(loaded.fresh) and "classifier.weight" in str(loaded)
    now = model.state_dict()
    assert all(torch.equal(now[name].nan_to_num(), initial[name].nan_to_num()) for name in loaded.fresh)
    assert torch.equal(model.head[0].project[0].weight, state["classifier.0.project.0.weight"])


def test_deeplab_without_auxiliary_head_loads(theirs):
    state = {k: v for k, v in theirs.state_dict().items() if not k.startswith("aux_classifier.")}
    model = ours(num_classes=21)
    loaded = models.load_official(model, state)
    assert loaded.used == len(state) and "without auxiliary head" in loaded.title and loaded.dropped == []
    assert all(name.startswith(("aux_head.", "aux_classifier.")) for name in loaded.fresh)
    with torch.no_grad():
        x = fill.image(24, 40)
        assert parts_apart(model.eval()(x), theirs.eval()(x)["out"]) < 1e-5


@pytest.mark.parametrize("head", ["aspp", "ppm"])
def test_imagenet_weights_fill_the_backbone_alone(resnet50_state, head):
    state = resnet50_state
    model = ours(num_classes=2, head=head, head_channels=8)
    loaded = models.load_official(model, state)
    assert loaded.used == len(state) - 2 and loaded.dropped == ["fc.weight", "fc.bias"]
    assert not any(name.startswith("backbone.") for name in loaded.fresh)
    plain = empty(torchvision.models.resnet50, replace_stride_with_dilation=[False, True, True])
    plain.load_state_dict(state)
    features = nn.Sequential(*list(plain.eval().children())[:-2])
    with torch.no_grad():
        x = fill.image(33, 50)
        assert parts_apart(model.eval().backbone(x)[1], features(x)) < 1e-5


def test_files_from_before_batches_were_counted_load_too(resnet50_state):
    state = {name: value for name, value in resnet50_state.items() if not name.endswith("num_batches_tracked")}
    loaded = models.load_official(ours(num_classes=2, head_channels=8), state)
    assert loaded.used == len(state) - 2


def test_checkpoints_that_do_not_fit_are_refused_by_name(theirs, resnet50_state):
    state = dict(theirs.state_dict())
    model = ours(num_classes=21)
    incomplete = {name: value for name, value in state.items() if name != "aux_classifier.0.weight"}
    with pytest.raises(models.CheckpointError, match="missing: aux_head.0.weight"):
        models.load_official(model, incomplete)
    incomplete = {name: value for name, value in resnet50_state.items() if name != "layer3.5.bn2.weight"}
    with pytest.raises(models.CheckpointError, match="missing: backbone.layer3.5.bn2.weight"):
        models.load_official(model, incomplete)
    with pytest.raises(models.CheckpointError, match="unexpected: classifier.9.weight"):
        models.load_official(model, {**state, "classifier.9.weight": torch.zeros(1)})
    with pytest.raises(models.CheckpointError, match="of another shape: .*Check the model's options"):
        models.load_official(ours(num_classes=21, head_channels=8), state)


# Public weights.  A U-Net of width 2 stands in for the large networks.


@pytest.fixture
def public(tmp_path, monkeypatch):
    """An empty folder of checkpoints, and a server whose folder `public.files` the tests fill.

    `public.offer(content)` puts bytes there under a name with their hash, makes them the "imagenet" weights of unet,
    and returns where torch would keep the file.
    """
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))

    def offer(content, digits=None, url=f"http://127.0.0.1:{httpd.server_port}"):
        name = f"tiny-{digits or hashlib.sha256(content).hexdigest()[:8]}.pth"
        (folder / name).write_bytes(content)
        monkeypatch.setitem(pretrained.PUBLIC, "unet", {"imagenet": f"{url}/{name}"})
        return tmp_path / "home" / "hub" / "checkpoints" / name

    httpd.offer, httpd.files = offer, folder
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield httpd
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def tiny(tmp_path, reference):
    """The bytes of a file with a U-Net of width 2 under its authors' names, and the state_dict in it."""
    shapes = json.loads((reference / "unet_milesial_transposed.state_dict.json").read_text())
    last = "outc.conv."
    state = {
        name: fill.tensor_for(
            name, [2 if name.startswith(last) and axis == 0 else shrunk(size) for axis, size in enumerate(shape)]
        )
        for name, shape in shapes.items()
    }
    torch.save(state, tmp_path / "tiny.pth")
    return (tmp_path / "tiny.pth").read_bytes(), state


def shrunk(size):
    return size // 32 if size >= 64 else size


def test_published_weights_are_downloaded_loaded_and_reported(public, tiny, capsys):
    content, state = tiny
    file = public.offer(content)
    model = models.create("unet", num_classes=2, pretrained="imagenet", width=2)
    assert torch.equal(model.classifier.weight, state["outc.conv.weight"])
    assert f"unet, imagenet weights: milesial's U-Net: {len(state)} entries loaded" in capsys.readouterr().err
    assert file.read_bytes() == content
    next(public.files.iterdir()).unlink()  # from now on the file in the checkpoint folder is used
    assert pretrained.fetch("unet", "imagenet").keys() == state.keys()


def test_a_file_of_another_hash_is_refused_and_not_kept(public, tiny):
    file = public.offer(tiny[0], digits="00000000")
    with pytest.raises(models.CheckpointError, match="could not be downloaded.*invalid hash.*put it at .*tiny-0{8}"):
        models.create("unet", num_classes=2, pretrained="imagenet", width=2)
    assert list(file.parent.iterdir()) == []


def test_a_file_put_by_hand_is_checked_too(public, tiny):
    file = public.offer(tiny[0])
    next(public.files.iterdir()).unlink()
    file.parent.mkdir(parents=True)
    file.write_bytes(tiny[0][:-10])
    with pytest.raises(models.CheckpointError, match=f"{file}: damaged, or not the published file .* delete it"):
        pretrained.fetch("unet", "imagenet")
    file.write_bytes(tiny[0])
    assert pretrained.fetch("unet", "imagenet").keys() == tiny[1].keys()


def test_offline_the_error_says_where_to_put_the_file(public, tiny):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    file = public.offer(tiny[0], url=f"http://127.0.0.1:{port}")
    with pytest.raises(models.CheckpointError) as excinfo:
        models.create("unet", num_classes=2, pretrained="imagenet", width=2)
    message = str(excinfo.value)
    assert f"put it at {file}." in message and f"http://127.0.0.1:{port}/{file.name}" in message
    assert "refused" in message and "\n" not in message


def test_a_missing_file_at_the_address_is_reported(public, tiny):
    public.offer(tiny[0])
    next(public.files.iterdir()).unlink()
    with pytest.raises(models.CheckpointError, match="could not be downloaded.*not found"):
        pretrained.fetch("unet", "imagenet")


def test_a_file_that_is_no_checkpoint_is_refused(public):
    public.offer(b"<html>a login page</html>")
    with pytest.raises(models.CheckpointError, match="could not be downloaded"):
        pretrained.fetch("unet", "imagenet")


def test_weights_that_do_not_exist_or_cannot_fit_are_refused_without_asking_the_network():
    with pytest.raises(models.CheckpointError, match="no published weights for unet; .*choose one of: .*dilated_"):
        models.create("unet", num_classes=2, pretrained="imagenet", width=2)
    with pytest.raises(models.CheckpointError, match="no 'cityscapes' weights for dilated_resnet50; .*'imagenet' or"):
        pretrained.fetch("dilated_resnet50", "cityscapes")


def test_every_public_file_carries_its_hash_and_its_network_has_a_name():
    for files in pretrained.PUBLIC.values():
        for url in files.values():
            assert url.startswith("https://") and torch.hub.HASH_REGEX.search(url.rsplit("/", 1)[-1])
