"""Synthetic streets: views from a car in a synthetic town, labeled with the eleven classes of CamVid.

An image depends only on (seed, index, height, width), not on earlier images. With the same library versions, images are
byte-identical. Other versions of Pillow may rasterize and resize differently, which changes individual pixels. Other
versions of NumPy may draw different random numbers, which gives a different scene.
"""

import numpy as np

from . import traffic
from .drawing import Canvas, child, generator, jitter, mix, noise, photograph
from .perspective import BUILDING, PAVEMENT, ROAD, Street
from .scenery import SKIES, sky

CLASSES = (
    "Sky",
    "Building",
    "Pole",
    "Road",
    "Pavement",
    "Tree",
    "SignSymbol",
    "Fence",
    "Car",
    "Pedestrian",
    "Bicyclist",
)
PALETTE = (
    (128, 128, 128),
    (128, 0, 0),
    (192, 192, 128),
    (128, 64, 128),
    (60, 40, 222),
    (128, 128, 0),
    (192, 128, 128),
    (64, 64, 128),
    (64, 0, 128),
    (64, 64, 0),
    (0, 128, 192),
)
GRAIN = np.array((0.03, 0.13, 0.08, 0.12, 0.14, 0.5, 0.08, 0.2, 0.06, 0.12, 0.12), np.float32)
WALLS = (
    (168, 92, 72),
    (196, 176, 148),
    (150, 140, 130),
    (206, 196, 180),
    (124, 82, 66),
    (178, 152, 112),
    (134, 142, 150),
    (196, 150, 120),
    (108, 104, 104),
    (216, 204, 168),
)
ROOFS = ((126, 70, 54), (84, 82, 88), (104, 86, 74))
GREENS = ((74, 104, 48), (98, 118, 54), (56, 84, 50), (138, 122, 54), (150, 96, 48))


def _ground(rng: np.random.Generator, street: Street) -> None:
    """Draw the pavement, the road, curbs, lane markings and sometimes a pedestrian crossing."""
    stone, asphalt = jitter(rng, (150, 144, 138), 18), jitter(rng, (92, 92, 98), 18)
    street.strip(-300, 300, 1, 400, stone, PAVEMENT, shade=0)
    left, right = street.left, street.right
    for side, edge in ((-1, left), (1, right)):
        for offset in np.arange(1.5, 6, 1.5):
            street.strip(edge + side * offset, edge + side * (offset + 0.06), 1, 60, stone * 0.82, PAVEMENT)
        street.strip(edge, edge + side * 0.25, 1, 90, stone * 1.18, PAVEMENT)
    street.strip(left, right, 1, 400, asphalt, ROAD)
    for _ in range(rng.integers(1, 4)):  # patches of repaired asphalt
        (x, z), (wide, long) = rng.uniform((left, 4), (right, 25)), rng.uniform((0.6, 1), (2, 6))
        street.strip(x, min(x + wide, right), z, z + long, asphalt * rng.uniform(0.8, 1.1), ROAD)
    paint = jitter(rng, (214, 212, 200), 10)
    lanes = np.linspace(left, right, rng.integers(3, 5))[1:-1]
    for x in lanes:
        start, dash = rng.uniform(1, 4), rng.uniform(2, 4)
        lane = ((x - 0.09, 0, start), (x - 0.09, 0, start + 70), (x + 0.09, 0, start + 70), (x + 0.09, 0, start))
        low = np.arange(0, 1, dash / 35)[:, None] * (1, 0)
        street.panes(lane, low, low + (dash / 70, 1), paint, ROAD)
    if rng.random() < 0.5:
        for x in (left + 0.35, right - 0.35):
            street.strip(x - 0.07, x + 0.07, 1, 90, mix(paint, (220, 190, 70), float(rng.random() < 0.3)), ROAD)
    if rng.random() < 0.35:
        z = rng.uniform(7, 18)
        crossing = ((left, 0, z), (right, 0, z), (right, 0, z + 3), (left, 0, z + 3))
        low = np.arange(0.03, 0.97, 1 / (right - left))[:, None] * (1, 0)
        street.panes(crossing, low, low + (0.5 / (right - left), 1), paint, ROAD)


def _building(rng: np.random.Generator, street: Street, side: int, x: float, z0: float, z1: float) -> None:
    """Draw a house with its front at x, from z0 to z1. Only houses nearer than 70 m have windows and an entrance."""
    wall, tall = jitter(rng, WALLS[rng.integers(len(WALLS))], 16), rng.choice((rng.uniform(5, 9), rng.uniform(9, 22)))
    back, middle = x + side * 14, x + side * 7
    front = np.array(((x, 0, z1), (x, 0, z0), (x, tall, z0), (x, tall, z1)), float)
    end = np.array(((x, 0, z0), (back, 0, z0), (back, tall, z0), (x, tall, z0)), float)
    sunny = side == street.sun
    if tall < 10:
        ridge, roof = tall + rng.uniform(1.5, 3), jitter(rng, ROOFS[rng.integers(len(ROOFS))])
        street.face(((x, tall, z0), (middle, ridge, z0), (middle, ridge, z1), (x, tall, z1)), roof, BUILDING)
        street.face(((x, tall, z0), (middle, ridge, z0), (back, tall, z0)), wall * 0.75, BUILDING)
    street.face(end, wall * (0.72 if sunny else 0.82), BUILDING)
    street.face(front, wall * (1.08 if sunny else 0.7), BUILDING)
    if z0 < 70:
        floors, columns = max(1, int(tall / 3.2)), max(1, int((z1 - z0) / rng.uniform(2.4, 3.6)))
        glass = jitter(rng, (74, 86, 104), 16)
        _windows(rng, street, ((front, columns), (end, 3)), floors, glass, wall * rng.choice((0.6, 1.3)))
        _entrance(rng, street, front, columns, floors, glass)
    street.panes(front, [(0, 0.96)], [(1, 1)], wall * 1.2, BUILDING)


def _windows(rng: np.random.Generator, street: Street, walls, floors: int, glass, frame) -> None:
    """Draw windows above the ground floor. `walls` gives the corners and number of windows of each wall."""
    wide, high, lights = rng.uniform(0.4, 0.65), rng.uniform(0.45, 0.65), 60 * (rng.random() < 0.3)
    for corners, columns in walls:
        u, v = np.meshgrid(np.arange(columns), np.arange(1, floors))
        low = np.stack(((u.ravel() + 0.5 - wide / 2) / columns, (v.ravel() + 0.25) / floors), 1)
        span = np.array((wide / columns, high / floors))
        street.panes(corners, low - span * 0.09, low + span * 1.09, frame, BUILDING)
        tones = glass * rng.uniform(0.6, 1.5, (len(low), 1)) + rng.uniform(0, lights + 10, (len(low), 1))
        street.panes(corners, low, low + span, tones, BUILDING)


def _entrance(rng: np.random.Generator, street: Street, front, columns: int, floors: int, glass) -> None:
    """Draw a shop window and a signboard, or doors, on the ground floor."""
    if rng.random() < 0.5:
        board = jitter(rng, traffic.PAINTS[rng.integers(len(traffic.PAINTS))], 20)
        street.panes(front, [(0.04, 0.08 / floors)], [(0.96, 0.72 / floors)], glass * 0.9, BUILDING)
        street.panes(front, [(0.02, 0.74 / floors)], [(0.98, 0.95 / floors)], board, BUILDING)
    else:
        low = np.stack(((np.arange(columns) + 0.3) / columns, np.zeros(columns)), 1)
        tones = glass * rng.uniform(0.5, 1.3, (columns, 1))
        street.panes(front, low, low + (0.4 / columns, 0.7 / floors), tones, BUILDING)


def _sides(rng: np.random.Generator, street: Street) -> None:
    """Draw houses on both sides of the street, from far to near, and gardens with fences between the houses."""
    for side, edge in ((-1, street.left), (1, street.right)):
        x = edge + side * rng.uniform(2.2, 4.5)
        cuts = np.cumsum(rng.uniform(7, 17, 10) * np.linspace(0.9, 1.9, 10)) - rng.uniform(2, 10)
        for z0, z1 in np.stack((cuts[:-1], cuts[1:]), 1)[::-1]:
            near = max(z0, 1.0)
            if z1 < 1.5 or not street.is_visible(x, z1, 2):  # the far end is nearest to the center of the image
                continue
            if rng.random() < 0.62:
                _building(rng, street, side, x, near, z1 - rng.choice((0, 0, 1.5)))
                continue
            green = jitter(rng, GREENS[rng.integers(len(GREENS))])
            for z in np.sort(rng.uniform(near + 1, z1, 2))[::-1]:
                street.tree(rng, x + side * rng.uniform(1.5, 6), z, rng.uniform(4, 9), green)
            traffic.fence(rng, street, x, near, z1)


def _skyline(rng: np.random.Generator, street: Street) -> None:
    """Draw pale buildings and trees at the horizon."""
    for z in (260, 170):
        wall = np.array(((-220, 0, z), (220, 0, z), (220, 1, z), (-220, 1, z)), float)
        low = (np.arange(17) / 17 + rng.uniform(-0.02, 0.02, 17))[:, None] * (1, 0)
        size = rng.uniform((0.02, 8), (0.055, 30), (17, 2))
        colors = np.array((140, 130, 124)) + rng.uniform(-20, 20, (17, 1)) + rng.uniform(-8, 8, (17, 3))
        street.panes(wall, low, low + size, colors, BUILDING)
    for x in rng.uniform(-70, 70, 6):
        street.tree(rng, x, 140, rng.uniform(8, 14), GREENS[rng.integers(len(GREENS))])


def _scene(seed: int, index: int, height: int, width: int, canvas: Canvas | None = None):
    """Draw the scene, and return its canvas and the random generator for the camera."""
    rng = generator(seed, index)
    canvas = canvas or Canvas(height, width)
    above, below = (jitter(rng, color, 14) for color in SKIES[rng.integers(len(SKIES))])
    street = Street(child(rng), canvas, below)
    canvas.backdrop(sky(child(rng), above, below), street.vanishing[1] + 0.02)
    _skyline(child(rng), street)
    _ground(child(rng), street)
    candidates = traffic.things(child(rng), street)
    things = [thing for thing in candidates if street.is_visible(thing.x, thing.z, 3 + thing.long)]
    street.shadows(things)
    _sides(child(rng), street)
    for thing in sorted(things, key=lambda one: -one.z):
        thing.draw()
    return canvas, rng


def draw_street(seed: int, index: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw image `index` for `seed`.

    Returns:
        The image (height, width, 3) and its labels (height, width), both uint8. Every pixel has a label from 0 to 10,
        in the order of CLASSES.

    Raises:
        ValueError: If height or width is below 32 pixels, or seed or index is negative.
    """
    canvas, rng = _scene(seed, index, height, width)
    image, labels = canvas.image_and_mask()
    surface = noise(child(rng), height, width, (40, 56), 3, 0.9) - 0.5
    return photograph(rng, image, surface * GRAIN[labels]), labels
