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

from . import camvid, cityscapes, concat, folder, horses, humans, splits, street_people, video_objects
from .annotations import import_annotations
from .dataset import IGNORE, Pair, SegmentationDataset, Source, background_index
from .dataset import FilePairs as _FilePairs
from .images import DataError, read_image
from .masks import read_mask
from .matching import SUFFIXES

__all__ = [
    "IGNORE",
    "SOURCES",
    "SUFFIXES",
    "DataError",
    "Pair",
    "SegmentationDataset",
    "Source",
    "background_index",
    "generated_sets",
    "import_annotations",
    "load",
    "names",
    "pairs",
    "read_image",
    "read_mask",
    "source",
]


def __dir__() -> list[str]:
    return __all__


_MODULES = (horses, camvid, humans, cityscapes, street_people, video_objects)
SOURCES = {module.SOURCE.name: module.SOURCE for module in _MODULES}
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
    if concat.is_joined(name):
        raise DataError(f"{name} is several data sets; name one of them here.")
    raise DataError(f"'{name}' is no data set and no folder; choose one of: {', '.join(names())}, or a folder's path.")


def pairs(source: Source, split: str, root: Path | str, list_name: str = "default") -> list[Pair]:
    """Return the pairs of `split`, in the order of the split list or of the files.

    `split` is "all", a split that the data set comes with, or one that a committed list names.  Lists also divide
    train into `fit` and `select`, the part on which checkpoints and settings are chosen.  Raises DataError.
    """
    every_pair = source.find(Path(root))
    if split == "all":
        return every_pair
    if source.training_only and split == "fit":
        split = "train"
    given = {pair.split for pair in every_pair if pair.split}
    if split in given:
        return [pair for pair in every_pair if pair.split == split]
    listed = splits.names(source.name, list_name)
    if given and split not in listed:
        known = ", ".join(sorted(given | set(listed)))
        raise DataError(f"{source.name} has no split '{split}'; choose 'all' or one of: {known}.")
    by_key = {pair.key: pair for pair in every_pair}
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
    set, label by label (`concat_datasets`); `a*3+b` shows the images of a three times in each epoch of training.
    Sets that are for training only have no part in the other splits of a joined set.
    `split`: train, val, test or all, and fit and select, into which lists divide train;
    `root`: the folder in which the data sets lie; `list_name`: which committed split list;
    `cache_bytes`: how much decoded data may stay in memory.  `options` go to the drawing functions
    of the synthetic sets: `length`, `size` (height, width), `seed`.  Raises DataError.
    """
    if concat.is_joined(name):
        return _load_joined(name, split, root, list_name, cache_bytes, options)
    if name in generated_sets():
        return _load_generated(name, split, cache_bytes, options)
    if options:
        raise DataError(f"{name} takes no option '{next(iter(options))}'; only {_generated_names()} do.")
    described = source(name)
    chosen = pairs(described, split, root, list_name)
    for pair in chosen:
        if not pair.mask.is_file():
            raise DataError(f"{pair.image}: there is no mask {pair.mask}; add it or remove the image.")
    read = _FilePairs(chosen, described.decode, cache_bytes, described.read_image, described.read_mask)
    keys = [pair.key for pair in chosen]
    reading = getattr(described.read_image, "keywords", {})
    return SegmentationDataset(
        described.name, described.classes, described.palette, keys, read, described.background, reading
    )


def _generated_names() -> str:
    return ", ".join(generated_sets())


def _load_generated(name: str, split: str, cache_bytes: int, options: dict) -> SegmentationDataset:
    unknown = next((option for option in options if option not in GENERATED_OPTIONS), None)
    if unknown:
        raise DataError(f"{name} has no option '{unknown}'; it takes: {', '.join(GENERATED_OPTIONS)}.")
    return generated_sets()[name].load(split, cache_bytes, **options)


def _load_joined(name: str, split: str, root, list_name: str, cache_bytes: int, options: dict) -> SegmentationDataset:
    """Open the data sets of a joined name, the memory shared out; the options are for generated sets."""
    repeats = concat.parse_joined_name(name)
    if options and not any(part in generated_sets() for part in repeats):
        raise DataError(f"{name} takes no option '{next(iter(options))}'; only {_generated_names()} do.")
    if split not in ("train", "fit"):
        repeats = {part: 1 for part in repeats if split == "all" or not _is_training_only(part)}
    if not repeats:
        raise DataError(f"{name} is for training only and has no split '{split}'; join it with a set that has one.")
    cache_bytes //= len(repeats)
    parts = [
        load(n, split, root, list_name, cache_bytes, **(options if n in generated_sets() else {})) for n in repeats
    ]
    return concat.concat_datasets(parts, list(repeats.values()))


def _is_training_only(name: str) -> bool:
    return name in SOURCES and SOURCES[name].training_only
