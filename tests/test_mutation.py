"""The changes that `python -m tests.mutation` makes are those it tells, one at a time, and leave types alone."""

import ast

from tests.mutation import mutants

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
    for part in ("if part:", "if True:", "max(part / whole", "part * whole", "whole >= 0", "else False", "return 1",
                 "whole: float=3", ", 1)", "if False:"):  # fmt: skip
        assert part in whole, part
    assert whole.count("part: int | None") == len(sources)
