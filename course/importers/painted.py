"""Read annotation formats in which the masks are images and a separate file contains the class names."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from seglib.data.dataset import IGNORE
from seglib.data.images import DataError, open_image
from seglib.data.layouts import detect
from seglib.data.masks import labels_by_color, labels_by_id, read_mask
from seglib.data.splits import SPLITS

from .common import IGNORED, Annotations, ImageIndex, Item, class_labels, list_files, split_of

VOC_CLASSES = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person "
    "pottedplant sheep sofa train tvmonitor"
).split()


def _labels(mask: Path, table: dict, check: Callable[[Path], object] | None = None) -> np.ndarray:
    """Call `check` with the mask file, if given. Then read the mask and convert its ids or colors to labels."""
    if check:
        check(mask)
    if all(isinstance(value, tuple) for value in table):
        return labels_by_color(read_mask(mask, "colors"), mask, table)
    return labels_by_id(read_mask(mask), mask, table)


def _table_rows(file: Path, columns: int, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the cells of each row in a CSV file, without the header and comments."""
    with open(file, encoding="utf-8-sig", newline="") as stream:
        for number, row in enumerate(csv.reader(stream, delimiter=delimiter, skipinitialspace=True), 1):
            if row and not row[0].startswith("#") and (number > 1 or delimiter != ","):
                if len(row) < columns:
                    raise DataError(f"{file}, line {number}: must have {columns} columns; correct it.")
                yield number, [cell.strip() for cell in row]


def _color_table(rows: Iterable[tuple[int, str, list[str]]], file: Path) -> tuple[list[str], dict]:
    """Return the classes and {color: label} from rows of (line number, name, [red, green, blue] as text)."""
    names: dict[tuple, str] = {}
    for number, name, texts in rows:
        if len(texts) != 3 or not all(text.strip().isdecimal() and int(text) < 256 for text in texts):
            fault = f"'{','.join(texts)}' is not a color of three numbers 0 to 255"
            raise DataError(f"{file}, line {number}: {fault}; correct it.")
        color = tuple(map(int, texts))
        if color in names:
            raise DataError(f"{file}, line {number}: '{names[color]}' has this color too; change one.")
        names[color] = name
    classes, label_of = class_labels(names.values())
    return classes, {color: label_of[name] for color, name in names.items()}


def read_voc(source: Path) -> Annotations:
    """Read Pascal VOC, with images in JPEGImages, palette masks in SegmentationClass, and split lists in ImageSets.

    The value 255 marks object borders, which are ignored. CVAT's format "Segmentation mask" is the same, except that
    masks have the colors listed in labelmap.txt.
    """
    root = next((folder.parent for folder in sorted(source.rglob("SegmentationClass")) if folder.is_dir()), source)
    label_map, name_list = root / "labelmap.txt", root / "class_names.txt"
    if label_map.is_file():
        rows = ((number, row[0], row[1].split(",")) for number, row in _table_rows(label_map, 2, ":"))
        (classes, table), check = _color_table(rows, label_map), None
    else:
        names = name_list.read_text(encoding="utf-8").split("\n") if name_list.is_file() else VOC_CLASSES
        names = [name.strip() for name in names if name.strip() and name.strip() != IGNORED]
        classes, label_of = class_labels(names)
        table = {number: label_of[name] for number, name in enumerate(names)} | {IGNORE: IGNORE}
        check = None if name_list.is_file() else _check_voc_palette
    index, split_of_name = ImageIndex(root), {}
    masks = {file for file in index.files if str(file.relative_to(root)).startswith("Segmentation")}
    images = {file.stem: file for file in index.files if file not in masks}
    images |= {_voc_name(file, root): file for file in index.files if file not in masks}
    for split in SPLITS:
        file = root / "ImageSets" / "Segmentation" / f"{split}.txt"
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        for line in filter(str.strip, lines):  # CVAT puts names with spaces in quotes
            name = line.strip()[1:].partition('"')[0] if line.strip()[0] == '"' else line.split()[0]
            split_of_name |= {name: split, Path(name).name: split_of_name.get(Path(name).name, split)}
    items = []
    for mask in list_files(root / "SegmentationClass", "**/*.png"):
        image, split = (found.get(_voc_name(mask, root), found.get(mask.stem)) for found in (images, split_of_name))
        items.append(_item(index, mask, image, split, table, check))
    return Annotations(classes, items, index.notices(masks))


def _voc_name(file: Path, root: Path) -> str:
    """Return the name of an image in the lists of VOC: its path in JPEGImages or SegmentationClass, without ending."""
    return "/".join(file.relative_to(root).with_suffix("").parts[1:])


def _item(
    index: ImageIndex, mask: Path, image: Path | None, split: str | None, table: dict, check: Callable | None = None
) -> Item:
    if image is None:
        raise DataError(f"{mask}: there is no image for it in {index.source}; export the images too.")
    index.used.add(image)
    return Item(image, split, str(mask), partial(_labels, mask, table, check))


def _check_voc_palette(mask: Path) -> None:
    """Raise DataError unless the mask has the Pascal VOC palette, because otherwise the VOC classes may not apply."""
    with open_image(mask) as image:
        palette = image.getpalette() if image.mode == "P" else None
    expected = [sum((i >> (3 * bit + c) & 1) << (7 - bit) for bit in range(3)) for i in range(21) for c in range(3)]
    if palette is None or palette[:63] != expected:
        raise DataError(f"{mask}: not painted as Pascal VOC's 21 classes; add class_names.txt with one name per line.")


def read_roboflow(source: Path) -> Annotations:
    """Read Roboflow's semantic masks, with x.jpg, x_mask.png and a _classes.csv in one folder per split."""
    tables, items, index = {}, [], ImageIndex(source)
    for file in list_files(source, "**/_classes.csv"):
        tables[file] = {}
        for number, (value, name, *_) in _table_rows(file, 2):
            if not re.fullmatch(r"\d{1,3}", value) or int(value) > 255:
                raise DataError(f"{file}, line {number}: '{value}' is not a pixel value 0 to 255; correct it.")
            tables[file][int(value)] = name
    classes, label_of = class_labels(name for table in tables.values() for name in table.values())
    images = {file.with_suffix(""): file for file in index.files}
    masks = [file for file in index.files if file.name.endswith("_mask.png")]
    for file, names in tables.items():
        table = {value: label_of[name] for value, name in names.items()}
        for mask in (mask for mask in masks if mask.parent == file.parent):
            image = images.get(mask.with_name(mask.stem.removesuffix("_mask")))
            items.append(_item(index, mask, image, split_of(file, source), table))
    return Annotations(classes, items, index.notices(masks))


def read_class_dict(source: Path) -> Annotations:
    """Read color-coded masks in any known layout, with the colors in class_dict.csv (name, r, g, b)."""
    file = list_files(source, "*class_dict*.csv")[0]
    rows = ((number, name, color[:3]) for number, (name, *color) in _table_rows(file, 4))
    classes, table = _color_table(rows, file)
    pairs = detect(source).pairs
    items = [Item(pair.image, pair.split, str(pair.mask), partial(_labels, pair.mask, table)) for pair in pairs]
    return Annotations(classes, items)
