"""Load checkpoints whose parameter names differ from ours.

These are checkpoints published by the networks' authors and files saved by older versions of seglib.
"""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from .errors import CheckpointError

PUBLISHED: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8"))
NOTHING = r"(?!)"  # a pattern that matches nothing


class Format(NamedTuple):
    """A format of published weights, as described in published.yaml.

    All patterns are regular expressions for `re.search` or `re.sub`, applied to the keys of a state_dict.

    Attributes:
        title: the name of the format to use in messages.
        sign: pattern that identifies the format.  A checkpoint has this format if at least one of its keys matches.
        renames: patterns and replacements that turn the authors' keys into ours.
        dropped: pattern of the keys that only the checkpoint has.
        absent: pattern of the keys that only our network has; these parameters keep their values.
    """

    title: str
    sign: str = ""
    renames: Mapping[str, str] = {}
    dropped: str = NOTHING
    absent: str = NOTHING


class Loaded(NamedTuple):
    """The result of `load_official` and `load_weights`.

    Attributes:
        title: the format of the checkpoint.
        used: the number of the network's parameters and buffers that were loaded.
        fresh: keys of the network's parameters and buffers that were not loaded and keep their values.
        dropped: keys in the checkpoint that were not used.
    """

    title: str
    used: int
    fresh: list[str]
    dropped: list[str]

    def __str__(self) -> str:
        text = f"{self.title}: {self.used} entries loaded"
        if self.fresh:
            text += f"; {len(self.fresh)} of the network not in the checkpoint: {_shorten(self.fresh)}"
        if self.dropped:
            text += f"; {len(self.dropped)} of the checkpoint not used: {_shorten(self.dropped)}"
        return text


def load_official(model: nn.Module, checkpoint: Mapping[str, Any] | str | Path) -> Loaded:
    """Load a checkpoint published by the network's authors.

    If the number of classes differs, the last layer (`model.head_prefixes`) is not loaded.

    Args:
        model: one of our networks.  If an error is raised, its weights do not change.
        checkpoint: a state_dict with the authors' keys, or the path of a .pth or .safetensors file that contains one.

    Returns:
        A report of the parameters that were loaded, kept and dropped.

    Raises:
        CheckpointError: if the file cannot be read, keys are missing or unexpected, or tensors have a different shape.
            The message lists the keys.
    """
    state_dict = _read(checkpoint)
    kind = type(model).__name__
    if kind not in PUBLISHED["formats"]:
        raise CheckpointError(f"no published checkpoint is known for {kind}; load its state_dict directly.")
    formats = [Format(**entry) for entry in PUBLISHED["formats"][kind]]
    # Training scripts may store the weights under "state_dict", and nn.DataParallel prefixes each key with "module.".
    state_dict = state_dict.get("state_dict", state_dict)
    entries = {name.removeprefix("module."): (name, value) for name, value in state_dict.items()}
    form = next((f for f in formats if any(re.search(f.sign, name) for name in entries)), formats[0])
    return _load(model, entries, form)


def load_weights(model: nn.Module, state_dict: Mapping[str, Tensor]) -> Loaded:
    """Load a state_dict of one of our networks.

    If the number of classes differs, the last layer (`model.head_prefixes`) is not loaded.

    Args:
        model: the network.  If an error is raised, its weights do not change.
        state_dict: the weights, with our current keys or those of an older version.

    Returns:
        A report of the parameters that were loaded, kept and dropped.

    Raises:
        CheckpointError: if keys or shapes do not match those of the network.
    """
    entries = {name: (name, value) for name, value in upgrade_state_dict(state_dict).items()}
    return _load(model, entries, Format("trained weights"))


def upgrade_state_dict(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of a state_dict, saved by this or an older version of seglib, to the current keys."""
    return {_rename(name, PUBLISHED["old_names"]): value for name, value in state_dict.items()}


def _read(checkpoint: Mapping[str, Any] | str | Path) -> Mapping[str, Any]:
    """Return the state_dict in a file, or `checkpoint` itself if it is already a mapping."""
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
    """Load the entries of a checkpoint.

    Args:
        model: the network.
        entries: {key without "module.": (key in the checkpoint, tensor)}.
        form: the format of the checkpoint.
    """
    kind = type(model).__name__
    dropped = [name for name in entries if re.search(form.dropped, name)]
    theirs = {_rename(name, form.renames): entry for name, entry in entries.items() if name not in dropped}
    values = {name: value for name, (_, value) in theirs.items()}
    current = model.state_dict()
    fresh = [name for name in current if name not in values and re.search(form.absent, name)]
    fresh = _find_resized_head(model, {name: current[name] for name in current if name not in fresh}, values) + fresh
    faults = {
        "missing": [name for name in current if name not in values and name not in fresh],
        "unexpected": [original for name, (original, _) in theirs.items() if name not in current],
        "of another shape": [
            f"{theirs[name][0]} {tuple(values[name].shape)} for {tuple(current[name].shape)}"
            for name in current.keys() & values.keys()
            if current[name].shape != values[name].shape and name not in fresh
        ],
    }
    listed = [f"{title}: {_shorten(sorted(names))}" for title, names in faults.items() if names]
    if listed:
        raise CheckpointError(f"the checkpoint does not fit {kind}; {'; '.join(listed)}. Check the model's options.")
    model.load_state_dict({**current, **{name: value for name, value in values.items() if name not in fresh}})
    return Loaded(form.title, len(current) - len(fresh), fresh, dropped)


def _find_resized_head(model: nn.Module, current: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> list[str]:
    """Return the keys of the last layer if the checkpoint has a different number of classes, otherwise []."""
    last = [name for name in current if name.startswith(getattr(model, "head_prefixes", ()))]
    if not last or any(name not in values or values[name].dim() != current[name].dim() for name in last):
        return []
    ours, theirs = ({len(state[name]) for name in last} for state in (current, values))
    return last if len(ours) == len(theirs) == 1 and ours != theirs else []


def _rename(name: str, renames: Mapping[str, str]) -> str:
    for pattern, replacement in renames.items():
        name = re.sub(pattern, replacement, name)
    return name


def _shorten(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
