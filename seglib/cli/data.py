"""Data sets."""

import argparse
from pathlib import Path

from .options import Parser, add_root

HELP = "list, download, check and import data sets"
EXAMPLES = """\
examples:
  seglib data list                       the data sets, and which are here
  seglib data download horses            download one, or say how to get it
  seglib data check my-folder            read every file of your own folder
  seglib data check my-folder --pattern 'photos/{name}.jpg' 'photos/{name}_m.png'
  seglib data import my-export my-set    COCO, LabelMe, VOC, CVAT, ... to a folder with classes.yaml
"""
VERBS = {
    "list": "the data sets, which are here, and how to get the others",
    "download": "download a data set, or say exactly how to get it",
    "check": "read every file; report layout, sizes, classes, duplicates and faults",
    "import": "convert the annotations of another tool to images, masks and classes.yaml",
}


def add_arguments(part: Parser) -> None:
    verbs = part.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, text in VERBS.items():
        sub = verbs.add_parser(verb, help=text)
        if verb == "import":
            sub.add_argument("source", type=Path, help="folder of the export: annotations and images")
            sub.add_argument("dest", type=Path, help="new folder to write")
            sub.add_argument(
                "--format",
                default="auto",
                help="coco, labelme, voc, cvat, roboflow, supervisely, yolo, class_dict; auto recognises it",
            )
            continue
        if verb != "list":
            sub.add_argument("name", help="data set name, or the path of your own folder")
        if verb == "check":
            sub.add_argument("--list", dest="list_name", default="default", help="which split list (%(default)s)")
            sub.add_argument(
                "--pattern",
                nargs=2,
                default=(),
                metavar=("IMAGES", "MASKS"),
                help="file names in a folder of your own, with {name}, {split} and *: '{split}/{name}.jpg' "
                "'{split}/{name}_m.png' (default: recognised)",
            )
        add_root(sub)


def run(args: argparse.Namespace) -> int:
    from .. import data
    from ..data import validation

    if args.verb == "list":
        print(validation.listing(args.root))
        return 0
    if args.verb == "download":
        print(f"{validation.download(args.name, args.root)}: ready")
        return 0
    if args.verb == "import":
        report = data.import_annotations(args.source, args.dest, args.format)
    else:
        report = validation.check(args.name, args.root, args.list_name, pattern=args.pattern)
    print(report.text())
    return 0 if report.ok else 1
