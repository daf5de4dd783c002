"""Search for good hyperparameters with Optuna.

Train a configuration with different values of some options, and report which values work best.  Trial 0 is the
configuration itself.  Options after the file, such as --epochs=12, apply to all trials.  Ctrl-C stops the search, and
--resume continues it.

examples:
  seglib tune configs/horses-laptop.yaml --trials 20
  seglib tune configs/horses-laptop.yaml --trials 20 --space configs/search/horses.yaml --epochs=24
"""

import argparse
import shutil
import sys
from pathlib import Path

from seglib.cli.options import Parser
from seglib.cli.train import split_configuration

TAKES_CONFIG = True  # the remaining arguments are a configuration file and options
DEFAULT_SPACE = "learning rate, weight decay, batch size, augmentation"


def add_arguments(parser: Parser) -> None:
    # All other arguments of `tune` are the file and options of the configuration: see `split_configuration`.
    parser.usage = "%(prog)s CONFIG.yaml [--trials N] [--space FILE] [--out DIR] [--resume] [--OPTION=VALUE ...]"
    add = parser.add_argument
    add("--trials", type=int, default=20, metavar="N", help="total number of trials (%(default)s)")
    add("--space", type=Path, metavar="FILE", help=f"YAML file of the search space (default: {DEFAULT_SPACE})")
    add("--out", type=Path, metavar="DIR", help="folder of the search (default: output_dir + '-search')")
    add("--resume", action="store_true", help="resume the search in the folder")


def run(args: argparse.Namespace) -> int:
    from course import tuning
    from seglib.config import load_config

    config = load_config(*split_configuration(args.rest))
    space = tuning.read_space(args.space) if args.space else tuning.default_space(config)
    out = args.out or Path(f"{config.output_dir}-search")
    if config.eval_interval >= config.epochs:
        print("note: eval_interval is not below epochs, so no trial can be stopped early", file=sys.stderr)
    try:
        summary = tuning.search(config, space, args.trials, out, args.resume)
    except KeyboardInterrupt:
        print(f"\nStopped; the search is in {out}. Resume it with the same command and --resume.")
        return 130
    print(f"\n{tuning.table(summary, shutil.get_terminal_size((160, 24)).columns)}\n")
    if summary["importances"]:
        print("importance: " + ", ".join(f"{name} {share:.0%}" for name, share in summary["importances"].items()))
    print(f"figure: {out / 'search.png'}; best: seglib train {out / 'best.yaml'}")
    return 0
