"""Find, read and write weights. Released weights are safetensors files with model cards, listed in a manifest."""

import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pooch
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from . import files, models, weights_metadata
from .config import upgrade_config
from .errors import SeglibError

FOLDER = files.RESOURCES / "weights"
ADDRESS_VARIABLE = "SEGLIB_WEIGHTS_URL"  # overrides the download address in the manifest
CACHE_VARIABLE = "SEGLIB_CACHE"  # overrides the folder of downloaded weights
METADATA_KEY = "notes"  # key in the header of a safetensors file, kept for compatibility with the first release
TIMEOUT = 30  # seconds to wait for a response from the server


class WeightsError(SeglibError, ValueError):
    """Raised if weights cannot be used.  The message names the file and the problem, and says how to fix it."""


def write_tensors(file: Path, tensors: Mapping[str, Tensor], metadata: Mapping) -> None:
    """Write a safetensors file atomically.

    Args:
        file: The file to write or replace.
        tensors: A state_dict.
        metadata: The metadata to store as JSON in the header of the file; see `load`.
    """
    contents = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = to_bytes(contents, {METADATA_KEY: json.dumps(metadata)})
    files.write_atomically(file, lambda stream: stream.write(content))


def read_tensors(file: Path) -> tuple[dict[str, Tensor], dict]:
    """Read a safetensors file.

    Returns:
        The tensors, with fp16 converted to fp32, and the metadata, with the current option names.

    Raises:
        WeightsError: If the file is missing or corrupted.
    """
    if Path(file).exists() and not os.access(file, os.R_OK):  # safetensors would report "no such file"
        raise WeightsError(f"{file}: not allowed to read it; check the file's permissions.")
    try:
        with safe_open(file, framework="pt") as content:
            metadata = json.loads((content.metadata() or {}).get(METADATA_KEY, "{}"))
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise WeightsError(f"{file}: no such file; check the name.") from None
    except (SafetensorError, OSError, ValueError, RecursionError) as error:  # the last two are from json.loads
        raise WeightsError(f"{file}: the weights are damaged or not a safetensors file ({error}).") from None
    # `weights_metadata.find_fault` reports malformed metadata later.
    if isinstance(metadata, Mapping) and isinstance(metadata.get("config"), Mapping):
        metadata = {**metadata, "config": upgrade_config(metadata["config"])}
    # Copies, because the tensors of a safetensors file are memory-mapped, and the file may change later.
    return {name: t.float() if t.dtype is torch.float16 else t.clone() for name, t in tensors.items()}, metadata


def manifest() -> dict:
    """Return {"address": download address or "", "weights": {name: {"file", "bytes", "sha256"}}}."""
    return _read_json("manifest.json", {"address", "weights"})


def _read_json(name: str, needed: set[str]) -> dict:
    """Read a JSON file in `FOLDER`.

    Raises:
        WeightsError: If the file is missing or corrupted, or lacks one of the entries in `needed`.
    """
    file, remedy = FOLDER / name, f"restore it with `git checkout -- weights/{name}`, or install seglib again"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{file}: no such file; {remedy}.") from None
    except ValueError as error:  # not JSON, or not UTF-8
        raise WeightsError(f"{file}: the file is damaged ({error}); {remedy}.") from None
    missing = needed - content.keys() if isinstance(content, dict) else needed
    if missing:
        raise WeightsError(f"{file}: the file has no entry {', '.join(sorted(missing))}; {remedy}.")
    return content


def names() -> list[str]:
    """Return the names of the released weights."""
    return list(manifest()["weights"])


def card(name: str) -> dict:
    """Return the model card of released weights, which contains their training details and scores.

    Raises:
        WeightsError: If the name is unknown or the card is corrupted.
    """
    if name not in names():
        raise WeightsError(f"'{name}' has no card; choose one of: {', '.join(names())}.")
    return _read_json(f"{name}.json", {"bytes", "classes", "data", "file", "model", "scores", "sha256"})


def find(name: str) -> Path:
    """Return the path of released weights in the checkout or in the cache, and download them if necessary.

    The cache is a folder in the user's cache directory, or the folder in the environment variable SEGLIB_CACHE.

    Raises:
        WeightsError: If the name is unknown, the download fails, or the file differs from the released one.
    """
    listed = manifest()
    if name not in listed["weights"]:
        known = ", ".join(listed["weights"])
        raise WeightsError(f"'{name}': no released weights and no .safetensors file; choose one of: {known}.")
    entry = listed["weights"][name]
    file = FOLDER / entry["file"]
    if not file.exists():
        return _download(entry, os.environ.get(ADDRESS_VARIABLE) or listed["address"])
    if pooch.file_hash(str(file)) != entry["sha256"]:
        remedy = f"delete it to download it again, or restore it with `git checkout -- weights/{entry['file']}`"
        raise WeightsError(f"{file}: differs from the released file (sha256); {remedy}.")
    return file


def _download(entry: Mapping, address: str) -> Path:
    """Return the path of a file in the cache, and download the file if it is missing or corrupted."""
    if not address:
        raise WeightsError(
            f"{FOLDER / entry['file']}: not here, and no download address is known; restore it with `git checkout -- "
            f"weights/{entry['file']}`, or set {ADDRESS_VARIABLE} to the address of a folder that has it."
        )
    if not address.lower().startswith(("http://", "https://")):
        raise WeightsError(f"{ADDRESS_VARIABLE} is '{address}', but must begin with http:// or https://; correct it.")
    url = f"{address.rstrip('/')}/{entry['file']}"
    cache = os.environ.get(CACHE_VARIABLE) or pooch.os_cache("seglib")
    downloader = pooch.HTTPDownloader(timeout=TIMEOUT)
    pooch.get_logger().setLevel("WARNING")
    try:
        return Path(pooch.retrieve(url, f"sha256:{entry['sha256']}", entry["file"], cache, downloader=downloader))
    except (OSError, ValueError) as error:  # `requests` raises OSErrors; a wrong hash raises a ValueError
        from requests import RequestException  # slow to import

        remedy = "check the connection" if isinstance(error, RequestException) else "try again later"
        raise WeightsError(f"{url}: cannot be downloaded ({' '.join(str(error).split())[:300]}); {remedy}.") from None


def load(name: str) -> tuple[nn.Module, dict]:
    """Load a trained network.

    Args:
        name: The name of released weights, such as "unet-horses", or the path of a .safetensors file.

    Returns:
        The network in eval mode, in float32 and on the CPU, and its metadata: `config` (the configuration of the
        training run), `classes`, `palette` and `num_outputs`.

    Raises:
        WeightsError: If there are no such weights, or the file is corrupted or does not match its metadata.
    """
    return load_file(Path(name) if name.endswith(".safetensors") else find(name))


class _NoRandomWeights(TorchFunctionMode):
    """Context manager that skips the random initialization of tensors.

    On the meta device, random initialization would import PyTorch's compiler, which takes three seconds.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in (torch.Tensor.normal_, torch.Tensor.uniform_):
            return args[0]
        return function(*args, **(kwargs or {}))


def load_file(file: Path) -> tuple[nn.Module, dict]:
    """Load a trained network from a file with any name.  The result and the exceptions are the same as for `load`."""
    tensors, metadata = read_tensors(file)
    if fault := weights_metadata.find_fault(metadata):
        raise WeightsError(f"{file}: not weights of this project ({fault} in its metadata); get the file again.")
    network = metadata["config"]["model"]
    try:
        options = {"in_channels": len(metadata["config"]["inference"].get("mean", ())) or 3} | network["options"]
        create = partial(models.create, network["name"], metadata["num_outputs"], **options)
        with torch.device("meta"), _NoRandomWeights():  # uses no memory, even for a very large network
            model = create()
        tensors = models.upgrade_state_dict(tensors)
        model.load_state_dict(tensors, assign=True)
        if any(buffer.is_meta for buffer in model.buffers()):  # buffers that are not in the file
            model = create()
            model.load_state_dict(tensors)
    except (RuntimeError, ValueError, TypeError, OverflowError) as error:  # a ModelError is a ValueError
        reason = str(error).splitlines()[:2][-1].strip()[:300]  # the first line of PyTorch's message has no details
        raise WeightsError(f"{file}: the tensors do not fit {str(network['name'])[:40]} ({reason}).") from None
    return model.float().eval(), metadata
