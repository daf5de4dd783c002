"""Check that an error message is clear."""

from pathlib import Path


def one_line(error: Exception, file: Path | str) -> str:
    """Return "refused" if the message is one short line that names `file`; else raise AssertionError."""
    text = str(error)
    assert "\n" not in text and str(file) in text and len(text) < 1000, f"an unclear message: {text[:500]!r}"
    return "refused"
