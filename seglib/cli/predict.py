"""Segment photographs."""

import argparse
import sys
from functools import partial
from pathlib import Path

from .options import Parser, add_inference, make_folder, make_predictor

HELP = "segment photographs with released or own weights"
EXAMPLES = """\
examples:
  seglib predict photo.jpg                                     a mask and an overlay in predictions/
  seglib predict 'photos/**/*.jpg' --kind cutout --skip-existing
  seglib predict photos/ --weights runs/mine/best.safetensors
  seglib predict huge.tif --longest-side 0                     read and written by window
  seglib predict photos/ --engine ray                          on all processors, or many machines
"""


def add_arguments(part: Parser) -> None:
    part.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="image files, folders, or patterns in quotes ('photos/**/*.jpg'); "
        "'example' is a photograph that comes with matplotlib",
    )
    part.add_argument(
        "--weights",
        default="unet-horses",
        help="released name, .safetensors file, or .onnx file of `export` (%(default)s)",
    )
    part.add_argument("--out", type=Path, default=Path("predictions"), help="folder for the results (%(default)s)")
    part.add_argument(
        "--kind",
        type=kinds,
        default=("mask", "overlay"),
        metavar="KIND,KIND",
        help="what to write: mask (PNG of labels), overlay, cutout (the foreground on transparent "
        "ground); default mask,overlay. Of huge TIFF files a mask, as TIFF",
    )
    part.add_argument(
        "--bits", type=int, default=0, help="bits that 16-bit images use, 8 to 16 (default: as in training, or found)"
    )
    part.add_argument(
        "--bands",
        type=int,
        nargs="+",
        metavar="N",
        help="one band to show in grey, or three for red, green, blue, numbered from 1 (default: as in training)",
    )
    part.add_argument("--skip-existing", action="store_true", help="leave out images whose results are in --out")
    part.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="local: one after the other; ray: many at once, on this machine's processors or on a Ray "
        "cluster (pip install 'ray[data]')",
    )
    part.add_argument(
        "--ray-address",
        default="",
        metavar="ADDRESS",
        help="of a running Ray cluster, as HOST:6379 (default: one for the while)",
    )
    add_inference(part)


def kinds(text: str) -> tuple[str, ...]:
    """The kinds of results in a list such as "mask,cutout"; else an error, which argparse completes."""
    from ..inference.batch import KINDS

    chosen = tuple(dict.fromkeys(text.replace(" ", "").split(",")))
    unknown = [kind for kind in chosen if kind not in KINDS]
    if unknown:
        raise argparse.ArgumentTypeError(f"'{unknown[0]}' is none of {', '.join(KINDS)}")
    return chosen


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from .. import inference
    from ..inference import batch, ray_engine

    if args.ray_address and args.engine != "ray":
        raise inference.PredictionError("--ray-address is for --engine ray; add that, or leave the address out.")
    if Path(args.weights).is_file():
        args.weights = str(Path(args.weights).absolute())  # other processes may work in another folder
    segmenter, classes = load(args)
    jobs = find_jobs(args)
    failed = []
    if args.engine == "ray":
        found = ray_engine.results(jobs, partial(_segmenter, args), args.ray_address, args.device in ("auto", "cuda"))
    else:
        found = batch.results(jobs, segmenter)
    for result in tqdm(found, total=len(jobs), disable=None if len(jobs) > 1 else True):  # None: only on a terminal
        if result.fault:
            failed.append(result.fault)
        else:
            shares = zip(classes, result.counts / result.counts.sum(), strict=False)
            tqdm.write(f"{result.file}: " + ", ".join(f"{name} {share:.1%}" for name, share in shares))
    for fault in failed:
        print(f"skipped: {fault}", file=sys.stderr)
    done = len(jobs) - len(failed)
    where = f"; the results are in {args.out}/" if done else ""
    print(f"{done} of {len(jobs)} images segmented{where}")
    return 1 if failed else 0


def find_jobs(args: argparse.Namespace) -> list[tuple[Path, Path]]:
    """The photographs to segment and the beginnings of their results' names; makes the folder for these."""
    from .. import inference
    from ..inference import batch

    named = inference.image_files(args.images)
    pictures, taken = inference.without_results(named, args.out)
    if len(pictures) < len(named):
        print(f"{len(named) - len(pictures)} results of an earlier run in {args.out}/ are left out")
    make_folder(args.out, "--out")
    jobs = [(file, args.out / inference.free_name(file, args.out, taken)) for file in pictures]
    if args.skip_existing:
        jobs = [job for job in jobs if not batch.has_results(job[1], args.kind)]
        print(f"{len(pictures) - len(jobs)} of {len(pictures)} images have their results already")
    return jobs


def load(args: argparse.Namespace):
    """The Segmenter that `args` ask for, and the names of its classes."""
    from .. import data, inference
    from ..inference import batch

    model, notes = inference.load(args.weights)
    predictor = make_predictor(args, notes["config"]["inference"], model)
    background = notes.get("background", data.background_index(notes["classes"]))
    reading = notes.get("reading") or {}
    reading |= {"bits": args.bits} if args.bits else {}
    reading |= {"bands": args.bands} if args.bands else {}
    return batch.Segmenter(predictor, notes["palette"], args.kind, background, reading), notes["classes"]


def _segmenter(args: argparse.Namespace):
    return load(args)[0]
