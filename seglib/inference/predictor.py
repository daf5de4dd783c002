"""Apply a network to pictures of any size."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from ..data.images import MAX_PIXELS
from ..data.transforms import fit, fitted_size, normalize
from .errors import PredictionError
from .resize import Enlarged, Picture, Scaled
from .sliding_window import blended

NO_MEMORY = re.compile("out of memory|(not enough|insufficient|allocate) memory|failed to allocate", re.IGNORECASE)
MULTI_SCALE = (0.75, 1.0, 1.25)  # of test-time augmentation, each image also mirrored
MIN_SIDE = 32  # thinner pictures are padded to this, so that every network can halve them five times
TILE = 512  # side of the windows where there must be windows and none was chosen, at most
LEAST_TILE = 64  # and at least: in smaller ones the network sees too little
BAND_BYTES = 2**29  # what one row of such windows may hold, in all classes and views
CHUNK = 2**19  # pixels that are labelled at once, of up to CLASSES classes, fewer of more
CLASSES = 16
LEAST = 1e-30  # a probability whose logarithm is finite


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" takes cuda, else mps, else cpu.  PredictionError if it is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        if torch.device(name).type not in ("cpu", "cuda", "mps", "xpu"):
            raise NotImplementedError
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise PredictionError(f"device '{name}' is not available here; use auto, cpu, or the one you have.") from None
    return torch.device(name)


class Predictor:
    """Applies a trained network to photographs.

    `longest_side`: pictures are scaled so that the longer side has this many pixels, 0 keeps their
    size; the logits are scaled back, so every result has the photograph's own size.  `scales` are
    factors on that, and `flip` adds the mirrored picture: their *probabilities* are averaged.
    `amp_dtype`: compute in this lower precision (torch.bfloat16), None for float32.

    `tile`: show the scaled picture to the network in square windows of this side, 0 shows it whole.  Neighbours
    share at least the part `overlap` of their side, where the probabilities of one fade into those of the other.
    `batch_size` windows, mirrored ones included, go through the network at once.

    Raises PredictionError for options out of range, for arrays that are no pictures, and where a result
    would need more memory than there is.
    """

    def __init__(
        self,
        model: nn.Module,
        longest_side: int = 0,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        device: torch.device | str = "cpu",
        amp_dtype: torch.dtype | None = None,
        tile: int = 0,
        overlap: float = 0.25,
        batch_size: int = 4,
    ):
        if tile and tile < MIN_SIDE:
            raise PredictionError(f"tile is {tile}, but must be 0 (no windows) or at least {MIN_SIDE}.")
        if not 0 <= overlap <= 0.9:
            raise PredictionError(f"overlap is {overlap}, but must be a share of the window's side, from 0 to 0.9.")
        if batch_size < 1:
            raise PredictionError(f"batch_size is {batch_size}, but must be at least 1.")
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()
        self.longest_side = longest_side
        self.scales = tuple(scales)
        self.flip = flip
        self.amp_dtype = amp_dtype
        self.tile, self.overlap, self.batch_size = tile, overlap, batch_size

    @torch.inference_mode()
    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """float32 (C, H, W) that sum to 1 over C, for a uint8 RGB picture (H, W, 3).

        A network with one sigmoid output gives two planes, background and foreground.
        """
        with self._enough_memory(image.shape):
            return self._average(self._seen(image), 0, len(image)).cpu().numpy()

    @torch.inference_mode()
    def labels(self, image: np.ndarray) -> np.ndarray:
        """The most probable class of every pixel, uint8 (H, W), for a uint8 RGB picture (H, W, 3)."""
        return self.label_map(image).cpu().numpy()

    @torch.inference_mode()
    def label_map(self, image: np.ndarray) -> Tensor:
        """As `labels`, but left on the device."""
        with self._enough_memory(image.shape):
            return torch.cat(list(self._labelled(self._seen(image), *image.shape[:2])))

    @torch.inference_mode()
    def label_maps(self, images: Sequence[np.ndarray]) -> list[Tensor]:
        """Return the `label_map` of several images; those of equal size after scaling are computed as one batch.

        On CPUs, where batches are no faster and change the last digits of the logits, images are computed one by one.
        """
        if self.device.type == "cpu" or self.tile:
            return [self.label_map(image) for image in images]
        return self._label_batches(images)

    def _label_batches(self, images: Sequence[np.ndarray]) -> list[Tensor]:
        batches: dict[tuple, list[int]] = {}
        for index, image in enumerate(images):
            sizes = tuple(fitted_size(*image.shape[:2], self._side(image.shape, scale)) for scale in self.scales)
            batches.setdefault(sizes, []).append(index)
        results = {}
        for sizes, indices in batches.items():
            with self._enough_memory(images[indices[0]].shape):
                logits = [
                    self._logits(np.stack([fit(images[i], self._side(images[i].shape, scale)) for i in indices]))
                    for scale in self.scales
                ]
                for position, i in enumerate(indices):
                    height, width = images[i].shape[:2]
                    views = [
                        Enlarged(iter([batch[position]]), rows, height, width)
                        for batch, (rows, _) in zip(logits, sizes, strict=True)
                    ]
                    results[i] = torch.cat(list(self._labelled(views, height, width)))
        return [results[i] for i in range(len(images))]

    @torch.inference_mode()
    def label_rows(self, picture: Picture) -> Iterator[np.ndarray]:
        """As `labels`, but for a picture that is read, and labelled, row by row: uint8 (n, W) from top to bottom.

        It is always shown in windows.  The memory needed is, for each scale and mirror image, about 5 bytes times
        classes, window side and scaled width; so if `tile` is 0 the side is 512 pixels, or less where classes and
        views are many and the picture wide: what takes 4 of these bytes stays below 512 MiB.
        """
        size = picture.height, picture.width
        with self._enough_memory(size):
            views, classes = self._logits(np.zeros((1, MIN_SIDE, MIN_SIDE, 3), np.uint8)).shape[1:3]
            tile = self.tile or self._window_side(size, views * classes)
            seen = [self._streamed(picture, scale, tile) for scale in self.scales]
            for labels in self._labelled(seen, *size, classes):
                yield labels.cpu().numpy()

    def _seen(self, image: np.ndarray) -> list[Enlarged]:
        """What the network makes of a whole picture, at each of the scales."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise PredictionError(f"expected a uint8 RGB picture (H, W, 3), got {image.dtype} {image.shape}")
        seen = []
        for scale in self.scales:
            side = self._side(image.shape, scale)
            if min(image.shape[:2]) * side**2 > MAX_PIXELS * max(image.shape[:2]):
                raise self._too_large(image.shape)
            small = fit(image, side)
            if self.tile and max(small.shape[:2]) > self.tile:
                bands = self._windows(lambda a, b, s=small: s[a:b], *small.shape[:2], self.tile)
                logits = torch.cat([band.clone() for band in bands], 2)
            else:
                logits = self._logits(small[None])[0]
            seen.append(Enlarged(iter([logits]), len(small), *image.shape[:2]))
        return seen

    def _window_side(self, size: Sequence[int], planes: int) -> int:
        """The side of the windows for a picture of this size where none was chosen; `planes` are classes by views."""
        width = sum(fitted_size(*size, self._side(size, scale))[1] for scale in self.scales)
        side = min(TILE, BAND_BYTES // (4 * planes * width) // 32 * 32)
        if side < LEAST_TILE:
            raise PredictionError(
                f"a picture of {size[1]}x{size[0]} in {planes * len(self.scales)} planes (classes by scales and mirror "
                f"images) would have to be shown in windows of less than {LEAST_TILE} pixels, or take more memory: "
                f"choose a smaller --longest-side, leave --multi-scale out, or allow the memory by --tile {TILE}."
            )
        return side

    def _streamed(self, picture: Picture, scale: float, tile: int) -> Enlarged:
        """What the network makes of a picture at one scale, computed when its rows are asked for."""
        size = picture.height, picture.width
        height, width = fitted_size(*size, self._side(size, scale))
        if tile * width > MAX_PIXELS:
            raise self._too_large(size)
        return Enlarged(self._windows(Scaled(picture, height, width).rows, height, width, tile), height, *size)

    def _windows(self, rows, height: int, width: int, tile: int) -> Iterator[Tensor]:
        """The logits (V, C, n, width) of a picture seen in windows, band by band.

        Probabilities are blended, because logits have no bound: one window's error could outweigh its neighbour.
        """
        batch = max(1, self.batch_size // (2 if self.flip else 1))
        for band in blended(rows, height, width, tile, self.overlap, batch, lambda w: self._logits(w).softmax(2)):
            yield band.clamp_min_(LEAST).log_()

    def _logits(self, windows: np.ndarray) -> Tensor:
        """(N, V, C, h, w) float32 logits of uint8 windows (N, h, w, 3); V is 2 with the mirror image, else 1."""
        number, height, width = windows.shape[:3]
        views = [windows, windows[:, :, ::-1]] if self.flip else [windows]
        missing = max(0, MIN_SIDE - height), max(0, MIN_SIDE - width)
        pictures = np.pad(np.concatenate(views), [(0, 0), (0, missing[0]), (0, missing[1]), (0, 0)], mode="edge")
        batch = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(self.device)  # (V * N, 3, h, w), channels last
        batch = batch if getattr(self.model, "takes_bytes", False) else normalize(batch)
        with torch.autocast(self.device.type, self.amp_dtype, enabled=self.amp_dtype is not None):
            logits = self.model(batch)
        logits = logits[:, :, :height, :width].float()
        if logits.shape[1] == 1:  # the softmax of these two is the sigmoid of the one
            logits = torch.cat([-logits, logits], 1) / 2
        if not self.flip:
            return logits[:, None]
        return torch.stack([logits[:number], logits[number:].flip(-1)], 1)

    def _labelled(self, seen: list[Enlarged], height: int, width: int, classes: int = 1) -> Iterator[Tensor]:
        step = max(1, CHUNK * CLASSES // max(CLASSES, classes) // width)
        for top in range(0, height, step):
            found = self._average(seen, top, min(top + step, height))
            yield found.max(0).indices.to(torch.uint8)  # several times as fast as argmax on a CPU

    def _average(self, seen: list[Enlarged], top: int, bottom: int) -> Tensor:
        """The probabilities (C, bottom - top, W) of some rows, averaged over the scales."""
        total = seen[0].rows(top, bottom)
        for scaled in seen[1:]:
            total += scaled.rows(top, bottom)
        return total.div_(len(seen))

    def _side(self, size: Sequence[int], scale: float) -> int:
        """To how many pixels the longer side of a picture is scaled."""
        return max(1, round((self.longest_side or max(size[:2])) * scale))

    def _too_large(self, size: Sequence[int]) -> PredictionError:
        side = self.longest_side or "0 (its own size)"
        remedy = "choose a smaller" + ("" if self.tile else f", or windows by --tile {TILE}")
        return PredictionError(
            f"a picture of {size[1]}x{size[0]} needs more memory than there is at --longest-side {side}; {remedy}."
        )

    @contextmanager
    def _enough_memory(self, size: Sequence[int]):
        try:
            yield
        except (MemoryError, RuntimeError, cv2.error) as error:
            # PyTorch has an exception class for memory on CUDA only; elsewhere, as in OpenCV, only the text tells.
            if isinstance(error, MemoryError) or NO_MEMORY.search(str(error)):
                raise self._too_large(size) from None
            raise
