"""The table of formats: images and masks in each format work, work after an import, or are refused with the reason."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from seglib import data
from seglib.data import DataError, images, validation

from . import forms

pytest.importorskip("pycocotools")


def check_labels(root, names, expected=forms.labels):
    """Check a folder and compare every mask with the expected labels, by the names of the classes."""
    report = validation.check(str(root), progress=False)
    assert report.ok, report.text()
    loaded = data.load(str(root), "all")
    assert len(loaded) == 6 and set(names) <= set(loaded.classes), loaded.classes
    assert loaded.background_index == 0 and loaded.classes[0] == "background"
    for item in loaded:
        number = int(item["key"].split("/")[-1].removesuffix("_mask")[1])
        expected_mask = np.array([loaded.classes.index(name) for name in names])[expected(number)]
        scored = item["mask"] != data.IGNORE
        assert np.array_equal(item["mask"][scored], expected_mask[scored]) and scored.mean() > 0.9
    return report, loaded


def binary_labels(number):
    return (forms.binary(number) > 0).astype(int)


@pytest.mark.parametrize("name", forms.LAYOUTS)
def test_layouts_that_are_recognised(tmp_path, name):
    forms.layout(*forms.LAYOUTS[name])(tmp_path)
    report, loaded = check_labels(tmp_path, forms.BINARY, binary_labels)
    assert "images in" in report.layout and report.layout in report.text()
    assert "folders" in report.layout if "{split}" in forms.LAYOUTS[name][0] else "ratio, 85:15" in report.layout
    if "{split}" in forms.LAYOUTS[name][0]:
        assert report.images == {"train": 4, "val": 2}
    assert all(
        np.array_equal(item["image"], forms.image(i)) for i, item in zip((0, 1, 3, 4, 2, 5), loaded, strict=True)
    ) or ("{split}" not in forms.LAYOUTS[name][0])


def test_a_pattern_describes_any_layout(tmp_path):
    forms.pattern_in_classes(tmp_path / "file")
    report, _ = check_labels(tmp_path / "file", forms.BINARY, binary_labels)
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
    check_labels(tmp_path, forms.CLASSES)


@pytest.mark.parametrize("name", forms.BINARY_VALUES)
def test_values_of_binary_masks(tmp_path, name):
    forms.folder(tmp_path, *forms.BINARY_VALUES[name])
    check_labels(tmp_path, forms.BINARY, binary_labels)


def test_jpeg_masks_with_a_threshold(tmp_path):
    forms.folder(tmp_path, forms.binary, "binary: {above: 127}", suffix=".jpg")
    for item in data.load(str(tmp_path), "all"):
        assert (item["mask"] != binary_labels(int(item["key"][1]))).mean() < 0.01


@pytest.mark.parametrize("name", forms.IMPORTS)
def test_annotations_are_imported(tmp_path, name):
    forms.IMPORTS[name](tmp_path / "export")
    report = data.import_annotations(tmp_path / "export", tmp_path / "set", progress=False)
    assert report.ok and report.notices[0] == f"imported as {name}", report.text()
    _, loaded = check_labels(tmp_path / "set", forms.CLASSES)
    splits = {"train": 5, "val": 1} if name == "cvat" else {"train": 4, "val": 2}
    assert report.images == splits and loaded.classes[0] == "background"
    assert any((item["mask"] == data.IGNORE).any() for item in loaded) == (name == "voc")
    for item in loaded:
        assert np.array_equal(item["image"], forms.image(int(item["key"].split("/")[-1][1])))


def change_first(**values):
    return lambda content: content["annotations"][0].update(values)


HARD_CASES = {
    "coco: a box only": (
        lambda r: forms.coco(r, change_first(segmentation=[])),
        "annotation 0 of p0.png: has a box but",
    ),
    "coco: two points": (
        lambda r: forms.coco(r, change_first(segmentation=[[1, 2, 3, 4]])),
        "annotation 0 of p0.png: a poly",
    ),
    "coco: unknown category": (lambda r: forms.coco(r, change_first(category_id=9)), "category 9 is not in the list"),
    "coco: unknown image": (lambda r: forms.coco(r, change_first(image_id=999)), "annotation 0 is of image 999"),
    "coco: runs of another size": (
        lambda r: forms.coco(r, change_first(segmentation={"size": [4, 4], "counts": [16]})),
        "run lengths of size \\[4, 4\\], but the image has \\[40, 60\\]",
    ),
    "coco: runs that do not add up": (
        lambda r: forms.coco(r, change_first(segmentation={"size": [40, 60], "counts": [16]})),
        "run lengths do not add up to 2400",
    ),
    "coco: another size": (
        lambda r: forms.coco(r, lambda content: content["images"][0].update(width=90)),
        "image p0.png: made for 90x40 pixels, but p0.png has 60x40",
    ),
    "coco: no image": (
        lambda r: forms.coco(r, lambda content: content["images"][0].update(file_name="q.png")),
        "the image 'q.png' is not in",
    ),
    "labelme: a line": (
        lambda r: forms.labelme(r, lambda content: content["shapes"][1].update(shape_type="line")),
        "p0.json: object 2 \\('dog'\\): a line covers no area",
    ),
    "labelme: two points": (
        lambda r: forms.labelme(r, lambda content: content["shapes"][2].update(points=[[1, 1], [2, 2]])),
        "p0.json: object 3 \\('dog'\\): a polygon needs at least three points",
    ),
    "supervisely: a point": (
        lambda r: forms.supervisely(r, lambda content: content["objects"][0].update(geometryType="point")),
        "p0.png.json: object 1 \\('cat'\\): a point covers no area",
    ),
    "supervisely: unknown class": (
        lambda r: forms.supervisely(r, lambda content: content["objects"][0].update(classTitle="cow")),
        "object 1 \\('cow'\\): meta.json has no such class",
    ),
    "yolo: a box": (
        lambda r: forms.yolo(r, lambda lines: lines.append("0 .5 .5 .1 .1")),
        "p0.txt, line 3: five numbers",
    ),
    "yolo: pixels": (
        lambda r: forms.yolo(r, lambda lines: lines.append("0 1 1 9 1 9 9")),
        "p0.txt, line 3: coordinates",
    ),
    "yolo: unknown class": (
        lambda r: forms.yolo(r, lambda lines: lines.append("4 0 0 1 0 1 1")),
        "line 3: class 4, but",
    ),
    "yolo: no number": (
        lambda r: forms.yolo(r, lambda lines: lines.append("a 0 0 1 0 1 1")),
        "line 3: not a class number",
    ),
    "voc: other palette": (
        lambda r: forms.voc(r, list(range(256)) * 3),
        "p0.png: not painted as Pascal VOC's 21 classes",
    ),
    "cvat: no color": (lambda r: forms.cvat(r, "cat\n"), "labelmap.txt, line 2: must have 2 columns"),
    "cvat: wrong color": (lambda r: forms.cvat(r, "cat:1,2::\n"), "labelmap.txt, line 2: '1,2' is not a color"),
    "cvat: missing class": (
        lambda r: forms.cvat(r, "cat:220,20,60::\nbackground:0,0,0::\n"),
        "p0.png: color \\(0, 0, 142\\)",
    ),
    "roboflow: wrong value": (
        lambda r: forms.roboflow(r, "x, cat\n"),
        "_classes.csv, line 2: 'x' is not a pixel value",
    ),
    "roboflow: missing class": (lambda r: forms.roboflow(r, "0, background\n"), "_mask.png: unknown label 1, 2"),
    "class_dict: wrong color": (
        lambda r: forms.class_dict(r, "cat,1,2,300\n"),
        "class_dict.csv, line 2: '1,2,300' is not",
    ),
    "class_dict: same color": (lambda r: forms.class_dict(r, "a,1,2,3\nb,1,2,3\n"), "line 3: 'a' has this color too"),
}


@pytest.mark.parametrize("name", HARD_CASES)
def test_hard_cases_are_refused_by_name_and_line(tmp_path, name):
    make, reason = HARD_CASES[name]
    make(tmp_path / "export")
    with pytest.raises(DataError, match=reason):
        data.import_annotations(tmp_path / "export", tmp_path / "set", progress=False)
    assert [file.name for file in tmp_path.iterdir()] == ["export"]


@pytest.mark.parametrize("name", forms.IMPORTS)
def test_import_names_the_fault_of_damaged_files(tmp_path, name):
    forms.IMPORTS[name](tmp_path / "export")
    files = [f for f in (tmp_path / "export").rglob("*") if f.suffix in (".json", ".txt", ".csv", ".yaml")]
    rng = np.random.default_rng(0)
    for file in files[:4]:
        whole = file.read_bytes()
        for _ in range(6):
            damaged = bytearray(whole[: rng.integers(1, len(whole))] if rng.random() < 0.5 else whole)
            damaged[rng.integers(len(damaged))] = rng.integers(256)
            file.write_bytes(damaged)
            try:
                data.import_annotations(
                    tmp_path / "export", tmp_path / f"set{rng.integers(1 << 40)}", name, progress=False
                )
            except DataError as error:
                assert str(tmp_path) in str(error)
        file.write_bytes(whole)


def test_objects_in_front(tmp_path):
    """COCO: crowds behind, then the largest first; LabelMe: in the order of the file."""
    forms.coco(tmp_path / "coco", lambda content: content["annotations"].reverse())
    data.import_annotations(tmp_path / "coco", tmp_path / "a", progress=False)
    check_labels(tmp_path / "a", forms.CLASSES)
    forms.labelme(tmp_path / "labelme", lambda content: content["shapes"].reverse())
    data.import_annotations(tmp_path / "labelme", tmp_path / "b", progress=False)
    covered = data.load(str(tmp_path / "b"), "all")[0]["mask"]
    left, top, right, bottom = forms.box("cat", 0)
    assert (covered[top:bottom, left:right] == 1).all()


def test_holes_and_ignored_shapes(tmp_path):
    def hole(content):
        content["objects"][0]["points"]["interior"] = [[[12, 7], [15, 7], [15, 10], [12, 10]]]
        del content["objects"][1]

    forms.supervisely(tmp_path / "export", hole)
    data.import_annotations(tmp_path / "export", tmp_path / "set", progress=False)
    mask = data.load(str(tmp_path / "set"), "all")[0]["mask"]
    assert (mask[7:10, 12:15] == 0).all() and (mask > 0).sum() == 400 - 9
    forms.labelme(tmp_path / "other", lambda content: content["shapes"][0].update(label="__ignore__"))
    data.import_annotations(tmp_path / "other", tmp_path / "ignored", progress=False)
    loaded = data.load(str(tmp_path / "ignored"), "all")
    assert loaded.classes == ("background", "dog") and (loaded[0]["mask"] == 255).sum() > 100


@pytest.mark.parametrize("as_stored", [True, False])
def test_annotations_of_images_that_exif_turns(tmp_path, as_stored):
    exif = Image.Exif()
    exif[274] = 6
    size = (forms.HEIGHT, forms.WIDTH) if as_stored else (forms.WIDTH, forms.HEIGHT)

    def resize(content):
        content |= {"imageHeight": size[0], "imageWidth": size[1], "shapes": content["shapes"][:1]}

    forms.labelme(tmp_path / "export", resize)
    for number, split in forms.numbers():
        forms.save(tmp_path / f"export/{split}/p{number}.png", forms.image(number), exif=exif)
    data.import_annotations(tmp_path / "export", tmp_path / "set", progress=False)
    left, top, right, bottom = forms.box("cat", 0)
    expected = np.zeros(size, np.uint8)
    expected[top:bottom, left:right] = 1
    assert np.array_equal(
        data.load(str(tmp_path / "set"), "all")[0]["mask"], np.rot90(expected, -1) if as_stored else expected
    )


def test_import_needs_a_known_format_and_a_new_folder(tmp_path):
    forms.coco(tmp_path / "export")
    with pytest.raises(DataError, match="export: exists already; name a new folder"):
        data.import_annotations(tmp_path / "export", tmp_path / "export")
    with pytest.raises(DataError, match="--format csv: not a known format; choose one of: auto, supervisely"):
        data.import_annotations(tmp_path / "export", tmp_path / "set", "csv")
    with pytest.raises(DataError, match="has coco annotations; convert them with `seglib data import"):
        data.load(str(tmp_path / "export"))
    forms.folder(tmp_path / "plain")
    with pytest.raises(DataError, match="no annotations of a known format .* no import is needed"):
        data.import_annotations(tmp_path / "plain", tmp_path / "set")
    forms.labelme(tmp_path / "export")
    with pytest.raises(DataError, match="formats coco and labelme; choose one with --format"):
        data.import_annotations(tmp_path / "export", tmp_path / "set")


def test_images_without_annotations_are_reported(tmp_path):
    forms.labelme(tmp_path / "export")
    forms.save(tmp_path / "export/spare.png", forms.image(9))
    report = data.import_annotations(tmp_path / "export", tmp_path / "set", progress=False)
    assert any("1 images without annotations were left out" in notice for notice in report.notices)
    forms.yolo(tmp_path / "yolo")
    (tmp_path / "yolo/labels/val/p2.txt").unlink()
    report = data.import_annotations(tmp_path / "yolo", tmp_path / "other", progress=False)
    assert any("1 images have no text file and were taken as background" in notice for notice in report.notices)
    assert not data.load(str(tmp_path / "other"), "val")[0]["mask"].any()


@pytest.mark.parametrize("name", forms.IMAGES)
def test_images_of_every_kind(tmp_path, name):
    forms.IMAGES[name](tmp_path)
    _, loaded = check_labels(tmp_path, forms.BINARY, binary_labels)
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


def test_joined_sets_agree_on_the_background(tmp_path):
    forms.folder(tmp_path / "a", lambda i: forms.binary(i) // 255, "classes: [background, leaf]")
    forms.folder(tmp_path / "b", lambda i: 1 - forms.binary(i) // 255, "classes: [leaf, background]")
    joined = data.load(f"{tmp_path / 'a'}+{tmp_path / 'b'}", "all")
    assert joined.classes == ("background", "leaf")
    for item in joined:
        assert np.array_equal(item["mask"], binary_labels(int(item["key"][-1])))
