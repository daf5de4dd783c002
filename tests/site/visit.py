"""A visit on a phone: seconds and bytes from opening the demo to the mask and the cut-out of an image file.

    python -m tests.site.visit portrait.jpg       # 390 x 844 pixels, after `make site`

Each network up to 20 MB is visited with an empty cache.  The times are those of this machine and of its own disk.
"""

import argparse
import functools
import http.server
import json
import re
import shutil
import sys
import threading
import time
from pathlib import Path

SITE = Path(__file__).resolve().parents[2] / "build" / "site" / "html"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SMALL = 20_000_000  # bytes


class CountingHandler(http.server.SimpleHTTPRequestHandler):
    """Serves the site and counts the bytes of each file that it sends."""

    sent: list[tuple[str, int]] = []

    def copyfile(self, source, outputfile):
        start = source.tell()
        super().copyfile(source, outputfile)
        self.sent.append((self.path, source.tell() - start))

    def log_message(self, *_):
        pass


def visit(browser, address: str, model: str, image: Path) -> dict:
    """Open the demo, choose the file, save the cut-out.

    Returns:
        Seconds since the page was opened for "ready", "mask" and "cutout", the demo's status and the files sent.
    """
    CountingHandler.sent.clear()
    context = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    page = context.new_page()
    page.set_default_timeout(300_000)
    start, seconds = time.perf_counter(), {}
    page.goto(f"{address}demo.html?model={model}")
    page.wait_for_selector("#demo[data-ready]")
    seconds["ready"] = time.perf_counter() - start
    page.set_input_files('[data-part="file"]', image)
    page.wait_for_selector('#demo[data-state="done"]')
    seconds["mask"] = time.perf_counter() - start
    sent = list(CountingHandler.sent)
    page.click("text=Cut-out")
    with page.expect_download() as download:
        page.click('[data-part="save-cutout"]')
    download.value.path()
    seconds["cutout"] = time.perf_counter() - start
    status = page.inner_text('[data-part="status"]')
    context.close()
    return {"seconds": seconds, "status": status, "sent": sent}


def report(model: str, result: dict, details: bool) -> None:
    """Print the times of one visit and the bytes before its mask."""
    seconds = ", ".join(f"{name} {value:.1f} s" for name, value in result["seconds"].items())
    megabytes = sum(size for _, size in result["sent"]) / 1e6
    run = re.search(r"took ([\d.]+) s", result["status"])
    print(f"{model}: {seconds}; network {run[1] if run else '?'} s; {megabytes:.2f} MB before the mask")
    if details:
        for path, size in sorted(result["sent"], key=lambda entry: -entry[1])[:12]:
            print(f"    {size / 1e6:7.3f} MB  {path}")


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description="Time a visit of the demo on a phone.")
    parser.add_argument("image", type=Path, help="an image file of a person")
    parser.add_argument("--details", action="store_true", help="list the largest files")
    args = parser.parse_args()
    if not (SITE / "demo.html").exists():
        sys.exit(f"error: {SITE}: no site; run `make site` first.")
    models = json.loads((SITE / "_static/demo/models/models.json").read_text())["models"]
    handler = functools.partial(CountingHandler, directory=SITE)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for model in models:
            if model["weights_bytes"] <= SMALL:
                result = visit(browser, f"http://127.0.0.1:{server.server_port}/", model["name"], args.image)
                report(model["name"], result, args.details)
        browser.close()
    server.shutdown()


if __name__ == "__main__":
    main()
