"""Change the code in one small way, run its tests, and see whether they notice.

    python -m tests.mutation seglib/metrics/boundary.py tests/test_metrics.py      every change of one file
    python -m tests.mutation --sample 40 ...                                       so many of them, evenly spread

A change that no test notices "survives": either the tests miss something, or the changed code does the same.  Those
that were looked at and found to do the same are listed in tests/mutation_equivalent.txt with the reason.  Every change
runs in a process forked from one that has the libraries loaded.  Needs a system with fork.
"""

import argparse
import ast
import copy
import importlib
import importlib.abc
import importlib.util
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
EQUIVALENT = Path(__file__).with_name("mutation_equivalent.txt")
PATIENCE = 300  # seconds of the processor for the tests of one change; a change may make a loop endless
SWAPS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift,
}  # fmt: skip
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
    told = [getattr(node, field, None) for node in ast.walk(tree) for field in ("annotation", "returns")]
    return {id(part) for annotation in told if annotation is not None for part in ast.walk(annotation)}


def _listed(value) -> list:
    return value if isinstance(value, list) else [value]


def mutants(source: str) -> Iterator[tuple[str, str]]:
    """(what was changed, the whole source with that change) for each place and way."""
    tree = ast.parse(source)
    left_out = _in_annotations(tree)
    for node in list(ast.walk(tree)):
        for other in changed(node) if id(node) not in left_out else ():
            told = f"{node.lineno}: {ast.unparse(node).splitlines()[0]} -> {ast.unparse(other).splitlines()[0]}"
            _Replace(node, other).visit(tree)
            yield told, ast.unparse(ast.fix_missing_locations(tree))
            _Replace(other, node).visit(tree)


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST):
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Gives one module another source."""

    def __init__(self, file: Path, source: str):
        self.file, self.source = str(file), source
        self.name = ".".join(file.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")

    def find_spec(self, name, path, target=None):
        packs = [str(Path(self.file).parent)] if self.file.endswith("__init__.py") else None
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.file, loader=self, submodule_search_locations=packs)

    def get_filename(self, name):
        return self.file

    def get_data(self, path):
        return self.source.encode()


def survives(file: Path, source: str, tests: list[str]) -> bool:
    """Do all tests pass with this source in the place of the file's?"""
    child = os.fork()
    if child == 0:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        signal.setitimer(signal.ITIMER_PROF, PATIENCE)
        sys.dont_write_bytecode = True
        sys.meta_path.insert(0, _Changed(file, source))
        import pytest

        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]) != 0))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", allow_abbrev=False, description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("file", type=Path, help="the file to change")
    parser.add_argument("tests", nargs="+", help="the tests that should notice, as for pytest")
    parser.add_argument("--sample", type=int, default=0, help="try so many changes, evenly spread; 0 all")
    args = parser.parse_args()
    for library in HEAVY:  # once, for all children; and nothing of the package
        importlib.import_module(library)
    known = EQUIVALENT.read_text(encoding="utf-8").splitlines()
    file = (REPOSITORY / args.file).resolve()
    name = file.relative_to(REPOSITORY).as_posix()
    source = file.read_text(encoding="utf-8")
    if not survives(file, source, args.tests):
        print("the tests fail without any change", file=sys.stderr)
        return 2
    found = [(told, text) for told, text in mutants(source) if text != ast.unparse(ast.parse(source))]
    step = max(1, len(found) // args.sample) if args.sample else 1
    noticed, alive, same = 0, [], 0
    for told, text in found[::step]:
        if any(line.startswith(f"{name}: {told.partition(': ')[2]} |") for line in known):
            same += 1
        elif survives(file, text, args.tests):
            alive.append(told)
            print(f"survives: {name}:{told}", flush=True)
        else:
            noticed += 1
    tried = noticed + len(alive) + same
    print(f"{name}: {tried} of {len(found)} changes tried; {noticed} noticed, {same} do the same, {len(alive)} survive")
    return int(bool(alive))


if __name__ == "__main__":
    sys.exit(main())
