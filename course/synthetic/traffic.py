"""Objects in the synthetic streets: cars, pedestrians, bicyclists, poles, signs and fences."""

import functools

import numpy as np

from .drawing import jitter
from .perspective import BICYCLIST, CAR, FENCE, PEDESTRIAN, POLE, SIGN, Street, Thing

PAINTS = (
    (172, 34, 34),
    (40, 70, 130),
    (228, 228, 226),
    (34, 36, 40),
    (150, 154, 160),
    (96, 100, 108),
    (46, 92, 66),
    (200, 150, 50),
    (110, 130, 150),
    (120, 40, 60),
)
CLOTHES = (*PAINTS, (60, 66, 90), (140, 110, 80), (186, 120, 110), (80, 60, 50))
SKINS = ((232, 190, 160), (198, 150, 116), (142, 98, 70), (92, 62, 46))


def _box(street: Street, x0, x1, y0, y1, z0, z1, slant: float, color, label: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw the visible faces of a box that is narrower at the top, by an amount that depends on `slant`.

    Return the corners of the side face and of the near face, on which details can be drawn.
    """
    t0, t1, f0, f1 = x0 + slant * 0.35, x1 - slant * 0.35, z0 + slant, z1 - slant * 1.3
    near = np.array(((x0, y0, z0), (x1, y0, z0), (t1, y1, f0), (t0, y1, f0)), float)
    edge, top = (x0, t0) if x0 > 0 else (x1, t1)
    side = np.array(((edge, y0, z0), (edge, y0, z1), (top, y1, f1), (top, y1, f0)), float)
    if y1 < street.eye:
        street.face(((t0, y1, f0), (t1, y1, f0), (t1, y1, f1), (t0, y1, f1)), np.asarray(color) * 1.15, label)
    if x0 > 0 or x1 < 0:
        street.face(side, np.asarray(color) * 0.92, label)
    street.face(near, np.asarray(color) * 0.78, label)
    return side, near


def car(rng: np.random.Generator, street: Street, x: float, z: float, oncoming: bool) -> Thing:
    """Return a car, or sometimes a van or a bus, with its near end at z."""
    kind, paint = rng.choice(3, p=(0.8, 0.14, 0.06)), jitter(rng, PAINTS[rng.integers(len(PAINTS))], 14)
    wide, long = ((1.75, 4.2), (1.95, 5.2), (2.4, 9.5))[kind]
    waist, top, slant = ((0.88, 1.45, 0.42), (1.1, 2.1, 0.25), (1.3, 2.9, 0.06))[kind]
    long, x0, x1 = long * rng.uniform(0.92, 1.06), x - wide / 2, x + wide / 2
    glass, tyre = np.array((50, 60, 72)), (24, 24, 26)
    ahead, behind = ((0.1, 0.35), (1.0, 0.1))[oncoming] if kind == 0 else (0.05, 0.1 + 0.6 * (kind == 1))

    def wheels(edge: float) -> None:
        angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        rim = np.stack((0 * angle, np.sin(angle), np.cos(angle)), 1)
        hubs = np.array(((edge, 0.33, z + 0.19 * long), (edge, 0.33, z + 0.8 * long)))
        discs = hubs[:, None, None] + np.array((0.33, 0.19, 0.07))[:, None, None] * rim  # (wheel, disc, point, xyz)
        colors = street.tint((tyre, (150, 150, 154), (70, 70, 74)) * 2, z)
        street.canvas.polygons(street.project(discs.reshape(6, 14, 3)), colors, CAR)

    def draw() -> None:
        street.face(((x0, 0.02, z + 0.1), (x1, 0.02, z + 0.1), (x1, 0.4, z + 0.1), (x0, 0.4, z + 0.1)), tyre, CAR)
        side, near = _box(street, x0, x1, 0.26, waist, z, z + long, 0.06, paint, CAR)
        if x0 > 0 or x1 < 0:
            street.panes(side, [(0, 0.45)], [(1, 0.5)], paint * 0.75, CAR)
            wheels(x0 if x0 > 0 else x1)
        lamp = (236, 232, 206) if oncoming else (170, 24, 24)
        street.panes(near, [(0.04, 0.5), (0.8, 0.5)], [(0.2, 0.78), (0.96, 0.78)], lamp, CAR)
        street.panes(near, [(0.38, 0.3), (0, 0)], [(0.62, 0.48), (1, 0.16)], ((224, 220, 190), (44, 44, 48)), CAR)
        z0, z1 = z + ahead, z + long * 0.97 - behind
        cabin = _box(street, x0 + 0.06, x1 - 0.06, waist, top, z0, z1, slant, paint * 1.05, CAR)
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
        def limb(points, radii, color):
            street.tube(x, z, np.array(points) * size, np.array(radii) * size * broad, color, PEDESTRIAN)

        for way, tone in ((-1, 0.75), (1, 1)):
            knee = (way * swing * 0.6 + 0.03, 0.5)
            limb(((0.05 * way, 0.9), knee, (way * swing, 0.07)), (0.11, 0.08, 0.06), legs * tone)
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
        def limb(points, radii, color):
            street.tube(x, z, np.array(points) * turn, radii, color, BICYCLIST)

        for hub in (-0.52, 0.52):
            ring = np.stack((hub + 0.33 * np.cos(angle), 0.34 + 0.33 * np.sin(angle)), 1) * turn
            street.line(x, z, ring, 0.06, (30, 30, 32), BICYCLIST)
        for pipe in (
            ((-0.52, 0.34), (-0.15, 0.85)),
            ((-0.05, 0.3), (-0.2, 0.95)),
            ((-0.05, 0.3), (0.4, 0.85)),
            ((-0.15, 0.82), (0.4, 0.82)),
            ((0.52, 0.34), (0.38, 1.02)),
            ((-0.52, 0.34), (-0.05, 0.3)),
        ):
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
    """Return a street lamp, a traffic light or a road sign.

    The post and the lamp have the class Pole; the sign or the lights have the class SignSymbol.
    """
    metal = jitter(rng, ((120, 122, 120), (74, 78, 76), (160, 160, 152))[rng.integers(3)])
    inward, shape, paint = -np.sign(x), rng.integers(4), PAINTS[rng.choice((0, 1, 6, 7))]
    tall = {"lamp": rng.uniform(5, 8), "light": 2.4, "sign": rng.uniform(2.0, 2.6)}[kind]
    thick = {"lamp": 0.17, "light": 0.13, "sign": 0.09}[kind]

    def draw() -> None:
        floor = max(thick, 0.0036 * z / street.focal)  # at least about one pixel
        street.line(x, z, ((0, 0), (0, tall)), floor, metal, POLE)
        street.line(x, z, ((-thick * 0.2, 0), (-thick * 0.2, tall)), floor * 0.35, metal * 1.25, POLE)
        if kind == "lamp":
            street.line(x, z, ((0, tall), (inward * 1.4, tall + 0.25)), floor * 0.7, metal, POLE)
            street.disc(x, z, (inward * 1.5, tall + 0.22), (0.4, 0.12), metal * 0.8 + 40, POLE)
        elif kind == "light":
            street.tube(x, z, ((0, tall), (0, tall + 0.75)), (0.2, 0.2), (32, 34, 34), SIGN)
            for k, color in enumerate(((60, 200, 110), (120, 90, 30), (210, 40, 36))):
                shown = np.array(color) * (1 if k == shape else 0.5)
                street.disc(x, z, (0, tall + 0.3 * k + 0.08), (0.11, 0.11), shown, SIGN)
        elif shape == 0:
            street.disc(x, z, (0, tall), (0.38, 0.38), (190, 30, 34), SIGN)
            street.disc(x, z, (0, tall), (0.27, 0.27), (236, 234, 226), SIGN)
        elif shape == 1:
            for size, color in ((0.45, (190, 30, 34)), (0.27, (238, 234, 220))):
                corners = ((-size, tall - size * 0.6), (size, tall - size * 0.6), (0, tall + size * 1.1))
                street.canvas.polygon(street.standing(x, z, corners), street.tint(color, z), SIGN)
        else:
            for margin, color in ((0, (232, 230, 224)), (0.05, paint)):
                w, h = (0.35 - margin, 0.45 - margin) if shape == 2 else (0.75 - margin, 0.35 - margin)
                corners = ((-w, tall - h), (w, tall - h), (w, tall + h), (-w, tall + h))
                street.canvas.polygon(street.standing(x, z, corners), street.tint(color, z), SIGN)

    return Thing(x, z, 0.3, 0.3, draw)


def fence(rng: np.random.Generator, street: Street, x: float, z0: float, z1: float) -> None:
    """Draw planks, or railings with gaps, along the street from z0 to z1."""
    color = jitter(rng, ((120, 92, 66), (92, 100, 92), (186, 184, 176), (58, 64, 62))[rng.integers(4)])
    tall, count, solid = rng.uniform(1.0, 1.7), int(min(40, (z1 - z0) * 2.5)) + 1, rng.random() < 0.6
    face = np.array(((x, 0, z0), (x, 0, z1), (x, tall, z1), (x, tall, z0)), float)
    low = np.stack((np.arange(count) / count, np.zeros(count)), 1)
    if solid:
        street.face(face, color * 0.7, FENCE)
    bars = color * rng.uniform(0.85, 1.1, (count, 1))
    street.panes(face, low, low + ((0.85 if solid else 0.4) / count, 1), bars, FENCE)
    if not solid:
        street.panes(face, [(0, 0.1), (0, 0.86)], [(1, 0.24), (1, 1)], color * 1.1, FENCE)


def things(rng: np.random.Generator, street: Street) -> list[Thing]:
    """Return vehicles, people, poles, trees and fences at random but plausible positions."""
    things = []
    for x in (street.left + 1.1, street.right - 1.1):  # parked
        for z in np.cumsum(rng.uniform(5.5, 12, 6)) - 2:
            if rng.random() < 0.45 and street.right - street.left > 7:
                things.append(car(rng, street, x, max(z, 2.5), rng.random() < 0.3))
    for share, oncoming in ((0.25, True), (0.7, False)):
        lane = street.left + share * (street.right - street.left)
        for z in np.cumsum(rng.uniform(8, 30, rng.integers(1, 4))):
            things.append(car(rng, street, lane, z, oncoming))
    for _ in range(rng.integers(2, 8)):
        side = street.left - 1.2 if rng.random() < 0.5 else street.right + 1.2
        x = side + rng.uniform(-0.9, 0.9) if rng.random() < 0.85 else rng.uniform(street.left, street.right)
        things.append(pedestrian(rng, street, x, rng.uniform(5, 30)))
    for _ in range(rng.integers(1, 4)):
        x = rng.choice((street.left, street.right)) * rng.uniform(0.5, 0.85)
        things.append(bicyclist(rng, street, x, rng.uniform(5, 22)))
    for kind, count in (("lamp", rng.integers(2, 6)), ("sign", rng.integers(2, 6)), ("light", rng.integers(0, 3))):
        for z in rng.uniform(5, 40, count):
            x = street.left - 0.5 if rng.random() < 0.5 else street.right + 0.5
            things.append(pole(rng, street, x, z, kind))
    for z in rng.uniform(6, 45, rng.integers(1, 5)):
        x, green = (street.left - 1.2, street.right + 1.2)[rng.integers(2)], jitter(rng, (84, 108, 52), 20)
        grown = rng.uniform(4, 7)
        draw = functools.partial(street.tree, rng, x, z, grown, green)
        things.append(Thing(x, z, 1, 1, draw))
    if rng.random() < 0.65:
        x, z = (street.left - 0.3, street.right + 0.3)[rng.integers(2)], rng.uniform(3, 14)
        things.append(Thing(x, z + 4, 0.1, 0.1, lambda: fence(rng, street, x, z, z + 9)))
    return things
