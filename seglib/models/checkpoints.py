"""Read the checkpoints that a network's authors published, under the names they gave to the layers."""

import re
from collections.abc import Mapping

from torch import Tensor, nn

from .errors import CheckpointError

# For each of our networks, how the authors' names turn into ours: (pattern, replacement), in this order.
# unet: the entries of github.com/milesial/Pytorch-UNet, whose blocks nest one level deeper.
_RENAMES = {
    "UNet": (
        (r"^module\.", ""),
        (r"^inc\.double_conv\.", "enter."),
        (r"^(down\d)\.maxpool_conv\.1\.double_conv\.", r"\1.1."),
        (r"^(up\d)\.up\.", r"\1.enlarge."),
        (r"^(up\d)\.conv\.double_conv\.", r"\1.merge."),
        (r"^outc\.conv\.", "classify."),
    ),
}
_EXTRAS = {"UNet": {"mask_values"}}  # entries that are no weights


def load_official(model: nn.Module, state_dict: Mapping[str, Tensor]) -> int:
    """Load the authors' `state_dict` into `model`; returns how many entries were used.

    Raises CheckpointError naming the missing, left-over or misshapen entries; the model is then unchanged.
    """
    kind = type(model).__name__
    if kind not in _RENAMES:
        raise CheckpointError(f"no published checkpoint is known for {kind}; load its state_dict directly.")
    renamed = {_ours(name, kind): value for name, value in state_dict.items() if name not in _EXTRAS[kind]}
    own = model.state_dict()
    missing = sorted(own.keys() - renamed.keys())
    left_over = sorted(renamed.keys() - own.keys())
    misshapen = sorted(n for n in own.keys() & renamed.keys() if own[n].shape != renamed[n].shape)
    faults = [
        f"{title}: {', '.join(names[:5])}{' and more' if len(names) > 5 else ''}"
        for title, names in (("missing", missing), ("left over", left_over), ("of another shape", misshapen))
        if names
    ]
    if faults:
        raise CheckpointError(f"the checkpoint does not fit {kind}; {'; '.join(faults)}. Check the model's options.")
    model.load_state_dict(renamed)
    return len(renamed)


def _ours(name: str, kind: str) -> str:
    for pattern, replacement in _RENAMES[kind]:
        name = re.sub(pattern, replacement, name)
    return name
