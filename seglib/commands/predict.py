"""Segment photographs."""

import argparse
import sys
from pathlib import Path

import numpy as np

from .shared import Parser, add_inference, make_folder, make_predictor

HELP = "segment photographs with released or own weights"
KINDS = ("mask", "overlay", "cutout")


def add_arguments(part: Parser) -> None:
    part.add_argument("images", nargs="+", metavar="IMAGE",
                      help="image files, folders, or patterns in quotes ('photos/**/*.jpg'); "
                           "'example' is a photograph that comes with matplotlib")  # fmt: skip
    part.add_argument("--weights", default="unet-horses",
                      help="released name, .safetensors file, or .onnx file of `export` (%(default)s)")  # fmt: skip
    part.add_argument("--out", type=Path, default=Path("predictions"), help="folder for the results (%(default)s)")
    part.add_argument("--kind", type=kinds, default=("mask", "overlay"), metavar="KIND,KIND",
                      help="what to write: mask (PNG of labels), overlay, cutout (the foreground on transparent "
                           "ground); default mask,overlay. Of huge TIFF files a mask, as TIFF")  # fmt: skip
    part.add_argument("--skip-existing", action="store_true", help="leave out images whose results are in --out")
    add_inference(part)


def kinds(text: str) -> tuple[str, ...]:
    """The kinds of results in a list such as "mask,cutout"; else an error, which argparse completes."""
    chosen = tuple(dict.fromkeys(text.replace(" ", "").split(",")))
    unknown = [kind for kind in chosen if kind not in KINDS]
    if unknown:
        raise argparse.ArgumentTypeError(f"'{unknown[0]}' is none of {', '.join(KINDS)}")
    return chosen


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from .. import data, predict

    model, notes = predict.load(args.weights)
    predictor = make_predictor(args, notes["config"]["inference"], model)
    named = predict.image_files(args.images)
    pictures, taken = predict.without_results(named, args.out)
    if len(pictures) < len(named):
        print(f"{len(named) - len(pictures)} results of an earlier run in {args.out}/ are left out")
    make_folder(args.out, "--out")
    jobs = [(file, args.out / predict.free_name(file.stem, taken)) for file in pictures]
    if args.skip_existing:
        jobs = [job for job in jobs if not all(_exists(job[1], kind) for kind in args.kind)]
        print(f"{len(pictures) - len(jobs)} of {len(pictures)} images have their results already")
    failed = []
    for file, target in tqdm(jobs, disable=None if len(jobs) > 1 else True):  # None: only on a terminal
        try:
            counts = _segment(file, target, args.kind, predictor, notes["palette"])
        except (data.DataError, predict.PredictionError) as error:
            failed.append(error)
            continue
        shares = zip(notes["classes"], counts / counts.sum(), strict=False)
        tqdm.write(f"{file}: " + ", ".join(f"{name} {share:.1%}" for name, share in shares))
    for error in failed:
        print(f"skipped: {error}", file=sys.stderr)
    done = len(jobs) - len(failed)
    where = f"; {' and '.join(f'{kind}s' for kind in args.kind)} are in {args.out}/" if done else ""
    print(f"{done} of {len(jobs)} images segmented{where}")
    return 1 if failed else 0


def _file(target: Path, kind: str, ending: str = "png") -> Path:
    return target.with_name(f"{target.name}_{kind}.{ending}")


def _exists(target: Path, kind: str) -> bool:
    return _file(target, kind).exists() or _file(target, "mask", "tif").exists()


def _segment(file: Path, target: Path, kinds: tuple[str, ...], predictor, palette) -> np.ndarray:
    """Write the results of one picture; returns the number of pixels of each label, (256,)."""
    from .. import data, predict, visualize

    if predict.is_large(file):
        return _segment_large(file, target, kinds, predictor, palette)
    image = data.read_image(file)
    if "cutout" in kinds:
        probabilities = predictor.probabilities(image)
        labels = probabilities.argmax(0).astype(np.uint8)
        predict.save_image(_file(target, "cutout"), predict.cutout(image, probabilities))
    else:
        labels = predictor.labels(image)
    if "overlay" in kinds:
        overlay = visualize.overlay(image, labels, palette, background_class=0)
        predict.save_image(_file(target, "overlay"), overlay)
    if "mask" in kinds:
        predict.save_mask(_file(target, "mask"), labels, palette)
    return np.bincount(labels.ravel(), minlength=256)


def _segment_large(file: Path, target: Path, kinds: tuple[str, ...], predictor, palette) -> np.ndarray:
    from tqdm import tqdm

    from .. import predict

    if "mask" not in kinds:
        raise predict.PredictionError(
            f"{file}: of an image of more than {predict.LARGE:,} pixels only the mask is made; add mask to --kind."
        )
    with tqdm(unit="row", leave=False, disable=None) as bar:

        def progress(done: int, height: int) -> None:
            bar.total = height
            bar.update(done - bar.n)

        return predict.segment_tiff(predictor, file, _file(target, "mask", "tif"), palette, progress)
