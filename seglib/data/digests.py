"""Tell by a hash of the content whether a copy of a data set is the one that released weights were made with.

Archives are packed anew and PNG files written anew without a pixel changing, so the hash is over what is
decoded.  A JPEG file is hashed as it is: what its decoding gives varies a little between decoders.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..files import write_text
from .dataset import FilePairs, Pair, Source
from .images import JPEG, DataError
from .splits import LISTS, read_list

DIGESTS = LISTS.parent / "digests.json"


class DigestingReader:
    """Reads pair number i as FilePairs does, and remembers the hash of every item read."""

    def __init__(self, pairs: Sequence[Pair], decode: Callable[[np.ndarray, Path], np.ndarray]):
        self.pairs = list(pairs)
        self._read = FilePairs(pairs, decode, cache_bytes=0)
        self._seen: dict[str, str] = {}

    def __call__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        pair = self.pairs[index]
        if pair.image.is_file() and not pair.mask.is_file():
            raise DataError(f"{pair.image}: there is no mask {pair.mask}; add it or remove the image.")
        image, labels = self._read(index)
        item = hashlib.sha256(repr(image.shape).encode())
        item.update(pair.image.read_bytes() if pair.image.suffix.lower() in JPEG else image.tobytes())
        item.update(labels.tobytes())
        self._seen[pair.key] = item.hexdigest()
        return image, labels

    def digest(self) -> str:
        """The hash of all items read, in whatever order they were."""
        return hashlib.sha256("".join(f"{key} {self._seen[key]}\n" for key in sorted(self._seen)).encode()).hexdigest()


def content_digest(pairs: Sequence[Pair], decode: Callable[[np.ndarray, Path], np.ndarray]) -> str:
    """The sha256 (hexadecimal) over key, picture and labels of every pair, in the order of the keys.

    Raises DataError naming the first file that cannot be read.
    """
    reader = DigestingReader(pairs, decode)
    for index in range(len(reader.pairs)):
        reader(index)
    return reader.digest()


def released_digests() -> dict[str, dict[str, list[str]]]:
    """Return {data set: {split: digests}} of the copies that the released weights were made with.

    A split has several digests where the set was used both as published and with smaller images.
    """
    return json.loads(DIGESTS.read_text(encoding="utf-8")) if DIGESTS.is_file() else {}


def by_split(source: Source, root: Path, list_name: str = "default") -> tuple[dict[str, list[Pair]], list[str]]:
    """All pairs by their split ("unlisted" for those in none), and the keys that a list has but the disk has not.

    Raises DataError if the set is not there.
    """
    found = source.find(Path(root))
    parts: dict[str, list[Pair]] = {}
    missing: list[str] = []
    split_of = {pair.key: pair.split for pair in found}
    if not any(split_of.values()):
        for split in ("train", "val"):
            for key in read_list(source.name, list_name, split):
                if key in split_of:
                    split_of[key] = split
                else:
                    missing.append(f"{split}/{key}")
    for pair in found:
        parts.setdefault(split_of[pair.key] or "unlisted", []).append(pair)
    return parts, missing


def verify(source: Source, root: Path) -> None:
    """DataError unless every split with a released digest is there and equals it."""
    parts, _ = by_split(source, root)
    for split, expected in released_digests().get(source.name, {}).items():
        found = content_digest(parts.get(split, []), source.decode)
        if found not in expected:
            raise DataError(
                f"{source.name}: the content of split '{split}' has the sha256 {found}, not the expected "
                f"{' or '.join(expected)}; "
                "its publisher has changed it, or it was tampered with."
            )


def write_digests(sources: Sequence[Source], root: Path | str) -> Path:
    """Make the committed digests from the copies in `root`; sets that are not there keep what was written.

    A digest that is listed already keeps the others of its split; a new one replaces them.
    """
    digests = released_digests()
    for source in sources:
        try:
            parts, missing = by_split(source, Path(root))
        except DataError:
            continue
        if missing:
            raise DataError(f"{source.name}: {missing[0]} is not there; only a complete copy can be the released one.")
        known, digests[source.name] = digests.get(source.name, {}), {}
        for split in parts.keys() - {"unlisted"}:
            digest = content_digest(parts[split], source.decode)
            digests[source.name][split] = known[split] if digest in known.get(split, ()) else [digest]
    write_text(DIGESTS, json.dumps(digests, indent=2) + "\n")
    return DIGESTS
