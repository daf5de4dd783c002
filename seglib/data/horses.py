"""Weizmann Horses: 327 photographs of horses with hand-drawn figure masks.

Borenstein and Ullman, "Class-Specific, Top-Down Segmentation", ECCV 2002.  Two editions are read: the
one on Kaggle (`horse/horse001.png`, `mask/horse001.png`, values 0/1) and the original one
(`rgb/*.jpg`, `figure_ground/*.jpg`, 328 greys that JPEG has blurred).
"""

import shutil
from pathlib import Path

import numpy as np

from .dataset import Pair, Source
from .download import Archive, github_urls
from .images import JPEG, DataError
from .masks import labels_by_id
from .matching import by_stem

INSTRUCTIONS = """\
Weizmann Horse Database, 327 pairs, about 80 MB.
1. Download https://github.com/ZJW-HUST/Deeplab-Weizmann-Horse as a ZIP file and unpack it. Move the files of
   weizmann_horse_db/horse_train and horse_test to ROOT/weizmann_horse_db/horse, and those of mask_train and mask_test
   to ROOT/weizmann_horse_db/mask.
   Or log in at https://www.kaggle.com and open https://www.kaggle.com/datasets/ztaihong/weizmann-horse-database,
   download the archive and unpack it.
2. These files must exist:
       ROOT/weizmann_horse_db/horse/horse001.png ...
       ROOT/weizmann_horse_db/mask/horse001.png ...
   (the original edition, with rgb/ and figure_ground/, is read as well)
3. seglib data check horses --root ROOT"""


COMMIT = "9e226a491e88e2f49e6021adafe4908c88ace342"


def _merge_parts(folder: Path) -> None:
    """Arrange an archive that is divided in train and test like the edition on Kaggle."""
    for kind in ("horse", "mask"):
        (folder / kind).mkdir()
        for part in (folder / f"{kind}_train", folder / f"{kind}_test"):
            for file in part.glob("*.png"):
                file.rename(folder / kind / file.name)
    for entry in folder.iterdir():
        if entry.name not in ("horse", "mask"):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


# The edition on Kaggle, without a login.
ARCHIVE = Archive(
    urls=github_urls("ZJW-HUST/Deeplab-Weizmann-Horse", COMMIT),
    folder="weizmann_horse_db",
    inner="*/weizmann_horse_db",
    max_bytes=1 << 30,
    arrange=_merge_parts,
)


def find(root: Path) -> list[Pair]:
    folder = Path(root) / "weizmann_horse_db"
    for images, masks in (("horse", "mask"), ("rgb", "figure_ground")):
        if (folder / images).is_dir():
            return by_stem(folder / images, folder / masks)
    raise DataError(f"{folder}: the horses are not there; see `seglib data download horses`.")


def decode(values: np.ndarray, path: Path) -> np.ndarray:
    if path.suffix.lower() in JPEG:
        if values.ndim == 3:
            values = values.mean(axis=2)
        return (values >= 128).astype(np.uint8)
    return labels_by_id(values, path, {0: 0, 1: 1}, {0: 0, 255: 1})


SOURCE = Source(
    name="horses",
    title="Weizmann Horses",
    classes=("background", "horse"),
    palette=((0, 0, 0), (230, 159, 0)),
    find=find,
    decode=decode,
    instructions=INSTRUCTIONS,
    archives=(ARCHIVE,),
)
