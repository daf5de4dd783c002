"""The table of formats: images and masks in each format work, or are refused with the reason."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from course.datasets import validation
from seglib import data
from seglib.data import DataError, images

from . import forms


def binary_labels(number):
    return (forms.binary(number) > 0).astype(int)


@pytest.mark.parametrize("name", forms.LAYOUTS)
def test_layouts_that_are_recognised(tmp_path, name):
    forms.layout(*forms.LAYOUTS[name])(tmp_path)
    report, loaded = forms.check_labels(tmp_path, forms.BINARY, binary_labels)
    assert "images in" in report.layout and report.layout in report.text()
    assert "folders" in report.layout if "{split}" in forms.LAYOUTS[name][0] else "ratio, 85:15" in report.layout
    if "{split}" in forms.LAYOUTS[name][0]:
        assert report.images == {"train": 4, "val": 2}
    assert all(
        np.array_equal(item["image"], forms.image(i)) for i, item in zip((0, 1, 3, 4, 2, 5), loaded, strict=True)
    ) or ("{split}" not in forms.LAYOUTS[name][0])


def test_a_pattern_describes_any_layout(tmp_path):
    forms.pattern_in_classes(tmp_path / "file")
    report, _ = forms.check_labels(tmp_path / "file", forms.BINARY, binary_labels)
    assert "images photo_{name}.png, masks seg/{name}-m.png" in report.layout
    forms.layout("a/{split}/x_{name}.png", "b/{name}_{split}.png")(tmp_path / "option")
    report = validation.check(
        str(tmp_path / "option"), progress=False, pattern=("a/{split}/x_{name}.*", "b/{name}_{split}.png")
    )
    assert report.ok and report.images == {"train": 4, "val": 2}
    with pytest.raises(DataError, match="no file matches the pattern 'c/{name}.png'"):
        validation.check(str(tmp_path / "option"), pattern=("c/{name}.png", "b/{name}.png"))
    with pytest.raises(DataError, match="must have {name}"):
        validation.check(str(tmp_path / "option"), pattern=("a/{stem}.png", "b/{name}.png"))
    with pytest.raises(DataError, match="p0_train.png: fits the pattern 'b/{name}_.*', as does .*p0_val.png"):
        forms.save(tmp_path / "option/b/p0_val.png", forms.binary(0))
        validation.check(str(tmp_path / "option"), pattern=("a/{split}/x_{name}.*", "b/{name}_*.png"))


def test_two_folders_of_masks_are_not_guessed_between(tmp_path):
    forms.layout("images/{name}.png", "masks/{name}.png")(tmp_path)
    forms.layout("images/{name}.png", "labels/{name}.png")(tmp_path)
    with pytest.raises(DataError, match="masks and labels hold masks of the same images; choose with --pattern"):
        data.load(str(tmp_path), "all")


def test_files_that_are_no_images_are_reported(tmp_path):
    forms.folder(tmp_path)
    (tmp_path / "images/scan.nii.gz").write_bytes(b"")
    notices = validation.check(str(tmp_path), progress=False).notices
    assert len(notices) == 1 and "skipped files: 1 .gz" in notices[0] and "scan.nii.gz" in notices[0]
    forms.save(tmp_path / "imagesTs/p9.png", forms.image(9))
    notices = validation.check(str(tmp_path), progress=False).notices
    assert len(notices) == 1 and "skipped files: 1 .gz, 1 .png" in notices[0]


@pytest.mark.parametrize("name", forms.VALUES)
def test_values_of_masks(tmp_path, name):
    mask, classes = forms.VALUES[name]
    forms.folder(tmp_path, mask, classes, suffix=".tif" if name == "floating point" else ".png")
    forms.check_labels(tmp_path, forms.CLASSES)


@pytest.mark.parametrize("name", forms.BINARY_VALUES)
def test_values_of_binary_masks(tmp_path, name):
    forms.folder(tmp_path, *forms.BINARY_VALUES[name])
    forms.check_labels(tmp_path, forms.BINARY, binary_labels)


def test_jpeg_masks_with_a_threshold(tmp_path):
    forms.folder(tmp_path, forms.binary, "binary: {above: 127}", suffix=".jpg")
    for item in data.load(str(tmp_path), "all"):
        assert (item["mask"] != binary_labels(int(item["key"][1]))).mean() < 0.01


@pytest.mark.parametrize("name", forms.IMAGES)
def test_images_of_every_kind(tmp_path, name):
    forms.IMAGES[name](tmp_path)
    _, loaded = forms.check_labels(tmp_path, forms.BINARY, binary_labels)
    for item in loaded:
        expected = forms.image(int(item["key"][1])).astype(int)
        expected = np.repeat(expected[:, :, 2:], 3, 2) if "grey" in name else expected
        expected = expected[:, :, ::-1] if "bands" in name else expected
        different = np.abs(item["image"] - expected)[1:]
        assert different.mean() < 30 if name in ("jpg", "webp", "jp2") else different.max() <= 1, name


@pytest.mark.parametrize("name", forms.REFUSED_IMAGES)
def test_images_that_are_refused_with_the_true_reason(tmp_path, name):
    make, reason = forms.REFUSED_IMAGES[name]
    make(tmp_path)
    report = validation.check(str(tmp_path), progress=False)
    assert len(report.faults) == 6 and all(reason in fault for fault in report.faults), report.text()
    assert report.text().count(reason) == 1 and "The same in 5 more" in report.text()


# --- Advice -----------------------------------------------------------------------------------------------------------


def stray(number):
    mask = forms.binary(number)
    mask[0, 0] = 1
    return mask


ADVISED = {
    "0, 128 and 255": (forms.trimap, forms.BINARY, ".png"),
    "antialiased": (forms.antialiased, forms.BINARY, ".png"),
    "JPEG": (forms.binary, forms.BINARY, ".jpg"),
    "ids": (forms.labels, ("background", "class1", "class2"), ".png"),
    "ids with gaps": (lambda i: forms.labels(i) * 15, ("background", "class15", "class30"), ".png"),
    "colors": (lambda i: forms.COLORS[forms.labels(i)], None, ".png"),
    "stray values": (stray, forms.BINARY, ".png"),
}


@pytest.mark.parametrize("name", ADVISED)
def test_the_suggested_classes_lead_to_a_set_with_a_foreground(tmp_path, name):
    mask, names, suffix = ADVISED[name]
    forms.folder(tmp_path, mask, "", suffix=suffix)
    report = validation.check(str(tmp_path), progress=False)
    assert not report.ok and "With this classes.yaml" in report.suggestion, report.text()
    (tmp_path / "classes.yaml").write_text(report.suggestion.partition(":\n")[2])
    report = validation.check(str(tmp_path), progress=False)
    assert report.ok and not report.warnings, report.text()
    loaded = data.load(str(tmp_path), "all")
    assert names is None or loaded.classes == names
    for item in loaded:
        scored = item["mask"] != data.IGNORE
        foreground = forms.labels(int(item["key"][1])) > 0
        assert ((item["mask"] != loaded.background_index) == foreground)[scored].mean() > 0.98


def test_each_kind_of_fault_is_reported_once_with_its_files(tmp_path):
    forms.folder(tmp_path, forms.antialiased, "", suffix=".jpg")
    text = validation.check(str(tmp_path), progress=False).text()
    assert text.count("has values other than 0 and 1") == 1 and "The same in 5 more: p1.jpg, p2.jpg" in text
    assert text.count("binary: {above:") == 1


def test_every_file_is_opened_once(tmp_path, monkeypatch):
    forms.folder(tmp_path, forms.antialiased, "", suffix=".jpg")
    opened = []
    monkeypatch.setattr(images, "open", lambda file, mode: opened.append(file) or open(file, mode), raising=False)
    assert len(validation.check(str(tmp_path), progress=False).faults) == 6
    assert sorted(opened) == sorted(tmp_path.rglob("p*"))


def test_rare_and_absent_foreground_is_a_warning(tmp_path):
    def dot(number):
        mask = np.zeros((forms.HEIGHT, forms.WIDTH), np.uint8)
        mask[0, 0] = 1
        return mask

    forms.folder(tmp_path / "rare", dot, "")
    report = validation.check(str(tmp_path / "rare"), progress=False)
    assert report.ok and report.warnings == ["only 0.042% of the pixels are not background; check the masks"]
    forms.folder(tmp_path / "none", lambda i: 0 * dot(i), "")
    assert "no pixel of the class object" in validation.check(str(tmp_path / "none"), progress=False).warnings[0]


def test_images_of_different_bits_are_a_warning_until_the_bits_are_given(tmp_path):
    forms.IMAGES["grey of 12 bits in .png"](tmp_path)
    forms.deep(10, 1)(tmp_path / "images/p0.png", forms.image(0))
    warning = validation.check(str(tmp_path), progress=False).warnings[0]
    assert "1 use 10, 5 use 12 bits" in warning and "`bits: 12`" in warning
    (tmp_path / "classes.yaml").write_text("binary: {above: 9}\nbits: 12\n")
    assert validation.check(str(tmp_path), progress=False).warnings == []
    loaded = data.load(str(tmp_path), "all")
    assert loaded.reading == {"bits": 12, "bands": ()} and loaded[0]["image"].max() == 64


def test_images_that_exif_turns_and_their_masks_not(tmp_path):
    forms.folder(tmp_path, forms.binary, "")
    for turn, number in ((3, 0), (6, 1)):
        exif = Image.Exif()
        exif[274] = turn
        forms.save(tmp_path / f"images/p{number}.png", forms.image(number), exif=exif)
    report = validation.check(str(tmp_path), progress=False)
    assert "2 images are rotated by EXIF but their masks are not" in report.warnings[0]
    assert len(report.faults) == 1 and "EXIF orientation of the image: 6, of the mask: 1" in report.faults[0]
    assert json.loads(json.dumps(asdict(report)))["warnings"] == report.warnings


# --- The background ---------------------------------------------------------------------------------------------------


def test_the_background_is_the_class_of_that_name_or_the_one_that_is_set(tmp_path):
    colors = f"colors: {forms.COLORS[[1, 2, 0]].tolist()}"
    for name, text in (
        ("named", f"classes: [cat, dog, background]\n{colors}"),
        ("set", f"classes: [cat, dog, ground]\nbackground: ground\n{colors}"),
        ("none", f"classes: [cat, dog, ground]\n{colors}"),
    ):
        forms.folder(tmp_path / name, lambda i: forms.COLORS[forms.labels(i)], text)
    named, explicit, without = (data.load(str(tmp_path / name), "all") for name in ("named", "set", "none"))
    assert named.classes == ("background", "cat", "dog") and explicit.classes == ("ground", "cat", "dog")
    assert named.background_index == explicit.background_index == 0 and without.background_index is None
    assert without.classes == ("cat", "dog", "ground")
    for item, other in zip(named, explicit, strict=True):
        assert np.array_equal(item["mask"], forms.labels(int(item["key"][1])))
        assert np.array_equal(item["mask"], other["mask"])
    assert named.palette.tolist() == forms.COLORS.tolist() and named.without(["p0"]).background_index == 0
    with pytest.raises(DataError, match="of named and none, one has a background class and the other none"):
        data.load(f"{tmp_path / 'named'}+{tmp_path / 'none'}", "all")


def test_training_and_test_images_of_the_same_names_are_both_kept(tmp_path):
    for part, count in (("Tr", 6), ("Ts", 3)):
        for i in range(count):
            forms.save(tmp_path / f"images{part}" / f"case_{i}_0000.png", forms.image(i))
            forms.save(tmp_path / f"labels{part}" / f"case_{i}.png", forms.labels(i))
    counts = {split: len(data.load(str(tmp_path), split)) for split in ("train", "val", "test", "all")}
    assert counts == {"train": 5, "val": 1, "test": 3, "all": 9}


def test_a_joined_set_keeps_the_background_of_its_parts(tmp_path):
    for name, classes in (("a", "[background, leaf]"), ("b", "[ground, tree]\nbackground: ground")):
        forms.folder(tmp_path / name, lambda i: (forms.labels(i) > 0).astype(np.uint8), f"classes: {classes}")
    joined = data.load(f"{tmp_path / 'a'}+{tmp_path / 'b'}", "all")
    assert joined.classes[0] == "background or ground" and joined.background_index == 0


def test_joined_sets_agree_on_the_background(tmp_path):
    forms.folder(tmp_path / "a", lambda i: forms.binary(i) // 255, "classes: [background, leaf]")
    forms.folder(tmp_path / "b", lambda i: 1 - forms.binary(i) // 255, "classes: [leaf, background]")
    joined = data.load(f"{tmp_path / 'a'}+{tmp_path / 'b'}", "all")
    assert joined.classes == ("background", "leaf")
    for item in joined:
        assert np.array_equal(item["mask"], binary_labels(int(item["key"][-1])))
