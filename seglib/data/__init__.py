"""Data sets: horses, camvid, humans, cityscapes, a folder of your own, and those that other packages register.

All are opened alike, and give pictures with their label maps:

    from seglib import data
    train = data.load("horses", split="train", root="data")
    train[0]["image"], train[0]["mask"]
    both = data.load("horses+humans", split="train", root="data")       label 1 is "horse or human"
"""

from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from . import camvid, cityscapes, concat, folder, horses, humans, splits
from .dataset import IGNORE, Pair, SegmentationDataset, Source
from .dataset import FilePairs as _FilePairs
from .images import DataError, read_image, read_mask
from .matching import SUFFIXES

__all__ = [
    "IGNORE",
    "SOURCES",
    "SUFFIXES",
    "DataError",
    "Pair",
    "SegmentationDataset",
    "Source",
    "generated_sets",
    "load",
    "names",
    "pairs",
    "read_image",
    "read_mask",
    "source",
]

SOURCES = {s.name: s for s in (horses.SOURCE, camvid.SOURCE, humans.SOURCE, cityscapes.SOURCE)}
CACHE_BYTES = 1 << 30
GENERATED_OPTIONS = ("length", "size", "seed")


class GeneratedSet(Protocol):
    """A data set that makes its own images; see `generated_sets`."""

    name: str
    title: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]

    def load(self, split: str, cache_bytes: int, **options) -> SegmentationDataset: ...


@cache
def generated_sets() -> dict[str, GeneratedSet]:
    """Return the data sets that packages register under the entry point `seglib.datasets`, by name.

    They make their images themselves and need no files.  The course registers `creatures` and `streets`.
    """
    return {point.name: point.load() for point in entry_points(group="seglib.datasets")}


def names() -> list[str]:
    """Return the names that `load` knows, besides the path of a folder of your own."""
    return [*SOURCES, *generated_sets()]


def source(name: str) -> Source:
    """The description of a data set by name, or of the folder at that path.  DataError if it is neither."""
    if name in SOURCES:
        return SOURCES[name]
    if name in generated_sets():
        raise DataError(f"{name} is generated, each split by itself: it has no files and needs no split lists.")
    if Path(name).is_dir():
        return folder.source(Path(name))
    if "+" in name:
        raise DataError(f"{name} is several data sets; name one of them here.")
    raise DataError(f"'{name}' is no data set and no folder; choose one of: {', '.join(names())}, or a folder's path.")


def pairs(source: Source, split: str, root: Path | str, list_name: str = "default") -> list[Pair]:
    """The pairs of `split` ("all" for every one), in the order of the split list or of the files."""
    found = source.find(Path(root))
    if split == "all":
        return found
    given = {pair.split for pair in found if pair.split}
    if given:
        chosen = [pair for pair in found if pair.split == split]
        if not chosen:
            known = ", ".join(sorted(given))
            raise DataError(f"{source.name} has no split '{split}'; choose 'all' or one of: {known}.")
        return chosen
    by_key = {pair.key: pair for pair in found}
    wanted = splits.read_list(source.name, list_name, split)
    missing = [key for key in wanted if key not in by_key]
    if missing:
        raise DataError(
            f"{source.name} in {root}: {len(missing)} of the {len(wanted)} images of split '{split}' are not there, "
            f"{missing[0]} for one; complete the data set, or use --split all to take what is there."
        )
    return [by_key[key] for key in wanted]


def load(
    name: str,
    split: str = "train",
    root: Path | str = "data",
    list_name: str = "default",
    cache_bytes: int = CACHE_BYTES,
    **options,
) -> SegmentationDataset:
    """Open a data set.

    `name`: one of `names()`, the path of a folder of your own, or several of these joined by "+", which are then one
    set, label by label (`mixture.joined`); `split`: train, val, test or all;
    `root`: the folder in which the data sets lie; `list_name`: which committed split list;
    `cache_bytes`: how much decoded data may stay in memory.  `options` go to the drawing functions
    of the synthetic sets: `length`, `size` (height, width), `seed`.  Raises DataError.
    """
    if "+" in name and not Path(name).exists():
        return concat.joined(_parts(name.split("+"), split, root, list_name, cache_bytes, options))
    if name in generated_sets():
        return _load_generated(name, split, cache_bytes, options)
    if options:
        raise DataError(f"{name} takes no option '{next(iter(options))}'; only {_generated_names()} do.")
    described = source(name)
    chosen = pairs(described, split, root, list_name)
    for pair in chosen:
        if not pair.mask.is_file():
            raise DataError(f"{pair.image}: there is no mask {pair.mask}; add it or remove the image.")
    read = _FilePairs(chosen, described.decode, cache_bytes)
    return SegmentationDataset(described.name, described.classes, described.palette, [p.key for p in chosen], read)


def _generated_names() -> str:
    return ", ".join(generated_sets())


def _load_generated(name: str, split: str, cache_bytes: int, options: dict) -> SegmentationDataset:
    unknown = next((option for option in options if option not in GENERATED_OPTIONS), None)
    if unknown:
        raise DataError(f"{name} has no option '{unknown}'; it takes: {', '.join(GENERATED_OPTIONS)}.")
    return generated_sets()[name].load(split, cache_bytes, **options)


def _parts(names: list[str], split: str, root, list_name: str, cache_bytes: int, options: dict):
    """Each of the data sets, the memory shared out; the options are for those that are drawn."""
    if not all(names):
        raise DataError(f"'{'+'.join(names)}' names no data set beside a '+'; write for example horses+humans.")
    if options and not any(name in generated_sets() for name in names):
        raise DataError(f"{'+'.join(names)} takes no option '{next(iter(options))}'; only {_generated_names()} do.")
    cache_bytes //= len(names)
    return [
        load(name, split, root, list_name, cache_bytes, **(options if name in generated_sets() else {}))
        for name in names
    ]
