"""Find what other installed packages register in entry points."""

from functools import cache
from importlib.metadata import EntryPoints, entry_points


@cache
def _all() -> EntryPoints:
    return entry_points()  # reads the metadata of all installed packages


def registered(group: str) -> EntryPoints:
    """Return the entry points of a group, such as `seglib.models`, of the packages that were installed at the start."""
    return _all().select(group=group)
