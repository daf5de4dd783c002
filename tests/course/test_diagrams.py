"""The diagrams: a network is traced while it runs, and laid out."""

import functools

import numpy as np
import pytest
import torch
from matplotlib.path import Path
from matplotlib.transforms import Bbox
from torch import nn

from course import figures
from course.figures.diagrams import trace
from course.figures.placement import arrange, text_width
from course.figures.trace import Block
from seglib import models, visualize


def drawn(figure) -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def texts(figure) -> str:
    return "\n".join(text.get_text() for axes in figure.axes for text in axes.texts) + "".join(
        axes.get_title(loc="left") for axes in figure.axes
    )


def test_trace_follows_the_u():
    blocks = trace(models.create("unet", 2, width=2), (37, 51))
    assert [block.name for block in blocks] == [
        "stem",
        "down1",
        "down2",
        "down3",
        "down4",
        "up1",
        "up2",
        "up3",
        "up4",
        "classifier",
    ]
    assert [block.shape for block in blocks[:5]] == [(2, 37, 51), (4, 18, 25), (8, 9, 12), (16, 4, 6), (32, 2, 3)]
    assert blocks[-1].shape == (2, 37, 51)
    assert [block.sources for block in blocks] == [[-1], [0], [1], [2], [3], [4, 3], [5, 2], [6, 1], [7, 0], [8]]


def test_trace_counts_every_weight_and_leaves_the_network_unchanged():
    model = models.create("unet", 2, width=2).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    blocks = trace(model, (16, 16))
    assert sum(block.parameters for block in blocks) == sum(p.numel() for p in model.parameters())
    assert model.training and all(not module._forward_hooks for module in model.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_trace_removes_its_hooks_when_the_network_fails():
    model = models.create("unet", 2, width=2)
    with pytest.raises(ValueError, match="16x16"):
        trace(model, (8, 8))
    assert all(not module._forward_hooks for module in model.modules())


def test_a_network_on_meta_needs_no_numbers():
    with torch.device("meta"):
        model = models.create("unet", 2)
    figure = figures.architecture(model, (48, 64))
    assert "31,037,698" in texts(figure) and "1024 ch\n3 \u00d7 4\n14.2 M" in texts(figure)
    assert drawn(figure).std() > 0


def parts_of(figure):
    """The boxes, circles, texts and arrows of a diagram, in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.patches import FancyArrowPatch

    renderer = FigureCanvasAgg(figure).get_renderer()
    axes = figure.axes[0]
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    shapes = [patch.get_window_extent(renderer) for patch in axes.patches if patch not in arrows]
    written = [*axes.texts, axes._left_title, *figure.legends]
    words = [text.get_window_extent(renderer) for text in written]
    # The boxes of consecutive lines of text touch; one pixel at each edge is empty.
    words = [word.padded(-1) for word in words]
    return shapes, words, [axes.transData.transform_path(arrow._path_original) for arrow in arrows]


def check_geometry(figure):
    """Check that nothing overlaps or leaves the page, and that no arrow crosses a box or a text."""
    shapes, words, arrows = parts_of(figure)
    things = shapes + words
    for number, thing in enumerate(things):
        assert not any(thing.overlaps(other) for other in things[:number])
        assert figure.bbox.x0 <= thing.x0 and thing.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= thing.y0 and thing.y1 <= figure.bbox.y1
    for arrow in arrows:
        assert not any(arrow.intersects_bbox(thing.padded(-1), filled=False) for thing in things)


@functools.lru_cache
def on_meta(name: str, **options) -> nn.Module:
    with torch.device("meta"):
        return models.create(name, 5, **options)


@pytest.mark.parametrize("name", models.names())
def test_every_network_is_drawn_without_overlap_and_with_all_its_weights(name):
    model = on_meta(name)
    total = sum(p.numel() for p in model.parameters())
    figure = figures.architecture(model, (128, 96), title=name)
    check_geometry(figure)
    assert figure.get_figwidth() < 10.41
    assert f"{name} on an image of 128 \u00d7 96: {total:,} parameters" in texts(figure)
    assert "outside" not in texts(figure)  # the blocks and arrows have all parameters


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("u2netp", "encoder.0"),
        ("u2netp", "encoder.4"),
        ("unet", "up1"),
        ("hrnet_w18_small_v1", "stage3.0"),
        ("hrnet_w18_small_v1", "layer1.0"),
        ("mini_hrnet_v3", "branches1.0.0"),
        ("mini_hrnet_v3", "fusion1"),
        ("dilated_resnet50", "head"),
    ],
)
def test_a_part_of_a_network_is_drawn(name, part):
    figure = figures.architecture(on_meta(name), (128, 96), part=part)
    check_geometry(figure)
    total = sum(p.numel() for p in on_meta(name).get_submodule(part).parameters())
    assert f"its {part} " in texts(figure) and f"{total:,} parameters" in texts(figure)
    assert "outside" not in texts(figure)


def test_the_pyramid_pooling_head_is_drawn():
    figure = figures.architecture(on_meta("dilated_resnet50", head="ppm"), (96, 96))
    check_geometry(figure)
    assert "512 ch\n6 \u00d7 6" in texts(figure) and "512 ch\n1 \u00d7 1" in texts(figure)


def test_other_names_of_blocks_are_written_above_those_of_the_modules():
    names = {"backbone.layer1": "conv2_x", "head.0.convs.1": "branch 1"}
    figure = figures.architecture(on_meta("dilated_resnet50", head="aspp"), (96, 96), names=names)
    check_geometry(figure)
    assert "conv2_x\nbackbone\nlayer1" in texts(figure) and "branch 1, head.0.convs.1" in texts(figure)


def true_results(model, size):
    """Return the output shape (C, H, W) of every module for a batch of two; a list of shapes for lists of outputs."""
    outputs = {}

    def keep(module, inputs, result):
        shapes = [tuple(t.shape[1:]) for t in (result if isinstance(result, (list, tuple)) else [result])]
        outputs[module] = shapes if isinstance(result, (list, tuple)) else shapes[0]

    hooks = [module.register_forward_hook(keep) for module in model.modules()]
    with torch.no_grad():
        model.train()(torch.rand(2, 3, *size))
    for hook in hooks:
        hook.remove()
    return {name: outputs[module] for name, module in model.named_modules() if module in outputs}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("unet", {"width": 4}),
        ("u2netp", {}),
        ("hrnet_w18_small_v1", {}),
        ("mini_hrnet", {}),
        ("mini_hrnet_v3", {}),
        ("dilated_resnet50", {"head_channels": 8}),
        ("dilated_resnet50", {"head": "ppm", "head_channels": 8}),
    ],
)
def test_blocks_have_the_shapes_of_the_true_tensors(name, options):
    model = models.create(name, 5, **options)
    blocks = trace(model, (64, 96))
    results = true_results(model, (64, 96))
    for block in blocks:
        if block.kind == "block":
            module = model.get_submodule(block.name)
            assert block.shape == results[block.name]
            if not isinstance(module, nn.Conv2d):  # which may include the weights of the following normalisation
                assert block.parameters == sum(p.numel() for p in module.parameters())
        elif block.kind == "join":
            assert block.shape in results[block.name]
    for module in {block.name for block in blocks if block.kind == "join"} - {"transition1", "transition2"}:
        joined = [block.shape for block in blocks if block.name == module]
        assert joined == results[module] or joined == results[module][-1:]  # a transition that keeps the others
    assert sum(block.parameters for block in blocks) == sum(p.numel() for p in model.parameters())
    if blocks[-1].kind == "output":
        assert blocks[-1].shape == (5, 64, 96)


def named_sources(blocks) -> dict[str, list[str]]:
    return {block.name: [blocks[s].name if s >= 0 else "in" for s in block.sources] for block in blocks}


def test_trace_follows_the_nested_u():
    sources = named_sources(trace(on_meta("u2netp"), (64, 64)))
    assert len(sources) == 6 + 5 + 6 + 1
    assert sources["encoder.0"] == ["in"] and sources["decoder.4"] == ["encoder.5", "encoder.4"]
    assert all(sources[f"decoder.{i}"] == [f"decoder.{i + 1}", f"encoder.{i}"] for i in range(4))
    assert [sources[f"side_convs.{i}"] for i in range(6)] == [*([f"decoder.{i}"] for i in range(5)), ["encoder.5"]]
    assert sources["out_conv"] == [f"side_convs.{i}" for i in range(6)]


def test_trace_follows_the_inside_of_an_rsu():
    sources = named_sources(trace(on_meta("u2netp"), (64, 64), part="decoder.3"))
    assert sources["conv_in"] == ["in"] and sources["up.2"] == ["down.3", "down.2"]
    assert sources["output"] == ["up.0", "conv_in"]  # the residual
    alone = models.create("u2netp", 5).decoder[3]
    assert named_sources(trace(alone, (8, 8))) == sources


def test_trace_follows_the_streams_of_an_hrnet():
    blocks = trace(on_meta("hrnet_w18_small_v1"), (64, 64))
    widths = (16, 32, 64, 128)
    branches = [b for b in blocks if b.name.startswith("stage4.0.branches")]
    assert [b.shape for b in branches] == [(c, 16 // 2**i, 16 // 2**i) for i, c in enumerate(widths)]
    joins = [b for b in blocks if b.name == "stage4.0"]
    places = [blocks.index(b) for b in branches]
    # Every stream gets input from every stream; its own input is unchanged.
    assert all(sorted(join.sources) == places for join in joins)
    assert [set(places) - set(join.learned) for join in joins] == [{place} for place in places]
    assert len([b for b in blocks if b.name == "transition3"]) == 1  # the stream that it starts


def test_trace_sees_dilation_and_the_branches_of_the_pyramid():
    blocks = {block.name: block for block in trace(on_meta("dilated_resnet50"), (64, 64))}
    sources = named_sources(list(blocks.values()))
    assert [blocks[f"backbone.layer{n}"].shape[1] for n in (1, 2, 3, 4)] == [16, 8, 8, 8]
    assert blocks["backbone.layer3"].dilations == (1, 2) and blocks["backbone.layer4"].dilations == (2, 4)
    assert [blocks[f"head.0.convs.{n}"].dilations for n in range(5)] == [(), (12,), (24,), (36,), ()]
    assert all(sources[f"head.0.convs.{n}"] == ["backbone.layer4"] for n in range(5))
    assert sources["aux_head"] == ["backbone.layer3"]  # it runs in training only


def test_a_network_that_recomputes_is_drawn_too():
    assert len(trace(on_meta("u2netp", checkpointing=True), (64, 64))) == 18


def test_weights_outside_of_the_blocks_are_reported():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv2d(3, 4, 1)
            self.scale = nn.Parameter(torch.ones(7, 1, 1, 1))

        def forward(self, x):
            return self.body(x) * self.scale.sum()

    assert "23 parameters" in texts(figures.architecture(Scaled(), (16, 16)))
    assert "; 7 parameters are outside" in texts(figures.architecture(Scaled(), (16, 16)))


def test_shared_weights_count_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.body(self.body(x))

    assert [block.parameters for block in trace(Twice(), (16, 16))] == [12, 0]


@pytest.mark.parametrize("seed", range(15))
def test_any_network_is_laid_out_without_crossings(seed):
    """Blocks of random sizes that take the results of random others."""
    random = np.random.default_rng(seed)
    blocks = [Block("input", (3, 64, 64), kind="input")]
    for number in range(random.integers(3, 16)):
        side = int(2 ** random.integers(4, 7))
        sources = sorted({int(s) for s in random.integers(max(0, number - 5), number + 1, random.integers(1, 4))})
        blocks.append(Block(f"block.{number}", (8 * side, side, side), 10**number, sources))
    sheet = arrange(blocks)
    solid = []
    for box in sheet.boxes:
        solid.append(Bbox.from_bounds(box.x - box.width / 2, box.y - box.height / 2, box.width, box.height))
        half = max(text_width(line, sheet.size, n == 0) for n, line in enumerate(box.lines)) / 2
        height = sheet.size * 1.2 / 72 * len(box.lines)
        solid.append(Bbox.from_extents(box.x - half, box.text_top - height, box.x + half, box.text_top))
    assert sheet.width < 10.41
    for number, one in enumerate(solid):
        assert not any(one.overlaps(other) for other in solid[:number])
    for route in sheet.routes:
        assert not any(Path(route.points).intersects_bbox(one, filled=False) for one in solid)


def test_an_unknown_part_is_refused_by_name():
    with pytest.raises(visualize.VisualizeError, match="no part 'stage9'.*conv1, bn1"):
        figures.architecture(on_meta("hrnet_w18_small_v1"), (64, 64), part="stage9")
    with pytest.raises(visualize.VisualizeError, match="part 'encoder' of U2NetP"):  # a list, which does not run
        figures.architecture(on_meta("u2netp"), (64, 64), part="encoder")


def test_a_network_without_feature_maps_is_refused():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.mean = nn.Flatten()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return self.mean(x) * self.scale

    with pytest.raises(visualize.VisualizeError, match="Flat"):
        figures.architecture(Flat(), (16, 16))
