"""List the networks with their parameters, MACs, receptive field, memory and time.

examples:
  seglib models --counted   without measuring time and effective receptive field
  seglib models unet hrnet_w18 --size 256 256 --classes 2
"""

import argparse
import sys

from seglib.cli.options import Parser

SIZE = (512, 1024)  # the default
SMALLEST = 64  # for smaller images, the last feature map of some networks has one pixel and cannot be normalized


def add_arguments(parser: Parser) -> None:
    """Add the options of this command to `parser`."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks in the table (default: all)")
    parser.add_argument(
        "--size",
        nargs=2,
        type=int,
        default=SIZE,
        metavar=("HEIGHT", "WIDTH"),
        help=f"size of the image in pixels ({SIZE[0]} {SIZE[1]})",
    )
    parser.add_argument("--classes", type=int, default=19, help="number of classes (%(default)s)")
    parser.add_argument(
        "--counted",
        action="store_true",
        help="do not measure inference time and effective receptive field",
    )
    parser.add_argument("--write", action="store_true", help="write the table into docs/networks.md")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from tqdm import tqdm

    from seglib import models

    from . import costs

    names = args.names or models.names()
    models.check_names(names)
    if min(args.size) < SMALLEST:
        raise models.ModelError(
            f"--size is {' x '.join(map(str, args.size))}, but height and width must be at least {SMALLEST}."
        )
    bar = tqdm(names, disable=None, leave=False)
    rows = [costs.costs(name, tuple(args.size), args.classes, not args.counted) for name in bar]
    table = costs.table(rows)
    print(table)
    if args.write:
        costs.write_table(table)
        print("written into docs/networks.md", file=sys.stderr)
    return 0
