"""Helper functions with which the annotation readers find images, read JSON files and draw objects."""

import io
import json
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from os.path import commonprefix
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

import numpy as np
from PIL import Image

from seglib.data.dataset import IGNORE, background_index
from seglib.data.images import MAX_PIXELS, SUFFIXES, DataError, open_image, orientation, turn_upright
from seglib.data.layouts import SPLIT_NAMES
from seglib.errors import import_optional

Size = tuple[int, int]  # height, width
IGNORED = "__ignore__"  # the class name that LabelMe uses for pixels to ignore


@dataclass
class Item:
    """An annotated image. `draw()` returns its labels, uint8 (H, W). `where` names the annotation in error messages."""

    image: Path
    split: str | None
    where: str
    draw: Callable[[], np.ndarray]


@dataclass
class Annotations:
    """The result of a reader, with the class names (background first) and the annotated images."""

    classes: list[str]
    items: list[Item]
    notices: list[str] = field(default_factory=list)


class Shape(NamedTuple):
    """An object. `code` is its mask in the run-length encoding of pycocotools. A crowd is a group of COCO objects."""

    label: int
    code: dict
    is_crowd: bool = False


def class_labels(names: Iterable[str]) -> tuple[list[str], dict[str, int]]:
    """Return the classes, with "background" first, and {name: label} for the given names."""
    names = list(dict.fromkeys(map(str, names)))
    classes = ["background", *(name for name in names if background_index([name]) is None)]
    if len(classes) > IGNORE:
        raise DataError(f"{len(classes)} classes; at most {IGNORE} fit into a mask.")
    return classes, {name: classes.index(name) if name in classes else 0 for name in names}


def split_of(path: Path, source: Path) -> str | None:
    """Return the split that is named in a parent folder of `path` or in the file name, or None if there is none."""
    parts = [*path.relative_to(source).parent.parts, *path.stem.replace("-", "_").split("_")]
    parts = [part.lower().rstrip("0123456789") for part in parts]
    return next((SPLIT_NAMES[part] for part in parts if part in SPLIT_NAMES), None)


def list_files(folder: Path, pattern: str) -> list[Path]:
    """Return the files below `folder` that match `pattern`, without hidden ones, such as the `._a.json` of macOS."""
    return sorted(file for file in folder.glob(pattern) if "/." not in f"/{file.relative_to(folder).as_posix()}")


class ImageIndex:
    """Finds the image files below a folder by the names used in annotations."""

    def __init__(self, source: Path):
        self.source, self.used = source, set()
        self.files = [file for file in list_files(source, "**/*") if file.suffix.lower() in SUFFIXES]
        self.by_name: dict[str, list[Path]] = defaultdict(list)
        for file in self.files:
            self.by_name[file.name].append(file)

    def find(self, name: str, near: Path) -> Path:
        """Return the image file with the name or relative path `name`.

        If several files have this name, the file whose path best matches `name` is returned; ties go to the file
        closest to the annotation file `near`. Raises DataError if there is no such file or the choice is ambiguous.
        """
        parts = PureWindowsPath(name).parts  # splits at / and \\
        files = self.by_name.get(parts[-1] if parts else "", [])
        if not files:
            raise DataError(f"{near}: the image '{name}' is not in {self.source}; add it, or remove the entry.")
        names, places = parts[::-1], near.parts
        # The lists of path parts are compared, not the characters.
        scores = [(len(commonprefix([f.parts[::-1], names])), len(commonprefix([f.parts, places]))) for f in files]
        if scores.count(max(scores)) > 1:
            raise DataError(f"{near}: several images are called '{name}', {files[0]} for one; keep or rename one.")
        file = files[scores.index(max(scores))]
        self.used.add(file)
        return file

    def notices(self, ignored: Iterable[Path] = ()) -> list[str]:
        """Return a list with a notice about images without annotations, or an empty list if there are none."""
        spare = set(self.files) - self.used - set(ignored)
        return [f"{len(spare)} images without annotations were left out, {min(spare)} for one"] if spare else []


@lru_cache(maxsize=64)
def read_json(file: Path) -> object:
    """Read a JSON file. Raises DataError with the line of the first error."""
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataError(f"{file}, line {error.lineno}: not valid JSON ({error.msg}); export it again.") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{file}: not JSON in UTF-8 ({error!r:.100}); export it again.") from None


def json_files(source: Path, keys: set[str], most: int | None = None) -> list[Path]:
    """Return the JSON files below `source` that contain an object with all of `keys`.

    If `most` is given, at most this many files are read, and invalid files are skipped.
    """
    files = []
    for file in list_files(source, "**/*.json")[:most]:
        try:
            content = read_json(file)
        except DataError:
            if most is None:
                raise
            continue
        files += [file] if isinstance(content, dict) and keys <= content.keys() else []
    return files


def codec():
    """Return the module of pycocotools that draws polygons and decodes run-length encodings."""
    return import_optional("pycocotools.mask", DataError, "drawing polygons", "pycocotools")


def decode_shape(code: dict) -> np.ndarray:
    """Decode a run-length encoding to a mask, bool (H, W)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools uses a deprecated function of NumPy
        return codec().decode(code) > 0


def polygon_shape(label: int, rings: Sequence, size: Size, where: str, holes: Sequence = ()) -> Shape:
    """Return an object that covers the polygons `rings` except for `holes`.

    Each polygon or hole is [x, y, x, y, ...] or [[x, y], ...], in pixels from the upper left corner of the image.
    """
    mask, codes = codec(), []
    for group in filter(len, (rings, holes)):
        points = [np.asarray(ring, np.float64).ravel() for ring in group]
        if any(len(ring) < 6 or len(ring) % 2 or not np.isfinite(ring).all() for ring in points):
            raise DataError(f"{where}: a polygon needs at least three points as x, y, x, y, ...; correct it.")
        codes.append(mask.merge(mask.frPyObjects([ring.tolist() for ring in points], *size)))
    if len(codes) > 1:
        inside = decode_shape(codes[0]) & ~decode_shape(codes[1])
        return Shape(label, mask.encode(np.asfortranarray(inside.astype(np.uint8))))
    return Shape(label, codes[0])


def bitmap_shape(label: int, png: bytes, origin: Sequence[float], size: Size, where: str) -> Shape:
    """Return the object in the PNG file content `png`, whose upper left corner is at (x, y) = `origin` in the image."""
    with Image.open(io.BytesIO(png)) as image:
        if image.width * image.height > MAX_PIXELS:
            raise DataError(f"{where}: a bitmap of {image.width}x{image.height} pixels; correct it.")
        bitmap = np.asarray(image.getchannel("A") if image.mode == "RGBA" else image)
    (x, y), (height, width) = map(round, origin), bitmap.shape
    if x < 0 or y < 0 or x + width > size[1] or y + height > size[0]:
        raise DataError(f"{where}: the bitmap extends beyond the image; export it again.")
    full = np.zeros(size, np.uint8, order="F")
    full[y : y + height, x : x + width] = bitmap != 0
    return Shape(label, codec().encode(full))


def draw_item(
    image: Path,
    where: str,
    size: Size | None,
    objects: Iterable[tuple[str, object]],
    make_shape: Callable[[str, object, Size], Shape],
    largest_first: bool = False,
) -> np.ndarray:
    """Return the labels of an annotated image, uint8 (H, W), upright.

    Some tools ignore the EXIF orientation of an image, and others apply it. `size` shows whether it was applied.

    Args:
        image: The image file.
        where: Name of the annotation in error messages.
        size: (height, width) of the image according to the annotation; None if unknown.
        objects: For each object, its name in error messages and its entry in the annotation.
        make_shape: Function that returns a Shape, given an object's name and entry and the image's (height, width).
        largest_first: The same as in `draw_shapes`.
    """
    with open_image(image) as opened:
        stored, turn = (opened.height, opened.width), orientation(opened)
    upright = stored[::-1] if turn >= 5 else stored
    if size is None or tuple(size) == upright:
        stored, turn = upright, 1
    elif tuple(size) != stored:
        sizes = f"{size[1]}x{size[0]} pixels, but {image.name} has {upright[1]}x{upright[0]}"
        raise DataError(f"{where}: made for {sizes}; export it again.")
    return draw_shapes([make_shape(*entry, stored) for entry in objects], stored, turn, largest_first)


def draw_shapes(shapes: Sequence[Shape], size: Size, turn: int, largest_first: bool = False) -> np.ndarray:
    """Draw objects in the given order on a background of zeros. Later objects cover earlier ones.

    If `largest_first` is True, crowds are drawn first, then the other objects from the largest to the smallest. Returns
    labels, uint8 (H, W), rotated upright as required by the EXIF orientation `turn`.
    """
    if largest_first:
        shapes = sorted(shapes, key=lambda shape: (not shape.is_crowd, -int(codec().area(shape.code))))
    labels = np.zeros(size, np.uint8)
    for shape in shapes:
        labels[decode_shape(shape.code)] = shape.label
    return np.ascontiguousarray(turn_upright(labels, turn))
