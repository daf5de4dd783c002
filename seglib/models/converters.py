"""Load checkpoints with other names than ours: those that the networks' authors published, and our own older files."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from .errors import CheckpointError

Renames = tuple[tuple[str, str], ...]  # (pattern, replacement) pairs, applied in this order
NOTHING = r"(?!)"  # a pattern that matches nothing


class Format(NamedTuple):
    """One format in which weights of a network were published.

    Attributes:
        title: what messages call it.
        sign: the format is recognized by an entry whose name this pattern matches (`re.search`).
        renames: turns the authors' names into ours.
        dropped: entries of the file that our network does not have.
        absent: entries of our network that the file does not have; they keep their values.
    """

    title: str
    sign: str = ""
    renames: Renames = ()
    dropped: str = NOTHING
    absent: str = NOTHING


# github.com/milesial/Pytorch-UNet, whose blocks nest one level deeper; its script adds the values of the masks.
_MILESIAL_UNET = Format(
    "milesial's U-Net",
    renames=(
        (r"^inc\.double_conv\.", "stem."),
        (r"^(down\d)\.maxpool_conv\.1\.double_conv\.", r"\1.1."),
        (r"^(up\d)\.up\.", r"\1.upsample."),
        (r"^(up\d)\.conv\.double_conv\.", r"\1.conv."),
        (r"^outc\.conv\.", "classifier."),
    ),
    dropped=r"^mask_values$",
)

# github.com/xuebinqin/U-2-Net, which counts its stages and convolutions from 1 and marks the decoder's with a "d".
_QIN_U2NET = Format(
    "the authors' U-2-Net",
    renames=(
        (r"\.rebnconvin\.", ".conv_in."),
        *((rf"\.rebnconv{n}\.", f".down.{n - 1}.") for n in range(1, 8)),
        *((rf"\.rebnconv{n}d\.", f".up.{n - 1}.") for n in range(1, 7)),
        (r"\.conv_s1\.", ".0."),
        (r"\.bn_s1\.", ".1."),
        *((rf"^stage{n}\.", f"encoder.{n - 1}.") for n in range(1, 7)),
        *((rf"^stage{n}d\.", f"decoder.{n - 1}.") for n in range(1, 6)),
        *((rf"^side{n}\.", f"side_convs.{n - 1}.") for n in range(1, 7)),
        (r"^outconv\.", "out_conv."),
    ),
)

# torchvision's deeplabv3_resnet50, and its resnet50 for ImageNet, which does not have our heads.  torchvision can
# leave out the auxiliary head, and torch before 0.4.1 did not count the batches.
_DEEPLAB = Format(
    "torchvision's DeepLabV3-ResNet-50",
    sign=r"^aux_classifier\.",
    renames=(
        (r"^classifier\.(?!4\.)", "head."),
        (r"^classifier\.4\.", "classifier."),
        (r"^aux_classifier\.(?!4\.)", "aux_head."),
        (r"^aux_classifier\.4\.", "aux_classifier."),
    ),
)
_DEEPLAB_WITHOUT_AUXILIARY = _DEEPLAB._replace(
    title="torchvision's DeepLabV3-ResNet-50 without auxiliary head",
    sign=r"^classifier\.",
    absent=r"^(aux_head|aux_classifier)\.",
)
_RESNET50 = Format(
    "torchvision's ResNet-50",
    sign=r"^(conv1|fc)\.",
    renames=((r"^", "backbone."),),
    dropped=r"^fc\.",
    absent=r"^(?!backbone\.)|\.num_batches_tracked$",
)

# github.com/HRNet: networks for segmentation, saved inside a module that also holds the loss; networks for ImageNet,
# whose body has the same names in timm, with a head that is not ours.  Their first releases, from before torch 0.4.1,
# may not count the batches.
_HRNET = Format(
    "the authors' HRNet for segmentation",
    sign=r"^(model\.)?last_layer\.",
    renames=((r"^model\.", ""),),
    dropped=r"^loss\.",
    absent=r"\.num_batches_tracked$",
)
_HRNET_IMAGENET = Format(
    "the authors' or timm's HRNet for ImageNet",
    sign=r"^classifier\.",
    dropped=r"^(incre_modules|downsamp_modules|final_layer|classifier)\.",
    absent=r"^last_layer\.|\.num_batches_tracked$",
)

# The third of the published Mini-HRNets, whose normalization has no entries.
_MINI_HRNET_V3 = Format(
    "the published Mini-HRNet",
    renames=(
        (r"^stages\.0\.mainStreams\.(\d)\.stream\.", r"branches2.\1."),
        (r"^stages\.0\.fusionStreams\.fusionStreams\.", "fusion2.paths."),
        (r"^streams\.mainStreams\.(\d)\.stream\.", r"branches1.\1."),
        (r"^streams\.fusionStreams\.fusionStreams\.", "fusion1.paths."),
        (r"^transition\.conv\.", "transitions.0.0."),
        *((rf"^streams\.transStreams\.{n}\.conv\.", f"transitions.{n + 1}.0.") for n in range(3)),
        (r"^stem\.conv1\.", "stem.0."),
        (r"^stem\.conv2\.", "stem.3."),
        (r"^(fusion.*)\.conv\.", r"\1.0."),
        *((rf"\.dil{2**n}\.", f".branches.{n}.") for n in range(3)),
    ),
)

# timm's tf_efficientnet_lite0 to 2, whose classifier is not ours.
_EFFICIENTNET_LITE = Format(
    "EfficientNet-Lite for ImageNet",
    sign=r"^conv_stem\.",
    renames=((r"^", "encoder."),),
    dropped=r"^(conv_head|bn2|classifier)\.",
    absent=r"^(?!encoder\.)|\.num_batches_tracked$",
)

_FORMATS: dict[str, tuple[Format, ...]] = {
    "UNet": (_MILESIAL_UNET,),
    "U2Net": (_QIN_U2NET,),
    "U2NetP": (_QIN_U2NET,),
    "HRNet": (_HRNET, _HRNET_IMAGENET),
    "MiniHRNetV3": (_MINI_HRNET_V3,),
    "DilatedResNet": (_DEEPLAB, _DEEPLAB_WITHOUT_AUXILIARY, _RESNET50),
    "EfficientNetUNet": (_EFFICIENTNET_LITE,),
}

# Names in our own files before version 0.2.  No pattern matches one of today's names, so newer files do not change.
_OLD_NAMES: Renames = (
    (r"^enter\.", "stem."),  # UNet
    (r"^(up\d)\.enlarge\.", r"\1.upsample."),
    (r"^(up\d)\.merge\.", r"\1.conv."),
    (r"^classify\.", "classifier."),  # and DilatedResNet
    (r"^auxiliary\.", "aux_head."),
    (r"^classify_auxiliary\.", "aux_classifier."),
    (r"\.enter\.", ".conv_in."),  # U2Net
    (r"^sides\.", "side_convs."),
    (r"^fuse\.", "out_conv."),
    (r"^starts\.", "transitions."),  # MiniHRNetV3
    (r"^started\.", "branches1."),
    (r"^parallel\.", "branches2."),
    (r"\.reaches\.", ".branches."),
)


class Loaded(NamedTuple):
    """The result of `load_official`.

    Attributes:
        title: the format of the checkpoint.
        used: the number of entries of the network that were loaded.
        fresh: entries of the network that keep their values.
        dropped: entries of the checkpoint that were not used.
    """

    title: str
    used: int
    fresh: list[str]
    dropped: list[str]

    def __str__(self) -> str:
        text = f"{self.title}: {self.used} entries loaded"
        if self.fresh:
            text += f"; {len(self.fresh)} of the network not in the checkpoint: {_shortened(self.fresh)}"
        if self.dropped:
            text += f"; {len(self.dropped)} of the checkpoint not used: {_shortened(self.dropped)}"
        return text


def load_official(model: nn.Module, checkpoint: Mapping[str, Any] | str | Path) -> Loaded:
    """Load a checkpoint that the network's authors published.

    A checkpoint for another number of classes is loaded without the last layer (`model.head_prefixes`).

    Args:
        model: one of our networks; it does not change if an error is raised.
        checkpoint: a state_dict with the authors' names, or the path of a .pth or .safetensors file with one.

    Returns:
        What was loaded.

    Raises:
        CheckpointError: if the file cannot be read, or the names of entries that are missing, unexpected or of another
            shape.
    """
    state_dict = _read(checkpoint)
    kind = type(model).__name__
    if kind not in _FORMATS:
        raise CheckpointError(f"no published checkpoint is known for {kind}; load its state_dict directly.")
    # Checkpoints of training scripts may wrap the weights, and nn.DataParallel puts "module." before each name.
    state_dict = state_dict.get("state_dict", state_dict)
    entries = {name.removeprefix("module."): (name, value) for name, value in state_dict.items()}
    form = next((f for f in _FORMATS[kind] if any(re.search(f.sign, name) for name in entries)), _FORMATS[kind][0])
    return _load(model, entries, form)


def load_weights(model: nn.Module, state_dict: Mapping[str, Tensor]) -> Loaded:
    """Load a state_dict of one of our networks, which may have another number of classes.

    Args:
        model: the network; it does not change if an error is raised.
        state_dict: with our names, today's or old ones.

    Returns:
        What was loaded: all but the last layer if the number of classes differs.

    Raises:
        CheckpointError: if the state_dict does not fit.
    """
    entries = {name: (name, value) for name, value in upgrade_state_dict(state_dict).items()}
    return _load(model, entries, Format("trained weights"))


def upgrade_state_dict(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `state_dict`, saved from one of our networks by this or an older version, with today's names."""
    return {_renamed(name, _OLD_NAMES): value for name, value in state_dict.items()}


def _read(checkpoint: Mapping[str, Any] | str | Path) -> Mapping[str, Any]:
    """The state_dict in a file, or the one that was given."""
    if isinstance(checkpoint, str | Path):
        try:
            if Path(checkpoint).suffix == ".safetensors":
                return load_file(checkpoint)
            checkpoint = torch.load(checkpoint, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            raise CheckpointError(f"{checkpoint}: no such file; check the name.") from None
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise CheckpointError(f"{checkpoint}: not a checkpoint that can be read ({reason}).") from None
    if not isinstance(checkpoint, Mapping):
        raise CheckpointError(f"a checkpoint is a state_dict or the path of a file, not {type(checkpoint).__name__}.")
    return checkpoint


def _load(model: nn.Module, entries: Mapping[str, tuple[str, Any]], form: Format) -> Loaded:
    """Load `entries`, {name without wrapping: (name in the file, value)}, which are in the format `form`."""
    kind = type(model).__name__
    dropped = [name for name in entries if re.search(form.dropped, name)]
    theirs = {_renamed(name, form.renames): entry for name, entry in entries.items() if name not in dropped}
    values = {name: value for name, (_, value) in theirs.items()}
    current = model.state_dict()
    fresh = [name for name in current if name not in values and re.search(form.absent, name)]
    fresh = _other_classes(model, {name: current[name] for name in current if name not in fresh}, values) + fresh
    faults = {
        "missing": [name for name in current if name not in values and name not in fresh],
        "unexpected": [original for name, (original, _) in theirs.items() if name not in current],
        "of another shape": [
            f"{theirs[name][0]} {tuple(values[name].shape)} for {tuple(current[name].shape)}"
            for name in current.keys() & values.keys()
            if current[name].shape != values[name].shape and name not in fresh
        ],
    }
    listed = [f"{title}: {_shortened(sorted(names))}" for title, names in faults.items() if names]
    if listed:
        raise CheckpointError(f"the checkpoint does not fit {kind}; {'; '.join(listed)}. Check the model's options.")
    model.load_state_dict({**current, **{name: value for name, value in values.items() if name not in fresh}})
    return Loaded(form.title, len(current) - len(fresh), fresh, dropped)


def _other_classes(model: nn.Module, current: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> list[str]:
    """The entries of the last layer, if the file has all of them for one other number of classes."""
    last = [name for name in current if name.startswith(getattr(model, "head_prefixes", ()))]
    if not last or any(name not in values or values[name].dim() != current[name].dim() for name in last):
        return []
    ours, theirs = ({len(state[name]) for name in last} for state in (current, values))
    return last if len(ours) == len(theirs) == 1 and ours != theirs else []


def _renamed(name: str, renames: Renames) -> str:
    for pattern, replacement in renames:
        name = re.sub(pattern, replacement, name)
    return name


def _shortened(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
