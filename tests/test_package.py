"""The installed package: dependencies, lazy imports, and the content of a wheel."""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import seglib
from seglib import weights
from seglib.cli.main import main

REPOSITORY = Path(__file__).parents[1]


def read_requirements(file: str) -> dict[str, str]:
    lines = (REPOSITORY / file).read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {one.name: str(one) for one in requirements}


def read_pyproject() -> dict:
    tomllib = pytest.importorskip("tomllib")  # from Python 3.11 on
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_requirements_are_the_dependencies_and_the_course_extra():
    project = read_pyproject()
    listed = [Requirement(one) for one in [*project["dependencies"], *project["optional-dependencies"]["course"]]]
    assert read_requirements("requirements.txt") == {one.name: str(one) for one in listed}


def test_oldest_versions_are_the_lower_bounds():
    project = read_pyproject()
    extras = project["optional-dependencies"]
    oldest = {name: Requirement(one).specifier for name, one in read_requirements("requirements/oldest.txt").items()}
    ranges = [*project["dependencies"], *(one for name in ("course", "tune", "tiff") for one in extras[name])]
    for one in map(Requirement, ranges):
        lower = next(part.version for part in one.specifier if part.operator == ">=")
        pinned = next(iter(oldest[one.name])).version
        assert pinned.removesuffix(".0").startswith(lower.removesuffix(".0")), one.name


def run_python(script: str, **environment) -> str:
    result = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=120,
        env={**os.environ, **environment},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_importing_seglib_imports_nothing_large():
    """`import seglib` and `seglib --help` must be fast, so they load no third-party package."""
    script = "import sys\n{}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    large = {"torch", "numpy", "matplotlib", "yaml", "jsonargparse", "albumentations", "PIL", "filelock", "pooch"}
    assert not large & set(run_python(script.format("import seglib")).split())
    parser = "from seglib.cli import main\nmain.load_commands = lambda: {}\nmain.build_parser()"
    assert not large & set(run_python(script.format(parser)).split())
    with_commands = "from seglib.cli import main\nassert 'models' in main.load_commands()\nmain.build_parser()"
    assert not large & set(run_python(script.format(with_commands)).split())
    overlay = "import numpy as np, seglib\nz = np.zeros((4, 4, 3), np.uint8)\nseglib.visualize.overlay(z, z[..., 0])"
    assert "matplotlib" not in run_python(script.format(overlay)).split()


def test_submodules_are_there_after_a_bare_import():
    assert run_python("import seglib; print(seglib.models.create('unet', 2, width=4).training)").split() == ["True"]
    with pytest.raises(AttributeError, match="has no attribute 'modles'"):
        seglib.modles  # noqa: B018


@pytest.mark.parametrize("name", ["", *(f".{name}" for name in dir(seglib) if not name.startswith("_"))])
def test_dir_lists_only_names_of_seglib(name):
    module = import_module(f"seglib{name}")
    if not hasattr(module, "__path__"):
        return  # a plain module
    for public in (entry for entry in dir(module) if not entry.startswith("_")):
        value = getattr(module, public)
        origin = getattr(value, "__module__", None) or getattr(value, "__name__", "seglib")
        assert origin.startswith("seglib") or public in module.__all__, f"{module.__name__}.{public} is from {origin}"


def test_version_is_printed(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"seglib {seglib.__version__}\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Build the package as a wheel would have it; return the folder that contains it."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("installed")
    words = ["egg_info", "--egg-base", folder, "build", "--build-base", folder / "build", "--build-lib", folder / "lib"]
    subprocess.run([sys.executable, "setup.py", "-q", *words], cwd=REPOSITORY, check=True, capture_output=True)
    return folder / "lib"


def test_a_wheel_has_seglib_and_course_and_their_data(installed):
    assert sorted(path.name for path in installed.iterdir()) == ["course", "seglib"]
    assert (installed / "seglib" / "py.typed").exists()
    for source in ("seglib", "course"):
        modules = {file.relative_to(REPOSITORY) for file in (REPOSITORY / source).rglob("*.py")}
        assert all((installed / file).exists() for file in modules)
    resources = installed / "seglib" / "resources"
    lists = {file.relative_to(REPOSITORY) for file in (REPOSITORY / "data" / "splits").rglob("*.txt")}
    cards = {file.relative_to(REPOSITORY) for file in (REPOSITORY / "weights").glob("*.json")}
    others = {Path("data/digests.json"), Path("data/known_sets.yaml")}
    assert all((resources / file).exists() for file in lists | cards | others)
    assert not list(installed.rglob("*.safetensors"))


@pytest.mark.skipif("unet-horses" not in weights.names(), reason="unet-horses is not released yet")
def test_an_installed_package_downloads_weights_into_the_cache(installed, server, tmp_path):
    served, address = server
    served["/w/unet-horses.safetensors"] = weights.find("unet-horses").read_bytes()
    environment = {
        **os.environ,
        "PYTHONPATH": str(installed),
        "SEGLIB_WEIGHTS_URL": address,
        "SEGLIB_CACHE": str(tmp_path / "cache"),
    }

    def command(*words: str) -> str:
        result = subprocess.run(
            [sys.executable, "-m", "seglib", *words],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=240,
            env=environment,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    assert "unet-horses" in command("weights", "list")
    assert "1 of 1 images segmented" in command("predict", "example", "--weights", "unet-horses")
    assert (tmp_path / "predictions" / "grace_hopper_mask.png").exists()
    assert command("weights", "get", "unet-horses").split() == [str(tmp_path / "cache" / "unet-horses.safetensors")]
    assert re.search(r"horses .*not here", command("data", "list"))
