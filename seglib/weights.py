"""Released weights: files of tensors, a card each, and the manifest that lists them."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from . import files, models, weights_metadata
from .config import upgrade_config
from .data import download
from .errors import SeglibError

FOLDER = Path(__file__).resolve().parents[1] / "weights"
ADDRESS_VARIABLE = "SEGLIB_WEIGHTS_URL"  # overrides the manifest's release address


class WeightsError(SeglibError, ValueError):
    """Weights that cannot be used; the message names the file, the fault and the remedy."""


def write_tensors(file: Path, tensors: Mapping[str, Tensor], notes: Mapping, half: bool = False) -> None:
    """Write a safetensors file with `notes` as JSON in its header; `half` stores floats as fp16 where they fit."""
    ready = {
        name: (t.half() if half and _fits_half(t) else t).detach().cpu().contiguous() for name, t in tensors.items()
    }
    content = to_bytes(ready, {"notes": json.dumps(notes)})
    files.write_atomically(file, lambda stream: stream.write(content))


def _fits_half(tensor: Tensor) -> bool:
    """Do all values stay finite in fp16?  The running variance of a wide layer's sums can exceed its 65504."""
    return tensor.is_floating_point() and bool((tensor.abs() <= torch.finfo(torch.float16).max).all())


def read_tensors(file: Path) -> tuple[dict[str, Tensor], dict]:
    """The tensors of a safetensors file, fp16 as fp32, and its notes.  WeightsError if missing or damaged."""
    if Path(file).exists() and not os.access(file, os.R_OK):  # safetensors would say that it is not there
        raise WeightsError(f"{file}: not allowed to read it; check the file's permissions.")
    try:
        with safe_open(file, framework="pt") as content:
            notes = json.loads((content.metadata() or {}).get("notes", "{}"))
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise WeightsError(f"{file}: no such file; check the name.") from None
    except (SafetensorError, OSError, ValueError, RecursionError) as error:  # the last two from the notes' JSON
        raise WeightsError(f"{file}: the weights are damaged or no safetensors file ({error}).") from None
    return {name: t.float() if t.dtype is torch.float16 else t for name, t in tensors.items()}, _upgraded_notes(notes)


def manifest() -> dict:
    """{"address": where the files can be downloaded or "", "weights": {name: {"file", "bytes", "sha256"}}}."""
    return _read_json("manifest.json", {"address", "weights"})


def _read_json(name: str, needed: set[str]) -> dict:
    """The entries of a JSON file in `weights/`.  WeightsError if it is missing, damaged or lacks a `needed` one."""
    file, remedy = FOLDER / name, _restored(name)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{file}: no such file; {remedy}.") from None
    except ValueError as error:  # neither JSON nor, perhaps, UTF-8
        raise WeightsError(f"{file}: the file is damaged ({error}); {remedy}.") from None
    missing = needed - content.keys() if isinstance(content, dict) else needed
    if missing:
        raise WeightsError(f"{file}: the file has no entry {', '.join(sorted(missing))}; {remedy}.")
    return content


def _restored(name: str) -> str:
    return f"restore it with `git checkout -- weights/{name}`"


def _address() -> str:
    """Where the released files can be downloaded, "" if nowhere is known.  WeightsError for no http address."""
    address = os.environ.get(ADDRESS_VARIABLE, "")
    if address and not address.lower().startswith(("http://", "https://")):
        raise WeightsError(f"{ADDRESS_VARIABLE} is '{address}', but must begin with http:// or https://; correct it.")
    return address or manifest()["address"]


def names() -> list[str]:
    """The released weights."""
    return list(manifest()["weights"])


def find(name: str) -> Path:
    """The file of the released weights `name`, downloaded if it is not in `weights/`, with its hash checked.

    Raises WeightsError for an unknown name or a file that differs from the released one, and
    download.DownloadError if it cannot be fetched.
    """
    listed = manifest()
    if name not in listed["weights"]:
        raise WeightsError(
            f"'{name}' is no released weights and no .safetensors file; choose one of: {', '.join(listed['weights'])}."
        )
    entry = listed["weights"][name]
    file = FOLDER / entry["file"]
    if not file.exists():
        address = _address()
        if not address:
            raise WeightsError(
                f"{file}: not here, and no download address is known; {_restored(entry['file'])}, "
                f"or set {ADDRESS_VARIABLE} to the http address of a folder that has it."
            )
        download.fetch([f"{address.rstrip('/')}/{entry['file']}"], entry["sha256"], file)
    if download.file_sha256(file) != entry["sha256"]:
        remedy = "delete the file to get it again" if _address() else _restored(entry["file"])
        raise WeightsError(f"{file}: its content is not what was released (sha256 differs); {remedy}.")
    return file


def load(name: str) -> tuple[nn.Module, dict]:
    """A trained network in eval mode, in float32 on the CPU, and the notes that came with its weights.

    `name`: released weights such as "unet-horses", or a .safetensors file of a run.  The notes have
    `config` (as trained), `classes`, `palette`, `num_outputs`.  Raises WeightsError.
    """
    return open_file(Path(name) if name.endswith(".safetensors") else find(name))


def open_file(file: Path) -> tuple[nn.Module, dict]:
    """`load` for a file of this project, whatever its name.  Raises WeightsError."""
    tensors, notes = read_tensors(file)
    if missing := weights_metadata.missing(notes):
        raise WeightsError(f"{file}: not written by this project (no {', '.join(missing)} in its header).")
    if fault := weights_metadata.fault(notes):
        raise WeightsError(f"{file}: {fault} in its header makes no sense; get the file again.")
    described = notes["config"]["model"]
    try:
        with torch.device("meta"):  # costs nothing, whatever size the header claims
            asked = models.create(described["name"], notes["num_outputs"], **described["options"]).state_dict()
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        if shapes != {name: tensor.shape for name, tensor in asked.items()}:
            raise RuntimeError(_difference(shapes, asked))
        model = models.create(described["name"], notes["num_outputs"], **described["options"])
        model.load_state_dict(tensors)
    except (RuntimeError, ValueError, TypeError, OverflowError) as error:  # a ModelError is a ValueError
        reason = str(error).splitlines()[-1].strip()[:300]
        raise WeightsError(f"{file}: the tensors do not fit {str(described['name'])[:40]} ({reason}).") from None
    return model.eval(), notes


def _upgraded_notes(notes: object) -> object:
    """Return the metadata of a weights file with today's option names; others are judged by weights_metadata."""
    if not isinstance(notes, Mapping) or not isinstance(notes.get("config"), Mapping):
        return notes
    try:
        return {**notes, "config": upgrade_config(notes["config"])}
    except ValueError:
        return notes


def _difference(shapes: Mapping[str, torch.Size], asked: Mapping[str, Tensor]) -> str:
    """The first thing in which a file's tensors differ from what the network asks for."""
    for name in (*asked, *shapes):
        if name not in shapes or name not in asked:
            return f"{name} is {'missing' if name in asked else 'left over'}"
        if shapes[name] != asked[name].shape:
            return f"{name} is {tuple(shapes[name])}, but must be {tuple(asked[name].shape)}"
    return ""


def card(name: str) -> dict:
    """The card of released weights: how they were made and what they score.  WeightsError if there is no good one."""
    if name not in names():
        raise WeightsError(f"'{name}' has no card; choose one of: {', '.join(names())}.")
    return _read_json(f"{name}.json", {"bytes", "classes", "data", "file", "model", "scores", "sha256"})
