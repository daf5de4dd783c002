"""Write the table in docs/licences.md with the scores of human segmentation networks on groups of validation images."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from seglib import data, metrics, weights
from seglib.files import write_text
from seglib.inference import Predictor

PAGE = Path(__file__).resolve().parents[1] / "docs" / "licences.md"
BEGIN, END = "<!-- scores by scene -->\n", "<!-- end of scores by scene -->"
SMALLEST_FIGURE = 0.05  # minimum fraction of the foreground for a connected region to count as a figure
PARTS = ("low", "middle", "high")


def write(names: Sequence[str], root: Path | str) -> str:
    """Evaluate the networks on the images in `root`, write the table into docs/licences.md, and return the table."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    text = table(names, root)
    write_text(PAGE, f"{before}{BEGIN}\n{text}\n\n{END}{rest.partition(END)[2]}")
    return text


def table(names: Sequence[str], root: Path | str) -> str:
    """Return a Markdown table with the mean foreground IoU per image for each network and group of images."""
    dataset = data.load("humans", "val", root)
    items = [dataset[index] for index in range(len(dataset))]
    columns = {name: _image_scores(name, items) for name in names}
    lines = ["| images | number | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(names)]
    for group, members in group_by_scene([describe_scene(**item) for item in items]).items():
        means = " | ".join(f"{np.mean([scores[i] for i in members]):.3f}" for scores in columns.values())
        lines.append(f"| {group} | {len(members)} | {means} |")
    return "\n".join(lines)


def _image_scores(name: str, items: Sequence[dict]) -> list[float]:
    model, notes = weights.load(name)
    predictor = Predictor(model, **notes["config"]["inference"])
    return [metrics.iou(item["mask"], predictor.labels(item["image"]), 2)[1] for item in items]


def describe_scene(image: np.ndarray, mask: np.ndarray, **_) -> dict[str, float]:
    """Return the properties by which images are grouped, and the number of separate people."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(float)
    figure = (mask == 1).astype(np.uint8)
    window = np.ones([2 * metrics.boundary_width(*mask.shape) + 1] * 2, np.uint8)
    outside = (cv2.dilate(figure, window) == 1) & (mask == 0)
    inside = (cv2.erode(figure, window) == 0) & (mask == 1)
    contrast = np.linalg.norm(lab[outside].mean(0) - lab[inside].mean(0)) if outside.any() and inside.any() else 0.0
    areas = cv2.connectedComponentsWithStats(figure)[2][1:, cv2.CC_STAT_AREA]
    return {
        "size of the people in the image": figure.mean(),
        "brightness of the image": lab[..., 0].mean(),
        "contrast at the outline": float(contrast),
        "figures": int((areas >= SMALLEST_FIGURE * figure.sum()).sum()),
    }


def group_by_scene(scenes: Sequence[dict[str, float]]) -> dict[str, list[int]]:
    """Group images into thirds by each property, and by whether they show several figures. Return the indices."""
    groups = {}
    for key in list(scenes[0])[:-1]:
        order = np.argsort([scene[key] for scene in scenes], kind="stable")
        for part, members in zip(PARTS, np.array_split(order, len(PARTS)), strict=True):
            groups[f"{key}: {part}"] = members.tolist()
    several = [scene["figures"] > 1 for scene in scenes]
    for name, wanted in (("one figure", False), ("several separate figures", True)):
        groups[name] = [index for index, value in enumerate(several) if value == wanted]
    return {"all": list(range(len(scenes))), **{name: members for name, members in groups.items() if members}}
