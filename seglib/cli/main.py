"""Semantic segmentation: get data, train, evaluate, predict.

examples:
  seglib predict photo.jpg                          a mask and an overlay in predictions/
  seglib data check horses                          read every file, report every fault
  seglib train configs/horses-laptop.yaml           train a small U-Net
  seglib train configs/finetune.yaml --data.name=my-folder   your own images, ImageNet-trained encoder
  seglib evaluate unet-horses --data horses --list seed27
  seglib tune configs/horses-laptop.yaml            search for better options
  seglib export unet-horses                         an ONNX file, for onnxruntime and browsers
  seglib runs                                       compare training runs
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType

from .. import __version__
from ..errors import SeglibError
from .options import Parser

COMMANDS = ("predict", "evaluate", "train", "export", "runs", "data", "weights")


def load_commands() -> dict[str, ModuleType]:
    """Return the module of every command by name, those that other packages register among them.

    A module has `add_arguments(parser)`, `run(args)` and a docstring: a sentence, and the examples for the help.  Other
    packages use the entry point `seglib.commands`.
    """
    modules = {name: import_module(f"seglib.cli.{name}") for name in COMMANDS}
    return modules | {point.name: point.load() for point in entry_points(group="seglib.commands")}


def build_parser() -> Parser:
    """Build the parser of all commands; the parsed arguments name the command in `command`."""
    parser = Parser(__doc__, prog="seglib")
    parser.add_argument("--version", action="version", version=f"seglib {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in load_commands().items():
        summary = command.__doc__.partition(".\n")[0]
        # train prints its own help: every option of a configuration
        subparser = subparsers.add_parser(name, text=command.__doc__, help=summary, add_help=name != "train")
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C: processes that were started are stopped, and temporary files are removed."""
    if threading.current_thread() is not threading.main_thread():  # signals reach no other thread
        yield
        return
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    words = sys.argv[1:] if words is None else words
    os.environ["MPLBACKEND"] = "agg"  # commands draw into files; a notebook's backend may not be installed here
    parser = build_parser()
    args, args.rest = parser.parse_known_args(words)
    if args.rest and args.command not in ("train", "tune"):
        parser.error(f"unrecognized arguments: {' '.join(args.rest)}")
    return run_command(lambda: args.run(args))


def run_command(run: Callable[[], int]) -> int:
    """Call `run` and return its exit status; show errors of bad input as one sentence, and Ctrl-C as 130."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may have letters that a terminal lacks
    try:
        with sigterm_as_interrupt():
            code = run()
            if sys.stdout:  # flushed here, where a closed pipe can be handled
                sys.stdout.flush()
            return code
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except (SeglibError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # the reader of our output, `head` for example, has closed it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        if os.environ.get("SEGLIB_TRACEBACK"):
            raise
        print(f"error: {_sentence(error)}", file=sys.stderr)
        return 1


def _sentence(error: Exception) -> str:
    """Return the message; errors of the operating system get the file name in front."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'a file'}: {error.strerror}."
    return str(error)
