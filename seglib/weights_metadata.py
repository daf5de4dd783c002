"""What the header of a weights file says about its network, judged before anything is built from it."""

from collections.abc import Mapping

MOST = 4096  # no option of a network is larger; a header that claims more would only fill the memory
JOINERS = "\u00a0\u200c\u200d"  # a blank that holds words together, and what Persian and Hindi join letters with
NEEDED = ("config", "classes", "palette", "num_outputs")


def missing(notes: object) -> list[str]:
    """The entries that every file of this project has, and this one has not."""
    return sorted(set(NEEDED) - notes.keys()) if isinstance(notes, Mapping) else sorted(NEEDED)


def fault(notes: Mapping) -> str:
    """The first entry with which nobody could work, "" if there is none; `missing(notes)` is empty."""
    config = notes["config"] if isinstance(notes["config"], Mapping) else {}
    checks = {
        "classes": _classes(notes["classes"]),
        "palette": _palette(notes["palette"], notes["classes"]),
        "num_outputs": _whole(notes["num_outputs"], 1, 255),
        "config.model": _model(config.get("model")),
        "config.inference": _inference(config.get("inference")),
    }
    return next((name for name, sound in checks.items() if not sound), "")


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _classes(names: object) -> bool:
    return isinstance(names, list) and 1 <= len(names) <= 255 and all(map(is_name, names))


def is_name(text: object) -> bool:
    """A name that can be printed: JSON lets half characters in, which no encoding has, and commands to terminals."""
    return isinstance(text, str) and len(text) <= 200 and all(c.isprintable() or c in JOINERS for c in text)


def _palette(colours: object, names: object) -> bool:
    if not isinstance(colours, list) or not isinstance(names, list) or len(colours) != len(names):
        return False
    return all(isinstance(c, list) and len(c) == 3 and all(_whole(part, 0, 255) for part in c) for c in colours)


def _model(model: object) -> bool:
    if not isinstance(model, Mapping) or not isinstance(model.get("name"), str):
        return False
    return isinstance(model.get("options"), Mapping) and all(map(_option, model["options"].values()))


def _option(value: object) -> bool:
    """A few numbers, a switch or a word."""
    if isinstance(value, list):
        return len(value) <= 64 and all(map(_option, value))
    return value is None or isinstance(value, bool) or isinstance(value, str) or _whole(value, 0, MOST)


def _inference(inference: object) -> bool:
    if not isinstance(inference, Mapping) or not isinstance(inference.get("flip"), bool):
        return False
    scales = inference.get("scales")
    good = isinstance(scales, list) and scales and all(isinstance(s, int | float) and 0 < s < 100 for s in scales)
    return bool(good) and _whole(inference.get("longest_side"), 0, 10**6)
