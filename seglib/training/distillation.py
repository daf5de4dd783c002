"""Teachers for knowledge distillation, which are trained networks whose predictions are soft targets."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import weights
from ..config import DistillationConfig
from ..losses import LossError, SegmentationLoss, distillation, mean_prediction


class Teachers:
    """The networks listed in `config.teachers`, in eval mode.  They process the same augmented crops as the student.

    Args:
        config: the distillation options.
        num_classes: the number of output channels of the student.
        device: the device on which the teachers run.
        mean: the mean of each image channel, as in `inference.mean` of the student's configuration.

    Raises:
        LossError: if the number of classes or the `mean` of a teacher differs from that of the student.
        WeightsError: if the weights of a teacher cannot be read.
    """

    def __init__(self, config: DistillationConfig, num_classes: int, device: torch.device, mean: Sequence[float] = ()):
        self.config, self.networks = config, []
        for name in config.teachers:
            network, notes = weights.load(name)
            if max(notes["num_outputs"], 2) != max(num_classes, 2):
                raise LossError(
                    f"distillation.teachers: {name} predicts {max(notes['num_outputs'], 2)} classes, but the data set "
                    f"has {max(num_classes, 2)}; use a teacher trained on the same classes."
                )
            if list(notes["config"]["inference"].get("mean", ())) != list(mean):
                raise LossError(
                    f"distillation.teachers: {name} was trained on images with different channel means "
                    "(inference.mean); use a teacher that was trained on the same images."
                )
            self.networks.append(network.requires_grad_(False).to(device, memory_format=torch.channels_last))

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """Return the mean of the teachers' softened predictions, (N, max(C, 2), H, W), for normalized images."""
        return mean_prediction([network(images) for network in self.networks], self.config.temperature)

    def loss(
        self, outputs: Tensor | Sequence[Tensor], soft_targets: Tensor, labels: Tensor, base: SegmentationLoss
    ) -> Tensor:
        """Return `distillation.weight` times the distillation loss, summed over the student's outputs.

        Args:
            outputs: the student's logits (N, C, H, W), or a sequence of such tensors.
            soft_targets: the result of `predict` for the same images.
            labels: the target mask (N, H, W).
            base: the loss on the labels, which provides the weight of each output.

        Returns:
            A scalar.
        """
        outputs = [outputs] if isinstance(outputs, Tensor) else outputs
        factors, temperature = base.output_weights or (1.0,) * len(outputs), self.config.temperature
        terms = (
            factor * distillation(logits, soft_targets, labels, temperature, base.ignore_index, base.all_reduce)
            for factor, logits in zip(factors, outputs, strict=False)
        )
        return self.config.weight * sum(terms)
