"""Convert masks to polygons, and write them in the COCO and LabelMe formats for annotation tools."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from ..files import write_text
from .errors import PredictionError
from .result_files import MADE_BY

MIN_AREA = 1e-5  # regions and holes smaller than this fraction of the image are left out
TOLERANCE = 1.0  # maximum distance between a polygon and the edge of its region, in pixels

Polygon = tuple[int, list[list[float]]]  # class index, corners [x, y] in pixels from the upper left


def find_polygons(labels: np.ndarray, background: int | None = None) -> list[Polygon]:
    """Return a polygon for each connected region of a label map (H, W) uint8, except for the class `background`.

    Each hole is connected to the outline by a bridge of zero width, so that every polygon is a single ring. Tiny
    regions and holes are left out.
    """
    polygons = []
    for label in np.flatnonzero(np.bincount(labels.ravel(), minlength=256)):
        if label == background:
            continue
        _, components, stats, _ = cv2.connectedComponentsWithStats((labels == label).astype(np.uint8))
        for number, (left, top, width, height, area) in enumerate(stats[1:], 1):
            if area >= MIN_AREA * labels.size:
                region = components[top : top + height, left : left + width] == number
                ring = _outline(region, MIN_AREA * labels.size)
                if len(ring) >= 3:
                    polygons.append((int(label), (ring + (left, top)).round(2).tolist()))
    return polygons


def _outline(region: np.ndarray, min_area: float) -> np.ndarray:
    """Return the outline of a connected region as a ring of points (x, y), shape (n, 2)."""
    # OpenCV contours run through pixel centers, half a pixel inside the region. Doubling the size halves this error.
    doubled = region.astype(np.uint8).repeat(2, 0).repeat(2, 1)
    contours, hierarchy = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    ring = np.empty((0, 2))
    for contour, (_, _, _, parent) in sorted(zip(contours, hierarchy[0], strict=True), key=lambda pair: pair[1][3]):
        if parent >= 0 and cv2.contourArea(contour) < 4 * min_area:
            continue
        corners = cv2.approxPolyDP(contour, 2 * TOLERANCE, True)
        part = (corners if len(corners) > 2 else contour)[:, 0] / 2 + 0.25  # a line of one pixel keeps its outline
        ring = part if parent < 0 else _join_hole(ring, part)
    return ring


def _join_hole(ring: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Connect the first corner of `hole` to the nearest corner of `ring`, and return the combined ring.

    Comparing all pairs of corners would take minutes and gigabytes for a region with thousands of holes.
    """
    i = ((ring - hole[0]) ** 2).sum(1).argmin()
    return np.concatenate([ring[: i + 1], hole, hole[:1], ring[i:]])


def save_labelme(
    file: Path, image: Path, size: tuple[int, int], polygons: Sequence[Polygon], classes: Sequence[str], source: str
) -> None:
    """Write the polygons of one image, of `size` (height, width), as a LabelMe file."""
    kind = {"group_id": None, "shape_type": "polygon", "flags": {}}
    shapes = [{"label": classes[label], "points": points, **kind} for label, points in polygons]
    content = {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": relative_path(image, file.parent),
        "imageData": None,
        "imageHeight": size[0],
        "imageWidth": size[1],
        "made_by": MADE_BY,
        "source": source,
    }
    write_text(file, json.dumps(content, ensure_ascii=False))


def relative_path(image: Path, folder: Path) -> str:
    """Return the path of an image relative to `folder`, with "/" as separator; on another drive, its absolute path."""
    try:
        # The real folders, because ".." in a link to a folder means the parent of the real one.
        return Path(os.path.relpath(image.parent.resolve() / image.name, folder.resolve())).as_posix()
    except ValueError:  # on another drive
        return image.absolute().as_posix()


def read_coco(file: Path, classes: Sequence[str]) -> dict[str, dict]:
    """Return {file name: entry} for a COCO file, with entries as in `coco_image`, or {} if the file does not exist.

    Raises PredictionError if `save_coco` did not write the file for the same classes.
    """
    if not file.exists():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        same = {entry["id"]: entry["name"] for entry in content["categories"]} == dict(enumerate(classes))
        images = {image["id"]: {**image, "annotations": []} for image in content["images"]}
        for annotation in content["annotations"]:
            images[annotation["image_id"]]["annotations"].append(annotation)
        names = {image["file_name"]: image for image in images.values()}
    except (ValueError, LookupError, TypeError):
        same = False
    if not same:
        raise PredictionError(f"{file}: not a COCO file of the classes {', '.join(classes)}; name another --out.")
    return names


def coco_image(image: Path, folder: Path, size: tuple[int, int], polygons: Sequence[Polygon]) -> dict:
    """Return the entry of an image for a COCO file in `folder`, including the `annotations` of the image."""
    annotations = []
    for label, points in polygons:
        ring = np.array(points, np.float32)
        (left, top), (right, bottom) = ring.min(0).tolist(), ring.max(0).tolist()
        annotation = {"category_id": label, "segmentation": [ring.ravel().tolist()], "iscrowd": 0}
        box = [left, top, right - left, bottom - top]
        annotations.append({**annotation, "area": float(cv2.contourArea(ring)), "bbox": box})
    return {"file_name": relative_path(image, folder), "height": size[0], "width": size[1], "annotations": annotations}


def save_coco(file: Path, images: Iterable[dict], classes: Sequence[str]) -> None:
    """Write the entries of several images, as returned by `coco_image`, to one COCO file. Ids are renumbered."""
    entries, annotations = [], []
    for number, image in enumerate(images, 1):
        entries.append({name: value for name, value in image.items() if name != "annotations"} | {"id": number})
        for annotation in image["annotations"]:
            annotations.append({**annotation, "id": len(annotations) + 1, "image_id": number})
    categories = [{"id": label, "name": name, "supercategory": ""} for label, name in enumerate(classes)]
    content = {"images": entries, "annotations": annotations, "categories": categories}
    write_text(file, json.dumps({"info": {"description": MADE_BY}, **content}, ensure_ascii=False))
