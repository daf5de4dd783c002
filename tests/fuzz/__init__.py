"""Thousands of corrupted and hostile files: each must be read or refused with one sentence, nothing else.

    python -m tests.fuzz --cases 300            print the counts for this number of inputs of each kind
    python -m tests.fuzz --cases 1000 --write   also write tests/fuzz/results.json and the table in docs/reliability.md

Its kind and number determine a case.  The cases run in a separate process with limited memory, and a second process
watches it: if the first one dies or is silent for too long, this is recorded and the next case starts.
"""
