"""Inference: from an image of any size to its mask of the same size, and to files."""

from .errors import PredictionError
from .onnx import OnnxNetwork, load
from .outputs import cutout, save_image, save_mask
from .predictor import MULTI_SCALE, Predictor, pick_device
from .result_files import image_files
from .tiff import predict_tiff

__all__ = [
    "MULTI_SCALE",
    "OnnxNetwork",
    "PredictionError",
    "Predictor",
    "cutout",
    "image_files",
    "load",
    "pick_device",
    "predict_tiff",
    "save_image",
    "save_mask",
]
