"""Human-Segmentation-Dataset: photographs of people with figure masks.

Published by Vikram Shenoy, https://github.com/VikramShenoy97/Human-Segmentation-Dataset: 290 pairs, of which
the committed split lists name 246.  Two images are grey; most masks are a little larger or smaller than
their image and are resized to it.
"""

from pathlib import Path

import numpy as np

from .dataset import Pair, Source
from .download import Archive, github_urls
from .images import DataError
from .masks import labels_by_id
from .matching import by_stem

ARCHIVE = Archive(
    urls=github_urls("VikramShenoy97/Human-Segmentation-Dataset", "refs/heads/master"),
    folder="Human-Segmentation-Dataset",
    inner="Human-Segmentation-Dataset-*",
    max_bytes=1 << 30,
)
INSTRUCTIONS = """\
Human-Segmentation-Dataset: 290 pairs, about 15 MB.
1. Download https://github.com/VikramShenoy97/Human-Segmentation-Dataset as a ZIP file and unpack it.
2. Name the folder so that these exist:
       ROOT/Human-Segmentation-Dataset/Training_Images/1.jpg ...
       ROOT/Human-Segmentation-Dataset/Ground_Truth/1.png ...
3. seglib data check humans --root ROOT"""


def find(root: Path) -> list[Pair]:
    folder = Path(root) / "Human-Segmentation-Dataset"
    if not folder.is_dir():
        raise DataError(f"{folder}: the humans are not there; see `seglib data download humans`.")
    return by_stem(folder / "Training_Images", folder / "Ground_Truth")


def decode(values: np.ndarray, path: Path) -> np.ndarray:
    return labels_by_id(values, path, {0: 0, 255: 1})


SOURCE = Source(
    name="humans",
    title="Human-Segmentation-Dataset",
    classes=("background", "human"),
    palette=((0, 0, 0), (86, 180, 233)),
    find=find,
    decode=decode,
    instructions=INSTRUCTIONS,
    archives=(ARCHIVE,),
)
