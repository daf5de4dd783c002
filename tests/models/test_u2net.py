"""U2-Net and U2-NetP against their authors' own outputs, at odd sizes, with little memory, from their checkpoints."""

import json

import numpy as np
import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from seglib import models
from seglib.models.u2net import RSU, RSU4F, ConvNormReLU
from tests.reference import fill


@pytest.fixture
def checkpoint(reference):
    """U2-NetP's checkpoint under its authors' names, filled with the reference values."""
    shapes = json.loads((reference / "u2netp.state_dict.json").read_text())
    return {name: fill.tensor_for(name, shape) for name, shape in shapes.items()}


def training_outputs(model, x):
    """All seven outputs of a network in eval mode: only its own flag is set, not that of its normalisations."""
    model.training = True
    with torch.inference_mode():
        return model(x)


def test_equals_the_authors_outputs(reference, checkpoint):
    model = models.create("u2netp", num_classes=1).eval()
    assert models.load_official(model, checkpoint).used == len(checkpoint) == 798
    expected = np.load(reference / "u2netp.npz")
    with torch.inference_mode():
        fused = model(fill.image(64, 96))
    outputs = training_outputs(model, fill.image(64, 96))
    assert torch.equal(outputs[0], fused)
    for number, logits in enumerate(outputs):  # the authors end in sigmoids
        sigmoid = expected[f"d{number}"]
        assert logits.shape == sigmoid.shape
        assert np.abs(logits.sigmoid().numpy() - sigmoid).max() < 1e-5 * np.abs(sigmoid).max()


@pytest.mark.parametrize("name, parameters", [("u2net", 44_009_869), ("u2netp", 1_131_181)])
def test_parameter_counts_of_the_paper(name, parameters):
    with torch.device("meta"):
        model = models.create(name, num_classes=1)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_channels_of_every_stage_of_the_paper():
    """Rows I, M, O of the paper's table: what enters a stage, its inside, what leaves it."""
    with torch.device("meta"):
        model = models.create("u2net", num_classes=1)
    rows = [
        (len(s.down), s.conv_in[0].in_channels, s.down[0][0].out_channels, s.conv_in[0].out_channels)
        for s in [*model.encoder, *reversed(model.decoder)]
    ]
    assert rows == [
        (7, 3, 32, 64),
        (6, 64, 32, 128),
        (5, 128, 64, 256),
        (4, 256, 128, 512),
        (4, 512, 256, 512),
        (4, 512, 256, 512),
        (4, 1024, 256, 512),
        (4, 1024, 128, 256),
        (5, 512, 64, 128),
        (6, 256, 32, 64),
        (7, 128, 16, 64),
    ]
    assert [isinstance(s, RSU4F) for s in [*model.encoder, *reversed(model.decoder)]] == [False] * 4 + [True] * 3 + [
        False
    ] * 4


@pytest.mark.parametrize("height", [3, 4, 7])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (33, 47)])
def test_a_block_downsamples_between_all_levels_but_the_last_two(height, size):
    block = RSU(3, 4, 5, height).eval()
    shapes = {}
    for level, conv in enumerate(block.down):
        conv.register_forward_hook(lambda m, i, o, level=level: shapes.update({level: tuple(o.shape[-2:])}))
    assert block(torch.randn(1, 3, *size)).shape == (1, 5, *size)
    for level, (rows, columns) in shapes.items():
        halvings = min(level, height - 2)
        assert (rows, columns) == tuple(-(-side // 2**halvings) for side in size)
    assert [conv[0].dilation[0] for conv in block.down] == [1] * (height - 1) + [2]


def test_the_dilated_block_keeps_its_size():
    block = RSU4F(3, 4, 5)
    assert [conv[0].dilation[0] for conv in [*block.down, *reversed(block.up)]] == [1, 2, 4, 8, 4, 2, 1]
    sizes = set()
    for module in block.modules():
        if isinstance(module, ConvNormReLU):
            module.register_forward_hook(lambda m, i, o: sizes.add(tuple(o.shape[-2:])))
    assert block(torch.randn(1, 3, 9, 5)).shape == (1, 5, 9, 5)
    assert sizes == {(9, 5)}


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (33, 47), (64, 96), (100, 30)])
def test_logits_have_the_input_size(size):
    model = models.create("u2netp", num_classes=3, in_channels=4)
    outputs = model.train()(torch.randn(2, 4, *size))
    assert [tuple(logits.shape) for logits in outputs] == [(2, 3, *size)] * len(model.aux_loss_weights)
    assert model.eval()(torch.randn(1, 4, *size)).shape == (1, 3, *size)


def test_a_batch_of_one_trains_and_reaches_every_weight():
    model = models.create("u2netp", num_classes=2).train()
    sum(logits.square().mean() for logits in model(torch.randn(1, 3, 33, 20))).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_one_small_image_is_refused_in_training_only():
    model = models.create("u2netp", num_classes=2).train()
    with pytest.raises(models.ModelError, match="U2NetP .* 32x7 pixels .* train on larger images or on larger batches"):
        model(torch.randn(1, 3, 32, 7))
    assert len(model(torch.randn(2, 3, 32, 7))) == 7
    assert model.eval()(torch.randn(1, 3, 32, 7)).shape == (1, 2, 32, 7)


def trained_once(checkpointing):
    """Return outputs, gradients, buffers and stored bytes of one step from the same weights."""
    torch.manual_seed(3)
    model = models.create("u2netp", num_classes=2, checkpointing=checkpointing).train()
    stored_bytes = {}

    def keep(tensor):
        stored_bytes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = model(torch.randn(2, 3, 48, 40))
    sum(logits.square().mean() for logits in outputs).backward()
    gradients = [p.grad for p in model.parameters()]
    return [*outputs, *gradients, *model.buffers()], sum(stored_bytes.values())


def test_checkpointing_changes_memory_and_nothing_else():
    """Running statistics too are as without: the second forward pass does not count the batch again."""
    plain, plain_bytes = trained_once(checkpointing=False)
    saving, saving_bytes = trained_once(checkpointing=True)
    assert all(torch.equal(a, b) for a, b in zip(plain, saving, strict=True))
    assert saving_bytes < 0.4 * plain_bytes


def test_another_number_of_classes_keeps_all_but_the_last_layers(checkpoint):
    model = models.create("u2netp", num_classes=4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loaded = models.load_official(model, checkpoint)
    assert loaded.used == 798 - 14 and "not in the checkpoint: side_convs.0.weight" in str(loaded)
    assert {name.split(".")[0] for name in loaded.fresh} == {"side_convs", "out_conv"}
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in loaded.fresh)
    assert torch.equal(after["encoder.0.down.6.0.weight"], checkpoint["stage1.rebnconv7.conv_s1.weight"])
    assert torch.equal(after["decoder.4.up.2.1.bias"], checkpoint["stage5d.rebnconv3d.bn_s1.bias"])


def test_a_checkpoint_that_does_not_fit_is_refused_by_name(checkpoint):
    model = models.create("u2netp", num_classes=1)
    incomplete = {name: value for name, value in checkpoint.items() if name != "stage2d.rebnconvin.bn_s1.weight"}
    with pytest.raises(models.CheckpointError, match="missing: decoder.1.conv_in.1.weight"):
        models.load_official(model, incomplete)
    with pytest.raises(models.CheckpointError, match="unexpected: refconv.weight"):
        models.load_official(model, {**checkpoint, "refconv.weight": torch.zeros(1)})
    with pytest.raises(models.CheckpointError, match="of another shape: .*stage"):
        with torch.device("meta"):
            models.load_official(models.create("u2net", num_classes=1), checkpoint)
