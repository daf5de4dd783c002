"""Where the notebooks and the data lie, and how a notebook is read."""

import json
from collections.abc import Sequence
from pathlib import Path

from seglib.errors import SeglibError

REPOSITORY = Path(__file__).resolve().parents[1]


class CourseError(SeglibError, ValueError):
    """The course cannot go on; the message says which notebook, what is wrong and what to do."""


def checkout() -> Path:
    """The folder that holds `notebooks/`: the repository of this package, or the nearest one around the working folder.

    An installed package has no repository around it; then the working folder decides.
    """
    here = Path.cwd()
    for folder in (REPOSITORY, here, *here.parents):
        if (folder / "notebooks").is_dir():
            return folder
    return here


def find_notebooks(names: Sequence[str] = (), folder: Path | None = None) -> list[Path]:
    """The notebooks that `names` mean, in the order of the course.

    A name is the notebook's ("02_unet", "solutions/02_unet"), the beginning of one ("02"), a file's
    path, or "solutions" for all of them.  Without names: every notebook of the course, without the
    solutions.  Raises CourseError for a name that means none or several.
    """
    folder = (folder or checkout() / "notebooks").resolve()
    lessons, solutions = sorted(folder.glob("*.ipynb")), sorted(folder.glob("solutions/*.ipynb"))
    if not lessons and not solutions:
        raise CourseError(f"There are no notebooks in {folder}; run this in the course's repository or name one.")
    if not names:
        return lessons
    by_name = {notebook_name(path): path for path in lessons + solutions}
    chosen = []
    for name in names:
        plain = name.removesuffix(".ipynb").removeprefix("notebooks/")
        if plain == "solutions" and solutions:
            chosen += solutions
        elif plain in by_name:
            chosen.append(by_name[plain])
        elif Path(name).suffix == ".ipynb" and Path(name).is_file():
            chosen.append(Path(name).resolve())
        else:
            meant = [path for known, path in by_name.items() if known.startswith(plain)]
            if len(meant) != 1:
                what = "means several notebooks" if meant else "is no notebook of the course"
                raise CourseError(f"'{name}' {what}; choose from: {', '.join(by_name)}.")
            chosen += meant
    return list(dict.fromkeys(chosen))


def notebook_name(path: Path) -> str:
    """The name of the notebook at `path`: "02_unet", or "solutions/02_unet"."""
    return f"solutions/{path.stem}" if path.parent.name == "solutions" else path.stem


def read_notebook(path: Path):
    """The notebook at `path` as an nbformat node, valid, every cell with an id.  Raises CourseError."""
    import nbformat

    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["nbformat"] != 4:
            raise CourseError(f"{path}: the notebook has format {raw['nbformat']}; save it with a recent Jupyter.")
        raw["nbformat_minor"] = max(raw["nbformat_minor"], 5)
        for number, cell in enumerate(raw["cells"]):
            cell.setdefault("id", f"cell-{number}")  # nbformat would draw a random one, another at every run
        nbformat.validate(raw)
    except OSError as error:
        raise CourseError(f"{path}: the notebook cannot be read ({error.strerror}).") from error
    except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CourseError(f"{path}: this is not a notebook; restore it from git.") from error
    except nbformat.ValidationError as error:
        raise CourseError(f"{path}: not a valid notebook ({error.message}); restore it from git.") from error
    return nbformat.reads(json.dumps(raw), as_version=4)
