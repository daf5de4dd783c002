"""Write files so that a failure loses nothing."""

import errno
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO


def write_atomically(file: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Replace `file` by what `write` puts into the open file it is given, or leave it as it was.

    Raises OSError, naming the file, if the disk is full or the folder not writable.
    """
    file = Path(file)
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o666 & ~_umask()  # mkstemp keeps its files private
    try:
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; nothing was written", str(file)) from None
    try:
        os.close(handle)
        with open(name, "wb") as stream:  # by its name, which some writers want to know
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, mode)
        os.replace(name, file)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, f"{error.strerror}; the file is as it was before", str(file)) from None
        raise


class Busy(RuntimeError):
    """Another process has a folder for itself."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for it out of `folder`: they get Busy.  The lock dies with its process.

    Where the file system knows no locks, nobody is kept out.
    """
    try:
        opened = sqlite3.connect(folder / "lock", timeout=0, isolation_level=None)
    except sqlite3.OperationalError:
        raise OSError(errno.EACCES, "not allowed to write there", str(folder)) from None
    with closing(opened) as lock:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise Busy(str(folder)) from None
            if not os.access(folder, os.W_OK):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(folder / "lock")) from None
        yield


def _umask() -> int:
    """What the system takes from the rights of new files; it can be read by setting it only."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def write_text(file: Path, text: str) -> None:
    """`write_atomically` for a text, in UTF-8."""
    write_atomically(file, lambda stream: stream.write(text.encode("utf-8")))


def replace_between(file: Path, begin: str, end: str, text: str) -> None:
    """Put `text` between the lines `begin` and `end` of a text file.  OSError if they are not there."""
    before, found, rest = Path(file).read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise OSError(f"{file}: the lines '{begin}' and '{end}' are missing; put them back.")
    write_text(file, f"{before}{begin}\n{text}\n{end}{after}")
