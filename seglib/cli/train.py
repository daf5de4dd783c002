"""Train a network."""

import argparse
import os
import shlex
from pathlib import Path

from .options import Parser

HELP = "train a network as a configuration says"
EXAMPLES = """\
examples:
  seglib train configs/horses-laptop.yaml                  a small U-Net, minutes
  seglib train configs/horses-laptop.yaml --output_dir=runs/mine --optimizer.lr=1e-3 --epochs=12
  seglib train configs/horses-laptop.yaml --resume         go on with a run that was stopped
  seglib train configs/horses-laptop.yaml --print_config   what would be done
"""


def add_arguments(part: Parser) -> None:
    # All else that follows `train` is the configuration's: see `split_configuration`.
    part.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint")
    part.add_argument(
        "--print_config",
        nargs="?",
        const="plain",
        choices=["plain", "comments"],
        help="print the resulting configuration, with comments if asked, and stop",
    )
    part.add_argument("-h", "--help", action="store_true", help="show every option that can be set")


def split_configuration(words: list[str]) -> tuple[str | None, list[str]]:
    """The configuration file among the words after `train` or `tune`, and the options, each as --NAME=VALUE.

    Options come as --NAME=VALUE or --NAME VALUE, before or after the file.  ValueError for a second file.
    """
    files, options, words = [], [], list(words)
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            files.append(word)
        elif "=" not in word and words and not words[0].startswith("--"):
            options.append(f"{word}={words.pop(0)}")
        else:
            options.append(word)
    if len(files) > 1:
        raise ValueError(f"a run takes one configuration file, not {' and '.join(files)}")
    return (files[0] if files else None), options


def _program() -> str:
    """How the command was started, as far as it is known."""
    count = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return f"torchrun --nproc-per-node={count} -m seglib train" if count != "1" else "seglib train"


def run(args: argparse.Namespace) -> int:
    import yaml

    from .. import distributed, training
    from ..config import ConfigError, build_parser, config_to_dict, config_to_yaml, load_config

    if args.help:
        print("usage: seglib train [CONFIG.yaml] [--resume] [--OPTION=VALUE ...]\n")
        print(EXAMPLES)
        print(build_parser().format_help().split("\n\n", 1)[1])
        return 0
    try:
        file, options = split_configuration(args.rest)
    except ValueError as error:
        raise ConfigError(f"{error}.") from None
    wanted = load_config(file, options)
    if args.print_config:
        plain = yaml.safe_dump(config_to_dict(wanted), sort_keys=False)
        print(config_to_yaml(wanted) if args.print_config == "comments" else plain, end="")
        return 0
    try:
        history = training.train(wanted, resume=args.resume)
    except KeyboardInterrupt:
        if distributed.rank() == 0:
            if (Path(wanted.output_dir) / "checkpoint.pt").exists():
                print(f"\nStopped; go on with: {_program()} {shlex.quote(f'{wanted.output_dir}/config.yaml')} --resume")
            else:
                print("\nStopped before there was anything to go on from.")
        return 130
    finally:
        rank = distributed.rank()
        distributed.leave()
    if rank:  # the first of several processes speaks for all
        return 0
    best = max((entry for entry in history if "val" in entry), key=lambda entry: entry["val"][wanted.metric])
    minutes = sum(entry["seconds"] for entry in history) / 60
    print(
        f"{minutes:.1f} minutes; best epoch {best['epoch'] + 1}: "
        + ", ".join(f"{name} {value:.4f}" for name, value in best["val"].items())
    )
    best_file, of = f"{wanted.output_dir}/best.safetensors", wanted.data
    measuring = shlex.join(
        [
            "python",
            "-m",
            "seglib",
            "evaluate",
            best_file,
            "--data",
            of.name,
            "--split",
            of.val_split,
            "--list",
            of.list_name,
            "--root",
            of.root,
        ]
    )
    print(f"weights: {best_file}; measure them: {measuring}")
    return 0
