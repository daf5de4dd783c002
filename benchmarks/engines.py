"""Compare inference engines on one core: a released network in eager PyTorch (float32), and in other engines or types.

All engines get the same image at the size in the model card, and run the same graph, from bytes to logits. Engines that
compute in bfloat16 or int8 change the logits, so that their mIoU on validation images is reported as well.
"""

import functools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from course.openvino_engine import turn_off_statistics
from seglib import data, weights
from seglib.data.transforms import resize
from seglib.inference import export
from seglib.metrics import Counts

from .measure import ONE_THREAD, Skipped, check_equal, contest, interleaved, need, processor, threads

turn_off_statistics()
NAMES = [name for name in weights.names() if name != "hrnet-horses-scratch"]  # the same network as hrnet-horses
ENGINES = {
    "eager-bf16": "eager PyTorch in bfloat16",
    "compiled": "compiled PyTorch",
    "onnxruntime": "onnxruntime",
    "onnxruntime-int8": "onnxruntime in int8",
    "openvino": "OpenVINO",
    "openvino-bf16": "OpenVINO in bfloat16",
    "openvino-int8": "OpenVINO in int8",
}
SLOW_TO_MAKE = ("compiled", "onnxruntime-int8")  # minutes for a deep network; only measured if named
REPEATS = 7
CALIBRATION, JUDGED = 16, 50  # training images for calibration, and at most as many validation images for mIoU
Run = Callable[[np.ndarray], np.ndarray]
Images = Sequence[np.ndarray]


class Subject:
    """A released network with the images on which its engines are compared."""

    def __init__(self, root: Path, name: str):
        model, metadata = weights.load(name)
        self.network = export.BytesToLogits(model).eval().to(memory_format=torch.channels_last)
        self.height, self.width = input_size(metadata["config"]["inference"]["longest_side"])
        card = weights.card(name)["data"]
        sets = [data.load(card["name"], split, root, card["list"]) for split in ("train", "val")]
        self.num_classes = sets[1].num_classes
        self.calibration = [image for image, _ in self._items(sets[0], CALIBRATION)]
        self.judged = self._items(sets[1], min(JUDGED, len(sets[1])))

    def _items(self, dataset: data.SegmentationDataset, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return resized images (1, 3, H, W), uint8, and masks of their original size."""
        items = [dataset[int(index)] for index in np.linspace(0, len(dataset) - 1, count)]
        size = self.height, self.width
        return [(np.ascontiguousarray(resize(i["image"], *size).transpose(2, 0, 1)[None]), i["mask"]) for i in items]

    def eager(self, image: np.ndarray) -> np.ndarray:
        return self.network(torch.from_numpy(image)).numpy()

    @functools.cached_property
    def content(self) -> bytes:
        """The network as an ONNX file."""
        return export.to_onnx(self.network)

    @functools.cached_property
    def eager_miou(self) -> float:
        return self.miou(self.eager)

    def miou(self, run: Run) -> float:
        """Return the mIoU of `run`, whose logits are resized to the original size of each image."""
        counts = Counts(self.num_classes)
        for image, mask in self.judged:
            logits = torch.from_numpy(np.array(run(image), np.float32))
            logits = nn.functional.interpolate(logits, mask.shape, mode="bilinear", align_corners=False)
            counts.update(mask, logits.argmax(1)[0].to(torch.uint8).numpy())
        return counts.scores()["miou"]


@functools.lru_cache(maxsize=1)  # the engines of a network follow each other
def subject(root: Path, name: str) -> Subject:
    return Subject(root, name)


def input_size(longest_side: int) -> tuple[int, int]:
    """Return (height, width), multiples of 32, of an image of about 2:3 whose longer side is `longest_side`, or 480."""
    longest_side = longest_side or 480
    return 32 * round(longest_side / 48), 32 * round(longest_side / 32)


def speed(root: Path, name: str, engine: str) -> dict:
    """Measure the images per second of an engine and of eager PyTorch in float32, for one image.

    Engines in float32 are checked to return equal logits. For the others, the entry's `note` has the mIoU of both on
    up to `JUDGED` validation images, and `miou_change` their difference.
    """
    with threads(1), torch.inference_mode():
        network = subject(root, name)
        ours = MAKERS[engine](network)
        image = network.judged[0][0]
        note, more = f"one image of {network.height}x{network.width}, {ONE_THREAD}", {}
        if engine.endswith(("int8", "bf16")):
            scores = network.miou(ours), network.eager_miou
            more["miou_change"] = scores[0] - scores[1]
            note += f"; mIoU on {len(network.judged)} validation images {scores[0]:.4f} (in float32: {scores[1]:.4f})"
        else:
            check_equal(ours(image), network.eager(image), f"{name}, {engine}", 1e-3)
        times = interleaved(lambda: ours(image), lambda: network.eager(image), REPEATS, processor)
    return contest(*times, "images/s", lambda seconds: 1 / seconds, True) | {
        "peer_is": "the same weights in eager PyTorch, float32",
        "library": False,
        "note": note,
        **more,
    }


def _capabilities() -> dict:
    return torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}


def _bfloat16() -> None:
    """Raise Skipped if this processor has no instructions for bfloat16."""
    able = _capabilities()
    if not able.get("avx512_bf16") and not able.get("amx_bf16"):
        raise Skipped("this processor has no instructions for bfloat16 (avx512_bf16 or amx_bf16)")


def _eager_bf16(network: Subject) -> Run:
    _bfloat16()

    def run(image: np.ndarray) -> np.ndarray:
        with torch.autocast("cpu", torch.bfloat16):
            return network.network(torch.from_numpy(image)).float().numpy()

    return run


def _compiled(network: Subject) -> Run:
    compiled = torch.compile(network.network)
    return lambda image: compiled(torch.from_numpy(image)).numpy()


def _onnx_session(content: bytes) -> Run:
    runtime = need("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda image: session.run(None, {"image": image})[0]


def _onnxruntime_int8(network: Subject) -> Run:
    need("onnxruntime")
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self, images: Images):
            self.images = iter(images)

        def get_next(self) -> dict | None:
            image = next(self.images, None)
            return None if image is None else {"image": image}

    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, quantized = (Path(folder) / f"{step}.onnx" for step in ("plain", "prepared", "int8"))
        plain.write_bytes(network.content)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        # Without VNNI instructions, sums of products of 8 bits can overflow, so that weights get 7 bits.
        seven_bits = not any(_capabilities().get(name) for name in ("avx512_vnni", "avx_vnni"))
        reader, settings = Reader(network.calibration), {"per_channel": True, "reduce_range": seven_bits}
        quantize_static(prepared, quantized, reader, QuantFormat.QDQ, **settings)
        return _onnx_session(quantized.read_bytes())


def _openvino_model(content: bytes) -> object:
    return need("openvino").Core().read_model(content)


def _openvino_run(model: object, precision: str) -> Run:
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": precision}
    compiled = need("openvino").Core().compile_model(model, "CPU", settings)
    return lambda image: compiled(image)[0]


def _openvino_bf16(network: Subject) -> Run:
    _bfloat16()
    return _openvino_run(_openvino_model(network.content), "bf16")


def _openvino_int8(network: Subject) -> Run:
    nncf, model = need("nncf"), _openvino_model(network.content)
    images = nncf.Dataset(network.calibration)
    return _openvino_run(nncf.quantize(model, images, subset_size=len(network.calibration)), "f32")


MAKERS: dict[str, Callable[[Subject], Run]] = {
    "eager-bf16": _eager_bf16,
    "compiled": _compiled,
    "onnxruntime": lambda network: _onnx_session(network.content),
    "onnxruntime-int8": _onnxruntime_int8,
    "openvino": lambda network: _openvino_run(_openvino_model(network.content), "f32"),
    "openvino-bf16": _openvino_bf16,
    "openvino-int8": _openvino_int8,
}
