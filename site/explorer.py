"""What released networks make of drawn pictures: truth, prediction and errors, for the results explorer.

Drawn ones, because the photographs of the data sets belong to others and may not be shown here one by one.
"""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
from examples import jpeg
from PIL import Image
from staging import Stage

from seglib import data, visualize, weights
from seglib.inference import Predictor
from seglib.metrics import Counts

# Which drawn set asks a network for the same thing as its own data set; none is drawn of people.
DRAWN = {"horses": "creatures", "camvid": "streets"}
COUNT, SIZE = 16, (288, 384)
FOLDER = "_static/explorer"


def write(stage: Stage, cache: Path) -> None:
    """Put pictures, truths, predictions and error maps on the stage, and `explorer.json`, which lists them."""
    listed = []
    for name in weights.names():
        card = weights.card(name)
        drawn = DRAWN.get(card["data"]["name"])
        if drawn is None:
            continue
        items = data.load(drawn, split="val", length=COUNT, size=SIZE)
        if items.num_classes != len(card["classes"]):
            continue
        predictions = _predictions(name, card["sha256"], items, cache)
        pictures = [_one(stage, drawn, name, items, i, labels) for i, labels in enumerate(predictions)]
        listed.append({"name": name, "drawn": drawn, "classes": card["classes"], "pictures": pictures})
    stage.put(f"{FOLDER}/explorer.json", json.dumps(listed))
    _hero(stage)


def _hero(stage: Stage) -> None:
    """The picture of the first page: a drawn street, and the same with its labels."""
    streets = data.load("streets", split="val", length=4, size=(512, 768))
    item = streets[3]
    stage.put(f"{FOLDER}/hero.jpg", jpeg(item["image"]))
    labels = visualize.overlay(item["image"], item["mask"], streets.palette, alpha=0.7)
    stage.put(f"{FOLDER}/hero-labels.jpg", jpeg(labels))


def _predictions(name: str, sha256: str, items, cache: Path) -> np.ndarray:
    """uint8 (COUNT, H, W), from `cache` if they were made there from the same weights and pictures by the same code."""
    package = Path(data.__file__).parents[1]
    files = [
        package / "augment.py",
        *(f for part in ("data", "models", "predict") for f in (package / part).glob("*.py")),
    ]
    drawing = [file.read_bytes() for file in sorted(files)]
    key = hashlib.sha256(b"".join([sha256.encode(), repr((COUNT, SIZE)).encode(), *drawing])).hexdigest()[:16]
    kept = cache / f"{name}-{items.name}-{key}.npy"
    if not kept.exists():
        print(f"predicting drawn {items.name} with {name}", flush=True)
        model, notes = weights.load(name)
        predictor = Predictor(model, **notes["config"]["inference"])
        cache.mkdir(parents=True, exist_ok=True)
        np.save(kept, np.stack([predictor.labels(items[i]["image"]) for i in range(COUNT)]))
    return np.load(kept)


def _one(stage: Stage, drawn: str, name: str, items, number: int, prediction: np.ndarray) -> dict:
    item = items[number]
    counts = Counts(items.num_classes)
    counts.update(item["mask"], prediction)
    scores = counts.scores()
    errors = visualize.error_map(item["image"], item["mask"], prediction, 1 if items.num_classes == 2 else None)
    stem = f"{drawn}-{number:02}"
    for file, content in (
        (f"{stem}.jpg", jpeg(item["image"], 82)),
        (f"{stem}-truth.png", mask_png(item["mask"], items.palette)),
        (f"{stem}-{name}.png", mask_png(prediction, items.palette)),
        (f"{stem}-{name}-errors.jpg", jpeg(errors, 82)),
    ):
        stage.put(f"{FOLDER}/{file}", content)
    return {"number": number, "stem": stem, "miou": scores["miou"], "boundary_iou": scores["boundary_iou"]}


def mask_png(labels: np.ndarray, palette) -> bytes:
    """A label map (H, W) as the bytes of a PNG with a palette; 255, ignored, is light grey."""
    picture = Image.fromarray(labels)
    colours = np.full((256, 3), 224, np.uint8)
    colours[: len(palette)] = palette
    picture.putpalette(colours.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
