"""Compute hashes of a data set's content, to check whether it is the data on which the released weights were trained.

Archives and PNG files may be repacked without changing a pixel, so the decoded pixels are hashed. For JPEG files, the
bytes of the file are hashed instead, because decoders differ slightly.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seglib.data.dataset import FilePairs, Pair, Source
from seglib.data.images import JPEG, DataError, decode_image, read_orientation
from seglib.data.splits import LISTS, read_list

from .suggestion import MaskValues

DIGESTS = LISTS.parent / "digests.json"


class CheckingReader(FilePairs):
    """Reads image-mask pairs by index without a cache, and collects statistics for the data set check.

    Attributes:
        depths: Number of images for each bit depth.
        turned: Images that are rotated by EXIF, although their masks are not.
        mask_values: Pixel counts of the mask values; None if a classes.yaml defines these values.
    """

    def __init__(self, source: Source, pairs: Sequence[Pair], mask_values: MaskValues | None = None):
        super().__init__(source, pairs, cache_bytes=0)
        self.mask_values, self.depths, self.turned = mask_values, Counter(), []
        self._hashes: dict[str, str] = {}

    def _values(self, mask: Path) -> np.ndarray:
        values = super()._values(mask)
        if self.mask_values is not None:
            self.mask_values.add(values, mask)
        return values

    def _read(self, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
        pair.check_mask()
        image, bits, turn = decode_image(pair.image, **self.reading)
        self.depths[bits] += 1
        if turn != 1 and read_orientation(pair.mask) == 1:
            self.turned.append(pair.image)
        labels = self._labels(pair, image.shape[:2])
        item = hashlib.sha256(repr(image.shape).encode())
        item.update(pair.image.read_bytes() if pair.image.suffix.lower() in JPEG else image.tobytes())
        item.update(labels.tobytes())
        self._hashes[pair.key] = item.hexdigest()
        return image, labels

    def digest(self) -> str:
        """Return a hash of all items read so far. It does not depend on the order in which they were read."""
        text = "".join(f"{key} {self._hashes[key]}\n" for key in sorted(self._hashes))
        return hashlib.sha256(text.encode()).hexdigest()


def content_digest(source: Source, pairs: Sequence[Pair]) -> str:
    """Return the SHA-256 hash of the keys, images and labels of all pairs, as a hexadecimal string.

    Raises DataError if a file cannot be read.
    """
    reader = CheckingReader(source, pairs)
    for index in range(len(pairs)):
        reader(index)
    return reader.digest()


def released_digests() -> dict[str, dict[str, list[str]]]:
    """Return {data set: {split: digests}} for the data on which the released weights were trained.

    A split has several digests if both the published images and downscaled copies of them were used.
    """
    return json.loads(DIGESTS.read_text(encoding="utf-8")) if DIGESTS.is_file() else {}


def by_split(source: Source, root: Path, list_name: str = "default") -> tuple[dict[str, list[Pair]], list[str]]:
    """Return {split: pairs}, and the keys in the split list whose files are missing.

    Pairs that belong to no split have the key "unlisted". Raises DataError if the data set is missing.
    """
    pairs = source.find(Path(root))
    split_of = {pair.key: pair.split for pair in pairs}
    missing = []
    if not any(split_of.values()):
        listed = {key: split for split in ("train", "val") for key in read_list(source.name, list_name, split)}
        missing = [f"{split}/{key}" for key, split in listed.items() if key not in split_of]
        split_of |= listed
    parts: dict[str, list[Pair]] = {}
    for pair in pairs:
        parts.setdefault(split_of[pair.key] or "unlisted", []).append(pair)
    return parts, missing


def verify(source: Source, root: Path) -> None:
    """Raise DataError if a split is missing or its content does not match its released digest."""
    parts, _ = by_split(source, root)
    for split, expected in released_digests().get(source.name, {}).items():
        digest = content_digest(source, parts.get(split, []))
        if digest not in expected:
            fault = f"the sha256 {digest}, not the expected {' or '.join(expected)}"
            reason = "its publisher has changed it, or it was tampered with"
            raise DataError(f"{source.name}: the content of split '{split}' has {fault}; {reason}.")
