"""Every kind of input that is spoiled, and what makes its cases.  Imports nothing heavy before it is asked to."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from numpy.random import Generator


class Kind(NamedTuple):
    """`title` for people; `module` and `function` whose call with a folder gives the function of one case."""

    title: str
    module: str
    function: str
    options: tuple[str, ...] = ()

    def imports(self) -> Callable:
        return getattr(import_module(f"tests.fuzz.{self.module}"), self.function)

    def make(self, folder: Path) -> Callable[[Generator], str]:
        return partial(self.imports(), *self.options)(folder)


KINDS = {
    **{
        form: Kind(f"{form} pictures and masks", "pictures", "attempt", (form,))
        for form in ("PNG", "JPEG", "WebP", "TIFF", "GIF", "BMP")
    },
    "window": Kind("TIFF pictures read by window", "pictures", "by_window"),
    "released": Kind("released weights", "networks", "released"),
    "own": Kind("weights of one's own", "networks", "own"),
    "checkpoint": Kind("checkpoints of a run", "networks", "checkpoints"),
    "text": Kind("configurations, classes.yaml, search spaces", "texts", "attempt"),
    "archive": Kind("archives", "archives", "attempt"),
}
