"""Released weights."""

import argparse

from .options import Parser

HELP = "list and download released weights"
EXAMPLES = """\
examples:
  seglib weights list              the released weights and their scores
  seglib weights get unet-horses   download them if they are not here
"""


def add_arguments(part: Parser) -> None:
    verbs = part.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("list", help="the released weights and their scores")
    verbs.add_parser("get", help="download released weights, verify them, print the path").add_argument("name")


def run(args: argparse.Namespace) -> int:
    from .. import weights

    if args.verb == "list":
        for name in weights.names():
            card = weights.card(name)
            scores = card["scores"]
            print(
                f"{name:24} {card['bytes'] / 1e6:6.1f} MB  {card['data']['name']} {card['data']['measured_on']}: "
                f"mIoU {scores['miou']:.4f}, Boundary IoU {scores['boundary_iou']:.4f}"
            )
    else:
        print(weights.find(args.name))
    return 0
