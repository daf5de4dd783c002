"""The changes that `python -m tests.mutation` makes are those it tells, one at a time, and leave types alone."""

import ast
import os
import re
from pathlib import Path

import pytest

from tests.mutation import EXPLAINED, REPOSITORY, Copy, mutants

SOURCE = '''
def share(part: int | None, whole: float = 2) -> int | None:
    """Of 3."""
    if not part:
        return 0
    return min(part / whole, -1) if whole > 0 else True
'''


def test_every_change_is_one_and_another():
    found = dict(mutants(SOURCE))
    sources = set(found.values())
    original = ast.unparse(ast.parse(SOURCE))
    assert len(sources) == len(found) and original not in sources
    for source in sources:
        lines = zip(source.splitlines(), original.splitlines(), strict=True)
        assert sum(one != other for one, other in lines) == 1
    whole = "\n".join(sources)
    for part in (
        "if part:",
        "if True:",
        "max(part / whole",
        "part * whole",
        "whole >= 0",
        "else False",
        "return 1",
        "whole: float=3",
        ", 1)",
        "if False:",
    ):
        assert part in whole, part
    assert whole.count("part: int | None") == len(sources)


def test_only_the_functions_asked_for_are_changed_and_repeated_changes_are_numbered():
    source = SOURCE + "\n\ndef twice(a):\n    def inner(b):\n        return b + 5\n    return a + 5 + 5\n"
    told = [told for told, _ in mutants(source, ["twice"])]
    assert sorted(told) == [
        "11: inner: 5 -> 6 in `return b + 5`",
        "11: inner: b + 5 -> b - 5 in `return b + 5`",
        "12: twice: 5 -> 6 in `return a + 5 + 5`",
        "12: twice: 5 -> 6 in `return a + 5 + 5` (2)",
        "12: twice: a + 5 + 5 -> a + 5 - 5 in `return a + 5 + 5`",
        "12: twice: a + 5 -> a - 5 in `return a + 5 + 5`",
    ]
    assert {told.split(": ")[1] for told, _ in mutants(source)} == {"share", "twice", "inner"}
    with pytest.raises(SystemExit, match="no function thrice"):
        list(mutants(source, ["thrice"]))


def test_every_explanation_is_of_a_change_that_can_be_made():
    lines = EXPLAINED.read_text(encoding="utf-8").splitlines()
    explained = {line.partition(" | ")[0] for line in lines}
    assert lines and len(explained) == len(lines) and all(line.partition(" | ")[2] for line in lines)
    made = {
        f"{name}: {told.partition(': ')[2]}"
        for name in {line.partition(": ")[0] for line in lines}
        for told, _ in mutants((REPOSITORY / name).read_text(encoding="utf-8"))
    }
    assert not explained - made


def test_the_table_counts_the_changes_that_make_mutation_tries():
    """That none of them survives, only `make mutation` can tell, which takes hours."""
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    commands = re.findall(r"tests\.mutation (seglib/\S+\.py) \$\(TRAINED\)(?:[\s\\]*--within ([\w,]+))?", makefile)
    assert len(commands) == 5
    parts = {
        part: {str(file.relative_to(REPOSITORY)): () for file in (REPOSITORY / "seglib" / part).glob("[a-z]*.py")}
        for part in ("metrics", "losses")
    } | {"resuming": {name: within.split(",") if within else () for name, within in commands}}
    lines = EXPLAINED.read_text(encoding="utf-8").splitlines()
    table = (REPOSITORY / "RELIABILITY.md").read_text(encoding="utf-8")
    for part, sources in parts.items():
        tried = explained = 0
        for name, within in sources.items():
            source = (REPOSITORY / name).read_text(encoding="utf-8")
            same = ast.unparse(ast.parse(source))
            told = [f"{name}: {told.partition(': ')[2]} |" for told, text in mutants(source, within) if text != same]
            tried += len(told)
            explained += sum(any(line.startswith(one) for line in lines) for one in told)
        assert f"| {part} | {tried} | {tried - explained} | {explained} |" in table, (part, tried, explained)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_change_survives_only_where_no_test_notices_it_in_this_process_or_another(tmp_path):
    """In a copy of the package: what processes that tests start import is changed too, and waits have an end."""
    import seglib

    file = REPOSITORY / "seglib" / "processes.py"
    source = file.read_text(encoding="utf-8")
    test = tmp_path / "test_it.py"
    test.write_text(
        "import subprocess, sys\n"
        "def test_it():\n"
        "    script = 'from seglib import processes; sys.exit(processes.count() != 1)'\n"
        "    assert subprocess.run([sys.executable, '-c', 'import sys; ' + script]).returncode == 0\n"
    )
    copied = Copy(tmp_path / "copy", file)
    assert copied.survives(source, [str(test)])
    assert not copied.survives(source + "\ndef count(): return 2\n", [str(test)])
    assert not copied.survives(source + "\nimport time; time.sleep(1e6)\n", [str(test)], patience=5)
    assert copied.killed == 1
    assert file.read_text(encoding="utf-8") == source and Path(seglib.__file__).parent == file.parent


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_tests_that_noticed_come_first_and_then_the_quick_ones(tmp_path):
    file = REPOSITORY / "seglib" / "processes.py"
    source = file.read_text(encoding="utf-8")
    test, log = tmp_path / "test_it.py", tmp_path / "log"
    test.write_text(
        "import time\n"
        "from seglib import processes\n"
        "def ran(letter):\n"
        f"    with open({str(log)!r}, 'a') as file:\n"
        "        file.write(letter)\n"
        "def test_slow():\n"
        "    time.sleep(0.5)\n"
        "    ran('a')\n"
        "def test_quick():\n"
        "    ran('b')\n"
        "def test_noticing():\n"
        "    time.sleep(1)\n"
        "    ran('c')\n"
        "    assert processes.count() == 1\n"
    )
    copied = Copy(tmp_path / "copy", file)
    changed = source + "\ndef count(): return 2\n"
    assert [copied.survives(text, [str(test)]) for text in (source, changed, changed)] == [True, False, False]
    assert log.read_text() == "abc" + "bac" + "c"  # as in the file; the quick ones first; the one that noticed first
