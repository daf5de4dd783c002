"""The commands of `python -m seglib`, a file each: what it takes (`add_arguments`) and what it does (`run`).

A command imports the package's rooms when it runs, so that `--help` answers at once.
"""
