"""What counts as a clear refusal."""

from pathlib import Path


def one_line(error: Exception, file: Path | str) -> str:
    """ "refused", if the message is one short line that names `file`; else AssertionError."""
    text = str(error)
    assert "\n" not in text and str(file) in text and len(text) < 1000, f"an unclear message: {text[:500]!r}"
    return "refused"
