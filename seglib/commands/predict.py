"""Segment photographs."""

import argparse
import sys
from pathlib import Path

from .shared import Parser, add_inference, make_folder, make_predictor

HELP = "segment photographs with released or own weights"


def add_arguments(part: Parser) -> None:
    part.add_argument("images", nargs="+", metavar="IMAGE",
                      help="image files or folders; 'example' is a photograph that comes with matplotlib")  # fmt: skip
    part.add_argument("--weights", default="unet-horses", help="released name or .safetensors file (%(default)s)")
    part.add_argument("--out", type=Path, default=Path("predictions"), help="folder for the results (%(default)s)")
    add_inference(part)


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from .. import data, predict, visualize, weights

    model, notes = weights.load(args.weights)
    predictor = make_predictor(args, notes["config"]["inference"], model)
    named = predict.image_files(args.images)
    pictures, taken = predict.without_results(named, args.out)
    if len(pictures) < len(named):
        print(f"{len(named) - len(pictures)} results of an earlier run in {args.out}/ are left out")
    make_folder(args.out, "--out")
    failed = 0
    for file in tqdm(pictures, disable=None if len(pictures) > 1 else True):  # None: only on a terminal
        name = predict.free_name(file.stem, taken)
        try:
            image = data.read_image(file)
            labels = predictor.labels(image)
            overlay = visualize.overlay(image, labels, notes["palette"], background_class=0)
            predict.save_mask(args.out / f"{name}_mask.png", labels, notes["palette"])
            predict.save_image(args.out / f"{name}_overlay.png", overlay)
        except data.DataError as error:
            failed += 1
            tqdm.write(f"skipped: {error}", file=sys.stderr)
            continue
        shares = {name: (labels == c).mean() for c, name in enumerate(notes["classes"])}
        tqdm.write(f"{file}: " + ", ".join(f"{name} {share:.1%}" for name, share in shares.items()))
    done = len(pictures) - failed
    print(f"{done} of {len(pictures)} images segmented" + (f"; masks and overlays are in {args.out}/" if done else ""))
    return 1 if failed else 0
