"""Start the command line of the course: `python -m course run | check`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
