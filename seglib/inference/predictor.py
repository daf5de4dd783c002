"""Apply a network to images of any size."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..data.images import MAX_PIXELS, read_image
from ..data.transforms import normalize, resize, resized_size
from ..errors import is_out_of_memory
from .errors import PredictionError
from .resize import ArrayReader, FilledReader, ImageReader, LogitUpsampler, ResizedReader
from .sliding_window import sliding_window_inference

MULTI_SCALE = (0.75, 1.0, 1.25)  # scales of test-time augmentation, in which each image is also flipped
MIN_SIDE = 32  # smaller inputs are padded to this height and width, so that every network can downsample five times
WHOLE_PIXELS = 2**21  # inputs with more pixels, including flips, are split into windows; each pixel takes about 1 kB
TILE, MIN_TILE = 512, 64  # largest and smallest side of windows whose size is chosen automatically
BAND_BYTES = 2**29  # limit on the memory for one row of such windows, including all classes and flips
CHUNK = 2**19  # number of pixels processed at once for up to CLASSES classes; it is lower for more classes
CLASSES = 16
MIN_PROBABILITY = 1e-30  # small, but its logarithm is finite


def pick_device(name: str = "auto") -> torch.device:
    """Return the device `name`. "auto" selects CUDA if available, else MPS, else the CPU.

    Raises PredictionError if the device is not available.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        if torch.device(name).type not in ("cpu", "cuda", "mps", "xpu"):
            raise NotImplementedError
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise PredictionError(f"device '{name}' is not available here; use auto, cpu, or the one you have.") from None
    return torch.device(name)


def as_reader(image: "np.ndarray | Image.Image | Path | str | ImageReader", channels: int = 0) -> ImageReader:
    """Return a reader for a path, a PIL image or a uint8 RGB array (H, W, 3). An `ImageReader` is returned as is.

    If `channels` is not 0, the image must be a path, an array of numbers (H, W, channels), or a reader of float32 rows.
    """
    if isinstance(image, str | Path):
        return ArrayReader(read_image(image, channels=channels))
    if isinstance(image, Image.Image) and not channels:
        return ArrayReader(_pil_to_rgb(image))
    if not isinstance(image, np.ndarray) and hasattr(image, "rows"):
        return image
    is_array = isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == (channels or 3) and image.size
    if not is_array or (image.dtype.kind not in "uif" if channels else image.dtype != np.uint8):
        kind = f"{image.dtype} {tuple(image.shape)}" if hasattr(image, "dtype") else type(image).__name__
        wanted = f"or an array (H, W, {channels})" if channels else "a PIL image or a uint8 RGB array (H, W, 3)"
        raise PredictionError(f"expected a path, {wanted}, got {kind}")
    return ArrayReader(image.astype(np.float32, copy=False) if channels else image)


def _pil_to_rgb(image: Image.Image) -> np.ndarray:
    """Convert a PIL image to uint8 RGB (H, W, 3). Transparent areas become white."""
    if image.mode.startswith(("I", "F")):
        raise PredictionError(f"a PIL image of mode {image.mode} has no agreed range; pass its path, or convert it.")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


@dataclass(eq=False, repr=False)
class Predictor:
    """Applies a trained network to images.

    The methods take a path, a PIL image, a uint8 RGB array (H, W, 3), or an `ImageReader`, and return results at the
    size of the image. The network runs in eval mode. Afterward, the previous mode of its layers is restored.

    If `mean` has C values, images are paths, arrays (H, W, C) with the stored values of the bands, or readers of such
    images. In this case, a file must have exactly C bands. To select bands, read the file with
    `data.read_image(path, **metadata["reading"])`.

    Args:
        model: The network. It is moved to `device` and stays there.
        longest_side: Images are resized so that their longer side has this many pixels; 0 keeps their size.
        scales: Scale factors relative to this size. The probabilities (not the logits) of all scales are averaged.
        flip: Whether to average the probabilities with those of the horizontally flipped image.
        device: The device on which the network runs; by default the device of its weights.
        amp_dtype: Lower-precision type for automatic mixed precision (torch.bfloat16); None for float32.
        tile: Height and width of the windows into which the resized image is split. If it is 0, images of more than
            `WHOLE_PIXELS` pixels are split into windows of a suitable size, to limit memory use; others are not split.
        overlap: Minimum overlap of neighboring windows, as a fraction of their side. Their outputs are blended.
        batch_size: Number of windows per forward pass, including flipped windows.
        mean: Mean of each channel; only for images that are not RGB.
        std: Standard deviation of each channel; only for images that are not RGB.

    Raises:
        PredictionError: If an argument is out of range, the input is not an image, or there is not enough memory.
    """

    model: nn.Module
    longest_side: int = 0
    scales: Sequence[float] = (1.0,)
    flip: bool = False
    device: torch.device | str | None = None
    amp_dtype: torch.dtype | None = None
    tile: int = 0
    overlap: float = 0.25
    batch_size: int = 4
    mean: Sequence[float] = ()
    std: Sequence[float] = ()

    def __post_init__(self):
        if self.tile and self.tile < MIN_SIDE:
            raise PredictionError(f"tile is {self.tile}, but must be 0 (chosen for you) or at least {MIN_SIDE}.")
        if not 0 <= self.overlap <= 0.9:
            raise PredictionError(f"overlap is {self.overlap}, but must be a fraction of a window, from 0 to 0.9.")
        if self.batch_size < 1:
            raise PredictionError(f"batch_size is {self.batch_size}, but must be at least 1.")
        here = next((parameter.device for parameter in self.model.parameters()), "cpu")
        self.device = torch.device(here if self.device is None else self.device)
        self.model = self.model.to(self.device)

    @torch.inference_mode()
    def probabilities(self, image) -> np.ndarray:
        """Return the probability of each class at each pixel, float32 (C, H, W), summing to 1 over C.

        For a network with one sigmoid output, there are two classes: background and foreground.
        """
        reader = self._reader(image)
        with self._enough_memory(reader):
            return self._average(self._upsamplers(reader), 0, reader.height).cpu().numpy()

    def labels(self, image) -> np.ndarray:
        """Return the most probable class of each pixel, uint8 (H, W)."""
        return self.label_map(image).cpu().numpy()

    def label_map(self, image) -> Tensor:
        """Return the result of `labels` as a tensor on the device."""
        return torch.cat([most_probable(rows)[1] for rows in self.probability_rows(image)])

    def label_rows(self, image) -> Iterator[np.ndarray]:
        """Yield the result of `labels` in blocks of rows, uint8 (n, W), from top to bottom."""
        for rows in self.probability_rows(image):
            yield most_probable(rows)[1].cpu().numpy()

    @torch.inference_mode()
    def label_maps(self, images: Sequence[np.ndarray]) -> list[Tensor]:
        """Return the label maps of several images, given as arrays.

        Images that have the same size after resizing are processed as one batch. If `tile` is set, or on CPUs, where
        batches are no faster and change the logits slightly, images are processed one by one.
        """
        if self.device.type == "cpu" or self.tile:
            return [self.label_map(image) for image in images]
        return self._label_batches(images)

    def _label_batches(self, images: Sequence[np.ndarray]) -> list[Tensor]:
        images = [self._reader(image).image for image in images] if self.mean else images
        batches: dict[tuple, list[int]] = {}
        for index, image in enumerate(images):
            batches.setdefault(self._input_sizes(image.shape[:2]), []).append(index)
        results = {}
        for sizes, indices in batches.items():
            with self._enough_memory(ArrayReader(images[indices[0]])):
                logits = [self._logits(np.stack([resize(images[i], *size) for i in indices])) for size in sizes]
                for position, i in enumerate(indices):
                    upsamplers = [
                        LogitUpsampler(iter([batch[position]]), height, *images[i].shape[:2])
                        for batch, (height, _) in zip(logits, sizes, strict=True)
                    ]
                    rows = self._average_in_parts(upsamplers, *images[i].shape[:2])
                    results[i] = torch.cat([most_probable(part)[1] for part in rows])
        return [results[i] for i in range(len(images))]

    @torch.inference_mode()
    def probability_rows(self, image) -> Iterator[Tensor]:
        """Yield the result of `probabilities` in blocks of rows, float32 (C, n, W) on the device, from top to bottom.

        If a reader reads the image in parts, only one row of windows is in memory at a time. For each scale and flip,
        it takes about 9 bytes x number of classes x window side x width of the resized image.
        """
        reader = self._reader(image)
        with self._enough_memory(reader):
            yield from self._average_in_parts(self._upsamplers(reader), reader.height, reader.width)

    def _reader(self, image) -> ImageReader:
        """Return a reader that replaces NaN and infinity with the mean, because resizing would spread them."""
        reader = as_reader(image, len(self.mean))
        if not self.mean:
            return reader
        filled = FilledReader(reader, self.mean)
        return ArrayReader(filled.rows(0, reader.height)) if isinstance(reader, ArrayReader) else filled

    def input_side(self) -> int:
        """Return the longer side of the network's input at the largest scale, or 0 if it depends on the image."""
        return round(self.longest_side * max(self.scales))

    def _upsamplers(self, reader: ImageReader) -> list[LogitUpsampler]:
        size = reader.height, reader.width
        sizes = self._input_sizes(size)
        views = 1 + self.flip
        tile = self.tile
        in_memory = isinstance(reader, ArrayReader)
        for height, width in sizes:  # reject images that are too large before running the network
            if (height if in_memory else min(height, tile or MIN_TILE)) * width > MAX_PIXELS:
                raise self._too_large(size)
        if tile or max(views * height * width for height, width in sizes) > WHOLE_PIXELS:
            self._logits(np.zeros((1, MIN_SIDE, MIN_SIDE, len(self.mean) or 3), np.uint8))  # sets the number of classes
            tile = tile or self._window_side(size, sum(width for _, width in sizes), views)
        return [self._upsampler(reader, *input_size, tile) for input_size in sizes]

    def _upsampler(self, reader: ImageReader, height: int, width: int, tile: int) -> LogitUpsampler:
        """Return the upsampler of the logits at one scale. An image larger than `tile` is split into windows."""
        source = ResizedReader(reader, height, width)
        if isinstance(reader, ArrayReader):
            source = ArrayReader(resize(reader.image, height, width))
        if tile and max(height, width) > tile:
            bands = self._windows(source, tile)
        else:
            bands = iter([self._logits(source.rows(0, height)[None])[0]])
        return LogitUpsampler(bands, height, reader.height, reader.width)

    def _window_side(self, size: tuple[int, int], width: int, views: int) -> int:
        """Return the side of windows to use if `tile` is 0. `width` is the sum of the resized widths of all scales."""
        planes = views * self._num_classes
        side = min(TILE, BAND_BYTES // (4 * planes * width) // 32 * 32)
        if side < MIN_TILE:
            what = f"{size[1]}x{size[0]} in {planes * len(self.scales)} planes (classes by scales and mirror images)"
            advice = f"choose a smaller --longest-side, omit --multi-scale, or allow more memory with --tile {TILE}"
            raise PredictionError(f"{what} needs windows of less than {MIN_TILE} pixels, or more memory: {advice}.")
        return side

    def _windows(self, source: ImageReader, tile: int) -> Iterator[Tensor]:
        """Yield the logits (V, C, n, width) of an image that is split into windows, in bands from top to bottom.

        V is 2 with flipping, else 1. Where windows overlap, their probabilities are blended, not their logits. Logits
        are unbounded, so a wrong logit in one window could outweigh the correct logit in another window.
        """
        batch_size = max(1, self.batch_size // (1 + self.flip))
        windows = (tile, self.overlap, batch_size, lambda images: self._logits(images).softmax(2))
        for band in sliding_window_inference(source.rows, source.height, source.width, *windows):
            yield band.clamp_min_(MIN_PROBABILITY).log_()

    def _logits(self, windows: np.ndarray) -> Tensor:
        """Return float32 logits (N, V, C, h, w) of windows (N, h, w, channels); V is 2 with flipping, else 1."""
        number, height, width = windows.shape[:3]
        views = [windows, windows[:, :, ::-1]] if self.flip else [windows]
        missing = max(0, MIN_SIDE - height), max(0, MIN_SIDE - width)
        images = np.pad(np.concatenate(views), [(0, 0), (0, missing[0]), (0, missing[1]), (0, 0)], mode="edge")
        batch = torch.from_numpy(images).permute(0, 3, 1, 2).to(self.device)  # (V * N, channels, h, w), channels last
        batch = batch if getattr(self.model, "normalizes", False) else normalize(batch, self.mean, self.std)
        with _eval_mode(self.model), torch.autocast(self.device.type, self.amp_dtype, enabled=bool(self.amp_dtype)):
            logits = self.model(batch)
        logits = logits[:, :, :height, :width].float()
        if logits.shape[1] == 1:  # the softmax of two such logits is the sigmoid of the single logit
            logits = torch.cat([-logits, logits], 1) / 2
        self._num_classes = logits.shape[1]
        if not self.flip:
            return logits[:, None]
        return torch.stack([logits[:number], logits[number:].flip(-1)], 1)

    def _average_in_parts(self, upsamplers: list[LogitUpsampler], height: int, width: int) -> Iterator[Tensor]:
        step = max(1, CHUNK * CLASSES // max(CLASSES, self._num_classes) // width)
        for top in range(0, height, step):
            yield self._average(upsamplers, top, min(top + step, height))

    def _average(self, upsamplers: list[LogitUpsampler], top: int, bottom: int) -> Tensor:
        """Return the probabilities (C, bottom - top, W) of the rows `top` to `bottom`, averaged over the scales."""
        total = upsamplers[0].rows(top, bottom)
        for upsampler in upsamplers[1:]:
            total += upsampler.rows(top, bottom)
        return total.div_(len(upsamplers))

    def _input_sizes(self, size: tuple[int, int]) -> tuple[tuple[int, int], ...]:
        """Return (height, width) of the network's input at each scale for an image of this size."""
        side = self.longest_side or max(size)
        return tuple(resized_size(*size, max(1, round(side * scale))) for scale in self.scales)

    def _too_large(self, size: tuple[int, int]) -> PredictionError:
        side = self.longest_side or "0 (its own size)"
        what = f"an image of {size[1]}x{size[0]} needs more memory than there is at --longest-side {side}"
        return PredictionError(f"{what}; choose a smaller one, or a smaller --tile.")

    @contextmanager
    def _enough_memory(self, reader: ImageReader):
        try:
            yield
        except (MemoryError, RuntimeError, cv2.error) as error:
            if is_out_of_memory(error):
                raise self._too_large((reader.height, reader.width)) from None
            raise


def most_probable(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest probability at each pixel, float32 (n, W), and the index of its class, uint8 (n, W).

    `probabilities` has the shape (C, n, W).
    """
    largest, labels = probabilities.max(0)  # several times faster than argmax on a CPU
    return largest, labels.to(torch.uint8)


@contextmanager
def _eval_mode(model: nn.Module):
    """Put all layers into eval mode, and restore the training mode of layers at the end."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
