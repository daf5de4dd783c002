"""Run a notebook as a hosted machine does: the file alone, beside an older PyTorch, with nothing of ours installed.

    python -m tests.hosted                    # 02_unet with the oldest supported PyTorch; `make test-hosted`
    python -m tests.hosted 01_data_preparation --torch 2.8.0 --torchvision 0.23.0

A local bare repository takes the place of GitHub, a local server that of the weights' address. Needs a package index.
"""

import argparse
import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from tools import address

ROOT = Path(__file__).resolve().parents[1]
CHECK = """
import json, sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=None, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""


def oldest(package: str) -> str:
    """Return the oldest supported version of a package."""
    text = (ROOT / "requirements" / "oldest.txt").read_text(encoding="utf-8")
    return re.search(rf"^{package}==(\S+)$", text, re.MULTILINE)[1]


def run(*command: object, **options) -> None:
    """Run a command and print it; stop if it fails."""
    print("$", *command, flush=True)
    subprocess.run([str(part) for part in command], check=True, **options)


def main() -> None:
    """Set the address in a clone, make an environment, and execute the notebook in it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="02_unet", help="name of the notebook")
    parser.add_argument("--torch", default=oldest("torch"), help="version that is there (%(default)s)")
    parser.add_argument("--torchvision", default=oldest("torchvision"), help="version that is there (%(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        run("git", "clone", "--quiet", "--bare", ROOT, root / "course")
        run("git", "clone", "--quiet", root / "course", root / "clone")
        print(*address.set_address(f"file://localhost{root / 'course'}", root / "clone"), sep="\n")
        here = root / "hosted"
        here.mkdir()
        notebook = here / f"{args.name}.ipynb"
        shutil.copy(root / "clone" / "notebooks" / notebook.name, notebook)
        run(sys.executable, "-m", "venv", root / "venv")
        python = root / "venv" / "bin" / "python"
        there = [f"torch=={args.torch}", f"torchvision=={args.torchvision}", "ipykernel", "nbclient", "nbformat"]
        run(python, "-m", "pip", "install", "--quiet", *there)
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=ROOT / "weights")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("SEGLIB", "PYTHON"))}
        environment |= {"SEGLIB_DOWNLOAD": "0", "SEGLIB_WEIGHTS_URL": f"http://127.0.0.1:{server.server_port}"}
        environment["XDG_CACHE_HOME"] = str(root / "cache")
        run(python, "-c", CHECK, notebook, cwd=here, env=environment)
        program = "import seglib, torch; print(seglib.__file__, torch.__version__)"
        run(python, "-c", program, cwd=here, env=environment)
        server.shutdown()
    print(f"{args.name}: runs alone with torch {args.torch}.")


if __name__ == "__main__":
    main()
