"""Convert the annotations of other tools into a folder of images, masks and classes.yaml.

docs/data_formats.md describes what is read of each format, and how overlapping objects are drawn.
"""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from tqdm import tqdm

from ...files import write_text
from ..classes import CLASSES_FILE, distinct_colors
from ..dataset import IGNORE
from ..images import DataError
from . import painted, shapes
from .common import Annotations, Item

# How the files of each format are recognised, and read.
FORMATS = {
    "supervisely": (shapes.is_supervisely, shapes.read_supervisely),
    "cvat": (painted.is_cvat, painted.read_voc),
    "voc": (painted.is_voc, painted.read_voc),
    "roboflow": (painted.is_roboflow, painted.read_roboflow),
    "class_dict": (painted.is_class_dict, painted.read_class_dict),
    "yolo": (shapes.is_yolo, shapes.read_yolo),
    "coco": (shapes.is_coco, shapes.read_coco),
    "labelme": (shapes.is_labelme, shapes.read_labelme),
}
MALFORMED = (LookupError, TypeError, ValueError, AttributeError, OverflowError)
LISTED = 10  # faults that an error spells out


def detect_formats(source: Path) -> list[str]:
    """Return the names of the formats that the files in `source` have."""
    return [name for name, (recognise, _) in FORMATS.items() if recognise(source)]


def import_annotations(source: Path | str, dest: Path | str, format: str = "auto", progress: bool = True):
    """Convert annotations to the folder `dest`, with images/, masks/ and classes.yaml, and check it.

    Args:
        source: the folder of an export: annotations and images.
        dest: a new folder.
        format: one of FORMATS, or "auto" to recognise it from the files.
        progress: whether to show a progress bar on a terminal.

    Returns:
        The `validation.Report` of the new folder, whose notices also say what was left out.

    Raises:
        DataError: the format is not recognised, or files cannot be converted; `dest` is not written then.
    """
    from .. import validation

    source, dest = Path(source), Path(dest)
    if not source.is_dir():
        raise DataError(f"{source}: no such folder; name the folder of the exported annotations.")
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise DataError(f"{dest}: exists already; name a new folder.")
    if format not in ("auto", *FORMATS):
        raise DataError(f"--format {format}: not a known format; choose one of: auto, {', '.join(FORMATS)}.")
    name = _recognise(source) if format == "auto" else format
    try:
        annotations = FORMATS[name][1](source)
    except DataError:
        raise
    except MALFORMED as error:
        raise DataError(f"{source}: not valid {name} annotations ({error!r:.200}); export them again.") from None
    if not annotations.items:
        raise DataError(f"{source}: no annotated images in the format {name}; name the folder that holds them.")
    dest.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{dest.name}-", dir=dest.parent) as temporary:
        new_folder = Path(temporary) / "new"
        _write(annotations, new_folder, progress)
        shutil.rmtree(dest, ignore_errors=True)  # an empty folder
        os.replace(new_folder, dest)
    report = validation.check(str(dest), progress=progress)
    report.notices[:0] = [f"imported as {name}", *annotations.notices]
    return report


def _recognise(source: Path) -> str:
    formats = detect_formats(source)
    if not formats:
        raise DataError(
            f"{source}: no annotations of a known format ({', '.join(FORMATS)}). If its masks are images, no import is "
            f"needed: `seglib data check {source}`."
        )
    if len(formats) > 1:
        raise DataError(f"{source}: has files of the formats {' and '.join(formats)}; choose one by --format.")
    return formats[0]


def _write(annotations: Annotations, folder: Path, progress: bool) -> None:
    """Write images, masks and classes.yaml; DataError lists all items that cannot be converted."""
    palette = np.zeros((256, 3), np.uint8)
    palette[IGNORE] = 255
    palette[: len(annotations.classes)] = distinct_colors(len(annotations.classes))
    faults, taken, ignored = [], {}, False
    for item in tqdm(annotations.items, desc="import", disable=None if progress else True):
        try:
            key = _free_key(item, taken)
            labels = item.draw()
        except DataError as error:
            faults.append(str(error))
            continue
        except MALFORMED as error:
            faults.append(f"{item.where}: not a valid entry ({error!r:.200}); export it again.")
            continue
        ignored |= bool((labels == IGNORE).any())
        image = folder / "images" / f"{key}{item.image.suffix.lower()}"
        mask = Image.fromarray(labels)
        mask.putpalette(palette.tobytes())
        file = folder / "masks" / f"{key}.png"
        for place in (image, file):
            place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(item.image, image)
        mask.save(file)
    if faults:
        more = f"\n... and {len(faults) - LISTED} more" if len(faults) > LISTED else ""
        raise DataError("\n".join(faults[:LISTED]) + more)
    content = {"classes": annotations.classes} | ({"ignore": IGNORE} if ignored else {})
    write_text(folder / CLASSES_FILE, yaml.safe_dump(content, allow_unicode=True, sort_keys=False))


def _free_key(item: Item, taken: dict[str, Path]) -> str:
    """Return the name of an image in the new folder; images of one name in two folders get the folder's name too."""
    for stem in (item.image.stem, f"{item.image.parent.name}_{item.image.stem}"):
        key = f"{item.split}/{stem}" if item.split else stem
        if taken.get(key) == item.image:
            raise DataError(f"{item.where}: the image {item.image.name} is annotated twice; keep one.")
        if taken.setdefault(key, item.image) == item.image:
            return key
    raise DataError(f"{item.image}: another image of this name is in a folder of the same name; rename one.")
