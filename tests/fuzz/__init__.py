"""Broken and hostile files by the thousand: each must be read or refused in one sentence, and nothing else.

    python -m tests.fuzz --cases 300            the counts, of so many inputs of each kind
    python -m tests.fuzz --cases 1000 --write   writes tests/fuzz/results.json and the README's table too

A case is determined by its kind and number.  The cases run in a process of their own with a bound on its memory, and a
second process watches: if the first dies or is silent for too long, that is noted and the next case begun.
"""
