"""What several commands share."""

import argparse
import os
from pathlib import Path


class Parser(argparse.ArgumentParser):
    """Refuses abbreviated options, which would change their meaning when another option is added."""

    def __init__(self, **options):
        super().__init__(allow_abbrev=False, **options)


def share(text: str) -> float:
    """A number above 0 and up to 1; else an error, which argparse completes by the option's name."""
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"'{text}' must be a number above 0, at most 1")
    return share


def add_inference(part: Parser) -> None:
    part.add_argument("--device", default="auto", help="auto, cpu, cuda, mps (%(default)s)")
    part.add_argument("--longest-side", type=int, help="scale images to this before the network; 0 keeps their size")
    part.add_argument("--multi-scale", action="store_true", help="average scales .75, 1, 1.25 and their mirror images")
    part.add_argument(
        "--tile",
        type=int,
        default=0,
        metavar="SIDE",
        help="show the scaled image in windows of this side, 0 shows it whole (%(default)s)",
    )
    part.add_argument(
        "--overlap",
        type=float,
        default=0.25,
        help="share of its side that a window has in common with "
        "the next, where one fades into the other (%(default)s)",
    )
    part.add_argument("--batch-size", type=int, default=4, help="windows that the network sees at once (%(default)s)")


def add_root(part: Parser) -> None:
    part.add_argument("--root", type=Path, default=Path("data"), help="where the data sets lie (%(default)s)")


def make_predictor(args: argparse.Namespace, settings: dict, model):
    """Return the Predictor that the options ask for; `settings` are those that the network was validated with."""
    from .. import inference

    side = settings["longest_side"] if args.longest_side is None else args.longest_side
    if side < 0:
        raise inference.PredictionError(f"--longest-side is {side}, but must be 0 or more.")
    scales, flip = (inference.MULTI_SCALE, True) if args.multi_scale else (settings["scales"], settings["flip"])
    return inference.Predictor(
        model,
        side,
        scales,
        flip,
        inference.pick_device(args.device),
        tile=args.tile,
        overlap=args.overlap,
        batch_size=args.batch_size,
    )


def make_folder(folder: Path, option: str) -> None:
    """Make the folder that `option` names; OSError with the option's name if it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise OSError(f"{option}: {folder} is a file, or is in a file, but a folder is needed; name another.") from None
    except OSError as error:
        raise OSError(f"{option}: the folder {folder} cannot be made ({error.strerror}); name another.") from None
    if not os.access(folder, os.W_OK):
        raise OSError(f"{option}: not allowed to write into the folder {folder}; name another.")
