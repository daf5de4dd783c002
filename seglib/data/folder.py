"""Use your own folder of images and masks as a data set: detect its layout, read classes.yaml and assign splits.

docs/data_formats.md describes all supported layouts and formats.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from . import layouts
from .classes import CLASSES_FILE, distinct_colors, read_classes
from .dataset import Pair, Source
from .images import SUFFIXES, DataError, read_text
from .splits import SPLITS, divide


def source(path: Path | str, pattern: Sequence[str] = ()) -> Source:
    """Return the description of the data set in the folder `path`.

    Args:
        path: The folder.
        pattern: Patterns for the image and mask paths, see `layouts.by_pattern`. If empty, the pattern in classes.yaml
            is used; if there is none, the layout is detected.

    Raises:
        DataError: If classes.yaml is invalid, or the layout is not recognized.
    """
    path = Path(path)
    classes = read_classes(path / CLASSES_FILE)
    pattern = pattern or classes.pattern
    layout = layouts.by_pattern(path, *pattern) if pattern else layouts.detect(path)
    channels = {"channels": classes.channels} if classes.channels else {}
    pairs, way = _split(path, layout.pairs)
    return Source(
        name=path.resolve().name,
        title=f"the folder {path}",
        classes=classes.names,
        palette=classes.colors or distinct_colors(len(classes.names)),
        find=lambda root: pairs,
        decode=classes.decode,
        background=classes.background,
        reading={"bits": classes.bits, "bands": classes.bands, **channels},
        mask_form=classes.mask_form,
        layout="; ".join([*layout.places, f"split by {way}"]),
        skipped=layout.skipped,
    )


def _split(path: Path, pairs: list[Pair]) -> tuple[list[Pair], str]:
    """Assign splits by folder name, by lists (train.txt) or by a fixed ratio. Return the pairs and the method."""
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
    """Return the keys of the images in a list file. Each line is the name of an image, with or without extension."""
    known, listed = set(keys), []
    for line in read_text(file).splitlines():
        name = unicodedata.normalize("NFC", line.strip())
        if name not in known and Path(name).suffix.lower() in SUFFIXES:
            name = name[: -len(Path(name).suffix)]
        if name and name not in known:
            raise DataError(f"{file}: there is no image '{name}' in the folder; correct the list.")
        listed += [name] if name else []
    return listed
