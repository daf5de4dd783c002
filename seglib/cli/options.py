"""Parsers, options and helper functions that several commands share."""

import argparse
import os
from pathlib import Path


class Parser(argparse.ArgumentParser):
    """An argument parser that rejects abbreviated options.

    Otherwise, a new option could change the meaning of an abbreviation.

    Args:
        text: A docstring. Its first paragraph is the description of the command; the rest is shown below the options.
        options: Keyword arguments of `argparse.ArgumentParser`.
    """

    def __init__(self, text: str = "", **options):
        description, _, epilog = text.partition("\n\n")
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(**{"description": description, "epilog": epilog, "formatter_class": formatter, **options})
        self.allow_abbrev = False


def fraction(text: str) -> float:
    """Convert `text` to a number greater than 0 and at most 1.

    Raises:
        ArgumentTypeError: If `text` is not such a number. argparse adds the name of the option to the message.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"'{text}' must be a number above 0, at most 1")
    return value


def add_inference(parser: Parser) -> None:
    add = parser.add_argument
    add("--device", default="auto", help="auto, cpu, cuda, mps (%(default)s)")
    precisions = "off (float32), bf16, fp16, or auto (the fastest on this device)"
    add("--amp", default="off", choices=["off", "auto", "bf16", "fp16"], help=f"precision: {precisions} (%(default)s)")
    add("--longest-side", type=int, help="longer side of the input; 0: no resizing (default: as in validation)")
    add("--multi-scale", action="store_true", help="average scales 0.75, 1, 1.25 and horizontal flips")
    add("--tile", type=int, default=0, metavar="SIDE", help="side of sliding windows; 0 for automatic (%(default)s)")
    add("--overlap", type=float, default=0.25, help="overlap of windows as a fraction of SIDE (%(default)s)")
    add("--batch-size", type=int, default=4, help="number of windows in a batch (%(default)s)")


def add_root(parser: Parser) -> None:
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of the data sets (%(default)s)")


def make_predictor(args: argparse.Namespace, settings: dict, model):
    """Return the Predictor for the command-line options.

    Args:
        args: The parsed arguments; see `add_inference`.
        settings: The inference settings with which the network was validated. They are overridden by the arguments.
        model: The network.
    """
    from .. import inference

    side = settings["longest_side"] if args.longest_side is None else args.longest_side
    if side < 0:
        raise inference.PredictionError(f"--longest-side is {side}, but must be 0 or more.")
    several = inference.predictor.MULTI_SCALE, True
    scales, flip = several if args.multi_scale else (settings["scales"], settings["flip"])
    windows = {"tile": args.tile, "overlap": args.overlap, "batch_size": args.batch_size}
    windows |= {"mean": settings.get("mean", ()), "std": settings.get("std", ())}
    device = inference.pick_device(args.device)
    if args.amp != "off":
        from ..training.optimizer import amp_dtype  # takes a moment to import

        windows["amp_dtype"] = amp_dtype(args.amp, device)
    return inference.Predictor(model, side, scales, flip, device, **windows)


def make_folder(folder: Path, option: str) -> None:
    """Create the folder given by the command-line option `option`, unless it already exists.

    Raises:
        OSError: If the folder cannot be created or is not writable. The message contains the name of the option.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise OSError(f"{option}: {folder} is a file, or is in a file, but a folder is needed; name another.") from None
    except OSError as error:
        raise OSError(f"{option}: the folder {folder} cannot be created ({error.strerror}); name another.") from None
    if not os.access(folder, os.W_OK):
        raise OSError(f"{option}: not allowed to write into the folder {folder}; name another.")
