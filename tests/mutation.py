"""Change the code in one small way, run its tests, and see whether they notice.

    python -m tests.mutation seglib/metrics/boundary.py tests/metrics/test_metrics.py      every change of one file
    python -m tests.mutation --sample 40 ...                                       so many of them, evenly spread
    python -m tests.mutation --within save,restore ...                             those inside these functions

A change that no test notices "survives": either the tests miss something, or the changed code does the same.  Those
that were looked at and found to do the same, or to be noticed by other tests, are listed in mutation_explained.txt
beside this file with the reason, and are not tried.  Every change is made in a copy of the package and tested by a
process forked from one that has the libraries loaded.  Needs a system with fork.
"""

import argparse
import ast
import copy
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
EXPLAINED = Path(__file__).with_name("mutation_explained.txt")
PATIENCE = 900  # seconds for the tests of one change, which may make a loop or a wait endless
SWAPS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
}
HEAVY = ("cv2", "hypothesis", "pytest", "sklearn.metrics", "torch", "torchvision", "albumentations")
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """`node` with one thing about it changed, each way in turn."""
    for field in ("op", "ops"):
        for i, kind in enumerate(_listed(getattr(node, field, []))):
            if type(kind) in SWAPS:
                other = copy.deepcopy(node)
                swapped = SWAPS[type(kind)]()
                if field == "op":
                    other.op = swapped
                else:
                    other.ops[i] = swapped
                yield other
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield node.operand
    elif isinstance(node, ast.Name) and node.id in NAMES:
        yield ast.Name(NAMES[node.id], node.ctx)
    elif isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield ast.Attribute(node.value, NAMES[node.attr], node.ctx)
    elif isinstance(node, ast.If | ast.IfExp):
        for test in (ast.Constant(True), ast.Constant(False)):
            other = copy.deepcopy(node)
            other.test = test
            yield other


def _in_annotations(tree: ast.AST) -> set[int]:
    """The ids of the nodes that only tell types."""
    return _ids(getattr(node, field, None) for node in ast.walk(tree) for field in ("annotation", "returns"))


def _ids(nodes: Iterable[ast.AST | None]) -> set[int]:
    """Of these nodes and all in them."""
    return {id(part) for node in nodes if node is not None for part in ast.walk(node)}


def _listed(value) -> list:
    return value if isinstance(value, list) else [value]


def mutants(source: str, within: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """(what was changed, the whole source with that change) for each place and way; `within` names functions, or all.

    What was changed: "line: function: before -> after in `statement`", and a number if that can be done more than
    once in the statement.  Of statements that go on, such as an if, their first line is told.
    """
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    # Inner functions come later and take what is in them from the outer ones.
    names = {id(part): node.name for node in functions for part in ast.walk(node)}
    # Walked from the outside in, so that the innermost is what is kept.
    statements = {id(part): node for node in ast.walk(tree) if isinstance(node, ast.stmt) for part in ast.walk(node)}
    told: Counter[str] = Counter()
    lines = source.splitlines()
    missing = set(within).difference(node.name for node in functions)
    if missing:
        raise SystemExit(f"there is no function {' and no '.join(sorted(missing))}")
    kept = _ids(node for node in functions if node.name in within) if within else _ids([tree])
    kept -= _in_annotations(tree)
    for node in list(ast.walk(tree)):
        for other in changed(node) if id(node) in kept else ():
            change = f"{ast.unparse(node).splitlines()[0]} -> {ast.unparse(other).splitlines()[0]}"
            # As it is written: what `ast` makes of it differs between versions of Python.
            statement = lines[statements[id(node)].lineno - 1].strip()
            where = f" in `{statement}`" if statements[id(node)] is not node else ""
            change = f"{names.get(id(node), 'outside')}: {change}{where}"
            told[change] += 1
            again = f" ({told[change]})" if told[change] > 1 else ""
            _Replace(node, other).visit(tree)
            yield f"{node.lineno}: {change}{again}", ast.unparse(ast.fix_missing_locations(tree))
            _Replace(other, node).visit(tree)


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST):
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


class Copy:
    """A copy of the package and its tests, whose `file` is written anew for each change.

    Processes that tests start import it as well.
    """

    def __init__(self, folder: Path, file: Path):
        self.folder, self.file = folder, folder / file.relative_to(REPOSITORY)
        self.killed = 0  # how many tests did not end by themselves
        folder.mkdir(exist_ok=True)
        for part in REPOSITORY.iterdir():
            if part.name in ("seglib", "tests"):
                shutil.copytree(part, folder / part.name, ignore=shutil.ignore_patterns("__pycache__"))
            elif not part.name.startswith("."):
                (folder / part.name).symlink_to(part)

    def survives(self, source: str, tests: list[str], patience: int = PATIENCE) -> bool:
        """Do all tests pass with this source in the place of the file's?"""
        self.file.write_text(source, encoding="utf-8")
        child = os.fork()
        if child == 0:
            try:
                self._test(tests, patience)
            finally:
                os._exit(1)  # whatever was raised: what follows is the parent's, the removal of this copy for one
        end = time.monotonic() + patience
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() > end:
                os.killpg(child, signal.SIGKILL)
            time.sleep(0.02)
        self.killed += os.WIFSIGNALED(ended[1])
        return ended[1] == 0

    def _test(self, tests: list[str], patience: int) -> None:
        import resource

        os.setpgid(0, 0)  # to be ended with all that it starts
        resource.setrlimit(resource.RLIMIT_CPU, (patience, patience))  # of those that leave the group, too
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        os.chdir(self.folder)
        os.environ["PYTHONPATH"] = str(self.folder)
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # two changes within a second would share it
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # those of other libraries complain of what is imported
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(self.folder))
        for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "seglib")]:
            del sys.modules[name]
        import pytest

        order = Order(self.folder / "order.json")
        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests], plugins=[order]) != 0))


class Order:
    """A pytest plugin: first the tests that noticed most changes so far, which is kept in `file`, then the quick."""

    def __init__(self, file: Path):
        self.file = file
        self.places = json.loads(file.read_text()) if file.exists() else {}  # seconds, or how many it noticed, below 0
        self.first = not self.places

    def pytest_collection_modifyitems(self, items: list) -> None:
        items.sort(key=lambda item: self.places.get(item.nodeid, 0))

    def pytest_runtest_logreport(self, report) -> None:
        if report.failed:
            self.places[report.nodeid] = min(self.places.get(report.nodeid, 0), 0) - 1
        elif self.first:
            self.places[report.nodeid] = self.places.get(report.nodeid, 0) + report.duration

    def pytest_sessionfinish(self) -> None:
        self.file.write_text(json.dumps(self.places))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation",
        allow_abbrev=False,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, help="the file to change")
    parser.add_argument("tests", nargs="+", help="the tests that should notice, as for pytest")
    parser.add_argument("--sample", type=int, default=0, help="try so many changes, evenly spread; 0 all")
    parser.add_argument(
        "--within",
        type=lambda text: text.split(","),
        default=(),
        metavar="NAME,...",
        help="change only these functions",
    )
    args = parser.parse_args()
    for library in HEAVY:  # once, for all children; and nothing of the package
        importlib.import_module(library)
    known = EXPLAINED.read_text(encoding="utf-8").splitlines()
    file = (REPOSITORY / args.file).resolve()
    name = file.relative_to(REPOSITORY).as_posix()
    source = file.read_text(encoding="utf-8")
    found = [(told, text) for told, text in mutants(source, args.within) if text != ast.unparse(ast.parse(source))]
    step = max(1, len(found) // args.sample) if args.sample else 1
    noticed, alive, explained = 0, [], 0
    with tempfile.TemporaryDirectory() as folder:
        copied = Copy(Path(folder), file)
        if not copied.survives(source, args.tests):
            print("the tests fail without any change", file=sys.stderr)
            return 2
        for told, text in found[::step]:
            if any(line.startswith(f"{name}: {told.partition(': ')[2]} |") for line in known):
                explained += 1
            elif copied.survives(text, args.tests):
                alive.append(told)
                print(f"survives: {name}:{told}", flush=True)
            else:
                noticed += 1
    tried = noticed + len(alive) + explained
    late = f" ({copied.killed} of them by running out of time)" if copied.killed else ""
    print(
        f"{name}: {tried} of {len(found)} changes tried; {noticed} noticed{late}, {explained} explained, "
        f"{len(alive)} survive"
    )
    return int(bool(alive))


if __name__ == "__main__":
    sys.exit(main())
