"""Check the environment."""

import argparse
from pathlib import Path

from .shared import Parser, add_root

HELP = "check this environment, and say what to do about what is missing"
EXAMPLES = """\
examples:
  python -m seglib doctor
  python -m seglib doctor --root /data --runs /scratch/runs   where data sets lie and runs go
"""


def add_arguments(part: Parser) -> None:
    add_root(part)
    part.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs go (%(default)s)")


def run(args: argparse.Namespace) -> int:
    from .. import doctor

    levels = []
    for finding in doctor.examine(args.root, args.runs):
        print(finding, flush=True)
        levels.append(finding.level)
    faults, notes = levels.count(doctor.FAULT), levels.count(doctor.NOTE)
    print(f"\n{faults} fault{'s' * (faults != 1)}, {notes} note{'s' * (notes != 1)}: "
          + ("mend the faults first." if faults else "what seglib needs is here."))  # fmt: skip
    return 1 if faults else 0
