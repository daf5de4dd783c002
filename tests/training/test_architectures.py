"""Every architecture trains with the same loop on a binary and a multi-class data set."""

import json

import pytest

from seglib import training, weights
from tests.training.test_trainer import tiny

FAMILIES = {
    "unet": {"width": 8},
    "u2netp": {},
    "hrnet_w18_small_v1": {},
    "mini_hrnet_v1": {"widths": [8, 16, 32]},
    "mini_hrnet_v2": {"widths": [8, 16, 32, 64]},
    "mini_hrnet_v3": {},
    "mini_hrnet": {},
    "dilated_resnet50": {"head_channels": 16},
    "efficientnet_unet": {},
}
# Binary and multi-class sets take turns; the quickest network learns both.
SETS = ("creatures", "streets")
RUNS = [("unet", "streets")] + [(name, SETS[index % 2]) for index, name in enumerate(FAMILIES)]


@pytest.mark.parametrize(("name", "set_name"), RUNS)
def test_two_epochs_lower_the_loss(name, set_name, tmp_path):
    config = tiny(tmp_path / "run", eval_interval=2, batch_size=5)
    config.data.name, config.data.options = set_name, {"length": 16, "size": [64, 64]}
    config.model.name, config.model.options = name, FAMILIES[name]
    config.augment.crop_sizes, config.inference.longest_side = [64], 64
    config.optimizer.lr, config.schedule.name = 3e-3, "constant"
    first, second = training.fit(config, progress=False)  # the last batch of each epoch is a single image
    assert second["loss"] < first["loss"]
    assert 0 <= second["val"]["miou"] <= 1
    model, notes = weights.load(str(tmp_path / "run" / "best.safetensors"))
    assert notes["config"]["model"]["name"] == name and not model.training
    assert json.loads((tmp_path / "run" / "history.json").read_text())[1]["loss"] == second["loss"]
