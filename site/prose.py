"""The package's docstrings are plain prose with `code` in backticks; Sphinx wants reStructuredText."""

import re

CODE = re.compile(r"(`+)([^`]+)\1( *)")
SPECIAL = re.compile(r"[*|\\]|(?<=\w)_(?=\W|$)")


def as_rst(lines: list[str]) -> None:
    """Rewrite the lines of a docstring in place: backticks mean code, and nothing else means anything.

    A span of code may go on in the next line, so the text is read as a whole.
    """
    text = "\n".join(lines)
    found, end = [], 0
    for span in CODE.finditer(text):
        found.append(SPECIAL.sub(r"\\\g<0>", text[end : span.start()]))
        broken = span[2].count("\n")
        found.append(f"``{' '.join(span[2].split())}``{'' if broken else span[3]}" + "\n" * broken)
        end = span.end()
    found.append(SPECIAL.sub(r"\\\g<0>", text[end:]))
    lines[:] = "".join(found).split("\n")
