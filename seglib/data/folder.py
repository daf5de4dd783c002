"""A folder of your own: images/, masks/ and a classes.yaml that names the classes.

The form of classes.yaml and the ways to give a split are described in data/README.md.
"""

import colorsys
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import weights_metadata
from ..files import read_yaml
from .dataset import IGNORE, Pair, Source
from .images import DataError, check_hidden, jpeg_hint, labels_by_colour, labels_by_id, mask_colours, read_mask
from .matching import SUFFIXES, by_stem, image_files
from .splits import divide

CLASSES_FILE = "classes.yaml"
SPLITS = ("train", "val", "test")
INSTRUCTIONS = "Put pictures in images/, masks of the same name in masks/, and name the classes in classes.yaml."
MOST_CLASSES = 64  # distinct values in masks beyond which a list of classes would be of no help
STRAY = 1e-3  # share of all pixels below which a value beside 0 and 1, or 0 and 255, may be a slip of the brush
SURVEYED = 50  # masks looked at to describe what a folder without classes.yaml holds

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Classes:
    """What classes.yaml says.  `colours` is None where masks store ids."""

    names: tuple[str, ...]
    colours: tuple[Colour, ...] | None = None
    ignore: int | Colour | None = None


def source(path: Path | str) -> Source:
    """The description of the data set in the folder `path`.  DataError if its classes.yaml is wrong."""
    path = Path(path)
    classes = _classes_of(path)
    names = classes.names if classes else ("background", "object")
    return Source(
        name=path.resolve().name,
        title=f"the folder {path}",
        classes=names,
        palette=(classes and classes.colours) or distinct_colours(len(names)),
        find=lambda root: find(path),
        decode=Decoder(classes, path),
        instructions=INSTRUCTIONS,
    )


def _classes_of(path: Path) -> Classes | None:
    """What classes.yaml in the folder `path` says, None without one.  DataError if it is wrong or misnamed."""
    file = path / CLASSES_FILE
    if file.is_file():
        return read_classes(file)
    if file.exists():
        raise DataError(f"{file}: not a file; put a text file of that name in its place, see data/README.md.")
    misnamed = file.with_suffix(".yml")
    if misnamed.exists():
        raise DataError(f"{misnamed}: a file of this name is not read; rename it to {CLASSES_FILE}.")
    return None


def find(path: Path) -> list[Pair]:
    """Every pair of the folder, with the split that subfolders, list files or the fixed ratio give it."""
    images, masks = path / "images", path / "masks"
    subfolders = [split for split in SPLITS if (images / split).is_dir()]
    if subfolders:  # the same name may occur in two of them, so the key tells the split
        return [
            Pair(f"{split}/{pair.key}", pair.image, pair.mask, split)
            for split in subfolders
            for pair in by_stem(images / split, masks / split)
        ]
    pairs = by_stem(images, masks)
    keys = [pair.key for pair in pairs]
    lists = {split: path / f"{split}.txt" for split in SPLITS if (path / f"{split}.txt").is_file()}
    members = {split: _listed_keys(file, keys) for split, file in lists.items()} or divide(keys)
    split_of: dict[str, str] = {}
    for split, listed in members.items():
        for key in listed:
            if key in split_of:
                raise DataError(f"{path / split}.txt: '{key}' is listed twice or in {split_of[key]}.txt too; keep one.")
            split_of[key] = split
    return [Pair(pair.key, pair.image, pair.mask, split_of.get(pair.key)) for pair in pairs]


def _listed_keys(file: Path, keys: list[str]) -> list[str]:
    """The image names in a list file, one a line, with or without their suffix."""
    known, listed = set(keys), []
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()  # Windows begins files with a mark
    except UnicodeDecodeError:
        raise DataError(f"{file}: not a text in UTF-8; save the list in that encoding.") from None
    for line in lines:
        name = unicodedata.normalize("NFC", line.strip())
        if name not in known and Path(name).suffix.lower() in SUFFIXES:
            name = name[: -len(Path(name).suffix)]
        if name and name not in known:
            raise DataError(f"{file}: there is no image '{name}' in images/; correct the list.")
        listed += [name] if name else []
    return listed


@dataclass(frozen=True)
class Decoder:
    """Turns the stored values of a mask in the folder `path` into labels; a class, so that workers can unpickle it."""

    classes: Classes | None
    path: Path

    def __call__(self, values: np.ndarray, file: Path) -> np.ndarray:
        if self.classes is None:
            return self._guessed(values, file)
        ignore = self.classes.ignore
        if self.classes.colours is None:
            table = {i: i for i in range(len(self.classes.names))}
            return labels_by_id(values, file, table if ignore is None else table | {ignore: IGNORE})
        table = {colour: label for label, colour in enumerate(self.classes.colours)}
        if values.ndim == 2:  # maybe palette indices, where the colours are wanted
            values = mask_colours(file)
        return labels_by_colour(values, file, table if ignore is None else table | {ignore: IGNORE})

    def _guessed(self, values: np.ndarray, file: Path) -> np.ndarray:
        check_hidden(file)
        if values.ndim == 2 and values.max(initial=0) == 1:
            self._check_palette(values, file)
        try:
            return labels_by_id(values, file, {0: 0, 1: 1}, {0: 0, 255: 1})
        except DataError:
            raise DataError(
                f"{file}: holds other values than 0 and 1 or 0 and 255{jpeg_hint(file)}, and there is no "
                f"{self.path / CLASSES_FILE} to name the classes; {survey(file.parent)}"
            ) from None

    def _check_palette(self, values: np.ndarray, file: Path) -> None:
        """DataError if the file shows its value 1 as black and 0 as something else: programs number colours anyhow."""
        shown = mask_colours(file)
        if not shown[values == 1].any() and shown[values == 0].any():
            raise DataError(
                f"{file}: the value 0 is shown as {tuple(shown[values == 0][0].tolist())} and 1 as black, so which is "
                f"background is not known; save it in grey, or name the colors in {self.path / CLASSES_FILE}."
            )


def read_classes(file: Path) -> Classes:
    """Read and judge a classes.yaml.  DataError says the first thing wrong with it."""
    try:
        content = read_yaml(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file}: not readable as YAML ({error}); see data/README.md.") from None
    _require(isinstance(content, dict) and "classes" in content, file, "must have a list 'classes'")
    unknown = sorted(map(str, content.keys() - {"classes", "colors", "ignore"}))
    _require(not unknown, file, f"unknown entry '{', '.join(unknown)}'; the entries are classes, colors and ignore")
    names, colours, ignore = content["classes"], content.get("colors"), content.get("ignore")
    _require(isinstance(names, list) and 2 <= len(names) <= 255, file, "'classes' must be a list of 2 to 255 names")
    wrong = next((name for name in names if not isinstance(name, str) or not name.strip()), None)
    _require(wrong is None, file, f"the class {wrong!r} is not a name; put it in quotes")
    wrong = next((name for name in names if not weights_metadata.is_printable_name(name)), None)
    _require(
        wrong is None, file, f"the class {wrong!r:.60} is longer than 200 letters or has some that cannot be printed"
    )
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    _require(twice is None, file, f"the class '{twice}' is listed twice")
    if colours is not None:
        colours = _judged_colours(colours, names, file)
    if ignore is not None:
        ignore = _judged_ignore(ignore, len(names), colours, file)
    return Classes(tuple(names), colours, ignore)


def _judged_colours(colours: object, names: list[str], file: Path) -> tuple[Colour, ...]:
    found = len(colours) if isinstance(colours, list) else "no list"
    _require(found == len(names), file, f"'colors' must list one for each of the {len(names)} classes, not {found}")
    wrong = next((colour for colour in colours if not _is_colour(colour)), None)
    _require(wrong is None, file, f"the color {wrong!r} is not [red, green, blue] with whole numbers 0 to 255")
    twice = next((c for c, times in Counter(map(tuple, colours)).items() if times > 1), None)
    _require(twice is None, file, f"the color {list(twice or ())} is given to two classes")
    return tuple(tuple(colour) for colour in colours)


def _judged_ignore(ignore: object, count: int, colours: tuple[Colour, ...] | None, file: Path) -> int | Colour:
    if colours is not None:
        _require(_is_colour(ignore), file, "'ignore' must be a color [red, green, blue], as the masks are painted")
        _require(tuple(ignore) not in colours, file, f"the color {ignore} is ignored and also given to a class")
        return tuple(ignore)
    _require(_is_byte(ignore), file, "'ignore' must be a whole number 0 to 255, as the masks store ids")
    _require(ignore >= count, file, f"the id {ignore} is ignored and also stands for a class")
    return ignore


def _is_byte(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


def _is_colour(value: object) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_is_byte, value))


def _require(holds: bool, file: Path, fault: str) -> None:
    if not holds:
        raise DataError(f"{file}: {fault}; see data/README.md.")


def survey(masks: Path) -> str:
    """What the masks in a folder hold, and a classes.yaml to start from, as text to show."""
    shares: Counter = Counter()
    files = list(image_files(masks).values())[:SURVEYED]
    for file in files:
        try:
            values = read_mask(file)
        except DataError:
            continue
        flat = values.reshape(-1, 3) if values.ndim == 3 else values.reshape(-1, 1)
        for value, count in zip(*np.unique(flat, axis=0, return_counts=True), strict=True):
            shares[tuple(value.tolist())] += int(count)
    coloured = any(len(value) == 3 for value in shares)
    top, total = shares.most_common(12), sum(shares.values())
    what = "; ".join(f"{', '.join(map(str, value))} ({count / total:.1%})" for value, count in top)
    more = f" and {len(shares) - len(top)} more" if len(shares) > len(top) else ""
    held = f"{len(files)} masks there hold {what}{more}."
    common = {value for value, count in shares.items() if count >= STRAY * total}
    if common in ({(0,), (1,)}, {(0,), (255,)}) and len(common) < len(shares):
        return f"{held} If the rare values are slips of the brush, paint them over; if classes, name them there."
    if len(shares) > MOST_CLASSES:
        return f"{held} If nobody painted so many, smoothing or compression did: save PNG, each pixel one class."
    return f"{held} A {CLASSES_FILE} to start from:\n{_suggestion(shares, coloured)}"


def _suggestion(shares: Counter, coloured: bool) -> str:
    if coloured:
        colours = [value * 3 if len(value) == 1 else value for value, _ in shares.most_common(12)]
        lines = [f"  - {list(colour)}" for colour in colours]
        return "\n".join(["classes:", *(f"  - class{i}" for i in range(len(colours))), "colors:", *lines])
    ids = sorted(value[0] for value in shares if value != (255,))
    ignore = ["ignore: 255"] if (255,) in shares else []
    return "\n".join(["classes:", *(f"  - class{i}" for i in range(min(max(ids, default=1), 254) + 1)), *ignore])


def distinct_colours(count: int) -> tuple[Colour, ...]:
    """Black for the first class, then hues that differ for any number of classes."""
    # Steps of the golden ratio never come back near a hue they took lately.
    hues = [(0.11 + i * 0.618034) % 1 for i in range(count - 1)]
    tones = [colorsys.hsv_to_rgb(hue, 0.75 if i % 2 else 1, 0.7 if i % 3 == 2 else 0.95) for i, hue in enumerate(hues)]
    return ((0, 0, 0), *(tuple(round(255 * part) for part in tone) for tone in tones))
