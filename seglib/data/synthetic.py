"""The drawn data sets: as many pictures as wanted, at any size, with exact masks and nothing to download."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from . import creatures, streets
from .dataset import DecodedCache, SegmentationDataset
from .drawing import MIN_SIDE
from .images import DataError

# Each split draws from a range of indices of its own, so that none shares a picture with another.
FIRST_INDEX = {"train": 0, "val": 10_000_000, "test": 20_000_000}
DEFAULT_LENGTH = {"train": 256, "val": 64, "test": 64}


@dataclass(frozen=True)
class Drawn:
    """A kind of drawn picture: `draw(seed, index, height, width) -> (image, mask)`."""

    name: str
    title: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    draw: Callable[[int, int, int, int], tuple[np.ndarray, np.ndarray]]
    size: tuple[int, int]  # height, width unless asked otherwise


DRAWN = {
    "creatures": Drawn(
        "creatures", "drawn animals", creatures.CLASSES, creatures.PALETTE, creatures.draw_creature, (192, 240)
    ),
    "streets": Drawn("streets", "drawn streets", streets.CLASSES, streets.PALETTE, streets.draw_street, (240, 320)),
}


class Draw:
    """Draws picture number i of a split, and remembers it while `cache_bytes` allow."""

    def __init__(self, kind: str, first: int, seed: int, size: tuple[int, int], cache_bytes: int):
        self.kind, self.first, self.seed, self.size = kind, first, seed, size
        self.cache = DecodedCache(cache_bytes)

    def __call__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        draw = DRAWN[self.kind].draw
        return self.cache.get(index, None, lambda: draw(self.seed, self.first + index, *self.size))


def load(name: str, split: str, cache_bytes: int, **options) -> SegmentationDataset:
    """The drawn set `name`: `length` pictures of `size` (height, width) for a `seed`, all three optional.

    A picture depends on seed, split and its number alone.  Raises DataError for an unknown split or option.
    """
    kind = DRAWN[name]
    if split not in FIRST_INDEX:
        raise DataError(f"{name} has no split '{split}'; choose one of: {', '.join(FIRST_INDEX)}.")
    options = {"length": DEFAULT_LENGTH[split], "size": kind.size, "seed": 0} | options
    length, size, seed = options.pop("length"), options.pop("size"), options.pop("seed")
    if options:
        raise DataError(f"{name} has no option '{next(iter(options))}'; it takes: length, size, seed.")
    numbers = [length, *size, seed] if isinstance(size, Sequence) and len(size) == 2 else [None]
    if not all(isinstance(n, Integral) and n >= 0 for n in numbers) or length < 1 or min(size) < MIN_SIDE:
        raise DataError(
            f"{name} cannot be drawn with length {length}, size {size}, seed {seed}: "
            f"size is a height and a width of at least {MIN_SIDE} pixels, length at least 1, all whole numbers."
        )
    keys = [f"{name}-{split}-{i:05d}" for i in range(length)]
    return SegmentationDataset(
        name, kind.classes, kind.palette, keys, Draw(name, FIRST_INDEX[split], seed, tuple(size), cache_bytes)
    )
