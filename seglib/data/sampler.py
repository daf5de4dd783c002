"""What each step of a training run sees: which images, how large, and how augmented."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..config import Config
from . import SegmentationDataset
from .dataset import IGNORE
from .transforms import TrainingTransform


class Plan:
    """Which images each step of the whole run sees, and at which crop size.

    Batch k is a list of (epoch, index): it depends on (seed, epoch) alone, so a run resumed at step k
    sees what it would have seen.
    """

    def __init__(self, images: int, config: Config):
        self.images, self.batch_size, self.seed = images, config.batch_size, config.seed
        self.epochs, self.crop_sizes = config.epochs, config.augment.crop_sizes
        self.steps_per_epoch = -(-images // config.batch_size)
        self.steps = config.epochs * self.steps_per_epoch
        self.start = 0  # the first step to give
        self._epoch, self._order = -1, np.empty(0, int)  # the last order drawn, which the next step will want again

    def crop_size(self, epoch: int) -> int:
        """Several sizes share the epochs equally, in order."""
        return self.crop_sizes[epoch * len(self.crop_sizes) // self.epochs]

    def batch(self, step: int) -> list[tuple[int, int]]:
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:  # drawing the order of a million images takes as long as a step
            self._epoch = epoch
            self._order = np.random.default_rng([self.seed, epoch]).permutation(self.images)
        chosen = self._order[place * self.batch_size : (place + 1) * self.batch_size]
        return [(epoch, int(index)) for index in chosen]

    def count(self, step: int) -> int:
        """How many images step number `step` has: the last one of an epoch takes what is left."""
        return min(self.batch_size, self.images - step % self.steps_per_epoch * self.batch_size)

    def pixels(self, step: int) -> int:
        """The cost of a step, for an honest estimate of the time left."""
        return self.count(step) * self.crop_size(step // self.steps_per_epoch) ** 2

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return (self.batch(step) for step in range(self.start, self.steps))

    def __len__(self) -> int:
        return self.steps - self.start


class Share:
    """The part of every batch that process number `rank` of `count` sees: every count-th image.

    Where a batch has fewer images than there are processes, the rest look at its first one with a mask that is
    all ignored; that is written as an index of ~index.
    """

    def __init__(self, plan: Plan, rank: int, count: int):
        self.plan, self.rank, self.count = plan, rank, count

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for batch in self.plan:
            epoch, index = batch[0]
            yield batch[self.rank :: self.count] or [(epoch, ~index)]

    def __len__(self) -> int:
        return len(self.plan)


class Augmented(Dataset):
    """Item (epoch, index): image and mask number `index` as they look in that epoch; ~index ignores the mask."""

    def __init__(self, dataset: SegmentationDataset, plan: Plan, config: Config):
        self.dataset, self.plan, self.seed = dataset, plan, config.seed
        self.transforms = {size: TrainingTransform(config.augment, size) for size in set(plan.crop_sizes)}

    def __getitem__(self, place: tuple[int, int]) -> tuple[Tensor, Tensor]:
        epoch, index = place
        ignored, index = index < 0, max(index, ~index)
        item = self.dataset[index]
        seed = int(np.random.SeedSequence([self.seed, epoch, index]).generate_state(1)[0])
        image, mask = self.transforms[self.plan.crop_size(epoch)](item["image"], item["mask"], seed)
        if ignored:
            mask = np.full_like(mask, IGNORE)
        # torch.tensor copies: a transform that had nothing to do hands on the data set's own array
        return torch.tensor(image), torch.tensor(mask)  # (S, S, 3) and (S, S), uint8
