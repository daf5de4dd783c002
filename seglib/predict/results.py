"""Which files are pictures, and how the files are named that are made of them."""

import glob
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from ..data import SUFFIXES
from ..files import write_atomically
from .errors import PredictionError

ENDINGS = ("_mask.png", "_overlay.png", "_cutout.png", "_mask.tif")  # of the files that are written for a picture
MADE_BY = "seglib predict"  # in the header of each of them
SOFTWARE_TAG = 305  # where TIFF keeps that


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
    try:
        with Image.open(file) as picture:
            made_by = getattr(picture, "tag_v2", {}).get(SOFTWARE_TAG) or picture.info.get("Software")
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    return made_by == MADE_BY


def free_name(stem: str, taken: set[str]) -> str:
    """`stem`, or with a number behind it if another picture of that name was `taken`; marks it as taken."""
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name)
    return name


def cutout(image: np.ndarray, probabilities: np.ndarray, background: int = 0) -> np.ndarray:
    """(H, W, 4) uint8 RGBA: the picture as opaque as it is probable that the pixel is not of class `background`.

    `image` is uint8 (H, W, 3), `probabilities` float (C, H, W).  Where nothing is seen, nothing is kept.
    """
    alpha = ((1 - probabilities[background]) * 255).round().clip(0, 255).astype(np.uint8)[..., None]
    return np.concatenate([np.where(alpha, image, 0), alpha], axis=2)


def save_mask(file: Path, labels: np.ndarray, palette: Sequence[Sequence[int]]) -> None:
    """Write a label map (H, W) uint8 as a PNG whose pixel values are the labels and whose palette shows them."""
    picture = Image.fromarray(labels)
    picture.putpalette(bytes(np.asarray(palette, np.uint8).ravel()))  # from grey to palette mode, values unchanged
    _save(file, picture)


def save_image(file: Path, image: np.ndarray) -> None:
    """Write a uint8 picture (H, W, 3) or (H, W, 4) as a PNG."""
    _save(file, Image.fromarray(image))


def _save(file: Path, picture: Image.Image) -> None:
    header = PngImagePlugin.PngInfo()
    header.add_text("Software", MADE_BY)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=header)
    write_atomically(file, lambda stream: stream.write(buffer.getvalue()))
