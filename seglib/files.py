"""Write files atomically, lock folders, and read YAML safely."""

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import yaml
from filelock import FileLock

# Manifest, cards and split lists: `weights/` and `data/` of the checkout, or of the installed package.
_PACKAGE = Path(__file__).resolve().parent
RESOURCES = _PACKAGE / "resources" if (_PACKAGE / "resources").is_dir() else _PACKAGE.parent
MAX_CHARACTERS = 1_000_000  # of a YAML text
MAX_SCALAR = 3000  # characters of one value; Python refuses to print numbers of more than 4300 digits
MAX_DEPTH = 40  # of nested lists and mappings
JOINERS = "\u00a0\u200c\u200d"  # no-break space, and the joiners that Persian and Hindi need


def write_atomically(file: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Replace `file` atomically by what `write` writes; OSError as for `open_atomically`."""
    with open_atomically(file) as stream:
        write(stream)


@contextmanager
def open_atomically(file: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file for writing, which takes the place of `file` at the end.

    Raises OSError, naming the file, if the disk is full or the folder not writable.
    """
    file = Path(file)
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    state = "nothing was written"
    try:
        with open(temporary, "xb") as stream:  # some writers need its name
            state = "the file is as it was before"
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if file.exists():
            shutil.copymode(file, temporary)
        os.replace(temporary, file)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; {state}", str(file)) from None
    finally:
        temporary.unlink(missing_ok=True)


def write_text(file: Path, text: str) -> None:
    """`write_atomically` for a text, in UTF-8."""
    write_atomically(file, lambda stream: stream.write(text.encode("utf-8")))


def lock_folder(folder: Path) -> FileLock:
    """Return a context manager that locks `folder` by a file in it, or raises `filelock.Timeout` if it is locked."""
    return FileLock(Path(folder) / "lock", timeout=0)


def is_printable_name(text: object) -> bool:
    """Return whether `text` is a name that terminals and encodings can show, at most 200 characters long."""
    return isinstance(text, str) and len(text) <= 200 and all(c.isprintable() or c in JOINERS for c in text)


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
                _refuse(key, f"'{key.value[:40]}' occurs twice; keep one")
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
