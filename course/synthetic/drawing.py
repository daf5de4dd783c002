"""Drawing helpers for the synthetic data sets: a canvas on which colors and labels are drawn together.

Scene coordinates are in units of the image height: x runs from 0 to `Canvas.aspect`, y from 0 (top) to 1. Random
numbers do not depend on the image size, so the same scene can be drawn at several sizes with the same aspect ratio.

Everything is drawn at twice the image size and then downsampled. The label is the fourth channel of the canvas, so the
same call draws color and label. Colors are averaged; the label of a pixel is the majority of its four subpixels.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SUPERSAMPLING = 2
MIN_SIDE = 32


def generator(seed: int, index: int) -> np.random.Generator:
    """Return the random generator for image `index` and `seed`, which are integers >= 0."""
    for name, value in (("seed", seed), ("index", index)):
        if not isinstance(value, int | np.integer) or value < 0:
            raise ValueError(f"{name} is {value!r}, but a synthetic image needs an integer of 0 or more.")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([int(seed), int(index)])))


def child(rng: np.random.Generator) -> np.random.Generator:
    """Return an independent generator, whose draws do not affect later draws from `rng`."""
    return np.random.Generator(np.random.PCG64(int(rng.integers(2**63))))


def mix(first, second, amount: float) -> np.ndarray:
    """Interpolate between two colors or points, where `amount` is 0 for `first` and 1 for `second`."""
    return np.asarray(first, np.float32) * (1 - amount) + np.asarray(second, np.float32) * amount


def jitter(rng: np.random.Generator, color, amount: float = 12) -> np.ndarray:
    """Randomly change the brightness and hue of a color by about `amount` (of 255)."""
    return np.asarray(color, np.float32) + amount * (rng.uniform(-1, 1) + rng.uniform(-0.4, 0.4, 3))


def resize(field: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.asarray(Image.fromarray(field).resize((width, height), Image.Resampling.BICUBIC))


def noise(rng: np.random.Generator, height: int, width: int, cells=(3, 3), octaves=6, falloff=0.55) -> np.ndarray:
    """Return fractal value noise (height, width), float32 from 0 to 1.

    `cells` is (rows, columns) of the coarsest octave; `falloff` is the ratio of the amplitudes of successive octaves.
    """
    field = rng.random(cells, dtype=np.float32)
    for octave in range(1, octaves):
        rows, columns = cells[0] << octave, cells[1] << octave
        field = resize(field, rows, columns) + falloff**octave * rng.random((rows, columns), dtype=np.float32)
    low, high = field.min(), field.max()
    return np.clip(resize((field - low) / (high - low), height, width), 0, 1)


def blend(first, second, amount: np.ndarray) -> np.ndarray:
    """Interpolate between two colors at every pixel by `amount` (height, width), and return (height, width, 3)."""
    first, second = np.asarray(first, np.float32), np.asarray(second, np.float32)
    return first + amount[..., None] * (second - first)


def smooth(points, radii, steps: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return the points and radii of a Catmull-Rom curve through `points` (n, 2) with `radii` (n,).

    Each segment between two points is divided into `steps` pieces.
    """
    joints = np.column_stack((points, radii))
    padded = np.vstack((2 * joints[0] - joints[1], joints, 2 * joints[-1] - joints[-2]))
    a, b, c, d = (padded[i : len(padded) - 3 + i, None] for i in range(4))
    t = (np.arange(steps) / steps)[:, None]
    curve = b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    curve = np.vstack((curve.reshape(-1, 3), joints[-1]))
    return curve[:, :2], curve[:, 2]


class Plane:
    """A drawing surface with twice the height and width of the image.

    A stencil has one channel, in which shapes have the value 255. A canvas has four channels: red, green, blue, label.
    """

    def __init__(self, height: int, width: int, mode: str = "L"):
        self.height, self.width, self.aspect = height, width, width / height
        self.unit = SUPERSAMPLING * height
        self.image = Image.new(mode, (SUPERSAMPLING * width, SUPERSAMPLING * height))
        self._pen = ImageDraw.Draw(self.image)

    def _inks(self, colors, label: int, count: int) -> list:
        if self.image.mode == "L":
            return [label] * count
        if count == 1:
            return [(*(min(max(int(value), 0), 255) for value in np.ravel(colors)), label)]  # faster than NumPy
        inks = np.full((count, 4), label)
        inks[:, :3] = np.clip(colors, 0, 255)
        return [tuple(ink) for ink in inks.tolist()]

    def polygons(self, outlines, colors=0, label: int = 255) -> None:
        """Draw polygons (n, points, 2) with the same number of points, in one color or in n colors (n, 3)."""
        outlines = np.asarray(outlines, np.float64) * self.unit
        flat = outlines.reshape(len(outlines), 2 * outlines.shape[1]).tolist()
        for outline, ink in zip(flat, self._inks(colors, label, len(flat)), strict=True):
            self._pen.polygon(outline, fill=ink)

    def polygon(self, points, color=0, label: int = 255) -> None:
        self.polygons(np.asarray(points)[None], color, label)

    def ellipses(self, centers, radii, colors=0, label: int = 255) -> None:
        """Draw ellipses with `centers` (n, 2) and `radii` (n, 2), in one color or in n colors (n, 3)."""
        centers, radii = np.asarray(centers, np.float64) * self.unit, np.asarray(radii, np.float64) * self.unit
        boxes = np.concatenate((centers - radii, centers + radii), 1).tolist()
        for box, ink in zip(boxes, self._inks(colors, label, len(boxes)), strict=True):
            self._pen.ellipse(box, fill=ink)

    def ellipse(self, center, radii, color=0, label: int = 255) -> None:
        self.ellipses((center,), (radii,), color, label)

    def line(self, points, thickness: float, color=0, label: int = 255) -> None:
        flat = (np.asarray(points, np.float64) * self.unit).ravel().tolist()
        self._pen.line(flat, fill=self._inks(color, label, 1)[0], width=max(1, round(thickness * self.unit)))

    def tube(self, points, radii, color=0, label: int = 255) -> None:
        """Draw a tube along `points` (n, 2) with `radii` (n,). `smooth` returns the points of a curved tube."""
        points, radii = np.asarray(points, np.float64), np.asarray(radii, np.float64)[:, None]
        ways = np.concatenate((points[1:2] - points[:1], points[2:] - points[:-2], points[-1:] - points[-2:-1]))
        aside = ways[:, ::-1] * radii / (np.sqrt((ways * ways).sum(1, keepdims=True)) + 1e-9) * (-1, 1)
        self.polygon(np.concatenate((points + aside, (points - aside)[::-1])), color, label)
        self.ellipses(points, radii, color, label)  # rounds the ends, and fills bends where the outline crosses itself


class Canvas(Plane):
    """The canvas of an image, which is painted from back to front and is initially black with label 0."""

    def __init__(self, height: int, width: int):
        if not all(isinstance(side, int | np.integer) and side >= MIN_SIDE for side in (height, width)):
            raise ValueError(
                f"The size of a synthetic image is (height, width) = ({height}, {width}), "
                f"but each side must be a whole number of at least {MIN_SIDE} pixels."
            )
        super().__init__(height, width, "RGBA")

    def stencil(self) -> Plane:
        """Return an empty plane for a silhouette, to be passed to `paint` or `shade`."""
        return Plane(self.height, self.width)

    def backdrop(self, texture: np.ndarray, bottom: float = 1.0) -> None:
        """Stretch a texture (any height, any width, 3) over the canvas above `bottom`, with label 0."""
        sheet = _image(texture).resize((self.image.width, round(bottom * self.unit)), Image.Resampling.BILINEAR)
        sheet.putalpha(0)
        self.image.paste(sheet)

    def paint(self, texture: np.ndarray, stencil: Plane, label: int, softness=0.0, light=(0, 0)) -> None:
        """Paint the shape of a stencil with a texture (any height, any width, 3) with values 0..255.

        With `softness`, the shape looks round: within this distance of the edge, it is brighter on the side that faces
        `light` (x, y) and darker on the opposite side.
        """
        box = self._box(stencil, softness)
        if box is None:
            return
        mask = stencil.image.crop(box)
        small = (mask.width // SUPERSAMPLING, mask.height // SUPERSAMPLING)
        piece = _image(texture).resize(small, Image.Resampling.BILINEAR)
        if softness:
            soft = np.asarray(self._soften(mask, softness), np.float32)
            down, across = np.gradient(soft)
            tone = (across * light[0] + down * light[1]) * np.float32(-1.3 / 255 * softness * self.height)
            piece = _image(np.asarray(piece) * np.clip(1 + resize(tone, small[1], small[0]), 0.35, 1.6)[..., None])
        piece = piece.resize(mask.size, Image.Resampling.NEAREST)
        piece.putalpha(label)
        self.image.paste(piece, box, mask)

    def shade(self, stencil: Plane, softness: float, strength: float, color=(12, 14, 30)) -> None:
        """Draw a shadow in the shape of a stencil, blurred by `softness`, without changing labels."""
        box = self._box(stencil, 3 * softness)
        if box is None:
            return
        mask, ground = stencil.image.crop(box), self.image.crop(box)
        soft = self._soften(mask, softness).point([int(value * strength) for value in range(256)])
        shaded = ground.convert("RGB")
        shaded.paste(color, mask=soft.resize(mask.size, Image.Resampling.BILINEAR))
        shaded.putalpha(ground.getchannel("A"))
        self.image.paste(shaded, box)

    def _box(self, stencil: Plane, margin: float) -> tuple[int, int, int, int] | None:
        """Return the bounding box of a stencil plus `margin`, aligned to image pixels, or None for an empty stencil."""
        box = stencil.image.getbbox()
        if box is None:
            return None
        more = 2 * SUPERSAMPLING + round(margin * self.unit)
        grown = (box[0] - more, box[1] - more, box[2] + more, box[3] + more)
        whole = (side // SUPERSAMPLING * SUPERSAMPLING for side in grown)
        return tuple(min(max(side, 0), end) for side, end in zip(whole, self.image.size * 2, strict=True))

    def _soften(self, mask: Image.Image, softness: float) -> Image.Image:
        """Return the mask, downsampled by a factor of 4 to save time and then blurred."""
        return mask.reduce(4).filter(ImageFilter.GaussianBlur(float(softness * self.unit / 4)))

    def foliage(self, rng, center, radii, color, label: int, leaves: int = 60) -> None:
        """Draw a crown of leaves that is dark at the bottom and the back, and light at the top and the front."""
        angles, reach = rng.uniform(0, 2 * np.pi, leaves), np.sqrt(rng.random(leaves))
        depth = np.linspace(0, 1, leaves)
        x, y = reach * np.cos(angles), reach * np.sin(angles)
        sizes = rng.uniform(0.7, 1.3, leaves) * (0.27 - 0.2 * np.sqrt(depth))
        tones = 0.5 + 0.45 * depth - 0.28 * y * depth - 0.1 * x + rng.uniform(-0.12, 0.12, leaves)
        centers = np.asarray(center) + np.stack((x, y), 1) * radii
        shapes = sizes[:, None] * np.asarray(radii) * rng.uniform(0.7, 1.3, (leaves, 2))
        self.ellipses(centers, shapes, tones[:, None] * np.asarray(color), label)

    def image_and_mask(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the image (height, width, 3) and its labels (height, width), uint8, downsampled to the image size."""
        labels = np.asarray(self.image.getchannel("A"))
        a, b, c, d = labels[::2, ::2], labels[::2, 1::2], labels[1::2, ::2], labels[1::2, 1::2]
        majority = np.where((b == c) | (b == d), b, np.where(c == d, c, a))
        return np.asarray(self.image.convert("RGB").reduce(SUPERSAMPLING)), majority


def _image(texture: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(texture, 0, 255).astype(np.uint8))


def photograph(rng: np.random.Generator, image: np.ndarray, grain=None) -> np.ndarray:
    """Simulate a camera: exposure, white balance, vignette, blur and sensor noise.

    `grain` (height, width), about -1 to 1, is surface detail. The image is multiplied by 1 + `grain` before blurring.
    """
    height, width = image.shape[:2]
    blur, strength = rng.choice((0, 0, 0.4, 0.8)) * height / 240, rng.uniform(2, 10)
    contrast, exposure = rng.uniform(0.75, 1.2), rng.uniform(0.75, 1.2)
    gains, vignette = exposure * rng.uniform(0.93, 1.07, 3), rng.uniform(0, 0.3)
    y, x = np.linspace(-1, 1, height, dtype=np.float32), np.linspace(-1, 1, width, dtype=np.float32)
    light = 1 - vignette / 2 * (y[:, None] ** 2 + x**2)
    if grain is not None:
        light *= 1 + grain
    # out = ((in * light - 110) * contrast + 110) * gains, where 110 is middle gray.
    image = image * (light * np.float32(contrast))[..., None]
    image += np.float32(110 * (1 - contrast))
    image *= gains.astype(np.float32)
    if blur:
        image = np.array(_image(image).filter(ImageFilter.GaussianBlur(float(blur))), np.float32)
    # The difference of two random bytes has a triangular density. It resembles sensor noise and is fast to compute.
    dice = rng.integers(0, 256, (2, height, width, 3), np.uint8)
    noisy = np.subtract(dice[0], dice[1], dtype=np.int16) * np.float32(strength / 104)  # 104 is the standard deviation
    return np.clip(image + noisy, 0, 255).astype(np.uint8)
