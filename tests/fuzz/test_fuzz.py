"""Corrupted and hostile inputs: hundreds here, thousands by `python -m tests.fuzz` (counts in docs/reliability.md)."""

import json
import os
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from seglib.config import ConfigError, parse_config
from seglib.data import DataError, read_image
from seglib.data.images import MAX_PIXELS
from seglib.files import read_yaml
from tests.fuzz import watch
from tests.fuzz.__main__ import BEGIN, END, PAGE, RESULTS, table
from tests.fuzz.kinds import KINDS
from tests.fuzz.mutate import corrupted
from tests.fuzz.texts import LAUGHS

# Many where a case takes a millisecond, few where it builds a network or a parser.
QUICK = {"own": 25, "checkpoint": 25, "text": 40, "archive": 60}
CASES = {kind: int(os.environ.get("SEGLIB_FUZZ", QUICK.get(kind, 80))) for kind in KINDS}


def test_corrupted_inputs_are_read_or_refused_with_one_sentence():
    cases = {kind: count for kind, count in CASES.items() if kind != "window" or find_spec("rasterio")}
    tallies = watch.run(cases)
    assert {kind: tally.faults for kind, tally in tallies.items() if tally.faults} == {}
    assert {kind: tally.tried for kind, tally in tallies.items()} == cases
    assert all(tally.refused for tally in tallies.values())
    assert sum(tally.read for tally in tallies.values()) > 100  # part of the files can still be read
    if cases != CASES:
        pytest.skip("rasterio is not installed; everything else was tried and passed")


def test_the_watch_notices_crashes_hangs_and_wrong_errors(monkeypatch, tmp_path):
    """The worker dies at one case, is silent at another and raises an error at a third."""
    script = tmp_path / "worker.py"
    script.write_text(
        "import json, os, sys, time\n"
        "kind, first, count = sys.argv[1].split(':')\n"
        "for case in range(int(first), int(first) + int(count)):\n"
        "    if case == 2: os.abort()\n"
        "    if case == 4: time.sleep(60)\n"
        "    found = {5: 'wrong', 6: 'refused'}.get(case, 'read')\n"
        "    print(json.dumps({'kind': kind, 'case': case, 'found': found, 'detail': 'KeyError', 'seconds': 0.5,\n"
        "                      'peak': 3 << 20}), flush=True)\n"
    )
    monkeypatch.setattr(watch, "WORKER", [str(script)])
    monkeypatch.setattr(watch, "PATIENCE", 2)
    tally = watch.run({"PNG": 8})["PNG"]
    assert (tally.read, tally.refused, tally.tried) == (4, 1, 8)
    assert tally.slowest_seconds == 0.5 and tally.peak_megabytes == 3
    died, hung, wrong = tally.faults
    assert "case 2: the process ended with status -6" in died and "case 4: the process was silent" in hung
    assert wrong == "case 5: KeyError"


def test_a_case_is_determined_by_its_number():
    data = bytes(range(256)) * 4
    one, two = ([corrupted(data, np.random.default_rng(i), [data]) for i in range(50)] for _ in range(2))
    assert one == two and len(set(one)) > 45 and data not in one


def test_the_page_shows_the_counts_of_the_last_long_run():
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    text = PAGE.read_text(encoding="utf-8")
    assert text.split(BEGIN)[1].split(END)[0].strip() == table(results)
    assert [entry["name"] for entry in results["kinds"]] == [kind.title for kind in KINDS.values()]
    for entry in results["kinds"]:
        assert entry["tried"] == entry["read"] + entry["refused"] + len(entry["faults"]) and entry["faults"] == []


def test_decompression_bombs_are_refused_before_decoding(tmp_path, monkeypatch):
    """A decompression bomb: a small file of many pixels.  The limit applies for any setting of Pillow's limit."""
    assert MAX_PIXELS < 200_000_000
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    file = tmp_path / "bomb.png"
    Image.new("1", (15_000, 12_000)).save(file)
    assert file.stat().st_size < 100_000
    with pytest.raises(DataError, match=r"bomb\.png: 15000x12000 pixels; at most 178,956,970"):
        read_image(file)


def test_an_image_too_large_for_memory_is_refused(tmp_path, monkeypatch):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")

    def load(self):
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(DataError, match=r"a\.png: more than .* pixels, or not enough memory"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    "text, message",
    [
        (LAUGHS + "epochs: 3", "line 2: .a0 is an alias"),
        ("a: &a [*a]", "is an alias"),
        ("[" * 3000, "line 1: lists or mappings are nested more than 40 deep"),
        ("{a: " * 3000, "nested more than 40 deep"),
        ("a: 0x" + "f" * 4000, "a value has more than 3,000 characters"),
        ("# " + "x" * 2_000_000, "longer than 1,000,000 characters"),
        ("day: 2001-99-99", "month"),
        ("n: !!float x", "could not convert"),
        ("n: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("a: [", "expected"),
    ],
)
def test_harmful_yaml_is_refused_in_one_line(text, message):
    with pytest.raises(ValueError, match=message) as excinfo:
        read_yaml(text)
    assert "\n" not in str(excinfo.value)
    with pytest.raises(ConfigError):
        parse_config(text)


def test_harmless_yaml_is_read():
    assert read_yaml("a: [1, {b: 0.5}, 'c']\nd: null") == {"a": [1, {"b": 0.5}, "c"], "d": None}
    assert read_yaml("") is None


@pytest.mark.parametrize(
    "text, message",
    [
        ("optimizer: {lr: .inf}", "optimizer.lr is inf, but must be above 0 and finite"),
        ("checkpoint_minutes: .nan", "checkpoint_minutes is nan, but must be at least 0 and finite"),
        ("loss: {terms: {ce: .inf}}", "loss.terms is inf, but must be finite"),
        ("inference: {scales: [1, .inf]}", "inference.scales is inf"),
        ("loss: {terms: {ce: .nan}}", "loss.terms is nan, but must be finite"),
        ("loss: {class_weights: [1, .nan]}", "loss.class_weights: .*nan does not conform"),
        ("model: {options: {width: .inf}}", "model.options: "),
        ("num_workers: 100000", "num_workers is 100000, but must be at least -1 and at most 256"),
        ("epochs: 10000000", "epochs is 10000000, but must be at least 1 and at most 1000000"),
        (f"seed: {2**63}", "seed is 9223372036854775808, but must be at least 0 and at most 9223372036854775807"),
        ("augment: {crop_sizes: [32, 100000]}", "crop_sizes is 100000, but must be at least 32 and at most 32768"),
    ],
)
def test_infinite_nan_and_huge_numbers_are_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(text)


def test_the_largest_seed_trains(tmp_path):
    from seglib import training
    from tests.training.test_trainer import tiny

    assert len(training.fit(tiny(tmp_path / "run", seed=2**63 - 1, epochs=1), progress=False)) == 1
