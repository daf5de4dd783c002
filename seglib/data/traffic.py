"""The camera of the synthetic streets, and what stands and moves in them: cars, people, bicycles, poles, signs."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .drawing import Canvas, jitter

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)
PAINTS = (
    (172, 34, 34), (40, 70, 130), (228, 228, 226), (34, 36, 40), (150, 154, 160), (96, 100, 108),
    (46, 92, 66), (200, 150, 50), (110, 130, 150), (120, 40, 60),
)  # fmt: skip
CLOTHES = (*PAINTS, (60, 66, 90), (140, 110, 80), (186, 120, 110), (80, 60, 50))
SKINS = ((232, 190, 160), (198, 150, 116), (142, 98, 70), (92, 62, 46))
NEAR = 1.0  # metres; nothing is drawn nearer than this


class Thing(NamedTuple):
    """Something on the ground: where, how wide and long its shadow is, and how to draw it."""

    x: float
    z: float
    wide: float
    long: float
    draw: Callable[[], None]


class Street:
    """The street's shape and light, and the camera that projects it onto a canvas."""

    def __init__(self, rng: np.random.Generator, canvas: Canvas, haze: np.ndarray):
        self.canvas, self.haze = canvas, haze
        self.vanishing = np.array((canvas.aspect * rng.uniform(0.32, 0.68), rng.uniform(0.36, 0.54)))
        self.focal, self.eye = rng.uniform(0.75, 1.15), rng.uniform(1.5, 2.6)
        self.scale, self.centre = self.focal * np.array((1, -1)), np.array((0, self.eye))
        self.bend = np.array((rng.normal(0, 0.0016), 0))  # the street's curve, to the side
        self.left, self.right = -rng.uniform(2.6, 6.5), rng.uniform(2.6, 6.5)
        self.clear = rng.uniform(60, 220)  # metres after which haze hides two thirds
        self.sun, self.dark = int(rng.choice((-1, 1))), rng.uniform(0.25, 0.5)

    def project(self, points) -> np.ndarray:
        """World points (..., 3) to scene points (..., 2)."""
        points = np.asarray(points, np.float64)
        z = np.maximum(points[..., 2:], NEAR)
        return self.vanishing + self.scale * ((points[..., :2] - self.centre) / z + self.bend * z)

    def tint(self, colour, z: float) -> np.ndarray:
        """The colour as it looks through z metres of air."""
        return self.haze + (np.asarray(colour, np.float32) - self.haze) * np.float32(np.exp(-z / self.clear))

    def face(self, corners, colour, label: int) -> None:
        """A flat piece with the given corners (n, 3)."""
        corners = np.asarray(corners, np.float64)
        self.canvas.polygon(self.project(corners), self.tint(colour, corners[:, 2].mean()), label)

    def panes(self, corners, low, high, colours, label: int) -> None:
        """Rectangles on a face (4, 3), from `low` to `high` (n, 2) in fractions along its bottom and its height."""
        a, b, c, d = np.asarray(corners, np.float64)
        (u0, v0), (u1, v1) = np.transpose(low), np.transpose(high)
        u, v = np.stack((u0, u1, u1, u0), 1)[..., None], np.stack((v0, v0, v1, v1), 1)[..., None]
        points = (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * d + u * c)
        self.canvas.polygons(self.project(points), self.tint(colours, (a[2] + c[2]) / 2), label)

    def strip(self, x0: float, x1: float, z0: float, z1: float, colour, label: int, shade: float = 0.1) -> None:
        """A band of the ground from x0 to x1 and z0 to z1, following the bend."""
        z = np.geomspace(z0, z1, 3 if z1 < 3 * z0 else 10)
        edges = [np.stack((np.full(len(z), x), 0 * z, z), 1) for x in (x0, x1)]
        outline = self.project(np.concatenate((edges[0], edges[1][::-1])))
        self.canvas.polygon(outline, self.tint(colour, (z0 * z1) ** 0.5), label)

    def standing(self, x: float, z: float, points) -> np.ndarray:
        """Points (n, 2), in metres to the right and up of a spot on the ground, seen from the front."""
        return self.project((x, 0, z)) + np.asarray(points) * (self.focal / z, -self.focal / z)

    def tube(self, x: float, z: float, points, radii, colour, label: int) -> None:
        self.canvas.tube(self.standing(x, z, points), np.asarray(radii) * self.focal / z, self.tint(colour, z), label)

    def disc(self, x: float, z: float, centre, radii, colour, label: int) -> None:
        centre = self.standing(x, z, centre)
        self.canvas.ellipse(centre, np.asarray(radii) * self.focal / z, self.tint(colour, z), label)

    def line(self, x: float, z: float, points, thick: float, colour, label: int) -> None:
        self.canvas.line(self.standing(x, z, points), thick * self.focal / z, self.tint(colour, z), label)

    def tree(self, rng, x: float, z: float, tall: float, green) -> None:
        size, bark = tall * self.focal / z, jitter(rng, (84, 68, 56))
        self.tube(x, z, ((0, 0), (0.1, tall * 0.3), (0, tall * 0.6)), (0.2, 0.13, 0.1), bark, TREE)
        crowns = ((-0.15, 0.58, 0.75), (0.15, 0.6, 0.75), (0, 0.75, 1)) if size > 0.15 else ((0, 0.7, 1.2),)
        for dx, dy, part in crowns:  # small ones far away need few leaves
            centre, radii = self.standing(x, z, (dx * tall, dy * tall)), np.array((0.26, 0.25)) * size * part
            leaves = int(np.clip(200 * size, 10, 70))
            self.canvas.foliage(rng, centre, radii, self.tint(jitter(rng, green, 8), z), TREE, leaves)

    def shadows(self, things) -> None:
        """The long shadow of the houses on the sunless side, and a soft one under every thing."""
        houses, under = self.canvas.stencil(), self.canvas.stencil()
        far = self.right + 6 if self.sun < 0 else self.left - 6
        middle = (self.left + self.right) / 2
        z = np.repeat(np.geomspace(NEAR, 120, 9), 2)[1:-1]
        reach = middle + np.repeat((-0.6, 0.8, 0.1, -0.3) * 2, 2)
        edges = [np.stack((x, 0 * z, z), 1) for x in (np.full(16, far), reach)]
        houses.polygon(self.project(np.concatenate((edges[0], edges[1][::-1]))))
        self.canvas.shade(houses, 0.006, self.dark)
        for x, z, wide, long, _ in things:
            corners = [(x + dx * wide, 0, z + dz * long) for dx, dz in ((-0.6, 0), (0.6, 0), (0.6, 1), (-0.6, 1))]
            under.polygon(self.project(corners))
        self.canvas.shade(under, 0.006, 0.65)


def _box(street: Street, x0, x1, y0, y1, z0, z1, slant: float, colour, label: int) -> tuple[np.ndarray, np.ndarray]:
    """The visible faces of a box, narrower by `slant` at its top; returns the side and the near face for details."""
    t0, t1, f0, f1 = x0 + slant * 0.35, x1 - slant * 0.35, z0 + slant, z1 - slant * 1.3
    near = np.array(((x0, y0, z0), (x1, y0, z0), (t1, y1, f0), (t0, y1, f0)), float)
    edge, top = (x0, t0) if x0 > 0 else (x1, t1)
    side = np.array(((edge, y0, z0), (edge, y0, z1), (top, y1, f1), (top, y1, f0)), float)
    if y1 < street.eye:
        street.face(((t0, y1, f0), (t1, y1, f0), (t1, y1, f1), (t0, y1, f1)), np.asarray(colour) * 1.15, label)
    if x0 > 0 or x1 < 0:
        street.face(side, np.asarray(colour) * 0.92, label)
    street.face(near, np.asarray(colour) * 0.78, label)
    return side, near


def car(rng: np.random.Generator, street: Street, x: float, z: float, oncoming: bool) -> Thing:
    """A car, or now and then a van or a bus, whose near end is at z."""
    kind, paint = rng.choice(3, p=(0.8, 0.14, 0.06)), jitter(rng, PAINTS[rng.integers(len(PAINTS))], 14)
    wide, long = ((1.75, 4.2), (1.95, 5.2), (2.4, 9.5))[kind]
    waist, top, slant = ((0.88, 1.45, 0.42), (1.1, 2.1, 0.25), (1.3, 2.9, 0.06))[kind]
    long, x0, x1 = long * rng.uniform(0.92, 1.06), x - wide / 2, x + wide / 2
    glass, tyre = np.array((50, 60, 72)), (24, 24, 26)
    ahead, behind = ((0.1, 0.35), (1.0, 0.1))[oncoming] if kind == 0 else (0.05, 0.1 + 0.6 * (kind == 1))

    def wheels(edge: float) -> None:
        angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        for at in (0.19, 0.8):
            for radius, colour in ((0.33, tyre), (0.19, (150, 150, 154)), (0.07, (70, 70, 74))):
                ring = (np.full(14, edge), 0.33 + radius * np.sin(angle), z + at * long + radius * np.cos(angle))
                street.face(np.stack(ring, 1), colour, CAR)

    def draw() -> None:
        street.face(((x0, 0.02, z + 0.1), (x1, 0.02, z + 0.1), (x1, 0.4, z + 0.1), (x0, 0.4, z + 0.1)), tyre, CAR)
        side, near = _box(street, x0, x1, 0.26, waist, z, z + long, 0.06, paint, CAR)
        if x0 > 0 or x1 < 0:
            street.panes(side, [(0, 0.45)], [(1, 0.5)], paint * 0.75, CAR)
            wheels(x0 if x0 > 0 else x1)
        lamp = (236, 232, 206) if oncoming else (170, 24, 24)
        street.panes(near, [(0.04, 0.5), (0.8, 0.5)], [(0.2, 0.78), (0.96, 0.78)], lamp, CAR)
        street.panes(near, [(0.38, 0.3), (0, 0)], [(0.62, 0.48), (1, 0.16)], ((224, 220, 190), (44, 44, 48)), CAR)
        cabin = _box(street, x0 + 0.06, x1 - 0.06, waist, top, z + ahead, z + long * 0.97 - behind, slant, paint * 1.05, CAR)
        if x0 > 0 or x1 < 0:
            low = np.array(((0.06, 0.1), (0.36, 0.1), (0.66, 0.1)))
            street.panes(cabin[0], low, low + (0.27, 0.76), glass * np.array(((1.1,), (0.9,), (1.0,))), CAR)
        street.panes(cabin[1], [(0.07, 0.1)], [(0.93, 0.86)], glass * 1.1, CAR)
        street.panes(cabin[1], [(0.12, 0.5)], [(0.5, 0.82)], glass * 1.5, CAR)

    return Thing(x, z, wide, long, draw)


def pedestrian(rng: np.random.Generator, street: Street, x: float, z: float) -> Thing:
    top, legs = (jitter(rng, CLOTHES[i]) for i in rng.choice(len(CLOTHES), 2))
    skin, hair = SKINS[rng.integers(4)], jitter(rng, ((40, 30, 26), (110, 76, 44), (170, 160, 150))[rng.integers(3)])
    size, swing, broad = rng.uniform(0.75, 1.06), rng.uniform(-0.3, 0.3), rng.uniform(0.85, 1.2)
    coat, bag = rng.random() < 0.35, rng.random() < 0.35

    def draw() -> None:
        def limb(points, radii, colour):
            street.tube(x, z, np.array(points) * size, np.array(radii) * size * broad, colour, PEDESTRIAN)

        for way, tone in ((-1, 0.75), (1, 1)):
            limb(((0.05 * way, 0.9), (way * swing * 0.6 + 0.03, 0.5), (way * swing, 0.07)), (0.11, 0.08, 0.06), legs * tone)
            limb(((way * swing, 0.05), (way * swing + 0.12, 0.04)), (0.06, 0.045), (40, 34, 32))
        limb(((0.22 * -1, 1.36), (-0.24, 1.1), (-0.2 - swing * 0.5, 0.85)), (0.06, 0.055, 0.045), top * 0.7)
        limb(((0, 1.4), (0, 1.15), (0, 0.62 if coat else 0.92)), (0.17, 0.17, 0.2 if coat else 0.15), top)
        limb(((0.2, 1.38), (0.24, 1.12), (0.2 + swing * 0.5, 0.86)), (0.06, 0.055, 0.045), top * 1.12)
        limb(((0.2 + swing * 0.5, 0.84), (0.2 + swing * 0.5, 0.8)), (0.045, 0.04), skin)
        if bag:
            limb(((-0.28, 0.95), (-0.28, 0.78)), (0.12, 0.13), legs * 0.6 + 30)
        limb(((0, 1.5), (0, 1.56)), (0.06, 0.06), skin)
        limb(((0, 1.63), (0.01, 1.68)), (0.105, 0.11), hair)
        limb(((0.02, 1.6), (0.03, 1.64)), (0.085, 0.085), skin)

    return Thing(x, z, 0.6, 0.5, draw)


def bicyclist(rng: np.random.Generator, street: Street, x: float, z: float) -> Thing:
    frame, top, legs = (jitter(rng, CLOTHES[i]) for i in rng.choice(len(CLOTHES), 3))
    skin, helmet = SKINS[rng.integers(4)], jitter(rng, PAINTS[rng.integers(len(PAINTS))])
    turn = np.array((rng.choice((-1, 1)) * rng.uniform(0.35, 1), 1))  # seen from the side, or nearly from behind
    angle, pedal = np.linspace(0, 2 * np.pi, 17), rng.uniform(0, 2 * np.pi)

    def draw() -> None:
        def limb(points, radii, colour):
            street.tube(x, z, np.array(points) * turn, radii, colour, BICYCLIST)

        for hub in (-0.52, 0.52):
            ring = np.stack((hub + 0.33 * np.cos(angle), 0.34 + 0.33 * np.sin(angle)), 1) * turn
            street.line(x, z, ring, 0.06, (30, 30, 32), BICYCLIST)
        for pipe in (((-0.52, 0.34), (-0.15, 0.85)), ((-0.05, 0.3), (-0.2, 0.95)), ((-0.05, 0.3), (0.4, 0.85)),
                     ((-0.15, 0.82), (0.4, 0.82)), ((0.52, 0.34), (0.38, 1.02)), ((-0.52, 0.34), (-0.05, 0.3))):  # fmt: skip
            street.line(x, z, np.array(pipe) * turn, 0.055, frame, BICYCLIST)
        for half, tone in ((np.pi, 0.7), (0, 1)):
            foot = (-0.05 + 0.16 * np.cos(pedal + half), 0.3 + 0.16 * np.sin(pedal + half))
            limb(((-0.2, 1.0), (0.16, 0.78 + 0.1 * np.sin(pedal + half)), foot), (0.12, 0.09, 0.06), legs * tone)
        limb(((-0.22, 1.0), (-0.08, 1.25), (0.1, 1.45)), (0.16, 0.17, 0.14), top)
        limb(((0.1, 1.42), (0.22, 1.2), (0.42, 1.08)), (0.06, 0.055, 0.045), top * 1.15)
        limb(((0.17, 1.62), (0.2, 1.66)), (0.1, 0.1), skin)
        limb(((0.12, 1.7), (0.2, 1.73)), (0.1, 0.09), helmet)

    return Thing(x, z, 0.7, 0.8, draw)


def pole(rng: np.random.Generator, street: Street, x: float, z: float, kind: str) -> Thing:
    """A street lamp, a traffic light or a road sign: the post is Pole, what it carries SignSymbol."""
    metal = jitter(rng, ((120, 122, 120), (74, 78, 76), (160, 160, 152))[rng.integers(3)])
    inward, shape, paint = -np.sign(x), rng.integers(4), PAINTS[rng.choice((0, 1, 6, 7))]
    tall = {"lamp": rng.uniform(5, 8), "light": 2.4, "sign": rng.uniform(2.0, 2.6)}[kind]
    thick = {"lamp": 0.17, "light": 0.13, "sign": 0.09}[kind]

    def draw() -> None:
        floor = max(thick, 0.0036 * z / street.focal)  # far ones stay as thick as a pixel or so
        street.line(x, z, ((0, 0), (0, tall)), floor, metal, POLE)
        street.line(x, z, ((-thick * 0.2, 0), (-thick * 0.2, tall)), floor * 0.35, metal * 1.25, POLE)
        if kind == "lamp":
            street.line(x, z, ((0, tall), (inward * 1.4, tall + 0.25)), floor * 0.7, metal, POLE)
            street.disc(x, z, (inward * 1.5, tall + 0.22), (0.4, 0.12), metal * 0.8 + 40, POLE)
        elif kind == "light":
            street.tube(x, z, ((0, tall), (0, tall + 0.75)), (0.2, 0.2), (32, 34, 34), SIGN)
            for k, colour in enumerate(((60, 200, 110), (120, 90, 30), (210, 40, 36))):
                street.disc(x, z, (0, tall + 0.3 * k + 0.08), (0.11, 0.11), np.array(colour) * (1 if k == shape else 0.5), SIGN)
        elif shape == 0:
            street.disc(x, z, (0, tall), (0.38, 0.38), (190, 30, 34), SIGN)
            street.disc(x, z, (0, tall), (0.27, 0.27), (236, 234, 226), SIGN)
        elif shape == 1:
            for size, colour in ((0.45, (190, 30, 34)), (0.27, (238, 234, 220))):
                corners = ((-size, tall - size * 0.6), (size, tall - size * 0.6), (0, tall + size * 1.1))
                street.canvas.polygon(street.standing(x, z, corners), street.tint(colour, z), SIGN)
        else:
            for margin, colour in ((0, (232, 230, 224)), (0.05, paint)):
                w, h = (0.35 - margin, 0.45 - margin) if shape == 2 else (0.75 - margin, 0.35 - margin)
                corners = ((-w, tall - h), (w, tall - h), (w, tall + h), (-w, tall + h))
                street.canvas.polygon(street.standing(x, z, corners), street.tint(colour, z), SIGN)

    return Thing(x, z, 0.3, 0.3, draw)


def fence(rng: np.random.Generator, street: Street, x: float, z0: float, z1: float) -> None:
    """Planks, or railings that one can look through, along the street from z0 to z1."""
    colour, tall = jitter(rng, ((120, 92, 66), (92, 100, 92), (186, 184, 176), (58, 64, 62))[rng.integers(4)]), rng.uniform(1.0, 1.7)
    count = int(min(40, (z1 - z0) * 2.5)) + 1
    face = np.array(((x, 0, z0), (x, 0, z1), (x, tall, z1), (x, tall, z0)), float)
    u = np.arange(count)[:, None] / count
    if rng.random() < 0.6:
        street.face(face, colour * 0.7, FENCE)
        street.panes(face, np.hstack((u, 0 * u)), np.hstack((u + 0.85 / count, 0 * u + 1)), colour * rng.uniform(0.85, 1.1, (count, 1)), FENCE)
    else:
        street.panes(face, np.hstack((u, 0 * u)), np.hstack((u + 0.4 / count, 0 * u + 1)), colour, FENCE)
        street.panes(face, [(0, 0.1), (0, 0.86)], [(1, 0.24), (1, 1)], colour * 1.1, FENCE)


def things(rng: np.random.Generator, street: Street) -> list[Thing]:
    """Everything loose in the street, at random places that suit it."""
    found, spots = [], [(street.left + 1.1, False), (street.right - 1.1, True)]
    for x, last in spots:
        for z in np.cumsum(rng.uniform(5.5, 12, 6)) - 2:
            if rng.random() < 0.45 and street.right - street.left > 7:
                found.append(car(rng, street, x, max(z, 2.5), rng.random() < 0.3))
    for share, oncoming in ((0.25, True), (0.7, False)):
        lane = street.left + share * (street.right - street.left)
        for z in np.cumsum(rng.uniform(8, 30, rng.integers(1, 4))):
            found.append(car(rng, street, lane, z, oncoming))
    for _ in range(rng.integers(2, 8)):
        side = street.left - 1.2 if rng.random() < 0.5 else street.right + 1.2
        x = side + rng.uniform(-0.9, 0.9) if rng.random() < 0.85 else rng.uniform(street.left, street.right)
        found.append(pedestrian(rng, street, x, rng.uniform(5, 30)))
    for _ in range(rng.integers(1, 4)):
        x = rng.choice((street.left, street.right)) * rng.uniform(0.5, 0.85)
        found.append(bicyclist(rng, street, x, rng.uniform(5, 22)))
    for kind, count in (("lamp", rng.integers(2, 6)), ("sign", rng.integers(2, 6)), ("light", rng.integers(0, 3))):
        for z in rng.uniform(5, 40, count):
            x = street.left - 0.5 if rng.random() < 0.5 else street.right + 0.5
            found.append(pole(rng, street, x, z, kind))
    for z in rng.uniform(6, 45, rng.integers(1, 5)):
        x, green = (street.left - 1.2, street.right + 1.2)[rng.integers(2)], jitter(rng, (84, 108, 52), 20)
        grown = rng.uniform(4, 7)
        found.append(Thing(x, z, 1, 1, lambda x=x, z=z, green=green, grown=grown: street.tree(rng, x, z, grown, green)))
    if rng.random() < 0.5:
        x, z = (street.left - 0.3, street.right + 0.3)[rng.integers(2)], rng.uniform(3, 14)
        found.append(Thing(x, z + 4, 0.1, 0.1, lambda: fence(rng, street, x, z, z + 9)))
    return found
