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

# RESOURCES is the folder that contains `weights/` (manifest, model cards) and `data/` (split lists), in a checkout or
# the installed package.
_PACKAGE = Path(__file__).resolve().parent
RESOURCES = _PACKAGE / "resources" if (_PACKAGE / "resources").is_dir() else _PACKAGE.parent
MAX_CHARACTERS = 1_000_000  # limit on the length of a YAML text
MAX_SCALAR = 3000  # limit on the characters per value; Python raises an error for numbers with more than 4300 digits
MAX_DEPTH = 40  # limit on the nesting depth of lists and mappings
JOINERS = "\u00a0\u200c\u200d"  # no-break space, and the joiners used in Persian and Hindi


def write_atomically(file: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Replace `file` atomically.

    Args:
        file: the file to write.
        write: function that writes the new content to a binary stream.

    Raises:
        OSError: if the disk is full or the folder is not writable.
    """
    with open_atomically(file) as stream:
        write(stream)


@contextmanager
def open_atomically(file: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file for writing, and rename it to `file` at the end of the `with` block.

    Raises:
        OSError: if the disk is full or the folder is not writable.  The message contains the name of the file.
    """
    file = Path(file)
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    state = "nothing was written"
    try:
        with open(temporary, "xb") as stream:  # a named file, because some writers require a name
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
    """Write text to `file` atomically, in UTF-8."""
    write_atomically(file, lambda stream: stream.write(text.encode("utf-8", "backslashreplace")))


def lock_folder(folder: Path) -> FileLock:
    """Return a context manager that locks `folder` with a lock file.

    Entering the context raises `filelock.Timeout` if the folder is already locked.
    """
    return FileLock(Path(folder) / "lock", timeout=0)


def is_printable_name(text: object) -> bool:
    """Return whether `text` is a string of at most 200 characters, all of them printable."""
    return isinstance(text, str) and len(text) <= 200 and all(c.isprintable() or c in JOINERS for c in text)


def is_integer(value: object, low: int, high: int) -> bool:
    """Return whether `value` is an integer from `low` to `high`, and not a bool."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_color(value: object) -> bool:
    """Return whether `value` is a list [red, green, blue] of integers from 0 to 255."""
    return isinstance(value, list) and len(value) == 3 and all(is_integer(part, 0, 255) for part in value)


class _StrictLoader(yaml.SafeLoader):
    """A YAML loader that rejects aliases, repeated keys, very long values and deep nesting.

    Aliases could expand to more values than fit into memory.
    """

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


# YAML 1.1 parses 1e-3 as a string, but users mean a number.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _refuse(place: yaml.Event | yaml.Node, reason: str) -> None:
    raise ValueError(f"line {place.start_mark.line + 1}: {reason}")


def read_yaml(text: str) -> object:
    """Read YAML text into dictionaries, lists, strings and numbers.

    Raises:
        ValueError: If the text is not YAML, is too long or too deeply nested, or contains aliases or repeated keys.
            The message has one line.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"longer than {MAX_CHARACTERS:,} characters")
    try:
        return _StrictLoader(text).get_single_data()
    # PyYAML also raises built-in exceptions, for example for an invalid date.
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(" ".join(str(error).split())[:300]) from None
