"""Train a network.

examples:
  seglib train configs/horses-laptop.yaml                  train a small U-Net in a few minutes
  seglib train configs/horses-laptop.yaml --output_dir=runs/mine --optimizer.lr=1e-3 --epochs=12
  seglib train configs/finetune.yaml --data.name=my-folder --output_dir=runs/mine   fine-tune on your own images
  seglib train configs/horses-laptop.yaml --resume         resume an interrupted run
  seglib train configs/horses-laptop.yaml --print_config   print the configuration and exit
"""

import argparse
import os
import shlex
from pathlib import Path

from .options import Parser

TAKES_CONFIG = True  # the remaining arguments are a configuration file and options
RESUME = "resume from the last checkpoint of the run"
PRINT = "print the resulting configuration, optionally with comments, and exit"
USAGE = f"""usage: seglib train [CONFIG.yaml] [--resume] [--print_config[=comments]] [--OPTION=VALUE ...]

  --resume         {RESUME}
  --print_config   {PRINT}

All other options have a name such as --epochs or --loss.class_weights. They are listed below with their defaults.

"""


def add_arguments(parser: Parser) -> None:
    # All other arguments are options of the configuration; see `split_configuration`.
    add = parser.add_argument
    add("--resume", action="store_true", help=RESUME)
    add("--print_config", nargs="?", const="plain", choices=["plain", "comments"], help=PRINT)
    add("-h", "--help", action="store_true", help="show every option")


def split_configuration(words: list[str]) -> tuple[str | None, list[str]]:
    """Split the arguments after `train` or `tune` into the configuration file and the options.

    Args:
        words: The arguments. Options have the form --NAME=VALUE or --NAME VALUE, before or after the file.

    Returns:
        The configuration file or None, and the options in the form --NAME=VALUE.

    Raises:
        ConfigError: If there is more than one configuration file.
    """
    from ..config import ConfigError

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
        raise ConfigError(f"a run takes one configuration file, not {' and '.join(files)}.")
    return (files[0] if files else None), options


def run(args: argparse.Namespace) -> int:
    import yaml

    from .. import distributed, training
    from ..config import Config, config_to_dict, config_to_yaml, load_config

    if args.help:
        print(USAGE + __doc__.partition("\n\n")[2])
        print(config_to_yaml(Config()), end="")
        return 0
    settings = load_config(*split_configuration(args.rest))
    if args.print_config:
        plain = yaml.safe_dump(config_to_dict(settings), sort_keys=False)
        print(config_to_yaml(settings) if args.print_config == "comments" else plain, end="")
        return 0
    try:
        history = training.fit(settings, resume=args.resume)
    except KeyboardInterrupt:
        if distributed.rank() == 0:
            print(_describe_resuming(settings.output_dir))
        return 130
    finally:
        rank = distributed.rank()
        distributed.destroy_process_group()
    if rank == 0:
        print(_describe_result(history, settings))
    return 0


def _describe_resuming(output_dir: str) -> str:
    """Return a message with the command that resumes an interrupted run."""
    if not (Path(output_dir) / "checkpoint.pt").exists():
        return "\nStopped before the first checkpoint."
    processes = os.environ.get("LOCAL_WORLD_SIZE", "1")
    program = f"torchrun --nproc-per-node={processes} -m seglib train" if processes != "1" else "seglib train"
    return f"\nStopped; continue with: {program} {shlex.quote(f'{output_dir}/config.yaml')} --resume"


def _describe_result(history: list[dict], settings) -> str:
    """Return a message with the scores of the saved weights and the command that evaluates them."""
    validated = [entry for entry in history if "val" in entry]
    best = max(validated, key=lambda entry: entry["val"][settings.metric])
    saved = best if settings.selection == "best" else validated[-1]
    minutes = sum(entry["seconds"] for entry in history) / 60
    scores = ", ".join(f"{name} {value:.4f}" for name, value in saved["val"].items())
    file, of = f"{settings.output_dir}/best.safetensors", settings.data
    options = ["--data", of.name, "--split", of.val_split, "--list", of.list_name, "--root", of.root]
    return (
        f"{minutes:.1f} minutes; {settings.selection} epoch {saved['epoch'] + 1}: {scores}\n"
        f"weights: {file}; evaluate them: {shlex.join(['seglib', 'evaluate', file, *options])}"
    )
