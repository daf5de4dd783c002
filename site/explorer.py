"""Write predictions of the released networks on synthetic images, for the results explorer.

The images are synthetic because images of the data sets must not be published.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib.cbook
import numpy as np
from examples import jpeg
from PIL import Image
from staging import Stage

from seglib import data, visualize, weights
from seglib.inference import Predictor, cutout
from seglib.metrics import Counts

# {data set: synthetic data set with the same classes}; there is no synthetic data set with people.
SYNTHETIC = {"horses": "creatures", "camvid": "streets"}
COUNT, SIZE = 10, (288, 384)
FOLDER = "_static/explorer"
HERO, HERO_BACKGROUND = "efficientnet_unet-humans", (226, 235, 243)


def write(names: Sequence[str], stage: Stage, cache: Path) -> None:
    """Write images, target masks, predictions and error maps of the weights `names`, and a JSON list of the files."""
    listed = []
    for name in names:
        card = weights.card(name)
        synthetic = SYNTHETIC.get(card["data"]["name"])
        if synthetic is None:
            continue
        items = data.load(synthetic, split="val", length=COUNT, size=SIZE)
        if items.num_classes != len(card["classes"]):
            continue
        predictions = _predictions(name, card["sha256"], items, cache)
        images = [_write_image(stage, synthetic, name, items, i, labels) for i, labels in enumerate(predictions)]
        palette = np.asarray(visualize.figure_palette(items.classes, items.palette)).tolist()
        entry = {"name": name, "synthetic": synthetic, "classes": card["classes"], "palette": palette}
        listed.append({**entry, "images": images})
    stage.write(f"{FOLDER}/explorer.json", json.dumps(listed))
    _hero(stage)


def _hero(stage: Stage) -> None:
    """Write the figure of the home page: a portrait in the public domain, and the person on another background."""
    with Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as portrait:
        image = np.asarray(portrait.convert("RGB"))
    model, metadata = weights.load(HERO)
    rgba = cutout(image, Predictor(model, **metadata["config"]["inference"]).probabilities(image)).astype(float)
    opacity = rgba[..., 3:] / 255
    result = rgba[..., :3] * opacity + np.array(HERO_BACKGROUND) * (1 - opacity)
    stage.write(f"{FOLDER}/hero.jpg", jpeg(image))
    stage.write(f"{FOLDER}/hero-cutout.jpg", jpeg(result.round().astype(np.uint8)))


def _predictions(name: str, sha256: str, items, cache: Path) -> np.ndarray:
    """Return predictions (COUNT, H, W) uint8; they are read from `cache` if code, weights and images are unchanged."""
    root = Path(data.__file__).parents[2]
    folders = ("seglib/data", "seglib/models", "seglib/inference", "course/synthetic")
    code = [file.read_bytes() for folder in folders for file in sorted((root / folder).glob("*.py"))]
    key = hashlib.sha256(b"".join([sha256.encode(), repr((COUNT, SIZE)).encode(), *code])).hexdigest()[:16]
    file = cache / f"{name}-{items.name}-{key}.npy"
    if not file.exists():
        print(f"predicting {items.name} with {name}", flush=True)
        model, notes = weights.load(name)
        predictor = Predictor(model, **notes["config"]["inference"])
        cache.mkdir(parents=True, exist_ok=True)
        np.save(file, np.stack([predictor.labels(items[i]["image"]) for i in range(COUNT)]))
    return np.load(file)


def _write_image(stage: Stage, synthetic: str, name: str, items, number: int, prediction: np.ndarray) -> dict:
    item = items[number]
    counts = Counts(items.num_classes)
    counts.update(item["mask"], prediction)
    scores = counts.scores()
    palette = visualize.figure_palette(items.classes, items.palette)
    errors = visualize.error_map(item["image"], item["mask"], prediction, 1 if items.num_classes == 2 else None)
    stem = f"{synthetic}-{number:02}"
    for file, content in (
        (f"{stem}.jpg", jpeg(item["image"], 82)),
        (f"{stem}-target.png", mask_png(item["mask"], palette)),
        (f"{stem}-{name}.png", mask_png(prediction, palette)),
        (f"{stem}-{name}-errors.jpg", jpeg(errors, 82)),
    ):
        stage.write(f"{FOLDER}/{file}", content)
    return {"number": number, "stem": stem, "miou": scores["miou"], "boundary_iou": scores["boundary_iou"]}


def mask_png(labels: np.ndarray, palette) -> bytes:
    """Encode a label map (H, W) as PNG with a palette, in which the ignored label 255 is light gray."""
    image = Image.fromarray(labels)
    colors = np.full((256, 3), 224, np.uint8)
    colors[: len(palette)] = palette
    image.putpalette(colors.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
