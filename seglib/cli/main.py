"""Semantic segmentation: get data, train, evaluate, predict.

examples:
  seglib predict photo.jpg                          write a mask and an overlay to predictions/
  seglib data check horses                          read every file and report all problems
  seglib train configs/horses-laptop.yaml           train a small U-Net
  seglib train configs/finetune.yaml --data.name=my-folder   fine-tune on your own images
  seglib evaluate unet-horses --data horses --list seed27
  seglib tune configs/horses-laptop.yaml            search for better hyperparameters
  seglib export unet-horses                         write an ONNX file for onnxruntime and browsers
  seglib runs                                       compare training runs
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

from .. import __version__
from ..errors import SeglibError
from ..plugins import registered
from .options import Parser

COMMANDS = ("predict", "evaluate", "train", "export", "weights")


def load_commands() -> dict[str, ModuleType]:
    """Return {command name: module}.

    Other packages can register commands in the entry point group `seglib.commands`. Each module defines
    `add_arguments(parser)` and `run(args)`. The module's docstring, a sentence followed by examples, is the help text.
    """
    modules = {name: import_module(f"seglib.cli.{name}") for name in COMMANDS}
    return modules | {point.name: point.load() for point in registered("seglib.commands")}


def build_parser() -> Parser:
    """Build the parser for all commands. In the parsed arguments, `command` is the name of the command."""
    parser = Parser(__doc__, prog="seglib")
    parser.add_argument("--version", action="version", version=f"seglib {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in load_commands().items():
        summary = command.__doc__.partition(".\n")[0]
        # `train` prints its own help, which lists every option of a configuration.
        subparser = subparsers.add_parser(name, text=command.__doc__, help=summary, add_help=name != "train")
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run, takes_config=getattr(command, "TAKES_CONFIG", False))
    return parser


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that worker processes are stopped and temporary files are removed."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread can handle signals
        yield
        return
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def main(words: list[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        words: The command-line arguments. If None, `sys.argv` is used.
    """
    words = sys.argv[1:] if words is None else words
    os.environ["MPLBACKEND"] = "agg"  # figures are only saved; a notebook's backend may not be available
    parser = build_parser()
    args, args.rest = parser.parse_known_args(words)
    if args.rest and not args.takes_config:
        parser.error(f"unrecognized arguments: {' '.join(args.rest)}")
    return run_command(lambda: args.run(args))


def run_command(run: Callable[[], int]) -> int:
    """Call `run` and return its exit status.

    Errors caused by invalid input are printed as one sentence, and the status is 1. After Ctrl-C, the status is 130.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may not support all characters
    try:
        with sigterm_as_interrupt():
            code = run()
            if sys.stdout:  # flush inside the `try` block, which handles a closed pipe
                sys.stdout.flush()
            return code
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except (SeglibError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # the program that reads the output, such as `head`, has exited
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        if os.environ.get("SEGLIB_TRACEBACK"):
            raise
        print(f"error: {_format_error(error)}", file=sys.stderr)
        return 1


def _format_error(error: Exception) -> str:
    """Return the message of an error. The message of an operating-system error begins with the file name."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'a file'}: {error.strerror}."
    return str(error)
