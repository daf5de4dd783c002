"""The command reproduces the committed split lists, and only from a complete data set."""

import pytest

from seglib.data import splits
from tools import data_sets
from tools.__main__ import main


def test_the_lists_of_an_incomplete_data_set_are_not_made(realdata, tmp_path, monkeypatch, capsys):
    if not (realdata / "weizmann_horse_db").is_dir():
        pytest.skip(f"no horses in {realdata}")
    words = ["split", "horses", "--root", str(realdata)]
    committed = {file.relative_to(splits.LISTS): file.read_text() for file in (splits.LISTS / "horses").rglob("*.txt")}
    monkeypatch.setattr(splits, "LISTS", tmp_path)
    assert main(words) == 0 and {file: (tmp_path / file).read_text() for file in committed} == committed
    (tmp_path / "horses" / "more.txt").write_text("horse999\n")
    assert main(words) == 1
    assert "1 images of the committed lists are missing, for example horse999. Download" in capsys.readouterr().err


def test_sets_without_lists_are_refused():
    with pytest.raises(
        data_sets.DataError, match="cityscapes: has no committed split lists, .*Data sets with lists: horses"
    ):
        data_sets.write_lists("cityscapes", [])
