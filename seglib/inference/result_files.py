"""Find image files, and choose the names of the result files for each image."""

import glob
import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import numpy as np
import pooch
from PIL import Image

from ..data import SUFFIXES
from . import video
from .errors import PredictionError

# For each kind of result, the ending of the file name. Large TIFF files and videos have their own kinds.
ENDINGS = {
    "mask": "_mask.png",
    "overlay": "_overlay.jpg",
    "cutout": "_cutout.png",
    "probabilities": "_probabilities.npz",
    "labelme": "_labelme.json",
    "older overlay": "_overlay.png",  # up to version 0.1
    "large mask": "_mask.tif",
    "video mask": "_mask.mkv",
    "video overlay": "_overlay.mp4",
    "video cutout": "_cutout.mov",
}
KINDS = ("mask", "overlay", "cutout", "probabilities", "coco", "labelme")
MADE_BY = "seglib predict"  # stored in each result file, together with the `source_id` of its image
_LIMIT_LOCK = Lock()  # Pillow has one size limit for all threads
SOFTWARE_TAG, DESCRIPTION_TAG = 305, 270  # TIFF and EXIF tags for MADE_BY and the `source_id`


def image_files(names: Sequence[str | Path]) -> list[Path]:
    """Expand files, folders and patterns such as "photos/**/*.jpg" to a list of images and videos without duplicates.

    A path that does not exist is kept; the error is reported when the image is read. "example" is an image that comes
    with matplotlib. Raises PredictionError if a folder contains no images or a pattern matches none.
    """
    files: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            files += _images(path.iterdir(), f"{path}: no images in this folder")
        elif path.exists():
            files.append(path)
        elif glob.has_magic(str(name)):
            matches = map(Path, glob.iglob(str(name), recursive=True))
            files += _images(matches, f"{name}: no image matches this pattern")
        elif str(name) == "example":
            import matplotlib.cbook

            files.append(Path(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
        else:
            files.append(path)
    return list(dict.fromkeys(files))


def _images(paths, error: str) -> list[Path]:
    suffixes = SUFFIXES | video.SUFFIXES
    files = sorted(path for path in paths if path.suffix.lower() in suffixes and not path.name.startswith("."))
    if not files:
        raise PredictionError(f"{error}; check the path, and the endings of the files.")
    return files


def without_results(files: Sequence[Path], out: Path) -> tuple[list[Path], set[str]]:
    """Return `files` without earlier results in the folder `out`, and the names that new results must not use.

    A file that is named like a result but was not written by this program must not be overwritten, because it may be a
    mask that the user drew. Raises PredictionError if no files are left.
    """
    images, taken = [], set()
    for file in files:
        name, _, kind = file.name.rpartition("_")
        if f"_{kind}" in ENDINGS.values() and file.parent.resolve() == out.resolve():
            if is_result(file):
                continue
            taken.add(name)
        images.append(file)
    if files and not images:
        raise PredictionError(f"{out}: only results of an earlier run are there; name images, or another --out.")
    return images, taken


def is_result(file: Path) -> bool:
    """Return whether this program wrote the file, based on its header."""
    return read_source_id(file) is not None


def read_source_id(file: Path) -> str | None:
    """Return the `source_id` stored in a result file: "" if it is missing, None if the file is not a result."""
    try:
        if file.suffix == ".json":
            content = json.loads(file.read_text(encoding="utf-8"))
            made_by, source = content.get("made_by"), content.get("source")
        elif file.suffix == ".npz":
            with np.load(file) as arrays:
                made_by, source = str(arrays["made_by"]), str(arrays["source"])
        elif video.is_video(file):
            made_by, _, source = video.read_comment(file).partition(", ")
        else:
            with open_header(file) as image:
                tags = getattr(image, "tag_v2", None) or Image.Image.getexif(image)  # that of a PNG decodes all pixels
                made_by = tags.get(SOFTWARE_TAG) or image.info.get("Software")  # older versions wrote PNG text
                source = tags.get(DESCRIPTION_TAG) or image.info.get("Source")
    except (OSError, ValueError, SyntaxError, LookupError, AttributeError, zipfile.BadZipFile):
        return None
    return (source or "") if made_by == MADE_BY else None


@contextmanager
def open_header(file: Path) -> Iterator[Image.Image]:
    """Open an image of any size without decoding it."""
    with _LIMIT_LOCK:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            with Image.open(file) as image:
                yield image
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def source_id(file: Path) -> str:
    """Return two hashes that identify an image: a hash of its path and a hash of its content, separated by a space.

    One matching hash is enough to recognize an image, because the file may have been edited or moved.
    """
    place = hashlib.sha256(str(file.absolute()).encode("utf-8", "surrogateescape")).hexdigest()
    try:
        content = pooch.file_hash(str(file))
    except OSError:  # the error is reported when the image is read
        content = ""
    return f"{place[:16]} {content[:16]}".strip()


def _is_result_of(result: Path, file: Path) -> bool:
    """Return whether the result's `source_id` matches the image `file`, or the result has no `source_id`."""
    source = read_source_id(result)
    return source == "" or bool(source and set(source.split()) & set(source_id(file).split()))


def free_name(file: Path, out: Path, taken: set[str]) -> str:
    """Return the name for the results of the image `file` in the folder `out`, and add it to `taken`.

    It is the image name, with a number appended if this name is in `taken` or used by the results of another image.
    """
    name, number = file.stem, 1
    while name in taken or any(not _is_result_of(result, file) for result in existing_results(out / name)):
        number += 1
        name = f"{file.stem}-{number}"
    taken.add(name)
    return name


def result_file(target: Path, kind: str) -> Path:
    """Return the path of one kind of result. `target` is the path prefix of the results, as in `PredictTask`."""
    return target.with_name(f"{target.name}{ENDINGS[kind]}")


def existing_results(target: Path) -> list[Path]:
    files = (result_file(target, kind) for kind in ENDINGS)
    return [file for file in files if os.path.exists(file)]  # Path.exists raises for a name that is too long


def has_results(target: Path, kinds: Sequence[str]) -> bool:
    """Return whether all `kinds` of results of an image or a video exist, or the mask of a large TIFF file exists."""
    existing = existing_results(target)
    if existing and all(video.is_video(file) for file in existing):
        kinds = [f"video {kind}" for kind in kinds if kind in video.FORMATS]
    expected = [result_file(target, kind) for kind in kinds if kind != "coco"]  # COCO is one file for all images
    return result_file(target, "large mask") in existing or set(expected) <= set(existing)
