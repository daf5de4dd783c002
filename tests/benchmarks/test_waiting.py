"""The benchmarks of what people wait for: engines, photographs, training steps and runs.  No times are asserted."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import engines, from_nothing, measure, networks, pasting, peers, photographs, runs, starting_points
from seglib import data
from seglib.data import SegmentationDataset
from seglib.inference import export


@pytest.fixture(scope="module")
def tiny():
    """A network for the engines, with images of one size."""
    pytest.importorskip("onnxscript", reason="export to ONNX needs the extra [export]")
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 2, 1)
    network = export.BytesToLogits(torch.nn.Sequential(*layers)).eval()
    images = [np.random.default_rng(i).integers(0, 256, (1, 3, 32, 64), dtype=np.uint8) for i in range(4)]
    return SimpleNamespace(network=network, images=images, calibration=images, content=export.to_onnx(network))


@pytest.mark.parametrize("engine", [name for name in engines.ENGINES if name != "compiled"])
def test_engines_return_the_logits_of_the_network(tiny, engine):
    with torch.inference_mode():
        try:
            run = engines.MAKERS[engine](tiny)
        except measure.Skipped as reason:
            pytest.skip(str(reason))
        expected = tiny.network(torch.from_numpy(tiny.images[0])).numpy()
        tolerance = {"int8": 0.1, "bf16": 0.05}.get(engine.rpartition("-")[2], 1e-4)
        measure.check_equal(run(tiny.images[0]), expected, engine, tolerance)


def test_each_engine_has_a_title_and_a_maker():
    assert engines.ENGINES.keys() == engines.MAKERS.keys()


def test_input_sizes_are_multiples_of_32():
    assert [engines.input_size(side) for side in (384, 0, 320)] == [(256, 384), (320, 480), (224, 320)]


@pytest.mark.parametrize("index, shape", [(0, (1224, 1632, 3)), (1, (1632, 1224, 3))])
def test_photographs_depend_only_on_their_number(index, shape):
    images = [np.full((30, 40, 3), value, np.uint8) for value in (50, 200)]
    first, second = (photographs.photograph(images, index, 2.0) for _ in range(2))
    assert first.shape == shape and first.dtype == np.uint8
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first)) > 20  # noise


def test_opacities_become_labels_at_the_size_of_the_image():
    alpha = np.zeros((4, 4), np.float32)
    alpha[:, :2] = 1
    labels = photographs.ThresholdedAlpha(lambda image: alpha)(Image.new("RGB", (40, 20)))
    assert labels.shape == (20, 40) and labels.dtype == np.uint8
    assert labels[:, :18].all() and not labels[:, 22:].any()


def test_masks_that_differ_are_not_timed(tmp_path):
    file = tmp_path / "a.jpg"
    masks = np.zeros((10, 10), np.uint8), np.eye(10, dtype=np.uint8)
    for end, mask in zip(("_mask.png", "-peer.png"), masks, strict=True):
        Image.fromarray(mask).save(tmp_path / f"a{end}")
    with pytest.raises(measure.Unequal, match="a.jpg: the masks differ in more than 2%"):
        photographs._check_masks([file], tmp_path)
    Image.fromarray(masks[0]).save(tmp_path / "a-peer.png")
    photographs._check_masks([file], tmp_path)


def test_chunks_are_joined_in_their_order(tmp_path):
    for name, content in (("b", b"first "), ("a", b"second")):
        (tmp_path / name).write_bytes(content)
    resources = {"/models/medium": {"chunks": [{"hash": "b"}, {"hash": "a"}]}}
    assert peers.joined(resources, "/models/medium", tmp_path) == b"first second"


def test_networks_from_npm_need_npm(tmp_path, monkeypatch):
    monkeypatch.setattr(peers.pooch, "os_cache", lambda name: tmp_path)
    monkeypatch.setattr(peers.shutil, "which", lambda name: None)
    with pytest.raises(measure.Skipped, match="fetched with npm, which is not installed"):
        peers.package(peers.SELFIE)


def test_the_slowest_operations_are_named():
    a = torch.randn(200, 200)
    phrase = networks.slowest_operations(lambda: torch.linalg.svd(a) and a.clone(), 2)
    assert phrase.startswith("time by operation: linalg svd ") and phrase.count("%") == 2


def test_all_outputs_count_in_the_loss(monkeypatch):
    class Several(torch.nn.Conv2d):
        def forward(self, x):
            logits = super().forward(x)
            return (logits,) * 7 if self.training else logits

    monkeypatch.setattr(networks, "SIDE", 16)
    side = networks.Side(Several(3, 21, 1), 1, "cpu", None, True, "off")
    assert side.amp is None
    logits = side.model(side.images)
    single = torch.nn.functional.cross_entropy(logits[0], side.truth)
    torch.testing.assert_close(side._loss(list(logits)), (1 + 6 * networks.AUXILIARY) * single)


def test_the_share_of_validation_by_hand():
    assert runs.validation_part({"images": 100, "images_per_second": 10.0, "seconds": 12.5}) == pytest.approx(0.2)


CURVE = [{"epoch": 1, "cpu_minutes": 2.0, "minutes": 3.0, "miou": 0.89}, {"cpu_minutes": 4.0, "miou": 0.92}]


def test_runs_are_compared_at_equal_scores(tmp_path):
    file = tmp_path / "curves.json"
    quick = [{"cpu_minutes": 1.0, "miou": 0.91}, {"cpu_minutes": 2.0, "miou": 0.93}]
    curves = {
        name: {"title": f"title of {name}", "curve": points, "machine": machine}
        for name, points, machine in (("a", quick, "one"), ("b", CURVE, "one"), ("d", CURVE, "two"))
    }
    file.write_text(json.dumps(curves))
    entry = from_nothing.entry("a", "b", 0.90, file)
    assert (entry["ours"], entry["peer"], entry["ratio"]) == (1.0, 4.0, 4.0) and entry["peer_is"] == "title of b"
    never = from_nothing.entry("a", "b", 0.93, file)
    assert never["ratio"] == 2.0 and "stopped at mIoU 0.9200, so that the ratio is a lower bound" in never["note"]
    with pytest.raises(measure.Skipped, match="b: ended at mIoU 0.9200, below 0.93"):
        from_nothing.entry("b", "a", 0.93, file)
    with pytest.raises(measure.Skipped, match="c: not trained yet; run: python -m benchmarks from_nothing --only c"):
        from_nothing.entry("a", "c", 0.9, file)
    with pytest.raises(measure.Skipped, match="a and d were trained on different machines"):
        from_nothing.entry("a", "d", 0.9, file)


def test_a_run_stops_at_its_score_and_is_not_repeated(tmp_path, monkeypatch):
    def train(root, report):
        for epoch, miou in enumerate((0.5, 0.95, 0.96), 1):
            report(epoch, miou)

    file = tmp_path / "curves.json"
    monkeypatch.setattr(from_nothing, "RECIPES", {"a": from_nothing.Recipe("a title", train)})
    assert from_nothing.run(["a"], tmp_path, 60, 60, file) == 0
    assert [point["miou"] for point in from_nothing.read(file)["a"]["curve"]] == [0.5, 0.95]
    monkeypatch.setattr(from_nothing, "curve", lambda *_: pytest.fail("trained again"))
    assert from_nothing.run(["a"], tmp_path, 60, 60, file) == 0


def test_square_images_are_validated_at_their_own_size(tmp_path):
    mask = np.zeros((30, 40), np.uint8)
    mask[:, :20] = 1
    for name, pixels in (("image", np.repeat(mask[..., None] * 255, 3, 2)), ("mask", mask)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    pair = data.Pair("image", tmp_path / "image.png", tmp_path / "mask.png")
    images = from_nothing.SquareImages([pair], *from_nothing.LITE)
    image, target = images[0]
    assert image.shape == (3, 224, 224) and target.shape == (224, 224) and target.float().mean() == 0.5
    model = torch.nn.Conv2d(3, 2, 1)
    torch.nn.init.zeros_(model.weight), torch.nn.init.zeros_(model.bias)
    model.weight.data[1] = 1.0  # white is class 1
    truth = type("Truth", (), {"num_classes": 2, "__getitem__": lambda self, index: {"mask": mask}})()
    assert from_nothing.validate(model, images, truth) > 0.95


SMALL = (
    "--batch_size=2",
    "--eval_interval=1",
    "--augment.crop_sizes=[32]",
    "--data.options={length: 4, size: [48, 48]}",
    "--inference.longest_side=48",
)


def test_the_page_of_starting_points(tmp_path):
    runs = {"scratch": (0.7, 0.8, 0.9), "imagenet": (0.9, 0.92, 0.91)}
    entries = {
        f"{start}, seed {seed}": {
            "minutes": 3.0 + seed,
            "miou": score,
            "boundary_iou": score / 2,
            "machine": "a CPU",
        }
        for start, scores in runs.items()
        for seed, score in enumerate(scores)
    }
    text = starting_points.page(entries)
    assert "| random weights | from scratch | 4.0 | 0.800 ± 0.100 | 0.400 ± 0.050 |" in text
    assert "| encoder pre-trained on ImageNet | ImageNet | 4.0 | 0.910 ± 0.010 | 0.455 ± 0.005 |" in text
    assert "synthetic animals took" not in text and "Measured on: a CPU." in text
    assert "took 5.0 more minutes" in starting_points.page(entries | {"pre-training": {"minutes": 5.0, "machine": "a"}})


def test_runs_from_each_starting_point(tmp_path, monkeypatch):
    """Real runs, with one epoch on a few synthetic images."""
    monkeypatch.setattr(starting_points, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(starting_points, "README", tmp_path / "README.md")
    (tmp_path / "README.md").write_text(f"a\n{starting_points.BEGIN}\n{starting_points.END}\nb\n")
    real = starting_points.train

    def train(folder, root, options):
        return real(folder, root, [*options, "--epochs=1", "--data.name=creatures", *SMALL])

    monkeypatch.setattr(starting_points, "train", train)
    few = SimpleNamespace(load=lambda *_: data.load("creatures", "val", length=2, size=[48, 48]))
    monkeypatch.setattr(starting_points, "data", few)
    file = tmp_path / "results.json"
    names = [name for name in starting_points.STARTS if name != "imagenet"]
    monkeypatch.setattr(starting_points, "SEEDS", (0, 1))
    assert starting_points.run(names, tmp_path / "runs", tmp_path, file) == 0
    entries = starting_points.read(file)
    assert list(entries)[0] == "pre-training" and len(entries) == 7
    assert all(0 < entry["miou"] < 1 for name, entry in entries.items() if name != "pre-training")
    assert (tmp_path / "page.md").read_text().count("±") == 6
    lines = (tmp_path / "README.md").read_text().splitlines()
    assert lines[0] == "a" and lines[-1] == "b" and lines[2] == "| start | mIoU | Boundary IoU |" and len(lines) == 9
    monkeypatch.setattr(starting_points, "train", lambda *_: pytest.fail("trained again"))
    assert starting_points.run(names, tmp_path / "runs", tmp_path, file) == 0


def test_pasting_replaces_the_background_in_half_of_the_accesses():
    image, mask = np.full((20, 30, 3), 200, np.uint8), np.zeros((20, 30), np.uint8)
    mask[:, 10:20] = 1
    backgrounds = SegmentationDataset("b", ("x",), [[0, 0, 0]], ["a"], lambda _: (np.zeros((5, 5, 3), np.uint8), mask))
    read = pasting.pasting(lambda _: (image, mask), backgrounds, 0)
    items = [read(0) for _ in range(200)]
    assert all(labels is mask for _, labels in items)
    pasted = [new for new, _ in items if new is not image]
    assert 80 < len(pasted) < 120
    for new in pasted:
        assert (new[:, 13:17] >= 199).all() and (new[:, :6] == 0).all() and 0 < new[0, 9, 0] < new[0, 10, 0] < 200
    assert (image == 200).all()


def test_runs_with_and_without_pasting(tmp_path, monkeypatch):
    """Real runs, with one epoch on a few synthetic images."""
    monkeypatch.setattr(pasting, "OPTIONS", (*pasting.OPTIONS, "--data.name=creatures", "--epochs=1", *SMALL))
    few = SimpleNamespace(load=lambda *_: data.load("creatures", "val", length=2, size=[48, 48]))
    monkeypatch.setattr(pasting, "data", few)
    monkeypatch.setattr(pasting, "SEEDS", (0, 1))
    file = tmp_path / "results.json"
    assert pasting.run(tmp_path / "runs", tmp_path, file) == 0
    entries = json.loads(file.read_text())
    assert [f"{title} pasting, seed {seed}" for seed in (0, 1) for title in ("without", "with")] == list(entries)
    assert all(0 <= entry["foreground_iou"] < 1 for entry in entries.values())
    assert entries["with pasting, seed 0"]["miou"] != entries["without pasting, seed 0"]["miou"]
    monkeypatch.setattr(pasting, "measured", lambda *_: pytest.fail("trained again"))
    assert pasting.run(tmp_path / "runs", tmp_path, file) == 0


def test_the_page_and_the_readme_show_the_starting_points():
    entries = starting_points.read()
    assert starting_points.PAGE.read_text(encoding="utf-8") == starting_points.page(entries)
    assert starting_points.summary(entries) in starting_points.README.read_text(encoding="utf-8")
