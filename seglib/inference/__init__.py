"""Inference: from an image of any size to its mask of the same size, and to files."""

from .errors import PredictionError
from .onnx import OnnxNetwork, load
from .outputs import cutout, save_image, save_mask
from .predictor import MIN_SIDE, MULTI_SCALE, TILE, Predictor, pick_device
from .result_files import free_name, image_files, is_result, source_id, without_results
from .tiff import LARGE_PIXELS, TiffReader, is_large, predict_tiff, write_mask_tiff

__all__ = [
    "LARGE_PIXELS",
    "MIN_SIDE",
    "MULTI_SCALE",
    "TILE",
    "OnnxNetwork",
    "PredictionError",
    "Predictor",
    "TiffReader",
    "cutout",
    "free_name",
    "image_files",
    "is_large",
    "is_result",
    "load",
    "pick_device",
    "predict_tiff",
    "save_image",
    "save_mask",
    "source_id",
    "without_results",
    "write_mask_tiff",
]
