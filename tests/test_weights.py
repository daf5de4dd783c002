"""Weights files: loading gives what was saved, anything else is refused, and no valid file is lost."""

import json
import os
import subprocess
import sys

import numpy as np
import pooch
import pytest
import torch

from seglib import data, files, models, weights
from seglib.cli.main import main
from seglib.config import Config, config_to_dict, load_config, parse_config
from tools import model_cards, release
from tools.__main__ import main as tools_main


def notes(width=4, outputs=2):
    config = Config()
    config.model.options = {"width": width}
    return {
        "config": config_to_dict(config),
        "classes": ["background", "horse"],
        "palette": [[0, 0, 0], [230, 159, 0]],
        "num_outputs": outputs,
    }


@pytest.fixture
def saved(tmp_path):
    """A folder of released weights with one small network in it, and that network."""
    torch.manual_seed(0)
    model = models.create("unet", 2, width=4).half().float().eval()
    file = tmp_path / "small.safetensors"
    weights.write_tensors(file, release.to_half(model.state_dict()), notes())
    listed = {"small": {"file": file.name, "bytes": file.stat().st_size, "sha256": pooch.file_hash(str(file))}}
    (tmp_path / "manifest.json").write_text(json.dumps({"address": "", "weights": listed}))
    return tmp_path, model


@pytest.fixture
def shelf(saved, monkeypatch):
    monkeypatch.setattr(weights, "FOLDER", saved[0])
    return saved


def test_fp16_files_come_back_as_the_same_network_in_fp32(shelf):
    folder, model = shelf
    loaded, header = weights.load("small")
    assert not loaded.training and header["classes"] == ["background", "horse"]
    assert all(t.dtype in (torch.float32, torch.int64) for t in loaded.state_dict().values())
    x = torch.randn(1, 3, 32, 40)
    assert torch.equal(loaded(x), model(x))
    assert torch.equal(weights.load(str(folder / "small.safetensors"))[0](x), model(x))


def test_a_network_does_not_depend_on_its_file_after_loading(tmp_path):
    file = tmp_path / "own.safetensors"
    torch.manual_seed(0)
    network = models.create("unet", 2, width=4)
    weights.write_tensors(file, network.state_dict(), notes())
    loaded, _ = weights.load_file(file)
    with open(file, "r+b") as stream:  # in place: the file keeps its size
        stream.seek(-2000, os.SEEK_END)
        stream.write(bytes(2000))
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name]), name


def test_double_weights_become_float32(tmp_path):
    network = models.create("unet", 2, width=4)
    weights.write_tensors(tmp_path / "own.safetensors", network.double().state_dict(), notes())
    loaded, _ = weights.load_file(tmp_path / "own.safetensors")
    assert all(tensor.dtype is torch.float32 for tensor in loaded.parameters())
    assert all(torch.equal(t, network.state_dict()[n].to(t.dtype)) for n, t in loaded.state_dict().items())


def test_buffers_that_are_not_in_the_file_are_computed(tmp_path, monkeypatch):
    class Scaled(torch.nn.Conv2d):
        def __init__(self, num_classes, in_channels=3):
            super().__init__(in_channels, num_classes, 1)
            self.register_buffer("scale", torch.full((1,), 3.0), persistent=False)

        def forward(self, x):
            return super().forward(x) * self.scale

    monkeypatch.setattr(models.registry, "builders", lambda: {"scaled": Scaled})
    network, metadata = Scaled(2), notes()
    metadata["config"]["model"] = {"name": "scaled", "options": {}}
    weights.write_tensors(tmp_path / "own.safetensors", network.state_dict(), metadata)
    loaded, _ = weights.load_file(tmp_path / "own.safetensors")
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(loaded(x), network(x))


def test_what_fp16_cannot_hold_is_kept_in_fp32(tmp_path):
    """The running variance of a pyramid's last convolution was 80,000 in a real network, and infinity once rounded."""
    tensors = {"large": torch.tensor([8e4, 1.1]), "least": torch.tensor([-65504.0, 1.1]), "none": torch.ones(0)}
    weights.write_tensors(tmp_path / "file.safetensors", release.to_half(tensors), notes())
    loaded, _ = weights.read_tensors(tmp_path / "file.safetensors")
    assert torch.equal(loaded["large"], tensors["large"])
    assert torch.equal(loaded["least"], tensors["least"].half().float())
    assert loaded["none"].shape == (0,)


def test_every_flipped_byte_cut_and_addition_is_refused(shelf):
    folder, _ = shelf
    file = folder / "small.safetensors"
    good = file.read_bytes()
    generator = np.random.default_rng(0)
    broken = [good[:cut] for cut in (0, 1, 7, 8, 100, len(good) // 2, len(good) - 1)] + [good + b"\0", b"\x80\x04."]
    for place in [*range(12), *generator.integers(0, len(good), 60)]:
        broken.append(good[:place] + bytes([good[place] ^ (1 << generator.integers(8))]) + good[place + 1 :])
    for content in broken:
        file.write_bytes(content)
        with pytest.raises(weights.WeightsError, match="differs from the released file"):
            weights.load("small")
    file.write_bytes(good)
    weights.load("small")


def test_a_damaged_file_of_the_checkout_names_both_remedies(shelf):
    folder, _ = shelf
    (folder / "small.safetensors").write_bytes(b"damaged")
    with pytest.raises(weights.WeightsError, match="delete it to download it again.*git checkout -- weights/small"):
        weights.load("small")


@pytest.mark.parametrize("address", ["ftp://example.org/w", "/mnt/weights", "file:///mnt/weights", "example.org"])
def test_an_address_that_cannot_be_fetched_from_is_named(shelf, monkeypatch, address):
    (shelf[0] / "small.safetensors").unlink()
    monkeypatch.setenv("SEGLIB_WEIGHTS_URL", address)
    with pytest.raises(weights.WeightsError, match=f"SEGLIB_WEIGHTS_URL is '{address}', but must begin with http"):
        weights.load("small")


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe{}", b"[]", b"3", b"{}"])
def test_a_damaged_manifest_or_card_is_named(shelf, content):
    folder, _ = shelf
    (folder / "small.json").write_bytes(content)
    with pytest.raises(weights.WeightsError, match=r"small\.json: .*git checkout -- weights/small\.json"):
        weights.card("small")
    (folder / "small.json").unlink()
    with pytest.raises(weights.WeightsError, match=r"small\.json: no such file"):
        weights.card("small")
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(weights.WeightsError, match=r"manifest\.json: .*git checkout -- weights/manifest\.json"):
        weights.load("small")


def test_an_unlisted_file_that_is_damaged_or_foreign_is_named(tmp_path):
    file = tmp_path / "mine.safetensors"
    with pytest.raises(weights.WeightsError, match="mine.safetensors: no such file"):
        weights.load(str(file))
    file.write_bytes(b"\x80\x04\x95 this could be a pickle")
    with pytest.raises(weights.WeightsError, match="damaged or not a safetensors file"):
        weights.load(str(file))
    weights.write_tensors(file, {"a": torch.zeros(2)}, {})
    with pytest.raises(weights.WeightsError, match="no metadata|no classes, config.* in its metadata"):
        weights.load(str(file))
    weights.write_tensors(file, {"a": torch.zeros(2)}, notes())
    with pytest.raises(weights.WeightsError, match="the tensors do not fit unet"):
        weights.load(str(file))


def test_unknown_names_list_the_known_ones(shelf):
    with pytest.raises(weights.WeightsError, match="'big': no released weights.*choose one of: small"):
        weights.load("big")
    with pytest.raises(weights.WeightsError, match="choose one of: small"):
        weights.card("big")


def test_missing_weights_are_downloaded_into_the_cache_and_checked(shelf, server, tmp_path, monkeypatch):
    folder, model = shelf
    served, address = server
    good = (folder / "small.safetensors").read_bytes()
    (folder / "small.safetensors").unlink()
    cache = tmp_path / "cache"
    monkeypatch.setenv("SEGLIB_CACHE", str(cache))
    with pytest.raises(weights.WeightsError, match="no download address is known; .*set SEGLIB_WEIGHTS_URL"):
        weights.load("small")
    monkeypatch.setenv("SEGLIB_WEIGHTS_URL", address)
    with pytest.raises(weights.WeightsError, match="small.safetensors: cannot be downloaded .*404"):
        weights.load("small")
    served["/w/small.safetensors"] = good[:-1] + b"x"
    with pytest.raises(weights.WeightsError, match="small.safetensors: cannot be downloaded .*hash"):
        weights.load("small")
    assert list(cache.iterdir()) == [] and not (folder / "small.safetensors").exists()
    served["/w/small.safetensors"] = good
    x = torch.randn(1, 3, 32, 32)
    assert torch.equal(weights.load("small")[0](x), model(x))
    assert weights.find("small") == cache / "small.safetensors"
    served.clear()  # from here on the cache is used
    assert torch.equal(weights.load("small")[0](x), model(x))
    (cache / "small.safetensors").write_bytes(b"damaged")
    with pytest.raises(weights.WeightsError, match="404"):
        weights.load("small")
    served["/w/small.safetensors"] = good
    assert torch.equal(weights.load("small")[0](x), model(x))  # a damaged file of the cache is replaced


def test_writing_is_all_or_nothing(tmp_path):
    file = tmp_path / "kept"
    file.write_bytes(b"before")

    def fail(stream):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left on device; the file is as it was before"):
        files.write_atomically(file, fail)
    assert file.read_bytes() == b"before" and list(tmp_path.iterdir()) == [file]
    with pytest.raises(OSError, match="nothing was written"):
        files.write_atomically(tmp_path / "nowhere" / "file", lambda stream: None)
    before = os.umask(0o077)
    try:
        files.write_atomically(tmp_path / "private", lambda stream: None)
    finally:
        os.umask(before)
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600


def test_a_release_measures_what_it_writes(tmp_path, monkeypatch):
    """From a run to weights, card and manifest; evaluating the released weights gives the card's numbers."""
    from seglib import training
    from seglib.evaluation import evaluate
    from seglib.inference import Predictor
    from tests.training.test_trainer import tiny

    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    (tmp_path / "manifest.json").write_text('{"address": "", "weights": {}}')
    config = tiny(tmp_path / "run")
    history = training.fit(config, progress=False)
    card = release.release(tmp_path / "run", "small", tmp_path, "seglib train x.yaml", "a test")
    assert weights.card("small") == json.loads(json.dumps(card)) and weights.names() == ["small"]
    model, header = weights.load("small")
    val = data.load("creatures", "val", **config.data.options)
    scores = evaluate(Predictor(model, 48), val)
    assert {name: scores[name] for name in card["scores"]} == card["scores"]
    assert card["training"]["best_epoch"] == 1 + max(history, key=lambda e: e["val"]["miou"])["epoch"]
    curve, judged = card["training"]["curve"], [entry for entry in history if "val" in entry]
    assert curve["epochs"] == [entry["epoch"] + 1 for entry in judged]
    assert np.allclose(curve["miou"], [entry["val"]["miou"] for entry in judged], atol=5e-5)
    assert np.allclose(curve["boundary_iou"], [entry["val"]["boundary_iou"] for entry in judged], atol=5e-5)
    assert str(tmp_path) not in json.dumps(card) + json.dumps(header)
    saved = parse_config(json.dumps(header["config"]))
    assert (config.num_workers, config.device) == (0, "cpu") and (saved.num_workers, saved.device) == (-1, "auto")
    text = (tmp_path / "small.md").read_text()
    assert f"{scores['miou']:.4f}" in text and card["sha256"] in text
    assert curve["longest_side"] == 48 and "during training (epoch" in text
    sides = []
    monkeypatch.setattr(
        release,
        "Predictor",
        lambda m, longest_side, *more, **options: (
            sides.append(longest_side) or Predictor(m, longest_side, *more, **options)
        ),
    )
    words = ["--from", "seglib train x.yaml", "--hardware", "a test", "--longest-side", "64", "--flip"]
    assert tools_main(["release", str(tmp_path / "run"), "larger", "--root", str(tmp_path), *words]) == 0
    larger, (model, header) = weights.card("larger"), weights.load("larger")
    assert larger["scores"]["miou"] == evaluate(Predictor(model, 64, flip=True), val)["miou"] and set(sides) == {64}
    assert larger["input"]["longest_side"] == header["config"]["inference"]["longest_side"] == 64
    assert header["config"]["inference"]["flip"] and not card["input"]["flip"]
    assert larger["training"]["curve"] == curve
    text = (tmp_path / "larger.md").read_text()
    assert "during training, longer side resized to 48 pixels (epoch" in text
    assert "The checkpoint and the input size were selected" in text


def test_weights_with_infinite_values_are_not_released(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    state = models.create("unet", 2, width=4).state_dict()
    next(iter(state.values()))[0] = float("inf")
    (tmp_path / "run").mkdir()
    weights.write_tensors(tmp_path / "run" / "best.safetensors", state, notes())
    (tmp_path / "run" / "history.json").write_text("[]")
    with pytest.raises(weights.WeightsError, match=f"{next(iter(state))} has values that are NaN or infinite"):
        release.release(tmp_path / "run", "small", tmp_path, "seglib train x.yaml", "a test")
    assert not (tmp_path / "small.safetensors").exists()


def test_card_documents_the_start_of_the_training(tmp_path, monkeypatch):
    from seglib import training
    from tests.training.test_trainer import tiny

    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    (tmp_path / "manifest.json").write_text('{"address": "", "weights": {}}')
    words = tmp_path, "seglib train x.yaml", "a test"
    training.fit(tiny(tmp_path / "first", epochs=1), progress=False)
    # Synthetic images are measured with the options of the training, ten of them here.
    words_to_measure = ["evaluate", str(tmp_path / "first" / "best.safetensors"), "--data", "creatures", "--json"]
    assert main([*words_to_measure, str(tmp_path / "scores.json")]) == 0
    assert json.loads((tmp_path / "scores.json").read_text())["images"] == 10
    second = tiny(tmp_path / "second", epochs=1)
    second.model.init_from = str(tmp_path / "first" / "best.safetensors")
    training.fit(second, progress=False)
    start = release.release(tmp_path / "second", "second", *words)["training"]["start"]
    assert (start["weights"], start["data"], start["epochs"]) == (second.model.init_from, "creatures", 1)
    assert "with another configuration (1 epochs, " in (tmp_path / "second.md").read_text()
    third = tiny(tmp_path / "third", epochs=1)
    third.model.init_from = "second"
    training.fit(third, progress=False)
    start = release.release(tmp_path / "third", "third", *words)["training"]["start"]
    assert (start["parts"], start["epochs"]) == (2, 2)
    minutes = [weights.card("second")["training"][key] for key in ("minutes", "start")]
    assert start["minutes"] == round(minutes[0] + minutes[1]["minutes"], 1)
    text = (tmp_path / "third.md").read_text()
    assert "from scratch in three parts, first with other configurations (2 epochs, " in text
    document = release._start
    other = {"second": {"weights": "figures", "data": "figures"}}
    monkeypatch.setattr(release, "_start", lambda first, network: other.get(first) or document(first, network))
    fourth = tiny(tmp_path / "fourth", epochs=1)
    fourth.model.init_from = "third"
    training.fit(fourth, progress=False)
    with pytest.raises(weights.WeightsError, match="third: started from other weights itself"):
        release.release(tmp_path / "fourth", "fourth", *words)
    assert weights.names() == ["second", "third"]


def test_card_shows_the_validation_curve_and_the_scaling_of_images():
    curve = {"epochs": list(range(5, 105, 5)), "miou": [i / 100 for i in range(20)], "longest_side": 64}
    text = model_cards._curve(
        {"data": {"chosen_on": "val"}, "input": {"longest_side": 64}, "training": {"curve": curve}}
    )
    steps = "0.000 (5), 0.030 (20), 0.050 (30), 0.080 (45), 0.110 (60), 0.140 (75), 0.160 (85), 0.190 (100)"
    assert text.endswith(f": {steps}")
    curve = {"epochs": [3], "miou": [0.5], "longest_side": 64}
    one = {"data": {"chosen_on": "val"}, "input": {"longest_side": 64}, "training": {"curve": curve}}
    assert model_cards._curve(one).endswith(": 0.500 (3)")
    assert model_cards._scaling(0) == "original image size"
    assert model_cards._scaling(320).startswith("longer side resized to 320 pixels;")


def test_a_card_names_public_weights_that_the_run_began_with():
    described = load_config(None, ["--model.name=hrnet_w18", "--model.init_from=imagenet"])
    start = {"start": release._start(described.model.init_from, described.model.name)}
    assert model_cards._origin({"training": start}) == "initialized with ImageNet weights and trained"
    first = {"weights": "runs/a/best.safetensors", "data": "camvid", "epochs": 2, "minutes": 3.0}
    parts = {"training": {"start": first}, "data": {"name": "camvid"}}
    assert model_cards.trained_with(parts) == "from scratch"
    assert model_cards._origin(parts).startswith("trained from scratch in two parts, first with another configuration")
    assert model_cards.trained_with(parts | {"data": {"name": "horses"}}) == "weights pre-trained on camvid"
    card = {"training": {**start, "teachers": ["a", "b"]}}
    assert model_cards.trained_with(card) == "ImageNet weights; distilled from a and b"
    assert model_cards.trained_with({"training": {}}) == "from scratch"


def test_a_card_separates_scores_of_images_that_chose_the_checkpoint(tmp_path, monkeypatch):
    from seglib import training
    from tests.training.test_trainer import tiny

    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    (tmp_path / "manifest.json").write_text('{"address": "", "weights": {}}')
    config = tiny(tmp_path / "run", selection="last")
    config.data.val_split = "train"
    training.fit(config, progress=False)
    card = release.release(tmp_path / "run", "fixed", tmp_path, "seglib train x.yaml", "a test")
    assert (card["data"]["chosen_on"], card["data"]["measured_on"]) == (None, "val")
    assert card["training"]["best_epoch"] == 2 and card["training"]["curve"]["split"] == "train"
    text = (tmp_path / "fixed.md").read_text()
    assert "the last epoch of a fixed schedule. The validation set was not used to select a checkpoint. " in text
    assert " On the training set (10 images), mIoU is" in text
    assert "the last of 2 epochs" in text and "mIoU on the training set during training" in text
    measured = " | ".join(f"{card['scores'][score]:.4f}" for score in ("miou", "boundary_iou"))
    assert model_cards.table().startswith("Scores on validation images, not used to select the checkpoint:\n")
    assert f"| from scratch | creatures | 10 | {measured} |" in model_cards.table()
    card["data"]["chosen_on"] = "train"
    selected = "checkpoint was selected on the training set. The validation set was not used for model selection"
    assert selected in model_cards.text(card)
    card["data"]["chosen_on"] = "val"
    (tmp_path / "fixed.json").write_text(json.dumps(card))
    assert model_cards.table().startswith("Scores on images that were also used to select the checkpoint:\n")
    assert f"| from scratch | creatures | 10 | {measured} |" in model_cards.table()


@pytest.mark.parametrize("name", weights.names())
def test_released_files_cards_and_manifest_agree(name):
    entry, card = weights.manifest()["weights"][name], weights.card(name)
    assert {key: card[key] for key in entry} == entry
    file = weights.find(name)  # checks the hash
    assert file.stat().st_size == entry["bytes"] <= 64_000_000
    model, header = weights.load(name)
    assert sum(p.numel() for p in model.parameters()) == card["model"]["parameters"]
    assert header["classes"] == card["classes"]
    assert (
        header["config"]["data"]["list_name"] == card["data"]["list"] == card["training"]["config"]["data"]["list_name"]
    )
    assert (weights.FOLDER / f"{name}.md").read_text(encoding="utf-8") == model_cards.text(card)
    assert parse_config(json.dumps(header["config"])) == load_config(
        model_cards.README.parent / "configs" / f"{name}.yaml"
    )


def test_the_readme_shows_the_cards_numbers():
    text = model_cards.README.read_text(encoding="utf-8")
    assert text.split(model_cards.BEGIN)[1].split(model_cards.END)[0].strip() == model_cards.table()


def test_all_released_files_together_stay_small():
    assert sum(entry["bytes"] for entry in weights.manifest()["weights"].values()) <= 160_000_000


QUICK_TO_MEASURE = ("efficientnet_unet-humans",)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n not in QUICK_TO_MEASURE)) for n in weights.names()]
)
def test_the_cards_scores_can_be_measured_again(name, realdata):
    """The tolerance is needed because another convolution kernel can change single pixels."""
    from seglib.evaluation import evaluate
    from seglib.inference import Predictor

    card = weights.card(name)
    model, metadata = weights.load(name)
    dataset = data.load(card["data"]["name"], card["data"]["measured_on"], realdata, card["data"]["list"])
    assert metadata["config"]["inference"]["longest_side"] == card["input"]["longest_side"]
    scores = evaluate(Predictor(model, **metadata["config"]["inference"]), dataset)
    documented = card["scores"]
    # Foreground IoU exists for two classes only.
    keys = {"miou", "boundary_iou", "pixel_accuracy", "foreground_iou"} & documented.keys()
    assert len(keys) == (4 if len(card["classes"]) == 2 else 3)
    for key in keys:
        assert scores[key] == pytest.approx(documented[key], abs=5e-5)
    for label, values in scores["per_class"].items():
        assert values["iou"] == pytest.approx(documented["per_class"][label]["iou"], abs=5e-4)


def test_loading_does_not_import_the_compiler():
    """PyTorch imports it for random numbers and arithmetic on the meta device, which takes three seconds."""
    code = "import sys; from seglib import weights; weights.load(sys.argv[1]); print('torch._dynamo' in sys.modules)"
    for name in ("efficientnet_unet-humans", "u2netp-horses"):
        words = [sys.executable, "-c", code, name]
        assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "False\n"
