"""The networks and what they cost."""

import argparse
import sys

from seglib.cli.options import Parser

SMALLEST = 64  # below it the coarsest maps of some networks have one pixel, of which nothing can be normalised
HELP = "a table of the networks: parameters, multiply-adds, receptive field, memory, time"
EXAMPLES = """\
examples:
  seglib models --counted   at once; without it time and memory are measured
  seglib models unet hrnet_w18 --size 256 256 --classes 2
"""


def add_arguments(part: Parser) -> None:
    part.add_argument("names", nargs="*", metavar="NAME", help="which networks (default: all)")
    part.add_argument(
        "--size",
        nargs=2,
        type=int,
        default=(512, 1024),
        metavar=("HEIGHT", "WIDTH"),
        help="of the image that is counted for (%(default)s)",
    )
    part.add_argument("--classes", type=int, default=19, help="number of classes (%(default)s)")
    part.add_argument("--counted", action="store_true", help="leave out what has to be measured by running them")
    part.add_argument("--write", action="store_true", help="put the table into docs/networks.md")


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from seglib import models

    from . import costs

    names = args.names or models.names()
    models.check_names(names)
    if min(args.size) < SMALLEST:
        raise models.ModelError(
            f"--size is {' x '.join(map(str, args.size))}, but must be at least {SMALLEST} each way."
        )
    bar = tqdm(names, disable=None, leave=False)
    rows = [costs.costs(name, tuple(args.size), args.classes, not args.counted) for name in bar]
    table = costs.table(rows)
    print(table)
    if args.write:
        costs.write_table(table)
        print("written into docs/networks.md", file=sys.stderr)
    return 0
