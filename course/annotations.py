"""Write small data sets for notebooks 08 and 10 from the images and masks of another data set.

The repository contains no annotated images, so notebook 10 generates the files that LabelMe would write.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from seglib.data import SegmentationDataset
from seglib.data.transforms import resize, resized_size
from seglib.inference import save_image, save_mask
from seglib.inference.polygons import find_polygons, save_labelme


def write_labelme(folder: Path, dataset: SegmentationDataset, splits: Mapping[str, Sequence[int]]) -> list[Path]:
    """Write images of a data set, and their masks as polygons in the JSON format of LabelMe.

    Args:
        folder: The folder to write, with one subfolder for each split.
        dataset: Images with masks.
        splits: For each split, the indices of its images in `dataset`.

    Returns:
        The paths of the JSON files, one next to each image.
    """
    files = []
    for split, indices in splits.items():
        (folder / split).mkdir(parents=True)
        for index in indices:
            item = dataset[index]
            image = folder / split / f"{Path(item['key']).stem}.png"
            save_image(image, item["image"])
            polygons = find_polygons(item["mask"], background=0)
            save_labelme(image.with_suffix(".json"), image, item["mask"].shape, polygons, dataset.classes, "")
            files.append(image.with_suffix(".json"))
    return files


def spaced(count: int, length: int) -> list[int]:
    """Return `count` evenly spaced indices below `length`, because neighboring images of a data set may be similar."""
    return [place * length // count for place in range(count)]


def write_pairs(
    folder: Path,
    parts: Mapping[str, tuple[SegmentationDataset, Sequence[int]]],
    longest_side: int,
    predict: Callable[[np.ndarray], np.ndarray] | None = None,
) -> None:
    """Write `images/SPLIT/`, `masks/SPLIT/` and `classes.yaml` to a folder, in addition to the files already there.

    Args:
        folder: The folder to write.
        parts: For each split, a data set and the indices of the images to write.
        longest_side: Length in pixels of the longer side of the written images.
        predict: Function that predicts the mask (H, W) of an image (H, W, 3). By default, the mask of the data set is
            written.
    """
    for split, (dataset, indices) in parts.items():
        for index in indices:
            item = dataset[index]
            height, width = resized_size(*item["mask"].shape, longest_side)
            mask = predict(item["image"]) if predict else item["mask"]
            mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
            name = f"{split}/{Path(item['key']).stem}.png"
            for kind in ("images", "masks"):
                (folder / kind / split).mkdir(parents=True, exist_ok=True)
            save_image(folder / "images" / name, resize(item["image"], height, width))
            save_mask(folder / "masks" / name, mask)
        (folder / "classes.yaml").write_text(f"classes: [{', '.join(dataset.classes)}]\n", encoding="utf-8")
