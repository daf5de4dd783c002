"""Write example images for the demo: synthetic images, and the portrait of Grace Hopper from matplotlib."""

import io
from collections.abc import Sequence

import eight_bit
import matplotlib.cbook
import numpy as np
from demo_models import FOLDER
from PIL import Image
from staging import Stage

from seglib import data
from seglib.inference import Predictor

# {data set of a network: [(synthetic data set, index in val, title)]}; images were chosen for variety, not by score.
SYNTHETIC = {
    "horses": [("creatures", 3, "a synthetic animal behind a fence"), ("creatures", 7, "a spotted animal at night")],
    "camvid": [("streets", 3, "a synthetic street"), ("streets", 2, "a synthetic street with people")],
}
SIZE = (384, 512)


def write(models: Sequence[dict], stage: Stage) -> list[dict]:
    """Write example images for the released `models`, with the prediction of the first model for the same data set.

    Returns:
        A dictionary with "file", "title", "model" and "result" for each image. "result" is the name of a PNG whose
        channels are the class, 255 times the foreground probability, and 255 times the probability of the class.
    """
    portrait = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    images = [("humans", "hopper.jpg", "Admiral Grace Hopper", open(portrait, "rb").read())]
    for subject, chosen in SYNTHETIC.items():
        for kind, number, title in chosen:
            image = data.load(kind, split="val", length=number + 1, size=SIZE)[number]["image"]
            images.append((subject, f"{kind}-{number}.jpg", title, jpeg(image)))
    first = {model["data"]: model["name"] for model in reversed(models)}
    examples = []
    for subject, file, title, content in images:
        if subject not in first:
            continue
        stage.write(f"{FOLDER}/{file}", content)
        result = f"{file.removesuffix('.jpg')}.result.png"
        image = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        stage.write(f"{FOLDER}/{result}", stored_result(first[subject], image))
        examples.append({"file": file, "title": title, "model": first[subject], "result": result})
    return examples


def stored_result(name: str, image: np.ndarray) -> bytes:
    """Run the 8-bit weights on an image (H, W, 3), and return the PNG that the demo reads (see `write`)."""
    model, metadata = eight_bit.load_network(name)
    predictor = Predictor(model, **metadata["config"]["inference"] | {"flip": False})
    probabilities = predictor.probabilities(image)  # (C, H, W)
    channels = probabilities.argmax(0), 255 * (1 - probabilities[0]), 255 * probabilities.max(0)
    buffer = io.BytesIO()
    Image.fromarray(np.stack([channel.round().astype(np.uint8) for channel in channels], 2)).save(buffer, "PNG")
    return buffer.getvalue()


def jpeg(image: np.ndarray, quality: int = 88) -> bytes:
    """Encode an image (H, W, 3) uint8 as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
