"""The data sets and the released weights: what is here, and is it whole?"""

import os
from collections.abc import Iterator
from pathlib import Path

from .finding import FAULT, NOTE, OK, Finding


def check_data(root: Path) -> Iterator[Finding]:
    """Which data sets lie in `root`; `python -m seglib data check` looks into their files."""
    from .. import data
    from ..data.contents import by_split

    if (named := os.environ.get("SEGLIB_DATA")) and not Path(named).is_dir():
        yield Finding(FAULT, "data", f"SEGLIB_DATA is {named}, which is no folder", "correct or unset the variable")
    for name, source in data.SOURCES.items():
        get = f"python -m seglib data download {name}" + ("" if source.archives else "  (tells how to get it)")
        try:
            parts, missing = by_split(source, root)
        except data.DataError:
            yield Finding(NOTE, name, f"not in {root}; notebooks and tests draw their own pictures", get)
            continue
        text = f"{', '.join(f'{len(part)} {split}' for split, part in parts.items())}, in {root}"
        if missing:
            remedy = f"python -m seglib data check {name} --root {root}"
            yield Finding(NOTE, name, f"{text}, but {len(missing)} images of its split lists are not there", remedy)
        else:
            yield Finding(OK, name, text)


def check_weights() -> Iterator[Finding]:
    """Every released file against its sha256; nothing is downloaded."""
    from .. import weights

    try:
        listed = weights.manifest()["weights"]
    except weights.WeightsError as error:
        yield Finding(FAULT, "weights", str(error))
        return
    for name, entry in listed.items():
        if not (weights.FOLDER / entry["file"]).exists():
            yield Finding(NOTE, name, "these weights are not here", f"python -m seglib weights get {name}")
            continue
        try:
            weights.find(name)
            weights.card(name)
        except (weights.WeightsError, OSError) as error:
            yield Finding(FAULT, name, str(error))
        else:
            yield Finding(OK, name, f"released weights, intact, {entry['bytes'] / 1e6:.1f} MB")
