"""Read and write videos frame by frame with PyAV, which the optional dependency group `video` installs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from ..errors import import_optional
from .errors import PredictionError

SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})
# For each kind of result: the container, the encoder, and the pixel formats of the encoder and of the arrays. Masks are
# encoded losslessly. Cutouts are encoded as ProRes 4444, which supports transparency.
FORMATS = {
    "mask": ("matroska", "ffv1", "gray", "gray"),
    "overlay": ("mp4", "libx264", "yuv420p", "rgb24"),
    "cutout": ("mov", "prores_ks", "yuva444p10le", "rgba"),
}
DEFAULT_RATE = 25  # frames per second, used if the header does not specify a rate
QUALITY = {"libx264": {"crf": "18"}}  # almost no visible loss


class Frame(NamedTuple):
    """A frame, uint8 RGB (H, W, 3), and the time at which it is displayed, in the time base of its stream."""

    image: np.ndarray
    time: int


def is_video(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES


@contextmanager
def open_video(file: Path) -> Iterator:
    """Open a video and yield PyAV's container. Raises PredictionError if the file cannot be decoded."""
    av = import_optional("av", PredictionError, f"{file}: reading videos", "av")
    try:
        if not file.exists():
            raise PredictionError(f"{file}: no such file; check the name.")
        with av.open(str(file)) as container:
            if not container.streams.video:
                raise PredictionError(f"{file}: contains no video.")
            yield container
    except av.FFmpegError as error:
        raise PredictionError(f"{file}: cannot be decoded ({error.strerror}).") from None


def read_frames(container) -> Iterator[Frame]:
    """Yield the frames of the first video stream, rotated as specified in its header.

    Raises PredictionError if the video has no frames.
    """
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    rate, number = (stream.average_rate or DEFAULT_RATE) * stream.time_base, -1  # frames per unit of time
    for number, frame in enumerate(container.decode(stream)):
        time = frame.pts if frame.pts is not None else int(number / rate)
        image = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
        yield Frame(np.ascontiguousarray(image), time)
    if number < 0:
        raise PredictionError(f"{container.name}: has no frames; the file may be truncated.")


def read_comment(file: Path) -> str:
    """Return the comment in the header of a video, or "". Raises PredictionError if the file cannot be decoded."""
    with open_video(file) as container:
        return next((text for key, text in container.metadata.items() if key.lower() == "comment"), "")


class VideoWriter:
    """Writes one kind of result as a video, with the frame rate and time base of the input video.

    Args:
        file: The output file, opened for writing.
        kind: A key of `FORMATS`.
        like: The video stream of the input.
        comment: The comment in the header.
    """

    def __init__(self, file: IO[bytes], kind: str, like, comment: str):
        import av

        form, codec, self.pixels, self.array_format = FORMATS[kind]
        self.container = av.open(file, "w", format=form)
        self.container.metadata["comment"] = comment
        rate = like.average_rate or DEFAULT_RATE
        self.stream = self.container.add_stream(codec, rate=rate, options=QUALITY.get(codec))
        self.stream.codec_context.time_base = self.time_base = like.time_base

    def write(self, image: np.ndarray, time: int) -> None:
        """Append a frame: uint8 (H, W) for a mask, (H, W, 3) for an overlay, (H, W, 4) for a cutout.

        `time` is the time of the frame in the time base of the input.
        """
        import av

        if not self.stream.codec_context.is_open:
            self.stream.height, self.stream.width = image.shape[:2]
            odd = image.shape[0] % 2 or image.shape[1] % 2  # 4:2:0 chroma subsampling needs an even height and width
            self.stream.pix_fmt = self.pixels.replace("420", "444") if odd else self.pixels
        frame = av.VideoFrame.from_ndarray(image, format=self.array_format)
        frame.pts, frame.time_base = time, self.time_base
        self.container.mux(self.stream.encode(frame))

    def close(self) -> None:
        self.container.mux(self.stream.encode())
        self.container.close()
