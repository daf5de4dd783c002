"""LabelMe: one JSON file an image, with shapes in the order in which they are drawn."""

import base64
import io
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from ..dataset import IGNORE
from ..images import MAX_PIXELS, DataError
from .common import (
    Annotations,
    ImageIndex,
    Item,
    Shape,
    annotated_size,
    bitmap_shape,
    class_labels,
    draw_shapes,
    json_files,
    polygon_shape,
    read_json,
    split_of,
)

IGNORED = "__ignore__"
CIRCLE_POINTS = 64


def recognise(source: Path) -> bool:
    return bool(json_files(source, {"shapes", "imagePath"}, most=20))


def read(source: Path) -> Annotations:
    """Shapes are drawn in the order of the file; `__ignore__` is not scored, `_background_` is the background."""
    index, files = ImageIndex(source), json_files(source, {"shapes"})
    names = sorted({str(shape["label"]) for file in files for shape in read_json(file)["shapes"]} - {IGNORED})
    classes, labels = class_labels(names)
    labels[IGNORED] = IGNORE
    items = []
    for file in files:
        image = index.find(read_json(file).get("imagePath") or f"{file.stem}.jpg", file)
        items.append(Item(image, split_of(file, source), str(file), partial(_draw, file, image, labels)))
    return Annotations(classes, items, index.notices())


def _draw(file: Path, image: Path, labels: dict[str, int]) -> np.ndarray:
    content = read_json(file)
    size = (content["imageHeight"], content["imageWidth"]) if content.get("imageHeight") else None
    size, turn = annotated_size(image, size, str(file))
    shapes = [
        _shape(entry, labels[str(entry["label"])], size, f"{file}: shape {number} ('{entry['label']}')")
        for number, entry in enumerate(content["shapes"], 1)
    ]
    return draw_shapes(shapes, size, turn)


def _shape(entry: dict, label: int, size: tuple[int, int], where: str) -> Shape:
    kind, points = entry.get("shape_type") or "polygon", entry["points"]
    if kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        points = [[left, top], [right, top], [right, bottom], [left, bottom]]
    elif kind == "circle":
        (x, y), edge = points
        radius, angles = np.hypot(edge[0] - x, edge[1] - y), np.linspace(0, 2 * np.pi, CIRCLE_POINTS, endpoint=False)
        points = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], 1)
    elif kind == "mask":
        with Image.open(io.BytesIO(base64.b64decode(entry["mask"]))) as bitmap:
            if bitmap.width * bitmap.height > MAX_PIXELS:
                raise DataError(f"{where}: a bitmap of {bitmap.width}x{bitmap.height} pixels; correct it.")
            return bitmap_shape(label, np.asarray(bitmap), round(points[0][0]), round(points[0][1]), size, where)
    elif kind not in ("polygon", "rectangle"):
        raise DataError(f"{where}: a {kind} covers no area; draw a polygon, or remove it.")
    return polygon_shape(label, points, size, where)
