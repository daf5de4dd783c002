"""Run or check the notebooks.

examples:
  python -m course run                                all notebooks, a few minutes
  python -m course run 02 --profile full --data DIR   notebook 02, on the real images
  python -m course check                              check the saved notebooks
"""

import argparse
import os
from pathlib import Path

from seglib.cli.main import run_command
from seglib.cli.options import Parser

from .lesson import PROFILES


def add_arguments(parser: Parser) -> None:
    """Add the actions of the course and their options to `parser`."""
    actions = parser.add_subparsers(dest="course_action", metavar="ACTION", required=True)
    execute = actions.add_parser("run", help="execute notebooks", description="Execute notebooks from top to bottom.")
    execute.add_argument(
        "names", nargs="*", metavar="NAME", help="such as 02_unet, 02 or solutions (default: all but the solutions)"
    )
    execute.add_argument("--profile", choices=PROFILES, default="quick", help="default: quick, minutes on a laptop")
    execute.add_argument(
        "--data", type=Path, metavar="DIR", help="folder with the data sets (default: SEGLIB_DATA or data/)"
    )
    execute.add_argument("--out", type=Path, metavar="DIR", help="folder for executed copies (default: build/course)")
    execute.add_argument("--jobs", type=int, default=1, metavar="N", help="notebooks to run at the same time (1)")
    execute.add_argument("--save", action="store_true", help="overwrite the notebooks with the copies")
    check = actions.add_parser("check", help="check notebooks", description="Check notebooks without running them.")
    check.add_argument("names", nargs="*", metavar="NAME", help="notebooks to check (default: all, with solutions)")
    for action in (execute, check):
        action.add_argument("--notebooks", type=Path, metavar="DIR", help="notebook folder (default: notebooks/)")


def main(words: list[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 for success, 1 for a failed cell or check, 130 for Ctrl-C."""
    parser = Parser(__doc__, prog="python -m course")
    add_arguments(parser)
    args = parser.parse_args(words)
    return run_command(lambda: _run(args) if args.course_action == "run" else _check(args))


def _run(args: argparse.Namespace) -> int:
    from . import runner  # nbclient takes seconds to load

    results = runner.run(args.names, args.profile, args.data, args.out, args.save, args.notebooks, jobs=args.jobs)
    place = os.path.commonpath([result.copy.parent for result in results])
    print(f"\n{runner.table(results)}\n\nExecuted copies: {place}")
    return 0


def _check(args: argparse.Namespace) -> int:
    from . import checker

    findings = checker.check(args.names, args.notebooks)
    faults = sum(finding.fault for finding in findings)
    for finding in findings:
        print(finding)
    print(f"{faults} error{'s' if faults != 1 else ''}.")
    return 1 if faults else 0
