"""Every layout of every data set, with small files and, where available, the real data."""

import json
import os
import pickle
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from course.datasets import digests, download, known, validation
from seglib import data
from seglib.data import DataError, layouts, splits
from seglib.data.dataset import DecodedCache, FilePairs, Pair
from tools import data_sets

CITYSCAPES_IDS = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]


def save(path: Path, array) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)
    return path


def sample_image(number: int, height: int = 20, width: int = 30) -> np.ndarray:
    """Return an image that differs from those of other numbers, also for difference hashes."""
    rng = np.random.default_rng(number)
    return np.kron(rng.integers(0, 256, (10, 10, 3)), np.ones((height // 10, width // 10, 1))).astype(np.uint8)


def halves(left: int, right: int, height: int = 20, width: int = 30) -> np.ndarray:
    mask = np.full((height, width), left, np.uint8)
    mask[:, width // 2 :] = right
    return mask


def horses(root: Path, keys, masks=(0, 1)) -> Path:
    for i, key in enumerate(keys):
        save(root / f"weizmann_horse_db/horse/{key}.png", sample_image(i))
        save(root / f"weizmann_horse_db/mask/{key}.png", halves(*masks))
    return root


def camvid(root: Path, **frames) -> Path:
    number = 0
    for split, keys in frames.items():
        for key in keys:
            save(root / f"CamVid/{split}/{key}.png", sample_image(number))
            save(root / f"CamVid/{split}annot/{key}.png", halves(number % 11, 11))
            number += 1
    return root


def write_folder(path: Path, count: int = 4, values=(0, 1), classes: str | None = None) -> Path:
    for i in range(count):
        save(path / f"images/p{i}.png", sample_image(i))
        save(path / f"masks/p{i}.png", halves(*values))
    if classes is not None:
        (path / "classes.yaml").write_text(classes)
    return path


# --- The known layouts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masks", [(0, 1), (0, 255)])
def test_horses_as_on_kaggle(tmp_path, masks):
    horses(tmp_path, ["horse002", "horse001"], masks)
    dataset = data.load("horses", "all", root=tmp_path)
    assert dataset.keys == ["horse001", "horse002"] and dataset.classes == ("background", "horse")
    item = dataset[0]
    assert item["image"].shape == (20, 30, 3) and item["key"] == "horse001"
    assert np.array_equal(item["mask"], halves(0, 1))


def test_horses_in_the_original_edition(tmp_path):
    save(tmp_path / "weizmann_horse_db/rgb/horse001.jpg", sample_image(1))
    grey = halves(0, 255)
    grey[:, 14] = 90  # as JPEG blurs an edge
    save(tmp_path / "weizmann_horse_db/figure_ground/horse001.jpg", grey)
    assert np.array_equal(data.load("horses", "all", root=tmp_path)[0]["mask"], halves(0, 1))


def test_humans(tmp_path):
    for key in ("10", "9", "2"):
        save(tmp_path / f"Human-Segmentation-Dataset/Training_Images/{key}.jpg", sample_image(int(key)))
        save(tmp_path / f"Human-Segmentation-Dataset/Ground_Truth/{key}.png", halves(0, 255, 40, 60))
    save(tmp_path / "Human-Segmentation-Dataset/Training_Images/2.jpg", sample_image(2)[:, :, 0])
    dataset = data.load("humans", "all", root=tmp_path)
    assert dataset.keys == ["2", "9", "10"]
    for item in dataset:
        assert item["image"].shape == (20, 30, 3) and np.array_equal(item["mask"], halves(0, 1))


def test_camvid(tmp_path):
    camvid(tmp_path, train=["a", "b"], test=["c"])
    assert data.load("camvid", "train", root=tmp_path).keys == ["a", "b"]
    assert data.load("camvid", "all", root=tmp_path).keys == ["a", "b", "c"]
    item = data.load("camvid", "test", root=tmp_path)[0]
    assert np.array_equal(item["mask"], halves(2, 255))
    with pytest.raises(
        DataError, match="camvid has no split 'val' .*choose 'all' or one of: .*/fit, .*/select, test, train"
    ):
        data.load("camvid", "val", root=tmp_path)


def test_hidden_files_and_other_folders_are_no_images(tmp_path):
    camvid(tmp_path, train=["a"], val=["b"], others=["c"])
    save(tmp_path / "CamVid/train/._a.png", sample_image(0))  # as macOS leaves beside copies
    assert data.load("camvid", "all", root=tmp_path).keys == ["a", "b"]
    notices = validation.check("camvid", tmp_path, progress=False).notices
    assert any("skipped files: 2 .png" in notice and "others/c.png" in notice for notice in notices)


def test_a_split_whose_folder_of_masks_is_missing_is_refused(tmp_path):
    camvid(tmp_path, train=["a"], val=["b"], test=["d"])
    (tmp_path / "CamVid/testannot/d.png").unlink()
    (tmp_path / "CamVid/testannot").rmdir()
    assert data.load("camvid", "train", root=tmp_path).keys == ["a"]
    with pytest.raises(DataError, match="test/d.png: there is no mask .*testannot/d.png"):
        data.load("camvid", "all", root=tmp_path)
    report = validation.check("camvid", tmp_path, progress=False)
    assert len(report.faults) == 1 and "test/d.png: there is no mask" in report.faults[0]


def test_camvid_frame_in_two_splits(tmp_path):
    camvid(tmp_path, train=["a"], val=["a"])
    with pytest.raises(DataError, match="val/a.png: this frame is also in train"):
        data.load("camvid", "all", root=tmp_path)


@pytest.mark.parametrize("inside", ["cityscapes", "."])
def test_cityscapes(tmp_path, inside):
    root = tmp_path / inside
    ids = np.tile(np.arange(34, dtype=np.uint8), (20, 1))
    for split, city in (("train", "ulm"), ("train", "aachen"), ("val", "frankfurt")):
        save(root / f"leftImg8bit/{split}/{city}/{city}_000000_000019_leftImg8bit.png", np.zeros((20, 34, 3)))
        save(root / f"gtFine/{split}/{city}/{city}_000000_000019_gtFine_labelIds.png", ids)
        save(root / f"gtFine/{split}/{city}/{city}_000000_000019_gtFine_instanceIds.png", ids)
    train = data.load("cityscapes", "train", root=tmp_path)
    assert train.keys == ["aachen_000000_000019", "ulm_000000_000019"] and len(train.classes) == 19
    expected = np.full(34, 255)
    expected[CITYSCAPES_IDS] = np.arange(19)
    assert np.array_equal(train[0]["mask"][0], expected)
    assert train.classes[0] == "road" and train.classes[18] == "bicycle" and train.classes[13] == "car"
    assert data.load("cityscapes", "val", root=tmp_path).keys == ["frankfurt_000000_000019"]
    notices = validation.check("cityscapes", tmp_path, progress=False).notices  # other files of gtFine are not masks
    assert len(notices) == 1 and "are the same image" in notices[0]


def test_every_built_in_data_set_is_registered():
    assert data.sources() == known.SOURCES
    assert data.names() == [*known.SOURCES, *data.generated_sets()]


@pytest.mark.parametrize("name", list(known.SOURCES))
def test_every_source_is_described_completely(name, tmp_path):
    source = known.SOURCES[name]
    assert source.name == name and len(source.classes) == len(source.palette) == len(set(source.palette))
    assert "ROOT" in source.instructions and f"check {name}" in source.instructions
    with pytest.raises(DataError, match=f"data download {name}"):
        data.load(name, "all", root=tmp_path)
    assert source.archive is None or digests.released_digests()[name]  # archives change, so their content is verified


# --- What must be refused --------------------------------------------------------------------------------------------


def test_unknown_names(tmp_path):
    with pytest.raises(
        DataError, match="'hors' is neither a data set .*horses, camvid, humans, .*video_objects, creat"
    ):
        data.load("hors", root=tmp_path)
    with pytest.raises(DataError, match="horses takes no option 'length'"):
        data.load("horses", root=tmp_path, length=3)
    horses(tmp_path, ["horse001"])
    with pytest.raises(DataError, match="no split 'dev'.*default/train"):
        data.load("horses", "dev", root=tmp_path)
    with pytest.raises(DataError, match="list 'mine'.*default/train.*first278/val"):
        data.load("horses", "train", root=tmp_path, list_name="mine")
    with pytest.raises(DataError, match="27[78] of the 278 .*--split all"):
        data.load("horses", "train", root=tmp_path)


def test_an_image_without_a_mask_is_refused_at_once(tmp_path):
    horses(tmp_path, ["horse001", "horse002"])
    (tmp_path / "weizmann_horse_db/mask/horse002.png").unlink()
    with pytest.raises(DataError, match="horse002.png: there is no mask"):
        data.load("horses", "all", root=tmp_path)


def test_faults_of_one_file_name_it(tmp_path):
    horses(tmp_path, ["horse001", "horse002", "horse003"])
    masks = tmp_path / "weizmann_horse_db/mask"
    save(masks / "horse001.png", halves(0, 7))
    save(masks / "horse002.png", halves(0, 1, 20, 60))
    cut = (masks / "horse003.png").read_bytes()
    (masks / "horse003.png").write_bytes(cut[: len(cut) // 2])
    dataset = data.load("horses", "all", root=tmp_path)
    for i, reason in enumerate(("unknown label 7", "60x20 .* 30x20", "truncated")):
        with pytest.raises(DataError, match=f"horse00{i + 1}.png: .*{reason}"):
            dataset[i]


def test_a_mask_is_resized_by_nearest_neighbour_only_if_the_proportions_agree():
    pair = Pair("a", Path("a.png"), Path("m.png"))
    mask = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.array_equal(FilePairs._resized(mask, (6, 8), pair), mask.repeat(2, 0).repeat(2, 1))
    # The centre of the new pixel is on the border of two pixels: every version of OpenCV must take the second one.
    wide = np.arange(40, dtype=np.uint8).reshape(4, 10)
    assert np.array_equal(FilePairs._resized(wide, (2, 5), pair), wide[1::2, 1::2])
    assert np.array_equal(
        FilePairs._resized(wide, (6, 15), pair),
        wide[[0, 1, 1, 2, 3, 3]][:, [0, 1, 1, 2, 3, 3, 4, 5, 5, 6, 7, 7, 8, 9, 9]],
    )
    large = np.zeros((503, 805), np.uint8)
    assert FilePairs._resized(large, (395, 633), pair).shape == (395, 633)  # a pair of humans
    with pytest.raises(DataError, match="a different aspect ratio"):
        FilePairs._resized(large, (395, 650), pair)


def test_two_files_of_one_stem(tmp_path):
    save(tmp_path / "a.png", sample_image(1))
    save(tmp_path / "a.jpg", sample_image(1))
    with pytest.raises(DataError, match="same stem"):
        layouts.image_files(tmp_path)


def test_natural_order_and_hidden_files(tmp_path):
    for name in ("10.png", "9.png", "a2.png", "a10.png", ".hidden.png", "²²ⅱ.png"):
        save(tmp_path / name, sample_image(0))
    (tmp_path / "notes.txt").write_text("")
    assert list(layouts.image_files(tmp_path)) == ["9", "10", "a2", "a10", "²²ⅱ"]


# --- The data set class and its cache --------------------------------------------------------------------------------


def test_indices_and_pickling(tmp_path):
    for name, root in (
        ("horses", horses(tmp_path, ["horse001", "horse002"])),
        (str(write_folder(tmp_path / "own")), tmp_path),
    ):
        dataset = data.load(name, "all", root=root)
        assert dataset[-1]["key"] == dataset.keys[-1]
        with pytest.raises(IndexError):
            dataset[len(dataset)]
        again = pickle.loads(pickle.dumps(dataset))  # as workers of a spawned process get it
        assert np.array_equal(again[0]["mask"], dataset[0]["mask"])


def test_leaving_images_out(tmp_path):
    dataset = data.load(str(write_folder(tmp_path, count=3)), "all")
    assert dataset.without(["p1"]).keys == ["p0", "p2"] and dataset.without([]).keys == dataset.keys
    assert np.array_equal(dataset.without(["p1"])[1]["image"], sample_image(2))
    with pytest.raises(DataError, match="has no image 'p7'"):
        dataset.without(["p7"])
    with pytest.raises(DataError, match="none of the 3 images are left"):
        dataset.without(["p0", "p1", "p2"])


def test_several_sets_as_one(tmp_path):
    horses(tmp_path, ["horse001", "horse002"])
    folder = write_folder(tmp_path / "own", count=3, classes="classes: [background, dog]")
    names = ["horses", str(folder), "creatures"]
    parts = [
        data.load(name, "all" if name != "creatures" else "train", tmp_path, **options)
        for name, options in zip(names, ({}, {}, {"length": 4, "size": [40, 50]}), strict=True)
    ]
    dataset = data.load(f"horses+{folder}", "all", tmp_path)
    assert dataset.name == "horses+own" and dataset.classes == ("background", "horse or dog")
    assert dataset.palette.tolist() == parts[0].palette.tolist()
    for index, (part, i) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]):
        expected = parts[part][i]
        assert dataset.keys[index] == dataset[index]["key"] == f"{parts[part].name}/{expected['key']}"
        for what in ("image", "mask"):
            assert np.array_equal(dataset[index][what], expected[what])
    assert dataset.pixel_counts() == (np.add(parts[0].pixel_counts(), parts[1].pixel_counts())).tolist()
    assert dataset.without(["own/p1"]).keys == ["horses/horse001", "horses/horse002", "own/p0", "own/p2"]
    again = pickle.loads(pickle.dumps(dataset))
    assert np.array_equal(again[4]["image"], sample_image(2))
    with pytest.raises(IndexError):
        dataset[5]


def test_options_apply_to_the_synthetic_ones_of_several_sets(tmp_path):
    folder = write_folder(tmp_path / "own", count=3, classes="classes: [background, dog]")
    (folder / "train.txt").write_text("p0\np2\n")
    (folder / "val.txt").write_text("p1\n")
    dataset = data.load(f"{folder}+creatures", "train", length=4, size=[40, 50])
    assert len(dataset) == 6 and dataset[2]["image"].shape == (40, 50, 3)
    assert np.array_equal(dataset[5]["mask"], data.load("creatures", "train", length=4, size=[40, 50])[3]["mask"])


@pytest.mark.parametrize(
    "name, options, reason",
    [
        ("creatures+streets", {}, "creatures has 2 classes and streets 11: .*the same number"),
        ("creatures+creatures", {}, "names creatures twice; .*creatures\\*2"),
        ("creatures+", {}, "has no data set next to a '\\+'"),
        ("creatures+hors", {}, "'hors' is neither a data set"),
        ("horses+humans", {"length": 3}, "horses\\+humans takes no option 'length'; only creatures, streets do"),
    ],
)
def test_sets_that_do_not_go_together(name, options, reason, tmp_path):
    with pytest.raises(DataError, match=reason):
        data.load(name, root=tmp_path, **options)


def test_what_needs_one_data_set_does_not_take_several(tmp_path):
    with pytest.raises(DataError, match="horses\\+humans is several data sets; name one"):
        validation.check("horses+humans", tmp_path)


def test_cache_decodes_once_and_follows_changes(tmp_path):
    horses(tmp_path, ["horse001"])
    dataset = data.load("horses", "all", root=tmp_path)
    first = dataset[0]
    assert dataset[0]["image"] is first["image"] and dataset[0]["mask"] is first["mask"]
    with pytest.raises(ValueError, match="read-only"):
        first["image"][0, 0] = 0
    for part, array, name in (("image", 255 - sample_image(0), "horse"), ("mask", halves(1, 0), "mask")):
        file = save(tmp_path / f"weizmann_horse_db/{name}/horse001.png", array)
        os.utime(file, ns=(1, 1))  # a coarse clock could give both files the same time
        assert np.array_equal(dataset[0][part], array)
    file.unlink()
    with pytest.raises(DataError, match="horse001.png: no such file"):
        dataset[0]


def test_cache_is_bounded():
    size, cache, decoded = 1000, DecodedCache(3500), []

    def get(i):
        return cache.get(i, lambda: decoded.append(i) or (np.full(size, i, np.uint8),))[0]

    for i in range(6):
        assert get(i)[0] == i and cache.bytes <= cache.max_bytes
    assert [get(i)[0] for i in (5, 4, 3)] == [5, 4, 3] and decoded == [0, 1, 2, 3, 4, 5]
    get(0)  # drops 5, which was used longest ago
    assert get(4)[0] == 4 and get(5)[0] == 5 and decoded == [0, 1, 2, 3, 4, 5, 0, 5]
    small = DecodedCache(10)  # too small for one image: works, but caches nothing
    assert small.get(0, lambda: (np.zeros(size, np.uint8),))[0].size == size and small.bytes == 0


# --- Split lists -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, list_name, sizes",
    [
        ("horses", "default", (278, 49)),
        ("horses", "seed27", (278, 49)),
        ("horses", "first278", (278, 49)),
        ("humans", "default", (209, 37)),
    ],
)
def test_committed_lists_are_complete_disjoint_and_follow_their_rule(name, list_name, sizes):
    parts = {split: splits.read_list(name, list_name, split) for split in ("train", "val")}
    assert (len(parts["train"]), len(parts["val"])) == sizes
    keys = parts["train"] + parts["val"]
    assert len(set(keys)) == len(keys) == sum(sizes)
    others = {split: splits.read_list(name, list_name, split) for split in ("fit", "select") if list_name == "default"}
    assert data_sets.RULES[name][list_name](keys[::-1]) == parts | others
    if name == "horses":
        assert sorted(keys) == [f"horse{i:03d}" for i in range(1, 328)]


@pytest.mark.parametrize("name, sizes", [("horses", (236, 42)), ("humans", (169, 40)), ("camvid", (266, 101))])
def test_fit_and_select_are_a_partition_of_train(name, sizes):
    fit, select = (splits.read_list(name, "default", split) for split in ("fit", "select"))
    assert (len(set(fit)), len(set(select))) == (len(fit), len(select)) == sizes and not set(fit) & set(select)
    if name == "camvid":
        assert {key[:6] for key in select} == {"0006R0"} and {key[:6] for key in fit} == {"0001TP", "0016E5"}
    else:
        assert set(fit) | set(select) == set(splits.read_list(name, "default", "train"))


@pytest.mark.parametrize("name", known.REPEATED)
def test_select_divides_no_near_duplicates(name):
    select = set(splits.read_list(name, "default", "select"))
    fit = set(splits.read_list(name, "default", "fit"))
    # Found by visual inspection: the same person, or the same place from the same viewpoint.
    alike = {"humans": [("148", "149"), ("157", "177"), ("152", "186"), ("153", "242")], "horses": []}[name]
    for a, b in known.REPEATED[name] + alike:
        assert not ({a, b} & fit and {a, b} & select)
    if name == "humans":  # 242 looks like 241, which is in val
        assert "242" in fit


def test_fit_and_select_of_a_set_that_comes_split(tmp_path, monkeypatch):
    camvid(tmp_path, train=["a", "b", "c"], val=["d"])
    monkeypatch.setattr(splits, "LISTS", tmp_path / "lists")
    for split, keys in (("fit", "c\na\n"), ("select", "b\n")):
        (tmp_path / "lists/camvid/default").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"lists/camvid/default/{split}.txt").write_text(keys)
    loaded = {split: data.load("camvid", split, tmp_path).keys for split in ("train", "val", "fit", "select")}
    assert loaded == {"train": ["a", "b", "c"], "val": ["d"], "fit": ["c", "a"], "select": ["b"]}
    (tmp_path / "CamVid/train/b.png").unlink()
    with pytest.raises(DataError, match="1 of the 1 images of split 'select' are missing, for example b"):
        data.load("camvid", "select", tmp_path)


@pytest.mark.parametrize("count", range(12))
def test_divide(count):
    keys = [f"k{i}" for i in range(count)]
    parts = splits.divide(keys)
    assert sorted(parts["train"] + parts["val"]) == sorted(keys)
    assert parts == splits.divide(keys[::-1]) and (count < 2 or (parts["train"] and parts["val"]))


def test_divide_does_not_depend_on_order_even_of_equal_numbers():
    assert splits.divide(["1", "01", "001", "2"]) == splits.divide(["001", "2", "01", "1"])


def test_synthetic_sets_need_no_lists():
    for name in data.generated_sets():
        with pytest.raises(DataError, match=f"^{name} is generated.*needs no split lists.$"):
            data.source(name)


def test_lists_are_written_as_read(tmp_path, monkeypatch):
    keys = splits.read_list("humans", "default", "train") + splits.read_list("humans", "default", "val")
    committed = {f.relative_to(splits.LISTS): f.read_bytes() for f in (splits.LISTS / "humans").rglob("*.txt")}
    monkeypatch.setattr(splits, "LISTS", tmp_path)
    written = data_sets.write_lists("humans", keys)
    assert {f.relative_to(tmp_path): f.read_bytes() for f in written} == committed


# --- A folder of your own --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [(0, 1), (0, 255)])
def test_folder_without_classes_is_binary(tmp_path, values):
    dataset = data.load(str(write_folder(tmp_path / "set", values=values)), "all")
    assert dataset.classes == ("background", "object") and np.array_equal(dataset[0]["mask"], halves(0, 1))


def test_check_suggests_classes_from_the_values_of_the_masks(tmp_path):
    write_folder(tmp_path, values=(0, 3))
    with pytest.raises(DataError, match=r"p0.png: has values other .*names the classes; `seglib data check"):
        data.load(str(tmp_path), "all")[0]
    suggestion = validation.check(str(tmp_path), progress=False).suggestion
    assert "0 (50.0%), 3 (50.0%)" in suggestion and suggestion.endswith("classes:\n  0: background\n  3: class3")


def test_the_suggested_classes_file_works(tmp_path):
    def suggested(path: Path) -> str:
        return validation.check(str(path), progress=False).suggestion.partition(":\n")[2]

    for values, labels in (((0, 3), (0, 1)), ((3, 255), (1, 255))):
        path = write_folder(tmp_path / f"{values[1]}", values=values)
        save(path / "masks/p1.png", halves(0, 3))
        (path / "classes.yaml").write_text(suggested(path))
        assert np.array_equal(data.load(str(path), "all")[0]["mask"], halves(*labels))
    path = write_folder(tmp_path / "painted")
    for file in (path / "masks").iterdir():
        save(file, np.array([(0, 0, 0), (0, 200, 0), (9, 9, 9)])[halves(1, 2)])
    (path / "classes.yaml").write_text(suggested(path))
    assert set(np.unique(data.load(str(path), "all")[0]["mask"])) == {0, 1}


def test_jpeg_masks_are_refused_with_the_reason(tmp_path):
    write_folder(tmp_path, count=1)
    (tmp_path / "masks/p0.png").unlink()
    save(tmp_path / "masks/p0.jpg", np.arange(600).reshape(20, 30) % 200)
    with pytest.raises(DataError, match="p0.jpg: .*JPEG blurs labels"):
        data.load(str(tmp_path), "all")[0]


def test_jpeg_masks_in_colors_are_refused_with_the_reason(tmp_path):
    write_folder(tmp_path, count=1, classes="classes: [a, b]\ncolors: [[0, 0, 0], [220, 20, 60]]")
    (tmp_path / "masks/p0.png").unlink()
    painted = np.array([(0, 0, 0), (220, 20, 60)], np.uint8)[halves(0, 1)]
    save(tmp_path / "masks/p0.jpg", painted)
    with pytest.raises(DataError, match=r"p0.jpg: .*belongs to no class .*save masks as PNG") as excinfo:
        data.load(str(tmp_path), "all")[0]
    assert "add it to the classes file" not in str(excinfo.value)
    save(tmp_path / "masks/p0.png", painted)
    (tmp_path / "masks/p0.jpg").unlink()
    assert np.array_equal(data.load(str(tmp_path), "all")[0]["mask"], halves(0, 1))


def test_folder_with_ids(tmp_path):
    write_folder(tmp_path, values=(2, 9), classes="classes: [sky, tree, road]\nignore: 9\n")
    dataset = data.load(str(tmp_path), "all")
    assert dataset.classes == ("sky", "tree", "road") and np.array_equal(dataset[0]["mask"], halves(2, 255))
    assert len(np.unique(dataset.palette, axis=0)) == 3
    (tmp_path / "classes.yaml").write_text("classes: [sky, tree, road]")
    with pytest.raises(DataError, match="unknown label 9"):
        data.load(str(tmp_path), "all")[0]


@pytest.mark.parametrize("palette", [False, True])
def test_folder_with_colors(tmp_path, palette):
    colours = np.array([(255, 255, 255), (0, 0, 0), (200, 10, 10)], np.uint8)
    text = "classes: [paper, ink]\ncolors:\n  - [255, 255, 255]\n  - [0, 0, 0]\nignore: [200, 10, 10]\n"
    write_folder(tmp_path, count=3, classes=text)
    expected = [halves(0, 1), halves(1, 1), halves(2, 0)]
    for i, labels in enumerate(expected):  # the second is all black, the first only black and white
        image = Image.fromarray(colours[labels])
        (image.quantize(3, dither=Image.Dither.NONE) if palette else image).save(tmp_path / f"masks/p{i}.png")
    dataset = data.load(str(tmp_path), "all")
    for item, labels in zip(dataset, expected, strict=True):
        assert np.array_equal(item["mask"], np.where(labels == 2, 255, labels))
    assert dataset.palette.tolist() == [[255, 255, 255], [0, 0, 0]]


WRONG_CLASSES = {
    "": "list 'classes'",
    "[a, b]": "list 'classes'",
    "classes: [a": "not readable as YAML",
    "classes: a": "2 to 255 names",
    "classes: [a]": "2 to 255 names",
    "classes: [a, 2]": "2 is not a name",
    "classes: [no, yes]": "False is not a name; put it in quotes",
    "classes: [a, a]": "'a' is listed twice",
    "classes: [a, b]\ncolours: []": "unknown entry 'colours'",
    "classes: [a, b]\ncolors: red": "one for each of the 2 classes",
    "classes: [a, b]\ncolors: [[0, 0, 0]]": "one for each of the 2 classes, not 1",
    "classes: [a, b]\ncolors: [[0, 0, 0], [0, 0]]": "[0, 0] is not [red, green, blue]",
    "classes: [a, b]\ncolors: [[0, 0, 0], [0, 0, 256]]": "is not [red, green, blue]",
    "classes: [a, b]\ncolors: [[0, 0, 0], [0, 0, true]]": "is not [red, green, blue]",
    "classes: [a, b]\ncolors: [[0, 0, 0], [0, 0, 0]]": "given to two classes",
    'classes: [a, "b\\e[31m"]': "some that cannot be printed",
    "classes: [a, b]\nignore: 1": "the id 1 is ignored and also",
    "classes: [a, b]\nignore: 300": "0 to 255",
    "classes: [a, b]\nignore: [0, 0, 0]": "the id 0 is ignored and also",
    "classes: [a, b]\ncolors: [[0, 0, 0], [0, 0, 1]]\nignore: 255": "must be a color",
    "classes: [a, b]\ncolors: [[0, 0, 0], [0, 0, 1]]\nignore: [0, 0, 1]": "is ignored and also",
    "binary: {above: 200}\nignore: [127]": "without 'colors' and pixels to ignore",
    "binary: {above: 200}\nclasses: {0: background, 127: ignore, 255: leaf}": "without 'colors' and pixels to ignore",
}


@pytest.mark.parametrize("text, reason", WRONG_CLASSES.items())
def test_a_wrong_classes_file_is_refused_in_one_sentence(tmp_path, text, reason):
    write_folder(tmp_path, classes=text)
    with pytest.raises(DataError) as excinfo:
        data.load(str(tmp_path))
    assert reason in str(excinfo.value) and "classes.yaml" in str(excinfo.value) and "\n" not in str(excinfo.value)


def test_folder_split_by_ratio(tmp_path):
    write_folder(tmp_path, count=20)
    parts = [data.load(str(tmp_path), split).keys for split in ("train", "val")]
    assert [len(part) for part in parts] == [17, 3] and len(set(parts[0] + parts[1])) == 20


def test_folder_split_by_lists(tmp_path):
    write_folder(tmp_path, count=5)
    (tmp_path / "train.txt").write_text("p3\np0.png\n\n")
    (tmp_path / "val.txt").write_text("p1\n", encoding="utf-8-sig")  # as Windows writes it
    assert data.load(str(tmp_path), "train").keys == ["p0", "p3"] and data.load(str(tmp_path), "val").keys == ["p1"]
    assert len(data.load(str(tmp_path), "all")) == 5
    with pytest.raises(DataError, match="no split 'test'"):
        data.load(str(tmp_path), "test")
    for text, reason in (("p9\n", "val.txt: there is no image 'p9'"), ("p3\n", "'p3' is listed twice")):
        (tmp_path / "val.txt").write_text(text)
        with pytest.raises(DataError, match=reason):
            data.load(str(tmp_path), "train")


def test_a_list_in_another_encoding_is_named(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "train.txt").write_bytes("p0\nBär\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"train.txt: not UTF-8 text"):
        data.load(str(tmp_path), "train")


def test_a_classes_file_that_would_be_overlooked_is_refused(tmp_path):
    write_folder(tmp_path, classes="classes: [a, b]")
    (tmp_path / "classes.yaml").rename(tmp_path / "classes.yml")
    with pytest.raises(DataError, match=r"classes.yml: .*rename it to classes.yaml"):
        data.load(str(tmp_path))
    (tmp_path / "classes.yaml").mkdir()
    with pytest.raises(DataError, match=r"classes.yaml: not a file"):
        data.load(str(tmp_path))


def test_folder_split_by_subfolders(tmp_path):
    for i, split in enumerate(("train", "val")):
        save(tmp_path / f"images/{split}/1.png", sample_image(i))
        save(tmp_path / f"masks/{split}/1.png", halves(0, 1))
    assert data.load(str(tmp_path), "val").keys == ["val/1"]
    assert data.load(str(tmp_path), "all").keys == ["train/1", "val/1"]


@pytest.mark.parametrize("missing", ["images", "masks"])
def test_folder_without_its_folders(tmp_path, missing):
    write_folder(tmp_path)
    (tmp_path / missing).rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="no images with masks were recognized; images are in: .*elsewhere"):
        data.load(str(tmp_path))


# --- Checking --------------------------------------------------------------------------------------------------------


def test_check_counts_everything(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)  # elsewhere there is no bar
    write_folder(tmp_path / "set", count=20, values=(0, 2), classes="classes: [a, b, c]")
    save(tmp_path / "set/images/p0.png", sample_image(0, 40, 60))
    report = validation.check(str(tmp_path / "set"))
    assert report.ok and report.images == {"train": 17, "val": 3} and "20/20" in capsys.readouterr().err
    assert report.pixels == [19 * 300 + 1200, 0, 19 * 300 + 1200] and report.ignored == 0
    assert report.sizes == {"smallest": (30, 20), "median": (30, 20), "largest": (60, 40)}
    text = report.text()
    assert "50.000%" in text and "30x20" in text and "17 train, 3 val" in text
    assert json.loads(json.dumps(asdict(report)))["ignored"] == 0


def test_check_reports_every_fault_with_its_file(tmp_path):
    write_folder(tmp_path, count=8)
    (tmp_path / "masks/p0.png").unlink()
    save(tmp_path / "masks/p1.png", halves(0, 5))
    (tmp_path / "images/p2.png").write_bytes((tmp_path / "images/p2.png").read_bytes()[:60])
    (tmp_path / "masks/p3.png").write_text("no image")
    save(tmp_path / "masks/p4.png", halves(0, 1, 20, 90))
    save(tmp_path / "masks/alone.png", halves(0, 1))
    report = validation.check(str(tmp_path), progress=False)
    assert not report.ok and len(report.faults) == 5 and sum(report.images.values()) == 8
    for i in range(5):
        assert any(f"p{i}.png" in fault for fault in report.faults)
    assert sum(report.pixels) == 3 * 600
    assert len(report.notices) == 1 and "alone.png: a mask without an image" in report.notices[0]


def test_check_reports_equal_and_similar_images_in_two_splits(tmp_path):
    for i, split in enumerate(("train", "val")):
        for j in range(3):
            save(tmp_path / f"images/{split}/{j}.png", sample_image(10 * i + j))
            save(tmp_path / f"masks/{split}/{j}.png", halves(0, 1))
    save(tmp_path / "images/val/1.png", sample_image(0))
    save(tmp_path / "images/val/2.png", np.clip(sample_image(2).astype(int) + 3, 0, 255))
    save(tmp_path / "images/train/1.png", sample_image(2))
    report = validation.check(str(tmp_path), progress=False)
    assert report.duplicates == [("train/0", "val/1")] and not report.ok
    assert ("train/2", "val/2") in report.suspects and ("train/0", "val/1") not in report.suspects
    assert report.notices == ["train/1 and train/2 are the same image"]


def test_check_reports_incomplete_lists(tmp_path):
    horses(tmp_path, ["horse001", "horse002", "extra"])
    report = validation.check("horses", tmp_path, progress=False)
    assert len(report.faults) == 325 and "in the split list" in report.faults[0]
    assert report.images["unlisted"] == 1 and not any(report.released.values())


def test_check_says_that_a_split_for_training_is_missing(tmp_path, capsys):
    write_folder(tmp_path, count=5)
    assert validation.check(str(tmp_path)).notices == []
    assert capsys.readouterr().err == ""  # no bar where no terminal shows it
    (tmp_path / "train.txt").write_text("p3\np0\n")
    report = validation.check(str(tmp_path), progress=False)
    assert report.ok and len(report.notices) == 1
    assert "no split 'val'" in report.notices[0] and "docs/data_formats.md" in report.notices[0]
    camvid(tmp_path, test=["a"])
    notices = validation.check("camvid", tmp_path, progress=False).notices
    assert [notice.split(",")[0] for notice in notices[-2:]] == ["no split 'train'", "no split 'val'"]
    assert all("complete the data set" in notice for notice in notices[-2:])


def test_check_names_classes_without_a_pixel(tmp_path):
    write_folder(tmp_path, count=3)
    (tmp_path / "classes.yaml").write_text("classes: [ground, cat, dog]\n")
    warnings = validation.check(str(tmp_path), progress=False).warnings
    assert warnings == ["no pixel of the class dog; if this is unexpected, check the masks"]


def test_a_palette_that_shows_the_object_in_black_is_not_guessed_at(tmp_path):
    write_folder(tmp_path, count=2)
    mask = Image.fromarray(halves(0, 1))
    mask.putpalette(bytes([255, 255, 255, 0, 0, 0]))
    mask.save(tmp_path / "masks/p0.png")
    with pytest.raises(DataError, match=r"p0.png: the value 0 is shown as \(255, 255, 255\) and 1 as black"):
        data.load(str(tmp_path), "all")[0]
    (tmp_path / "classes.yaml").write_text("classes: [a, b]\ncolors: [[0, 0, 0], [255, 255, 255]]\n")
    assert (data.load(str(tmp_path), "all")[0]["mask"] == halves(1, 0)).all()
    (tmp_path / "classes.yaml").unlink()
    mask.putpalette(bytes([0, 0, 0, 200, 0, 0]))  # as results of `predict` are
    mask.save(tmp_path / "masks/p0.png")
    assert (data.load(str(tmp_path), "all")[0]["mask"] == halves(0, 1)).all()


def test_masks_of_many_values_get_no_list_of_classes(tmp_path):
    write_folder(tmp_path, count=2)
    save(tmp_path / "masks/p0.png", np.arange(600, dtype=np.uint8).reshape(20, 30))
    report = validation.check(str(tmp_path), progress=False)
    assert len(report.faults) == 1 and report.suggestion.endswith("with one class per pixel.")
    mask = 255 * halves(0, 1, 40, 60)
    mask[3, 3], mask[4, 4] = 7, 9
    for i in range(2):
        save(tmp_path / f"masks/p{i}.png", mask)
    report = validation.check(str(tmp_path), progress=False)
    assert report.suggestion.endswith("background 50.0%, object 50.0%:\nbinary: {above: 127}")


def test_a_mask_is_rotated_as_its_header_says(tmp_path):
    write_folder(tmp_path, count=2)
    turned = Image.Exif()
    turned[274] = 3
    Image.fromarray(halves(0, 1)).save(tmp_path / "masks/p0.png", exif=turned)
    assert (data.load(str(tmp_path), "all")[0]["mask"] == halves(1, 0)).all()


def test_values_under_transparent_parts_of_a_mask_are_refused(tmp_path):
    write_folder(tmp_path, count=2)
    white = np.full((20, 30, 4), 255, np.uint8)
    white[:, :15, 3] = 0
    Image.fromarray(white).save(tmp_path / "masks/p0.png")
    with pytest.raises(DataError, match="p0.png: the mask has transparent parts with values other than 0"):
        data.load(str(tmp_path), "all")[0]
    white[:, :15] = 0
    Image.fromarray(white).save(tmp_path / "masks/p0.png")
    assert (data.load(str(tmp_path), "all")[0]["mask"] == halves(0, 1)).all()
    white[:, 15:, 3] = 0  # all of it, which has no meaning
    Image.fromarray(white).save(tmp_path / "masks/p0.png")
    assert (data.load(str(tmp_path), "all")[0]["mask"] == halves(0, 1)).all()


def test_names_are_matched_in_either_spelling_of_their_accents(tmp_path):
    write_folder(tmp_path, count=2)
    composed, apart = "ch\u00e9vre", "che\u0301vre"
    save(tmp_path / f"images/{apart}.png", sample_image(7))
    save(tmp_path / f"masks/{composed}.png", halves(0, 1))
    (tmp_path / "train.txt").write_text(f"{apart}\n", encoding="utf-8")
    (tmp_path / "val.txt").write_text("p0\n")
    assert data.load(str(tmp_path), "train").keys == [composed]
    report = validation.check(str(tmp_path), progress=False)
    assert report.ok and not any("without an image" in notice for notice in report.notices)


@pytest.mark.parametrize("name", list(data.generated_sets()))
def test_check_generates_samples(name, monkeypatch):
    monkeypatch.setattr(validation, "GENERATED_SAMPLES", 2)
    report = validation.check(name, progress=False)
    assert report.ok and report.images == {"train": 2, "val": 2, "test": 2} and min(report.pixels[:2]) > 0


def test_listing(tmp_path):
    camvid(tmp_path, train=["a", "b"], val=["c"])
    text = validation.listing(tmp_path)
    lines = {line.split()[0]: line for line in text.splitlines() if line}
    assert set(data.names()) <= set(lines)
    assert "2 train, 1 val" in lines["camvid"] and "11 classes" in lines["camvid"]
    assert "not here" in lines["horses"] and "generated" in lines["streets"]


# --- Content digests and downloads -----------------------------------------------------------------------------------


def test_content_digest_depends_on_pixels_labels_and_keys_only(tmp_path):
    source = known.SOURCES["camvid"]

    def digest(name: str) -> str:
        return digests.content_digest(source, source.find(tmp_path / name))

    for name in ("a", "b", "pixel", "label", "key"):
        camvid(tmp_path / name, train=["x", "y" if name != "key" else "z"])
    Image.fromarray(sample_image(0)).save(tmp_path / "b/CamVid/train/x.png", compress_level=0)
    changed = sample_image(1)
    changed[0, 0, 0] ^= 1
    save(tmp_path / "pixel/CamVid/train/y.png", changed)
    save(tmp_path / "label/CamVid/trainannot/y.png", halves(3, 11))
    values = {name: digest(name) for name in ("a", "b", "pixel", "label", "key")}
    assert values["a"] == values["b"] and len(set(values.values())) == 4
    pairs = source.find(tmp_path / "a")
    assert digests.content_digest(source, pairs[::-1]) == values["a"]


@pytest.fixture
def published(tmp_path, monkeypatch) -> Path:
    """A small CamVid archive that `fetch` copies, and the digests of its content."""
    source = camvid(tmp_path / "made/Repo-main", train=["a", "b"], val=["c"]).parent
    monkeypatch.setattr(digests, "DIGESTS", tmp_path / "digests.json")
    data_sets.write_digests(["camvid"], source / "Repo-main")

    def fetch(urls, sha256, target, progress=True):
        return Path(shutil.make_archive(str(target), "zip", source))

    monkeypatch.setattr(validation.downloading, "fetch", fetch)
    return source / "Repo-main"


def test_download_verifies_the_content(published, tmp_path):
    root = tmp_path / "root"
    assert validation.download("camvid", root) == root / "CamVid"
    assert validation.check("camvid", root, progress=False).released == {"train": True, "val": True}
    with pytest.raises(DataError, match="already exists"):
        validation.download("camvid", root)


def test_an_existing_set_is_not_explained_again(tmp_path):
    horses(tmp_path, ["horse001"])
    save(tmp_path / "leftImg8bit/val/ulm/ulm_1_leftImg8bit.png", sample_image(0))
    save(tmp_path / "gtFine/val/ulm/ulm_1_gtFine_labelIds.png", halves(7, 8))
    for name in ("horses", "cityscapes"):
        with pytest.raises(DataError, match=f"^{name} already exists in .*data check {name}") as excinfo:
            validation.download(name, tmp_path)
        assert "\n" not in str(excinfo.value)


@pytest.mark.parametrize("change", ["pixel", "missing"])
def test_download_refuses_changed_content(published, tmp_path, change):
    file = published / "CamVid/val/c.png"
    save(file, sample_image(99)) if change == "pixel" else file.unlink()
    with pytest.raises(DataError):
        validation.download("camvid", tmp_path / "root")
    assert os.listdir(tmp_path / "root") == []


def test_download_explains_the_manual_steps(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="gtFine_trainvaltest.zip"):
        validation.download("cityscapes", tmp_path)
    for name, part in (("creatures", "nothing to download"), ("mine", "choose one of: horses")):
        with pytest.raises(DataError, match=part):
            validation.download(name, tmp_path)

    def offline(*args):
        raise download.DownloadError("is this machine online?")

    monkeypatch.setattr(validation.downloading, "fetch", offline)
    for name, part in (("camvid", "ROOT/CamVid"), ("horses", "kaggle.com"), ("street_people", "pixel-level/0001.mat")):
        with pytest.raises(download.DownloadError, match=rf"(?s)online.*By hand:.*{part}"):
            validation.download(name, tmp_path)
    assert os.listdir(tmp_path) == []


# --- The real data ---------------------------------------------------------------------------------------------------


def real(root: Path, name: str):
    try:
        return data.load(name, "all", root=root)
    except DataError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    "name, parts",
    [
        ("horses", {"train": 278, "val": 49}),
        ("camvid", {"train": 367, "val": 101}),
        ("humans", {"train": 209, "val": 37}),
    ],
)
def test_real_data_passes_its_check(realdata, name, parts):
    real(realdata, name)
    report = validation.check(name, realdata, progress=False)
    assert report.ok, report.text()
    assert {split: report.images[split] for split in parts} == parts and all(report.released.values())
    assert all(report.pixels) and (report.ignored > 0) == (name == "camvid")
    assert name != "horses" or report.suspects == []


def test_known_duplicates_that_a_list_divides_are_reported(realdata):
    """The default list divides none: see above."""
    real(realdata, "horses")
    divided = [("train/horse075", "val/horse234"), ("train/horse193", "val/horse254")]
    assert sorted(validation.check("horses", realdata, list_name="seed27", progress=False).suspects) == divided
    other = validation.check("horses", realdata, list_name="first278", progress=False)
    divided = [("train/horse245", "val/horse313"), ("train/horse246", "val/horse294")]
    assert sorted(other.suspects + other.duplicates) == divided


@pytest.mark.parametrize("name", known.REPEATED)
def test_default_list_divides_no_known_duplicates(name):
    side = {key: split for split in ("train", "val") for key in splits.read_list(name, "default", split)}
    assert [pair for pair in known.REPEATED[name] if side[pair[0]] != side[pair[1]]] == []


def test_seed_of_the_horses_list_is_the_first_that_divides_no_repeated_image():
    keys = [f"horse{i:03d}" for i in range(1, 328)]

    def divides(keys, seed):
        parts = {split: set(part) for split, part in splits.divide(keys, seed=seed).items()}
        return any((a in parts["train"] and b in parts["val"]) or (b in parts["train"] and a in parts["val"])
                   for a, b in known.REPEATED["horses"])  # fmt: skip

    assert next(seed for seed in range(100) if not divides(keys, seed)) == 32
    train = splits.divide(keys, seed=32)["train"]
    assert next(seed for seed in range(100) if not divides(train, seed)) == 17


@pytest.mark.parametrize("name", ["horses", "humans"])
def test_the_command_reproduces_the_lists(realdata, name, tmp_path, monkeypatch):
    keys = real(realdata, name).keys
    listed = {key for split in ("train", "val") for key in splits.read_list(name, "default", split)}
    committed = {f.relative_to(splits.LISTS): f.read_bytes() for f in (splits.LISTS / name).rglob("*.txt")}
    monkeypatch.setattr(splits, "LISTS", tmp_path)
    written = data_sets.write_lists(name, [key for key in keys if key in listed])
    assert {f.relative_to(tmp_path): f.read_bytes() for f in written} == committed


def test_the_quirks_of_the_humans(realdata):
    dataset = real(realdata, "humans")
    other_size = grey = 0
    for pair in dataset.read.pairs:
        with Image.open(pair.image) as image, Image.open(pair.mask) as mask:
            other_size += image.size != mask.size
            grey += image.mode == "L"
    assert grey == 2 and other_size >= 164  # 198 of all 290
