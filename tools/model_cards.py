"""Write the model cards and the results table of the README from the JSON files of the released weights."""

from course.figures.training import SCORE_NAMES
from course.places import replace_between
from seglib import files, weights

README = weights.FOLDER.parent / "README.md"
BEGIN, END = "<!-- results: python -m tools table -->", "<!-- end of results -->"
PEOPLE = " For scores by scene and other limitations, see [Licenses and people](../docs/licences.md)."
PUBLIC_WEIGHTS = {"imagenet": "ImageNet weights", "coco": "COCO weights"}


def text(card: dict) -> str:
    """Return a model card as Markdown."""
    training, of = card["training"], card["data"]
    sections = [
        [
            f"# {card['name']}",
            "",
            f"![best and worst predictions]({card['name']}.png)",
            "",
            f"{_network(card['model'])} with {card['model']['parameters']:,} parameters, {_origin(card)} on "
            f"{training_sets(card)} (split list `{of['list']}`, split `{of['trained_on']}`).{_distillation(training)}",
        ],
        ["## Scores", "", *_score_lines(card)],
        [
            "## Limitations",
            "",
            f"- {_selection(card)}",
            f"- The scores are those of one training run, with seed {training['config']['seed']}.",
            f"- Scores may be lower on images from other sources.{PEOPLE if 'human' in card['classes'] else ''}",
            *_repetition_lines(card),
        ],
        [
            "## Training",
            "",
            f"- Command: `{training['command']}`",
            f"- Time: {training['minutes']} minutes on {training['hardware']}",
            f"- Checkpoint: {_kept_epoch(card)}",
            f"- {_curve(card)}",
        ],
        [
            "## Use",
            "",
            f"- Evaluation: `{_measuring(card)}`",
            f"- Classes: {', '.join(card['classes'])}",
            f"- Input: RGB image with values in [0, 1], normalized with mean {card['input']['mean']} and standard "
            f"deviation {card['input']['std']}; {_scaling(card['input']['longest_side'])}{_mirroring(card)}",
            f"- File: `{card['file']}`, {card['bytes']:,} bytes, weights stored in float16, or in float32 if the range "
            f"of float16 is too small; SHA-256 `{card['sha256']}`",
            f"- Scores measured with: Python {card['software']['python']}, PyTorch {card['software']['torch']}",
        ],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _score_lines(card: dict) -> list[str]:
    """Return the table of scores, an explanation, and the table of the classes."""
    scores, multi = card["scores"], card["scores_multi_scale"]
    rows = [
        ("mIoU", "miou"),
        (f"Boundary IoU (band width {scores['boundary_ratio']} x image diagonal)", "boundary_iou"),
        ("pixel accuracy", "pixel_accuracy"),
        ("foreground IoU", "foreground_iou"),
        ("foreground IoU, mean over images", "foreground_iou_per_image"),
        ("foreground Boundary IoU", "boundary_iou_foreground"),
        ("foreground Boundary IoU, mean over images", "boundary_iou_foreground_per_image"),
    ]
    return [
        f"| {_set_name(card['data']['measured_on'])}, {card['data']['images']} images at their original size | "
        f"single scale{', horizontal flip' if _is_mirrored(card) else ''} | "
        f"TTA: horizontal flip, scales {', '.join(map(str, multi['scales']))} |",
        "|---|---|---|",
        *(f"| {title} | {scores[key]:.4f} | {multi[key]:.4f} |" for title, key in rows if scores.get(key) is not None),
        "",
        'Each score is computed from the pixels of all images together, unless its row says "mean over images". mIoU '
        "and Boundary IoU are averaged over the classes.",
        "",
        "| class | IoU | Boundary IoU | precision | recall |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | "
            + " | ".join(_format(values[key]) for key in ("iou", "boundary_iou", "precision", "recall"))
            + " |"
            for name, values in scores["per_class"].items()
        ),
    ]


def _set_name(split: str) -> str:
    """Return the name of a split in prose, such as "validation set"."""
    names = {"train": "training set", "val": "validation set", "test": "test set"}
    return names.get(split, f"`{split}` split")


def _network(model: dict) -> str:
    """Return the name of the network with its options."""
    options = ", ".join(f"{name}={value}" for name, value in model["options"].items())
    return f"{model['name']}({options})" if options else model["name"]


def trained_with(card: dict) -> str:
    """Return a phrase with the pre-trained weights and teachers used in training, or "from scratch"."""
    start, teachers = card["training"].get("start"), card["training"].get("teachers", [])
    parts = []
    if start and not _on_one_data_set(card):
        parts.append(PUBLIC_WEIGHTS.get(start["weights"], f"weights pre-trained on {start['data']}"))
    if teachers:
        parts.append(f"distilled from {' and '.join(teachers)}")
    return "; ".join(parts) or "from scratch"


def training_sets(card: dict) -> str:
    """Return the names of the data sets used for training."""
    of = card["data"]
    return of.get("training_sets", of["name"]).replace("*", " x").replace("+", ", ")


def _on_one_data_set(card: dict) -> bool:
    """Return whether the initial weights were trained from scratch on the same data set."""
    start = card["training"].get("start", {})
    return "epochs" in start and start["data"] == card["data"]["name"]


def _origin(card: dict) -> str:
    """Return a phrase about the initial weights."""
    start = card["training"].get("start")
    if not start:
        return "trained from scratch"
    if "epochs" not in start:
        return f"initialized with {PUBLIC_WEIGHTS.get(start['weights'], start['data'])} and trained"
    spent = f"{start['epochs']} epochs, {start['minutes']} minutes"
    if _on_one_data_set(card):
        earlier = start.get("parts", 1)
        before = "another configuration" if earlier == 1 else "other configurations"
        parts = {2: "two", 3: "three"}.get(earlier + 1, earlier + 1)
        return f"trained from scratch in {parts} parts, first with {before} ({spent}), then as stated below,"
    return f"pre-trained from scratch on {start['data'].replace('+', ' and ')} ({spent}), then fine-tuned"


def _distillation(training: dict) -> str:
    """Return a sentence with the teachers used in training, or "" if there were none."""
    teachers = training.get("teachers")
    return f" Knowledge distillation from {' and '.join(teachers)}." if teachers else ""


def _selection(card: dict) -> str:
    """Return the sentences about the images on which the checkpoint was selected."""
    of = card["data"]
    measured = _set_name(of["measured_on"])
    if of["chosen_on"] is None:
        sentence = (
            f"The weights are those of the last epoch of a fixed schedule. The {measured} was not used to select a "
            "checkpoint."
        )
    elif of["chosen_on"] == of["measured_on"]:
        sentence = (
            f"The {_chosen(card)} selected on the {measured} itself, so expect slightly lower scores on new images."
        )
    else:
        sentence = (
            f"The {_chosen(card)} selected on the {_set_name(of['chosen_on'])}. The {measured} was not used for model "
            "selection."
        )
    selection = card.get("scores_selection")
    if selection:
        split = card["training"]["config"]["data"]["val_split"]
        sentence += (
            f" On the {_set_name(split)} ({selection['images']} images), mIoU is {selection['miou']:.4f} and Boundary "
            f"IoU is {selection['boundary_iou']:.4f}."
        )
    return sentence


def _kept_epoch(card: dict) -> str:
    training = card["training"]
    if card["data"]["chosen_on"] is None:
        return f"the last of {training['epochs']} epochs"
    metric = SCORE_NAMES[training["config"]["metric"]]
    return f"epoch {training['best_epoch']} of {training['epochs']}, which had the best {metric}"


def _repetition_lines(card: dict) -> list[str]:
    keys = card.get("in_training_too")
    if not keys:
        return []
    scores, of = card["scores_without_them"], card["data"]
    return [
        f"- Some images of the {_set_name(of['measured_on'])} are near-duplicates of images of the "
        f"{_set_name(of['trained_on'])}: {', '.join(keys)} (see `seglib data check {of['name']}{_list_option(card)}`). "
        f"Without them, mIoU is {scores['miou']:.4f} and Boundary IoU is {scores['boundary_iou']:.4f} "
        f"(`{_measuring(card)} --without {' '.join(keys)}`)."
    ]


def _measuring(card: dict) -> str:
    of = card["data"]
    return f"seglib evaluate {card['name']} --data {of['name']} --split {of['measured_on']}{_list_option(card)}"


def _list_option(card: dict) -> str:
    return "" if card["data"]["list"] == "default" else f" --list {card['data']['list']}"


def _chosen(card: dict) -> str:
    return "checkpoint and the input size were" if _resized(card) else "checkpoint was"


def _resized(card: dict) -> bool:
    """Return whether the input size of the released weights differs from that of the validation during training."""
    return card["training"]["curve"]["longest_side"] != card["input"]["longest_side"]


def _curve(card: dict, count: int = 8) -> str:
    """Return a phrase with the mIoU at up to `count` of the epochs in which the network was validated."""
    curve = card["training"]["curve"]
    last = len(curve["epochs"]) - 1
    chosen = sorted({round(i * last / (count - 1)) for i in range(count)})
    values = ", ".join(f"{curve['miou'][i]:.3f} ({curve['epochs'][i]})" for i in chosen)
    other = f", {_scaling(curve['longest_side']).partition(';')[0]}" if _resized(card) else ""
    split = curve.get("split", card["data"]["chosen_on"])
    return f"mIoU on the {_set_name(split)} during training{other} (epoch in parentheses): {values}"


def _scaling(longest_side: int) -> str:
    if not longest_side:
        return "original image size"
    return f"longer side resized to {longest_side} pixels; logits resized back to the original image size"


def _is_mirrored(card: dict) -> bool:
    return card["input"].get("flip", False)


def _mirroring(card: dict) -> str:
    return "; probabilities averaged with those of the horizontally flipped image" if _is_mirrored(card) else ""


def _format(value: float | None) -> str:
    return "absent" if value is None else f"{value:.4f}"


def table() -> str:
    """Return the released weights as two Markdown tables, grouped by how the evaluation images were used.

    Within each table, networks trained from scratch come first.
    """
    cards = sorted((weights.card(name) for name in weights.names()), key=lambda c: trained_with(c) != "from scratch")
    groups = {
        "validation images, not used to select the checkpoint": lambda of: of["chosen_on"] != of["measured_on"],
        "images that were also used to select the checkpoint": lambda of: of["chosen_on"] == of["measured_on"],
    }
    parts = []
    for title, belongs in groups.items():
        rows = [_table_row(card) for card in cards if belongs(card["data"])]
        if rows:
            parts.append("\n".join([f"Scores on {title}:\n", *TABLE_HEAD, *rows]))
    return "\n\n".join(parts)


TABLE_HEAD = (
    "| weights | network | trained with | trained on | images | mIoU | Boundary IoU | size |",
    "|---|---|---|---|---|---|---|---|",
)


def _table_row(card: dict) -> str:
    of, name, scores = card["data"], card["name"], card["scores"]
    cells = [
        f"[{name}](weights/{name}.md)",
        f"{_network(card['model'])}, {card['model']['parameters'] / 1e6:.1f}M",
        trained_with(card),
        training_sets(card) + ("" if of["list"] == "default" else f" (list {of['list']})"),
        str(of["images"]),
        f"{scores['miou']:.4f}",
        f"{scores['boundary_iou']:.4f}",
        f"{card['bytes'] / 1e6:.1f} MB",
    ]
    return f"| {' | '.join(cells)} |"


def write_table() -> None:
    """Write the table into the README, between its markers. Raise OSError if the markers are missing."""
    replace_between(README, BEGIN, END, table())


def write_cards() -> None:
    """Write every card as Markdown, from its JSON file."""
    for name in weights.names():
        files.write_text(weights.FOLDER / f"{name}.md", text(weights.card(name)))
