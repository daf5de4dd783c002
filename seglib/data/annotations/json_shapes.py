"""LabelMe and Supervisely: one JSON file per image, with shapes in the order in which they are drawn."""

import base64
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ..dataset import IGNORE
from ..images import DataError
from . import common

IGNORED = "__ignore__"
CIRCLE_POINTS = 64
MAX_BITMAP_BYTES = 1 << 28


def is_labelme(source: Path) -> bool:
    return bool(common.json_files(source, {"shapes", "imagePath"}, most=20))


def read_labelme(source: Path) -> common.Annotations:
    """`__ignore__` is not scored, `_background_` is the background."""
    files = common.json_files(source, {"shapes"})
    names = sorted({str(shape["label"]) for file in files for shape in common.read_json(file)["shapes"]} - {IGNORED})
    images = [(file, common.read_json(file).get("imagePath") or f"{file.stem}.jpg", file) for file in files]
    return _annotations(source, names, images, common.read_json)


def is_supervisely(source: Path) -> bool:
    return (source / "meta.json").is_file() and any(source.glob("**/ann/*.json"))


def read_supervisely(source: Path) -> common.Annotations:
    """meta.json names the classes, and each data set has ann/IMAGE.json beside img/IMAGE."""
    names = [entry["title"] for entry in common.read_json(source / "meta.json")["classes"]]
    files = sorted(source.glob("**/ann/*.json"))
    images = [(file, f"{file.parts[-3]}/img/{file.stem}", file.parent.parent / "img" / file.stem) for file in files]
    return _annotations(source, names, images, _read_as_labelme)


def _read_as_labelme(file: Path) -> dict:
    """Read a file of Supervisely into the entries of LabelMe."""
    content = common.read_json(file)
    shapes = []
    for entry in content["objects"]:
        bitmap, points = entry.get("bitmap"), entry.get("points") or {}
        kind = entry.get("geometryType") or ("bitmap" if bitmap else "polygon")
        shape = {"label": entry["classTitle"], "shape_type": kind, "points": points.get("exterior")}
        if kind == "bitmap":
            packed = base64.b64decode(bitmap["data"])
            png = zlib.decompressobj().decompress(packed, MAX_BITMAP_BYTES)
            shape |= {"shape_type": "mask", "points": [bitmap["origin"]], "mask": base64.b64encode(png)}
        shapes.append(shape | {"holes": points.get("interior") or ()})
    size = content["size"]
    return {"imageHeight": size["height"], "imageWidth": size["width"], "shapes": shapes}


def _annotations(
    source: Path, names: Sequence[str], images: Sequence[tuple[Path, str, Path]], read: Callable[[Path], dict]
) -> common.Annotations:
    """Return the annotations of (JSON file, name of its image, place near it)."""
    index, items = common.ImageIndex(source), []
    classes, labels = common.class_labels(names)
    labels[IGNORED] = IGNORE
    for file, name, near in images:
        image, place = index.find(name, near), file.parent if file.parent.name == "ann" else file
        draw = partial(_draw, file, image, labels, read)
        items.append(common.Item(image, common.split_of(place, source), str(file), draw))
    return common.Annotations(classes, items, index.notices())


def _draw(file: Path, image: Path, labels: dict[str, int], read: Callable[[Path], dict]) -> np.ndarray:
    content = read(file)
    size = (content["imageHeight"], content["imageWidth"]) if content.get("imageHeight") else None
    return common.draw_item(image, size, str(file), partial(_shapes, file, labels, content["shapes"]))


def _shapes(file: Path, labels: dict[str, int], entries: list[dict], size: tuple[int, int]) -> list[common.Shape]:
    shapes = []
    for number, entry in enumerate(entries, 1):
        where = f"{file}: object {number} ('{entry['label']}')"
        kind, points = entry.get("shape_type") or "polygon", entry["points"]
        if str(entry["label"]) not in labels:
            raise DataError(f"{where}: meta.json has no such class; export the project again.")
        label = labels[str(entry["label"])]
        if kind == "mask":
            shapes.append(common.bitmap_shape(label, base64.b64decode(entry["mask"]), points[0], size, where))
            continue
        if kind == "rectangle" and len(points) == 2:
            (left, top), (right, bottom) = points
            points = [[left, top], [right, top], [right, bottom], [left, bottom]]
        elif kind == "circle":
            (x, y), edge = points
            angles = np.linspace(0, 2 * np.pi, CIRCLE_POINTS, endpoint=False)
            points = (x, y) + np.hypot(edge[0] - x, edge[1] - y) * np.stack([np.cos(angles), np.sin(angles)], 1)
        elif kind not in ("polygon", "rectangle"):
            raise DataError(f"{where}: a {kind} covers no area; draw a polygon, or remove it.")
        shapes.append(common.polygon_shape(label, [points], size, where, entry.get("holes") or ()))
    return shapes
