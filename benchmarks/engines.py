"""Compare inference engines on one core: a released network in eager PyTorch, and its ONNX file in other runtimes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from seglib import data, weights
from seglib.data.transforms import resize
from seglib.inference import export
from seglib.metrics import Counts

from .measure import ONE_THREAD, check_equal, contest, interleaved, need, processor, threads

NAMES = ("unet-horses", "u2netp-horses", "hrnet-horses", "efficientnet_unet-humans", "mini_hrnet-camvid")
ENGINES = {"onnxruntime": "onnxruntime", "openvino": "OpenVINO", "openvino-int8": "OpenVINO in int8"}
REPEATS = 7
CALIBRATION, JUDGED = 32, 16  # training images for calibration, validation images for mIoU
Run = Callable[[np.ndarray], np.ndarray]


def speed(root: Path, name: str, engine: str) -> dict:
    """Measure the images per second of an engine and of eager PyTorch, for one image at the size in the model card.

    For int8, the entry's `note` gives the mIoU of the engine and of eager PyTorch on `JUDGED` validation images.
    """
    model, metadata = weights.load(name)
    network = export.BytesToLogits(model).eval().to(memory_format=torch.channels_last)
    longest = metadata["config"]["inference"]["longest_side"] or 480
    height, width = 32 * round(longest / 48), 32 * round(longest / 32)
    card = weights.card(name)["data"]
    load = {split: data.load(card["name"].split("*")[0].split("+")[0], split, root) for split in ("train", "val")}

    def images(split: str, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
        chosen = np.linspace(0, len(load[split]) - 1, count).astype(int)
        items = [load[split][int(index)] for index in chosen]
        return [(resize(item["image"], height, width).transpose(2, 0, 1)[None], item["mask"]) for item in items]

    with threads(1), torch.inference_mode():
        peer = _eager(network)
        runs = {"onnxruntime": _onnxruntime, "openvino": _openvino, "openvino-int8": _openvino_int8}
        ours = runs[engine](export.to_onnx(network), [image for image, _ in images("train", CALIBRATION)])
        pairs = images("val", JUDGED)
        note = f"one image of {height}x{width}, {ONE_THREAD}"
        if engine == "openvino-int8":
            scores = [_miou(run, pairs, load["val"]) for run in (ours, peer)]
            note += f"; mIoU on {JUDGED} validation images {scores[0]:.4f} (in float32: {scores[1]:.4f})"
        else:
            check_equal(ours(pairs[0][0]), peer(pairs[0][0]), f"{name}, {engine}", 1e-3)
        times = interleaved(lambda: ours(pairs[0][0]), lambda: peer(pairs[0][0]), REPEATS, processor)
    return contest(*times, "images/s", lambda seconds: 1 / seconds, True) | {
        "peer_is": "the same weights in eager PyTorch",
        "library": False,
        "note": note,
    }


def _eager(network: torch.nn.Module) -> Run:
    return lambda image: network(torch.from_numpy(image)).numpy()


def _onnxruntime(content: bytes, _: list[np.ndarray]) -> Run:
    runtime = need("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda image: session.run(None, {"image": image})[0]


def _compiled(model) -> Run:
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = need("openvino").Core().compile_model(model, "CPU", settings)
    return lambda image: compiled(image)[0]


def _openvino(content: bytes, _: list[np.ndarray]) -> Run:
    return _compiled(need("openvino").Core().read_model(content))


def _openvino_int8(content: bytes, images: list[np.ndarray]) -> Run:
    nncf = need("nncf")
    model = need("openvino").Core().read_model(content)
    return _compiled(nncf.quantize(model, nncf.Dataset(images), subset_size=len(images)))


def _miou(run: Run, pairs: list[tuple[np.ndarray, np.ndarray]], dataset: data.SegmentationDataset) -> float:
    """Return the mIoU of `run`, whose logits are resized to the original size of each image."""
    counts = Counts(dataset.num_classes)
    for image, mask in pairs:
        logits = torch.from_numpy(run(image).copy())
        logits = torch.nn.functional.interpolate(logits, mask.shape, mode="bilinear", align_corners=False)
        labels = logits.argmax(1)[0] if logits.shape[1] > 1 else (logits[0, 0] > 0)
        counts.update(mask, labels.to(torch.uint8).numpy())
    return counts.scores()["miou"]
