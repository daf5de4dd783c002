"""LabelMe: one JSON file an image, with shapes in the order in which they are drawn."""

import base64
from functools import partial
from pathlib import Path

import numpy as np

from ..dataset import IGNORE
from ..images import DataError
from . import common

IGNORED = "__ignore__"
CIRCLE_POINTS = 64


def recognise(source: Path) -> bool:
    return bool(common.json_files(source, {"shapes", "imagePath"}, most=20))


def read(source: Path) -> common.Annotations:
    """Shapes are drawn in the order of the file; `__ignore__` is not scored, `_background_` is the background."""
    index, files = common.ImageIndex(source), common.json_files(source, {"shapes"})
    names = sorted({str(shape["label"]) for file in files for shape in common.read_json(file)["shapes"]} - {IGNORED})
    classes, labels = common.class_labels(names)
    labels[IGNORED] = IGNORE
    items = []
    for file in files:
        image = index.find(common.read_json(file).get("imagePath") or f"{file.stem}.jpg", file)
        items.append(common.Item(image, common.split_of(file, source), str(file), partial(_draw, file, image, labels)))
    return common.Annotations(classes, items, index.notices())


def _draw(file: Path, image: Path, labels: dict[str, int]) -> np.ndarray:
    content = common.read_json(file)
    size = (content["imageHeight"], content["imageWidth"]) if content.get("imageHeight") else None
    size, turn = common.annotated_size(image, size, str(file))
    shapes = [
        _shape(entry, labels[str(entry["label"])], size, f"{file}: shape {number} ('{entry['label']}')")
        for number, entry in enumerate(content["shapes"], 1)
    ]
    return common.draw_shapes(shapes, size, turn)


def _shape(entry: dict, label: int, size: tuple[int, int], where: str) -> common.Shape:
    kind, points = entry.get("shape_type") or "polygon", entry["points"]
    if kind == "rectangle" and len(points) == 2:
        points = common.corners(points)
    elif kind == "circle":
        (x, y), edge = points
        radius, angles = np.hypot(edge[0] - x, edge[1] - y), np.linspace(0, 2 * np.pi, CIRCLE_POINTS, endpoint=False)
        points = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], 1)
    elif kind == "mask":
        origin = round(points[0][0]), round(points[0][1])
        return common.bitmap_shape(label, base64.b64decode(entry["mask"]), origin, size, where)
    elif kind not in ("polygon", "rectangle"):
        raise DataError(f"{where}: a {kind} covers no area; draw a polygon, or remove it.")
    return common.polygon_shape(label, points, size, where)
