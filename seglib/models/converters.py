"""Read the checkpoints that a network's authors published, under the names they gave to the layers."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from .errors import CheckpointError


class Format(NamedTuple):
    """One way in which weights for one of our networks were published.

    The first format of a network whose `sign` is found (`re.search`) among the file's names is taken.  `renames` are
    (pattern, replacement) pairs that turn the authors' names into ours, applied in this order.  Entries of
    the file that match `dropped` have no place in our network; entries of ours that match `absent` are not
    in such a file and keep their fresh values.
    """

    title: str
    sign: str = ""
    renames: tuple[tuple[str, str], ...] = ()
    dropped: str = r"(?!)"  # matches nothing
    absent: str = r"(?!)"


# github.com/milesial/Pytorch-UNet, whose blocks nest one level deeper; its script adds the values of the masks.
_MILESIAL_UNET = Format(
    "milesial's U-Net",
    renames=(
        (r"^inc\.double_conv\.", "enter."),
        (r"^(down\d)\.maxpool_conv\.1\.double_conv\.", r"\1.1."),
        (r"^(up\d)\.up\.", r"\1.enlarge."),
        (r"^(up\d)\.conv\.double_conv\.", r"\1.merge."),
        (r"^outc\.conv\.", "classify."),
    ),
    dropped=r"^mask_values$",
)

# github.com/xuebinqin/U-2-Net, which counts its stages and convolutions from 1 and marks the decoder's with a "d".
_QIN_U2NET = Format(
    "the authors' U-2-Net",
    renames=(
        (r"\.rebnconvin\.", ".enter."),
        *((rf"\.rebnconv{n}\.", f".down.{n - 1}.") for n in range(1, 8)),
        *((rf"\.rebnconv{n}d\.", f".up.{n - 1}.") for n in range(1, 7)),
        (r"\.conv_s1\.", ".0."),
        (r"\.bn_s1\.", ".1."),
        *((rf"^stage{n}\.", f"encoder.{n - 1}.") for n in range(1, 7)),
        *((rf"^stage{n}d\.", f"decoder.{n - 1}.") for n in range(1, 6)),
        *((rf"^side{n}\.", f"sides.{n - 1}.") for n in range(1, 7)),
        (r"^outconv\.", "fuse."),
    ),
)

# torchvision's deeplabv3_resnet50, and its resnet50 for ImageNet, which lacks our heads.  torchvision can leave the
# auxiliary head out, and torch before 0.4.1 did not count the batches.
_DEEPLAB = Format(
    "torchvision's DeepLabV3-ResNet-50",
    sign=r"^aux_classifier\.",
    renames=(
        (r"^classifier\.4\.", "classify."),
        (r"^classifier\.", "head."),
        (r"^aux_classifier\.4\.", "classify_auxiliary."),
        (r"^aux_classifier\.", "auxiliary."),
    ),
)
_DEEPLAB_WITHOUT_AUXILIARY = _DEEPLAB._replace(
    title="torchvision's DeepLabV3-ResNet-50 without auxiliary head",
    sign=r"^classifier\.",
    absent=r"^(auxiliary|classify_auxiliary)\.",
)
_RESNET50 = Format(
    "torchvision's ResNet-50",
    sign=r"^(conv1|fc)\.",
    renames=((r"^", "backbone."),),
    dropped=r"^fc\.",
    absent=r"^(?!backbone\.)|\.num_batches_tracked$",
)

# github.com/HRNet: networks for segmentation, saved inside a module that also holds the loss; networks for ImageNet,
# whose body timm has under the same names, with a head that is not ours.  Their first releases, from before
# torch 0.4.1, may not count the batches.
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

# The third of the published Mini-HRNets, whose normalisation has no entries.
_MINI_HRNET_V3 = Format(
    "the published Mini-HRNet",
    renames=(
        (r"^stages\.0\.mainStreams\.(\d)\.stream\.", r"parallel.\1."),
        (r"^stages\.0\.fusionStreams\.fusionStreams\.", "fusion2.paths."),
        (r"^streams\.mainStreams\.(\d)\.stream\.", r"started.\1."),
        (r"^streams\.fusionStreams\.fusionStreams\.", "fusion1.paths."),
        (r"^transition\.conv\.", "starts.0.0."),
        *((rf"^streams\.transStreams\.{n}\.conv\.", f"starts.{n + 1}.0.") for n in range(3)),
        (r"^stem\.conv1\.", "stem.0."),
        (r"^stem\.conv2\.", "stem.3."),
        (r"^(fusion.*)\.conv\.", r"\1.0."),
        *((rf"\.dil{2**n}\.", f".reaches.{n}.") for n in range(3)),
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


class Loaded(NamedTuple):
    """What `load_official` did: the format it saw, how many entries it used, which of ours stayed fresh, which of
    the file's had no place."""

    title: str
    used: int
    fresh: list[str]
    dropped: list[str]

    def __str__(self) -> str:
        text = f"{self.title}: {self.used} entries loaded"
        if self.fresh:
            text += f"; {len(self.fresh)} of the network start fresh: {_some(self.fresh)}"
        return text + (f"; {len(self.dropped)} of the file left aside: {_some(self.dropped)}" if self.dropped else "")


def load_official(model: nn.Module, state_dict: Mapping[str, Tensor]) -> Loaded:
    """Load the authors' `state_dict` into `model`; the result says how many entries were used.

    A checkpoint for another number of classes gives everything but the last layer (`model.LAST`), and the
    result names what stayed fresh.  Raises CheckpointError naming the missing, left-over or misshapen
    entries; the model is then unchanged.
    """
    kind = type(model).__name__
    if kind not in _FORMATS:
        raise CheckpointError(f"no published checkpoint is known for {kind}; load its state_dict directly.")
    # Checkpoints of training scripts may wrap the weights, and nn.DataParallel puts "module." before each name.
    state_dict = state_dict.get("state_dict", state_dict)
    named = {name.removeprefix("module."): (name, value) for name, value in state_dict.items()}
    form = next((f for f in _FORMATS[kind] if any(re.search(f.sign, name) for name in named)), _FORMATS[kind][0])
    return _load(model, named, form)


def load_weights(model: nn.Module, state_dict: Mapping[str, Tensor]) -> Loaded:
    """Load a `state_dict` with our own names, of a network with the same or another number of classes.

    As `load_official`: all but the last layer where the classes differ, CheckpointError where it does not fit.
    """
    return _load(model, {name: (name, value) for name, value in state_dict.items()}, Format("trained weights"))


def _load(model: nn.Module, named: Mapping[str, tuple[str, Tensor]], form: Format) -> Loaded:
    """Load `named`, {name without wrapping: (name in the file, value)}, which are in the format `form`."""
    kind = type(model).__name__
    dropped = [name for name in named if re.search(form.dropped, name)]
    theirs = {_renamed(name, form): entry for name, entry in named.items() if name not in dropped}
    values = {name: value for name, (_, value) in theirs.items()}
    own = model.state_dict()
    fresh = [name for name in own if name not in values and re.search(form.absent, name)]
    fresh = _another_last_layer(model, {name: own[name] for name in own if name not in fresh}, values) + fresh
    faults = {
        "missing": [name for name in own if name not in values and name not in fresh],
        "left over": [original for name, (original, _) in theirs.items() if name not in own],
        "of another shape": [
            f"{theirs[name][0]} {tuple(values[name].shape)} for {tuple(own[name].shape)}"
            for name in own.keys() & values.keys()
            if own[name].shape != values[name].shape and name not in fresh
        ],
    }
    found = [f"{title}: {_some(sorted(names))}" for title, names in faults.items() if names]
    if found:
        raise CheckpointError(f"the checkpoint does not fit {kind}; {'; '.join(found)}. Check the model's options.")
    model.load_state_dict({**own, **{name: value for name, value in values.items() if name not in fresh}})
    return Loaded(form.title, len(own) - len(fresh), fresh, dropped)


def _another_last_layer(model: nn.Module, own: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> list[str]:
    """The entries of the last layer, if the file has all of them for one other number of classes."""
    last = [name for name in own if name.startswith(model.LAST)]
    if not last or any(name not in values or values[name].dim() != own[name].dim() for name in last):
        return []
    ours, theirs = ({len(state[name]) for name in last} for state in (own, values))
    return last if len(ours) == len(theirs) == 1 and ours != theirs else []


def _renamed(name: str, form: Format) -> str:
    for pattern, replacement in form.renames:
        name = re.sub(pattern, replacement, name)
    return name


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
