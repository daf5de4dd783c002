"""Check every file of a data set, list the built-in data sets, and download those that are publicly available."""

import hashlib
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from seglib.data import folder, generated_sets, load, source
from seglib.data.dataset import IGNORE, Pair
from seglib.data.images import DataError, bands_to_rgb
from seglib.data.layouts import list_images, stem_of

from . import download as downloading
from .digests import CheckingReader, by_split, released_digests, verify
from .known import REPEATED, SOURCES, unused_images
from .report import Report
from .suggestion import LEAST_FOREGROUND, MaskValues

GENERATED_SAMPLES = 16  # number of images to check in each split of a generated data set
ALIKE_BITS = 2  # images look alike if at most this many of the 64 bits of their hashes differ


def difference_hash(image: np.ndarray) -> np.ndarray:
    """Return a perceptual hash of 64 signs: 1 if a cell of an 8x9 grid is darker than its right neighbor, else -1."""
    small = np.asarray(
        Image.fromarray(bands_to_rgb(image)).convert("L").resize((9, 8), Image.Resampling.BOX), np.float32
    )
    return np.where(np.diff(small, axis=1) > 0, 1, -1).astype(np.float32).ravel()


def check(
    name: str, root: Path | str = "data", list_name: str = "default", progress: bool = True, pattern: Sequence[str] = ()
) -> Report:
    """Read every file of a data set once, and report statistics and problems.

    Args:
        name: The data set, as in `seglib.data.load`. For a generated data set, only a few images are checked.
        root: The folder that contains the built-in data sets.
        list_name: The name of the split list of a built-in data set.
        progress: Whether to show a progress bar on a terminal.
        pattern: Patterns for the image and mask paths in your own folder, see `layouts.by_pattern`.

    Raises:
        DataError: If the data set does not exist, its layout is not recognized, or its classes.yaml is invalid.
    """
    if name in generated_sets():
        report = Report(name, generated_sets()[name].title, "generated", generated_sets()[name].classes)
        parts = {split: load(name, split, length=GENERATED_SAMPLES) for split in ("train", "val", "test")}
        return _survey(report, {split: (part.keys, part.read) for split, part in parts.items()}, progress)
    known = name in SOURCES
    described = folder.source(Path(name), pattern) if pattern and not known else source(name)
    place = f"in {root}" if known else "a folder of your own"
    report = Report(described.name, described.title, place, described.classes, layout=described.layout)
    parts, missing = by_split(described, Path(root), list_name)
    pairs = [pair for part in parts.values() for pair in part]
    mask_values = MaskValues() if described.mask_form == "guess" else None
    readers = {split: CheckingReader(described, part, mask_values) for split, part in parts.items()}
    _survey(report, {split: ([p.key for p in reader.pairs], reader) for split, reader in readers.items()}, progress)
    report.faults += [f"{key}: in the split list, but not on the disk; complete the data set." for key in missing]
    unused = unused_images(name, root, pairs) if known else []
    skipped = unused or described.skipped
    report.notices += masks_without_image(pairs, unused)
    if skipped:
        kinds = Counter(file.suffix.lower() or "no suffix" for file in skipped)
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        report.notices.append(f"skipped files: {counts}, {skipped[0]} for one")
    reported = {frozenset(pair) for pair in report.duplicates + report.suspects}
    report.suspects += [pair for pair in _divided(name, parts) if frozenset(pair) not in reported]
    way = "complete the data set" if known else "see docs/data_formats.md for the ways to give one"
    report.notices += [
        f"no split '{split}', and `seglib train` needs one: {way}, or choose another with --data.{split}_split"
        for split in ("train", "val")
        if split not in parts and not described.training_only
    ]
    if known and list_name == "default":
        expected = released_digests().get(name, {})
        report.released = {s: reader.digest() in expected[s] for s, reader in readers.items() if s in expected}
    if not known:
        _add_warnings(report, described.background, list(readers.values()))
    if mask_values and any("suggests one" in fault for fault in report.faults):
        report.suggestion = mask_values.suggestion(Path(name))
    return report


def _add_warnings(report: Report, background: int | None, readers: list[CheckingReader]) -> None:
    """Add warnings about differing bit depths, EXIF rotation, and too little foreground."""
    depths = sum((reader.depths for reader in readers), Counter())
    if len(depths.keys() - {8}) > 1:
        used = ", ".join(f"{count} use {bits}" for bits, count in sorted(depths.items()))
        advice = f"equal values look different. Write the camera's, for example `bits: {max(depths)}`, in classes.yaml"
        report.warnings.append(f"of the images, {used} bits, and each is scaled by its own bit depth: {advice}")
    turned = [file for reader in readers for file in reader.turned]
    if turned:
        advice = f"{turned[0]} for one; look at an overlay, and save the images upright if the masks do not fit"
        report.warnings.append(f"{len(turned)} images are rotated by EXIF but their masks are not, {advice}")
    share = 1 - (report.pixels[background] if background is not None else 0) / max(sum(report.pixels), 1)
    if 0 < share < LEAST_FOREGROUND:
        report.warnings.append(f"only {share:.3%} of the pixels are not background; check the masks")


def _divided(name: str, parts: dict[str, list[Pair]]) -> list[tuple[str, str]]:
    """Return the pairs of images that are known to show the same photograph but are in different splits."""
    split_of = {pair.key: split for split, part in parts.items() for pair in part}
    pairs = [(a, b) for a, b in REPEATED.get(name, []) if a in split_of and b in split_of]
    return [(f"{split_of[a]}/{a}", f"{split_of[b]}/{b}") for a, b in pairs if split_of[a] != split_of[b]]


def _survey(report: Report, parts: dict[str, tuple[list[str], Callable]], progress: bool) -> Report:
    """Read all items of all splits, add statistics and problems to the report, and return the report."""
    histogram, sizes = np.zeros(256, np.int64), []
    places_of: dict[bytes, list[tuple[str, str]]] = defaultdict(list)  # hash of the pixels -> (split, place)
    hashes: dict[str, list[tuple[str, np.ndarray]]] = defaultdict(list)  # split -> (place, 64 signs)
    quiet = None if progress else True  # None shows the bar only on a terminal
    bar = tqdm(total=sum(len(keys) for keys, _ in parts.values()), desc=report.name, disable=quiet)
    for split, (keys, read) in parts.items():
        report.images[split] = len(keys)
        for i, key in enumerate(keys):
            bar.update()
            try:
                image, labels = read(i)
            except DataError as error:
                report.faults.append(str(error))
                continue
            histogram += np.bincount(labels.ravel(), minlength=256)
            sizes.append((image.shape[1], image.shape[0]))
            place = key if key.startswith(f"{split}/") else f"{split}/{key}"
            places_of[hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest()].append((split, place))
            hashes[split].append((place, difference_hash(image)))
    bar.close()
    if sizes:
        sizes.sort(key=lambda size: (size[0] * size[1], size))
        report.sizes = {"smallest": sizes[0], "median": sizes[len(sizes) // 2], "largest": sizes[-1]}
    report.pixels, report.ignored = histogram[: len(report.classes)].tolist(), int(histogram[IGNORE])
    absent = [name for name, count in zip(report.classes, report.pixels, strict=True) if not count]
    if absent and sizes:
        report.warnings.append(f"no pixel of the class {', '.join(absent)}; if this is unexpected, check the masks")
    for (first_split, first), *others in places_of.values():
        report.duplicates += [(first, place) for split, place in others if split != first_split]
        report.notices += [f"{first} and {place} are the same image" for split, place in others if split == first_split]
    equal = {frozenset(pair) for pair in report.duplicates}
    report.suspects = [pair for pair in _similar_images(list(hashes.values())) if frozenset(pair) not in equal]
    return report


def _similar_images(parts: list[list[tuple[str, np.ndarray]]]) -> Iterator[tuple[str, str]]:
    """Yield all pairs of images in different splits whose hashes differ in at most ALIKE_BITS bits."""
    for ours, theirs in combinations(parts, 2):
        columns = np.stack([signs for _, signs in theirs]).T
        for start in range(0, len(ours), 256):  # in chunks, because all products at once may need terabytes
            products = np.stack([signs for _, signs in ours[start : start + 256]]) @ columns
            for a, b in np.argwhere(products >= 64 - 2 * ALIKE_BITS):
                yield ours[start + a][0], theirs[b][0]


def masks_without_image(pairs: Sequence[Pair], unused: Sequence[Path] = ()) -> list[str]:
    """Return a message for each mask that belongs neither to one of `pairs` nor to one of the `unused` images.

    Only files that are named like the masks in `pairs` are reported.
    """
    used, unused_stems = {file for pair in pairs for file in (pair.image, pair.mask)}, set(map(stem_of, unused))
    # An ending is the part of a mask's name after the key. In Cityscapes, it distinguishes label masks from others.
    endings = {stem_of(pair.mask).removeprefix(pair.key.split("/")[-1]) for pair in pairs}
    folders = sorted({pair.mask.parent for pair in pairs if pair.mask.parent.is_dir()})
    spare = [file for folder in folders for file in list_images(folder) if file not in used]
    spare = [file for file in spare if stem_of(file) not in unused_stems]
    return [f"{file}: a mask without an image" for file in spare if any(stem_of(file).endswith(e) for e in endings)]


def listing(root: Path | str = "data") -> str:
    """Return a table of the data sets with name, title, number of classes, and split sizes or how to get the data."""
    lines = []
    for name, described in (SOURCES | generated_sets()).items():
        here = "generated, nothing to download"
        try:
            if name in SOURCES:
                here = ", ".join(f"{len(part)} {split}" for split, part in by_split(described, Path(root))[0].items())
        except DataError:
            way = "fetches it" if described.archive else "says how to get it"
            here = f"not here; `seglib data download {name}` {way}"
        lines.append(f"{name:13} {described.title:34} {len(described.classes):3} classes  {here}")
    lines += ["", "or the path of your own folder with images/ and masks/: see docs/data_formats.md"]
    return "\n".join([*lines, "or several as one, joined by a plus: horses+humans"])


def download(name: str, root: Path | str = "data", progress: bool = True) -> Path:
    """Download, unpack and verify a built-in data set, and return its folder.

    Existing data is not changed. Raises DataError if the data set already exists or requires a login, and DownloadError
    if no URL works. Both messages say what to do.
    """
    if name in generated_sets():
        raise DataError(f"{name} is generated: there is nothing to download.")
    if name not in SOURCES:
        raise DataError(f"'{name}' is not a data set that can be downloaded; choose one of: {', '.join(SOURCES)}.")
    described, archive = SOURCES[name], SOURCES[name].archive
    target = Path(root) / archive.folder if archive else Path(root)
    try:
        is_there = bool(described.find(Path(root)))
    except DataError:
        is_there = archive is not None and target.is_dir() and any(target.iterdir())
    if is_there:
        command = f"seglib data check {name} --root {root}"
        raise DataError(f"{name} already exists in {root}; see `{command}`, or move it away first.")
    if not archive:
        raise DataError(f"{name} cannot be fetched without a login; this is how to get it:\n{described.instructions}")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{name}-") as temporary:
            packed = downloading.fetch(archive.urls, None, Path(temporary) / "archive", progress)
            return downloading.extract(
                packed, target, archive.members, archive.place, lambda parent: verify(described, parent)
            )
    except downloading.DownloadError as error:
        raise downloading.DownloadError(f"{error}\nBy hand:\n{described.instructions}") from None
