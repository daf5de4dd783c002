"""The commands of `seglib`.

Each command is a module with two functions: `add_arguments` defines its command-line arguments, and `run` executes it.
The other modules of the package are imported in `run`, so that `--help` is fast.
"""
