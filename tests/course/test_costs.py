"""The costs of networks: computed by hand on tiny networks, and the columns of the page."""

import pytest
import torch
from torch import nn

from course import costs
from seglib import models


def test_parameters_and_macs_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 2, 1, bias=False))
    assert costs.parameters(model) == 3 * 8 * 9 + 8 + 8 * 2
    assert costs.macs(model, (10, 20)) == 200 * 3 * 8 * 9 + 50 * 8 * 2
    assert next(model.parameters()).device.type == "cpu"  # the caller's network stays on its device


def test_memory_of_a_step_by_hand():
    """The convolutions store their inputs, the ReLU its output, which the second convolution shares."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    activation_bytes = 4 * (3 * 100 + 8 * 100)
    assert costs.step_bytes(model, (10, 10)) == 16 * costs.parameters(model) + activation_bytes


@pytest.mark.parametrize("dilation, strides", [(1, (1, 1)), (2, (1, 1)), (1, (2, 1)), (3, (2, 2))])
def test_receptive_field_of_a_chain(dilation, strides):
    """Each layer adds (kernel - 1) * dilation * the product of the strides before it."""
    layers, field, jump = [], 1, 1
    for stride in strides:
        layers += [nn.Conv2d(3, 3, 3, stride, dilation, dilation), nn.BatchNorm2d(3), nn.ReLU()]
        field, jump = field + 2 * dilation * jump, jump * stride
    upsample = nn.Upsample(scale_factor=jump, mode="nearest")
    assert costs.receptive_field(nn.Sequential(*layers, upsample)) == field


def test_receptive_field_of_a_maximum_and_of_a_global_average():
    assert costs.receptive_field(nn.Sequential(nn.Conv2d(3, 3, 1), nn.MaxPool2d(3, 1, 1))) == 3

    class Global(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 2, 1)

        def forward(self, x):
            return self.layer(x) + x.mean(dim=(1, 2, 3), keepdim=True)

    assert costs.receptive_field(Global()) is None


def test_effective_receptive_field_follows_the_weights():
    """A 9 x 9 convolution whose weights are all in its middle 3 x 3 has an effective receptive field of 3 x 3."""
    model = nn.Conv2d(1, 1, 9, padding=4, bias=False)
    with torch.no_grad():
        model.weight.zero_()
        model.weight[:, :, 3:6, 3:6] = 1
    assert costs.effective_receptive_field(model, 33) == 3
    assert costs.receptive_field(model) == 9


# With 19 classes at 512 x 1024: parameters, MACs in units of 1e8, receptive field, MiB of a training step.
COUNTED = {
    "unet": (31038803, 3859, 204, 3092),
    "u2net": (44260987, 3092, None, 5094),
    "u2netp": (1195675, 1095, None, 3141),
    "hrnet_w18_small_v1": (1540819, 83, 583, 375),
    "hrnet_w18_small_v2": (3939579, 192, 1103, 722),
    "hrnet_w18": (9641119, 369, 2847, 1341),
    "hrnet_w32": (29546515, 903, 2847, 2182),
    "hrnet_w48": (65859379, 1869, 2847, 3351),
    "mini_hrnet_v1": (17156851, 1013, 1247, 1829),
    "mini_hrnet_v2": (13392211, 624, 607, 1312),
    "mini_hrnet_v3": (9545035, 773, None, 1627),
    "mini_hrnet": (5964275, 173, 1391, 607),
    "dilated_resnet50": (42003046, 3272, None, 2719),
    "efficientnet_unet": (3832387, 155, 979, 1185),
}


SLOW_TO_COUNT = ("hrnet_w32", "hrnet_w48")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW_TO_COUNT)) for n in models.names()]
)
def test_the_counted_columns_stay_as_they_are(name):
    row = costs.costs(name, (512, 1024), measure=False)
    counted = (row.parameters, round(row.macs / 1e8), row.receptive_field, round(row.step_bytes / 2**20))
    assert counted == COUNTED[name]
    documented = next(line for line in costs.PAGE.read_text(encoding="utf-8").splitlines() if f"| {name} |" in line)
    assert costs.table([row]).splitlines()[-1].rstrip(" |") in documented
