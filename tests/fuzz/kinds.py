"""Every kind of corrupted input and the function that makes its cases.  Large imports happen on demand."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from numpy.random import Generator


class Kind(NamedTuple):
    """A kind of input: its title, and the function that takes a folder and returns the function of one case."""

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
        form: Kind(f"{form} images and masks", "images", "attempt", (form,))
        for form in ("PNG", "JPEG", "WebP", "TIFF", "GIF", "BMP")
    },
    "window": Kind("TIFF images read in windows", "images", "by_window"),
    "released": Kind("released weights", "networks", "released"),
    "own": Kind("weights of your own training runs", "networks", "unlisted"),
    "checkpoint": Kind("training checkpoints", "networks", "checkpoints"),
    "text": Kind("configuration files, classes.yaml, search spaces", "texts", "attempt"),
    "archive": Kind("archives", "archives", "attempt"),
}
