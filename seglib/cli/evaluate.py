"""Evaluate a trained network on a data set.

examples:
  seglib evaluate unet-horses --data horses --list seed27       evaluate released weights
  seglib evaluate runs/mine/best.safetensors --data my-folder --json scores.json
  seglib evaluate efficientnet_unet-humans --data humans --multi-scale    with three scales and horizontal flips
"""

import argparse
import json
from pathlib import Path

from .options import Parser, add_inference, add_root, fraction, make_folder, make_predictor


def add_arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("weights", help="released name or .safetensors file")
    add("--data", required=True, help="data set name, or the path of your own folder")
    add("--split", default="val", help="train, fit, select, val, test or all (%(default)s)")
    add("--list", dest="list_name", default="default", help="which split list (%(default)s)")
    add_root(parser)
    add("--without", nargs="+", action="extend", default=[], metavar="KEY", help="images to leave out, by name")
    add("--ratio", type=fraction, default=0.02, help="boundary band width / image diagonal (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="write all scores, including those of each image")
    add_inference(parser)


def run(args: argparse.Namespace) -> int:
    from .. import data, evaluation, files, weights

    model, metadata = weights.load(args.weights)
    trained_on = metadata["config"]["data"]
    options = trained_on.get("options", {}) if args.data == trained_on["name"] else {}  # length, size and seed
    channels = len(metadata["config"]["inference"].get("mean", ()))
    dataset = data.load(args.data, args.split, args.root, args.list_name, channels=channels, **options)
    dataset = dataset.without(args.without)
    if dataset.channels != channels:
        images = f"{args.data} has images of {dataset.channels} channels"
        raise data.DataError(f"{args.weights} was trained on RGB, but {images}; take weights that were trained on it.")
    if list(dataset.classes) != list(metadata["classes"]):
        raise data.DataError(
            f"{args.weights} was trained on the classes {', '.join(metadata['classes'])}, but {args.data} has "
            f"{', '.join(dataset.classes)}; take weights that were trained on it."
        )
    predictor = make_predictor(args, metadata["config"]["inference"], model)
    if args.json:  # check the path before the evaluation, which takes time
        make_folder(args.json.parent, "--json")
        if args.json.is_dir():
            raise OSError(f"--json {args.json}: is a folder; name a file in it.")
    scores = evaluation.evaluate(predictor, dataset, args.ratio, progress=True)
    scores |= {"weights": args.weights, "data": args.data, "split": args.split}
    print(evaluation.summary(scores))
    if args.json:
        files.write_text(args.json, json.dumps(scores, indent=1) + "\n")
    return 0
