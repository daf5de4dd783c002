"""The names of options, and what may be meant by a name that none has."""

import difflib
from dataclasses import fields, is_dataclass

from .options import Config
from .renamed import REMOVED, RENAMED


def options(part: object | None = None, prefix: str = "") -> tuple[list[str], list[str]]:
    """The paths of all options, as on the command line, and those of them below which any name may stand."""
    part, known, free = part or Config(), [], []
    for option in fields(part):
        value, path = getattr(part, option.name), prefix + option.name
        if is_dataclass(value):
            deeper = options(value, f"{path}.")
            known, free = known + deeper[0], free + deeper[1]
        else:
            known.append(path)
            free += [path] if isinstance(value, dict) else []
    return known, free


def members(path: str) -> list[str]:
    """The options in the group `path`; none if it is no group."""
    return [name for name in options()[0] if name.startswith(f"{path}.")]


def remedy(path: str, dashes: str = "") -> str | None:
    """What to do about the `path`, if it is no option: half a sentence in which names begin with `dashes`."""
    known, free = options()
    if path in RENAMED:
        return f"it is called {dashes}{RENAMED[path]} now."
    if path in REMOVED:
        return "it no longer exists; leave it out."
    if path in known or path.startswith(tuple(f"{name}." for name in free)):
        return None
    if grouped := members(path):
        return f"it is a group of options: {', '.join(f'{dashes}{name}' for name in grouped)}."
    near = [f"{dashes}{name}" for name in difflib.get_close_matches(path, known, 3, 0.5)]
    return f"did you mean {' or '.join(near)}?" if near else "`seglib train --help` lists them."
