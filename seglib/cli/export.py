"""Export weights as an ONNX file for onnxruntime and browsers.

examples:
  seglib export unet-horses   write unet-horses.onnx in this folder
  seglib export runs/mine/best.safetensors --out mine.onnx
"""

import argparse
from pathlib import Path

from .options import Parser, make_folder


def add_arguments(parser: Parser) -> None:
    parser.add_argument("weights", help="released name or .safetensors file")
    parser.add_argument("--out", type=Path, metavar="FILE", help="output file (default: NAME.onnx in this folder)")


def run(args: argparse.Namespace) -> int:
    from ..inference import export

    file = args.out or Path(Path(args.weights).stem + ".onnx")
    if file.suffix != ".onnx" or file.is_dir():
        raise export.ExportError(f"--out {file}: must be a file whose name ends in .onnx.")
    make_folder(file.parent, "--out")
    report = export.export(args.weights, file)
    sizes = ", ".join(f"{height}x{width}" for height, width in report["sizes"])
    print(f"{file}: {report['bytes'] / 1e6:.1f} MB, opset {report['opset']}; checked against PyTorch at {sizes}:")
    print(f"the largest difference is {report['error']:.1e} times the largest logit")
    print(f"try it: seglib predict photo.jpg --weights {file}")
    return 0
