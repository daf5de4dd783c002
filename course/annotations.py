"""Small data sets for notebooks 08 and 10, made from the images and masks of a data set.

No annotated images come with the course, so notebook 10 makes the files that a person would draw in LabelMe.
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
    """Write images of a data set and their masks as polygons, as an annotator leaves them.

    Args:
        folder: The folder to write; each split becomes a folder in it.
        dataset: Images with masks.
        splits: Name of the split, and which images of the data set it gets.

    Returns:
        The JSON files, one beside each image.
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
    """Return `count` whole numbers below `length`, evenly spaced, so that neighbouring images are not all alike."""
    return [place * length // count for place in range(count)]


def write_pairs(
    folder: Path,
    parts: Mapping[str, tuple[SegmentationDataset, Sequence[int]]],
    longest_side: int,
    predict: Callable[[np.ndarray], np.ndarray] | None = None,
) -> None:
    """Write a small data set, or add to one: `images/SPLIT/` and `masks/SPLIT/`, and the names of its classes.

    Args:
        folder: The folder to write.
        parts: Name of the split, the data set, and which images of it.
        longest_side: Images are resized to this length of their longer side.
        predict: Makes the mask (H, W) of an image (H, W, 3), in place of the mask of the data set.
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
