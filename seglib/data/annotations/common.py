"""What the readers of annotation formats share: finding images, reading JSON, and drawing objects."""

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

from ...errors import import_optional
from ..dataset import IGNORE, background_index
from ..images import MAX_PIXELS, SUFFIXES, DataError, open_image, orientation, turn_upright
from ..layouts import SPLIT_NAMES

Size = tuple[int, int]  # height, width
IGNORED = "__ignore__"  # the name that LabelMe gives to pixels that do not count


@dataclass
class Item:
    """An annotated image: `draw()` gives its labels, uint8 (H, W), and `where` names the annotation in errors."""

    image: Path
    split: str | None
    where: str
    draw: Callable[[], np.ndarray]


@dataclass
class Annotations:
    """What a reader returns: class names, the background first, and the annotated images."""

    classes: list[str]
    items: list[Item]
    notices: list[str] = field(default_factory=list)


class Shape(NamedTuple):
    """An object as a run-length code of pycocotools; a crowd is behind all other objects."""

    label: int
    code: dict
    is_crowd: bool = False


def class_labels(names: Iterable[str]) -> tuple[list[str], dict[str, int]]:
    """Return the classes, "background" first, and the label of each of the names."""
    names = list(dict.fromkeys(map(str, names)))
    classes = ["background", *(name for name in names if background_index([name]) is None)]
    if len(classes) > IGNORE:
        raise DataError(f"{len(classes)} classes; at most {IGNORE} fit into a mask.")
    return classes, {name: classes.index(name) if name in classes else 0 for name in names}


def split_of(path: Path, source: Path) -> str | None:
    """Return the split that a folder on the way to `path` is named after, or the file itself."""
    parts = [*path.relative_to(source).parent.parts, *path.stem.replace("-", "_").split("_")]
    parts = [part.lower().rstrip("0123456789") for part in parts]
    return next((SPLIT_NAMES[part] for part in parts if part in SPLIT_NAMES), None)


class ImageIndex:
    """The image files below a folder, found by the names that annotations give them."""

    def __init__(self, source: Path):
        self.source, self.used = source, set()
        self.files = [file for file in sorted(source.rglob("*")) if file.suffix.lower() in SUFFIXES]
        self.by_name: dict[str, list[Path]] = defaultdict(list)
        for file in self.files:
            self.by_name[file.name].append(file)

    def find(self, name: str, near: Path) -> Path:
        """Return the file whose path ends most like `name`, or is nearest to the annotation file `near`."""
        parts = PureWindowsPath(name).parts  # takes / and \\
        files = self.by_name.get(parts[-1] if parts else "", [])
        if not files:
            raise DataError(f"{near}: the image '{name}' is not in {self.source}; add it, or remove the entry.")
        names, places = parts[::-1], near.parts
        # The common prefixes are those of lists, not of texts.
        scores = [(len(commonprefix([f.parts[::-1], names])), len(commonprefix([f.parts, places]))) for f in files]
        if scores.count(max(scores)) > 1:
            raise DataError(f"{near}: several images are called '{name}', {files[0]} for one; keep or rename one.")
        file = files[scores.index(max(scores))]
        self.used.add(file)
        return file

    def notices(self, ignored: Iterable[Path] = ()) -> list[str]:
        """Say how many images no annotation names."""
        spare = set(self.files) - self.used - set(ignored)
        return [f"{len(spare)} images without annotations were left out, {min(spare)} for one"] if spare else []


@lru_cache(maxsize=64)
def read_json(file: Path) -> object:
    """Read a JSON file; DataError names the line of a fault."""
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataError(f"{file}, line {error.lineno}: not valid JSON ({error.msg}); export it again.") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{file}: not JSON in UTF-8 ({error!r:.100}); export it again.") from None


def json_files(source: Path, keys: set[str], most: int | None = None) -> list[Path]:
    """Return the JSON files below `source` that are objects with all of `keys`; at most `most` are read."""
    files = []
    for file in sorted(source.rglob("*.json"))[:most]:
        try:
            content = read_json(file)
        except DataError:
            if most is None:
                raise
            continue
        files += [file] if isinstance(content, dict) and keys <= content.keys() else []
    return files


def codec():
    """Return the module of pycocotools that draws polygons and decodes run lengths."""
    return import_optional("pycocotools.mask", DataError, "drawing polygons", "pycocotools")


def decode_shape(code: dict) -> np.ndarray:
    """Return the pixels of a run-length code, bool (H, W)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools' way to call NumPy
        return codec().decode(code) > 0


def polygon_shape(label: int, rings: Sequence, size: Size, where: str, holes: Sequence = ()) -> Shape:
    """Draw polygons, each [x, y, x, y, ...] or [[x, y], ...] in pixels from the upper left corner, less the holes."""
    mask, codes = codec(), []
    for group in filter(len, (rings, holes)):
        points = [np.asarray(ring, np.float64).ravel() for ring in group]
        if any(len(ring) < 6 or len(ring) % 2 or not np.isfinite(ring).all() for ring in points):
            raise DataError(f"{where}: a polygon needs three points or more as x, y, x, y, ...; correct it.")
        codes.append(mask.merge(mask.frPyObjects([ring.tolist() for ring in points], *size)))
    if len(codes) > 1:
        inside = decode_shape(codes[0]) & ~decode_shape(codes[1])
        return Shape(label, mask.encode(np.asfortranarray(inside.astype(np.uint8))))
    return Shape(label, codes[0])


def bitmap_shape(label: int, png: bytes, origin: Sequence[float], size: Size, where: str) -> Shape:
    """Place a bitmap, the content of a PNG file, with its upper left corner at `origin`, (x, y)."""
    with Image.open(io.BytesIO(png)) as image:
        if image.width * image.height > MAX_PIXELS:
            raise DataError(f"{where}: a bitmap of {image.width}x{image.height} pixels; correct it.")
        bitmap = np.asarray(image.getchannel("A") if image.mode == "RGBA" else image)
    (x, y), (height, width) = map(round, origin), bitmap.shape
    if x < 0 or y < 0 or x + width > size[1] or y + height > size[0]:
        raise DataError(f"{where}: the bitmap reaches out of the image; export it again.")
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

    Some tools annotate the pixels as stored, others as a viewer shows them; the size says which.

    Args:
        image: the image file.
        where: names the annotation in errors.
        size: (height, width) that the annotation was made for, if it says so.
        objects: the name of each object in errors, and its entry.
        make_shape: returns the shape of an object for a (height, width) to draw at.
        largest_first: as for `draw_shapes`.
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
    """Draw objects on background 0: in their order, or the largest first, so that later ones cover earlier ones."""
    if largest_first:
        shapes = sorted(shapes, key=lambda shape: (not shape.is_crowd, -int(codec().area(shape.code))))
    labels = np.zeros(size, np.uint8)
    for shape in shapes:
        labels[decode_shape(shape.code)] = shape.label
    return np.ascontiguousarray(turn_upright(labels, turn))
