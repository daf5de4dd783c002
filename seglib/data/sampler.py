"""Choose the images and the crop size for each training step, and augment the images."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..config import Config
from .dataset import IGNORE, SegmentationDataset
from .transforms import TrainingTransform


class TrainingBatchSampler:
    """Yields the batches of the epoch chosen by `set_epoch`. Each batch is a list of (epoch, index).

    The batches depend only on the seed and the epoch, so a resumed run gets the same batches as an uninterrupted run.

    Args:
        num_images: Number of training images. Every epoch uses each image once.
        config: Configuration with `batch_size`, `seed`, `epochs` and `augment.crop_sizes`.
    """

    def __init__(self, num_images: int, config: Config):
        self.num_images, self.batch_size, self.seed = num_images, config.batch_size, config.seed
        self.epochs, self.crop_sizes = config.epochs, config.augment.crop_sizes
        self.steps_per_epoch = -(-num_images // config.batch_size)
        self.total_steps = config.epochs * self.steps_per_epoch
        self.set_epoch(0)
        self._epoch, self._order = -1, np.empty(0, int)  # the order of the images in the latest epoch

    def set_epoch(self, epoch: int, first_step: int = 0) -> None:
        """Set the epoch to iterate over. Steps before `first_step`, counted from the start of the run, are skipped."""
        first, end = epoch * self.steps_per_epoch, (epoch + 1) * self.steps_per_epoch
        self.steps = range(max(first, first_step), end)

    def crop_size(self, epoch: int) -> int:
        """Return the crop size of an epoch. The epochs are divided equally among the crop sizes, in order."""
        return self.crop_sizes[epoch * len(self.crop_sizes) // self.epochs]

    def batch(self, step: int) -> list[tuple[int, int]]:
        """Return the batch for a step. Steps are counted from the start of the run."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:  # shuffling a million images takes as long as a training step
            self._epoch = epoch
            self._order = np.random.default_rng([self.seed, epoch]).permutation(self.num_images)
        indices = self._order[position * self.batch_size : (position + 1) * self.batch_size]
        return [(epoch, int(index)) for index in indices]

    def num_batch_images(self, step: int) -> int:
        """Return the number of images in the batch for a step. The last batch of an epoch may be smaller."""
        return min(self.batch_size, self.num_images - step % self.steps_per_epoch * self.batch_size)

    def num_batch_pixels(self, step: int) -> int:
        """Return the number of pixels in the batch for a step, which is used to estimate the remaining time."""
        return self.num_batch_images(step) * self.crop_size(step // self.steps_per_epoch) ** 2

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return map(self.batch, self.steps)

    def __len__(self) -> int:
        return len(self.steps)


class DistributedBatchSampler:
    """Yields one process's part of each batch: every `world_size`-th image, starting at index `rank`.

    If a batch has fewer images than there are processes, the remaining processes get the first image of the batch with
    a mask in which all pixels are ignored. In a batch, ~index stands for the image at `index` with this mask.
    """

    def __init__(self, sampler: TrainingBatchSampler, rank: int, world_size: int):
        self.sampler, self.rank, self.world_size = sampler, rank, world_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for batch in self.sampler:
            epoch, index = batch[0]
            yield batch[self.rank :: self.world_size] or [(epoch, ~index)]

    def __len__(self) -> int:
        return len(self.sampler)


def accumulation_weights(num_images: int, num_parts: int, world_size: int) -> list[float]:
    """Return the weight of each gradient accumulation step, which is the fraction of the batch that it processes.

    In each step, every process uses one of the `num_parts` parts of its images. The images are split with
    `torch.tensor_split`, so earlier parts may have one more image.
    """
    shares = [len(range(rank, num_images, world_size)) for rank in range(world_size)]
    sizes = [sum(len(range(part, share, num_parts)) for share in shares) for part in range(num_parts)]
    return [size / num_images for size in sizes]


class TrainingDataset(Dataset):
    """Augmented training crops. Item (epoch, index) is the image at `index` with its mask, augmented for that epoch.

    The image and the mask are uint8 tensors, (S, S, 3) and (S, S), where S is the crop size. Non-RGB images are float32
    (S, S, channels). In item (epoch, ~index), all pixels of the mask are ignored.
    """

    def __init__(self, dataset: SegmentationDataset, sampler: TrainingBatchSampler, config: Config):
        self.dataset, self.sampler, self.seed = dataset, sampler, config.seed
        self.transforms = {size: TrainingTransform(config.augment, size) for size in set(sampler.crop_sizes)}

    def __getitem__(self, epoch_and_index: tuple[int, int]) -> tuple[Tensor, Tensor]:
        epoch, index = epoch_and_index
        ignored, index = index < 0, max(index, ~index)
        item = self.dataset[index]
        seed = int(np.random.SeedSequence([self.seed, epoch, index]).generate_state(1)[0])
        image, mask = self.transforms[self.sampler.crop_size(epoch)](item["image"], item["mask"], seed)
        if ignored:
            mask = np.full_like(mask, IGNORE)
        return torch.tensor(image), torch.tensor(mask)  # copies, because the data set may cache the arrays
