"""Corrupted archives: unpacked inside their folder, or refused with nothing left behind."""

import io
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from numpy.random import Generator

from course.datasets import download
from course.datasets.download import DownloadError, extract

from .mutate import corrupted
from .verdict import one_line

NAMES = (
    "a.txt",
    "set/a.txt",
    "set/deep/b.txt",
    "set",
    "set/",
    "./a.txt",
    "../evil",
    "set/../../evil",
    "/evil",
    "C:/evil",
    "..\\evil",
    "\\\\host\\evil",
    "",
    ".",
    "..",
    "a\0b",
    "x" * 300,
    "a/" * 200 + "b",
    "\ud7ff",
    "NUL",
    "A.TXT",
    "set/./a.txt",
    "link/evil",
    "\u202egpj",
    "a\nb",
    "~/evil",
    "set//a.txt",
)
ZIP_KINDS = (0,) * 4 + (stat.S_IFREG,) * 2 + (stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO)
MAX_BYTES, MAX_FILES = 3_000_000, 50


def attempt(folder: Path) -> Callable[[Generator], str]:
    """Return a function that corrupts a good archive or packs hostile names, and unpacks it: "read" or "refused"."""
    outside = folder / "outside"
    outside.mkdir()
    (outside / "mine.txt").write_text("mine")
    good = [_zip([("set/a.txt", b"alpha" * 100, 0), ("set/b.txt", os.urandom(3000), 0)], zipfile.ZIP_DEFLATED)]
    file = folder / "archive"

    def run_case(rng: Generator) -> str:
        content = corrupted(good[int(rng.integers(len(good)))], rng, good) if rng.random() < 0.5 else packed(rng)
        file.write_bytes(content)
        target = outside / "target"
        try:
            with mock.patch.multiple(download, MAX_BYTES=MAX_BYTES, MAX_FILES=MAX_FILES):
                extract(file, target)
        except DownloadError as error:
            assert sorted(os.listdir(outside)) == ["mine.txt"], "something was left behind"
            return one_line(error, "archive")
        finally:
            assert (outside / "mine.txt").read_text() == "mine"
        _judge(target)
        assert sorted(os.listdir(outside)) == ["mine.txt", "target"]
        _remove(target)
        return "read"

    return run_case


def packed(rng: Generator) -> bytes:
    """Return an archive of random members; sometimes one unpacks to far more than its size."""

    def content() -> bytes:
        return bytes(4_000_000) if rng.random() < 0.05 else rng.bytes(int(rng.integers(50)))

    names = [NAMES[min(int(rng.integers(len(NAMES) * 2)), len(NAMES) - 1)] for _ in range(int(rng.integers(1, 6)))]
    if rng.random() < 0.5:
        names = [name if rng.random() < 0.1 else f"set/{i}.txt" for i, name in enumerate(names)]
    if rng.random() < 0.05:
        names = [f"{i}" for i in range(60)]
    kinds = [ZIP_KINDS[int(rng.integers(len(ZIP_KINDS)))] for _ in names]
    way = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)[int(rng.integers(4))]
    return _zip([(name, content(), kind) for name, kind in zip(names, kinds, strict=True)], way)


def _zip(members: list[tuple[str, bytes, int]], way: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", way) as packed:
        for name, data, kind in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = (kind | 0o644) << 16
            info.compress_type = way
            packed.writestr(info, data)
    return buffer.getvalue()


def _judge(target: Path) -> None:
    """Check that there are only plain files and folders, within the limit on their size."""
    total = 0
    for place, folders, names in os.walk(target):
        for name in folders + names:
            status = os.lstat(os.path.join(place, name))
            assert stat.S_ISDIR(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_nlink == 1)
            assert not status.st_mode & (stat.S_ISUID | stat.S_ISGID | 0o111) or stat.S_ISDIR(status.st_mode)
            total += status.st_size * stat.S_ISREG(status.st_mode)
    assert total <= MAX_BYTES


def _remove(target: Path) -> None:
    for place, folders, names in os.walk(target, topdown=False):
        for name in names:
            os.unlink(os.path.join(place, name))
        for name in folders:
            os.rmdir(os.path.join(place, name))
    os.rmdir(target)
