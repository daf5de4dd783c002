"""The synthetic data sets: images depend on their number alone, and masks cover exactly what is visible."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from course.synthetic import creatures, streets
from course.synthetic.creatures import draw_creature
from course.synthetic.drawing import Canvas, Plane
from course.synthetic.streets import draw_street
from seglib import data

DRAW = {"creatures": draw_creature, "streets": draw_street}
KINDS = {"creatures": creatures, "streets": streets}
both = pytest.mark.parametrize("kind", DRAW)


def digest(kind: str, seed: int, index: int, height: int = 48, width: int = 64) -> str:
    image, labels = DRAW[kind](seed, index, height, width)
    return hashlib.sha256(image.tobytes() + labels.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def fields():
    """Forty creatures and their masks."""
    return [draw_creature(1, index, 80, 80) for index in range(40)]


@pytest.fixture(scope="module")
def towns():
    """The labels of fifty streets."""
    return [draw_street(1, index, 96, 128)[1] for index in range(50)]


@both
def test_image_depends_on_seed_and_index_alone(kind):
    forward = [digest(kind, 3, index) for index in range(3)]
    assert [digest(kind, 3, index) for index in (2, 1, 0)] == forward[::-1]
    np.random.seed(5)
    assert digest(kind, 3, 0) == forward[0]
    assert len({*forward, digest(kind, 4, 0), digest(kind, 3, 10_000_000)}) == 5


def test_a_fresh_process_draws_the_same():
    program = (
        "from tests.course.test_synthetic import digest; print(digest('streets', 7, 11), digest('creatures', 7, 11))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [digest("streets", 7, 11), digest("creatures", 7, 11)]


@both
@settings(deadline=None, derandomize=True, max_examples=12)
@given(height=st.integers(32, 75), width=st.integers(32, 75), index=st.integers(0, 2**40))
def test_any_size_works(kind, height, width, index):
    image, labels = DRAW[kind](0, index, height, width)
    assert image.shape == (height, width, 3) and image.dtype == np.uint8
    assert labels.shape == (height, width) and labels.dtype == np.uint8
    assert labels.max() < len(KINDS[kind].CLASSES) == len(KINDS[kind].PALETTE)
    assert image.std() > 5


@both
@pytest.mark.parametrize("size", [(32, 300), (300, 32), (33, 35)])
def test_narrow_images_work(kind, size):
    image, labels = DRAW[kind](0, 0, *size)
    assert image.shape[:2] == labels.shape == size


@both
def test_a_scene_is_the_same_at_every_size(kind):
    agreement = []
    for index in range(6):
        small, large = DRAW[kind](0, index, 72, 96)[1], DRAW[kind](0, index, 144, 192)[1]
        agreement.append(np.mean(small == large[::2, ::2]))
    assert np.mean(agreement) > 0.92


@both
@pytest.mark.parametrize("size", [(31, 64), (64, 8), (0, 0), (-40, 50), (64.0, 64)])
def test_a_bad_size_is_refused(kind, size):
    with pytest.raises(ValueError, match=r"each side must be a whole number of at least 32 pixels\.$"):
        DRAW[kind](0, 0, *size)


@both
@pytest.mark.parametrize(("seed", "index", "name"), [(-1, 0, "seed"), (0, -1, "index"), (0.5, 0, "seed")])
def test_a_bad_number_is_refused(kind, seed, index, name):
    with pytest.raises(ValueError, match=rf"^{name} is .* needs an integer of 0 or more\.$"):
        DRAW[kind](seed, index, 64, 64)


def test_the_mask_is_exactly_where_the_creature_is_seen():
    same = total = 0
    for index in range(12):
        with_animals, without = (
            np.asarray(creatures._scene(2, index, 80, 100, animals=animals, shadows=False)[0].image)
            for animals in (True, False)
        )
        changed = (with_animals[..., :3] != without[..., :3]).any(-1)
        labelled = with_animals[..., 3] == creatures.CREATURE
        assert not without[..., 3].any()
        assert not (changed & ~labelled).any()  # outside the mask not one subpixel differs
        same, total = same + np.sum(labelled & ~changed), total + np.sum(labelled)
    assert same < 0.01 * total  # inside it a colour may coincide by chance


def test_shadows_are_background():
    dark, light = (creatures._scene(2, 3, 80, 100, shadows=cast)[0].image_and_mask() for cast in (True, False))
    assert (dark[1] == light[1]).all()
    assert (dark[0] != light[0]).any()


class LabelColours(Canvas):
    """A canvas on which every shape has the colour of its label, without light and texture."""

    def _inks(self, colours, label, count):
        return [(*streets.PALETTE[label], label)] * count

    def backdrop(self, texture, bottom=1.0):
        self.image.paste((*streets.PALETTE[0], 0), (0, 0, *self.image.size))

    def shade(self, *options):
        pass


@pytest.mark.parametrize("index", range(4))
def test_colour_and_label_of_a_street_cover_the_same_subpixels(index):
    canvas, _ = streets._scene(0, index, 90, 120, LabelColours(90, 120))
    colours, labels = np.split(np.asarray(canvas.image), [3], axis=-1)
    assert (colours == np.array(streets.PALETTE)[labels[..., 0]]).all()
    assert (canvas.image_and_mask()[1] == draw_street(0, index, 90, 120)[1]).all()  # light and texture move no label


def test_a_label_is_the_majority_of_four_subpixels():
    canvas = Canvas(40, 36)
    subpixels = np.random.default_rng(0).integers(0, 4, (80, 72)).astype(np.uint8)
    canvas.image.putalpha(Image.fromarray(subpixels))
    labels = canvas.image_and_mask()[1]
    four = subpixels.reshape(40, 2, 36, 2).swapaxes(1, 2).reshape(40, 36, 4)
    votes = (four[..., None] == np.arange(4)).sum(-2)
    chosen = np.take_along_axis(votes, labels[..., None].astype(int), -1)[..., 0]
    assert (chosen == votes.max(-1)).all()


def test_painting_through_a_stencil_covers_the_stencil():
    canvas, stencil = Canvas(50, 60), Plane(50, 60)
    stencil.tube(((0.2, 0.3), (0.6, 0.5), (1.3, 0.4)), (0.1, 0.2, 0.05))
    canvas.paint(np.full((4, 4, 3), 200), stencil, 7, softness=0.05, light=(0.5, -1))
    covered = np.asarray(stencil.image) == 255
    assert (np.asarray(canvas.image)[..., 3] == np.where(covered, 7, 0)).all()
    assert ((np.asarray(canvas.image)[..., :3] > 0).all(-1) == covered).all()


def test_creatures_fill_a_sensible_share(fields):
    share = np.array([mask.mean() for _, mask in fields])
    assert ((share > 0.01) & (share < 0.7)).all()
    assert 0.1 < share.mean() < 0.3
    assert share.std() > 0.05
    assert ((share > 0.03) & (share < 0.6)).mean() > 0.9


def iou(target: np.ndarray, guess: np.ndarray) -> float:
    return np.sum(target & guess) / max(1, np.sum(target | guess))


def otsu(grey: np.ndarray) -> np.ndarray:
    """Split at the grey level that separates the two sides best (Otsu, 1979)."""
    counts = np.bincount(grey.ravel(), minlength=256) / grey.size
    weight, mean = np.cumsum(counts), np.cumsum(counts * np.arange(256))
    between = (mean[-1] * weight - mean) ** 2 / np.maximum(weight * (1 - weight), 1e-9)
    return grey > between.argmax()


def k_means(image: np.ndarray, k: int = 3) -> np.ndarray:
    pixels = image.reshape(-1, 3).astype(float)
    centres = pixels[np.linspace(0, len(pixels) - 1, k).astype(int)]
    for _ in range(8):
        nearest = ((pixels[:, None] - centres) ** 2).sum(-1).argmin(1)
        centres = np.stack([pixels[nearest == j].mean(0) if (nearest == j).any() else centres[j] for j in range(k)])
    return nearest.reshape(image.shape[:2])


def test_no_threshold_on_colour_finds_the_creatures(fields):
    brightness, clusters = [], []
    for image, mask in fields:
        target, bright, part = mask == 1, otsu(image.mean(-1).astype(np.uint8)), k_means(image)
        # Each image's best side is chosen with the ground truth, and still it is not enough.
        brightness.append(max(iou(target, bright), iou(target, ~bright)))
        clusters.append(max(iou(target, part == j) for j in range(3)))
    assert np.mean(brightness) < 0.4
    assert np.mean(clusters) < 0.4


def test_the_eleven_classes_of_camvid_occur(towns):
    assert streets.CLASSES == tuple(
        "Sky Building Pole Road Pavement Tree SignSymbol Fence Car Pedestrian Bicyclist".split()
    )
    present = np.array([np.bincount(labels.ravel(), minlength=11) > 0 for labels in towns]).mean(0)
    assert (present > 0.6).all(), dict(zip(streets.CLASSES, present, strict=True))
    share = np.mean([np.bincount(labels.ravel(), minlength=11) / labels.size for labels in towns], 0)
    assert share[3] > 0.15 and share[1] > 0.1  # road and buildings fill the image
    assert 0.001 < share[[2, 6, 7, 9, 10]].min() and share[[2, 6, 7, 9, 10]].max() < 0.05  # what is thin stays thin


def test_data_sets_give_images_by_split_and_number():
    train, val = (data.load("creatures", split, length=3, size=(40, 50), seed=4) for split in ("train", "val"))
    assert len(train) == 3 and train.keys[1] == "creatures-train-00001"
    assert train[1]["image"].shape == (40, 50, 3) and train[1]["mask"].shape == (40, 50)
    assert np.array_equal(train[1]["image"], draw_creature(4, 1, 40, 50)[0])
    assert not np.array_equal(train[1]["image"], val[1]["image"])
    assert train[1]["image"] is train[1]["image"]  # drawn once
    streets = data.load("streets", "test")
    assert len(streets) == 64 and streets.num_classes == 11


@pytest.mark.parametrize(
    "options, named",
    [
        ({"size": (20, 50)}, "size"),
        ({"size": 64}, "size"),
        ({"size": (64.5, 64)}, "size"),
        ({"length": -1}, "length -1"),
        ({"seed": "x"}, "seed x"),
        ({"colour": 1}, "no option 'colour'; only creatures, streets do: length, size, seed"),
    ],
)
def test_wrong_options_are_refused_in_one_sentence(options, named):
    with pytest.raises(data.DataError, match=named):
        data.load("creatures", "train", **options)
    with pytest.raises(data.DataError, match="no split 'all'"):
        data.load("creatures", "all")
