"""Clothing Co-Parsing: photos of one person each, mostly in the street, with a mask of the person.  For training only.

Yang, Luo and Lin, "Clothing Co-Parsing by Joint Image Segmentation and Labeling", CVPR 2014;
https://github.com/bearpaw/clothing-co-parsing.  Of its 2,098 photos, 1,004 have labels for each pixel.  Two layouts
are read: as published (`photos/0001.jpg`, `annotations/pixel-level/0001.mat`, 59 labels of clothing, of which all but
0 belong to the person), and with ready masks (`images/0001.jpg`, `masks/0001.png`, values 0 and 255).

Other people in the background are not labelled, and bags count as part of the person.  Therefore the set has no
validation split: use it to train together with another set, as in `humans+street_people`.
"""

from pathlib import Path

import numpy as np

from .dataset import Pair, Source
from .download import Archive, github_urls
from .humans import SOURCE as HUMANS
from .images import DataError
from .masks import labels_by_id
from .matching import by_stem, image_files

NUM_LABELS = 59
COMMIT = "fe34fb77721a9973fbae92c05f7f12b664d10110"
ARCHIVE = Archive(
    urls=github_urls("bearpaw/clothing-co-parsing", COMMIT),
    folder="street_people",
    inner="clothing-co-parsing-*",
    max_bytes=1 << 30,
)
INSTRUCTIONS = """\
Clothing Co-Parsing: 1,004 photos with labels for each pixel.
1. Download https://github.com/bearpaw/clothing-co-parsing as a ZIP file and unpack it.
2. Name the folder so that these exist:
       ROOT/street_people/photos/0001.jpg ...
       ROOT/street_people/annotations/pixel-level/0001.mat ...
3. python -m seglib data check street_people --root ROOT"""


def find(root: Path) -> list[Pair]:
    """Return every image that has a mask, in either layout."""
    folder = Path(root) / "street_people"
    photos, labels = folder / "photos", folder / "annotations" / "pixel-level"
    if photos.is_dir() and labels.is_dir():
        mask_of = {file.stem: file for file in labels.glob("*.mat")}
        images = image_files(photos).items()
        return [Pair(stem, image, mask_of[stem], "train") for stem, image in images if stem in mask_of]
    if not (folder / "images").is_dir():
        raise DataError(f"{folder}: street_people is not there; see `python -m seglib data download street_people`.")
    return by_stem(folder / "images", folder / "masks", "train")


def decode(values: np.ndarray, path: Path) -> np.ndarray:
    """Return 1 for the person and 0 for the background, whichever layout the mask is from."""
    if path.suffix.lower() == ".mat":
        return labels_by_id(values, path, {label: int(label > 0) for label in range(NUM_LABELS + 1)})
    return labels_by_id(values, path, {0: 0, 255: 1})


SOURCE = Source(
    name="street_people",
    title="Clothing Co-Parsing, people",
    classes=HUMANS.classes,
    palette=HUMANS.palette,
    find=find,
    decode=decode,
    instructions=INSTRUCTIONS,
    archives=(ARCHIVE,),
    training_only=True,
)
