"""Which files are pictures, and how the files are named that are made of them."""

import glob
import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pooch
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from ..data import SUFFIXES
from ..files import write_atomically
from .errors import PredictionError

ENDINGS = ("_mask.png", "_overlay.png", "_cutout.png", "_mask.tif")  # of the files that are written for a picture
MADE_BY = "seglib predict"  # in the header of each of them
SOFTWARE_TAG, DESCRIPTION_TAG = 305, 270  # where TIFF keeps that, and from which picture it was made


def image_files(names: Sequence[str | Path]) -> list[Path]:
    """The pictures meant by names of files and folders and by patterns such as "photos/**/*.jpg", each once.

    A folder or pattern stands for the pictures in it, and a name that does not exist stays in the list, for its
    reader to report.  "example" is a photograph that comes with matplotlib.  PredictionError for a folder or
    pattern without pictures.
    """
    files: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            files += _pictures(path.iterdir(), f"{path}: no pictures in this folder")
        elif path.exists():
            files.append(path)
        elif glob.has_magic(str(name)):
            matches = map(Path, glob.iglob(str(name), recursive=True))
            files += _pictures(matches, f"{name}: no picture fits this pattern")
        elif str(name) == "example":
            import matplotlib.cbook

            files.append(Path(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
        else:
            files.append(path)
    return list(dict.fromkeys(files))


def _pictures(paths, otherwise: str) -> list[Path]:
    found = sorted(f for f in paths if f.suffix.lower() in SUFFIXES and not f.name.startswith("."))
    if not found:
        raise PredictionError(f"{otherwise}; they end in {', '.join(sorted(SUFFIXES))}.")
    return found


def without_results(files: Sequence[Path], out: Path) -> tuple[list[Path], set[str]]:
    """`files` less those that an earlier run wrote into the folder `out`, and the names that new results must not take.

    A result has `NAME_mask.png` or the like for a name, and says in its header who made it.  Without that it is
    somebody's picture, perhaps a mask painted by hand, and its NAME is not free.  PredictionError if no file is left.
    """
    pictures, taken = [], set()
    for file in files:
        name, _, kind = file.name.rpartition("_")
        if f"_{kind}" in ENDINGS and file.parent.resolve() == out.resolve():
            if is_result(file):
                continue
            taken.add(name)
        pictures.append(file)
    if files and not pictures:
        raise PredictionError(f"{out}: only results of an earlier run are there; name pictures, or another --out.")
    return pictures, taken


def is_result(file: Path) -> bool:
    """Whether this program wrote the file, by its header."""
    return made_from(file) is not None


def made_from(file: Path) -> str | None:
    """The `source_mark` of the picture that the result `file` was made from, "" if unknown; None if it is no result."""
    try:
        with _any_size(), Image.open(file) as picture:
            tags = getattr(picture, "tag_v2", {})
            made_by = tags.get(SOFTWARE_TAG) or picture.info.get("Software")
            mark = tags.get(DESCRIPTION_TAG) or picture.info.get("Source")
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError):
        return None
    return (mark or "") if made_by == MADE_BY else None


@contextmanager
def _any_size() -> Iterator[None]:
    """Within it Pillow opens pictures of any size, of which the header alone is read."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def source_mark(file: Path) -> str:
    """By what the results of `file` are known as its own: a hash of its place, and one of its content.

    Either will do, for a picture may be edited, and a set of pictures may move; of the same name but with another
    place and content is another picture.  The hashes tell neither.
    """
    return f"{_place_mark(file)} {_content_mark(file)}".strip()


def _place_mark(file: Path) -> str:
    return _hash(str(file.absolute()))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _content_mark(file: Path) -> str:
    try:
        return pooch.file_hash(str(file))[:16]
    except OSError:  # who segments it will tell why
        return ""


def _is_of(mark: str | None, file: Path) -> bool:
    """Is a result with this mark one of the picture `file`?  So it is if the mark is "", as nothing is known then."""
    if mark is None:
        return False
    known = mark.split()
    if len(known) == 1 and known[0] == _hash("/".join(file.absolute().parts[-3:])):  # as it was before November 2026
        return True
    return not known or _place_mark(file) in known or _content_mark(file) in known  # the content as a last resort


def free_name(file: Path, out: Path, taken: set[str]) -> str:
    """The name of the results of the picture `file` in the folder `out`, which is marked as `taken`.

    It is the picture's, with a number behind it where that is taken or has results of another picture.
    """
    name, number = file.stem, 1
    while name in taken or any(not _is_of(made_from(own), file) for own in _results(out, name)):
        number += 1
        name = f"{file.stem}-{number}"
    taken.add(name)
    return name


def _results(out: Path, name: str) -> list[Path]:
    files = (out / f"{name}{ending}" for ending in ENDINGS)
    return [file for file in files if os.path.exists(file)]  # Path.exists would raise for a name that is too long


def cutout(image: np.ndarray, probabilities: np.ndarray, background: int = 0) -> np.ndarray:
    """(H, W, 4) uint8 RGBA: the picture as opaque as it is probable that the pixel is not of class `background`.

    `image` is uint8 (H, W, 3), `probabilities` float (C, H, W).  Where nothing is seen, nothing is kept.
    """
    alpha = ((1 - probabilities[background]) * 255).round().clip(0, 255).astype(np.uint8)[..., None]
    return np.concatenate([np.where(alpha, image, 0), alpha], axis=2)


def save_mask(file: Path, labels: np.ndarray, palette: Sequence[Sequence[int]], source: str = "") -> None:
    """Write a label map (H, W) uint8 as a PNG whose pixel values are the labels and whose palette shows them.

    `source`: the `source_mark` of the picture that it was made from.
    """
    picture = Image.fromarray(labels)
    picture.putpalette(bytes(np.asarray(palette, np.uint8).ravel()))  # from grey to palette mode, values unchanged
    _save(file, picture, source)


def save_image(file: Path, image: np.ndarray, source: str = "") -> None:
    """Write a uint8 picture (H, W, 3) or (H, W, 4) as a PNG; `source` as for `save_mask`."""
    _save(file, Image.fromarray(image), source)


def _save(file: Path, picture: Image.Image, source: str) -> None:
    header = PngImagePlugin.PngInfo()
    header.add_text("Software", MADE_BY)
    header.add_text("Source", source)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=header)
    write_atomically(file, lambda stream: stream.write(buffer.getvalue()))
