"""Annotations of other tools are imported, or refused with the reason."""

import numpy as np
import pytest
from PIL import Image

from course.importers import import_annotations
from seglib import data
from seglib.data import DataError
from tests.data import forms

from . import exports

pytest.importorskip("pycocotools")


@pytest.mark.parametrize("name", exports.IMPORTS)
def test_annotations_are_imported(tmp_path, name):
    exports.IMPORTS[name](tmp_path / "export")
    report = import_annotations(tmp_path / "export", tmp_path / "set", progress=False)
    assert report.ok and report.notices[0] == f"imported as {name}", report.text()
    _, loaded = forms.check_labels(tmp_path / "set", forms.CLASSES)
    splits = {"train": 5, "val": 1} if name == "cvat" else {"train": 4, "val": 2}
    assert report.images == splits and loaded.classes[0] == "background"
    assert any((item["mask"] == data.IGNORE).any() for item in loaded) == (name == "voc")
    for item in loaded:
        assert np.array_equal(item["image"], forms.image(int(item["key"].split("/")[-1][1])))


@pytest.mark.parametrize("name", exports.IMPORTS)
def test_hidden_files_of_macos_are_left_out(tmp_path, name):
    exports.IMPORTS[name](tmp_path / "export")
    for file in [file for file in (tmp_path / "export").rglob("*") if file.is_file()]:
        file.with_name(f"._{file.name}").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        \xff\xfe")
    report = import_annotations(tmp_path / "export", tmp_path / "set", progress=False)
    assert report.ok and not any("left out" in notice for notice in report.notices), report.text()
    forms.check_labels(tmp_path / "set", forms.CLASSES)


def test_an_export_in_the_current_folder(tmp_path, monkeypatch):
    exports.yolo(tmp_path / "export")
    monkeypatch.chdir(tmp_path / "export")
    assert import_annotations(".", "../set", progress=False).images == {"train": 4, "val": 2}
    forms.check_labels(tmp_path / "set", forms.CLASSES)


def test_pictures_of_the_masks_are_not_taken_as_images(tmp_path):
    exports.voc(tmp_path / "export")
    for i in range(6):
        for folder in ("SegmentationClassVisualization", "SegmentationObjectVisualization", "SegmentationObjectPNG"):
            forms.save(tmp_path / f"export/VOC2012/{folder}/p{i}.jpg", Image.new("RGB", (60, 40), "red"))
    assert import_annotations(tmp_path / "export", tmp_path / "set", progress=False).ok
    for item in data.load(str(tmp_path / "set"), "all"):
        assert np.array_equal(item["image"], forms.image(int(item["key"].split("/")[-1][1])))


def test_the_name_of_a_photo_is_not_a_split(tmp_path):
    shape = {"label": "train", "points": [[1, 1], [30, 1], [30, 30]], "shape_type": "polygon"}
    for name in ("train_0", "train_1", "test_2", "bus_3", "bus_4", "bus_5"):
        forms.save(tmp_path / f"export/{name}.png", forms.image(0))
        content = {"imagePath": f"{name}.png", "imageHeight": 40, "imageWidth": 60, "shapes": [shape]}
        forms.write(tmp_path / f"export/{name}.json", content)
    assert import_annotations(tmp_path / "export", tmp_path / "set", progress=False).images == {"train": 5, "val": 1}


def change_first(**values):
    return lambda content: content["annotations"][0].update(values)


HARD_CASES = {
    "coco: a box only": (
        lambda r: exports.coco(r, change_first(segmentation=[])),
        "annotation 0 of p0.png: has a box but",
    ),
    "coco: two points": (
        lambda r: exports.coco(r, change_first(segmentation=[[1, 2, 3, 4]])),
        "annotation 0 of p0.png: a poly",
    ),
    "coco: unknown category": (lambda r: exports.coco(r, change_first(category_id=9)), "category 9 is not in the list"),
    "coco: unknown image": (lambda r: exports.coco(r, change_first(image_id=999)), "annotation 0 is of image 999"),
    "coco: runs of another size": (
        lambda r: exports.coco(r, change_first(segmentation={"size": [4, 4], "counts": [16]})),
        "run lengths of size \\[4, 4\\], but the image has \\[40, 60\\]",
    ),
    "coco: runs that do not add up": (
        lambda r: exports.coco(r, change_first(segmentation={"size": [40, 60], "counts": [16]})),
        "run lengths do not add up to 2400",
    ),
    "coco: another size": (
        lambda r: exports.coco(r, lambda content: content["images"][0].update(width=90)),
        "image p0.png: made for 90x40 pixels, but p0.png has 60x40",
    ),
    "coco: no image": (
        lambda r: exports.coco(r, lambda content: content["images"][0].update(file_name="q.png")),
        "the image 'q.png' is not in",
    ),
    "labelme: a line": (
        lambda r: exports.labelme(r, lambda content: content["shapes"][1].update(shape_type="line")),
        "p0.json: object 2 \\('dog'\\): a line covers no area",
    ),
    "labelme: two points": (
        lambda r: exports.labelme(r, lambda content: content["shapes"][2].update(points=[[1, 1], [2, 2]])),
        "p0.json: object 3 \\('dog'\\): a polygon needs at least three points",
    ),
    "supervisely: a point": (
        lambda r: exports.supervisely(r, lambda content: content["objects"][0].update(geometryType="point")),
        "p0.png.json: object 1 \\('cat'\\): a point covers no area",
    ),
    "supervisely: unknown class": (
        lambda r: exports.supervisely(r, lambda content: content["objects"][0].update(classTitle="cow")),
        "object 1 \\('cow'\\): meta.json has no such class",
    ),
    "yolo: a box": (
        lambda r: exports.yolo(r, lambda lines: lines.append("0 .5 .5 .1 .1")),
        "p0.txt, line 3: five numbers",
    ),
    "yolo: pixels": (
        lambda r: exports.yolo(r, lambda lines: lines.append("0 1 1 9 1 9 9")),
        "p0.txt, line 3: coordinates",
    ),
    "yolo: unknown class": (
        lambda r: exports.yolo(r, lambda lines: lines.append("4 0 0 1 0 1 1")),
        "line 3: class 4, but",
    ),
    "yolo: no number": (
        lambda r: exports.yolo(r, lambda lines: lines.append("a 0 0 1 0 1 1")),
        "line 3: not a class number",
    ),
    "voc: other palette": (
        lambda r: exports.voc(r, list(range(256)) * 3),
        "p0.png: not painted as Pascal VOC's 21 classes",
    ),
    "cvat: no color": (lambda r: exports.cvat(r, "cat\n"), "labelmap.txt, line 2: must have 2 columns"),
    "cvat: wrong color": (lambda r: exports.cvat(r, "cat:1,2::\n"), "labelmap.txt, line 2: '1,2' is not a color"),
    "cvat: missing class": (
        lambda r: exports.cvat(r, "cat:220,20,60::\nbackground:0,0,0::\n"),
        "p0.png: color \\(0, 0, 142\\)",
    ),
    "roboflow: wrong value": (
        lambda r: exports.roboflow(r, "x, cat\n"),
        "_classes.csv, line 2: 'x' is not a pixel value",
    ),
    "roboflow: missing class": (lambda r: exports.roboflow(r, "0, background\n"), "_mask.png: unknown label 1, 2"),
    "class_dict: wrong color": (
        lambda r: exports.class_dict(r, "cat,1,2,300\n"),
        "class_dict.csv, line 2: '1,2,300' is not",
    ),
    "class_dict: same color": (lambda r: exports.class_dict(r, "a,1,2,3\nb,1,2,3\n"), "line 3: 'a' has this color too"),
}


@pytest.mark.parametrize("name", HARD_CASES)
def test_hard_cases_are_refused_by_name_and_line(tmp_path, name):
    make, reason = HARD_CASES[name]
    make(tmp_path / "export")
    with pytest.raises(DataError, match=reason):
        import_annotations(tmp_path / "export", tmp_path / "set", progress=False)
    assert [file.name for file in tmp_path.iterdir()] == ["export"]


@pytest.mark.parametrize("name", exports.IMPORTS)
def test_import_names_the_fault_of_damaged_files(tmp_path, name):
    exports.IMPORTS[name](tmp_path / "export")
    files = [f for f in (tmp_path / "export").rglob("*") if f.suffix in (".json", ".txt", ".csv", ".yaml")]
    rng = np.random.default_rng(0)
    for file in files[:4]:
        whole = file.read_bytes()
        for _ in range(6):
            damaged = bytearray(whole[: rng.integers(1, len(whole))] if rng.random() < 0.5 else whole)
            damaged[rng.integers(len(damaged))] = rng.integers(256)
            file.write_bytes(damaged)
            try:
                import_annotations(tmp_path / "export", tmp_path / f"set{rng.integers(1 << 40)}", name, progress=False)
            except DataError as error:
                assert str(tmp_path) in str(error)
        file.write_bytes(whole)


def test_objects_in_front(tmp_path):
    """COCO: crowds behind, then the largest first; LabelMe: in the order of the file."""
    exports.coco(tmp_path / "coco", lambda content: content["annotations"].reverse())
    import_annotations(tmp_path / "coco", tmp_path / "a", progress=False)
    forms.check_labels(tmp_path / "a", forms.CLASSES)
    exports.labelme(tmp_path / "labelme", lambda content: content["shapes"].reverse())
    import_annotations(tmp_path / "labelme", tmp_path / "b", progress=False)
    covered = data.load(str(tmp_path / "b"), "all")[0]["mask"]
    left, top, right, bottom = forms.box("cat", 0)
    assert (covered[top:bottom, left:right] == 1).all()


def test_holes_and_ignored_shapes(tmp_path):
    def hole(content):
        content["objects"][0]["points"]["interior"] = [[[12, 7], [15, 7], [15, 10], [12, 10]]]
        del content["objects"][1]

    exports.supervisely(tmp_path / "export", hole)
    import_annotations(tmp_path / "export", tmp_path / "set", progress=False)
    mask = data.load(str(tmp_path / "set"), "all")[0]["mask"]
    assert (mask[7:10, 12:15] == 0).all() and (mask > 0).sum() == 400 - 9
    exports.labelme(tmp_path / "other", lambda content: content["shapes"][0].update(label="__ignore__"))
    import_annotations(tmp_path / "other", tmp_path / "ignored", progress=False)
    loaded = data.load(str(tmp_path / "ignored"), "all")
    assert loaded.classes == ("background", "dog") and (loaded[0]["mask"] == 255).sum() > 100


@pytest.mark.parametrize("as_stored", [True, False])
def test_annotations_of_images_that_exif_turns(tmp_path, as_stored):
    exif = Image.Exif()
    exif[274] = 6
    size = (forms.HEIGHT, forms.WIDTH) if as_stored else (forms.WIDTH, forms.HEIGHT)

    def resize(content):
        content |= {"imageHeight": size[0], "imageWidth": size[1], "shapes": content["shapes"][:1]}

    exports.labelme(tmp_path / "export", resize)
    for number, split in forms.numbers():
        forms.save(tmp_path / f"export/{split}/p{number}.png", forms.image(number), exif=exif)
    import_annotations(tmp_path / "export", tmp_path / "set", progress=False)
    left, top, right, bottom = forms.box("cat", 0)
    expected = np.zeros(size, np.uint8)
    expected[top:bottom, left:right] = 1
    assert np.array_equal(
        data.load(str(tmp_path / "set"), "all")[0]["mask"], np.rot90(expected, -1) if as_stored else expected
    )


def test_import_needs_a_known_format_and_a_new_folder(tmp_path):
    exports.coco(tmp_path / "export")
    with pytest.raises(DataError, match="export: exists already; name a new folder"):
        import_annotations(tmp_path / "export", tmp_path / "export")
    with pytest.raises(DataError, match="--format csv: not a known format; choose one of: auto, supervisely"):
        import_annotations(tmp_path / "export", tmp_path / "set", "csv")
    with pytest.raises(DataError, match="has coco annotations; convert them with `seglib data import"):
        data.load(str(tmp_path / "export"))
    forms.folder(tmp_path / "plain")
    with pytest.raises(DataError, match="no annotations of a known format .* no import is needed"):
        import_annotations(tmp_path / "plain", tmp_path / "set")
    exports.labelme(tmp_path / "export")
    with pytest.raises(DataError, match="formats coco and labelme; choose one with --format"):
        import_annotations(tmp_path / "export", tmp_path / "set")


def test_images_of_the_same_name_in_folders_of_cvat_keep_their_masks(tmp_path):
    exports.cvat(tmp_path / "export")
    for i, split in forms.numbers():
        for part in ("JPEGImages", "SegmentationClass"):
            file = tmp_path / f"export/{part}/p{i}.png"
            (file.parent / f"p{i} left").mkdir()
            file.rename(file.parent / f"p{i} left" / "frame.png")
        file = tmp_path / f"export/ImageSets/Segmentation/{split}.txt"
        forms.write(file, (file.read_text() if file.is_file() else "") + f'"p{i} left/frame"\n')
    report = import_annotations(tmp_path / "export", tmp_path / "set", progress=False)
    assert report.images == {"train": 4, "val": 2}, report.text()
    for item in data.load(str(tmp_path / "set"), "all"):
        number = next(i for i, _ in forms.numbers() if np.array_equal(item["image"], forms.image(i)))
        assert item["mask"].any() and np.array_equal(item["mask"] > 0, forms.labels(number) > 0)


def test_a_corrected_file_is_read_again_in_the_same_notebook(tmp_path):
    exports.labelme(tmp_path / "export", lambda content: content["shapes"][0].update(shape_type="line"))
    with pytest.raises(DataError, match="a line covers no area"):
        import_annotations(tmp_path / "export", tmp_path / "set", progress=False)
    exports.labelme(tmp_path / "export")
    assert import_annotations(tmp_path / "export", tmp_path / "set", progress=False).ok


def test_an_export_without_objects_or_with_class_names_that_cannot_be_used_is_refused(tmp_path):
    reasons = {None: "no object is annotated", "a\x07": r"'a\\x07' is empty, is longer", " ": "' ' is empty"}
    for name, reason in reasons.items():
        forms.save(tmp_path / "export/a.png", forms.image(0))
        shapes = [{"label": name, "points": [[1, 1], [30, 1], [30, 30]]}] if name else []
        forms.write(tmp_path / "export/a.json", {"imagePath": "a.png", "shapes": shapes})
        with pytest.raises(DataError, match=f"export: .*{reason}"):
            import_annotations(tmp_path / "export", tmp_path / "set", progress=False)
        assert not (tmp_path / "set").exists()


def test_images_without_annotations_are_reported(tmp_path):
    exports.labelme(tmp_path / "export")
    forms.save(tmp_path / "export/spare.png", forms.image(9))
    report = import_annotations(tmp_path / "export", tmp_path / "set", progress=False)
    assert any("1 images without annotations were left out" in notice for notice in report.notices)
    exports.yolo(tmp_path / "yolo")
    (tmp_path / "yolo/labels/val/p2.txt").unlink()
    report = import_annotations(tmp_path / "yolo", tmp_path / "other", progress=False)
    assert any("1 images have no text file and were taken as background" in notice for notice in report.notices)
    assert not data.load(str(tmp_path / "other"), "val")[0]["mask"].any()
