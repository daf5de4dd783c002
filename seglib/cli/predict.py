"""Predict masks of images."""

import argparse
import csv
import io
import sys
from functools import partial
from pathlib import Path

from .options import Parser, add_inference, make_folder, make_predictor

HELP = "predict masks of images with released or own weights"
EXAMPLES = """\
examples:
  seglib predict photo.jpg                                     a mask and an overlay in predictions/
  seglib predict 'photos/**/*.jpg' --kind cutout --skip-existing
  seglib predict photos/ --kind labelme --rank uncertainty     to correct in an annotation tool, worst ones first
  seglib predict photos/ --weights runs/mine/best.safetensors
  seglib predict huge.tif --longest-side 0                     read and written in parts
  seglib predict photos/ --engine ray                          on all processors, or many machines
"""


def add_arguments(part: Parser) -> None:
    part.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="image files, folders, or patterns in quotes ('photos/**/*.jpg'); "
        "'example' is an image that comes with matplotlib",
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
        help="what to write: mask (PNG), overlay, cutout (transparent background, soft edges), probabilities (.npz, "
        "float16), coco (one coco.json of polygons), labelme (polygons); default mask,overlay. Of huge TIFF files "
        "only a mask, as TIFF",
    )
    part.add_argument(
        "--mask-format",
        choices=("ids", "binary", "palette"),
        default="ids",
        help="values of a mask: ids of the classes (looks black in a viewer), binary (0 background, 255 else), palette "
        "(ids shown in color; OpenCV reads the colors) (%(default)s)",
    )
    part.add_argument("--background", metavar="CLASS", help="the background (default: the class of this name)")
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
    part.add_argument("--rank", choices=("uncertainty",), help="write OUT/uncertainty.csv, least certain images first")
    part.add_argument("--skip-existing", action="store_true", help="leave out images whose results are in --out")
    part.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="local: one image after the other; ray: many at once, on this machine's processors or on a Ray "
        "cluster (pip install 'ray[data]')",
    )
    part.add_argument(
        "--ray-address",
        default="",
        metavar="ADDRESS",
        help="of a running Ray cluster, as HOST:6379 (default: one is started here)",
    )
    add_inference(part)


def kinds(text: str) -> tuple[str, ...]:
    """Return the kinds of results in a list such as "mask,cutout"; else an error, which argparse completes."""
    from ..inference.result_files import KINDS

    chosen = tuple(dict.fromkeys(text.replace(" ", "").split(",")))
    unknown = [kind for kind in chosen if kind not in KINDS]
    if unknown:
        raise argparse.ArgumentTypeError(f"'{unknown[0]}' must be one of {', '.join(KINDS)}")
    return chosen


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from .. import inference
    from ..inference import ray_engine

    if args.ray_address and args.engine != "ray":
        raise inference.PredictionError("--ray-address is for --engine ray; add that, or leave the address out.")
    if Path(args.weights).is_file():
        args.weights = str(Path(args.weights).absolute())  # Ray's processes may run in another folder
    predictor = load(args)
    tasks = find_tasks(args)
    if args.engine == "ray":
        gpu = args.device in ("auto", "cuda")
        results = ray_engine.predict_with_ray(tasks, partial(load, args), args.ray_address, gpu)
    else:
        results = predictor.predict_all(tasks)
    failed, done = [], []
    try:
        for result in tqdm(results, total=len(tasks), disable=None if len(tasks) > 1 else True):
            if result.error:
                failed.append(result.error)
                continue
            done.append(result)
            shares = zip(predictor.classes, result.counts / result.counts.sum(), strict=False)
            tqdm.write(f"{result.file}: " + ", ".join(f"{name} {share:.1%}" for name, share in shares))
    finally:  # Ctrl-C, too: what is done is kept
        write_summaries(args, done, predictor.classes)
    for error in failed:
        print(f"skipped: {error}", file=sys.stderr)
    where = f"; the results are in {args.out}/" if done else ""
    print(f"{len(done)} of {len(tasks)} images segmented{where}")
    return 1 if failed else 0


def find_tasks(args: argparse.Namespace) -> list:
    """Return the tasks that the options ask for, and make the folder for their results."""
    from .. import inference
    from ..inference import polygons
    from ..inference.batch import PredictTask
    from ..inference.result_files import has_results

    files = inference.image_files(args.images)
    images, taken = inference.without_results(files, args.out)
    if len(images) < len(files):
        print(f"{len(files) - len(images)} results of an earlier run in {args.out}/ are left out")
    make_folder(args.out, "--out")
    tasks = [PredictTask(file, args.out / inference.free_name(file, args.out, taken)) for file in images]
    if args.skip_existing:
        in_coco = polygons.read_coco(args.out / "coco.json") if "coco" in args.kind else {}
        others = [kind for kind in args.kind if kind != "coco"]
        tasks = [
            task
            for task in tasks
            if not has_results(task.target, others)
            or ("coco" in args.kind and polygons.relative_path(task.image, args.out) not in in_coco)
        ]
        print(f"{len(images) - len(tasks)} of {len(images)} images have their results already")
    return tasks


def load(args: argparse.Namespace):
    """Return the BatchPredictor that the options ask for."""
    from .. import data, inference
    from ..inference.batch import BatchPredictor

    model, metadata = inference.load(args.weights)
    classes = metadata["classes"]
    background = metadata.get("background", data.background_index(classes))
    if args.background is not None:
        if args.background not in classes:
            raise inference.PredictionError(f"--background {args.background}: must be one of {', '.join(classes)}.")
        background = classes.index(args.background)
    predictor = make_predictor(args, metadata["config"]["inference"], model)
    reading = dict(metadata.get("reading") or {})
    reading |= {"bits": args.bits} if args.bits else {}
    reading |= {"bands": args.bands} if args.bands else {}
    return BatchPredictor(predictor, classes, metadata["palette"], args.kind, args.mask_format, background, reading)


def write_summaries(args: argparse.Namespace, results: list, classes: list[str]) -> None:
    """Write coco.json and uncertainty.csv, if they are asked for; entries of other images in them stay."""
    from ..files import write_text
    from ..inference import polygons

    if "coco" in args.kind:
        file = args.out / "coco.json"
        new = dict(polygons.coco_entry(result.file, args.out, result.size, result.polygons) for result in results)
        polygons.save_coco(file, (polygons.read_coco(file) | new).values(), classes)
    if args.rank:
        file = args.out / "uncertainty.csv"
        rows = {}
        if file.exists():
            with open(file, newline="", encoding="utf-8") as stream:
                rows = {row["image"]: row["uncertainty"] for row in csv.DictReader(stream)}
        rows |= {str(r.file): "" if r.uncertainty is None else f"{r.uncertainty:.6f}" for r in results}
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("image", "uncertainty"))
        writer.writerows(sorted(rows.items(), key=lambda row: -float(row[1] or 0)))
        write_text(file, text.getvalue())
