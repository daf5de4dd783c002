"""Convert annotations from other tools to a folder with images, masks and a classes.yaml.

docs/data_formats.md describes what is read from each format, and how overlapping objects are drawn.
"""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from tqdm import tqdm

from seglib.data.classes import CLASSES_FILE, distinct_colors
from seglib.data.dataset import IGNORE
from seglib.data.images import DataError
from seglib.files import is_printable_name, write_text

from . import painted, shapes
from .common import Annotations, Item, json_files, read_json

__all__ = ["FORMATS", "detect_formats", "import_annotations"]


def _has(source: Path, *patterns: str) -> bool:
    """Return whether every pattern matches a file or folder below `source`."""
    return all(any(source.glob(pattern)) for pattern in patterns)


# For each format: a function that recognizes its files, and a function that reads them.
FORMATS = {
    "supervisely": (lambda f: _has(f, "meta.json", "**/ann/*.json"), shapes.read_supervisely),
    "cvat": (lambda f: _has(f, "**/SegmentationClass", "**/labelmap.txt"), painted.read_voc),
    "voc": (
        lambda f: _has(f, "**/SegmentationClass") and not _has(f, "**/labelmap.txt"),
        painted.read_voc,
    ),
    "roboflow": (lambda f: _has(f, "**/_classes.csv"), painted.read_roboflow),
    "class_dict": (lambda f: _has(f, "*class_dict*.csv"), painted.read_class_dict),
    "yolo": (lambda f: shapes.yolo_names(f) and _has(f, "**/labels/**/*.txt"), shapes.read_yolo),
    "coco": (lambda f: json_files(f, shapes.COCO_KEYS, most=20), shapes.read_coco),
    "labelme": (lambda f: json_files(f, {"shapes", "imagePath"}, most=20), shapes.read_labelme),
}
MALFORMED = (LookupError, TypeError, ValueError, AttributeError, OverflowError)
LISTED = 10  # maximum number of problems listed in an error message


def detect_formats(source: Path) -> list[str]:
    """Return the names of the formats that match the files in `source`."""
    return [name for name, (recognizes, _) in FORMATS.items() if recognizes(source)]


def import_annotations(source: Path | str, dest: Path | str, format: str = "auto", progress: bool = True):
    """Convert annotations to the folder `dest`, with images/, masks/ and classes.yaml, and check the new folder.

    Args:
        source: The folder of exported annotations and images.
        dest: The folder to create.
        format: One of FORMATS, or "auto" to detect the format from the files.
        progress: Whether to show a progress bar on a terminal.

    Returns:
        The `validation.Report` of the new folder. Its notices also list what was left out.

    Raises:
        DataError: If the format is not recognized, or files cannot be converted. In both cases, `dest` is not created.
    """
    from course.datasets import validation

    source, dest = Path(source), Path(dest)
    read_json.cache_clear()  # the files may have been corrected since the last import in this process
    if not source.is_dir():
        raise DataError(f"{source}: no such folder; name the folder of the exported annotations.")
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise DataError(f"{dest}: exists already; name a new folder.")
    if format not in ("auto", *FORMATS):
        raise DataError(f"--format {format}: not a known format; choose one of: auto, {', '.join(FORMATS)}.")
    name = format
    if format == "auto":
        name, *others = detect_formats(source) or [""]
        if not name:
            known = f"no annotations of a known format ({', '.join(FORMATS)})"
            raise DataError(f"{source}: {known}. If masks are images, no import is needed: `seglib data check FOLDER`.")
        if others:
            raise DataError(
                f"{source}: has files of the formats {' and '.join([name, *others])}; choose one with --format."
            )
    try:
        annotations = FORMATS[name][1](source)
    except MALFORMED as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{source}: not valid {name} annotations ({error!r:.200}); export them again.") from None
    if not annotations.items:
        raise DataError(f"{source}: no annotated images in the format {name}; name the folder that holds them.")
    for label in annotations.classes:
        if not label.strip() or not is_printable_name(label):
            fault = "is empty, is longer than 200 characters, or has some that cannot be printed"
            raise DataError(f"{source}: the class name {label!r:.60} {fault}; rename it and export again.")
    dest.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{dest.name}-", dir=dest.parent) as temporary:
        new_folder = Path(temporary) / "new"
        _write(annotations, new_folder, progress)
        if len(annotations.classes) < 2:
            raise DataError(f"{source}: no object is annotated, only background; annotate some and export again.")
        shutil.rmtree(dest, ignore_errors=True)  # removes `dest` if it is an empty folder
        os.replace(new_folder, dest)
    report = validation.check(str(dest), progress=progress)
    report.notices[:0] = [f"imported as {name}", *annotations.notices]
    return report


def _write(annotations: Annotations, folder: Path, progress: bool) -> None:
    """Write images, masks and classes.yaml. Raises a DataError that lists all items that cannot be converted."""
    palette = np.full((256, 3), 255, np.uint8)
    palette[: len(annotations.classes)] = distinct_colors(len(annotations.classes))
    faults, taken, ignored = [], {}, False
    for item in tqdm(annotations.items, desc="import", disable=None if progress else True):
        try:
            key = _free_key(item, taken)
            labels = item.draw()
        except MALFORMED as error:
            unknown = f"{item.where}: not a valid entry ({error!r:.200}); export it again."
            faults.append(str(error) if isinstance(error, DataError) else unknown)
            continue
        ignored |= bool((labels == IGNORE).any())
        image, mask = folder / "images" / f"{key}{item.image.suffix.lower()}", folder / "masks" / f"{key}.png"
        for file in (image, mask):
            file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(item.image, image)
        painted = Image.fromarray(labels)
        painted.putpalette(palette.tobytes())
        painted.save(mask)
    if faults:
        more = f"\n... and {len(faults) - LISTED} more" if len(faults) > LISTED else ""
        raise DataError("\n".join(faults[:LISTED]) + more)
    content = {"classes": annotations.classes} | ({"ignore": IGNORE} if ignored else {})
    write_text(folder / CLASSES_FILE, yaml.safe_dump(content, allow_unicode=True, sort_keys=False))


def _free_key(item: Item, taken: dict[str, Path]) -> str:
    """Return an unused key for an image in the new folder.

    If images in two folders have the same name, the name of the folder is added as a prefix.
    """
    for stem in (item.image.stem, f"{item.image.parent.name}_{item.image.stem}"):
        key = f"{item.split}/{stem}" if item.split else stem
        if taken.get(key) == item.image:
            raise DataError(f"{item.where}: the image {item.image.name} is annotated twice; keep one.")
        if taken.setdefault(key, item.image) == item.image:
            return key
    raise DataError(f"{item.image}: another image of this name is in a folder of the same name; rename one.")
