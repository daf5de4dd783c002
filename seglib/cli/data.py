"""Data sets."""

import argparse

from .options import Parser, add_root

HELP = "list, download, check and split data sets"
EXAMPLES = """\
examples:
  seglib data list              what there is, and what is here
  seglib data download horses   fetch it, or say how to get it
  seglib data check my-folder   read every file of a folder of your own
"""


def add_arguments(part: Parser) -> None:
    verbs = part.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, text in (
        ("list", "the data sets, what is here, and how to get the rest"),
        ("download", "fetch a data set, or say exactly how to get it"),
        ("check", "read every file; report sizes, classes, duplicates and faults"),
        ("split", "write the committed split lists again"),
    ):
        sub = verbs.add_parser(verb, help=text)
        if verb != "list":
            sub.add_argument("name", help="data set name, or the path of a folder of your own")
        add_root(sub)


def run(args: argparse.Namespace) -> int:
    from .. import data
    from ..data import splits, validation

    if args.verb == "list":
        print(validation.listing(args.root))
        return 0
    if args.verb == "download":
        print(f"{validation.download(args.name, args.root)}: ready")
        return 0
    if args.verb == "split":
        keys = [pair.key for pair in data.source(args.name).find(args.root) if pair.split in (None, "train")]
        for file in splits.write_lists(args.name, keys):
            print(file)
        return 0
    report = validation.check(args.name, args.root)
    print(report.text())
    return 0 if report.ok else 1
