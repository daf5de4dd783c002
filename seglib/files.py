"""Write files so that a failure loses nothing."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import yaml
from filelock import FileLock, Timeout

# Manifest, cards and split lists: `weights/` and `data/` of the checkout, or of the installed package.
_PACKAGE = Path(__file__).resolve().parent
RESOURCES = _PACKAGE / "resources" if (_PACKAGE / "resources").is_dir() else _PACKAGE.parent
MAX_CHARACTERS = 1_000_000  # of a YAML text
MAX_SCALAR = 3000  # characters of one value; Python refuses to print numbers of more than 4300 digits
MAX_DEPTH = 40  # of nested lists and mappings


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
        with open(name, "wb") as stream:  # some writers need its name
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


class FolderLocked(RuntimeError):
    """Another process has locked a folder."""


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock `folder` by a file in it; the lock ends with the process.

    Raises:
        FolderLocked: If another process holds the lock.
        OSError: If the folder is not writable.
    """
    lock = FileLock(Path(folder) / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise FolderLocked(str(folder)) from None
    try:
        yield
    finally:
        lock.release()


class _StrictLoader(yaml.SafeLoader):
    """Refuse aliases, which can stand for more values than any memory holds, repeated keys and deep nesting."""

    depth = 0

    def compose_node(self, parent, index) -> yaml.Node:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            _refuse(event, f"*{event.anchor[:40]} is an alias; write the value itself")
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > MAX_SCALAR:
            _refuse(event, f"a value has more than {MAX_SCALAR:,} characters")
        if self.depth == MAX_DEPTH:
            _refuse(event, f"lists or mappings are nested more than {MAX_DEPTH} deep")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        keys = node.value if isinstance(node, yaml.MappingNode) else ()
        names = set()
        for key, _ in keys:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in names:
                _refuse(key, f"'{key.value[:40]}' is there twice; keep one")
            names.add((key.tag, str(key.value)))
        return node


# YAML 1.1 takes 1e-3 for a string; people mean the number.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _refuse(place: yaml.Event | yaml.Node, reason: str) -> None:
    raise ValueError(f"line {place.start_mark.line + 1}: {reason}")


def read_yaml(text: str) -> object:
    """Read YAML text into dictionaries, lists, strings and numbers.

    Raises:
        ValueError: In one line, for text that is not YAML, and for aliases, repeated keys, deep nesting and sizes that
            no configuration needs.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"longer than {MAX_CHARACTERS:,} characters")
    try:
        return _StrictLoader(text).get_single_data()
    # PyYAML raises more than its own errors, for example for what only looks like a date.
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(" ".join(str(error).split())[:300]) from None


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
    before, opening, rest = Path(file).read_text(encoding="utf-8").partition(begin)
    _, closing, after = rest.partition(end)
    if not opening or not closing:
        raise OSError(f"{file}: the lines '{begin}' and '{end}' are missing; put them back.")
    write_text(file, f"{before}{begin}\n{text}\n{end}{after}")
