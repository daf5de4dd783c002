"""The command line: python -m seglib COMMAND ..."""

import argparse
import json
import os
import sys
from pathlib import Path

DESCRIPTION = "Semantic segmentation: get data, train, evaluate, predict, run the course."
EXAMPLES = """\
examples:
  python -m seglib predict photo.jpg                          a mask and an overlay in predictions/
  python -m seglib data check horses                          read every file, report every fault
  python -m seglib train configs/horses-laptop.yaml           train a small U-Net
  python -m seglib evaluate unet-horses --data horses --split val
  python -m seglib course run                                 run the notebooks
"""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m seglib", description=DESCRIPTION, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    part = commands.add_parser("predict", help="segment photographs with released or own weights")
    part.add_argument("images", nargs="+", metavar="IMAGE",
                      help="image files or folders; 'example' is a photograph that comes with matplotlib")  # fmt: skip
    part.add_argument("--weights", default="unet-horses", help="released name or .safetensors file (%(default)s)")
    part.add_argument("--out", type=Path, default=Path("predictions"), help="folder for the results (%(default)s)")
    _add_inference(part)
    part.set_defaults(action=predict)

    part = commands.add_parser("evaluate", help="measure weights on a data set")
    part.add_argument("weights", help="released name or .safetensors file")
    part.add_argument("--data", required=True, help="data set name, or the path of a folder of your own")
    part.add_argument("--split", default="val", help="train, val, test or all (%(default)s)")
    part.add_argument("--list", dest="list_name", default="default", help="which split list (%(default)s)")
    part.add_argument("--root", type=Path, default=Path("data"), help="where the data sets lie (%(default)s)")
    part.add_argument("--without", nargs="+", default=[], metavar="KEY", help="images to leave out, by name")
    part.add_argument(
        "--ratio", type=float, default=0.02, help="boundary width as a share of the diagonal (%(default)s)"
    )
    part.add_argument("--json", type=Path, metavar="FILE", help="write the scores, those of each image too")
    _add_inference(part)
    part.set_defaults(action=evaluate)

    part = commands.add_parser("train", help="train a network as a configuration says", add_help=False)
    part.add_argument("config", nargs="?", help="a YAML file, such as configs/horses-laptop.yaml")
    part.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint")
    part.add_argument("-h", "--help", action="store_true", help="show every option that can be set")
    part.set_defaults(action=train)

    part = commands.add_parser("data", help="list, download, check and split data sets")
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
        sub.add_argument("--root", type=Path, default=Path("data"), help="where the data sets lie (%(default)s)")
        sub.set_defaults(action=data_command)

    part = commands.add_parser("weights", help="list released weights, fetch them, release a run")
    verbs = part.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("list", help="the released weights and their scores").set_defaults(action=weights_command)
    sub = verbs.add_parser("get", help="make sure that released weights are here and intact")
    sub.add_argument("name")
    sub.set_defaults(action=weights_command)
    verbs.add_parser("table", help="write the README's table from the cards").set_defaults(action=weights_command)
    sub = verbs.add_parser("release", help="measure a run and write its weights, card and manifest line")
    sub.add_argument("run", type=Path, help="the run's folder")
    sub.add_argument("name", help="name of the released weights")
    sub.add_argument("--root", type=Path, default=Path("data"), help="where the data sets lie (%(default)s)")
    sub.add_argument("--from", dest="made_by", required=True, help="the command that makes the run again")
    sub.add_argument("--hardware", required=True, help="what it was trained on, for the card")
    sub.set_defaults(action=weights_command)

    from . import course

    part = commands.add_parser("course", help="run or check the notebooks")
    course.add_arguments(part)
    part.set_defaults(action=course.main)
    return parser


def _add_inference(part: argparse.ArgumentParser) -> None:
    part.add_argument("--device", default="auto", help="auto, cpu, cuda, mps (%(default)s)")
    part.add_argument("--longest-side", type=int, help="scale images to this before the network; 0 keeps their size")
    part.add_argument("--multi-scale", action="store_true", help="average scales .75, 1, 1.25 and their mirror images")


def _predictor(args: argparse.Namespace, inference: dict, model):
    from . import predict, release

    side = inference["longest_side"] if args.longest_side is None else args.longest_side
    if side < 0:
        raise predict.PredictionError(f"--longest-side is {side}, but must be 0 or more.")
    scales, flip = (release.SCALES, True) if args.multi_scale else (inference["scales"], inference["flip"])
    return predict.Predictor(model, side, scales, flip, predict.pick_device(args.device))


def predict(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from . import data, predict, visualize, weights

    model, notes = weights.load(args.weights)
    predictor = _predictor(args, notes["config"]["inference"], model)
    files = predict.image_files(args.images)
    args.out.mkdir(parents=True, exist_ok=True)
    failed, taken = 0, set()
    for file in tqdm(files, disable=len(files) < 2):
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
    print(f"{len(files) - failed} of {len(files)} images segmented; masks and overlays are in {args.out}/")
    return 1 if failed else 0


def evaluate(args: argparse.Namespace) -> int:
    from . import data, evaluate, files, weights

    model, notes = weights.load(args.weights)
    dataset = data.load(args.data, args.split, args.root, args.list_name).without(args.without)
    if list(dataset.classes) != list(notes["classes"]):
        raise data.DataError(
            f"{args.weights} knows the classes {', '.join(notes['classes'])}, but {args.data} has "
            f"{', '.join(dataset.classes)}; take weights that were trained on it."
        )
    predictor = _predictor(args, notes["config"]["inference"], model)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)  # before the work, not after it
    scores = evaluate.evaluate(predictor, dataset, args.ratio, progress=True)
    scores |= {"weights": args.weights, "data": args.data, "split": args.split}
    if args.json:
        files.write_text(args.json, json.dumps(scores, indent=1) + "\n")
    print(evaluate.summary(scores))
    return 0


def train(args: argparse.Namespace) -> int:
    from . import config, train

    if args.help:
        print("usage: python -m seglib train [CONFIG.yaml] [--resume] [--OPTION=VALUE ...]\n")
        print(config.parser().format_help().split("\n\n", 1)[1])
        return 0
    wanted = config.load(args.config, args.rest)
    try:
        history = train.train(wanted, resume=args.resume)
    except KeyboardInterrupt:
        print(f"\nStopped; go on with: python -m seglib train {wanted.run}/config.yaml --resume")
        return 130
    best = max((entry for entry in history if "val" in entry), key=lambda entry: entry["val"][wanted.metric])
    minutes = sum(entry["seconds"] for entry in history) / 60
    print(f"{minutes:.1f} minutes; best epoch {best['epoch'] + 1}: "
          + ", ".join(f"{name} {value:.4f}" for name, value in best["val"].items()))  # fmt: skip
    print(f"weights: {wanted.run}/best.safetensors; measure them: "
          f"python -m seglib evaluate {wanted.run}/best.safetensors --data {wanted.data.name} "
          f"--split {wanted.data.val_split} --list {wanted.data.list_name} --root {wanted.data.root}")  # fmt: skip
    return 0


def data_command(args: argparse.Namespace) -> int:
    from . import data
    from .data import checking, splits

    if args.verb == "list":
        print(checking.listing(args.root))
        return 0
    if args.verb == "download":
        print(f"{checking.download(args.name, args.root)}: ready")
        return 0
    if args.verb == "split":
        keys = [pair.key for pair in data.source(args.name).find(args.root)]
        for file in splits.write_lists(args.name, keys):
            print(file)
        return 0
    report = checking.check(args.name, args.root)
    print(report.text())
    return 0 if report.ok else 1


def weights_command(args: argparse.Namespace) -> int:
    from . import cards, release, weights

    if args.verb == "list":
        for name in weights.names():
            card = weights.card(name)
            scores = card["scores"]
            print(f"{name:24} {card['bytes'] / 1e6:6.1f} MB  {card['data']['name']} {card['data']['measured_on']}: "
                  f"mIoU {scores['miou']:.4f}, Boundary IoU {scores['boundary_iou']:.4f}")  # fmt: skip
    elif args.verb == "get":
        print(weights.find(args.name))
    elif args.verb == "table":
        cards.write_table()
        print(cards.table())
    else:
        print(cards.text(release.release(args.run, args.name, args.root, args.made_by, args.hardware)))
    return 0


def expected_errors() -> tuple[type[Exception], ...]:
    """What bad input raises: shown as one sentence.  Anything else is a bug and keeps its traceback."""
    from . import config, course, data, download, losses, metrics, models, predict, train, visualize, weights

    return (
        config.ConfigError, course.CourseError, data.DataError, download.DownloadError, losses.LossError,
        metrics.MetricError, models.ModelError, models.CheckpointError, predict.PredictionError, train.TrainingError,
        visualize.VisualizeError, weights.WeightsError, OSError,
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = build_parser()
    args, args.rest = parser.parse_known_args(arguments)
    if args.rest and args.command != "train":
        parser.error(f"unrecognized arguments: {' '.join(args.rest)}")
    try:
        return args.action(args)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except expected_errors() as error:
        if os.environ.get("SEGLIB_TRACEBACK"):
            raise
        print(f"error: {_sentence(error)}", file=sys.stderr)
        return 1


def _sentence(error: Exception) -> str:
    """The message; the system's own errors get their file's name in front."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'a file'}: {error.strerror}."
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
