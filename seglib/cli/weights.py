"""List and download released weights.

examples:
  seglib weights list              list the released weights and their scores
  seglib weights get unet-horses   download weights if they are missing, and print their path
"""

import argparse

from .options import Parser


def add_arguments(parser: Parser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("list", help="the released weights and their scores")
    verbs.add_parser("get", help="download released weights, verify them, and print their path").add_argument("name")


def run(args: argparse.Namespace) -> int:
    from .. import weights

    if args.verb == "get":
        print(weights.find(args.name))
        return 0
    for name in weights.names():
        card = weights.card(name)
        scores, data = card["scores"], f"{card['data']['name']} {card['data']['measured_on']} ({card['data']['list']})"
        scored = f"mIoU {scores['miou']:.4f}, Boundary IoU {scores['boundary_iou']:.4f}"
        print(f"{name:24} {card['bytes'] / 1e6:6.1f} MB  {data}: {scored}")
    return 0
