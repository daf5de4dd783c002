"""Build the site: write the sources for Sphinx, run Sphinx, and check the size of the result.

    python site/build.py            # writes build/site/html; later builds only update changed pages

The first build downloads the packages listed in `site/deps.py`; later builds download nothing. Notebooks are not run;
the site shows their saved outputs.
"""

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import demo_models
import deps
import examples
import explorer
import features
import generated
from staging import Stage

from seglib.inference.export import ExportError
from seglib.weights import WeightsError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BUILD = ROOT / "build" / "site"
LIMIT = 90_000_000  # bytes


def lay_out(stage: Stage) -> None:
    """Write all sources for Sphinx into the folder of `stage`."""
    cache = BUILD / "cache"
    static = stage.folder / "_static"
    stage.tree(HERE / "pages", ".")
    stage.tree(HERE / "static", "_static")
    for package in deps.PACKAGES:
        deps.fetch(package)
        stage.keep(*deps.unpack(package, static))
    included, excluded = demo_models.chosen()
    models = demo_models.entries(included, stage, cache)
    demo_models.describe(models, examples.write(models, stage), static / "ort", stage)
    features.write(models, static / "ort", stage, cache)
    explorer.write(included, stage, cache)
    generated.course(ROOT / "notebooks", stage)
    generated.released(included, excluded, demo_models.chosen(demo_models.DOWNLOADS)[0], stage)
    generated.guides(stage)
    generated.reading(stage)
    generated.networks(stage, cache)
    generated.api(stage)


def run_sphinx(source: Path, out: Path, every_page: bool) -> None:
    """Run Sphinx, which writes the pages whose source has changed, or every page."""
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-b",
        "html",
        "-c",
        HERE,
        "-d",
        BUILD / "doctrees",
        "-W",
        "--keep-going",
        "-q",
        *(["-a"] if every_page else []),
        source,
        out,
    ]
    if subprocess.run([str(part) for part in command]).returncode:
        sys.exit("error: Sphinx reported the above; correct the page or the docstring that it names.")


def remove_old_pages(source: Path, out: Path) -> bool:
    """Remove the pages in `out` whose source is gone, which Sphinx keeps; return whether there were any."""
    pages = {file.relative_to(source).as_posix().rpartition(".")[0] for file in source.rglob("*")}
    pages |= {"genindex", "search"}
    old = [page for page in out.rglob("*.html") if page.relative_to(out).as_posix().removesuffix(".html") not in pages]
    for page in old:
        page.unlink()
    return bool(old)


def inputs() -> str:
    """Return a hash of all files from which the site is built."""
    folders = [
        ("site", "*"),
        ("notebooks", "*.ipynb"),
        ("seglib", "*.py"),
        ("course", "*.py"),
        ("tools", "*.py"),
        ("weights", "*"),
        ("docs", "*.md"),
    ]
    files = [file for folder, names in folders for file in (ROOT / folder).rglob(names) if file.is_file()]
    total = hashlib.sha256()
    for file in sorted([*files, ROOT / "README.md", ROOT / "pyproject.toml"]):
        if "__pycache__" not in file.parts and ".ipynb_checkpoints" not in file.parts:
            total.update(file.relative_to(ROOT).as_posix().encode() + b"\0")
            total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def bytes_of(folder: Path) -> int:
    """Return the total size of all files in `folder` in bytes."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the site.")
    parser.add_argument("--out", type=Path, default=BUILD / "html", help="the folder of the finished site")
    parser.add_argument("--if-changed", action="store_true", help="do nothing if the site is up to date")
    args = parser.parse_args()
    out, stamp, made_of = args.out, args.out.with_name(f"{args.out.name}.made-of"), inputs()
    if args.if_changed and stamp.exists() and stamp.read_text() == made_of:
        print(f"the site in {out} is up to date")
        return
    stamp.unlink(missing_ok=True)
    stage = Stage(BUILD / "source")
    lay_out(stage)
    stage.sweep()
    for folder in ("_static", "_modules"):  # Sphinx does not remove old files there
        shutil.rmtree(out / folder, ignore_errors=True)
    had_old_pages = remove_old_pages(stage.folder, out)
    run_sphinx(stage.folder, out, every_page=had_old_pages)  # all pages list the pages of the site
    for page in (out / "course").rglob("*.html"):
        page.write_text(
            page.read_text(encoding="utf-8").replace("<img alt=", '<img loading="lazy" alt='), encoding="utf-8"
        )
    for page in (out / "_modules" / "seglib" / "models").glob("*.html"):  # the diagrams link to lines
        text = page.read_text(encoding="utf-8")
        numbered = re.sub(
            r'<span class="linenos">( *(\d+))</span>', r'<span class="linenos" id="line-\2">\1</span>', text
        )
        page.write_text(numbered, encoding="utf-8")
    shutil.copy(HERE / "static" / "isolate.js", out)  # a service worker controls only pages in its folder
    (out / ".nojekyll").touch()  # otherwise GitHub Pages hides folders that start with _
    size = bytes_of(out)
    if size > LIMIT:
        sys.exit(f"error: the site has {size / 1e6:.1f} MB, over {LIMIT / 1e6:.0f}; lower demo_models.BUDGET.")
    stamp.write_text(made_of)
    print(f"the site is in {out}: {size / 1e6:.1f} MB. Open it: python -m http.server -d {out}")


if __name__ == "__main__":
    try:
        main()
    except (deps.DepsError, WeightsError, ExportError) as error:
        sys.exit(f"error: {error}")
