"""Sets that are for training only, in both of their layouts, and how they are joined with others."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from course.datasets import known, validation
from seglib import data
from seglib.data import DataError, images, masks


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


def picture(number, height=20, width=30):
    rng = np.random.default_rng(number)
    return np.kron(rng.integers(0, 256, (10, 10, 3)), np.ones((height // 10, width // 10, 1))).astype(np.uint8)


def halves(left, right, height=20, width=30):
    mask = np.full((height, width), left, np.uint8)
    mask[:, width // 2 :] = right
    return mask


def street_people(root, count=2):
    for i in range(1, count + 1):
        save(root / f"street_people/images/{i:04d}.jpg", picture(i))
        save(root / f"street_people/masks/{i:04d}.png", halves(0, 255))
    return root


def humans(root, keys=("1", "2", "3")):
    for key in keys:
        save(root / f"Human-Segmentation-Dataset/Training_Images/{key}.jpg", picture(int(key)))
        save(root / f"Human-Segmentation-Dataset/Ground_Truth/{key}.png", halves(255, 0))
    return root


@pytest.fixture
def humans_lists(tmp_path, monkeypatch):
    for split, keys in (("train", "1\n2\n"), ("val", "3\n"), ("fit", "1\n"), ("select", "2\n")):
        file = tmp_path / f"lists/humans/default/{split}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(keys)
    monkeypatch.setattr(data.splits, "LISTS", tmp_path / "lists")
    return street_people(humans(tmp_path))


def test_street_people_with_ready_masks(tmp_path):
    loaded = data.load("street_people", "train", street_people(tmp_path))
    assert loaded.keys == ["0001", "0002"] and loaded.classes == known.SOURCES["humans"].classes
    assert np.array_equal(loaded[1]["mask"], halves(0, 1))


def test_street_people_as_published(tmp_path):
    for i in (1, 2, 3):  # the third has no labels for each pixel
        save(tmp_path / f"street_people/photos/{i:04d}.jpg", picture(i))
    for i in (1, 2):
        file = tmp_path / f"street_people/annotations/pixel-level/{i:04d}.mat"
        file.parent.mkdir(parents=True, exist_ok=True)
        savemat(file, {"groundtruth": halves(0, 58 + i - 1)})
    loaded = data.load("street_people", "train", tmp_path)
    assert loaded.keys == ["0001", "0002"]
    assert all(np.array_equal(item["mask"], halves(0, 1)) for item in loaded)
    assert loaded.pixel_counts() == [600, 600]
    notices = validation.check("street_people", tmp_path, progress=False).notices
    assert any("skipped files: 1 .jpg" in notice and "0003.jpg" in notice for notice in notices)


@pytest.mark.parametrize(
    "content, reason",
    [
        ({"groundtruth": halves(0, 1), "other": halves(0, 1)}, "must contain one array"),
        ({"groundtruth": np.zeros((2, 3, 4))}, "must contain one array"),
        ({"groundtruth": np.array([["a", "b"]], object)}, "must contain one array"),
        ({}, "must contain one array"),
        ({"groundtruth": halves(0, 1) + 0.5}, "whole numbers in 0..255"),
        ({"groundtruth": halves(0, 1) - 1.0}, "whole numbers in 0..255"),
        (b"not a MATLAB file", "not a MATLAB file that can be read"),
        (b"", "not a MATLAB file that can be read"),
        (None, "no such file"),
    ],
)
def test_damaged_matlab_masks_are_named(tmp_path, content, reason):
    file = tmp_path / "0001.mat"
    if isinstance(content, dict):
        savemat(file, content)
    elif content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=f"0001.mat: .*{reason}"):
        masks.read_mask(file)


def test_cut_matlab_masks_are_named(tmp_path):
    file = tmp_path / "0001.mat"
    savemat(file, {"groundtruth": halves(0, 3)}, do_compression=True)
    whole = file.read_bytes()
    for cut in range(0, len(whole), 7):
        file.write_bytes(whole[:cut])
        with pytest.raises(DataError, match="0001.mat: "):
            masks.read_mask(file)


def test_unknown_clothing_label_is_named(tmp_path):
    with pytest.raises(DataError, match="0001.mat: unknown label 60"):
        known.SOURCES["street_people"].decode(halves(0, 60), tmp_path / "0001.mat")


CLIP_LABELS = {"camel": 0, "parkour": 1, "kite-surf": data.IGNORE}


@pytest.mark.parametrize("published", [False, True])
def test_video_objects(tmp_path, published):
    for clip in (*CLIP_LABELS, "breakdance", "motocross-jump"):  # breakdance shows spectators
        for frame in ("00000", "00005", "00035", *(["00001"] if published else [])):  # each fifth frame is used
            place = f"{clip}/{frame}" if published else f"{clip}_{frame}"
            folders = ("JPEGImages/480p", "Annotations/480p") if published else ("images", "masks")
            save(tmp_path / f"video_objects/{folders[0]}/{place}.jpg", picture(1))
            save(tmp_path / f"video_objects/{folders[1]}/{place}.png", halves(0, 255))
    loaded = data.load("video_objects", "train", tmp_path)
    used = {(clip, frame) for clip in CLIP_LABELS for frame in ("00000", "00005", "00035")}
    used |= {("motocross-jump", "00000"), ("motocross-jump", "00005")}  # the last frame shows spectators
    assert sorted(loaded.keys) == sorted(f"{clip}_{frame}" for clip, frame in used)
    for item in loaded:
        clip = item["key"].rpartition("_")[0]
        assert np.array_equal(item["mask"], halves(0, CLIP_LABELS.get(clip, data.IGNORE)))
    notices = validation.check("video_objects", tmp_path, progress=False).notices
    skipped = [notice for notice in notices if not notice.endswith("are the same image")]
    assert len(skipped) == 1 and skipped[0].startswith(f"skipped files: {9 if published else 4} .jpg")
    assert loaded.classes == known.SOURCES["humans"].classes
    assert loaded.palette.tolist() == [list(colour) for colour in known.SOURCES["humans"].palette]


@pytest.mark.parametrize("split", ["val", "test", "select"])
def test_sets_for_training_have_no_other_split(tmp_path, split):
    with pytest.raises(DataError, match=f"street_people has no split '{split}' .*; choose 'all' or one of: train"):
        data.load("street_people", split, street_people(tmp_path))
    with pytest.raises(DataError, match=f"training only and has no split '{split}'; join it with a set that has one"):
        data.load("street_people*2+video_objects", split, tmp_path)


def test_check_does_not_ask_for_splits_that_a_set_never_has(tmp_path):
    report = validation.check("street_people", street_people(tmp_path), progress=False)
    assert report.ok and report.images == {"train": 2}
    assert not [notice for notice in report.notices if "no split" in notice]


def test_joined_sets_are_repeated_in_training_only(humans_lists):
    name = "humans*3+street_people"
    load = {split: data.load(name, split, humans_lists) for split in ("train", "val", "fit", "select", "all")}
    people = ["street_people/0001", "street_people/0002"]
    assert load["train"].keys == ["humans/1", "humans/2"] * 3 + people
    assert load["fit"].keys == ["humans/1"] * 3 + people
    assert load["val"].keys == ["humans/3"] and load["select"].keys == ["humans/2"]
    assert load["all"].keys == ["humans/1", "humans/2", "humans/3", *people]
    assert {part.classes for part in load.values()} == {("background", "human")}
    for index in range(8):
        item = load["train"][index]
        expected = halves(1, 0) if item["key"].startswith("humans") else halves(0, 1)
        number = int(item["key"].rpartition("/")[2])
        assert np.array_equal(item["mask"], expected), index
        assert np.abs(item["image"].astype(int) - picture(number)).mean() < 30, index  # JPEG changes pixels a little
    assert load["train"].pixel_counts() == [8 * 300, 8 * 300]


def test_repeated_images_are_decoded_once(humans_lists):
    loaded = data.load("humans*3", "train", humans_lists)
    assert len(loaded) == 6 and loaded[0]["image"] is loaded[2]["image"] is loaded[4]["image"]


@pytest.mark.parametrize(
    "name, reason",
    [
        ("humans*0", "'humans\\*0': '\\*' must be followed by a number from 1 to 99; write, for example, humans\\*3"),
        ("humans*100+street_people", "'humans\\*100': '\\*' must be followed"),
        ("humans*+street_people", "'humans\\*': '\\*' must be followed"),
        ("humans*-1", "must be followed"),
        ("humans*1.5", "must be followed"),
        ("3*humans", "'3\\*humans': '\\*' must be followed"),
        ("humans*2*2", "'humans\\*2\\*2': '\\*' must be followed"),
        ("*3", "has no data set next to a '\\+' or '\\*'"),
        ("+humans", "has no data set next to"),
        ("humans+humans*2", "names humans twice; name it once, and as humans\\*2 to repeat it"),
    ],
)
def test_joined_names_that_make_no_sense(name, reason, humans_lists):
    with pytest.raises(DataError, match=reason):
        data.load(name, "train", humans_lists)


def test_folders_may_have_a_star_or_a_plus_in_their_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("a*2", "b"):
        for i in range(3):
            save(tmp_path / f"{folder}/images/{i}.png", picture(i))
            save(tmp_path / f"{folder}/masks/{i}.png", halves(0, 1))
    assert len(data.load("a*2", "all")) == 3
    assert data.parse_joined_name("a*2+b*2") == {"a*2": 1, "b": 2}
    assert len(data.load("a*2+b", "all")) == 6


def test_pixels_are_counted_without_decoding_images(humans_lists, monkeypatch):
    decoded = []
    monkeypatch.setattr("seglib.data.dataset.read_image", lambda path: decoded.append(path))
    loaded = data.load("humans*2+street_people", "train", humans_lists).without(["street_people/0001"])
    assert loaded.pixel_counts() == [5 * 300, 5 * 300] and decoded == []


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_size_without_decoding_is_that_of_the_decoded_image(tmp_path, orientation):
    exif = Image.Exif()
    exif[images.ORIENTATION] = orientation
    file = tmp_path / "image.jpg"
    Image.fromarray(picture(1)).save(file, exif=exif)
    assert images.read_size(file) == images.read_image(file).shape[:2]
    file.write_bytes(file.read_bytes()[:10])
    with pytest.raises(DataError, match="image.jpg"):
        images.read_size(file)


def test_masks_of_another_size_are_counted_at_the_size_of_their_image(tmp_path):
    save(tmp_path / "own/images/a.png", picture(1))
    save(tmp_path / "own/masks/a.png", halves(0, 1, 40, 60))
    assert data.load(str(tmp_path / "own"), "all").pixel_counts() == [300, 300]


def test_the_real_sets_for_training(realdata):
    for name, count in (("street_people", 1004), ("video_objects", 168)):
        try:
            loaded = data.load(name, "train", realdata)
        except DataError:
            pytest.skip(f"no {name} in {realdata}")
        assert len(loaded) == count and all(loaded.pixel_counts())
