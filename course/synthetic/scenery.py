"""The landscape of the synthetic creatures: sky, hills, ground, trees, rocks, grass, fences and coat textures."""

from typing import NamedTuple

import numpy as np

from .drawing import Canvas, blend, jitter, mix, noise, smooth

LANDS = (  # ground, second ground, grass, leaves
    ((92, 122, 56), (138, 144, 76), (112, 146, 60), (66, 98, 44)),  # meadow
    ((176, 150, 96), (136, 112, 70), (190, 166, 100), (112, 112, 54)),  # dry grass
    ((122, 94, 68), (156, 128, 98), (116, 118, 66), (82, 96, 50)),  # earth
    ((216, 220, 226), (178, 186, 198), (150, 140, 112), (84, 92, 82)),  # snow
    ((114, 86, 86), (94, 102, 62), (124, 100, 84), (82, 84, 52)),  # heath
    ((198, 172, 130), (168, 142, 106), (148, 142, 88), (104, 112, 66)),  # sand
    ((146, 100, 56), (98, 90, 48), (164, 120, 60), (168, 96, 40)),  # autumn
    ((70, 84, 48), (104, 88, 58), (88, 108, 54), (48, 70, 40)),  # forest floor
)
SKIES = (  # above, at the horizon
    ((92, 140, 200), (196, 214, 228)),
    ((150, 164, 182), (212, 214, 214)),
    ((110, 120, 166), (240, 196, 150)),
    ((124, 160, 190), (232, 224, 200)),
    ((104, 112, 124), (168, 172, 174)),
)


HIDES = (
    (98, 60, 36),
    (144, 80, 42),
    (38, 34, 34),
    (128, 126, 124),
    (214, 206, 194),
    (202, 160, 100),
    (168, 132, 92),
    (120, 90, 80),
    (74, 62, 52),
    (232, 220, 200),
)


class Land(NamedTuple):
    horizon: float  # in scene units; if it is below 0, there is no sky
    ground: np.ndarray
    second: np.ndarray
    grass: np.ndarray
    leaves: np.ndarray
    haze: np.ndarray


def sky(rng: np.random.Generator, above, below) -> np.ndarray:
    """Return a sky with clouds, float32 (80, 160, 3), with color `above` at the top and `below` at the bottom."""
    depth = np.linspace(0, 1, 80, dtype=np.float32)[:, None]
    clouds = np.clip((noise(rng, 80, 160, (5, 5), 5) - rng.uniform(0.4, 0.75)) * 3, 0, 1) * (0.9 - 0.4 * depth)
    clear = mix(above, below, depth[..., None])
    return clear + clouds[..., None] * (mix(below, (255, 252, 246), 0.7) - clear)


def landscape(rng: np.random.Generator, canvas: Canvas) -> Land:
    """Paint sky, hills and ground over the whole canvas. Return the horizon and the colors for the other objects."""
    above, below = (jitter(rng, color, 14) for color in SKIES[rng.integers(len(SKIES))])
    land = Land(
        float(rng.choice((rng.uniform(0.2, 0.55), rng.uniform(0.3, 0.5), -0.1))),
        *(jitter(rng, color, 16) for color in LANDS[rng.integers(len(LANDS))]),
        below,
    )
    height, width = canvas.height, canvas.width
    y = np.linspace(0, 1, height, dtype=np.float32)
    nearness = np.clip((y - land.horizon) / (1 - land.horizon), 0, 1)
    # Compress the rows of the flat texture toward the horizon, to approximate perspective.
    rows = np.round(np.sqrt(nearness) * (height - 1)).astype(int)
    patches = noise(rng, height, width, (4, 4), 5, 0.6)[rows]
    fine = noise(rng, height, width, (48, 24), 3, 0.9)[rows]
    air = np.exp(-nearness * 9)[:, None] * 0.45
    tone = (0.62 + 0.5 * fine + 0.3 * patches - 0.12 * nearness[:, None]) * (1 - air)
    scene = blend(land.ground, land.second, np.clip(patches * 2.4 - 0.7, 0, 1)) * tone[..., None]
    scene += air[..., None] * land.haze
    canvas.backdrop(scene)
    if land.horizon > 0:
        canvas.backdrop(sky(rng, above, below), land.horizon)
        hills(rng, canvas, land)
    return land


def hills(rng: np.random.Generator, canvas: Canvas, land: Land) -> None:
    """Draw ridges behind the ground that get paler with distance, and sometimes a line of trees."""
    x = np.linspace(0, canvas.aspect, 40)
    for distance in np.linspace(0.75, 0.25, rng.integers(1, 4)):
        waves = sum(rng.random() / k * np.sin(x * k * rng.uniform(1, 3) + rng.uniform(0, 6)) for k in (1, 2, 5))
        ridge = land.horizon - 0.03 - 0.09 * distance * (1.3 + waves)
        color = mix(mix(land.ground, land.leaves, rng.random()), land.haze, distance)
        foot = ((canvas.aspect, land.horizon + 0.01), (0, land.horizon + 0.01))
        canvas.polygon(np.vstack((np.stack((x, ridge), 1), foot)), color, 0)
    if rng.random() < 0.6:
        left, right = np.sort(rng.uniform(-0.2, 1.2, 2)) * canvas.aspect
        for x in np.linspace(left, right, 14):
            size = rng.uniform(0.02, 0.05)
            color = mix(land.leaves, land.haze, 0.3) * rng.uniform(0.8, 1.05)
            canvas.foliage(rng, (x, land.horizon - size * 0.7), (size, size * 1.1), color, 0, 14)


def tree(rng: np.random.Generator, canvas: Canvas, foot, size: float, leaves, label: int = 0) -> None:
    """Draw a tree of height `size` at `foot` (x, y)."""
    x, y = foot
    top, lean = y - size * 0.55, size * rng.uniform(-0.05, 0.05)
    bark, trunk = jitter(rng, (88, 70, 56)), size * rng.uniform(0.022, 0.035)
    stem = ((x, y), (x + lean / 2, y - size * 0.3), (x + lean, top))
    canvas.tube(*smooth(stem, (trunk * 1.5, trunk, trunk * 0.7)), bark, label)
    canvas.line(((x + trunk * 0.6, y), (x + lean + trunk * 0.3, top)), trunk * 0.5, bark * 0.75, label)
    wide, spread = size * rng.uniform(0.2, 0.3), size * rng.uniform(0.1, 0.18)
    for dx, dy, part in ((-spread, 0.5, 0.7), (spread, 0.52, 0.7), (lean, 0.68, 1.0)):
        radii = (wide * part, size * 0.3 * part)
        canvas.foliage(rng, (x + dx, y - size * dy), radii, jitter(rng, leaves, 8), label, 40 + int(60 * size))


def hide(rng: np.random.Generator) -> np.ndarray:
    """Return the texture of an animal's coat, float32 (96, 144, 3): plain, pied, spotted, striped or shaded."""
    size, kind = (96, 144), rng.integers(5)
    first, second = (jitter(rng, HIDES[i]) for i in rng.choice(len(HIDES), 2, replace=False))
    field = noise(rng, *size, (3, 4), 5, 0.45)
    down, across = np.mgrid[0:1:96j, 0:1:144j].astype(np.float32)
    amount = (
        lambda: field * 0.25,
        lambda: (field - rng.uniform(0.4, 0.6)) * 14,
        lambda: (noise(rng, *size, (12, 16), 2) - rng.uniform(0.5, 0.65)) * 9,
        lambda: np.sin(across * rng.uniform(36, 60) + field * rng.uniform(9, 16)) * 3 + 0.5,
        lambda: (down + field * 0.3 - rng.uniform(0.4, 0.8)) * 4,
    )[kind]()
    fur = noise(rng, *size, (12, 36), 3, 0.9)[..., None]
    return blend(first, second, np.clip(amount, 0, 1)) * (0.78 + 0.4 * fur)


def rock(rng: np.random.Generator, canvas: Canvas, foot, size: float, texture: np.ndarray) -> None:
    """Draw a boulder with a texture (height, width, 3). With the texture of an animal's coat, it is a distractor."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, 11))
    reach = size * rng.uniform(0.75, 1.1, 11)
    outline = np.stack((foot[0] + reach * np.cos(angles), foot[1] - size * 0.4 - 0.6 * reach * np.sin(angles)), 1)
    shadow, stone = canvas.stencil(), canvas.stencil()
    shadow.ellipse((foot[0] + size * 0.2, foot[1] + size * 0.1), (size * 1.15, size * 0.22))
    canvas.shade(shadow, 0.02, 0.6)
    stone.polygon(outline)
    canvas.paint(texture, stone, 0, size * 0.25, (-0.5, -1))


def grass(rng: np.random.Generator, canvas: Canvas, land: Land, roots: np.ndarray, size, label) -> None:
    """Draw blades of grass at `roots` (n, 2) that are about `size` (n,) tall."""
    count = len(roots)
    lean, tall, tones = rng.normal(0, 0.3, count), rng.uniform(0.5, 1.3, count) * size, rng.uniform(0.55, 1.3, count)
    half, tips = np.stack((tall * 0.06 + 0.001, 0 * tall), 1), np.stack((lean * tall, -tall), 1)
    canvas.polygons(np.stack((roots - half, roots + half, roots + tips), 1), tones[:, None] * land.grass, label)


def fence(rng: np.random.Generator, canvas: Canvas, foot: float, size: float) -> None:
    """Draw a fence of posts and rails across the whole image at row `foot`."""
    wood = jitter(rng, ((122, 98, 72), (206, 202, 194), (84, 66, 50), (150, 146, 138))[rng.integers(4)], 14)
    slope, thick = rng.uniform(-0.06, 0.06), size * rng.uniform(0.05, 0.085)
    end = canvas.aspect + 0.1
    for level in np.linspace(0.3, 0.9, rng.integers(2, 4)):
        sag = rng.uniform(-0.01, 0.01)
        row = foot - size * level
        for offset, tone in ((0, 0.85), (-thick * 0.25, 1.08)):
            rail = ((-0.1, row + offset), (end, row + slope + sag + offset))
            canvas.line(rail, thick * (1 if tone < 1 else 0.5), wood * tone, 0)
    for x in np.arange(rng.uniform(-0.1, 0.3), end, size * rng.uniform(0.9, 1.4)):
        base, tall = foot + slope * x / end, size * rng.uniform(0.97, 1.08)
        for offset, tone in ((0, 0.8), (-thick * 0.3, 1.1)):
            post = ((x + offset, base + 0.01), (x + offset, base - tall))
            canvas.line(post, thick * (1.3 if tone < 1 else 0.6), wood * tone, 0)
