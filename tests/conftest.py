"""Shared by all tests: fixed seeds, and the folders of real data and reference outputs."""

import http.server
import os
import random
import threading
from pathlib import Path

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # read when albumentations is imported
os.environ["SEGLIB_DOWNLOAD"] = "0"  # no test needs the network
os.environ["MPLBACKEND"] = "Agg"  # no window, also in the processes that tests start

import numpy as np
import pytest
import torch

HERE = Path(__file__).parent
DATA_FOLDERS = ("weizmann_horse_db", "CamVid", "Human-Segmentation-Dataset", "leftImg8bit")


def pytest_runtest_setup(item):
    """Tests with the marker `slow` run by `make soak` alone."""
    if item.get_closest_marker("slow") and not os.environ.get("SEGLIB_SLOW"):
        pytest.skip("slow: make soak runs it")


@pytest.fixture(autouse=True, scope="session")
def few_threads():
    """Small tensors gain nothing from many threads, and test processes would compete for the cores."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))


@pytest.fixture(autouse=True)
def seeded():
    """Every test starts with the same random numbers, in any order of the tests."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of the real data sets: SEGLIB_DATA, else data/ of the repository; without any the test is skipped."""
    places = [Path(os.environ["SEGLIB_DATA"])] if os.environ.get("SEGLIB_DATA") else []
    places.append(HERE.parent / "data")
    for place in places:
        if any((place / folder).is_dir() for folder in DATA_FOLDERS):
            return place
    pytest.skip(f"no real data set in {' or '.join(map(str, places))}; name their folder in SEGLIB_DATA")


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of the authors' reference outputs: SEGLIB_REFERENCE, else tests/reference."""
    place = Path(os.environ.get("SEGLIB_REFERENCE") or HERE / "reference")
    if not place.is_dir():
        pytest.skip(f"no reference outputs in {place}; name their folder in SEGLIB_REFERENCE")
    return place


@pytest.fixture
def server():
    """Serve the files in a dictionary from path to content; yields it and the address."""
    served = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content = served.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield served, f"http://127.0.0.1:{server.server_port}/w/"
    server.shutdown()
    server.server_close()
