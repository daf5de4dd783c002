"""Synthetic creatures: four-legged animals among many other objects, with the classes background and creature.

An image depends only on (seed, index, height, width), not on earlier images. With the same library versions, images are
byte-identical. Other versions of Pillow may rasterize and resize differently, which changes individual pixels. Other
versions of NumPy may draw different random numbers, which gives a different scene.
"""

from typing import NamedTuple

import numpy as np

from . import scenery
from .drawing import Canvas, child, generator, jitter, mix, photograph, smooth

CLASSES = ("background", "creature")
PALETTE = ((0, 0, 0), (224, 128, 64))
CREATURE = 1


class Build(NamedTuple):
    """Proportions of an animal, as multiples of the trunk length; angles are in degrees above the horizontal."""

    legs: float
    girth: float
    neck: float
    neck_angle: float
    head: float
    droop: float  # angle in degrees between neck and head
    face: float  # radius of the head
    leg: float  # radius of the lower leg
    tail: float
    ear: float
    mane: float = 0
    horns: float = 0
    wool: float = 0


BUILDS = (
    Build(0.62, 0.200, 0.44, 50, 0.38, 95, 0.105, 0.036, 0.62, 0.11, mane=0.1),  # horse
    Build(0.58, 0.190, 0.36, 62, 0.36, 100, 0.100, 0.036, 0.50, 0.12, mane=0.12),  # pony with a high head
    Build(0.44, 0.250, 0.24, 22, 0.34, 60, 0.125, 0.046, 0.50, 0.13, horns=0.16),  # cow
    Build(0.42, 0.155, 0.20, 52, 0.30, 68, 0.105, 0.042, 0.42, 0.15),  # dog
    Build(0.66, 0.165, 0.42, 64, 0.28, 85, 0.085, 0.027, 0.12, 0.15, horns=0.34),  # deer
    Build(0.34, 0.240, 0.16, 38, 0.26, 70, 0.090, 0.036, 0.14, 0.12, wool=1),  # sheep
)


class Part(NamedTuple):
    points: np.ndarray  # (n, 2), x forward and y up from the ground
    radii: np.ndarray
    layer: str  # far, far hoof, near, near hoof or hair


def _joint(top, foot, upper: float, lower: float, bend: int) -> np.ndarray:
    """Return the position of the joint between two bones from `top` to `foot`, which bends to the side `bend` (+-1)."""
    way = foot - top
    distance = min(np.hypot(*way), 0.999 * (upper + lower))
    along = (upper**2 - lower**2 + distance**2) / (2 * distance)
    aside = np.sqrt(max(upper**2 - along**2, 0))
    return top + (way * along + bend * aside * np.array((-way[1], way[0]))) / np.hypot(*way)


def _leg(top, stride: float, phase: float, width: float, build: Build, bend: int, layer: str) -> list[Part]:
    """Return a leg from `top` to the ground, and its hoof, at `phase` of a step with half-length `stride`."""
    foot = np.array((top[0] + stride * np.sin(phase) + 0.02, 0.5 * stride * max(0, np.cos(phase)) + build.leg * 0.8))
    length = top[1] - build.leg
    joint = _joint(np.array(top), foot, 0.53 * length, 0.5 * length, bend)
    points = np.array((top, mix(top, joint, 0.55), joint, mix(joint, foot, 0.6), foot))
    radii = np.array((width, width * 0.62 + build.leg * 0.3, build.leg * 1.15, build.leg * 0.8, build.leg))
    hoof = np.array((foot, foot + (0.25 * build.leg, -0.1 * build.leg)))
    return [Part(points, radii, layer), Part(hoof, np.array((0.95, 1.05)) * build.leg, layer + " hoof")]


def _direction(degrees: float) -> np.ndarray:
    return np.array((np.cos(np.radians(degrees)), np.sin(np.radians(degrees))))


def _neck(rng: np.random.Generator, build: Build, base: np.ndarray, angle: float) -> tuple[list[Part], np.ndarray]:
    """Return the parts of the neck and mane, starting at `base`, and the position where the neck ends."""
    poll = base + (build.neck + build.girth * 0.5) * _direction(angle)
    bend = mix(base, poll, 0.5) + 0.04 * _direction(angle + 90)
    radii = np.array((build.girth * 0.85, build.girth * 0.36 + build.face * 0.45, build.face * 0.85))
    parts = [Part(np.array((base, bend, poll)), radii, "near")]
    for root in np.linspace(0.12, 1.02, 8) if build.mane else ():  # locks of hair on the near side
        start = base + root * (poll - base) + _direction(angle + 90) * 0.62 * build.girth * (1.2 - 0.6 * root)
        fall = build.mane * rng.uniform(1.1, 1.9) * _direction(angle - 118 + rng.uniform(-15, 15))
        parts.append(Part(start + np.outer((0, 0.5, 1), fall), np.array((0.045, 0.04, 0.006)), "hair"))
    return parts, poll


def _head(rng: np.random.Generator, build: Build, poll: np.ndarray, facing: float) -> tuple[list[Part], np.ndarray]:
    """Return the parts of the head, which starts at `poll`, with ears and sometimes horns, and the eye position."""
    ahead, up = _direction(facing), _direction(facing + 90)
    face = build.face * np.array((0.95, 0.9, 0.62, 0.56))
    parts = [Part(poll + build.head * np.outer((0, 0.35, 0.75, 0.95), ahead) - 0.01 * up, face, "near")]
    back = poll + up * build.face * 0.55 - ahead * build.face * 0.3
    for spread in (115, 150):
        tip = back + build.ear * _direction(facing + spread)
        parts.append(Part(np.array((back, mix(back, tip, 0.5), tip)), build.ear * np.array((0.2, 0.3, 0.05)), "near"))
    for spread in (85, 125) if build.horns and rng.random() < 0.6 else ():
        tip = back + build.horns * _direction(facing + spread)
        side = mix(back, tip, 0.5) - 0.2 * build.horns * ahead
        parts.append(Part(np.array((back, side, tip)), np.array((0.028, 0.02, 0.008)), "near hoof"))
    return parts, poll + ahead * build.head * 0.28 + up * build.face * 0.35


def _tail(rng: np.random.Generator, build: Build, root: np.ndarray) -> list[Part]:
    """Return the parts of the tail: three strands of hair if the animal has a mane, otherwise one part."""
    parts, swing = [], rng.uniform(-20, 35)
    for strand in range(3 if build.mane else 1):
        turns = 225 + rng.uniform(-14, 14) - np.arange(4) * (swing / 2 - 8 * strand)
        bones = np.array((0, 0.3, 0.65, 1))[:, None] * [_direction(turn) for turn in turns]
        radii = np.array((0.035, 0.042, 0.038, 0.004) if build.mane else (0.035, 0.026, 0.02, 0.012))
        parts.append(Part(root + build.tail * bones, radii, "hair" if build.mane else "near"))
    return parts


def _skeleton(rng: np.random.Generator, build: Build) -> tuple[list[Part], np.ndarray]:
    """Return the parts of an animal in a random pose, and the position of its eye."""
    build = Build(*(value * rng.uniform(0.9, 1.1) for value in build))
    girth, middle = build.girth, build.legs + build.girth * 0.8
    stride = build.legs * rng.choice((0.12, 0.3, 0.55)) * rng.uniform(0.7, 1.2)  # standing, walking, running
    phase, gait = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1.0) * np.pi
    parts = []
    for far, layer in ((1, "far"), (0, "near")):
        own = phase + np.pi * far + rng.uniform(-0.3, 0.3)
        parts += _leg((-0.38 + 0.03 * far, middle), stride, own, girth * 0.78, build, -1, layer)
        parts += _leg((0.36 + 0.04 * far, middle - girth * 0.1), stride, own + gait, girth * 0.6, build, 1, layer)
    spine = np.array(((-0.40, 0.02), (-0.12, 0.02), (0.14, -0.02), (0.38, 0.01))) + (0, middle)
    parts.append(Part(spine, girth * np.array((1.0, 0.96, 1.05, 1.0)), "near"))
    for x in np.linspace(-0.5, 0.5, 12) if build.wool else ():
        tuft = np.array((x, middle + girth * rng.uniform(0.4, 0.8) * rng.choice((1, 1, -0.9))))
        parts.append(Part(np.array((tuft, tuft + 0.02)), np.full(2, girth * 0.42), "near"))
    parts += _tail(rng, build, np.array((-0.40 - girth * 0.85, middle + girth * 0.55)))
    angle = rng.uniform(-50, -30) if rng.random() < 0.25 else build.neck_angle + rng.uniform(-15, 12)  # or grazing
    neck, poll = _neck(rng, build, np.array((0.40, middle + girth * 0.3)), angle)
    head, eye = _head(rng, build, poll, np.clip(angle - build.droop + rng.uniform(-10, 15), -75, 0))
    return [Part(*smooth(points, radii), layer) for points, radii, layer in parts + neck + head], eye


class _Animal:
    """An animal in the scene. The constructor draws all random numbers."""

    def __init__(self, rng: np.random.Generator, canvas: Canvas, land: scenery.Land):
        self.scale = min(canvas.aspect, 1) * rng.uniform(0.3, 0.68)
        self.flip = rng.choice((-1, 1))
        self.x = canvas.aspect * rng.uniform(0.22, 0.78)
        lowest = max(land.horizon + 0.15, 0.62 + self.scale * 0.25)
        self.y = rng.uniform(lowest, lowest + 0.2)
        self.parts, self.eye = _skeleton(rng, BUILDS[rng.integers(len(BUILDS))])
        self.coat = scenery.hide(rng)
        self.hair = self.coat * 0.3 + jitter(rng, scenery.HIDES[rng.integers(len(scenery.HIDES))]) * np.float32(0.5)
        self.horn = jitter(rng, ((52, 44, 40), (96, 82, 66))[rng.integers(2)])
        self.light = (rng.uniform(-0.9, 0.9), -1)
        self.cast = (rng.uniform(-1, 1), rng.uniform(-0.25, 0.2))

    def place(self, points) -> np.ndarray:
        return np.asarray(points) * (self.flip * self.scale, -self.scale) + (self.x, self.y)

    def shadow(self, canvas: Canvas) -> None:
        """Draw the shadow of the animal on the ground, and darker spots under its feet."""
        lying, feet = canvas.stencil(), canvas.stencil()
        for points, radii, layer in self.parts:
            spots = self.place(points * (1, 0)) + points[:, 1:] * self.scale * self.cast
            lying.tube(spots, radii * self.scale * 0.7)
            if "hoof" in layer and points[0, 1] < 0.2:
                feet.ellipse(self.place(points[-1] * (1, 0)), (self.scale * 0.13, self.scale * 0.035))
        canvas.shade(lying, 0.012, 0.45)
        canvas.shade(feet, 0.012, 0.6)

    def draw(self, canvas: Canvas) -> None:
        for layer, texture, tone in (("far", self.coat, 0.6), ("near", self.coat, 1), ("hair", self.hair, 1)):
            shape = canvas.stencil()
            for points, radii, belongs in self.parts:
                if belongs == layer:
                    shape.tube(self.place(points), radii * self.scale)
            canvas.paint(texture * np.float32(tone), shape, CREATURE, self.scale * 0.035, self.light)
            for points, radii, belongs in self.parts:
                if belongs == layer + " hoof":
                    canvas.tube(self.place(points), radii * self.scale, self.horn * tone, CREATURE)
        canvas.ellipse(self.place(self.eye), (self.scale * 0.022,) * 2, (22, 16, 14), CREATURE)
        canvas.ellipse(self.place(self.eye + 0.008), (self.scale * 0.007,) * 2, (220, 220, 216), CREATURE)


def _clutter(rng: np.random.Generator, canvas: Canvas, land: scenery.Land) -> None:
    """Draw trees, boulders in the colors of animals, bushes, grass and sometimes a fence behind the animals."""
    ground = max(land.horizon, 0.02)
    for depth in np.sort(rng.random(rng.integers(2, 7))):
        foot = (rng.uniform(0, canvas.aspect), ground + 0.02 + 0.3 * depth)
        size = (0.16 + 0.5 * depth) * rng.uniform(0.6, 1.2)
        kind = rng.integers(3)
        if kind == 0:
            scenery.tree(rng, canvas, foot, size * 1.7, land.leaves * rng.uniform(0.8, 1.1))
        elif kind == 1:
            scenery.rock(rng, canvas, foot, size * 0.32, scenery.hide(rng))
        else:
            color = jitter(rng, scenery.HIDES[rng.integers(len(scenery.HIDES))])
            color = mix(color, land.leaves, rng.choice((0.2, 0.8)))
            canvas.foliage(rng, foot, (size * 0.4, size * 0.22), color, 0, 100)
    if rng.random() < 0.3:
        scenery.fence(rng, canvas, ground + rng.uniform(0.08, 0.3), rng.uniform(0.12, 0.25))
    depth = np.sort(rng.random(110)) ** 1.5
    roots = np.stack((rng.uniform(0, canvas.aspect, 110), ground + (1.05 - ground) * depth), 1)
    scenery.grass(rng, canvas, land, roots, 0.012 + 0.05 * depth, 0)


def _occluders(rng: np.random.Generator, canvas: Canvas, land: scenery.Land, foot: float) -> None:
    """Sometimes draw grass, a fence, a tree or bushes in front of the animals, whose feet are at row `foot`."""
    if rng.random() < 0.75:
        count, center = rng.integers(40, 120), canvas.aspect * rng.random()
        x = rng.normal(center, 0.35, count)
        y = np.sort(foot + rng.uniform(0.01, 0.14, count))
        scenery.grass(rng, canvas, land, np.stack((x, y), 1), rng.uniform(0.06, 0.13), 0)
    if rng.random() < 0.35:
        scenery.fence(rng, canvas, foot + rng.uniform(0.03, 0.12), rng.uniform(0.25, 0.5))
    if rng.random() < 0.12:
        scenery.tree(rng, canvas, (canvas.aspect * rng.random(), foot + 0.1), rng.uniform(1.6, 2), land.leaves)
    for _ in range(rng.choice((0, 0, 1, 2))):
        place = (canvas.aspect * rng.random(), foot + rng.uniform(0.06, 0.16))
        color = mix(land.leaves, scenery.HIDES[rng.integers(len(scenery.HIDES))], rng.uniform(0, 0.5))
        canvas.foliage(rng, place, (rng.uniform(0.1, 0.28), rng.uniform(0.1, 0.2)), color, 0, 110)


def _scene(seed: int, index: int, height: int, width: int, animals=True, shadows=True):
    """Draw the scene, and return its canvas and the random generator for the camera."""
    rng = generator(seed, index)
    canvas = Canvas(height, width)
    land = scenery.landscape(child(rng), canvas)
    _clutter(child(rng), canvas, land)
    herd = [_Animal(child(rng), canvas, land) for _ in range(1 + (rng.random() < 0.25))]
    for animal in sorted(herd, key=lambda one: one.y):
        if shadows:
            animal.shadow(canvas)
        if animals:
            animal.draw(canvas)
    _occluders(child(rng), canvas, land, max(animal.y for animal in herd))
    return canvas, rng


def draw_creature(seed: int, index: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw image `index` for `seed`.

    Returns:
        The image (height, width, 3) and its mask (height, width), both uint8. The mask is 1 on visible parts of animals
        and 0 elsewhere, including shadows and objects in front of an animal.

    Raises:
        ValueError: If height or width is below 32 pixels, or seed or index is negative.
    """
    canvas, rng = _scene(seed, index, height, width)
    image, mask = canvas.image_and_mask()
    return photograph(rng, image), mask
