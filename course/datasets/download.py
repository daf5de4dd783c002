"""Download files over HTTP and unpack archives. A failure never leaves a partial file or damages an existing one."""

import errno
import lzma
import os
import re
import shutil
import stat
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pooch
import requests

TIMEOUT = 30  # seconds without data before the next URL is tried
MAX_BYTES = 64 << 30  # limit on the unpacked size; a larger archive may be a zip bomb
MAX_FILES = 200_000
# Exceptions that zipfile raises for a damaged archive.
DAMAGE = (zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, NotImplementedError)


class DownloadError(OSError):
    """Raised if a download fails or an archive is invalid. The message gives the reason and says how to fix it."""


@dataclass(frozen=True)
class Archive:
    """A ZIP archive of a GitHub repository that contains a data set.

    GitHub may regenerate archives with different bytes, so the unpacked content is verified instead of the archive.

    Attributes:
        repository: The repository as owner/name.
        commit: A commit hash or a branch.
        folder: The folder to unpack to, relative to the root folder of all data sets.
        members: Regular expression that matches the paths of the files to unpack.
        place: Replacement string that gives the path of a file in `folder`. It may refer to groups of `members`.
    """

    repository: str
    commit: str
    folder: str
    members: str
    place: str = r"\1"

    @property
    def urls(self) -> tuple[str, ...]:
        """URLs of the ZIP file, in the order in which they are tried."""
        return (
            f"https://github.com/{self.repository}/archive/{self.commit}.zip",
            f"https://codeload.github.com/{self.repository}/zip/{self.commit}",
        )


def fetch(urls: Sequence[str], sha256: str | None, target: Path | str, progress: bool = True) -> Path:
    """Download a file to the path `target` from the first of `urls` that works, and return `target`.

    The data is written to a temporary file in the same folder, which is renamed to `target` once it is complete and its
    hash matches `sha256`. If `target` already exists with this hash, nothing is downloaded. If its hash differs, it is
    replaced after a successful download. If `sha256` is None, an existing file is kept.

    Raises:
        DownloadError: If none of the URLs work (the message gives the reason for each), the folder is not writable, or
            the disk is full.
    """
    urls = [urls] if isinstance(urls, str) else list(urls)
    target = Path(target)
    pooch.get_logger().setLevel("WARNING")
    on_terminal = progress and sys.stderr.isatty()  # a progress bar would clutter log files
    downloader = pooch.HTTPDownloader(progressbar=on_terminal, chunk_size=1 << 16, timeout=TIMEOUT)
    known_hash = sha256 and f"sha256:{sha256.lower()}"
    failures, offline = [], bool(urls)
    with _local_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        for url in urls:
            try:
                return Path(pooch.retrieve(url, known_hash, target.name, target.parent, downloader=downloader))
            except (requests.RequestException, ValueError) as error:  # ValueError: the hash differs
                no_connection = type(error) is requests.ConnectionError  # the original message is long
                failures.append(f"{url}: {'no connection, or it was interrupted' if no_connection else error}")
                offline = offline and no_connection
    advice = "is this machine online?" if offline else "try again later or fetch it by hand."
    listed = "\n  ".join(failures) or "no address is known"
    raise DownloadError(f"{target.name} could not be downloaded; {advice}\n  {listed}")


def extract(
    archive: Path | str,
    folder: Path | str,
    members: str = "(.+)",
    place: str = r"\1",
    verify: Callable[[Path], None] | None = None,
) -> Path:
    """Unpack a ZIP file into the new folder `folder`, and return `folder`.

    All names in the archive are checked before any file is written. The files are then unpacked into a temporary
    folder, which is renamed to `folder` at the end.

    Args:
        archive: The ZIP file.
        folder: The folder to create. It may exist if it is empty.
        members: Regular expression that matches the paths of the files to unpack.
        place: Replacement string that gives the path of a file in `folder`. It may refer to groups of `members`.
        verify: Function to call with the parent of the temporary folder before this folder is renamed. It raises an
            exception to reject the files.

    Raises:
        DownloadError: If `folder` exists and is not empty, or the archive is damaged, is too large, or contains links,
            devices or paths outside the folder. In these cases, nothing is left behind.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise DownloadError(f"{folder}: exists already and is left as it is; rename or remove it first.")
    if not archive.is_file():
        raise DownloadError(f"{archive}: no such file; check the name.")
    try:
        with _local_errors(folder.parent), zipfile.ZipFile(archive) as packed:
            files = _judge(archive, packed, members, place)
            folder.parent.mkdir(parents=True, exist_ok=True)
            if sum(member.file_size for member in files.values()) > shutil.disk_usage(folder.parent).free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
                new_folder = Path(temporary) / folder.name
                new_folder.mkdir()
                for path, member in files.items():
                    member.filename = path.as_posix()
                    packed.extract(member, new_folder)
                if verify is not None:
                    verify(new_folder.parent)
                if folder.exists():
                    folder.rmdir()
                new_folder.rename(folder)
    except DAMAGE as error:
        reason = str(error)[:200]
        raise DownloadError(f"{archive}: not a ZIP archive, or a damaged one ({reason}); get it again.") from None
    return folder


def _judge(archive: Path, packed: zipfile.ZipFile, members: str, place: str) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Check all members of the archive, and return {new path: member} for the files to unpack.

    Raises DownloadError if a member is unsafe, even if it would not be unpacked.
    """
    files, paths = {}, set()
    if sum(m.file_size for m in packed.infolist()) > MAX_BYTES or len(packed.infolist()) > MAX_FILES:
        limits = f"{MAX_BYTES:,} bytes or {MAX_FILES:,} files"
        raise DownloadError(f"{archive}: unpacks to over {limits}: refused as unsafe.")
    for member in packed.infolist():
        name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)  # 0 if no file type is stored
        path, fault = PurePosixPath(name.replace("\\", "/")), ""
        if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name) or "\0" in name:
            fault = "would be written outside its folder"
        elif member.flag_bits & 1:
            fault = "is an encrypted file, which no data set needs"
        elif not name.endswith("/") and kind not in (0, stat.S_IFREG):
            fault = "is a link or a device, which no data set needs"
        if fault:
            raise DownloadError(f"{archive}: {name[:200]!r} {fault}; the archive is not safe.")
        if name.endswith("/"):
            continue
        match = re.fullmatch(members, path.as_posix(), re.DOTALL)
        new_path = PurePosixPath(match.expand(place)) if match else None
        if path in paths or not path.parts or new_path in files:
            raise DownloadError(f"{archive}: holds {name[:200]!r} twice or without a name; get the archive again.")
        paths.add(path)
        if match:
            files[new_path] = member
    if not files:
        raise DownloadError(f"{archive}: has no files that match {members}; its publisher changed it.")
    return files


@contextmanager
def _local_errors(folder: Path) -> Iterator[None]:
    """Convert errors of the local file system to DownloadErrors."""
    try:
        yield
    except (DownloadError, requests.RequestException):
        raise
    except OSError as error:
        reason = str(error.strerror or error).lower()
        raise DownloadError(f"{folder}: {reason}; free some space or choose another folder.") from None
