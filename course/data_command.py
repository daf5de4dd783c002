"""List, download, check and import data sets.

examples:
  seglib data list                       list all data sets and where to get them
  seglib data download horses            download a data set, or print how to get it
  seglib data check my-folder            check every file in your own folder
  seglib data check my-folder --pattern 'photos/{name}.jpg' 'photos/{name}_m.png'
  seglib data import my-export my-set    convert annotations (COCO, LabelMe, VOC, CVAT, ...) to masks
"""

import argparse
from pathlib import Path

from seglib.cli.options import Parser, add_root

VERBS = {
    "list": "all data sets: which ones are downloaded, and how to get the others",
    "download": "download a data set, or explain how to get it",
    "check": "read every file; report layout, sizes, classes, duplicates and problems",
    "import": "convert the annotations of another tool to images, masks and classes.yaml",
}
FORMATS = "coco, labelme, voc, cvat, roboflow, supervisely, yolo, class_dict; auto detects the format"
PATTERNS = "file name patterns in your own folder, like '{split}/{name}.jpg' '{split}/{name}_m.png' (default: detected)"


def add_arguments(parser: Parser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    parsers = {verb: verbs.add_parser(verb, help=text) for verb, text in VERBS.items()}
    parsers["download"].add_argument("name", help="data set name")
    parsers["check"].add_argument("name", help="data set name, or the path of your own folder")
    for verb in ("list", "download", "check"):
        add_root(parsers[verb])
    add = parsers["check"].add_argument
    add("--list", dest="list_name", default="default", help="which split list (%(default)s)")
    add("--pattern", nargs=2, default=(), metavar=("IMAGES", "MASKS"), help=PATTERNS)
    add = parsers["import"].add_argument
    add("source", type=Path, help="folder of the export: annotations and images")
    add("dest", type=Path, help="new folder to write")
    add("--format", default="auto", help=FORMATS)


def run(args: argparse.Namespace) -> int:
    from . import importers
    from .datasets import validation

    if args.verb == "list":
        print(validation.listing(args.root))
        return 0
    if args.verb == "download":
        print(f"{validation.download(args.name, args.root)}: ready")
        return 0
    if args.verb == "import":
        report = importers.import_annotations(args.source, args.dest, args.format)
    else:
        report = validation.check(args.name, args.root, args.list_name, pattern=args.pattern)
    print(report.text())
    return 0 if report.ok else 1
