"""Compare our input pipeline with a plain data set that uses torchvision v2, both on one thread."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from seglib import data
from seglib.config import Config
from seglib.data.sampler import TrainingBatchSampler, TrainingDataset
from seglib.data.transforms import TrainingTransform

from .measure import check_equal, contest, interleaved, need, processor, threads

IMAGES = 48
AT_ONCE = 12  # images per measured call
REPEATS = 12
SIDE = 224


class Plain(Dataset):
    """A typical data set, which decodes image and mask at each access and augments them with torchvision."""

    def __init__(self, pairs: list[data.Pair], transform: Callable):
        self.pairs, self.transform = pairs, transform

    def decoded(self, index: int) -> tuple[Image.Image, Image.Image]:
        pair = self.pairs[index]
        return Image.open(pair.image).convert("RGB"), Image.open(pair.mask)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.transform(*map(as_tensors(), self.decoded(index), (False, True)))


def as_tensors() -> Callable:
    """Return a function that converts (image, is_mask) to an image tensor or to torchvision's mask type."""
    need("torchvision")
    from torchvision import tv_tensors
    from torchvision.transforms.v2 import functional

    def convert(pixels: Image.Image | np.ndarray, is_mask: bool) -> torch.Tensor:
        image = functional.to_image(pixels)
        return tv_tensors.Mask(image[0]) if is_mask else image

    return convert


def v2_transform(config: Config) -> Callable:
    """Return torchvision transforms with the same strengths and probabilities as our training augmentation."""
    from torchvision.transforms import v2

    a, c = config.augment, config.augment.color_jitter
    return v2.Compose(
        [
            v2.RandomResizedCrop(SIDE, a.crop_area, a.crop_ratio, antialias=True),
            v2.RandomHorizontalFlip(a.flip),
            v2.RandomApply([v2.RandomRotation(a.rotate, v2.InterpolationMode.BILINEAR)], 0.5),
            v2.RandomApply([v2.ColorJitter(c, c, c, c / 5)], 0.8),
            v2.RandomGrayscale(a.grayscale),
            v2.RandomApply([v2.GaussianBlur(7, (0.3, 1.5))], a.blur),
            v2.RandomApply([v2.ToDtype(torch.float32, scale=True), v2.GaussianNoise(sigma=0.035)], a.noise),
            v2.ToDtype(torch.uint8, scale=True),
        ]
    )


class Ways:
    """All pipelines to compare, with the same images.

    Decoding and flips must give equal results. The other transforms are random and cannot be compared exactly.
    """

    def __init__(self, root: Path):
        source = data.source("horses")
        pairs = data.pairs(source, "train", root)[:IMAGES]
        self.config = Config(batch_size=AT_ONCE, epochs=10**9)  # more than needed
        self.config.augment.crop_sizes = [SIDE]
        self.kept, self.anew = (self._opened(root, size) for size in (data.CACHE_BYTES, 0))
        self.plain = Plain(pairs, v2_transform(self.config))
        sampler = TrainingBatchSampler(IMAGES, self.config)
        self.ours = TrainingDataset(self.kept, sampler, self.config)
        self.ours_anew = TrainingDataset(self.anew, sampler, self.config)
        self._check()

    @staticmethod
    def _opened(root: Path, cache_bytes: int) -> data.SegmentationDataset:
        whole = data.load("horses", "train", root, cache_bytes=cache_bytes)
        return whole.without(whole.keys[IMAGES:])

    def _check(self) -> None:
        for index in range(0, IMAGES, 12):
            item = self.kept[index]
            image, mask = self.plain.decoded(index)
            check_equal(item["image"], np.asarray(image), "the decoded image")
            check_equal(item["mask"], np.asarray(mask) > 0, "the decoded mask")
        flip = Config()
        for name in ("rotate", "color_jitter", "grayscale", "blur", "noise"):
            setattr(flip.augment, name, 0)
        flip.augment.flip, flip.augment.crop_area, flip.augment.crop_ratio = 1.0, [1.0, 1.0], [1.0, 1.0]
        square = np.resize(self.kept[0]["image"], (SIDE, SIDE, 3))
        ours = TrainingTransform(flip.augment, SIDE)(square, square[:, :, 0], 0)
        theirs = as_tensors()(square, False), as_tensors()(square[:, :, 0], True)
        for transform in v2_transform(flip).transforms[:2]:  # crop and flip
            theirs = transform(*theirs)
        check_equal(ours[0], theirs[0].permute(1, 2, 0), "the mirrored image")
        check_equal(ours[1], theirs[1], "the mirrored mask")


def _turns(call: Callable[[int], object]) -> Callable[[], None]:
    """Return a function that processes the next AT_ONCE images, and starts again after the last image."""
    order = itertools.cycle(range(IMAGES))

    def turn() -> None:
        for _ in range(AT_ONCE):
            call(next(order))

    return turn


def measured(root: Path, which: str) -> dict:
    """Measure the images per second of `which`, the "pipeline", "decoding" or "augmentation", for ours and the peer."""
    epochs = itertools.count(1)
    ways = Ways(root)
    convert = as_tensors()
    items = [ways.kept[index] for index in range(IMAGES)]
    decoded = [(convert(item["image"].copy(), False), convert(item["mask"].copy(), True)) for item in items]

    def ours(index: int) -> object:
        return ways.ours[next(epochs), index]

    peer = {
        "pipeline": lambda index: ways.plain[index],
        "decoding": lambda index: ways.ours_anew[next(epochs), index],
        "augmentation": lambda index: ways.plain.transform(*decoded[index]),
    }[which]
    with threads(1):
        times = interleaved(_turns(ours), _turns(peer), REPEATS, processor)
    return contest(*times, "images/s", lambda seconds: AT_ONCE / seconds, True)
