"""Convert docstrings, which are plain text with `code` in backticks, to reStructuredText for Sphinx."""

import re

CODE = re.compile(r"(`+)([^`]+)\1( *)")
SPECIAL = re.compile(r"[*|\\]|(?<=\w)_(?=\W|$)")


def as_rst(lines: list[str]) -> None:
    """Convert the lines of a docstring in place: backticks mark code, and all other markup is escaped.

    A span of code may continue on the next line, so all lines are processed together.
    """
    text = "\n".join(lines)
    parts, end = [], 0
    for span in CODE.finditer(text):
        parts.append(SPECIAL.sub(r"\\\g<0>", text[end : span.start()]))
        broken = span[2].count("\n")
        parts.append(f"``{' '.join(span[2].split())}``{'' if broken else span[3]}" + "\n" * broken)
        end = span.end()
    parts.append(SPECIAL.sub(r"\\\g<0>", text[end:]))
    lines[:] = "".join(parts).split("\n")
