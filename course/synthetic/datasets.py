"""Define the synthetic data sets, which generate any number of images with exact masks at any size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from seglib.data.dataset import DecodedCache, SegmentationDataset
from seglib.data.images import DataError

from . import creatures, streets
from .drawing import MIN_SIDE

# Each split has its own range of indices, so that no image is in two splits.
FIRST_INDEX = {"train": 0, "val": 10_000_000, "test": 20_000_000}
DEFAULT_LENGTH = {"train": 256, "val": 64, "test": 64}


@dataclass(frozen=True)
class SyntheticSet:
    """A synthetic data set, in which `draw(seed, index, height, width)` returns an image and its mask."""

    name: str
    title: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    draw: Callable[[int, int, int, int], tuple[np.ndarray, np.ndarray]]
    size: tuple[int, int]  # default height and width

    def load(
        self,
        split: str = "train",
        cache_bytes: int = 0,
        length: int | None = None,
        size: Sequence[int] | None = None,
        seed: int = 0,
    ) -> SegmentationDataset:
        """Return a data set of `length` images of `size` (height, width).

        An image depends only on the size, the seed, the split and its index.

        Raises:
            DataError: If the split is unknown, or length, size or seed is out of range.
        """
        if split not in FIRST_INDEX:
            raise DataError(f"{self.name} has no split '{split}'; choose one of: {', '.join(FIRST_INDEX)}.")
        length = DEFAULT_LENGTH[split] if length is None else length
        size = self.size if size is None else size
        numbers = [length, *size, seed] if isinstance(size, Sequence) and len(size) == 2 else [None]
        if not all(isinstance(n, Integral) and n >= 0 for n in numbers) or length < 1 or min(size) < MIN_SIDE:
            raise DataError(
                f"{self.name} cannot be generated with length {length}, size {size}, seed {seed}: "
                f"all must be integers, height and width at least {MIN_SIDE} pixels, and length at least 1."
            )
        keys = [f"{self.name}-{split}-{i:05d}" for i in range(length)]
        draw = Draw(self, FIRST_INDEX[split], seed, tuple(size), cache_bytes)
        return SegmentationDataset(self.name, self.classes, self.palette, keys, draw)


class Draw:
    """Draw the image with a given index in a split, and cache up to `cache_bytes` of images."""

    def __init__(self, kind: SyntheticSet, first: int, seed: int, size: tuple[int, int], cache_bytes: int):
        self.kind, self.first, self.seed, self.size = kind, first, seed, size
        self.cache = DecodedCache(cache_bytes)

    def __call__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.cache.get(index, lambda: self.kind.draw(self.seed, self.first + index, *self.size))


CREATURES = SyntheticSet(
    "creatures", "synthetic animals", creatures.CLASSES, creatures.PALETTE, creatures.draw_creature, (192, 240)
)
STREETS = SyntheticSet(
    "streets", "synthetic streets", streets.CLASSES, streets.PALETTE, streets.draw_street, (240, 320)
)
