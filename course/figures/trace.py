"""Record the structure of a network in a forward pass: its blocks, their output shapes, and their inputs.

This works for any architecture.  Hooks record when the forward pass of a module starts and ends.  A dispatch mode
records, for the result of every operation, the blocks from which the result was computed.  The forward pass runs on
PyTorch's meta device, where tensors have shapes but no values.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

from seglib.visualize import VisualizeError

_FORK = 3  # a module is drawn as parallel branches if one feature map is the input of this many blocks
_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


@dataclass(eq=False)
class Block:
    """A part of a network, recorded in a forward pass.

    Attributes:
        name: Dotted name of the module.
        shape: (channels, height, width) of the output.
        parameters: Number of parameters.  For a join, those of the layers that are drawn as its arrows.
        sources: Indices of the blocks whose outputs this block uses; in the result of `trace`, -1 is the network input.
        learned: The sources whose arrows have parameters; empty unless the block is a join.
        dilations: Dilations of the convolutions that are larger than 1x1.
        kind: "block", "join" (several branches meet), "input" or "output".
        taken: Shape of the first input.
        title: Another name, which is written above `name`.
    """

    name: str
    shape: tuple[int, ...]
    parameters: int = 0
    sources: list = field(default_factory=list)
    learned: list = field(default_factory=list)
    dilations: tuple[int, ...] = ()
    kind: str = "block"
    taken: tuple[int, ...] = ()
    title: str = ""


@dataclass
class _Call:
    module: nn.Module
    begin: int  # number of blocks before the call
    sources: list[Block]
    given: list[Tensor]
    listed: bool  # whether the first argument was a list of tensors


def trace(model: nn.Module, input_size: tuple[int, int], in_channels: int | None = None, part: str = "") -> list[Block]:
    """Return the blocks of `model` in the order of the forward pass.

    A block is the largest module that returns a single feature map (N, C, H, W).  A module is divided into smaller
    blocks if it returns several feature maps, or if it has three or more branches from one feature map.  The forward
    pass runs in training mode, so that auxiliary heads are included.  The model is not changed.

    Args:
        model: The network.
        input_size: (height, width) of the input image.
        in_channels: Channels of the input; by default the input channels of the first convolution.
        part: Return only the blocks in this module, a dotted name as in `model.named_modules()`.

    Raises:
        VisualizeError: If the model has no such part, or the part has no blocks.
    """
    inputs, blocks = record(model, input_size, in_channels, part)
    for block in blocks:
        block.sources = [source - len(inputs) for source in block.sources]
        block.learned = [source - len(inputs) for source in block.learned]
    return blocks


def record(
    model: nn.Module, input_size: tuple[int, int], in_channels: int | None = None, part: str = ""
) -> tuple[list[Block], list[Block]]:
    """Return the inputs and the blocks of `trace`; their sources are indices into the list [*inputs, *blocks]."""
    root = dict(model.named_modules()).get(part)
    if root is None:
        known = ", ".join(name for name, _ in model.named_children())
        raise VisualizeError(f"{type(model).__name__} has no part '{part}'; its parts begin with: {known}.")
    if in_channels is None:
        convolutions = (module.in_channels for module in model.modules() if isinstance(module, nn.Conv2d))
        in_channels = next(convolutions, 3)
    recorder = _Recorder(root)
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    ghost = {name: tensor.detach().to("meta") for name, tensor in state.items()}
    kind = next((tensor.dtype for tensor in ghost.values() if tensor.is_floating_point()), torch.float32)
    image = torch.empty(2, in_channels, *input_size, device="meta", dtype=kind)  # batch normalization needs two images
    modes = {module: module.training for module in model.modules()}
    hooks = recorder.hook()
    try:
        with torch.no_grad(), recorder:
            functional_call(model.train(), ghost, (image,))
    finally:
        for module, mode in modes.items():
            module.training = mode
        for hook in hooks:
            hook.remove()
    if not recorder.blocks:
        name = f"part '{part}' of {type(model).__name__}" if part else type(model).__name__
        raise VisualizeError(f"no layer within {name} returned an image (N, C, H, W): nothing to draw.")
    place = {block: number for number, block in enumerate([*recorder.inputs, *recorder.blocks])}
    for block in recorder.blocks:
        block.sources = [place[source] for source in block.sources]
        block.learned = [place[source] for source in block.learned]
    return recorder.inputs, recorder.blocks


class _Recorder(TorchDispatchMode):
    """Records the blocks of a forward pass. `makers` maps each tensor to the blocks from which it was computed."""

    def __init__(self, root: nn.Module):
        super().__init__()
        self.root = root
        self.names = {module: name for name, module in root.named_modules()}
        self.inputs: list[Block] = []
        self.blocks: list[Block] = []
        self.calls: list[_Call] = []
        self.done = False
        self.makers: dict[int, list[Block]] = {}  # key: id of the tensor
        self.alive: list[Tensor] = []  # keeps tensors alive, because the id of a deleted tensor can be reused
        self.counted: set[int] = set()  # ids of counted parameters, so that shared parameters are counted once

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        makers = self._makers([*_tensors(args), *_tensors(kwargs)])
        for tensor in _tensors(result):
            self._remember(tensor, makers)
        return result

    def _remember(self, tensor: Tensor, makers: list[Block]) -> None:
        self.makers[id(tensor)] = makers
        self.alive.append(tensor)

    def _makers(self, tensors: list[Tensor]) -> list[Block]:
        return list(dict.fromkeys(block for tensor in tensors for block in self.makers.get(id(tensor), ())))

    def hook(self) -> list:
        """Register hooks on the root and on all modules with parameters, and return the hooks."""
        chosen = [module for module in self.names if module is self.root or any(True for _ in module.parameters())]
        begin = [module.register_forward_pre_hook(self._begin, with_kwargs=True) for module in chosen]
        return begin + [module.register_forward_hook(self._end) for module in chosen]

    def _begin(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        given = [tensor for tensor in _tensors([args, kwargs]) if tensor.ndim == 4]
        if module is self.root and not self.done:
            self.inputs = [Block("input", tuple(tensor.shape[1:]), kind="input") for tensor in given]
            self.makers.clear()
            for tensor, block in zip(given, self.inputs, strict=True):
                self._remember(tensor, [block])
        elif not self.calls:  # outside of the requested part
            return
        listed = bool(args) and isinstance(args[0], (list, tuple))
        self.calls.append(_Call(module, len(self.blocks), self._makers(given), given, listed))

    def _end(self, module: nn.Module, args: tuple, result: object) -> None:
        if not self.calls:
            return
        call = self.calls.pop()
        images = [tensor for tensor in _tensors(result) if tensor.ndim == 4]
        if call.listed and isinstance(result, (list, tuple)):
            self._join(call, images)
        elif module is not self.root and isinstance(result, Tensor) and images:
            self._close(call, result)
        if module is self.root:
            self.done = True
            self._conclude(images[:1])

    def _close(self, call: _Call, result: Tensor) -> None:
        """Merge the blocks in a module with one output feature map into one block, unless it has parallel branches."""
        within = self.blocks[call.begin :]
        forks = [tuple(block.sources) for block in within]
        if sum(forks.count(sources) >= _FORK for sources in set(forks)) == 1:
            return
        shape, taken = tuple(result.shape[1:]), tuple(call.given[0].shape[1:]) if call.given else ()
        parameters = sum(block.parameters for block in within) + self._count(call.module)
        before = self.blocks[self.calls[-1].begin :]
        if isinstance(call.module, _NORMS) and len(call.sources) == 1 and call.sources[0] in before:
            call.sources[0].parameters += parameters  # a normalization is merged into the layer before it
            self._remember(result, call.sources)
            return
        block = Block(
            self.names[call.module], shape, parameters, call.sources, dilations=_dilations(call.module), taken=taken
        )
        self.blocks[call.begin :] = [block]
        self._remember(result, [block])

    def _join(self, call: _Call, images: list[Tensor]) -> None:
        """In a module that fuses parallel branches, replace the blocks between branches with arrows into a join."""
        within = self.blocks[call.begin :]
        feeding = {source for block in within for source in block.sources}
        arrows = {b for b in within if b.kind == "block" and b.taken != b.shape and b not in feeding}
        joins = []
        for image in images:
            makers = self.makers.get(id(image), [])
            arriving = [block for block in makers if block in arrows]
            if len(makers) < 2 and not arriving:
                continue
            sources = [source for block in makers for source in (block.sources if block in arrows else [block])]
            join = Block(self.names[call.module], tuple(image.shape[1:]), sources=sources, kind="join")
            join.learned = [source for block in arriving for source in block.sources]
            join.parameters = sum(block.parameters for block in arriving)
            self._remember(image, [join])
            joins.append(join)
        self.blocks[call.begin :] = [block for block in within if block not in arrows] + joins

    def _conclude(self, answer: list[Tensor]) -> None:
        """Add an output block if the first output comes from several blocks or differs in shape from its only block."""
        makers = self._makers(answer)
        shapes = [tuple(tensor.shape[1:]) for tensor in answer]
        if self.blocks and makers and (len(makers) > 1 or makers[0].shape not in shapes):
            self.blocks.append(Block("output", shapes[0], sources=makers, kind="output"))

    def _count(self, module: nn.Module) -> int:
        fresh = [value for value in module.parameters() if id(value) not in self.counted]
        self.counted.update(id(value) for value in fresh)
        return sum(value.numel() for value in fresh)


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _tensors(entry)


def _dilations(module: nn.Module) -> tuple[int, ...]:
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d) and max(layer.kernel_size) > 1]
    return tuple(sorted({dilation for layer in layers for dilation in layer.dilation}))
