"""The built-in data sets, with the paths of their files and the meaning of mask values. See `data/known_sets.yaml`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from seglib.data.dataset import IGNORE, Pair, Source, background_index
from seglib.data.images import DataError
from seglib.data.layouts import match_pattern
from seglib.data.masks import labels_by_id
from seglib.data.splits import SPLITS
from seglib.files import RESOURCES, read_yaml

from .download import Archive

Table = dict[int, int]  # value in a mask file -> label


@dataclass(frozen=True)
class KnownSource(Source):
    """The description of a built-in data set, including how to get it."""

    instructions: str = ""  # how to download the data manually
    archive: Archive | None = None  # the archive to download; None if there is no public archive


def _find(name: str, entry: Mapping, root: Path) -> list[Pair]:
    """Return all pairs of a built-in data set. Raises DataError if the data set is not in `root`."""
    pairs: dict[str, Pair] = {}
    for images, masks in entry["layouts"]:
        for parts, image in match_pattern(root, images):
            split = "train" if entry.get("training_only") else parts.get("split")
            key, mask = entry.get("key", "{name}").format(**parts), Path(root) / masks.format(**parts)
            is_used = split in (None, *SPLITS) and re.fullmatch(entry.get("used", ".*"), key)
            if not is_used or (mask.suffix == ".mat" and not mask.is_file()):  # street_people is only partly labeled
                continue
            if key in pairs:
                raise DataError(f"{image}: this frame is also in {pairs[key].split}/; remove one of the two.")
            pairs[key] = Pair(key, image, mask, split)
        if pairs:
            return sorted(pairs.values(), key=lambda pair: SPLITS.index(pair.split or "train"))
    raise DataError(f"{root}: {name} is not in this folder; see `seglib data download {name} --root {root}`.")


def unused_images(name: str, root: Path | str, pairs: Sequence[Pair]) -> list[Path]:
    """Return the images of a built-in data set that are not in any pair, because they are unlabeled or not used."""
    used = {file for pair in pairs for file in (pair.image, pair.mask)}
    images = [image for pattern, _ in _ENTRIES[name]["layouts"] for _, image in match_pattern(root, pattern)]
    return [image for image in images if image not in used]


def _decode(tables: Mapping[str, Sequence[Table]], values: np.ndarray, file: Path) -> np.ndarray:
    """Convert mask values to labels, using the tables of the first regular expression that matches the mask's path."""
    expression = next(part for part in tables if re.search(part, file.as_posix(), re.IGNORECASE))
    return labels_by_id(values, file, *tables[expression])


def _table(values: Mapping[int | str, str], labels: Mapping[str, int]) -> Table:
    """Convert {value: class name} to {value: label}. A key may also be a range of values such as "1-59"."""
    table = {}
    for span, name in values.items():
        first, _, last = str(span).partition("-")
        table |= dict.fromkeys(range(int(first), int(last or first) + 1), labels[name])
    return table


def _source(name: str) -> KnownSource:
    entry = _ENTRIES[name]
    classes = tuple(entry["classes"])
    labels = {name: label for label, name in enumerate(classes)} | {"ignore": IGNORE}
    tables = {part: [_table(values, labels) for values in listed] for part, listed in entry["values"].items()}
    return KnownSource(
        name=name,
        title=entry["title"],
        classes=classes,
        palette=tuple(map(tuple, entry["classes"].values())),
        find=partial(_find, name, entry),
        decode=partial(_decode, tables),
        instructions=entry["instructions"].strip(),
        archive=Archive(**entry["archive"]) if "archive" in entry else None,
        training_only=entry.get("training_only", False),
        background=background_index(classes),
    )


_ENTRIES = read_yaml((RESOURCES / "data" / "known_sets.yaml").read_text(encoding="utf-8"))
SOURCES = {name: _source(name) for name in _ENTRIES}  # registered in the entry point group `seglib.datasets`
# For each data set, the pairs of keys whose images show the same photograph.
REPEATED = {
    name: [tuple(pair) for pair in entry["repeated"]] for name, entry in _ENTRIES.items() if "repeated" in entry
}
