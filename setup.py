"""Add the files of `weights/` and `data/` to the installed package; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

RESOURCES = {"seglib.resources.weights": "weights", "seglib.resources.data": "data"}

setup(
    packages=[*find_packages(include=["seglib*", "course*"]), *RESOURCES],
    package_dir=RESOURCES,
    package_data={
        "seglib": ["py.typed", "models/*.yaml", "visualize/*.mplstyle"],
        "seglib.resources.weights": ["*.json", "*.md"],
        "seglib.resources.data": ["*.json", "*.yaml", "splits/**/*.txt"],
    },
)
