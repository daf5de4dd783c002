"""Read COCO, LabelMe, Supervisely and YOLO annotations.

These formats describe objects by polygons, run-length encodings or bitmaps.
"""

import base64
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from seglib.data.dataset import IGNORE
from seglib.data.images import DataError
from seglib.files import read_yaml

from . import common

COCO_KEYS = {"images", "annotations", "categories"}
CIRCLE_POINTS = 64
MAX_BITMAP_BYTES = 1 << 28
SLACK = 0.01  # a YOLO coordinate may be outside 0..1 by this much, because of rounding


def read_coco(source: Path) -> common.Annotations:
    """Read COCO annotations. Crowds are drawn first, then objects from the largest to the smallest.

    In this order, small objects in front of large objects remain visible.
    """
    index, files, items = common.ImageIndex(source), common.json_files(source, COCO_KEYS), []
    classes, label_of = common.class_labels(name for file in files for name in _category_names(file).values())
    for file in files:
        content, objects = common.read_json(file), defaultdict(list)
        labels = {key: label_of[name] for key, name in _category_names(file).items()}
        images = {entry["id"]: entry for entry in content["images"]}
        for entry in content["annotations"]:
            where, key = f"{file}: annotation {entry.get('id')}", entry["image_id"]
            if "segments_info" in entry:
                raise DataError(f"{file}: panoptic annotations; export instances, or masks as images.")
            if key not in images:
                raise DataError(f"{where} is of image {key}, not in the list.")
            objects[key].append((f"{where} of {images[key]['file_name']}", entry))
        for key, entry in images.items():
            image, where = index.find(entry["file_name"], file), f"{file}: image {entry['file_name']}"
            size = (entry["height"], entry["width"]) if entry.get("height") and entry.get("width") else None
            draw = partial(common.draw_item, image, where, size, objects[key], partial(_coco_shape, labels), True)
            items.append(common.Item(image, common.split_of(file, source), where, draw))
    return common.Annotations(classes, items, index.notices())


def _category_names(file: Path) -> dict[int, str]:
    """Return {id: name}, without the categories that some tools add only to group other categories."""
    content = common.read_json(file)
    groups = {entry.get("supercategory") for entry in content["categories"]}
    used = {entry["category_id"] for entry in content["annotations"]}
    entries = [entry for entry in content["categories"] if entry["id"] in used or entry["name"] not in groups]
    return {entry["id"]: str(entry["name"]) for entry in sorted(entries, key=lambda entry: entry["id"])}


def _coco_shape(labels: Mapping[int, int], where: str, entry: dict, size: common.Size) -> common.Shape:
    label, segmentation = labels.get(entry["category_id"]), entry.get("segmentation")
    if label is None:
        raise DataError(f"{where}: category {entry['category_id']} is not in the list of categories.")
    if not segmentation:
        raise DataError(f"{where}: has a box but no segmentation; draw its outline, or remove it.")
    if isinstance(segmentation, list):
        return common.polygon_shape(label, segmentation, size, where)._replace(is_crowd=bool(entry.get("iscrowd")))
    if tuple(segmentation["size"]) != size:
        raise DataError(f"{where}: run lengths of size {segmentation['size']}, but the image has {list(size)}.")
    counts = segmentation["counts"]
    if isinstance(counts, str):
        code = {"size": list(size), "counts": counts.encode("ascii")}
    elif sum(counts) != size[0] * size[1] or min(counts, default=0) < 0:
        raise DataError(f"{where}: the run lengths do not add up to {size[0] * size[1]} pixels; export it again.")
    else:
        code = common.codec().frPyObjects(segmentation, *size)
    return common.Shape(label, code, bool(entry.get("iscrowd")))


def read_labelme(source: Path) -> common.Annotations:
    """Read LabelMe files. Pixels labeled `__ignore__` are ignored, and `_background_` is the background."""
    files = common.json_files(source, {"shapes"})
    names = sorted(
        {str(shape["label"]) for file in files for shape in common.read_json(file)["shapes"]} - {common.IGNORED}
    )
    images = [(file, common.read_json(file).get("imagePath") or f"{file.stem}.jpg", file) for file in files]
    return _one_file_per_image(source, sorted(names), images, common.read_json)


def read_supervisely(source: Path) -> common.Annotations:
    """Read a Supervisely project. meta.json lists the classes; ann/IMAGE.json contains the annotations of img/IMAGE."""
    names = [entry["title"] for entry in common.read_json(source / "meta.json")["classes"]]
    files = common.list_files(source, "**/ann/*.json")
    images = [(file, f"{file.parts[-3]}/img/{file.stem}", file.parent.parent / "img" / file.stem) for file in files]
    return _one_file_per_image(source, names, images, _read_as_labelme)


def _read_as_labelme(file: Path) -> dict:
    """Read a Supervisely file and return its content in the format of LabelMe."""
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


def _one_file_per_image(
    source: Path, names: Sequence[str], images: Iterable[tuple[Path, str, Path]], read: Callable[[Path], dict]
) -> common.Annotations:
    """Return the annotations of a format with one JSON file per image.

    `images` yields the JSON file, the name of its image, and a path close to the image. `read` returns the content of a
    JSON file in the format of LabelMe.
    """
    index, items = common.ImageIndex(source), []
    classes, labels = common.class_labels(names)
    labels[common.IGNORED] = IGNORE
    for file, name, near in images:
        image, place = index.find(name, near), file.parent / "any"  # folders name a split, but not the name of a photo
        items.append(
            common.Item(
                image, common.split_of(place, source), str(file), partial(_draw_file, file, image, labels, read)
            )
        )
    return common.Annotations(classes, items, index.notices())


def _draw_file(file: Path, image: Path, labels: Mapping[str, int], read: Callable[[Path], dict]) -> np.ndarray:
    content = read(file)
    size = (content["imageHeight"], content["imageWidth"]) if content.get("imageHeight") else None
    objects = [(f"{file}: object {i} ('{entry['label']}')", entry) for i, entry in enumerate(content["shapes"], 1)]
    return common.draw_item(image, str(file), size, objects, partial(_labelme_shape, labels))


def _labelme_shape(labels: Mapping[str, int], where: str, entry: dict, size: common.Size) -> common.Shape:
    label, points = labels.get(str(entry["label"])), entry["points"]
    kind = entry.get("shape_type") or "polygon"
    if label is None:
        raise DataError(f"{where}: meta.json has no such class; export the project again.")
    if kind == "mask":
        return common.bitmap_shape(label, base64.b64decode(entry["mask"]), points[0], size, where)
    if kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        points = [[left, top], [right, top], [right, bottom], [left, bottom]]
    elif kind == "circle":
        (x, y), edge = points
        angles = np.linspace(0, 2 * np.pi, CIRCLE_POINTS, endpoint=False)
        points = (x, y) + np.hypot(edge[0] - x, edge[1] - y) * np.stack([np.cos(angles), np.sin(angles)], 1)
    elif kind not in ("polygon", "rectangle"):
        raise DataError(f"{where}: a {kind} covers no area; draw a polygon, or remove it.")
    return common.polygon_shape(label, [points], size, where, entry.get("holes") or ())


def read_yolo(source: Path) -> common.Annotations:
    """Read YOLO polygons, which are drawn from largest to smallest. Images without a text file are all background."""
    names = yolo_names(source)
    if not names:
        raise DataError(f"{source}: no YAML file with 'names:' for the classes; add data.yaml.")
    classes, label_of = common.class_labels(names.values())
    labels = {int(key): label_of[str(name)] for key, name in names.items()}
    index, items, empty = common.ImageIndex(source), [], 0
    for image in (file for file in index.files if "images" in file.parts):
        text = Path("/labels/".join(image.absolute().as_posix().rsplit("/images/", 1))).with_suffix(".txt")
        empty += not text.is_file()
        index.used.add(image)
        draw = partial(common.draw_item, image, str(text), None, _yolo_lines(text), partial(_yolo_shape, labels), True)
        items.append(common.Item(image, common.split_of(image.parent / "x", source), str(text), draw))
    notices = [f"{empty} images have no text file and were taken as background only"] if empty else []
    return common.Annotations(classes, items, notices + index.notices())


def yolo_names(source: Path) -> dict:
    """Return {class index: class name} from the first YAML file that has `names`, or an empty dict if there is none."""
    for file in sorted([*source.glob("*.y*ml"), *source.glob("*/*.y*ml")]):
        try:
            content = read_yaml(file.read_text(encoding="utf-8"))
        except ValueError:
            continue
        names = content.get("names") if isinstance(content, dict) else None
        if isinstance(names, list | dict):
            return dict(enumerate(names)) if isinstance(names, list) else names
    return {}


def _yolo_lines(text: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the location of each line and its values. The file is read when the first line is requested."""
    lines = text.read_text(encoding="utf-8").splitlines() if text.is_file() else []
    yield from ((f"{text}, line {number}", line.split()) for number, line in enumerate(lines, 1) if line.strip())


def _yolo_shape(labels: Mapping[int, int], where: str, values: Sequence[str], size: common.Size) -> common.Shape:
    if len(values) == 5:
        raise DataError(f"{where}: five numbers are a box, not a polygon; export segmentation polygons.")
    try:
        key, points = int(values[0]), np.array(values[1:], np.float64)
    except ValueError:
        raise DataError(f"{where}: not a class number and coordinates; correct it.") from None
    if key not in labels:
        raise DataError(f"{where}: class {key}, but the names are numbered {', '.join(map(str, labels))}.")
    if not ((points >= -SLACK) & (points <= 1 + SLACK)).all():
        raise DataError(f"{where}: coordinates must be fractions of the width and height, 0 to 1; correct it.")
    points[::2], points[1::2] = points[::2].clip(0, 1) * size[1], points[1::2].clip(0, 1) * size[0]
    return common.polygon_shape(labels[key], [points], size, where)
