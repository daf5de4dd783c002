"""Errors raised by training, and explanations of errors that PyTorch raises during training."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .. import distributed
from ..config import Config
from ..data.images import DataError
from ..errors import SeglibError, is_out_of_memory


class TrainingError(SeglibError, RuntimeError):
    """Raised if a training run cannot start or continue.  The message says what is wrong and how to fix it."""


@contextmanager
def explain_errors(config: Config) -> Iterator[None]:
    """Replace PyTorch's exception with a one-sentence explanation if memory runs out or a worker process fails."""
    try:
        yield
    except DataError as error:  # an error in a worker process has a traceback in its message
        text = str(error)
        raise DataError(text.rpartition("DataError: ")[2].strip() if text.startswith("Caught ") else text) from None
    except (MemoryError, RuntimeError, ConnectionError, EOFError) as error:  # the last two occur if a process dies
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        if is_out_of_memory(error):
            raise TrainingError(
                f"out of memory ({reason}); {_suggest_saving_memory(config)}, and continue with --resume if there is a "
                "checkpoint (not after a change of --batch_size or --augment.crop_sizes): the last one is intact."
            ) from None
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's handler could raise another error later
        raise TrainingError(
            f"a worker process that loads images died ({reason}); the last checkpoint is intact: continue with "
            "--resume, and with fewer --num_workers if memory ran out."
        ) from None


def _suggest_saving_memory(config: Config) -> str:
    """Return a hint with options that reduce the memory needed for training by about half."""
    share = -(-config.batch_size // distributed.world_size())  # images of a batch per process
    images = -(-share // config.accumulation_steps)  # images per forward pass
    sizes = [max(32, side * 3 // 4 // 32 * 32) for side in config.augment.crop_sizes]
    crops = f"--augment.crop_sizes={str(sizes).replace(' ', '')}"
    if images == 1:
        return f"single images do not fit: choose {crops} or a smaller network"
    return (
        f"{images} images at once do not fit: training needs about half the memory with "
        f"--accumulation_steps={-(-share // (images // 2))} (loss and batch normalization are then "
        f"computed for each part), with --batch_size={max(1, config.batch_size // 2)}, or with {crops}"
    )
