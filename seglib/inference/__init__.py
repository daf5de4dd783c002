"""From a photograph of any size to its label map of the same size."""

from .errors import PredictionError
from .onnx import OnnxNetwork, load
from .outputs import cutout, free_name, image_files, is_result, save_image, save_mask, source_mark, without_results
from .predictor import MIN_SIDE, MULTI_SCALE, TILE, Predictor, pick_device
from .tiff import LARGE, TiffPicture, is_large, segment_tiff, write_label_tiff

__all__ = [
    "LARGE",
    "MIN_SIDE",
    "MULTI_SCALE",
    "TILE",
    "OnnxNetwork",
    "PredictionError",
    "Predictor",
    "TiffPicture",
    "cutout",
    "free_name",
    "image_files",
    "is_large",
    "is_result",
    "load",
    "pick_device",
    "save_image",
    "save_mask",
    "segment_tiff",
    "source_mark",
    "without_results",
    "write_label_tiff",
]
