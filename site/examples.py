"""Images to try the demo with: synthetic ones, and the portrait of Grace Hopper that matplotlib includes."""

import io
from collections.abc import Sequence

import matplotlib.cbook
import numpy as np
from demo_models import FOLDER
from PIL import Image
from staging import Stage

from seglib import data

# Data set of a network: (synthetic set, number within val, title). Chosen for variety, not for the score.
SYNTHETIC = {
    "horses": [("creatures", 3, "a synthetic animal behind a fence"), ("creatures", 7, "a spotted animal at night")],
    "camvid": [("streets", 3, "a synthetic street"), ("streets", 2, "a synthetic street with people")],
}
SIZE = (384, 512)


def write(models: Sequence[dict], stage: Stage) -> list[dict]:
    """Write example images for the released `models`; returns [{"file", "title", "model"}]."""
    examples = []
    for model in models:
        for kind, number, title in SYNTHETIC.get(model["data"], []):
            image = data.load(kind, split="val", length=number + 1, size=SIZE)[number]["image"]
            file = f"{kind}-{number}.jpg"
            if file not in [entry["file"] for entry in examples]:
                stage.put(f"{FOLDER}/{file}", jpeg(image))
                examples.append({"file": file, "title": title, "model": model["name"]})
    portrait = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    stage.put(f"{FOLDER}/hopper.jpg", open(portrait, "rb").read())
    people = [model["name"] for model in models if model["data"] == "humans"] or [models[0]["name"]]
    return [*examples, {"file": "hopper.jpg", "title": "Admiral Grace Hopper", "model": people[0]}]


def jpeg(image: np.ndarray, quality: int = 88) -> bytes:
    """Return an image (H, W, 3) uint8 as a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
