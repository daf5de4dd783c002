"""classes.yaml of a folder of your own: what the values of its masks mean, and how its images are read.

docs/data_formats.md describes every entry with an example.
"""

import colorsys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..files import is_printable_name, read_yaml
from .dataset import IGNORE, background_index
from .images import DEPTHS, DataError
from .masks import labels_by_color, labels_by_id

CLASSES_FILE = "classes.yaml"
ENTRIES = ("classes", "colors", "ignore", "background", "binary", "pattern", "bits", "bands")
Color = tuple[int, int, int]


@dataclass(frozen=True)
class Classes:
    """The content of a classes.yaml.

    Attributes:
        names: of the classes, in the order of their labels: the background first, then as in the file.
        ids: {stored value: label} of masks that store ids.
        others: the label of all other ids; None refuses them.
        colors: one a class, of masks that are painted; None where they store ids.
        ignore: the ids or colors of pixels that do not count.
        background: 0, the label of the background; None if there is none.
        binary: ("above" | "below" | "alpha", threshold) of masks of two classes that are not exact.
        pattern: of image and mask files, see `layouts.by_pattern`; empty to detect the layout.
        bits, bands: as for `read_image`.
    """

    names: tuple[str, ...] = ("background", "object")
    ids: tuple[tuple[int, int], ...] = ()
    others: int | None = None
    colors: tuple[Color, ...] | None = None
    ignore: tuple = ()
    background: int | None = 0
    binary: tuple[str, int] | None = None
    pattern: tuple[str, ...] = ()
    bits: int = 0
    bands: tuple[int, ...] = ()

    @property
    def mask_form(self) -> str:
        """The form in which `read_mask` must give the values."""
        if self.binary:
            return "alpha" if self.binary[0] == "alpha" else "stored"
        return "colors" if self.colors else "stored"

    def decode(self, values: np.ndarray, file: Path) -> np.ndarray:
        """Translate stored values (H, W) or (H, W, 3) to labels (H, W) uint8; DataError names the file."""
        if self.binary:
            return self._threshold(values)
        if self.colors:
            table = dict(zip(self.colors, range(len(self.colors)), strict=True))
            return labels_by_color(values, file, table | dict.fromkeys(self.ignore, IGNORE))
        table = {} if self.others is None else dict.fromkeys(range(256), self.others)
        return labels_by_id(values, file, table | dict(self.ids) | dict.fromkeys(self.ignore, IGNORE))

    def _threshold(self, values: np.ndarray) -> np.ndarray:
        """Compare the brightest channel, or the opacity, with the threshold."""
        side, threshold = self.binary
        values = values if values.ndim == 2 else values.max(2)
        is_object = values < threshold if side == "below" else values > threshold
        return is_object.astype(np.uint8)


def read_classes(file: Path) -> Classes:
    """Read a classes.yaml. DataError says the first thing wrong with it."""
    try:
        return parse_classes(file.read_text(encoding="utf-8"), file)
    except UnicodeDecodeError:
        raise DataError(f"{file}: not a text in UTF-8; save it in that encoding.") from None


def parse_classes(text: str, file: Path) -> Classes:
    """Read the text of the classes.yaml `file`."""
    try:
        content = read_yaml(text)
    except ValueError as error:
        raise DataError(f"{file}: not readable as YAML ({error}); see docs/data_formats.md.") from None
    require = partial(_require, file)
    require(isinstance(content, dict) and content.keys() & {"classes", "binary"}, "must have a list 'classes'")
    unknown = sorted(map(str, content.keys() - set(ENTRIES)))
    require(not unknown, f"unknown entry '{', '.join(unknown)}'; the entries are {', '.join(ENTRIES)}")
    classes = content.get("classes", ["background", "object"])
    names, ids, others, ignore = _names_and_ids(classes, require)
    colors = _colors(content["colors"], classes, require) if content.get("colors") is not None else None
    if content.get("ignore") is not None:
        ignore += _ignored(content["ignore"], dict(ids), colors, require)
    background = _background(content.get("background"), names, require)
    binary = _binary(content["binary"], names, colors, background, require) if "binary" in content else None
    pattern, bits, bands = content.get("pattern", []), content.get("bits", 0), content.get("bands", [])
    is_pair = isinstance(pattern, list) and len(pattern) in (0, 2) and all(isinstance(part, str) for part in pattern)
    require(is_pair, "'pattern' must be a list of two: of the images and of the masks")
    require(bits == 0 or bits in DEPTHS, f"'bits' must be one of {', '.join(map(str, DEPTHS))}")
    are_bands = isinstance(bands, list) and len(bands) in (0, 1, 3) and all(_is_byte(band) and band for band in bands)
    require(are_bands, "'bands' must be a list of one or three numbers from 1")
    rest = (ignore, None if background is None else 0, binary, tuple(pattern), bits, tuple(bands))
    if not background:
        return Classes(names, ids, others, colors, *rest)
    order = sorted(range(len(names)), key=lambda label: label != background)  # the background becomes label 0
    new = {label: order.index(label) for label in order} | {IGNORE: IGNORE, None: None}
    ids = tuple((value, new[label]) for value, label in ids)
    colors = colors and tuple(colors[label] for label in order)
    return Classes(tuple(names[label] for label in order), ids, new[others], colors, *rest)


def _names_and_ids(classes: object, require) -> tuple:
    """Return names, ids, label of the other ids and ignored ids of a list, or of {id: name, others: name}."""
    if isinstance(classes, dict):
        names = list(dict.fromkeys(name for name in classes.values() if name != "ignore"))
    else:
        names = classes if isinstance(classes, list) else []
    require(2 <= len(names) <= 255, "'classes' must be a list of 2 to 255 names, or {id: name}")
    wrong = next((name for name in names if not isinstance(name, str) or not name.strip()), None)
    require(wrong is None, f"the class {wrong!r} is not a name; put it in quotes")
    wrong = next((name for name in names if not is_printable_name(name)), None)
    require(wrong is None, f"the class {wrong!r:.60} is longer than 200 letters or has some that cannot be printed")
    if isinstance(classes, list):
        twice = next((name for name, times in Counter(classes).items() if times > 1), None)
        require(twice is None, f"the class '{twice}' is listed twice")
        return tuple(names), tuple((i, i) for i in range(len(names))), None, ()
    wrong = next((key for key in classes if key != "others" and not _is_byte(key)), None)
    require(wrong is None, f"{wrong!r} in 'classes' must be an id from 0 to 255, or 'others'")
    label = {name: i for i, name in enumerate(names)} | ({} if "ignore" in names else {"ignore": IGNORE})
    table = {key: label[name] for key, name in classes.items()}
    others = table.pop("others", None)
    ignored = tuple(key for key, value in table.items() if value == IGNORE)
    return tuple(names), tuple((key, value) for key, value in table.items() if value != IGNORE), others, ignored


def _colors(colors: object, classes: object, require) -> tuple[Color, ...]:
    require(isinstance(classes, list), "'colors' needs a list 'classes', in the same order")
    count = len(colors) if isinstance(colors, list) else "no list"
    require(count == len(classes), f"'colors' must list one for each of the {len(classes)} classes, not {count}")
    wrong = next((color for color in colors if not _is_color(color)), None)
    require(wrong is None, f"the color {wrong!r} is not [red, green, blue] with whole numbers 0 to 255")
    twice = next((color for color, times in Counter(map(tuple, colors)).items() if times > 1), None)
    require(twice is None, f"the color {list(twice or ())} is given to two classes")
    return tuple(map(tuple, colors))


def _ignored(ignore: object, ids: dict[int, int], colors: Sequence[Color] | None, require) -> tuple:
    if colors is not None:
        values = [ignore] if _is_color(ignore) else ignore
        are_colors = isinstance(values, list) and all(map(_is_color, values))
        require(are_colors, "'ignore' must be a color [red, green, blue] or a list of them, as the masks are painted")
        taken = next((color for color in values if tuple(color) in colors), None)
        require(taken is None, f"the color {taken} is ignored and also given to a class")
        return tuple(map(tuple, values))
    values = ignore if isinstance(ignore, list) else [ignore]
    require(all(map(_is_byte, values)), "'ignore' must be a whole number 0 to 255 or a list, as the masks store ids")
    taken = next((value for value in values if value in ids), None)
    require(
        taken is None,
        f"the id {taken} is ignored and also stands for a class; write the ids: classes: {{0: ignore, 1: name}}",
    )
    return tuple(values)


def _background(name: object, names: Sequence[str], require) -> int | None:
    if name is None:
        return background_index(names)
    require(name in names, f"'background' is {name!r}, but must be one of the classes")
    return names.index(name)


def _binary(rule: object, names: Sequence[str], colors, background: int | None, require) -> tuple[str, int]:
    is_rule = isinstance(rule, dict) and len(rule) == 1 and set(rule) <= {"above", "below", "alpha"}
    require(
        is_rule and all(map(_is_byte, rule.values())), "'binary' must be like {above: 127}, {below: 128}, {alpha: 127}"
    )
    require(len(names) == 2 and colors is None, "'binary' is for two classes, without 'colors'")
    require(background is not None, "'binary' must know which class is outside: add `background: NAME`")
    return next(iter(rule.items()))


def _is_byte(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


def _is_color(value: object) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_is_byte, value))


def _require(file: Path, holds: object, fault: str) -> None:
    if not holds:
        raise DataError(f"{file}: {fault}; see docs/data_formats.md.")


def distinct_colors(count: int) -> tuple[Color, ...]:
    """Return black for the first class, then hues that differ for any number of classes."""
    # Steps of the golden ratio never come back near a recent hue.
    hues = [(0.11 + i * 0.618034) % 1 for i in range(count - 1)]
    tones = [colorsys.hsv_to_rgb(hue, 0.75 if i % 2 else 1, 0.7 if i % 3 == 2 else 0.95) for i, hue in enumerate(hues)]
    return ((0, 0, 0), *(tuple(round(255 * part) for part in tone) for tone in tones))
