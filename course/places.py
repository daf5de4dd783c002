"""Find the repository and its notebooks, read a notebook, and replace part of a text file."""

import json
from collections.abc import Sequence
from pathlib import Path

import seglib
from seglib.errors import SeglibError

REPOSITORY = Path(__file__).resolve().parents[1]


class CourseError(SeglibError, ValueError):
    """Raised if running or checking notebooks fails. The message names the notebook and says how to fix the problem."""


def checkout() -> Path:
    """Return the folder that contains `notebooks/`.

    In a checkout, this is the repository of this package. Otherwise, search upward from the working directory, and
    return the working directory if neither it nor any of its parents contains `notebooks/`.
    """
    here = Path.cwd()
    for folder in (REPOSITORY, here, *here.parents):
        if (folder / "notebooks").is_dir():
            return folder
    return here


def find_notebooks(names: Sequence[str] = (), folder: Path | None = None) -> list[Path]:
    """Find notebooks by name.

    Args:
        names: Names ("02_unet", "solutions/02_unet"), prefixes of names ("02"), paths of files, or "solutions" for
            all solutions. By default, all notebooks of the course except the solutions are returned.
        folder: The folder of the notebooks.

    Returns:
        The paths of the notebooks, in the order of `names`.

    Raises:
        CourseError: If a name matches no notebook or several notebooks.
    """
    folder = (folder or checkout() / "notebooks").resolve()
    lessons, solutions = sorted(folder.glob("*.ipynb")), sorted(folder.glob("solutions/*.ipynb"))
    if not lessons and not solutions:
        raise CourseError(
            f"{folder}: there are no notebooks in this folder; run this in the course's repository or name one."
        )
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
            matches = [path for known, path in by_name.items() if known.startswith(plain)]
            if len(matches) != 1:
                problem = "matches several notebooks" if matches else "is not a notebook of the course"
                raise CourseError(f"'{name}' {problem}; choose from: {', '.join(by_name)}.")
            chosen += matches
    return list(dict.fromkeys(chosen))


def notebook_name(path: Path) -> str:
    """Return the name of the notebook at `path`: "02_unet", or "solutions/02_unet"."""
    return f"solutions/{path.stem}" if path.parent.name == "solutions" else path.stem


def read_notebook(path: Path):
    """Read and validate a notebook, and give every cell an id.

    Returns:
        An nbformat notebook node.

    Raises:
        CourseError: If the file cannot be read or is not a valid notebook.
    """
    import nbformat

    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["nbformat"] != 4:
            raise CourseError(f"{path}: the notebook has format {raw['nbformat']}; save it with a recent Jupyter.")
        raw["nbformat_minor"] = max(raw["nbformat_minor"], 5)
        for number, cell in enumerate(raw["cells"]):
            cell.setdefault("id", f"cell-{number}")  # nbformat would choose a random id in every run
        nbformat.validate(raw)
    except OSError as error:
        raise CourseError(f"{path}: the notebook cannot be read ({error.strerror}).") from error
    except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CourseError(f"{path}: this is not a notebook; restore it from git.") from error
    except nbformat.ValidationError as error:
        raise CourseError(f"{path}: not a valid notebook ({error.message}); restore it from git.") from error
    return nbformat.reads(json.dumps(raw), as_version=4)


def replace_between(file: Path, begin: str, end: str, text: str) -> None:
    """Replace the text between the lines `begin` and `end` of a text file. Raise OSError if either line is missing."""
    before, opening, rest = Path(file).read_text(encoding="utf-8").partition(begin)
    _, closing, after = rest.partition(end)
    if not opening or not closing:
        raise OSError(f"{file}: the lines '{begin}' and '{end}' are missing; put them back.")
    seglib.files.write_text(file, f"{before}{begin}\n{text}\n{end}{after}")
