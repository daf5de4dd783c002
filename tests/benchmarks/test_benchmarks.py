"""The code of the benchmarks: arithmetic, equality, missing peers, tables.  No times are asserted."""

import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import comparison, groups, measure, metrics, networks, results, runs, scaling, table
from seglib import data, losses, weights
from seglib.config import load_config
from seglib.evaluation import evaluate
from seglib.inference import Predictor

REPOSITORY = Path(__file__).parents[2]


def entry(name="a", **changes):
    numbers = measure.contest([1.0, 2.0, 3.0], [4.0, 4.0, 6.0], "ms", lambda s: s * 1e3, False)
    whole = {
        "name": name,
        "group": "metrics",
        "title": f"work {name}",
        "aim": "2",
        "peer_is": "a library",
        "machine": "2 cores",
        "versions": {"torch": "2.11"},
        "round": 1,
        **numbers,
    }
    return whole | changes


def test_ratios_are_above_one_where_ours_is_better():
    times = measure.contest([1.0, 2.0, 3.0], [4.0, 4.0, 6.0], "ms", lambda s: s * 1e3, False)
    assert (times["ours"], times["peer"], times["ratio"]) == (2000, 4000, 2.0)
    assert times["spread"] == [2.0, 3.0] and times["repeats"] == 3  # quartiles of 4, 2, 2
    rates = measure.contest([1.0, 2.0, 3.0], [4.0, 4.0, 6.0], "images/s", lambda s: 12 / s, True)
    assert (rates["ours"], rates["peer"], rates["ratio"]) == (6, 3, 2.0)
    assert measure.contest([50], [100], "MiB", float, False)["ratio"] == 2
    assert measure.contest([50], [100], "MiB", float, False)["spread"] == [2, 2]


def test_both_sides_take_turns():
    called = []
    clock = iter(range(10_000))
    ours, peer = (lambda side=side: called.append(side) for side in ("ours", "peer"))
    times = measure.interleaved(ours, peer, 3, lambda: next(clock))
    assert called[-6:] == ["ours", "peer"] * 3 and times == ([1, 1, 1], [1, 1, 1])


@pytest.mark.parametrize(
    "ours, peer, tolerance",
    [([1, 2], [1, 3], 0), ([1, 2], [[1, 2]], 0), ([1.0, 2.1], [1.0, 2.0], 0.01), ([float("nan")], [1.0], 1)],
)
def test_unequal_results_are_refused(ours, peer, tolerance):
    with pytest.raises(measure.Unequal, match="the counts: ours"):
        measure.check_equal(np.array(ours), np.array(peer), "the counts", tolerance)
    measure.check_equal(torch.tensor([1.0, 2.001]), np.array([1.0, 2.0]), "the counts", 0.01)


def test_a_metric_that_counts_wrongly_is_never_timed(monkeypatch):
    monkeypatch.setattr(metrics, "SIZES", {"small": (40, 50, 2)})
    monkeypatch.setattr(metrics.metrics, "boundary_counts", lambda *_: (np.zeros(2, int), np.ones(2, int)))
    with pytest.raises(measure.Unequal):
        metrics.boundary("small")


@pytest.mark.parametrize("classes", [2, 11, 19])
def test_label_maps_contain_all_classes_and_ignored_pixels(classes):
    target, prediction = metrics.maps(96, 128, classes)
    assert target.shape == prediction.shape == (96, 128) and target.dtype == prediction.dtype == np.uint8
    assert prediction.max() < classes and set(np.unique(target)) <= {*range(classes), 255}
    assert 0.5 < (target == prediction).mean() < 1
    if classes == 19:
        assert len(np.unique(target)) > 11


def test_networks_of_a_pair_are_compared(monkeypatch):
    """With the same weights they pass; with one different weight they fail."""
    tiny = networks.Pair(
        "",
        "",
        *[lambda: torch.nn.Conv2d(3, 21, 3, padding=1)] * 2,
        lambda ours, peer: ours.load_state_dict(peer.state_dict()),
        1,
    )
    monkeypatch.setattr(networks, "SIDE", 16)
    monkeypatch.setitem(networks.PAIRS, "tiny", tiny)
    ours, peer = networks.sides("tiny", "cpu")
    before = peer.model.weight.clone()
    ours.step(), peer.step(), ours.infer()
    torch.testing.assert_close(ours.model.weight, peer.model.weight, rtol=1e-3, atol=1e-5)
    assert not torch.equal(peer.model.weight, before)
    wrong_pair = networks.Pair("", "", tiny.ours, tiny.peer, lambda ours, peer: None, 1)
    monkeypatch.setitem(networks.PAIRS, "tiny", wrong_pair)
    with pytest.raises(measure.Unequal, match="tiny's outputs"):
        networks.sides("tiny", "cpu")


def test_a_missing_peer_is_reported_and_skipped(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torchmetrics.functional.classification", None)  # as if not installed
    file = tmp_path / "results.json"
    monkeypatch.setattr(sys, "argv", ["benchmarks", "run", "--only", "confusion-224", "--results", str(file)])
    assert command.main() == 0
    (entry,) = json.loads(file.read_text())
    assert "torchmetrics is not installed: python -m pip install 'seglib[bench]'" in entry["skipped"]
    assert entry["name"] == "confusion-224x224x2" and entry["ours"] is entry["ratio"] is None
    assert "skipped: torchmetrics is not installed" in capsys.readouterr().out
    assert "| skipped |" in table.text([entry])


def fake(monkeypatch, **calls):
    entries = [groups.Entry(name, "metrics", f"work {name}", call) for name, call in calls.items()]
    monkeypatch.setattr(groups, "entries", lambda root: entries)


def numbers(value=1.0):
    return lambda: measure.contest([value], [2.0], "ms", float, False) | {"peer_is": "a library"}


def command_line(monkeypatch, file, *words):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "run", "--results", str(file), *words])
    return command.main()


def test_a_stopped_measurement_is_resumed(tmp_path, monkeypatch, capsys):
    file = tmp_path / "results.json"

    def stop():
        raise KeyboardInterrupt

    fake(monkeypatch, a=numbers(), b=stop, c=numbers())
    assert command_line(monkeypatch, file) == 130
    assert "continue with: python -m benchmarks run --resume" in capsys.readouterr().out
    assert [e["name"] for e in results.read(file)] == ["a"]
    fake(monkeypatch, a=stop, b=numbers(), c=numbers(0.5))
    assert command_line(monkeypatch, file, "--resume") == 0
    assert [(e["name"], e["ratio"], e["round"]) for e in results.read(file)] == [("a", 2, 1), ("b", 2, 1), ("c", 4, 1)]
    fake(monkeypatch, a=numbers(4.0), b=stop)
    assert command_line(monkeypatch, file) == 130  # a new round replaces one by one and loses nothing
    assert [(e["name"], e["ratio"], e["round"]) for e in results.read(file)] == [
        ("a", 0.5, 2),
        ("b", 2, 1),
        ("c", 4, 1),
    ]


def test_sides_that_differ_fail_the_run(tmp_path, monkeypatch, capsys):
    def differ():
        raise measure.Unequal("the counts: ours and the peer's differ by up to 1")

    fake(monkeypatch, a=differ, b=numbers())
    assert command_line(monkeypatch, tmp_path / "r.json") == 1
    assert "not measured; the counts: ours and the peer's differ" in capsys.readouterr().out
    assert [e["name"] for e in results.read(tmp_path / "r.json")] == ["b"]


def test_errors_are_one_sentence(tmp_path, monkeypatch, capsys):
    fake(monkeypatch, a=numbers())
    assert command_line(monkeypatch, tmp_path / "r.json", "--only", "x") == 1
    assert "--only x: no such entry" in capsys.readouterr().err
    (tmp_path / "r.json").write_text("{")
    assert command_line(monkeypatch, tmp_path / "r.json") == 1
    assert "delete it and measure again" in capsys.readouterr().err and (tmp_path / "r.json").read_text() == "{"


def test_the_table_names_what_is_slower():
    slower = entry("b", ratio=0.8, spread=[0.7, 0.9], note="on one thread")
    variant = entry("c", library=False)
    lines = table.text([entry(), slower, variant]).splitlines()
    assert lines[2] == "| work a | 2,000 ms | 4,000 ms | **2.00** | 2.00 - 3.00 | 2 | a library |"
    assert "| **0.80** | 0.70 - 0.90 |" in lines[3] and "| 2.00 | 2.00 - 3.00 |" in lines[4]
    assert lines[lines.index("Our code is slower or uses more memory in:") + 2] == "- work b (0.80)"
    assert "- **work b; work d:** on one thread." == table.notes([entry(), slower, entry("d", note="on one thread")])
    assert "No ratio is below 1." in table.text([entry()])


def test_the_table_says_which_aims_are_missed():
    alone = {**entry("d", aim="3 minutes"), "group": "quality", "unit": "minutes", "ratio": None, "peer": None}
    entries = [
        entry("a", ratio=2.0, aim="2"),
        entry("b", ratio=1.5, aim="2"),
        entry("c", ratio=0.5, aim=""),
        alone | {"ours": 4.0},
        {"name": "e", "aim": "5", "skipped": "no peer"},
    ]
    assert [table.falls_short(e) for e in entries] == [False, True, False, True, False]
    assert not table.falls_short(alone | {"ours": 3.0})
    lines = table.text([entries[0], entries[1], entries[3]]).splitlines()
    missed = "\n".join(lines[lines.index("Missed targets:") :])
    assert "- work b (" in missed and "ratio 1.50; target 2)" in missed and "4.00 minutes; target 3 minutes)" in missed
    assert "work a" not in missed and "Missed" not in table.text([entries[0]])


def test_numbers_have_three_figures():
    expected = {1234.5: "1,234", 12.345: "12.3", 1.2345: "1.23", 0.5: "0.50", 0.01234: "0.012"}
    assert {value: table.number(value) for value in expected} == expected


def test_the_page_of_scaling_by_hand():
    def measured(name, value, **more):
        return {**entry(name), "ours": value, "ratio": None, "note": "of images; by windows", **more}

    entries = [
        measured("predict-read", 2.0, bytes=500_000, decoded_bytes=2**20),
        measured("predict-compute", 7.0),
        measured("predict-write", 1.0, bytes=2**14),
        measured("listing", 60.0, bytes=2**10),
        measured("shuffling", 100.0, bytes=8),
        measured("unet-train", 10.0),
        entry("two-processes", ratio=1.5),
        measured("large-1000", 1.0, side=1000, seconds=1.0, peak_mib=500),
        measured("large-2000", 1.0, side=2000, seconds=4.0, peak_mib=600),
    ]
    page = scaling.page(entries)
    # 10 ms per image are 10,000 seconds per million
    assert "| 1,000,000 | 33.3 min | 1.94 h | 16.7 min | 2.78 h | 0.12 | 500 GB | 16.4 GB |" in page
    assert "| work unet-train | 10.0 images/s | 27.8 h | 27,778 h | 1,157 |" in page
    assert "| 1,024 | decoded images fill the training cache" in page and "| 1,000,000 | listing the files" in page
    assert "4 times the pixels of the smallest. It took 4 times as long and 1.20 times the memory" in page
    assert "Not measured yet: predict-read, predict-compute, predict-write." in scaling.page([entry()])


def test_minutes_to_a_score():
    history = [{"seconds": 60}, {"seconds": 60, "val": {"miou": 0.8}}, {"seconds": 30, "val": {"miou": 0.91}}]
    assert runs.minutes_to(history, 0.9) == 2.5
    with pytest.raises(measure.Skipped, match="ended at mIoU 0.9100, below 0.95"):
        runs.minutes_to(history, 0.95)


def test_the_readme_shows_the_results():
    entries = results.read()
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    section = readme.partition(table.BEGIN)[2].partition(table.END)[0].strip("\n")
    assert entries and section == table.headlines(entries) and len(table.HEADLINES) == 10
    assert section.count("\n") == 2 + 10 - 1
    assert scaling.PAGE.read_text(encoding="utf-8") == scaling.page(entries)
    assert table.PAGE.read_text(encoding="utf-8") == table.page(entries)
    for entry in entries:
        assert {"name", "ours", "peer", "ratio", "unit", "spread", "versions", "machine"} <= entry.keys()
        if entry["ratio"] is not None:
            better, worse = (entry["ours"], entry["peer"])[:: 1 if entry["unit"] == "images/s" else -1]
            assert entry["ratio"] == pytest.approx(better / worse)
    named = {e.name for e in groups.entries(Path("data"))}
    assert {e["name"] for e in entries if "cuda" not in e["name"]} <= named


def test_the_package_does_not_import_the_benchmarks():
    for file in (REPOSITORY / "seglib").rglob("*.py"):
        words = file.read_text(encoding="utf-8").split()
        assert not {"benchmarks", "benchmarks."} & {b for a, b in pairwise(words) if a in ("import", "from")}, file


def test_runs_are_compared_once_each_on_a_page(tmp_path, monkeypatch):
    """Two real runs with two seeds: a second call trains nothing, and the page has the scores of an evaluation."""
    small = [
        "--epochs=1",
        "--data.name=streets",
        "--data.options={length: 4, size: [64, 64]}",
        "--batch_size=4",
        "--augment.crop_sizes=[64]",
        "--model.name=unet",
        "--model.options={width: 2}",
        "--num_workers=0",
    ]
    names = ["horses, seed 0", "horses, seed 1"]
    variants = {
        name: comparison.Variant("configs/comparison.yaml", (*small, f"--seed={i}")) for i, name in enumerate(names)
    }
    monkeypatch.setattr(comparison, "VARIANTS", variants)
    places = {"runs": tmp_path / "runs", "root": tmp_path, "file": tmp_path / "found.json", "to": tmp_path / "page.md"}
    assert comparison.run(names, **places) == 0
    entries = results.read(places["file"])
    assert [entry["name"] for entry in entries] == names and entries[0]["miou"] != entries[1]["miou"]
    model, _ = weights.load(str(tmp_path / "runs" / "horses-seed-1" / "best.safetensors"))
    val = data.load("streets", "val", length=4, size=[64, 64])
    assert evaluate(Predictor(model, 0), val)["miou"] == entries[1]["miou"]
    page = places["to"].read_text(encoding="utf-8")
    mean = np.mean([entry["miou"] for entry in entries])
    assert f"| {entries[0]['miou']:.4f} |" in page and f"Over 2 seeds: mIoU {mean:.4f} ±" in page
    monkeypatch.setattr(comparison, "trained", lambda *_: pytest.fail("trained again"))
    assert comparison.run(names, **places) == 0


def test_a_failed_comparison_is_reported_and_the_next_one_runs(tmp_path, monkeypatch, capfd):
    variants = {
        "mini_hrnet": comparison.Variant("configs/no-such.yaml"),
        "hrnet_w18": comparison.Variant("configs/none.yaml"),
    }
    monkeypatch.setattr(comparison, "VARIANTS", variants)
    assert comparison.run(list(variants), tmp_path, tmp_path, tmp_path / "found.json", tmp_path / "page.md") == 2
    assert "mini_hrnet: the run failed" in capfd.readouterr().err and not (tmp_path / "found.json").exists()


def test_the_documented_comparison_is_the_measured_one():
    entries = results.read(comparison.FILE)
    assert [entry["name"] for entry in entries] == list(comparison.VARIANTS)
    assert comparison.PAGE.read_text(encoding="utf-8") == comparison.page(entries)
    seeds = [entry for entry in entries if entry["name"].startswith("horses")]
    mious, minutes = [entry["miou"] for entry in seeds], [entry["minutes"] for entry in seeds]
    text = f"{np.mean(mious):.3f} ± {np.std(mious, ddof=1):.3f} over five seeds, {np.median(minutes):.1f} minutes each"
    assert text in (REPOSITORY / "docs" / "training.md").read_text(encoding="utf-8")
    for entry in entries:
        variant = comparison.VARIANTS[entry["name"]]
        assert entry["command"] == " ".join(["seglib train", variant.config, *variant.options])
        assert entry["epochs"] == load_config(REPOSITORY / variant.config, list(variant.options)).epochs


def test_the_comparisons_can_be_read_and_belong_to_a_group():
    listed = {name for names, _ in comparison.GROUPS.values() for name in names}
    assert listed == set(comparison.VARIANTS)
    for variant in comparison.VARIANTS.values():
        config = load_config(REPOSITORY / variant.config, list(variant.options))
        classes = len(data.source(config.data.name).classes)
        losses.class_weights(config.loss.class_weights, [1] * classes)  # some rules are for other numbers of classes
