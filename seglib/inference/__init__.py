"""Predict masks for images of any size at full resolution, and write them to files."""

from .errors import PredictionError
from .onnx import load
from .outputs import cutout, save_image, save_mask
from .predictor import Predictor, pick_device
from .tiff import predict_tiff

__all__ = ["PredictionError", "Predictor", "cutout", "load", "pick_device", "predict_tiff", "save_image", "save_mask"]
