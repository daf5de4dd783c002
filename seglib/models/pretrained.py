"""Weights that the networks' authors published, downloaded once into PyTorch's own folder of checkpoints."""

import hashlib
import pickle
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor, nn

from . import imagenet
from .efficientnet_unet import EfficientNetUNet
from .errors import CheckpointError

_TORCHVISION = "https://download.pytorch.org/models/"
_TIMM = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-hrnet/"

# The end of each file name is the start of the file's SHA-256.
PUBLIC: dict[str, dict[str, str]] = {
    "hrnet_w18_small_v1": {"imagenet": _TIMM + "hrnet_w18_small_v1-f460c6bc.pth"},
    "hrnet_w18_small_v2": {"imagenet": _TIMM + "hrnet_w18_small_v2-4c50a8cb.pth"},
    "hrnet_w18": {"imagenet": _TIMM + "hrnetv2_w18-8cb57bb9.pth"},
    "hrnet_w32": {"imagenet": _TIMM + "hrnetv2_w32-90d8c5fb.pth"},
    "hrnet_w48": {"imagenet": _TIMM + "hrnetv2_w48-abd2e6ab.pth"},
    "dilated_resnet50": {
        "imagenet": _TORCHVISION + "resnet50-11ad3fa6.pth",  # IMAGENET1K_V2
        "coco": _TORCHVISION + "deeplabv3_resnet50_coco-cd0a2569.pth",  # the 21 classes of Pascal VOC
    },
}


PACKAGED = {"efficientnet_unet": ("imagenet",)}  # in packages of the Python package index, see `imagenet`


def choices(name: str) -> list[str]:
    """Return the published weights that there are for the network `name`."""
    return [*PUBLIC.get(name, {}), *PACKAGED.get(name, ())]


def fetch(name: str, which: str, model: nn.Module | None = None) -> dict[str, Tensor]:
    """Return the published weights of a network, downloaded if necessary.

    The file is stored in the folder checkpoints/ of `torch.hub.get_dir()` (TORCH_HOME changes it), where it may also
    be put by hand.  Its SHA-256 is checked in both cases.

    Args:
        name: a network, as in `registry.create`.
        which: "imagenet" or "coco".
        model: the network; needed for `efficientnet_unet`, whose weights depend on its size.

    Returns:
        A state_dict with the authors' names.

    Raises:
        CheckpointError: if there are no such weights, the download fails, or the file is not the published one.
    """
    _check_choice(name, which)
    if isinstance(model, EfficientNetUNet):
        return imagenet.read_encoder(model.size, model.encoder.state_dict())
    url = PUBLIC[name][which]
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    digits = file.stem.rsplit("-", 1)[-1]
    try:
        if file.exists() and not hashlib.sha256(file.read_bytes()).hexdigest().startswith(digits):
            raise CheckpointError(
                f"{file}: damaged, or not the published file (its SHA-256 does not start with {digits}); "
                f"delete it, or replace it with {url}."
            )
        return torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True)
    except (OSError, HTTPException, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        # urllib, the comparison of hashes and torch.load each raise their own.
        reason = str(getattr(error, "reason", "") or error or type(error).__name__).splitlines()[0]
        raise CheckpointError(
            f"the {which} weights of {name} could not be downloaded from {url} ({reason}); "
            f"go online, or get that file elsewhere and put it at {file}."
        ) from None


def _check_choice(name: str, which: str) -> None:
    """CheckpointError if there are no `which` weights for the network `name`."""
    if not choices(name):
        known = ", ".join([*PUBLIC, *PACKAGED])
        raise CheckpointError(
            f"there are no published weights for {name}; leave pretrained out or choose one of: {known}."
        )
    if which not in choices(name):
        known = " or ".join(f"'{known}'" for known in choices(name))
        raise CheckpointError(f"there are no '{which}' weights for {name}; pretrained can be {known}.")
