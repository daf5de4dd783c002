"""Supervisely: meta.json, and in each data set ann/IMAGE.json beside img/IMAGE."""

import base64
import zlib
from functools import partial
from pathlib import Path

import numpy as np

from ..images import DataError
from . import common

MAX_BITMAP_BYTES = 1 << 28


def recognise(source: Path) -> bool:
    return (source / "meta.json").is_file() and any(source.glob("**/ann/*.json"))


def read(source: Path) -> common.Annotations:
    """Objects are drawn in the order of the file, as the tool shows them."""
    index, items = common.ImageIndex(source), []
    classes, labels = common.class_labels(entry["title"] for entry in common.read_json(source / "meta.json")["classes"])
    for file in sorted(source.glob("**/ann/*.json")):
        image = index.find(f"{file.parent.parent.name}/img/{file.stem}", file.parent.parent / "img" / file.stem)
        items.append(
            common.Item(image, common.split_of(file.parent, source), str(file), partial(_draw, file, image, labels))
        )
    return common.Annotations(classes, items, index.notices())


def _draw(file: Path, image: Path, labels: dict[str, int]) -> np.ndarray:
    content = common.read_json(file)
    size, turn = common.annotated_size(image, (content["size"]["height"], content["size"]["width"]), str(file))
    shapes = []
    for number, entry in enumerate(content["objects"], 1):
        where = f"{file}: object {number} ('{entry['classTitle']}')"
        if entry["classTitle"] not in labels:
            raise DataError(f"{where}: meta.json has no such class; export the project again.")
        shapes.append(_shape(entry, labels[entry["classTitle"]], size, where))
    return common.draw_shapes(shapes, size, turn)


def _shape(entry: dict, label: int, size: tuple[int, int], where: str) -> common.Shape:
    kind = entry.get("geometryType") or ("bitmap" if entry.get("bitmap") else "polygon")
    if kind == "bitmap":
        packed = base64.b64decode(entry["bitmap"]["data"])
        png = zlib.decompressobj().decompress(packed, MAX_BITMAP_BYTES)
        return common.bitmap_shape(label, png, entry["bitmap"]["origin"], size, where)
    points = entry["points"]["exterior"]
    if kind == "rectangle":
        points = common.corners(points)
    elif kind != "polygon":
        raise DataError(f"{where}: a {kind} covers no area; draw a polygon or bitmap, or remove it.")
    return common.polygon_shape(label, points, size, where, entry["points"].get("interior") or ())
