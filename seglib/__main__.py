"""`python -m seglib COMMAND ...`, the same as the console command `seglib`."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
