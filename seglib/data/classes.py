"""Read classes.yaml, the file in your own folder that defines the classes, the mask values and how images are read.

docs/data_formats.md describes every entry with an example.
"""

import colorsys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from ..files import is_color, is_integer, is_printable_name, read_yaml
from .dataset import IGNORE, background_index
from .images import DEPTHS, DataError, read_text
from .masks import jpeg_hint, labels_by_color, labels_by_id

CLASSES_FILE = "classes.yaml"
OPTIONS = {"binary": None, "pattern": [], "bits": 0, "bands": [], "channels": 0}  # optional entries and their defaults
ENTRIES = ("classes", "colors", "ignore", "background", *OPTIONS)
Color = tuple[int, int, int]


@dataclass(frozen=True)
class Classes:
    """The content of a classes.yaml.

    Attributes:
        names: Class names in label order: the background first, then the other classes in the order of the file.
        table: {stored id or color: label}. Pixels to ignore have the label IGNORE. The table is empty if there is no
            classes.yaml.
        colors: One color per class if the masks are color-coded; None if they store ids.
        background: The label of the background, which is always 0; None if there is no background class.
        binary: ("above" | "below" | "alpha", threshold) if two-class masks are thresholded; otherwise None.
        pattern: Patterns for the image and mask paths, see `layouts.by_pattern`. If empty, the layout is detected.
        bits, bands, channels: Arguments of `read_image`.
    """

    names: tuple[str, ...] = ("background", "object")
    table: Mapping[int | Color, int] = field(default_factory=dict)
    colors: tuple[Color, ...] | None = None
    background: int | None = 0
    binary: tuple[str, int] | None = None
    pattern: tuple[str, ...] = ()
    bits: int = 0
    bands: tuple[int, ...] = ()
    channels: int = 0

    @property
    def mask_form(self) -> str:
        """The `form` argument of `read_mask` that `decode` requires."""
        if self.binary:
            return "alpha" if self.binary[0] == "alpha" else "stored"
        return "colors" if self.colors else "stored" if self.table else "guess"

    def decode(self, values: np.ndarray, file: Path) -> np.ndarray:
        """Convert stored mask values, (H, W) or (H, W, 3), to uint8 labels (H, W).

        Raises DataError if a value does not belong to any class. `file` is the mask's path, used in the error message.
        """
        if self.binary:
            side, threshold = self.binary
            values = values if values.ndim == 2 else values.max(2)  # the brightest channel of colors
            return (values < threshold if side == "below" else values > threshold).astype(np.uint8)
        if self.table:
            return (labels_by_color if self.colors else labels_by_id)(values, file, self.table)
        try:
            return labels_by_id(values, file, {0: 0, 1: 1}, {0: 0, 255: 1})
        except DataError:
            fault = f"has values other than 0 and 1, or 0 and 255{jpeg_hint(file)}, and no {CLASSES_FILE}"
            raise DataError(f"{file}: {fault} names the classes; `seglib data check FOLDER` suggests one.") from None


def read_classes(file: Path) -> Classes:
    """Read a classes.yaml. If the file does not exist, return a default for masks with values 0 and 1, or 0 and 255.

    Raises DataError with a message about the first problem in the file.
    """
    misnamed = file.with_suffix(".yml")
    if file.is_file():
        return parse_classes(read_text(file), file)
    if file.exists():
        raise DataError(f"{file}: not a file; put a text file of that name in its place, see docs/data_formats.md.")
    if misnamed.exists():
        raise DataError(f"{misnamed}: a file of this name is not read; rename it to {CLASSES_FILE}.")
    return Classes()


def parse_classes(text: str, file: Path) -> Classes:
    """Parse the content `text` of a classes.yaml. `file` is its path for error messages."""
    try:
        content = read_yaml(text)
    except ValueError as error:
        raise DataError(f"{file}: not readable as YAML ({error}); see docs/data_formats.md.") from None
    require = partial(_require, file)
    require(isinstance(content, dict) and content.keys() & {"classes", "binary"}, "must have a list 'classes'")
    unknown = sorted(map(str, content.keys() - set(ENTRIES)))
    require(not unknown, f"unknown entry '{', '.join(unknown)}'; the entries are {', '.join(ENTRIES)}")
    classes, background = content.get("classes", ["background", "object"]), content.get("background")
    names = _check_class_names(classes, require)
    require(background in (None, *names), f"'background' is {background!r}, but must be one of the classes")
    if background is None and background_index(names) is not None:
        background = names[background_index(names)]
    names.sort(key=lambda name: name != background)  # the background becomes label 0
    name_of = dict(classes) if isinstance(classes, dict) else dict(enumerate(classes))
    colors = content.get("colors")
    if colors is not None:
        name_of = dict(zip(_check_colors(colors, classes, require), classes, strict=True))
    label_of = {"ignore": IGNORE} | {name: label for label, name in enumerate(names)}
    table = {value: label_of[name] for value, name in name_of.items()}
    others = dict.fromkeys(range(256), table.pop("others")) if "others" in table else {}
    if content.get("ignore") is not None:
        table |= dict.fromkeys(_check_ignored(content["ignore"], table, colors is not None, require), IGNORE)
    binary, pattern, bits, bands, channels = (content.get(key, default) for key, default in OPTIONS.items())
    if "binary" in content:
        _check_binary(binary, names, colors or IGNORE in table.values(), background, require)
    is_pair = isinstance(pattern, list) and len(pattern) in (0, 2) and all(isinstance(part, str) for part in pattern)
    require(is_pair, "'pattern' must be a list of two patterns, for the images and for the masks")
    require(bits == 0 or bits in DEPTHS, f"'bits' must be one of {', '.join(map(str, DEPTHS))}")
    require(_is_byte(channels), "'channels' must be the number of bands that a network takes, at most 255")
    are_bands = isinstance(bands, list) and all(_is_byte(band) and band for band in bands)
    are_bands = are_bands and (channels or len(bands) in (0, 1, 3))
    require(are_bands, "'bands' must be a list of one or three numbers from 1, or of 'channels' numbers")
    return Classes(
        names=tuple(names),
        table=others | table,
        colors=colors and tuple(sorted(map(tuple, colors), key=table.get)),
        background=None if background is None else 0,
        binary=binary and next(iter(binary.items())),
        pattern=tuple(pattern),
        bits=bits,
        bands=tuple(bands),
        channels=channels,
    )


def _check_class_names(classes: object, require: Callable) -> list[str]:
    """Return the class names, without "ignore". `classes` is a list of names or {id: name, "others": name}."""
    names = classes if isinstance(classes, list) else []
    if isinstance(classes, dict):
        names = [name for name in classes.values() if name != "ignore"]
        for value in classes:
            is_id = value == "others" or _is_byte(value)
            require(is_id, f"{value!r} in 'classes' must be an id from 0 to 255, or 'others'")
    for name in names:
        require(isinstance(name, str) and name.strip(), f"the class {name!r} is not a name; put it in quotes")
        fault = "is longer than 200 characters or has some that cannot be printed"
        require(is_printable_name(name), f"the class {name!r:.60} {fault}")
        is_once = isinstance(classes, dict) or names.count(name) == 1
        require(is_once, f"the class '{name}' is listed twice")
    names = list(dict.fromkeys(names))
    require(2 <= len(names) <= 255, "'classes' must be a list of 2 to 255 names, or {id: name}")
    return names


def _check_colors(colors: object, classes: object, require: Callable) -> tuple[Color, ...]:
    require(isinstance(classes, list), "'colors' needs a list 'classes', in the same order")
    count = len(colors) if isinstance(colors, list) else "no list"
    require(count == len(classes), f"'colors' must list one for each of the {len(classes)} classes, not {count}")
    for color in colors:
        require(is_color(color), f"the color {color!r} is not [red, green, blue] with whole numbers 0 to 255")
        require(colors.count(color) == 1, f"the color {color} is given to two classes")
    return tuple(map(tuple, colors))


def _check_ignored(ignore: object, table: Mapping, painted: bool, require: Callable) -> list:
    """Return the ids or colors to ignore. Raises DataError if one of them also belongs to a class in `table`."""
    values = ignore if isinstance(ignore, list) and not (painted and is_color(ignore)) else [ignore]
    kind, form = ("color", "[red, green, blue]") if painted else ("id", "a whole number 0 to 255")
    are_valid = all(map(is_color if painted else _is_byte, values))
    require(are_valid, f"'ignore' must be a {kind}, {form}, or a list of them")
    values = list(map(tuple, values)) if painted else values
    for value in values:
        fault = f"the {kind} {value} is ignored and also stands for a class; write classes: {{0: ignore, 1: name}}"
        require(table.get(value, IGNORE) == IGNORE, fault)
    return values


def _check_binary(rule: object, names: Sequence[str], conflict: object, background: object, require: Callable) -> None:
    is_rule = isinstance(rule, dict) and len(rule) == 1 and set(rule) <= {"above", "below", "alpha"}
    is_rule = is_rule and all(map(_is_byte, rule.values()))
    require(is_rule, "'binary' must be like {above: 127}, {below: 128}, {alpha: 127}")
    require(len(names) == 2 and not conflict, "'binary' is for two classes, without 'colors' and pixels to ignore")
    require(background is not None, "'binary' needs a background class: add `background: NAME`")


def _is_byte(value: object) -> bool:
    return is_integer(value, 0, 255)


def _require(file: Path, holds: object, fault: str) -> None:
    if not holds:
        raise DataError(f"{file}: {fault}; see docs/data_formats.md.")


def distinct_colors(count: int) -> tuple[Color, ...]:
    """Return `count` colors: black for the first class, and a different hue for each of the others."""
    # Steps of the golden ratio keep each hue far from all previous hues.
    hues = [(0.11 + i * 0.618034) % 1 for i in range(count - 1)]
    tones = [colorsys.hsv_to_rgb(hue, 0.75 if i % 2 else 1, 0.7 if i % 3 == 2 else 0.95) for i, hue in enumerate(hues)]
    return ((0, 0, 0), *(tuple(round(255 * part) for part in tone) for tone in tones))
