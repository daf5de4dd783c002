"""COCO instances: one JSON file a split, with polygons, run lengths and crowds."""

from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np

from ..images import DataError
from . import common

KEYS = {"images", "annotations", "categories"}


def recognise(source: Path) -> bool:
    return bool(common.json_files(source, KEYS, most=20))


def read(source: Path) -> common.Annotations:
    """Crowds first, then objects from the largest to the smallest: a small object on a large one stays visible."""
    index, files, items = common.ImageIndex(source), common.json_files(source, KEYS), []
    classes, label_of = common.class_labels(name for file in files for name in _category_names(file).values())
    for file in files:
        content = common.read_json(file)
        names, objects = _category_names(file), defaultdict(list)
        for entry in content["annotations"]:
            if "segments_info" in entry:
                raise DataError(f"{file}: panoptic annotations; export instances, or masks as images.")
            objects[entry["image_id"]].append(entry)
        images = {entry["id"]: entry for entry in content["images"]}
        unknown = next((key for key in objects if key not in images), None)
        if unknown is not None:
            raise DataError(
                f"{file}: annotation {objects[unknown][0].get('id')} is of image {unknown}, not in the list."
            )
        labels = {key: label_of[name] for key, name in names.items()}
        for key, entry in images.items():
            image, where = index.find(entry["file_name"], file), f"{file}: image {entry['file_name']}"
            size = (entry["height"], entry["width"]) if entry.get("height") and entry.get("width") else None
            draw = partial(_draw, image, size, objects[key], labels, f"{file}")
            items.append(common.Item(image, common.split_of(file, source), where, draw))
    return common.Annotations(classes, items, index.notices())


def _category_names(file: Path) -> dict[int, str]:
    """Return {id: name}; a category that only groups the others, as some tools add, is no class."""
    content = common.read_json(file)
    groups = {entry.get("supercategory") for entry in content["categories"]}
    used = {entry["category_id"] for entry in content["annotations"]}
    entries = [entry for entry in content["categories"] if entry["id"] in used or entry["name"] not in groups]
    return {entry["id"]: str(entry["name"]) for entry in sorted(entries, key=lambda entry: entry["id"])}


def _draw(image: Path, size, objects: list[dict], labels: dict[int, int], file: str) -> np.ndarray:
    size, turn = common.annotated_size(image, size, f"{file}: image {image.name}")
    crowds, others = [], []
    for entry in objects:
        where = f"{file}: annotation {entry.get('id')} of {image.name}"
        if entry["category_id"] not in labels:
            raise DataError(f"{where}: category {entry['category_id']} is not in the list of categories.")
        shape = common.Shape(labels[entry["category_id"]], _code(entry.get("segmentation"), size, where))
        (crowds if entry.get("iscrowd") else others).append(shape)
    if not others:
        return common.draw_shapes(crowds, size, turn)
    drawn = common.draw_shapes(others, size, turn, largest_first=True)
    covered = common.draw_shapes([common.Shape(1, shape.code) for shape in others], size, turn)
    return np.where(covered > 0, drawn, common.draw_shapes(crowds, size, turn))


def _code(segmentation: object, size: tuple[int, int], where: str) -> dict:
    if not segmentation:
        raise DataError(f"{where}: has a box but no segmentation; draw its outline, or remove it.")
    mask = common.codec()
    if isinstance(segmentation, list):
        if any(len(ring) < 6 or len(ring) % 2 or not np.isfinite(ring).all() for ring in segmentation):
            raise DataError(f"{where}: a polygon needs three points or more as x, y, x, y, ...; correct it.")
        return mask.merge(mask.frPyObjects(segmentation, *size))
    if tuple(segmentation["size"]) != size:
        raise DataError(f"{where}: run lengths of size {segmentation['size']}, but the image has {list(size)}.")
    counts = segmentation["counts"]
    if isinstance(counts, list):
        if sum(counts) != size[0] * size[1] or min(counts, default=0) < 0:
            raise DataError(f"{where}: the run lengths do not add up to {size[0] * size[1]} pixels; export it again.")
        return mask.frPyObjects(segmentation, *size)
    return {"size": list(size), "counts": counts.encode("ascii")}
