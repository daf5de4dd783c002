"""Release the weights of a finished run: write the file, its model card and figure, and its entry in the manifest."""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pooch
import torch
from torch import Tensor

from course import figures
from course.datasets import validation
from seglib import data, files, weights
from seglib.config import PLACES, Config, config_to_dict, parse_config
from seglib.data.transforms import MEAN, STD
from seglib.evaluation import evaluate
from seglib.inference import Predictor
from seglib.inference.predictor import MULTI_SCALE
from seglib.models import pretrained

from . import model_cards

MAX_BYTES = 64_000_000
MEASURED_ON = "val"  # the split of the scores on the card


def release(
    run: Path | str,
    name: str,
    root: Path | str,
    command: str,
    hardware: str,
    longest_side: int | None = None,
    flip: bool = False,
) -> dict:
    """Release the best weights of a run, rounded to float16.

    The rounded weights are evaluated on the validation set.  If the checkpoint was selected on another split, they are
    also evaluated on that split.  If an evaluation fails, existing files are unchanged.

    Args:
        run: Folder of the run.
        name: Name of the released weights.
        root: Folder of the data sets.
        command: The command that reproduces the run, for the model card.
        hardware: A description of the machine on which the run was trained, for the model card.
        longest_side: Length in pixels to which the longer side of images is resized; 0 keeps the size of the images.
            By default, images are resized as in the run's validation.
        flip: Whether inference with the released weights averages the predictions for an image and its horizontal flip.

    Returns:
        The model card.

    Raises:
        WeightsError: If the run has no valid weights, or the weights that it started from are missing.
        DataError: If the data set cannot be loaded.
    """
    run = Path(run)
    tensors, notes = weights.read_tensors(run / "best.safetensors")
    if not_finite := [key for key, t in tensors.items() if not t.isfinite().all()]:
        raise weights.WeightsError(
            f"{run / 'best.safetensors'}: {not_finite[0]} has values that are NaN or infinite; train again."
        )
    history = json.loads((run / "history.json").read_text(encoding="utf-8"))
    epoch, config = notes["epoch"], parse_config(json.dumps(notes["config"]))
    start = _start(config.model.init_from, config.model.name)
    _reset_places(config)
    config.output_dir = f"runs/{name}"
    validated_at = config.inference.longest_side
    if longest_side is not None:
        config.inference.longest_side = longest_side
    config.inference.flip |= flip
    dataset = _load(config, root, MEASURED_ON)
    notes = {
        "config": config_to_dict(config),
        "classes": list(dataset.classes),
        "palette": dataset.palette.tolist(),
        "num_outputs": notes["num_outputs"],
    }
    file = weights.FOLDER / f"{name}.safetensors"
    staged = weights.FOLDER / f".staged-{file.name}"
    figure_file = staged.with_suffix(".png")
    weights.write_tensors(staged, to_half(tensors), notes)
    try:
        if staged.stat().st_size > MAX_BYTES:
            raise weights.WeightsError(
                f"{file}: {staged.stat().st_size:,} bytes, but a release may have {MAX_BYTES:,}."
            )
        model, _ = weights.load_file(staged)
        scores = {
            "single": _measured(Predictor(model, **asdict(config.inference)), dataset, figure_file),
            "multi": _measured(Predictor(model, config.inference.longest_side, MULTI_SCALE, flip=True), dataset),
        }
        repeated = _repeated(config, root, dataset)
        if repeated:
            scores["without"] = _measured(Predictor(model, **asdict(config.inference)), dataset.without(repeated))
        if config.data.val_split != MEASURED_ON:
            judging = _load(config, root, config.data.val_split)
            scores["selection"] = _measured(Predictor(model, **asdict(config.inference)), judging)
        figure_file.replace(file.with_suffix(".png"))
        staged.replace(file)
    finally:
        staged.unlink(missing_ok=True)
        figure_file.unlink(missing_ok=True)
    entry = {"file": file.name, "bytes": file.stat().st_size, "sha256": pooch.file_hash(str(file))}
    card = {
        "name": name,
        **entry,
        "model": {
            **notes["config"]["model"],
            "num_outputs": notes["num_outputs"],
            "parameters": sum(p.numel() for p in model.parameters()),
        },
        "classes": notes["classes"],
        "input": {
            "mean": list(MEAN),
            "std": list(STD),
            "of": "RGB in 0..1",
            "longest_side": config.inference.longest_side,
            "flip": config.inference.flip,
        },
        "data": {
            "name": dataset.name,
            "list": config.data.list_name,
            "training_sets": config.data.name,
            "trained_on": config.data.train_split,
            "chosen_on": config.data.val_split if config.selection == "best" else None,
            "measured_on": MEASURED_ON,
            "images": len(dataset),
        },
        "scores": scores["single"],
        "scores_multi_scale": {**scores["multi"], "scales": list(MULTI_SCALE), "flip": True},
        **({"scores_selection": scores["selection"]} if "selection" in scores else {}),
        **({"in_training_too": repeated, "scores_without_them": scores["without"]} if repeated else {}),
        "training": {
            "command": command,
            "hardware": hardware,
            **({"start": start} if start else {}),
            **({"teachers": config.distillation.teachers} if config.distillation.teachers else {}),
            "epochs": config.epochs,
            "best_epoch": epoch + 1,
            "minutes": _minutes(history),
            "curve": _curve(history) | {"longest_side": validated_at, "split": config.data.val_split},
            "config": notes["config"],
        },
        "software": {"python": platform.python_version(), "torch": torch.__version__.split("+")[0]},
    }
    files.write_text(weights.FOLDER / f"{name}.json", json.dumps(card, indent=1) + "\n")
    listed = weights.manifest()
    listed["weights"][name] = entry
    files.write_text(weights.FOLDER / "manifest.json", json.dumps(listed, indent=1) + "\n")
    files.write_text(weights.FOLDER / f"{name}.md", model_cards.text(card))
    return card


def _load(config: Config, root: Path | str, split: str) -> data.SegmentationDataset:
    """Load `split` of the data set on which the run was validated."""
    return data.load(config.data.name, split, root, config.data.list_name, **config.data.options)


def _reset_places(config: Config) -> None:
    """Reset the options for folders and hardware, which do not affect the result, to their defaults."""
    for option in PLACES:
        *inner, last = option.split(".")
        part, default = config, Config()
        for name in inner:
            part, default = getattr(part, name), getattr(default, name)
        setattr(part, last, getattr(default, last))


def to_half(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert floating-point tensors to fp16. A tensor with values outside the range of fp16 is not converted.

    All values must stay finite: the running variance of wide layers can exceed 65504, the largest value in fp16.
    """
    largest = torch.finfo(torch.float16).max
    fits = {name: t.is_floating_point() and bool((t.abs() <= largest).all()) for name, t in tensors.items()}
    return {name: tensor.half() if fits[name] else tensor for name, tensor in tensors.items()}


def _start(first: str | None, network: str) -> dict:
    """Describe the initial weights `first` of a run that trained `network`.

    Raises:
        WeightsError: If they were trained from other weights themselves, unless these are from the same data set.
    """
    if first is None:
        return {}
    if first in pretrained.choices(network):
        return {"weights": first, "data": f"the public weights '{first}'"}
    before = weights.load(first)[1]["config"]
    earlier = _start(before["model"]["init_from"], network)
    if earlier and earlier["data"] != before["data"]["name"]:
        raise weights.WeightsError(
            f"{first}: started from other weights itself, but a card documents one start; train from the first."
        )
    if first in weights.names():
        minutes = weights.card(first)["training"]["minutes"]
    else:
        minutes = _minutes(json.loads(Path(first).with_name("history.json").read_text(encoding="utf-8")))
    return {
        "weights": first,
        "data": before["data"]["name"],
        "parts": 1 + earlier.get("parts", 0),
        "epochs": before["epochs"] + earlier.get("epochs", 0),
        "minutes": round(minutes + earlier.get("minutes", 0), 1),
    }


def _minutes(history: list[dict]) -> float:
    return round(sum(entry["seconds"] for entry in history) / 60, 1)


def _curve(history: list[dict]) -> dict:
    """Return the validation scores and, for each, the number of epochs after which it was measured."""
    measured = [entry for entry in history if "val" in entry]
    scores = {key: [round(entry["val"][key], 4) for entry in measured] for key in ("miou", "boundary_iou")}
    return {"epochs": [entry["epoch"] + 1 for entry in measured], **scores}


def _measured(predictor: Predictor, dataset: data.SegmentationDataset, figure_file: Path | None = None) -> dict:
    """Evaluate a predictor and return the scores. Draw the best and worst predictions to `figure_file`, if given."""
    predictions = []
    scores = evaluate(predictor, dataset, progress=True, each=lambda item, labels, _: predictions.append(labels))
    ranks = [own["miou"] for own in scores.pop("per_image").values()]
    if figure_file:
        figure = figures.gallery(dataset, predictions, ranks, 12, "both", dataset.classes, dataset.palette, "mIoU")
        figure.savefig(figure_file, dpi=110)
    return scores


def _repeated(config: Config, root: Path | str, dataset: data.SegmentationDataset) -> list[str]:
    """Return the keys of validation images that are duplicates or near-duplicates of training images."""
    if dataset.name in data.generated_sets():
        return []
    name = config.data.name if Path(config.data.name).is_dir() else dataset.name
    report = validation.check(name, root, config.data.list_name)
    pairs = report.duplicates + report.suspects
    train, val = f"{config.data.train_split}/", f"{MEASURED_ON}/"
    repeated = {b for a, b in [*pairs, *(pair[::-1] for pair in pairs)] if a.startswith(train) and b.startswith(val)}
    return sorted(place if place in dataset.keys else place.removeprefix(val) for place in repeated)
