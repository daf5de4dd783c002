"""Fetch files over HTTP and unpack archives, so that a failure never leaves half a file or spoils a good one."""

import errno
import gzip
import lzma
import os
import re
import shutil
import stat
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import pooch
import requests

TIMEOUT = 30  # seconds without a byte before a mirror is given up
CHUNK = 1 << 20
MAX_BYTES = 64 << 30  # unpacked; an archive that claims more is taken for a bomb
MAX_FILES = 200_000
# What the unpackers raise on a bad archive.
DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    NotImplementedError,
)


class DownloadError(OSError):
    """A download or an archive that failed; the message says which, why, and what to do."""


@dataclass(frozen=True)
class Archive:
    """A data set at a public address.

    `folder`: the name it gets in the root of the data sets; `inner`: the folder inside the archive that
    holds it, a glob that must match once ("" for the whole archive); `sha256`: of the archive, or None
    where the publisher packs it anew now and then and the unpacked content is verified instead; `arrange`: moves
    and deletes files of the unpacked folder, before it is verified, until it has the layout that is read.
    """

    urls: tuple[str, ...]
    folder: str
    sha256: str | None = None
    inner: str = ""
    max_bytes: int = MAX_BYTES
    arrange: Callable[[Path], None] | None = None


def github_urls(repository: str, commit: str) -> tuple[str, str]:
    """Return the addresses of a GitHub repository (owner/name) as a ZIP file, at one commit or branch."""
    return (
        f"https://github.com/{repository}/archive/{commit}.zip",
        f"https://codeload.github.com/{repository}/zip/{commit}",
    )


def fetch(urls: Sequence[str], sha256: str | None, target: Path | str, progress: bool = True) -> Path:
    """Download to the file `target` from the first of `urls` that delivers; returns `target`.

    The bytes go to a temporary file beside it, which takes its name only when complete and of the right `sha256`.
    An existing file with that hash is kept without asking the network; with another hash it is replaced, but only by
    a good one. With sha256=None an existing file is kept as it is.

    Raises:
        DownloadError: No address delivered (with the reason of each), the folder is not writable, or the disk is full.
    """
    urls = [urls] if isinstance(urls, str) else list(urls)
    target = Path(target)
    pooch.get_logger().setLevel("WARNING")
    on_terminal = progress and sys.stderr.isatty()  # a bar would fill a log file
    downloader = pooch.HTTPDownloader(progressbar=on_terminal, chunk_size=1 << 16, timeout=TIMEOUT)
    known_hash = sha256 and f"sha256:{sha256.lower()}"
    failures, offline = [], bool(urls)
    with _local_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        for url in urls:
            try:
                return Path(pooch.retrieve(url, known_hash, target.name, target.parent, downloader=downloader))
            except requests.RequestException as error:
                failures.append(f"{url}: {_reason(error)}")
                offline = offline and type(error) is requests.ConnectionError
            except ValueError as error:  # another hash
                failures.append(f"{url}: {error}")
                offline = False
    advice = "is this machine online?" if offline else "try again later or fetch it by hand."
    listed = "\n  ".join(failures) or "no address is known"
    raise DownloadError(f"{target.name} could not be downloaded; {advice}\n  {listed}")


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.HTTPError):
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT} seconds"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was cut before the end"
    if isinstance(error, requests.ConnectionError):
        return "no connection, or it broke off"
    return f"{type(error).__name__}: {error}"


def extract(
    archive: Path | str,
    folder: Path | str,
    inner: str = "",
    verify: Callable[[Path], None] | None = None,
    max_bytes: int = MAX_BYTES,
    max_files: int = MAX_FILES,
    arrange: Callable[[Path], None] | None = None,
) -> Path:
    """Unpack a zip or tar (plain, gz, bz2, xz) so that it becomes `folder`; returns `folder`.

    Every name in the archive is judged before the first byte is written; then everything is unpacked into
    a temporary folder beside `folder`, which takes its place by one rename.  `inner`: a glob naming the
    one folder inside the archive to keep.  `arrange(folder)`, if given, may move and delete its files.
    `verify(parent)`, if given, sees the new folder under its final name inside a temporary parent, and may raise to
    refuse it.
    Raises DownloadError if `folder` exists already, or for an archive that is damaged, too large, or has
    names that leave the folder, links or devices; nothing is left behind then.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise DownloadError(f"{folder}: exists already and is left as it is; rename or remove it first.")
    with _local_errors(folder.parent), _archive_errors(archive), _opened(archive) as (members, finish):
        files = _judged(archive, members, max_bytes, max_files)
        folder.parent.mkdir(parents=True, exist_ok=True)
        total = sum(size for _, size, _ in files)
        if total > shutil.disk_usage(folder.parent).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
            everything = Path(temporary) / "unpacked"
            everything.mkdir()
            for path, size, start in files:
                _write(everything / path, size, start)
            finish()
            final = Path(temporary) / "parent" / folder.name
            final.parent.mkdir()
            _chosen(everything, inner, archive).rename(final)
            if arrange is not None:
                arrange(final)
            if verify is not None:
                verify(final.parent)
            if folder.exists():
                folder.rmdir()
            final.rename(folder)
    return folder


@contextmanager
def _opened(archive: Path) -> Iterator[tuple[Iterator[tuple[str, int, str, Callable]], Callable[[], None]]]:
    """The members of an archive, and a function to call when they are read, which finds damage not seen till then.

    A member is (name, size, kind, start reading); kind is "file", "folder" or the name of what else it is.
    """
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            members = packed.infolist()
            yield ((m.filename, m.file_size, _zip_kind(m), lambda m=m: packed.open(m)) for m in members), lambda: None
    else:
        with tarfile.open(archive) as packed:
            found = ((m.name, m.size, _tar_kind(m), lambda m=m: packed.extractfile(m)) for m in packed)
            yield found, lambda: _drain(packed)


def _drain(packed: tarfile.TarFile) -> None:
    """Read on to the end, where gzip keeps its checksum."""
    while packed.fileobj.read(CHUNK):
        pass


def _zip_kind(member: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(member.external_attr >> 16)  # 0 when packed on a system without file types
    if member.flag_bits & 1:
        return "an encrypted file"
    if member.filename.endswith("/"):  # is_dir() fails on a name that is empty
        return "folder"
    return {0: "file", stat.S_IFREG: "file", stat.S_IFLNK: "a link"}.get(kind, "a device or pipe")


def _tar_kind(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return "a link"
    return "file" if member.isfile() else "folder" if member.isdir() else "a device or pipe"


def _judged(
    archive: Path, members: Iterator, max_bytes: int, max_files: int
) -> list[tuple[PurePosixPath, int, Callable]]:
    """The files to write, as (relative path, size, start reading), or DownloadError for the first bad member."""
    files, seen, total = [], set(), 0
    for count, (name, size, kind, start) in enumerate(members, 1):
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name) or "\0" in name:
            raise DownloadError(
                f"{archive}: {name[:200]!r} would be written outside its folder; the archive is not safe."
            )
        if kind not in ("file", "folder"):
            raise DownloadError(
                f"{archive}: {name[:200]!r} is {kind}, which no data set needs; the archive is not safe."
            )
        total += max(size, 0)
        if total > max_bytes or count > max_files:
            raise DownloadError(
                f"{archive}: unpacks to more than {max_bytes:,} bytes or {max_files:,} files; refused as unsafe."
            )
        if kind == "file":
            if path in seen or not path.parts:
                raise DownloadError(f"{archive}: holds {name[:200]!r} twice or without a name; get the archive again.")
            seen.add(path)
            files.append((path, size, start))
    if not files:
        raise DownloadError(f"{archive}: holds no files; get the archive again.")
    return files


def _write(target: Path, size: int, start: Callable[[], IO[bytes]]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with start() as source, open(target, "xb") as file:
        shutil.copyfileobj(source, file, CHUNK)
        if file.tell() != size:
            raise EOFError(f"{target.name} ends early")


def _chosen(everything: Path, inner: str, archive: Path) -> Path:
    if not inner:
        return everything
    matches = [path for path in everything.glob(inner) if path.is_dir()]
    if len(matches) != 1:
        raise DownloadError(f"{archive}: holds {len(matches)} folders '{inner}', not one; its publisher changed it.")
    return matches[0]


@contextmanager
def _local_errors(folder: Path) -> Iterator[None]:
    """Turn what goes wrong on this machine's disk into DownloadError."""
    try:
        yield
    except (DownloadError, requests.RequestException):
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DownloadError(f"{folder}: no space left there; free some or choose another folder.") from None
        if isinstance(error, PermissionError) or error.errno == errno.EROFS:
            raise DownloadError(f"{folder}: not allowed to write there; choose another folder.") from None
        raise DownloadError(f"{folder}: {error.strerror or error}; choose another folder.") from None


@contextmanager
def _archive_errors(archive: Path) -> Iterator[None]:
    """Turn what the unpackers say of a bad archive into DownloadError."""
    try:
        yield
    except FileNotFoundError as error:
        if error.filename != str(archive):
            raise
        raise DownloadError(f"{archive}: no such file; check the name.") from None
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:200]  # tarfile lists what it tried, a line each
        raise DownloadError(
            f"{archive}: not a zip or tar archive, or a damaged one ({reason}); get it again."
        ) from None
