"""Released weights."""

import argparse
from pathlib import Path

from .shared import Parser, add_root

HELP = "list released weights, fetch them, release a run"
EXAMPLES = """\
examples:
  python -m seglib weights list              the released weights and their scores
  python -m seglib weights get unet-horses   make sure that they are here
  python -m seglib weights release runs/mine mine-horses --from "COMMAND" --hardware "a laptop, two cores"
"""


def add_arguments(part: Parser) -> None:
    verbs = part.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("list", help="the released weights and their scores")
    verbs.add_parser("get", help="make sure that released weights are here and intact").add_argument("name")
    verbs.add_parser("table", help="write the README's table from the cards")
    sub = verbs.add_parser("release", help="measure a run and write its weights, card and manifest line")
    sub.add_argument("folder", type=Path, metavar="RUN", help="the run's folder")
    sub.add_argument("name", help="name of the released weights")
    add_root(sub)
    sub.add_argument("--from", dest="made_by", required=True, help="the command that makes the run again")
    sub.add_argument("--hardware", required=True, help="what it was trained on, for the card")
    sub.add_argument("--longest-side", type=int, metavar="PIXELS",
                     help="scale pictures to this longer side, 0 for their own size (as the run did)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    from .. import cards, release, weights

    if args.verb == "list":
        for name in weights.names():
            card = weights.card(name)
            scores = card["scores"]
            print(f"{name:24} {card['bytes'] / 1e6:6.1f} MB  {card['data']['name']} {card['data']['measured_on']}: "
                  f"mIoU {scores['miou']:.4f}, Boundary IoU {scores['boundary_iou']:.4f}")  # fmt: skip
    elif args.verb == "get":
        print(weights.find(args.name))
    elif args.verb == "table":
        cards.write_table()
        print(cards.table())
    else:
        given = args.root, args.made_by, args.hardware, args.longest_side
        print(cards.text(release.release(args.folder, args.name, *given)))
    return 0
