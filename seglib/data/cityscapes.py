"""Cityscapes: street scenes at 1024x2048, 19 classes; filmed in 50 cities, 27 of which have the fine labels read here.

Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding", CVPR 2016.  The fine
annotations store 34 ids; 19 of them are trained and scored, the rest are ignored.  The split is given: 2975
train, 500 val, 1525 test (whose masks are published without labels: everything ignored).
"""

from pathlib import Path

import numpy as np

from .dataset import IGNORE, Pair, Source
from .images import DataError
from .masks import labels_by_id
from .matching import image_files

# Stored id, class, colour; the label is the place in this list.
TRAINED = (
    (7, "road", (128, 64, 128)),
    (8, "sidewalk", (244, 35, 232)),
    (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)),
    (13, "fence", (190, 153, 153)),
    (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)),
    (20, "traffic sign", (220, 220, 0)),
    (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)),
    (23, "sky", (70, 130, 180)),
    (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)),
    (27, "truck", (0, 0, 70)),
    (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)),
    (33, "bicycle", (119, 11, 32)),
)
LABELS = {i: IGNORE for i in range(34)} | {stored: label for label, (stored, _, _) in enumerate(TRAINED)}
IMAGE_END, MASK_END = "_leftImg8bit", "_gtFine_labelIds"

INSTRUCTIONS = """\
Cityscapes, fine annotations: 5000 images of 1024x2048, about 12 GB.
1. Register at https://www.cityscapes-dataset.com and log in; the license is for research and teaching.
2. Download leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip.
3. Unpack both, so that these exist:
       ROOT/cityscapes/leftImg8bit/train/aachen/*_leftImg8bit.png ...
       ROOT/cityscapes/gtFine/train/aachen/*_gtFine_labelIds.png ...
   (ROOT may hold leftImg8bit and gtFine itself)
4. seglib data check cityscapes --root ROOT"""


def find(root: Path) -> list[Pair]:
    folder = Path(root) / "cityscapes"
    if (Path(root) / "leftImg8bit").is_dir():
        folder = Path(root)
    images, masks = folder / "leftImg8bit", folder / "gtFine"
    present = [s for s in ("train", "val", "test") if (images / s).is_dir() and (masks / s).is_dir()]
    if not present:
        raise DataError(
            f"{folder}: Cityscapes is not there, with leftImg8bit/train and gtFine/train; "
            "see `seglib data download cityscapes`."
        )
    found = [pair for split in present for pair in _cities(images / split, masks / split, split)]
    if not found:
        raise DataError(f"{images}: no files *{IMAGE_END}.png in the folders of the cities; unpack the archive again.")
    return found


def _cities(images: Path, masks: Path, split: str) -> list[Pair]:
    pairs = []
    for city in sorted(path for path in images.iterdir() if path.is_dir()):
        for stem, file in image_files(city).items():
            if stem.endswith(IMAGE_END):
                key = stem.removesuffix(IMAGE_END)
                pairs.append(Pair(key, file, masks / city.name / f"{key}{MASK_END}.png", split))
    return pairs


def decode(values: np.ndarray, path: Path) -> np.ndarray:
    return labels_by_id(values, path, LABELS)


SOURCE = Source(
    name="cityscapes",
    title="Cityscapes, fine annotations",
    classes=tuple(name for _, name, _ in TRAINED),
    palette=tuple(colour for _, _, colour in TRAINED),
    find=find,
    decode=decode,
    instructions=INSTRUCTIONS,
)
