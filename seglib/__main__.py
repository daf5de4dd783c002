"""Run `python -m seglib COMMAND ...`, which is the same as the console command `seglib COMMAND ...`."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
