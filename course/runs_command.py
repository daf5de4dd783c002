"""Compare training runs: differing options, best scores, training time and state.

examples:
  seglib runs                                   compare all runs in runs/
  seglib runs runs/a runs/b --plot curves.png   compare two runs and plot their curves
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

from seglib.cli.options import Parser, make_folder


def add_arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("folders", nargs="*", type=Path, metavar="FOLDER", help="folder of a run, or of several runs (default: runs)")
    add("--plot", type=Path, metavar="FILE", help="plot the loss and scores of all runs in one .png file")
    add("--score", default="miou", help="the validation score to plot (%(default)s)")


def run(args: argparse.Namespace) -> int:
    from . import runs

    records = runs.find(args.folders or [Path("runs")])
    print(runs.table(records, shutil.get_terminal_size((160, 24)).columns))
    for fault in (fault for record in records for fault in record.faults):
        print(f"note: {fault}", file=sys.stderr)
    if args.plot:
        from seglib.visualize import save

        from .figures.training import compared_runs

        make_folder(args.plot.parent, "--plot")
        top = os.path.commonpath([record.folder.absolute().parent for record in records])
        histories = {os.path.relpath(record.folder, top): record.history for record in records}
        save(compared_runs(histories, args.score), args.plot)
        print(f"drawn: {args.plot}")
    return 0
