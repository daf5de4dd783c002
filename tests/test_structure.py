"""The layers: tools, benchmarks and site use course, course uses seglib; within seglib imports run downward too."""

import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
LAYERS = [{"seglib"}, {"course"}, {"tools", "benchmarks", "site"}]
# Of seglib, the lowest layer first; modules of one layer do not import each other.
SEGLIB_LAYERS = [
    {"errors", "files", "plugins"},
    {"config"},
    {"models", "losses", "metrics", "distributed"},
    {"weights_metadata"},
    {"weights", "data"},
    {"visualize"},
    {"inference"},
    {"evaluation"},
    {"training"},
    {"cli"},
]
MAX_CODE_LINES = 5_973  # must stay below 6,000


def modules(folder: str) -> list[Path]:
    return sorted((REPOSITORY / folder).rglob("*.py"))


def imported(file: Path) -> set[str]:
    """The absolute names of all modules that a file imports, function bodies included."""
    package = list(file.relative_to(REPOSITORY).with_suffix("").parts[:-1])
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module or "").split(".")] if node.module else base
            names |= {".".join([*base, alias.name]) for alias in node.names}
    return names


@pytest.mark.parametrize("folder", ["seglib", "course", "tools", "benchmarks"])
def test_packages_import_lower_layers_only(folder):
    layer = next(index for index, names in enumerate(LAYERS) if folder in names)
    higher = set().union(*LAYERS[layer + 1 :]) - set(sys.stdlib_module_names)  # site is also the name of one
    wrong = {
        (str(f.relative_to(REPOSITORY)), n) for f in modules(folder) for n in imported(f) if n.split(".")[0] in higher
    }
    assert not wrong


def test_no_module_of_seglib_names_the_course():
    for file in modules("seglib"):
        tokens = tokenize.generate_tokens(io.StringIO(file.read_text(encoding="utf-8")).readline)
        assert not any(t.type == tokenize.NAME and t.string == "course" for t in tokens), file


def test_modules_of_seglib_import_lower_layers_only():
    layer_of = {name: index for index, names in enumerate(SEGLIB_LAYERS) for name in names}
    wrong = set()
    for file in modules("seglib"):
        part = file.relative_to(REPOSITORY / "seglib").with_suffix("").parts[0]
        if part in ("__init__", "__main__"):
            continue
        for name in imported(file):
            parts = name.split(".")
            if (
                parts[0] == "seglib"
                and len(parts) > 1
                and parts[1] != part
                and layer_of.get(parts[1], 0) >= layer_of[part]
            ):
                wrong.add((str(file.relative_to(REPOSITORY)), name))
    assert not wrong


@pytest.mark.parametrize("package", ["models", "losses", "metrics"])
def test_models_losses_and_metrics_are_importable_by_themselves(package):
    """They load nothing of seglib but themselves, the error class and small helpers."""
    program = f"import sys, seglib.{package}; print(*sorted(n for n in sys.modules if n.startswith('seglib.')))"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=300
    )
    others = {name.split(".")[1] for name in result.stdout.split()} - {package, "errors", "files", "plugins"}
    assert not others


def code_lines(text: str) -> int:
    """Lines of code without docstrings, comments and blank lines."""
    docstrings = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if ast.get_docstring(node, clean=False) is not None:
                docstrings |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    layout = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in layout:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def test_code_lines_leaves_out_docstrings_comments_and_blank_lines():
    assert code_lines('"""Title.\n\nMore.\n"""\n\n# comment\nx = [\n    1,  # one\n]\n\n\ndef f():\n    "Doc."\n') == 4


def test_seglib_is_small():
    assert sum(code_lines(file.read_text(encoding="utf-8")) for file in modules("seglib")) <= MAX_CODE_LINES
