"""Compare complete training runs with equal budgets: several networks, losses, class weights and seeds.

The scores are written to comparison.json and comparison.md.
"""

import json
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from course import costs
from seglib import data, files, weights
from seglib.config import parse_config
from seglib.evaluation import evaluate
from seglib.inference import Predictor, pick_device

from . import results
from .measure import Skipped

REPOSITORY = Path(__file__).resolve().parents[1]
FILE = Path(__file__).with_name("comparison.json")
PAGE = Path(__file__).with_name("comparison.md")


@dataclass(frozen=True)
class Variant:
    """A training run: a configuration file and the options that override it."""

    config: str
    options: tuple[str, ...] = ()


STREETS, HORSES = "configs/comparison.yaml", "configs/unet-horses.yaml"
NETWORKS = ("hrnet_w18", "mini_hrnet_v1", "mini_hrnet_v2", "mini_hrnet_v3", "mini_hrnet")
REMEDIES = {
    **{f"mini_hrnet, {rule}": (f"--loss.class_weights={rule}",) for rule in ("sqrt_freq", "inv_freq")},
    "mini_hrnet, dice": ("--loss.terms={ce: 1.0, dice: 1.0}",),
    "mini_hrnet, lovasz": ("--loss.terms={ce: 1.0, lovasz: 1.0}",),
}
VARIANTS = {
    **{name: Variant(STREETS, (f"--model.name={name}",)) for name in reversed(NETWORKS)},
    **{name: Variant(STREETS, options) for name, options in REMEDIES.items()},
    **{f"horses, seed {seed}": Variant(HORSES, (f"--seed={seed}", "--eval_interval=96")) for seed in range(5)},
}
GROUPS = {
    "Networks": (
        NETWORKS,
        f"All runs use `{STREETS}`: the same images, crop sizes, learning rates and number of steps, and unweighted "
        "cross-entropy. Each network is trained with one seed. MACs are for an image of 360 x 480 pixels.",
    ),
    "Rare classes": (
        ("mini_hrnet", *REMEDIES),
        "The same network with different losses and class weights; the first row uses unweighted cross-entropy.",
    ),
    "Seeds": (
        tuple(f"horses, seed {seed}" for seed in range(5)),
        f"All runs use `{HORSES}`. The seed determines the initial weights, the order of images and the augmentation.",
    ),
}


def trained(name: str, runs: Path, root: Path) -> Path:
    """Train or resume the run `name`, and return its folder. Raise Skipped if the run fails."""
    variant, run = VARIANTS[name], runs / name.replace(", ", "-").replace(" ", "-")
    command = [
        sys.executable,
        "-m",
        "seglib",
        "train",
        variant.config,
        *variant.options,
        f"--output_dir={run.resolve()}",
        f"--data.root={root.resolve()}",
    ]
    if (run / "checkpoint.pt").exists():
        command.append("--resume")
    if subprocess.run(command, cwd=REPOSITORY).returncode:
        raise Skipped(f"{name}: the run failed, see above")
    return run


def measured(name: str, run: Path, root: Path, note: str = "") -> dict:
    """Return the costs of a network and its scores on the validation images at their original size.

    Args:
        name: Name of the run in VARIANTS.
        run: Folder of the run.
        root: Folder of the data sets.
        note: A remark that is added to the description of the machine.
    """
    model, notes = weights.load(str(run / "best.safetensors"))
    config = parse_config(json.dumps(notes["config"]))
    dataset = data.load(config.data.name, config.data.val_split, root, config.data.list_name, **config.data.options)
    height, width = dataset[0]["image"].shape[:2]
    macs = costs.macs(model, (height, width)) if config.data.name == "camvid" else None
    scores = evaluate(Predictor(model, **asdict(config.inference), device=pick_device()), dataset)
    history = json.loads((run / "history.json").read_text(encoding="utf-8"))
    return {
        "name": name,
        "command": " ".join(["seglib train", VARIANTS[name].config, *VARIANTS[name].options]),
        "parameters": costs.parameters(model),
        "macs": macs,
        "minutes": round(sum(entry["seconds"] for entry in history) / 60, 1),
        "epochs": len(history),
        **{key: scores[key] for key in ("miou", "boundary_iou", "pixel_accuracy")},
        "iou": {label: values["iou"] for label, values in scores["per_class"].items()},
        "machine": "; ".join(filter(None, (results.machine(), note))),
        "versions": results.versions(),
    }


def page(entries: list[dict]) -> str:
    """Return the comparison as Markdown, with a section for each group that has results."""
    by_name = {entry["name"]: entry for entry in entries}
    summary_text = (
        "Written by `python -m benchmarks compare`. The scores are for the validation images at their original size. "
        "The evaluated weights are the exponential moving average (EMA) after the last step."
    )
    lines = ["# Side by side at an equal budget", "", summary_text]
    for title, (names, summary_text) in GROUPS.items():
        rows = [by_name[name] for name in names if name in by_name]
        if not rows:
            continue
        lines += ["", f"## {title}", "", summary_text, "", *_summary(rows)]
        if title == "Seeds":
            lines += ["", *_spread(rows)]
        else:
            lines += ["", "IoU of each class:", "", *_classes(rows)]
    machines = "; ".join(dict.fromkeys(entry["machine"] for entry in entries))
    return "\n".join([*lines, "", f"Measured on: {machines}.", ""])


def _summary(rows: list[dict]) -> list[str]:
    lines = ["| run | parameters | MACs | training minutes | mIoU | Boundary IoU | pixel accuracy |", "|---" * 7 + "|"]
    for row in rows:
        work = f"{row['macs'] / 1e9:.1f} G" if row["macs"] else ""
        lines.append(
            f"| {row['name']} | {row['parameters'] / 1e6:.2f} M | {work} | {row['minutes']:.1f} | {row['miou']:.4f} | "
            f"{row['boundary_iou']:.4f} | {row['pixel_accuracy']:.4f} |"
        )
    return lines


def _classes(rows: list[dict]) -> list[str]:
    labels = list(rows[0]["iou"])
    lines = [f"| run | {' | '.join(labels)} |", "|---" * (len(labels) + 1) + "|"]
    for row in rows:
        cells = ("absent" if row["iou"][label] is None else f"{row['iou'][label]:.3f}" for label in labels)
        lines.append(f"| {row['name']} | {' | '.join(cells)} |")
    return lines


def _spread(rows: list[dict]) -> list[str]:
    """Return a sentence with the mean and the standard deviation over the runs."""
    if len(rows) < 2:
        return []
    parts = []
    for title, key in (("mIoU", "miou"), ("Boundary IoU", "boundary_iou")):
        values = [row[key] for row in rows]
        parts.append(f"{title} {statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}")
    return [f"Over {len(rows)} seeds: {', '.join(parts)} (mean and standard deviation)."]


def run(names: list[str], runs: Path, root: Path, note: str = "", file: Path = FILE, to: Path = PAGE) -> int:
    """Train and evaluate the runs that have no results in `file`, and write the results after each run.

    Args:
        names: Names of runs in VARIANTS.
        runs: Folder of the run folders.
        root: Folder of the data sets.
        note: A remark that is added to the description of the machine.
        file: The JSON file with the results.
        to: The Markdown page with the results.

    Returns:
        The number of runs that failed.
    """
    failed = 0
    for name in names:
        if any(entry["name"] == name for entry in results.read(file)):
            print(f"{name}: already in {file.name}", flush=True)
            continue
        try:
            entry = measured(name, trained(name, runs, root), root, note)
        except (Skipped, data.DataError) as reason:
            failed += 1
            print(reason, file=sys.stderr)
            continue
        results.write_entry(entry, list(VARIANTS), file)
        files.write_text(to, page(results.read(file)))
        print(f"{name}: mIoU {entry['miou']:.4f} in {entry['minutes']} minutes", flush=True)
    return failed
