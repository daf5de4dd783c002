"""The glossary: it holds every term in bold of the notebooks, with the number of the notebook that has it first."""

import re

import nbformat

from course import places

BOLD = re.compile(r"\*\*(.+?)\*\*", re.DOTALL)
LABELS = {"prerequisites", "time", "packages"}  # bold words that open a paragraph and are no terms


def terms_in_bold():
    """{term in lower case: number of the first notebook with it in bold}, without labels, titles and numbers."""
    first = {}
    for path in sorted((places.REPOSITORY / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                for match in BOLD.findall(cell.source):
                    term = re.sub(r"\s+(> )?", " ", match).lower()
                    if not term.endswith((".", ":", "?")) and re.search("[a-z]", term) and term not in LABELS:
                        first.setdefault(term, path.name[:2])
    return first


def glossary_entries():
    """A list of (names in lower case, number of the notebook or None), in the order of the page."""
    page = (places.REPOSITORY / "docs" / "glossary.md").read_text(encoding="utf-8")
    entries = re.findall(r"^\*\*(.+?)\.\*\*(.+?)(?=\n\n|\Z)", page, re.DOTALL | re.MULTILINE)
    return [
        (names.lower().split(", "), number.group(1) if (number := re.search(r"\((\d\d)\)\s*$", text)) else None)
        for names, text in entries
    ]


def forms_of(names):
    return {form for name in names for form in (name, f"{name}s", f"{name}es")}


def test_every_term_in_bold_is_in_the_glossary():
    known = set().union(*(forms_of(names) for names, _ in glossary_entries()))
    assert not {term: number for term, number in terms_in_bold().items() if term not in known}


def test_numbers_in_the_glossary_are_those_of_the_first_notebooks_with_the_term_in_bold():
    first = terms_in_bold()
    for names, number in glossary_entries():
        numbers = {first[form] for form in forms_of(names) if form in first}
        assert not numbers or number == min(numbers), f"{', '.join(names)}: ({number}), but first in {min(numbers)}"


def test_the_glossary_is_sorted_and_names_each_term_once():
    names = [name for names, _ in glossary_entries() for name in names]
    headings = [names[0] for names, _ in glossary_entries()]
    assert len(headings) > 100
    assert headings == sorted(headings)
    assert len(names) == len(set(names))
