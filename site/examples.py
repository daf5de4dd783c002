"""Pictures to try the demo with: drawn ones, and the photograph of Grace Hopper that matplotlib brings along."""

import io
from collections.abc import Sequence

import matplotlib.cbook
import numpy as np
from demo_models import FOLDER
from PIL import Image
from staging import Stage

from seglib import data

# Data set of a network: (drawn set, its number within val, words).  Chosen for variety, not for the score.
DRAWN = {
    "horses": [("creatures", 3, "a drawn animal behind a fence"), ("creatures", 7, "a spotted one, by night")],
    "camvid": [("streets", 3, "a drawn street"), ("streets", 2, "another one, with people")],
}
SIZE = (384, 512)


def write(models: Sequence[dict], stage: Stage) -> list[dict]:
    """Put example pictures for the released `models` on the stage: [{"file", "title", "model"}]."""
    found = []
    for model in models:
        for kind, number, title in DRAWN.get(model["data"], []):
            image = data.load(kind, split="val", length=number + 1, size=SIZE)[number]["image"]
            file = f"{kind}-{number}.jpg"
            if file not in [entry["file"] for entry in found]:
                stage.put(f"{FOLDER}/{file}", jpeg(image))
                found.append({"file": file, "title": title, "model": model["name"]})
    portrait = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    stage.put(f"{FOLDER}/hopper.jpg", open(portrait, "rb").read())
    people = [model["name"] for model in models if model["data"] == "humans"] or [models[0]["name"]]
    return [*found, {"file": "hopper.jpg", "title": "Admiral Grace Hopper", "model": people[0]}]


def jpeg(image: np.ndarray, quality: int = 88) -> bytes:
    """A picture (H, W, 3) uint8 as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
