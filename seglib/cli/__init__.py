"""The commands of `seglib`.

Each command is a module with two functions: `add_arguments` defines the command-line arguments, and `run` executes the
command.  Other modules of the package are imported only in `run`, so that `--help` is fast.
"""
