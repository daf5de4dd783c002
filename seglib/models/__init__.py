"""Networks for semantic segmentation.

`create` builds a network by name, and `load_official` loads a checkpoint published by the network's authors.
"""

from .converters import load_official, load_weights, upgrade_state_dict
from .dilated_resnet import DilatedResNet
from .efficientnet_unet import EfficientNetUNet
from .errors import CheckpointError, ModelError
from .hrnet import HRNet
from .registry import check_names, create, names
from .u2net import U2Net, U2NetP
from .unet import UNet

__all__ = [
    "CheckpointError",
    "DilatedResNet",
    "EfficientNetUNet",
    "HRNet",
    "ModelError",
    "U2Net",
    "U2NetP",
    "UNet",
    "check_names",
    "create",
    "load_official",
    "load_weights",
    "names",
    "upgrade_state_dict",
]


def __dir__() -> list[str]:
    return __all__
