"""The small data sets that notebooks 08 and 10 write."""

import numpy as np

from course import annotations, importers
from seglib import data


def test_labelme_files_give_the_masks_back_when_they_are_imported(tmp_path):
    creatures = data.load("creatures", "train", length=6, size=[96, 128])
    files = annotations.write_labelme(tmp_path / "annotated", creatures, {"train": [0, 2], "val": [5]})
    assert [file.relative_to(tmp_path / "annotated").parts[0] for file in files] == ["train", "train", "val"]
    report = importers.import_annotations(tmp_path / "annotated", tmp_path / "set", progress=False)
    assert report.ok and report.images == {"train": 2, "val": 1}
    for split, indices in (("train", [0, 2]), ("val", [5])):
        imported = data.load(str(tmp_path / "set"), split)
        for place, index in enumerate(indices):
            item = imported[place]
            np.testing.assert_array_equal(item["image"], creatures[index]["image"])
            mask, expected = item["mask"] == 1, creatures[index]["mask"] == 1
            assert (mask & expected).sum() > 0.9 * (mask | expected).sum()


def test_pairs_are_written_at_the_size_that_was_chosen(tmp_path):
    creatures = data.load("creatures", "train", length=4, size=[96, 128])
    annotations.write_pairs(tmp_path, {"train": (creatures, [1]), "val": (creatures, [3])}, longest_side=64)
    for split, index in (("train", 1), ("val", 3)):
        item = data.load(str(tmp_path), split)[0]
        assert item["image"].shape == (48, 64, 3)
        assert set(np.unique(item["mask"])) == {0, 1}
        share = (creatures[index]["mask"] == 1).mean()
        assert abs((item["mask"] == 1).mean() - share) < 0.02


def test_spaced_indices_are_different_and_in_range():
    assert annotations.spaced(4, 12) == [0, 3, 6, 9]
    assert annotations.spaced(20, 40) == list(range(0, 40, 2))
