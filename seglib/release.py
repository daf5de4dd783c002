"""Turn a finished run into released weights: the file, its card, and its line in the manifest."""

import json
import platform
from pathlib import Path

import torch

from . import config as configuration
from . import data, visualize, weights
from .augment import MEAN, STD
from .evaluate import evaluate
from .predict import Predictor

MAX_BYTES = 64_000_000
SCALES = (0.75, 1.0, 1.25)  # of the multi-scale measurement on the card, each also mirrored


def release(run: Path | str, name: str, root: Path | str, command: str, hardware: str) -> dict:
    """Release the best weights of the run folder `run` as `name`; returns the card.

    Measures the rounded fp16 weights on the val split under `root`.  `command` makes the run again
    and `hardware` says on what it was made.  Raises WeightsError if the run has no weights, and
    DataError if the data set is not there; files that existed stay as they are then.
    """
    run = Path(run)
    tensors, notes = weights.read_tensors(run / "best.safetensors")
    history = json.loads((run / "history.json").read_text(encoding="utf-8"))
    config = configuration.parse(json.dumps(notes["config"]))
    config.run, config.data.root = f"runs/{name}", "data"  # where the run was made is nobody's concern
    dataset = data.load(config.data.name, config.data.val_split, root, config.data.list_name, **config.data.options)
    notes = {
        "config": configuration.to_dict(config),
        "classes": list(dataset.classes),
        "palette": dataset.palette.tolist(),
        "num_outputs": notes["num_outputs"],
    }
    file = weights.FOLDER / f"{name}.safetensors"
    staged = file.with_suffix(".staged")
    weights.write_tensors(staged, tensors, notes, half=True)
    try:
        if staged.stat().st_size > MAX_BYTES:
            raise weights.WeightsError(f"{file}: {staged.stat().st_size:,} bytes, but a release may have {MAX_BYTES:,}.")
        model, _ = weights.open_file(staged)
        scores = {
            "single": _measured(Predictor(model, config.inference.longest_side), dataset, staged.with_suffix(".png")),
            "multi": _measured(Predictor(model, config.inference.longest_side, SCALES, flip=True), dataset),
        }
        staged.with_suffix(".png").replace(file.with_suffix(".png"))
        staged.replace(file)
    finally:
        staged.unlink(missing_ok=True)
    entry = {"file": file.name, "bytes": file.stat().st_size, "sha256": weights.digest(file)}
    best = max((h for h in history if "val" in h), key=lambda h: h["val"][config.metric])
    card = {
        "name": name,
        **entry,
        "model": {**notes["config"]["model"], "num_outputs": notes["num_outputs"],
                  "parameters": sum(p.numel() for p in model.parameters())},
        "classes": notes["classes"],
        "input": {"mean": list(MEAN), "std": list(STD), "of": "RGB in 0..1", "longest_side": config.inference.longest_side},
        "data": {"name": dataset.name, "list": config.data.list_name, "trained_on": config.data.train_split,
                 "chosen_on": config.data.val_split, "measured_on": config.data.val_split, "images": len(dataset)},
        "scores": scores["single"],
        "scores_multi_scale": {**scores["multi"], "scales": list(SCALES), "flip": True},
        "training": {"command": command, "hardware": hardware, "epochs": config.epochs, "best_epoch": best["epoch"] + 1,
                     "minutes": round(sum(h["seconds"] for h in history) / 60, 1), "config": notes["config"]},
        "software": {"python": platform.python_version(), "torch": torch.__version__.split("+")[0]},
    }  # fmt: skip
    _write_json(weights.FOLDER / f"{name}.json", card)
    listed = weights.manifest()
    listed["weights"][name] = entry
    _write_json(weights.FOLDER / "manifest.json", listed)
    weights.write_atomically(weights.FOLDER / f"{name}.md", lambda stream: stream.write(card_text(card).encode()))
    return card


def _measured(predictor: Predictor, dataset: data.SegmentationDataset, picture: Path | None = None) -> dict:
    """The scores, and in the file `picture` the best and the worst predictions."""
    predictions = []
    scores = evaluate(predictor, dataset, progress=True, each=lambda item, found, _: predictions.append(found))
    ranks = [own["miou"] for own in scores.pop("per_image").values()]
    if picture:
        figure = visualize.gallery(dataset, predictions, ranks, 12, "both", dataset.classes, dataset.palette, "mIoU")
        figure.savefig(picture, dpi=110)
    return scores


def _write_json(file: Path, content: dict) -> None:
    text = json.dumps(content, indent=1) + "\n"
    weights.write_atomically(file, lambda stream: stream.write(text.encode()))


def card_text(card: dict) -> str:
    """The card as Markdown for people; every number comes from `card`."""
    scores, multi, training = card["scores"], card["scores_multi_scale"], card["training"]
    options = ", ".join(f"{k}={v}" for k, v in card["model"]["options"].items())
    rows = [("mIoU", "miou"), (f"Boundary IoU (ratio {scores['boundary_ratio']})", "boundary_iou"),
            ("pixel accuracy", "pixel_accuracy"), ("foreground IoU", "foreground_iou"),
            ("foreground IoU, mean over images", "foreground_iou_per_image"),
            ("foreground Boundary IoU", "boundary_iou_foreground"),
            ("foreground Boundary IoU, mean over images", "boundary_iou_foreground_per_image")]  # fmt: skip
    lines = [
        f"# {card['name']}",
        "",
        f"![best and worst predictions]({card['name']}.png)",
        "",
        f"{card['model']['name']}({options}) with {card['model']['parameters']:,} parameters, trained from scratch on "
        f"{card['data']['name']} (split list `{card['data']['list']}`, {card['data']['trained_on']}).",
        "",
        f"| on {card['data']['measured_on']}, {card['data']['images']} images at native size | single scale | "
        f"scales {', '.join(map(str, multi['scales']))} with mirror |",
        "|---|---|---|",
        *(f"| {title} | {scores[key]:.4f} | {multi[key]:.4f} |" for title, key in rows if scores.get(key) is not None),
        "",
        "| class | IoU | Boundary IoU | precision | recall |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | " + " | ".join(_shown(values[key]) for key in ("iou", "boundary_iou", "precision", "recall")) + " |"
            for name, values in scores["per_class"].items()
        ),
        "",
        "All scores are counted over the data set, the two or more classes averaged, unless a row says otherwise. The "
        f"checkpoint was chosen on the same {card['data']['chosen_on']} images, so expect a little less on new ones.",
        "",
        f"- Measure again: `python -m seglib evaluate {card['name']} --data {card['data']['name']} "
        f"--split {card['data']['measured_on']}`",
        f"- Train again: `{training['command']}` ({training['minutes']} minutes on {training['hardware']}; "
        f"the best of {training['epochs']} epochs was {training['best_epoch']})",
        f"- Classes: {', '.join(card['classes'])}",
        f"- Input: RGB in 0..1, minus {card['input']['mean']}, over {card['input']['std']}; the longer side scaled to "
        f"{card['input']['longest_side']} pixels, logits scaled back to the picture's size",
        f"- File: `{card['file']}`, {card['bytes']:,} bytes, fp16 tensors; sha256 `{card['sha256']}`",
        f"- Made with Python {card['software']['python']}, torch {card['software']['torch']}",
    ]
    return "\n".join(lines) + "\n"


def _shown(value: float | None) -> str:
    return "absent" if value is None else f"{value:.4f}"


README = weights.FOLDER.parent / "README.md"
BEGIN, END = "<!-- results: python -m seglib weights table -->", "<!-- end of results -->"


def table() -> str:
    """The released weights as a Markdown table, every number from the cards."""
    lines = [
        "| weights | network | data | mIoU | Boundary IoU | with mirror and scales | size |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in weights.names():
        card = weights.card(name)
        one, multi, of = card["scores"], card["scores_multi_scale"], card["data"]
        options = ", ".join(f"{key}={value}" for key, value in card["model"]["options"].items())
        lines.append(
            f"| [{name}](weights/{name}.md) | {card['model']['name']}({options}), {card['model']['parameters'] / 1e6:.1f}M | "
            f"{of['name']}, {of['images']} images of {of['measured_on']} | {one['miou']:.4f} | {one['boundary_iou']:.4f} | "
            f"{multi['miou']:.4f}, {multi['boundary_iou']:.4f} | {card['bytes'] / 1e6:.1f} MB |"
        )
    return "\n".join(lines)


def write_table() -> None:
    """Put `table()` between its marks in the README.  WeightsError if the marks are gone."""
    text = README.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise weights.WeightsError(f"{README.name}: the lines '{BEGIN}' and '{END}' are missing; put them back.")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    content = f"{before}{BEGIN}\n{table()}\n{END}{after}".encode()
    weights.write_atomically(README, lambda stream: stream.write(content))
