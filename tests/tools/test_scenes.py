"""The table of scores by scene."""

import numpy as np

from tools import scenes


def test_a_scene_by_hand():
    """Two squares of 900 and 100 pixels and one of 4, which is too small, on an image of two gray values."""
    mask = np.zeros((100, 200), np.uint8)
    mask[10:40, 10:40] = mask[60:70, 100:110] = mask[90:92, 190:192] = 1
    image = np.where(mask, 255, 0).astype(np.uint8)[..., None].repeat(3, 2)
    scene = scenes.describe_scene(image=image, mask=mask, key="a")
    assert scene["figures"] == 2
    assert scene["size of the people in the image"] == 1004 / 20000
    assert abs(scene["brightness of the image"] - 255 * 1004 / 20000) < 0.1
    assert abs(scene["contrast at the outline"] - 255) < 1


def test_groups_are_thirds_of_each_property_and_numbers_of_figures():
    values = [3, 1, 2, 6, 5, 4]
    described = [{"size": v, "light": -v, "figures": 1 + (v == 6)} for v in values]
    groups = scenes.group_by_scene(described)
    assert groups["all"] == [0, 1, 2, 3, 4, 5]
    assert groups["size: low"] == [1, 2] and groups["size: high"] == [4, 3]
    assert groups["light: low"] == [3, 4] and groups["light: high"] == [2, 1]
    assert groups["one figure"] == [0, 1, 2, 4, 5] and groups["several separate figures"] == [3]


def test_the_table_replaces_the_former_one(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{scenes.BEGIN}old\n{scenes.END}\nafter\n")
    monkeypatch.setattr(scenes, "PAGE", page)
    monkeypatch.setattr(scenes, "table", lambda names, root: f"| {names[0]} |")
    for _ in range(2):
        assert scenes.write(["a"], "data") == "| a |"
        assert page.read_text() == f"before\n{scenes.BEGIN}\n| a |\n\n{scenes.END}\nafter\n"
