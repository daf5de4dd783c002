"""Small exports of annotation tools, in every format that is imported: see test_importers.py."""

import base64
import io
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.data.forms import COLORS, HEIGHT, SPLIT_COUNTS, WIDTH, box, corners, image, labels, numbers, save, write


def coco(root: Path, change: Callable[[dict], object] = lambda content: None) -> None:
    for split in SPLIT_COUNTS:
        content = {"images": [], "annotations": [], "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]}
        for i, part in numbers():
            if part == split:
                save(root / f"{split}2017/p{i}.png", image(i))
                content["images"].append({"id": 50 + i, "file_name": f"p{i}.png", "height": HEIGHT, "width": WIDTH})
                content["annotations"] += [coco_polygon(i, "dog", 7), coco_runs(i, "cat", 3)]
        change(content)
        write(root / f"annotations/instances_{split}2017.json", content)


def coco_polygon(number: int, name: str, category: int) -> dict:
    points = np.ravel(corners(name, number)).tolist()
    return {"id": number * 2, "image_id": 50 + number, "category_id": category, "segmentation": [points], "iscrowd": 0}


def coco_runs(number: int, name: str, category: int, crowd: int = 1) -> dict:
    left, top, right, bottom = box(name, number)
    column = [HEIGHT - (bottom - top), bottom - top]
    counts = [left * HEIGHT + top, bottom - top, *column * (right - left - 1), HEIGHT - bottom]
    counts[-1] += (WIDTH - right) * HEIGHT
    runs = {"size": [HEIGHT, WIDTH], "counts": counts}
    common = {"id": number * 2 + 1, "image_id": 50 + number, "category_id": category}
    return common | {"segmentation": runs, "iscrowd": crowd}


def labelme(root: Path, change: Callable[[dict], object] = lambda content: None) -> None:
    for i, split in numbers():
        save(root / f"{split}/p{i}.png", image(i))
        left, top, right, bottom = box("dog", i)
        buffer = io.BytesIO()
        Image.new("1", (right - left, bottom - top), 1).save(buffer, "PNG")
        bitmap = {"mask": base64.b64encode(buffer.getvalue()).decode(), "shape_type": "mask"}
        shapes = [
            {"label": "cat", "points": [list(box("cat", i)[:2]), list(box("cat", i)[2:])], "shape_type": "rectangle"},
            {"label": "dog", "points": [[left, top], [right - 1, bottom - 1]], **bitmap},
            {"label": "dog", "points": corners("dog", i), "shape_type": "polygon"},
        ]
        content = {"imagePath": f"..\\{split}\\p{i}.png", "imageHeight": HEIGHT, "imageWidth": WIDTH, "shapes": shapes}
        change(content)
        write(root / f"{split}/p{i}.json", content)


def supervisely(root: Path, change: Callable[[dict], object] = lambda content: None) -> None:
    write(root / "meta.json", {"classes": [{"title": "cat", "shape": "polygon"}, {"title": "dog", "shape": "bitmap"}]})
    for i, split in numbers():
        save(root / f"{split}/img/p{i}.png", image(i))
        left, top, right, bottom = box("dog", i)
        buffer = io.BytesIO()
        Image.new("1", (right - left, bottom - top), 1).save(buffer, "PNG")
        data = base64.b64encode(zlib.compress(buffer.getvalue())).decode()
        points = {"exterior": corners("cat", i), "interior": []}
        objects = [
            {"classTitle": "cat", "geometryType": "polygon", "points": points},
            {"classTitle": "dog", "geometryType": "bitmap", "bitmap": {"data": data, "origin": [left, top]}},
        ]
        content = {"size": {"height": HEIGHT, "width": WIDTH}, "objects": objects}
        change(content)
        write(root / f"{split}/ann/p{i}.png.json", content)


def yolo(root: Path, change: Callable[[list], object] = lambda lines: None) -> None:
    write(root / "data.yaml", "train: images/train\nval: images/val\nnames:\n  0: dog\n  1: cat\n")
    for i, split in numbers():
        save(root / f"images/{split}/p{i}.png", image(i))
        lines = []
        for key, name in enumerate(("dog", "cat")):
            shares = (np.array(corners(name, i)) / (WIDTH, HEIGHT)).ravel()
            lines.append(f"{key} " + " ".join(f"{share:.8f}" for share in shares))
        change(lines)
        write(root / f"labels/{split}/p{i}.txt", "\n".join(lines) + "\n")


VOC_PALETTE = [sum((i >> (3 * bit + c) & 1) << (7 - bit) for bit in range(3)) for i in range(256) for c in range(3)]


def voc(root: Path, palette: list[int] = VOC_PALETTE) -> None:
    ids = np.array([0, 8, 12], np.uint8)  # cat and dog among the 21 classes
    for i, split in numbers():
        save(root / f"VOC2012/JPEGImages/p{i}.png", image(i))
        values = ids[labels(i)]
        values[0] = 255
        mask = Image.fromarray(values)
        mask.putpalette(palette)
        save(root / f"VOC2012/SegmentationClass/p{i}.png", mask)
        file = root / f"VOC2012/ImageSets/Segmentation/{split}.txt"
        write(file, (file.read_text() if file.is_file() else "") + f"p{i}\n")


def cvat(root: Path, table: str = "dog:0,0,142::\nbackground:0,0,0::\ncat:220,20,60::\n") -> None:
    write(root / "labelmap.txt", "# label:color_rgb:parts:actions\n" + table)
    for i, _ in numbers():
        save(root / f"JPEGImages/p{i}.png", image(i))
        save(root / f"SegmentationClass/p{i}.png", COLORS[labels(i)])
        save(root / f"SegmentationObject/p{i}.png", COLORS[labels(i)])


def roboflow(root: Path, table: str = " 0, background\n 1, cat\n 2, dog\n") -> None:
    for i, split in numbers():
        split = "valid" if split == "val" else split
        save(root / f"{split}/p{i}_png.rf.1a2b.png", image(i))
        save(root / f"{split}/p{i}_png.rf.1a2b_mask.png", labels(i))
        write(root / f"{split}/_classes.csv", "Pixel Value, Class\n" + table)


def class_dict(root: Path, table: str = "Void,0,0,0\ncat,220,20,60\ndog,0,0,142\n") -> None:
    write(root / "class_dict.csv", "name,r,g,b\n" + table.replace("Void", "background"))
    for i, split in numbers():
        save(root / f"{split}/p{i}.png", image(i))
        save(root / f"{split}_labels/p{i}_L.png", COLORS[labels(i)])


IMPORTS = {
    "coco": coco,
    "labelme": labelme,
    "supervisely": supervisely,
    "yolo": yolo,
    "voc": voc,
    "cvat": cvat,
    "roboflow": roboflow,
    "class_dict": class_dict,
}
