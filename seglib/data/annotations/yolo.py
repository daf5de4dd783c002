"""YOLO segmentation: a YAML file with names, and for each image a text file with one polygon per line."""

from functools import partial
from pathlib import Path

import numpy as np

from ...files import read_yaml
from ..images import DataError
from . import common

SLACK = 0.01  # by which a corner may be outside of the image, as rounding puts some


def recognise(source: Path) -> bool:
    return _names_file(source) is not None and any(source.glob("**/labels/**/*.txt"))


def read(source: Path) -> common.Annotations:
    """Polygons are drawn from the largest to the smallest. An image without a text file shows background only."""
    file = _names_file(source)
    if file is None:
        raise DataError(f"{source}: no YAML file with 'names:' for the classes; add data.yaml.")
    names = read_yaml(file.read_text(encoding="utf-8"))["names"]
    names = dict(enumerate(names)) if isinstance(names, list) else {int(key): name for key, name in names.items()}
    classes, label_of = common.class_labels(names.values())
    labels = {key: label_of[str(name)] for key, name in names.items()}
    index, items, empty = common.ImageIndex(source), [], 0
    for image in (file for file in index.files if "images" in file.parts):
        text = Path("/labels/".join(image.as_posix().rsplit("/images/", 1))).with_suffix(".txt")
        empty += not text.is_file()
        index.used.add(image)
        draw = partial(common.draw_item, image, None, str(text), partial(_shapes, text, labels), largest_first=True)
        items.append(common.Item(image, common.split_of(image.parent / "x", source), str(text), draw))
    notices = [f"{empty} images have no text file and were taken as background only"] if empty else []
    return common.Annotations(classes, items, notices + index.notices())


def _names_file(source: Path) -> Path | None:
    for file in sorted([*source.glob("*.y*ml"), *source.glob("*/*.y*ml")]):
        try:
            content = read_yaml(file.read_text(encoding="utf-8"))
        except ValueError:
            continue
        if isinstance(content, dict) and isinstance(content.get("names"), list | dict):
            return file
    return None


def _shapes(text: Path, labels: dict[int, int], size: tuple[int, int]) -> list[common.Shape]:
    lines = text.read_text(encoding="utf-8").splitlines() if text.is_file() else []
    shapes = []
    for number, line in enumerate(lines, 1):
        values, where = line.split(), f"{text}, line {number}"
        if len(values) == 5:
            raise DataError(f"{where}: five numbers are a box, not a polygon; export segmentation polygons.")
        if not values:
            continue
        try:
            key, points = int(values[0]), np.array(values[1:], np.float64)
        except ValueError:
            raise DataError(f"{where}: not a class number and coordinates; correct it.") from None
        if key not in labels:
            raise DataError(f"{where}: class {key}, but the names are numbered {', '.join(map(str, labels))}.")
        if not ((points >= -SLACK) & (points <= 1 + SLACK)).all():
            raise DataError(f"{where}: coordinates must be shares of width and height, 0 to 1; correct it.")
        points[::2], points[1::2] = points[::2].clip(0, 1) * size[1], points[1::2].clip(0, 1) * size[0]
        shapes.append(common.polygon_shape(labels[key], [points], size, where))
    return shapes
