"""The commands of `seglib`, one file each: its arguments (`add_arguments`) and what it does (`run`).

Commands import the rest of the package when they run, so that `--help` is fast.
"""
