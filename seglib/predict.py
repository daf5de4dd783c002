"""From a photograph of any size to its label map of the same size."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from .augment import fit, normalize
from .data import SUFFIXES
from .data.images import MAX_PIXELS
from .files import write_atomically

ENDINGS = ("_mask.png", "_overlay.png")  # of the files that are written for a picture
NO_MEMORY = re.compile("out of memory|(not enough|insufficient|allocate) memory|failed to allocate", re.IGNORECASE)
MIN_SIDE = 32  # thinner pictures are padded to this, so that every network can halve them five times


class PredictionError(ValueError):
    """A prediction that cannot be made; the message names the file or option and the remedy."""


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
    `amp_dtype`: compute in this lower precision (torch.bfloat16), None for float32.  Raises PredictionError
    for arrays that are no pictures, and where `longest_side` asks for more memory than there is.
    """

    def __init__(
        self,
        model: nn.Module,
        longest_side: int = 0,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        device: torch.device | str = "cpu",
        amp_dtype: torch.dtype | None = None,
    ):
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()
        self.longest_side = longest_side
        self.scales = tuple(scales)
        self.flip = flip
        self.amp_dtype = amp_dtype

    @torch.inference_mode()
    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """float32 (C, H, W) that sum to 1 over C, for a uint8 RGB picture (H, W, 3).

        A network with one sigmoid output gives two planes, background and foreground.
        """
        return self._probabilities(image).cpu().numpy()

    @torch.inference_mode()
    def labels(self, image: np.ndarray) -> np.ndarray:
        """The most probable class of every pixel, uint8 (H, W), for a uint8 RGB picture (H, W, 3)."""
        return self._probabilities(image).argmax(dim=0).to(torch.uint8).cpu().numpy()

    def _probabilities(self, image: np.ndarray) -> Tensor:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise PredictionError(f"expected a uint8 RGB picture (H, W, 3), got {image.dtype} {image.shape}")
        try:
            return self._averaged(image)
        except (MemoryError, RuntimeError, cv2.error) as error:
            # PyTorch has an exception class for memory on CUDA only; elsewhere, as in OpenCV, only the text tells.
            if isinstance(error, MemoryError) or NO_MEMORY.search(str(error)):
                raise self._too_large(image) from None
            raise

    def _too_large(self, image: np.ndarray) -> PredictionError:
        height, width = image.shape[:2]
        side = self.longest_side or "0 (its own size)"
        return PredictionError(
            f"a picture of {width}x{height} needs more memory than there is at --longest-side {side}; choose a smaller."
        )

    def _averaged(self, image: np.ndarray) -> Tensor:
        longest = max(image.shape[:2])
        total = None
        for scale in self.scales:
            side = max(1, round((self.longest_side or longest) * scale))
            if min(image.shape[:2]) * side**2 > MAX_PIXELS * longest:
                raise self._too_large(image)
            small = np.ascontiguousarray(fit(image, side))
            views = [small, small[:, ::-1]] if self.flip else [small]
            batch = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2)  # (1 or 2, 3, h, w), channels last
            logits = self._logits(normalize(batch.to(self.device)))
            logits = F.interpolate(logits, image.shape[:2], mode="bilinear", align_corners=False)
            found = torch.cat([-logits, logits], 1).sigmoid() if logits.shape[1] == 1 else logits.softmax(1)
            found = (found[0] + found[1].flip(-1)) / 2 if self.flip else found[0]
            total = found if total is None else total + found
        return total / len(self.scales)

    def _logits(self, batch: Tensor) -> Tensor:
        height, width = batch.shape[-2:]
        padded = F.pad(batch, [0, max(0, MIN_SIDE - width), 0, max(0, MIN_SIDE - height)], mode="replicate")
        with torch.autocast(self.device.type, self.amp_dtype, enabled=self.amp_dtype is not None):
            logits = self.model(padded)
        return logits[:, :, :height, :width].float()


def image_files(names: Sequence[str | Path]) -> list[Path]:
    """The pictures meant by file and folder names; "example" is a photograph that comes with matplotlib.

    A folder stands for the pictures in it, and a name that does not exist stays in the list, for its
    reader to report.  PredictionError for a folder without pictures.
    """
    files: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            found = sorted(f for f in path.iterdir() if f.suffix.lower() in SUFFIXES and not f.name.startswith("."))
            if not found:
                raise PredictionError(f"{path}: no pictures in this folder; they end in {', '.join(sorted(SUFFIXES))}.")
            files += found
        elif str(name) == "example" and not path.exists():
            import matplotlib.cbook

            files.append(Path(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
        else:
            files.append(path)
    return files


def without_results(files: Sequence[Path], out: Path) -> tuple[list[Path], set[str]]:
    """`files` less those that an earlier run wrote into the folder `out`, and the names that new results must not take.

    A result is known by its fellow: `NAME_mask.png` beside `NAME_overlay.png`.  A lone one is somebody's
    picture, perhaps a mask painted by hand, and its NAME is not free.  PredictionError if no file is left.
    """
    pictures, taken = [], set()
    for file in files:
        name, _, kind = file.stem.rpartition("_")
        ending = f"_{kind}.png"
        if ending in ENDINGS and file.name.endswith(ending) and file.parent.resolve() == out.resolve():
            if all((out / f"{name}{end}").exists() for end in ENDINGS):
                continue
            taken.add(name)
        pictures.append(file)
    if files and not pictures:
        raise PredictionError(f"{out}: only results of an earlier run are there; name pictures, or another --out.")
    return pictures, taken


def free_name(stem: str, taken: set[str]) -> str:
    """`stem`, or with a number behind it if another picture of that name was `taken`; marks it as taken."""
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name)
    return name


def save_mask(file: Path, labels: np.ndarray, palette: Sequence[Sequence[int]]) -> None:
    """Write a label map (H, W) uint8 as a PNG whose pixel values are the labels and whose palette shows them."""
    picture = Image.fromarray(labels)
    picture.putpalette(bytes(np.asarray(palette, np.uint8).ravel()))  # from grey to palette mode, values unchanged
    _save(file, picture)


def save_image(file: Path, image: np.ndarray) -> None:
    """Write a uint8 picture (H, W, 3) or (H, W, 4) as a PNG."""
    _save(file, Image.fromarray(image))


def _save(file: Path, picture: Image.Image) -> None:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    write_atomically(file, lambda stream: stream.write(buffer.getvalue()))
