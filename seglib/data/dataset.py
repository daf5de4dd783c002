"""The data set class, and readers that decode image and mask files and cache the decoded arrays."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from .images import DataError, read_image, read_size, turn_hint
from .masks import read_mask

IGNORE = 255  # the label of pixels that are excluded from the loss and the metrics
STATISTICS_IMAGES = 1000  # maximum number of images used to compute the mean and standard deviation of bands
ASPECT_TOLERANCE = 0.01  # a mask is resized to the size of its image if the aspect ratios differ by at most 1%


@dataclass(frozen=True)
class Pair:
    """An image file, its mask file, and the key that identifies the pair in split lists."""

    key: str
    image: Path
    mask: Path
    split: str | None = None  # None if the data set does not define splits

    def check_mask(self) -> None:
        """Raise DataError if the image exists but its mask does not."""
        if self.image.is_file() and not self.mask.is_file():
            raise DataError(f"{self.image}: there is no mask {self.mask}; add it or remove the image.")


@dataclass(frozen=True)
class Source:
    """The description of a data set, including where its files are and what its labels mean."""

    name: str
    title: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    find: Callable[[Path], list[Pair]]  # root folder -> all pairs; raises DataError if there are none
    decode: Callable[[np.ndarray, Path], np.ndarray]  # (stored mask values, file) -> labels (H, W) uint8
    training_only: bool = False  # True if the labels are too incomplete for validation
    background: int | None = None  # the label of the background; None if there is none
    reading: dict = field(default_factory=dict)  # keyword arguments of `read_image` for these images
    mask_form: str = "stored"  # argument `form` of `read_mask`
    layout: str = ""  # description of the detected layout; only for your own folders
    skipped: Sequence[Path] = ()  # files that belong to no pair; only for your own folders


def background_index(classes: Sequence[str]) -> int | None:
    """Return the index of the class named "background", or None if there is no such class."""
    return next((i for i, name in enumerate(classes) if str(name).strip("_").lower() == "background"), None)


class DecodedCache:
    """A cache of at most `max_bytes` of decoded arrays. The least recently used arrays are dropped first."""

    def __init__(self, max_bytes: int):
        self.max_bytes = max_bytes
        self.bytes = 0
        self._entries: OrderedDict[Hashable, tuple[np.ndarray, ...]] = OrderedDict()

    def get(self, key: Hashable, decode: Callable[[], tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
        """Return the cached arrays for `key`, or call `decode()` and cache the arrays that it returns."""
        arrays = self._entries.pop(key, None)
        if arrays is None:
            arrays = decode()
            self.bytes += sum(a.nbytes for a in arrays)
            for array in arrays:
                array.flags.writeable = False  # the arrays are shared by all callers
        self._entries[key] = arrays
        while self.bytes > self.max_bytes:
            _, dropped = self._entries.popitem(last=False)
            self.bytes -= sum(a.nbytes for a in dropped)
        return arrays


class FilePairs:
    """Reads image-mask pairs by index, with a cache. Returns the image from `read_image`, and uint8 labels (H, W)."""

    def __init__(self, source: Source, pairs: Sequence[Pair], cache_bytes: int):
        self.decode, self.reading, self.mask_form = source.decode, source.reading, source.mask_form
        self.pairs = list(pairs)
        self.cache = DecodedCache(cache_bytes)

    def __call__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        pair = self.pairs[index]
        try:
            stamps = [(s.st_size, s.st_mtime_ns) for s in (pair.image.stat(), pair.mask.stat())]
        except OSError:
            return self._read(pair)  # raises an error that names the file
        return self.cache.get((index, *stamps), lambda: self._read(pair))  # a changed file is read again

    def _read(self, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
        image = read_image(pair.image, **self.reading)
        return image, self._labels(pair, image.shape[:2])

    def labels(self, index: int) -> np.ndarray:
        """Return only the labels of the pair at `index`, uint8 (H, W), without decoding the image if possible."""
        pair = self.pairs[index]
        return self._labels(pair, read_size(pair.image, **self.reading))

    def _labels(self, pair: Pair, shape: tuple[int, int]) -> np.ndarray:
        labels = self.decode(self._values(pair.mask), pair.mask)
        return labels if labels.shape == shape else self._resized(labels, shape, pair)

    def _values(self, mask: Path) -> np.ndarray:
        return read_mask(mask, self.mask_form)

    @staticmethod
    def _resized(labels: np.ndarray, shape: tuple[int, int], pair: Pair) -> np.ndarray:
        (height, width), (rows, columns) = shape, labels.shape
        # In small images, rounding to whole pixels may change the aspect ratio by more than the tolerance.
        slack = max(ASPECT_TOLERANCE, 1 / min(rows, columns, height, width))
        if abs(columns * height / (rows * width) - 1) > slack:
            sizes = f"the mask is {columns}x{rows} but the image {width}x{height}, a different aspect ratio"
            raise DataError(f"{pair.mask}: {sizes}{turn_hint(pair.image, pair.mask)}; make the mask again.")
        # Integer arithmetic is used because OpenCV versions round a center midway between two pixels differently.
        rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for new, old in ((height, rows), (width, columns)))
        return labels[rows[:, None], columns]


class SelectedReader:
    """Reads selected items from one or more readers. Unlike a closure, it can be pickled for data loader workers."""

    def __init__(self, items: Sequence[tuple[Callable[[int], tuple[np.ndarray, np.ndarray]], int]]):
        self.items = items

    def __call__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        read, number = self.items[index]
        return read(number)

    def labels(self, index: int) -> np.ndarray:
        return read_labels(*self.items[index])


def read_labels(read: Callable[[int], tuple[np.ndarray, np.ndarray]], index: int) -> np.ndarray:
    """Return the labels of item `index` of a reader, without reading the image if the reader has a method `labels`."""
    return read.labels(index) if hasattr(read, "labels") else read(index)[1]


@dataclass(eq=False)
class SegmentationDataset(Dataset):
    """A map-style data set of images and masks.

    Each item is a dict: "image" is uint8 RGB (H, W, 3), "mask" is uint8 (H, W) with labels 0..C-1, or 255 for ignored
    pixels, and "key" is a string. Sizes may differ between items. If `channels` is not 0, images are float32 (H, W,
    channels) with the stored values of the bands. Arrays may be shared between calls; copy them before you modify them.
    The function `read` returns (image, mask) for an index, and may raise a DataError that names a file.
    """

    name: str
    classes: Sequence[str]
    palette: Sequence[Sequence[int]]
    keys: Sequence[str]
    read: Callable[[int], tuple[np.ndarray, np.ndarray]]
    background_index: int | None = None
    reading: dict = field(default_factory=dict)  # keyword arguments of `read_image` for these images

    def __post_init__(self):
        self.classes, self.keys = tuple(self.classes), list(self.keys)
        self.palette = np.array(self.palette, np.uint8).reshape(-1, 3)
        if self.background_index is None:
            self.background_index = background_index(self.classes)

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def channels(self) -> int:
        """The number of bands of each image, or 0 for uint8 RGB."""
        return self.reading.get("channels", 0)

    def channel_statistics(self) -> tuple[list[float], list[float]]:
        """Return the mean and standard deviation of each channel over up to STATISTICS_IMAGES evenly spaced images.

        Both are rounded to six significant digits. Raises DataError if a band has no valid values or is constant.
        """
        count, total, squares = np.zeros((3, self.channels))
        for index in range(0, len(self), -(-len(self) // STATISTICS_IMAGES)):
            values = self.read(index)[0].reshape(-1, self.channels).astype(np.float64)
            valid = np.isfinite(values)
            values[~valid] = 0
            count, total, squares = count + valid.sum(0), total + values.sum(0), squares + (values**2).sum(0)
        mean = total / np.maximum(count, 1)
        std = np.sqrt((squares / np.maximum(count, 1) - mean**2).clip(0))
        for band in np.flatnonzero(std <= 1e-7 * np.abs(mean)):
            fault = "has one value in all training images" if count[band] else "has no values in the training images"
            raise DataError(f"{self.name}: band {band + 1} {fault}; exclude it with `bands:` in classes.yaml.")
        return [float(f"{value:.6g}") for value in mean], [float(f"{value:.6g}") for value in std]

    def pixel_counts(self) -> list[int]:
        """Count the pixels of each class over all masks, excluding ignored pixels. This reads every mask."""
        masks = (read_labels(self.read, i) for i in range(len(self)))
        return sum(np.bincount(mask.ravel(), minlength=256)[: self.num_classes] for mask in masks).tolist()

    def without(self, keys: Sequence[str]) -> "SegmentationDataset":
        """Return a copy of the data set without the items in `keys`.

        Raises DataError if a key is unknown or no item is left.
        """
        unknown = sorted(set(keys) - set(self.keys))
        if unknown:
            raise DataError(f"{self.name} has no image '{unknown[0]}' in this split; the first is '{self.keys[0]}'.")
        kept = {i: key for i, key in enumerate(self.keys) if key not in keys}
        if keys and not kept:
            raise DataError(f"{self.name}: without these, none of the {len(self)} images are left; leave out fewer.")
        return replace(self, keys=list(kept.values()), read=SelectedReader([(self.read, i) for i in kept]))

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> dict:
        index = range(len(self))[index]  # supports negative indices and raises IndexError
        image, mask = self.read(index)
        return {"image": image, "mask": mask, "key": self.keys[index]}


def concat_datasets(parts: Sequence[SegmentationDataset], repeats: Sequence[int] | None = None) -> SegmentationDataset:
    """Concatenate data sets. Each key is prefixed with the name of its data set.

    Classes with the same label are merged, even if their names differ; the merged class is then called, for example,
    "horse or human". The palette of the first data set is used.

    Args:
        parts: The data sets. They must have the same number of classes and different names.
        repeats: Number of times that the items of each data set are repeated; None for 1.

    Raises:
        DataError: If the data sets differ in number of classes, background or channels, or two have the same name.
    """
    first, names = parts[0], [part.name for part in parts]
    for part, name in zip(parts, names, strict=True):
        if part.num_classes != first.num_classes:
            counts = f"{first.name} has {first.num_classes} classes and {name} {part.num_classes}"
            raise DataError(f"{counts}: sets are joined label by label; choose sets with the same number.")
        if part.background_index != first.background_index:
            both = f"{first.name} and {name}"
            raise DataError(f"of {both}, one has a background class and the other none: name it in classes.yaml.")
        if part.channels != first.channels:
            counts = f"{first.name} has images of {first.channels} channels, {name} of {part.channels} (0 is RGB)"
            raise DataError(f"{counts}: set data.channels, or `channels:` in classes.yaml.")
        if names.count(name) > 1:
            raise DataError(f"two of the joined sets are called {name}; list each once, or rename one of the folders.")
    classes = [" or ".join(dict.fromkeys(same)) for same in zip(*(part.classes for part in parts), strict=True)]
    repeated = [part for part, count in zip(parts, repeats or [1] * len(parts), strict=True) for _ in range(count)]
    keys = [f"{part.name}/{key}" for part in repeated for key in part.keys]
    read = SelectedReader([(part.read, i) for part in repeated for i in range(len(part))])
    reading = {name: value for name, value in first.reading.items() if all(p.reading.get(name) == value for p in parts)}
    return SegmentationDataset("+".join(names), classes, first.palette, keys, read, first.background_index, reading)
