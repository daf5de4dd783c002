"""A camera for the synthetic streets. World coordinates are in meters: x to the right, y up, z ahead of the camera."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .drawing import Canvas, jitter

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)
NEAR = 1.0  # meters; smaller distances are projected like this distance


class Thing(NamedTuple):
    """An object on the ground: its position, the width and length of its shadow, and a function that draws it."""

    x: float
    z: float
    wide: float
    long: float
    draw: Callable[[], None]


class Street:
    """A street with random shape and lighting, and a camera that projects the street onto a canvas."""

    def __init__(self, rng: np.random.Generator, canvas: Canvas, haze: np.ndarray):
        self.canvas, self.haze = canvas, haze
        self.vanishing = np.array((canvas.aspect * rng.uniform(0.32, 0.68), rng.uniform(0.36, 0.54)))
        self.focal, self.eye = rng.uniform(0.75, 1.15), rng.uniform(1.5, 2.6)
        self.scale, self.center = self.focal * np.array((1, -1)), np.array((0, self.eye))
        self.bend = np.array((rng.normal(0, 0.0016), 0))  # curve of the street to the side
        self.left, self.right = -rng.uniform(2.6, 6.5), rng.uniform(2.6, 6.5)
        self.clear = rng.uniform(60, 220)  # distance in meters at which haze hides two thirds of a color
        self.sun, self.dark = int(rng.choice((-1, 1))), rng.uniform(0.25, 0.5)

    def project(self, points) -> np.ndarray:
        """Project world points (..., 3) to scene points (..., 2)."""
        points = np.asarray(points, np.float64)
        z = np.maximum(points[..., 2:], NEAR)
        return self.vanishing + self.scale * ((points[..., :2] - self.center) / z + self.bend * z)

    def is_visible(self, x: float, z: float, margin: float) -> bool:
        """Return whether any point within `margin` meters to the left or right of (x, z) is visible in the image."""
        column, reach = self.project((x, 0, z))[0], margin * self.focal / max(z, NEAR)
        return -reach < column < self.canvas.aspect + reach

    def tint(self, color, z: float) -> np.ndarray:
        """Return a color as seen through haze from a distance of z meters."""
        return self.haze + (np.asarray(color, np.float32) - self.haze) * np.float32(np.exp(-z / self.clear))

    def face(self, corners, color, label: int) -> None:
        """Draw a flat polygon with corners (n, 3)."""
        corners = np.asarray(corners, np.float64)
        self.canvas.polygon(self.project(corners), self.tint(color, corners[:, 2].mean()), label)

    def panes(self, corners, low, high, colors, label: int) -> None:
        """Draw rectangles on a face with corners (4, 3).

        `low` and `high` (n, 2) are opposite corners of the rectangles, as fractions of the face's width and height.
        """
        a, b, c, d = np.asarray(corners, np.float64)
        (u0, v0), (u1, v1) = np.transpose(low), np.transpose(high)
        u, v = np.stack((u0, u1, u1, u0), 1)[..., None], np.stack((v0, v0, v1, v1), 1)[..., None]
        points = (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * d + u * c)
        self.canvas.polygons(self.project(points), self.tint(colors, (a[2] + c[2]) / 2), label)

    def strip(self, x0: float, x1: float, z0: float, z1: float, color, label: int, shade: float = 0.1) -> None:
        """Draw a strip of the ground from x0 to x1 and z0 to z1 that follows the curve of the street."""
        z = np.geomspace(z0, z1, 3 if z1 < 3 * z0 else 10)
        edges = [np.stack((np.full(len(z), x), 0 * z, z), 1) for x in (x0, x1)]
        outline = self.project(np.concatenate((edges[0], edges[1][::-1])))
        self.canvas.polygon(outline, self.tint(color, (z0 * z1) ** 0.5), label)

    def standing(self, x: float, z: float, points) -> np.ndarray:
        """Project points (n, 2), given in meters to the right of and above the position (x, z) on the ground."""
        return self.project((x, 0, z)) + np.asarray(points) * (self.focal / z, -self.focal / z)

    def tube(self, x: float, z: float, points, radii, color, label: int) -> None:
        self.canvas.tube(self.standing(x, z, points), np.asarray(radii) * self.focal / z, self.tint(color, z), label)

    def disc(self, x: float, z: float, center, radii, color, label: int) -> None:
        center = self.standing(x, z, center)
        self.canvas.ellipse(center, np.asarray(radii) * self.focal / z, self.tint(color, z), label)

    def line(self, x: float, z: float, points, thick: float, color, label: int) -> None:
        self.canvas.line(self.standing(x, z, points), thick * self.focal / z, self.tint(color, z), label)

    def tree(self, rng, x: float, z: float, tall: float, green) -> None:
        if not self.is_visible(x, z, tall / 2):
            return
        size, bark = tall * self.focal / z, jitter(rng, (84, 68, 56))
        self.tube(x, z, ((0, 0), (0.1, tall * 0.3), (0, tall * 0.6)), (0.2, 0.13, 0.1), bark, TREE)
        crowns = ((-0.15, 0.58, 0.75), (0.15, 0.6, 0.75), (0, 0.75, 1)) if size > 0.15 else ((0, 0.7, 1.2),)
        for dx, dy, part in crowns:  # small, distant crowns need few leaves
            center, radii = self.standing(x, z, (dx * tall, dy * tall)), np.array((0.26, 0.25)) * size * part
            leaves = int(np.clip(200 * size, 10, 70))
            self.canvas.foliage(rng, center, radii, self.tint(jitter(rng, green, 8), z), TREE, leaves)

    def shadows(self, things) -> None:
        """Draw the shadow of the houses on one side of the street, and soft shadows under all objects in `things`."""
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
