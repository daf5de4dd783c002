"""Predict the masks of images and videos with released weights or your own.

examples:
  seglib predict photo.jpg                                      find horses; write a mask and an overlay to predictions/
  seglib predict photo.jpg --weights efficientnet_unet-humans   find people
  seglib predict 'photos/**/*.jpg' --kind cutout --skip-existing
  seglib predict photos/ --kind labelme --rank uncertainty      annotations to correct, the least certain images first
  seglib predict photos/ --weights runs/mine/best.safetensors
  seglib predict huge.tif --longest-side 0                      a huge TIFF file, read and written in parts
  seglib predict photos/ --engine ray                           on all CPU cores except one, or on all GPUs
  seglib predict clip.mp4 --kind cutout                         a video, without its sound (needs the extra `video`)

kinds of results:
  mask            the class of each pixel, as PNG; the only kind for huge TIFF files, as TIFF
  overlay         the image, blended with the colors of the classes
  cutout          the image on a transparent background, with soft edges
  probabilities   the probability of each class, as .npz in float16
  coco            the polygons of all images, in one coco.json
  labelme         the polygons of each image, in one file per image

for videos: mask (.mkv, lossless), overlay (.mp4), cutout (.mov, ProRes 4444)

formats of masks:
  ids       class ids; the mask looks black in an image viewer
  binary    0 for the background, 255 for all other classes
  palette   class ids, displayed in color by image viewers; OpenCV reads the colors instead of the ids
"""

import argparse
import csv
import io
import sys
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path

from ..plugins import registered
from .options import Parser, add_inference, make_folder, make_predictor

DEFAULT = "efficientnet_unet-horses"
IMAGES = "image and video files, folders, or patterns in quotes; 'example' is an image that comes with matplotlib"
KINDS = "what to write: mask, overlay, cutout, probabilities, coco, labelme (mask,overlay)"
RANKING = "uncertainty.csv"
BITS = "number of bits used by 16-bit images, 8 to 16 (default: as in training, or detected)"
BANDS = "bands to read, numbered from 1: one (gray), three (RGB), or as many as in training (the default)"
ENGINE = "local: PyTorch; openvino: faster on CPUs; ray: many images at once, here or on a Ray cluster (%(default)s)"


def add_arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE", help=IMAGES)
    add("--weights", default=DEFAULT, help="released name, .safetensors or .onnx file (%(default)s)")
    add("--out", type=Path, default=Path("predictions"), help="folder for the results (%(default)s)")
    add("--kind", type=kinds, default=("mask", "overlay"), metavar="KIND,KIND", help=KINDS)
    add("--mask-format", choices=("ids", "binary", "palette"), default="ids", help="values of a mask (%(default)s)")
    add("--background", metavar="CLASS", help="the background class (default: the class named background)")
    add("--bits", type=int, default=0, help=BITS)
    add("--bands", type=int, nargs="+", metavar="N", help=BANDS)
    add("--rank", choices=("uncertainty",), help="write OUT/uncertainty.csv, least certain images first")
    add("--skip-existing", action="store_true", help="leave out images whose results are in --out")
    add("--engine", choices=("local", *engines()), default="local", help=ENGINE)
    add("--ray-address", default="", metavar="ADDRESS", help="HOST:6379 of a Ray cluster (default: start one here)")
    add_inference(parser)


def kinds(text: str) -> tuple[str, ...]:
    """Return the kinds of results in a list such as "mask,cutout".

    Raises:
        ArgumentTypeError: If a kind is unknown. argparse adds the name of the option to the message.
    """
    from ..inference.result_files import KINDS

    chosen = tuple(dict.fromkeys(text.replace(" ", "").split(",")))
    for kind in set(chosen) - set(KINDS):
        raise argparse.ArgumentTypeError(f"'{kind}' must be one of {', '.join(KINDS)}")
    return chosen


def engines() -> dict[str, EntryPoint]:
    """Return {name: entry point} for the entry point group `seglib.engines`; `course.ray_engine` is an example."""
    return {point.name: point for point in registered("seglib.engines")}


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from .. import inference

    if args.ray_address and args.engine != "ray":
        raise inference.PredictionError("--ray-address needs --engine ray; add it, or leave --ray-address out.")
    if Path(args.weights).is_file():
        args.weights = str(Path(args.weights).absolute())  # Ray's worker processes may run in another folder
    predictor = load(args)
    tasks = find_tasks(args, predictor.classes)
    if args.engine == "local":
        results = predictor.predict_all(tasks)
    else:
        gpu = args.device in ("auto", "cuda")
        results = engines()[args.engine].load()(tasks, partial(load, args), args.ray_address, gpu)
    failed, done = [], []
    try:
        for result in tqdm(results, total=len(tasks), disable=None if len(tasks) > 1 else True):
            if result.error:
                failed.append(result.error)
                continue
            done.append(result)
            shares = zip(predictor.classes, result.counts / result.counts.sum(), strict=False)
            tqdm.write(f"{result.file}: " + ", ".join(f"{name} {share:.1%}" for name, share in shares))
    finally:  # also after Ctrl-C, so that finished results are listed
        write_summaries(args, done, predictor.classes)
    for error in failed:
        print(f"skipped: {error}", file=sys.stderr)
    where = f"; the results are in {args.out}/" if done else ""
    print(f"{len(done)} of {len(tasks)} images segmented{where}")
    return 1 if failed else 0


def find_tasks(args: argparse.Namespace, classes: list[str]) -> list:
    """Return a task for each image to process, and create the folder for the results."""
    from ..inference import polygons
    from ..inference.batch import PredictTask
    from ..inference.result_files import free_name, has_results, image_files, result_file, without_results

    files = image_files(args.images)
    images, taken = without_results(files, args.out)
    if len(images) < len(files):
        print(f"{len(files) - len(images)} results of an earlier run in {args.out}/ are left out")
    make_folder(args.out, "--out")
    tasks = [PredictTask(file, args.out / free_name(file, args.out, taken)) for file in images]
    in_coco = polygons.read_coco(args.out / "coco.json", classes) if "coco" in args.kind else {}
    if args.rank:
        read_ranking(args.out / RANKING)  # refuse another file before the run
    if args.skip_existing:
        done = {task for task in tasks if has_results(task.target, args.kind)}
        if "coco" in args.kind:
            large = {task for task in done if result_file(task.target, "large mask").exists()}  # without polygons
            done = large | {task for task in done if polygons.relative_path(task.image, args.out) in in_coco}
        tasks = [task for task in tasks if task not in done]
        print(f"{len(done)} of {len(images)} images already have results")
    return tasks


def load(args: argparse.Namespace):
    """Return the BatchPredictor for the command-line options."""
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
    reading |= {name: value for name, value in (("bits", args.bits), ("bands", args.bands)) if value}
    return BatchPredictor(predictor, classes, metadata["palette"], args.kind, args.mask_format, background, reading)


def read_ranking(file: Path) -> dict[str, str]:
    """Return {image: uncertainty, or "" if unknown} for a file that `write_summaries` wrote; {} if it does not exist.

    Raises PredictionError if the file has other contents.
    """
    from ..inference import PredictionError

    try:
        rows = [row for row in csv.reader(io.StringIO(file.read_text(encoding="utf-8-sig"))) if row]
        if rows[:1] == [["image", "uncertainty"]]:
            return {image: value and f"{float(value):.6f}" for image, value in rows[1:]}
    except FileNotFoundError:
        return {}
    except (ValueError, csv.Error):
        pass
    raise PredictionError(f"{file}: not written by --rank uncertainty; name another --out.")


def write_summaries(args: argparse.Namespace, results: list, classes: list[str]) -> None:
    """Write coco.json and uncertainty.csv if they are requested. Existing entries of other images are kept."""
    from ..files import write_text
    from ..inference import polygons

    if "coco" in args.kind:
        file = args.out / "coco.json"
        images = polygons.read_coco(file, classes)
        for result in results:
            if any(result.size):  # large TIFF files have no polygons
                image = polygons.coco_image(result.file, args.out, result.size, result.polygons)
                images[image["file_name"]] = image
        polygons.save_coco(file, images.values(), classes)
    if args.rank:
        file = args.out / RANKING
        rows = read_ranking(file)
        rows |= {str(r.file): "" if r.uncertainty is None else f"{r.uncertainty:.6f}" for r in results}
        text = io.StringIO()
        ranked = sorted(rows.items(), key=lambda row: -float(row[1] or 0))
        csv.writer(text, lineterminator="\n").writerows([("image", "uncertainty"), *ranked])
        write_text(file, text.getvalue())
