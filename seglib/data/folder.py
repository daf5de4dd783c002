"""A folder of your own as a data set: its layout, its classes.yaml and its split.

docs/data_formats.md describes all forms that are read.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from . import layouts
from .classes import CLASSES_FILE, Classes, distinct_colors, read_classes
from .dataset import Pair, Source
from .images import SUFFIXES, DataError
from .masks import jpeg_hint, labels_by_id
from .splits import SPLITS, divide


def source(path: Path | str, pattern: Sequence[str] = ()) -> Source:
    """Describe the data set in the folder `path`.

    Args:
        path: the folder.
        pattern: of image and mask files, see `layouts.by_pattern`; if empty, that of classes.yaml, or a known layout.

    Raises:
        DataError: if its classes.yaml is wrong, or its layout is not known.
    """
    path = Path(path)
    classes = classes_of(path)
    described = classes or Classes()
    pattern = pattern or described.pattern
    layout = layouts.by_pattern(path, *pattern) if pattern else layouts.detect(path)
    pairs, way = _split(path, layout.pairs)
    return Source(
        name=path.resolve().name,
        title=f"the folder {path}",
        classes=described.names,
        palette=described.colors or distinct_colors(len(described.names)),
        find=lambda root: pairs,
        decode=classes.decode if classes else partial(_decode_binary, path),
        background=described.background,
        reading={"bits": described.bits, "bands": described.bands},
        mask_form=classes.mask_form if classes else "guess",
        layout="; ".join([*layout.places, f"split by {way}"]),
        skipped=layout.skipped,
    )


def classes_of(path: Path) -> Classes | None:
    """Read classes.yaml in the folder `path`; None without one. DataError if it is wrong or misnamed."""
    file = path / CLASSES_FILE
    if file.is_file():
        return read_classes(file)
    if file.exists():
        raise DataError(f"{file}: not a file; put a text file of that name in its place, see docs/data_formats.md.")
    misnamed = file.with_suffix(".yml")
    if misnamed.exists():
        raise DataError(f"{misnamed}: a file of this name is not read; rename it to {CLASSES_FILE}.")
    return None


def _split(path: Path, pairs: list[Pair]) -> tuple[list[Pair], str]:
    """Give every pair its split, by folders, list files or the fixed ratio; the second value says which."""
    given = {pair.split for pair in pairs} - {None}
    if given - {"test"}:
        return pairs, "folders"
    rest = [pair.key for pair in pairs if pair.split is None]
    lists = {split: path / f"{split}.txt" for split in SPLITS if (path / f"{split}.txt").is_file()}
    members = {split: _listed_keys(file, rest) for split, file in lists.items()} or divide(rest)
    split_of: dict[str, str] = {}
    for split, keys in members.items():
        for key in keys:
            if key in split_of:
                raise DataError(f"{path / split}.txt: '{key}' is listed twice or in {split_of[key]}.txt too; keep one.")
            split_of[key] = split
    way = "lists" if lists else "ratio, 85:15"
    return [replace(pair, split=pair.split or split_of.get(pair.key)) for pair in pairs], way


def _listed_keys(file: Path, keys: list[str]) -> list[str]:
    """Return the image names in a list file, one per line, with or without their suffix."""
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
            raise DataError(f"{file}: there is no image '{name}' in the folder; correct the list.")
        listed += [name] if name else []
    return listed


def _decode_binary(path: Path, values: np.ndarray, file: Path) -> np.ndarray:
    """Convert the values of masks without a classes.yaml to labels."""
    try:
        return labels_by_id(values, file, {0: 0, 1: 1}, {0: 0, 255: 1})
    except DataError:
        raise DataError(
            f"{file}: has other values than 0 and 1, or 0 and 255{jpeg_hint(file)}, and no "
            f"{path / CLASSES_FILE} names the classes; `seglib data check {path}` suggests one."
        ) from None
