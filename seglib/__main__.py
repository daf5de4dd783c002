"""The command line: python -m seglib COMMAND ..."""

import argparse
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from .commands.shared import Parser

DESCRIPTION = "Semantic segmentation: get data, train, evaluate, predict, run the course."
EXAMPLES = """\
examples:
  python -m seglib predict photo.jpg                          a mask and an overlay in predictions/
  python -m seglib data check horses                          read every file, report every fault
  python -m seglib train configs/horses-laptop.yaml           train a small U-Net
  python -m seglib evaluate unet-horses --data horses --split val
  python -m seglib tune configs/horses-laptop.yaml            search for better options
  python -m seglib export unet-horses                         an ONNX file, for onnxruntime and browsers
  python -m seglib runs                                       compare training runs
  python -m seglib course run                                 run the notebooks
  python -m seglib doctor                                     check this environment
"""
COMMANDS = ("predict", "evaluate", "train", "tune", "export", "runs", "models", "data", "weights", "course")


def build_parser(commands: tuple[str, ...] = COMMANDS) -> Parser:
    """The parser of these commands; what it parses has the command's name in `command`."""
    parser = Parser(
        prog="python -m seglib", description=DESCRIPTION, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parts = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in commands:
        command = import_module(f"seglib.commands.{name}")
        # train has a help of its own, of every option of a configuration
        part = parts.add_parser(
            name, help=command.HELP, add_help=name != "train", epilog=command.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        command.add_arguments(part)
        part.set_defaults(run=command.run)
    return parser


def expected_errors() -> tuple[type[Exception], ...]:
    """What bad input raises: shown as one sentence.  Anything else is a bug and keeps its traceback."""
    from . import config, course, data, download, losses, metrics, models, predict, runs, train, visualize, weights
    from .export import ExportError
    from .tune import TuneError

    return (
        config.ConfigError, course.CourseError, data.DataError, download.DownloadError, ExportError, losses.LossError,
        metrics.MetricError, models.ModelError, models.CheckpointError, predict.PredictionError, runs.RunError,
        train.TrainingError, TuneError, visualize.VisualizeError, weights.WeightsError, OSError,
    )  # fmt: skip


@contextmanager
def polite_kills() -> Iterator[None]:
    """Within it a polite kill (SIGTERM) is a Ctrl-C: what was started is stopped, what was begun is cleaned up."""
    if threading.current_thread() is not threading.main_thread():  # signals reach no other thread
        yield
        return

    def interrupt(number, frame) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def main(words: list[str] | None = None) -> int:
    words = sys.argv[1:] if words is None else words
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may have letters that a terminal lacks
    # The doctor comes alone, for it must be able to say that a package is missing which another command imports.
    parser = build_parser(("doctor",) if words[:1] == ["doctor"] else COMMANDS)
    args, args.rest = parser.parse_known_args(words)
    if args.rest and args.command not in ("train", "tune"):
        parser.error(f"unrecognized arguments: {' '.join(args.rest)}")
    try:
        with polite_kills():
            code = args.run(args)
            if sys.stdout:  # flushed here, where a pipe that nobody reads any more is met with calm
                sys.stdout.flush()
            return code
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except expected_errors() as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return 1
        if os.environ.get("SEGLIB_TRACEBACK"):
            raise
        print(f"error: {_sentence(error)}", file=sys.stderr)
        return 1


def _nobody_reads() -> bool:
    """Has the reader of our output, `head` for one, enough?  Then the rest of it goes nowhere, without complaint."""
    if not sys.stdout or not hasattr(select, "poll"):
        return False
    ask = select.poll()
    ask.register(sys.stdout.fileno(), 0)
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in ask.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _sentence(error: Exception) -> str:
    """The message; the system's own errors get their file's name in front."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'a file'}: {error.strerror}."
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
