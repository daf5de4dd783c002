"""The command line of the tools for maintainers: `python -m tools ACTION`."""

import argparse
import sys
from pathlib import Path

from seglib.cli.main import run_command
from seglib.cli.options import Parser, add_root

EXAMPLES = """\
examples:
  python -m tools release runs/mine mine-horses --from "COMMAND" --hardware "a laptop, two cores"
  python -m tools table          write the README's table from the model cards
  python -m tools cards          write the Markdown of all model cards from their JSON
  python -m tools first-cell     write the setup cell into all notebooks
  python -m tools address https://github.com/OWNER/NAME
  python -m tools split horses   write the committed split lists of a data set again
  python -m tools digests        write the digests of all data sets that are here
  python -m tools readme-figure  draw the figure at the top of the README
  python -m tools project 02_unet --root data   run the project of a notebook with three seeds
  python -m tools scenes efficientnet_unet-humans   write the table of scores by scene in docs/licences.md
"""


def build_parser() -> Parser:
    """Return the argument parser with all actions and their options."""
    parser = Parser(prog="python -m tools", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("table", help="write the README's table from the model cards")
    actions.add_parser("cards", help="write the Markdown of all model cards from their JSON")
    actions.add_parser("first-cell", help="write the setup cell into all notebooks")
    address = actions.add_parser("address", help="write the public address of the repository everywhere it is needed")
    address.add_argument("url", help="address of the git repository, as in https://github.com/OWNER/NAME")
    add_root(actions.add_parser("readme-figure", help="draw the figure at the top of the README"))
    split = actions.add_parser("split", help="write the committed split lists of a data set again")
    split.add_argument("name", help="data set name")
    add_root(split)
    add_root(actions.add_parser("digests", help="write the digests of all data sets that are here"))
    scenes = actions.add_parser("scenes", help="write the table of scores by scene in docs/licences.md")
    scenes.add_argument("names", nargs="+", metavar="NAME", help="released weights for people")
    add_root(scenes)
    project = actions.add_parser("project", help="run the project of a notebook with three seeds")
    project.add_argument("name", help="name of the notebook, such as 02_unet")
    add_root(project)
    release = actions.add_parser("release", help="measure a run and write its weights, model card and manifest entry")
    release.add_argument("folder", type=Path, metavar="RUN", help="the run's folder")
    release.add_argument("name", help="name of the released weights")
    add_root(release)
    release.add_argument("--from", dest="command", required=True, help="the command that repeats the run")
    release.add_argument("--hardware", required=True, help="what it was trained on, for the model card")
    release.add_argument(
        "--longest-side",
        type=int,
        metavar="PIXELS",
        help="scale images so that the longer side has this many pixels, 0 keeps their size (default: as the run did)",
    )
    release.add_argument(
        "--flip", action="store_true", help="average predictions with those of the horizontally flipped image"
    )
    return parser


def main(words: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    args = build_parser().parse_args(words)
    return run_command(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    from . import address, data_sets, first_cell, model_cards, projects, readme_figure, scenes
    from .release import release

    if args.action == "table":
        model_cards.write_table()
        print(model_cards.table())
    elif args.action == "cards":
        model_cards.write_cards()
    elif args.action == "first-cell":
        print(*first_cell.write(), sep="\n")
    elif args.action == "address":
        print(*address.set_address(args.url), sep="\n")
    elif args.action == "split":
        print(*data_sets.write_lists(args.name, data_sets.keys_to_divide(args.name, args.root)), sep="\n")
    elif args.action == "digests":
        print(data_sets.write_digests(list(data_sets.SOURCES), args.root))
    elif args.action == "readme-figure":
        print(readme_figure.draw(args.root))
    elif args.action == "project":
        projects.run(args.name, args.root)
    elif args.action == "scenes":
        print(scenes.write(args.names, args.root))
    else:
        card = release(args.folder, args.name, args.root, args.command, args.hardware, args.longest_side, args.flip)
        print(model_cards.text(card))
    return 0


if __name__ == "__main__":
    sys.exit(main())
