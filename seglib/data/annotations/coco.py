"""COCO instances: one JSON file per split, with polygons, run lengths and crowds."""

from collections import defaultdict
from functools import partial
from pathlib import Path

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
        content, objects = common.read_json(file), defaultdict(list)
        labels = {key: label_of[name] for key, name in _category_names(file).items()}
        images = {entry["id"]: entry for entry in content["images"]}
        for entry in content["annotations"]:
            if "segments_info" in entry:
                raise DataError(f"{file}: panoptic annotations; export instances, or masks as images.")
            if entry["image_id"] not in images:
                raise DataError(
                    f"{file}: annotation {entry.get('id')} is of image {entry['image_id']}, not in the list."
                )
            objects[entry["image_id"]].append(entry)
        for key, entry in images.items():
            image, where = index.find(entry["file_name"], file), f"{file}: image {entry['file_name']}"
            size = (entry["height"], entry["width"]) if entry.get("height") and entry.get("width") else None
            shapes = partial(_shapes, objects[key], labels, f"{file}: annotation {{}} of {image.name}")
            draw = partial(common.draw_item, image, size, where, shapes, largest_first=True)
            items.append(common.Item(image, common.split_of(file, source), where, draw))
    return common.Annotations(classes, items, index.notices())


def _category_names(file: Path) -> dict[int, str]:
    """Return {id: name}; a category that only groups the others, as some tools add, is no class."""
    content = common.read_json(file)
    groups = {entry.get("supercategory") for entry in content["categories"]}
    used = {entry["category_id"] for entry in content["annotations"]}
    entries = [entry for entry in content["categories"] if entry["id"] in used or entry["name"] not in groups]
    return {entry["id"]: str(entry["name"]) for entry in sorted(entries, key=lambda entry: entry["id"])}


def _shapes(objects: list[dict], labels: dict[int, int], place: str, size: tuple[int, int]) -> list[common.Shape]:
    shapes = []
    for entry in objects:
        where = place.format(entry.get("id"))
        if entry["category_id"] not in labels:
            raise DataError(f"{where}: category {entry['category_id']} is not in the list of categories.")
        shape = _shape(labels[entry["category_id"]], entry.get("segmentation"), size, where)
        shapes.append(shape._replace(is_crowd=bool(entry.get("iscrowd"))))
    return shapes


def _shape(label: int, segmentation: object, size: tuple[int, int], where: str) -> common.Shape:
    if not segmentation:
        raise DataError(f"{where}: has a box but no segmentation; draw its outline, or remove it.")
    if isinstance(segmentation, list):
        return common.polygon_shape(label, segmentation, size, where)
    if tuple(segmentation["size"]) != size:
        raise DataError(f"{where}: run lengths of size {segmentation['size']}, but the image has {list(size)}.")
    counts = segmentation["counts"]
    if isinstance(counts, str):
        return common.Shape(label, {"size": list(size), "counts": counts.encode("ascii")})
    if sum(counts) != size[0] * size[1] or min(counts, default=0) < 0:
        raise DataError(f"{where}: the run lengths do not add up to {size[0] * size[1]} pixels; export it again.")
    return common.Shape(label, common.codec().frPyObjects(segmentation, *size))
