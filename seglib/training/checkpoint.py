"""Create the folder of a run, and read and write its configuration and checkpoint."""

import io
import itertools
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock
import torch
import yaml
from torch import Tensor, nn

from .. import distributed, files
from ..config import PLACES, Config, ConfigError, config_to_dict, flatten, load_config, upgrade_config
from ..data.sampler import TrainingBatchSampler
from ..models import upgrade_state_dict
from .errors import TrainingError
from .logger import print_line


@contextmanager
def run_folder(folder: Path, config: Config, resume: bool) -> Iterator[None]:
    """Create the run's folder, write config.yaml, and keep the folder locked until the end of the `with` block.

    Raises:
        TrainingError: if the folder contains a run and `resume` is False, or another run is using the folder.
    """
    results = {
        "checkpoint.pt": "already holds a run; add --resume to continue, or",
        "history.json": "holds the results of a run without its checkpoint;",
    }
    for name, problem in results.items():
        if not resume and (folder / name).exists():
            raise TrainingError(f"{folder}: {problem} choose another --output_dir.")
    if distributed.rank():
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise TrainingError(f"{folder}: is a file, but a run needs a folder; choose another --output_dir.") from None
    try:
        with files.lock_folder(folder):
            write_config(folder, config)
            yield
    except filelock.Timeout:
        raise TrainingError(f"{folder}: another run is using it; wait, or choose another --output_dir.") from None


def write_config(folder: Path, config: Config) -> None:
    """Write config.yaml.

    An existing file with the same options is kept, so that its comments are preserved.  An existing file with other
    options is renamed to config-before-1.yaml, config-before-2.yaml and so on.
    """
    file = folder / "config.yaml"
    if file.exists():
        with suppress(ConfigError):
            if config_to_dict(load_config(file)) == config_to_dict(config):
                return
        names = (folder / f"config-before-{number}.yaml" for number in itertools.count(1))
        file.rename(next(unused for unused in names if not unused.exists()))
    files.write_text(file, yaml.safe_dump(config_to_dict(config), sort_keys=False))


def write_checkpoint(folder: Path, state: dict) -> None:
    """Write checkpoint.pt, then history.json.  If writing a file fails, the previous version of the file remains."""
    buffer = io.BytesIO()  # if the disk is full, an error from torch.save would not contain the file name
    torch.save(state, buffer)
    files.write_atomically(folder / "checkpoint.pt", lambda file: file.write(buffer.getbuffer()))
    files.write_text(folder / "history.json", json.dumps(state["history"], indent=1))


@contextmanager
def reading(folder: Path, config: Config, device: torch.device) -> Iterator[dict]:
    """Read and verify checkpoint.pt, and yield its content with current keys.

    Raises:
        TrainingError: if the file is missing or corrupted, cannot be read, or was saved with a different configuration.
            Any other exception inside the `with` block is also reported as a corrupted checkpoint.
    """
    file = folder / "checkpoint.pt"
    try:
        with zipfile.ZipFile(file) as archive:
            if archive.testzip() is not None:  # torch.load does not verify the checksums
                raise zipfile.BadZipFile("a checksum differs")
        state = upgrade_checkpoint(torch.load(file, map_location=device, weights_only=True))
        check_config(file, state["config"], config)
        yield state
    except FileNotFoundError:
        raise TrainingError(f"{file}: there is no checkpoint to resume; start without --resume.") from None
    except TrainingError:
        raise
    except PermissionError:
        raise TrainingError(f"{file}: not allowed to read it; check the file's permissions.") from None
    except Exception as error:  # for corrupted files, torch raises exceptions of many types
        raise TrainingError(
            f"{file}: the checkpoint is damaged, or the training images or classes have changed since then "
            f"({type(error).__name__}). Restore them, or start a new run in another --output_dir. best.safetensors, if "
            "it is there, is not affected: --model.init_from starts from its weights."
        ) from None


def upgrade_checkpoint(state: dict) -> dict:
    """Convert a checkpoint from an earlier version of seglib to the current keys.

    Options that did not exist in the earlier version get their defaults, which preserve the earlier behavior.
    """
    options = upgrade_config(state["config"])
    defaults = config_to_dict(Config())
    for name, value in defaults.items():
        options[name] = {**value, **options.get(name, {})} if isinstance(value, dict) else options.get(name, value)
    renamed = {"average": "ema", "partial": "partial_epoch"}
    return {renamed.get(name, name): value for name, value in state.items()} | {"config": options}


def check_config(file: Path, saved: dict, config: Config) -> None:
    """Raise TrainingError if a run with the options `saved` cannot be resumed with `config`.

    Options that do not affect the result (`PLACES`) may differ, and so may two others.  `epochs` may increase.  In
    this case, learning rates and crop sizes after the checkpoint are those of a run with the new number of epochs.
    `accumulation_steps` may change to save memory. Loss and batch-normalization statistics are computed for each part
    of a batch, so the gradients differ, most if many pixels are ignored.
    """
    null = {"loss.class_weights": "none"}  # None means the same
    before, now = (
        null | {option: value for option, value in flatten(options).items() if value is not None}
        for options in (saved, config_to_dict(config))
    )
    for option in sorted((before.keys() | now.keys()) - PLACES):
        if before.get(option) == now.get(option):
            continue
        if option == "accumulation_steps" or (option == "epochs" and before[option] < now[option]):
            print_line(f"{file}: saved with {option}={str(before[option])[:20]}; continues with {now[option]}.")
            if option == "epochs":
                print_line("From here on, learning rates and crop sizes are those of a run of that many epochs.")
            continue
        raise TrainingError(
            f"{file}: {option} was {str(before.get(option))[:100]} and is now {now.get(option)}. Resume with the "
            "configuration of the run, or start a new run from its weights: --output_dir=NEW "
            f"--model.init_from={file.parent / 'best.safetensors'}"
        )


def load_weights(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Load the state_dict of a checkpoint, with current or older keys.

    Raises:
        ValueError: if the keys or their order differ from those of the network.  The optimizer state depends on the
            order.
    """
    tensors = upgrade_state_dict(tensors)
    if list(tensors) != list(model.state_dict()):
        raise ValueError("the tensors differ from those of the network")
    model.load_state_dict(tensors)


def check_progress(state: dict, sampler: TrainingBatchSampler) -> None:
    """Raise ValueError unless the step of a checkpoint is in the epoch after the last one in its history."""
    epochs_done = len(state["history"]) if isinstance(state["history"], list) else -1
    first = epochs_done * sampler.steps_per_epoch
    if not 0 <= first <= state["step"] <= min(first + sampler.steps_per_epoch, sampler.total_steps):
        raise ValueError(f"step {state['step']} of {sampler.total_steps} after {epochs_done} epochs")
