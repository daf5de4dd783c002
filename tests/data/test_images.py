"""Images and masks of every kind are read alike, and damaged ones are refused in one sentence."""

import io
import sys

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from seglib.data import SUFFIXES, DataError, read_image, read_mask
from seglib.data.images import read_size
from seglib.data.masks import labels_by_color, labels_by_id

from .forms import wide_gamut_profile

HEIGHT, WIDTH = 24, 36


@pytest.fixture
def rgb() -> np.ndarray:
    """A smooth image, so that JPEG keeps it nearly unchanged."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([x * 255 // WIDTH, y * 255 // HEIGHT, (x + y) * 255 // (WIDTH + HEIGHT)], 2).astype(np.uint8)


@pytest.fixture
def grey(rgb) -> np.ndarray:
    return rgb[:, :, 0].copy()


def assert_close(actual: np.ndarray, expected: np.ndarray, tolerance: int = 0) -> None:
    assert actual.dtype == np.uint8 and actual.shape == expected.shape
    assert np.abs(actual.astype(int) - expected.astype(int)).max() <= tolerance


def mode_of(file) -> str:
    with Image.open(file) as image:
        return image.mode


def repeated(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[:, :, None], 3, 2)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm"])
def test_lossless_rgb(tmp_path, rgb, suffix):
    Image.fromarray(rgb).save(tmp_path / f"a{suffix}")
    assert_close(read_image(tmp_path / f"a{suffix}"), rgb)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grey(tmp_path, grey, suffix):
    Image.fromarray(grey).save(tmp_path / f"a{suffix}")
    assert_close(read_image(tmp_path / f"a{suffix}"), repeated(grey))


def test_grey_jpeg(tmp_path, grey):
    Image.fromarray(grey).save(tmp_path / "a.jpg", quality=98)
    assert_close(read_image(tmp_path / "a.jpg"), repeated(grey), 4)


def test_transparent_parts_become_white(tmp_path, rgb):
    alpha = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
    alpha[:8] = 0
    expected = rgb.copy()
    expected[:8] = 255
    Image.fromarray(np.concatenate([rgb, alpha], 2)).save(tmp_path / "rgba.png")
    assert_close(read_image(tmp_path / "rgba.png"), expected)
    grey = rgb[:, :, :1]
    Image.fromarray(np.concatenate([grey, alpha], 2)).save(tmp_path / "la.png")
    expected = np.repeat(grey, 3, 2)
    expected[:8] = 255
    assert_close(read_image(tmp_path / "la.png"), expected)


def test_half_transparent_is_mixed_with_white(tmp_path):
    Image.new("RGBA", (4, 4), (0, 100, 200, 128)).save(tmp_path / "a.png")
    assert_close(read_image(tmp_path / "a.png"), np.full((4, 4, 3), (127, 177, 227), np.uint8), 1)


@pytest.mark.parametrize("transparency", [None, 1, bytes([255, 0, 255])])
def test_palette(tmp_path, transparency):
    indices = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 3
    colours = np.array([(10, 20, 30), (200, 0, 0), (0, 0, 250)], np.uint8)
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette(colours.ravel().tolist())
    image.save(tmp_path / "a.png", **({} if transparency is None else {"transparency": transparency}))
    assert mode_of(tmp_path / "a.png") == "P"
    if transparency is not None:
        colours[1] = 255
    assert_close(read_image(tmp_path / "a.png"), colours[indices])


def test_transparent_colour_of_a_truecolour_png(tmp_path, rgb):
    rgb[0, 0] = (1, 2, 3)
    Image.fromarray(rgb).save(tmp_path / "a.png", transparency=(1, 2, 3))
    expected = rgb.copy()
    expected[(rgb == (1, 2, 3)).all(2)] = 255
    assert_close(read_image(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_grey_keeps_its_range(tmp_path, suffix):
    values = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / f"a{suffix}")
    image = read_image(tmp_path / f"a{suffix}")
    assert_close(image, repeated(((values + 128.0) // 257).astype(np.uint8)))
    assert image.min() == 0 and image.max() == 255


def test_one_bit(tmp_path, grey):
    Image.fromarray(grey > 127).save(tmp_path / "a.png")
    assert mode_of(tmp_path / "a.png") == "1"
    assert_close(read_image(tmp_path / "a.png"), repeated((grey > 127).astype(np.uint8) * 255))


def test_cmyk_jpeg(tmp_path):
    Image.new("RGB", (16, 16), (200, 40, 90)).convert("CMYK").save(tmp_path / "a.jpg", quality=98)
    assert mode_of(tmp_path / "a.jpg") == "CMYK"
    assert_close(read_image(tmp_path / "a.jpg"), np.full((16, 16, 3), (200, 40, 90), np.uint8), 6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, rgb, orientation):
    # What the file must store so that a viewer who obeys the tag shows `rgb`.
    undone = "none FLIP_LEFT_RIGHT ROTATE_180 FLIP_TOP_BOTTOM TRANSPOSE ROTATE_90 TRANSVERSE ROTATE_270".split()
    image = Image.fromarray(rgb)
    if orientation > 1:
        image = image.transpose(Image.Transpose[undone[orientation - 1]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.jpg", quality=98, exif=exif)
    assert_close(read_image(tmp_path / "a.jpg"), rgb, 12)
    for name, colors in (("deep", np.asarray(image).astype(np.uint16) * 257), ("plain", np.asarray(image))):
        tags = [(274, "H", 1, orientation, True)]
        tifffile.imwrite(tmp_path / f"{name}.tif", colors, photometric="rgb", extratags=tags)
        for options in ({}, {"bands": [1, 2, 3]}):
            assert_close(read_image(tmp_path / f"{name}.tif", **options), rgb)
        assert read_size(tmp_path / f"{name}.tif") == rgb.shape[:2]


def test_sixteen_bit_colors_in_separate_planes_are_read_as_bands_only(tmp_path, rgb):
    for values in (rgb, rgb.astype(np.uint16) * 257):
        tifffile.imwrite(tmp_path / "a.tif", values.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
        assert_close(read_image(tmp_path / "a.tif", bands=[1, 2, 3]), rgb)
        if values.dtype == np.uint8:
            assert_close(read_image(tmp_path / "a.tif"), rgb)
    with pytest.raises(DataError, match="16-bit colors in separate planes; choose them with --bands 1 2 3"):
        read_image(tmp_path / "a.tif")


def test_unusual_exif_entries_do_not_affect_the_image(tmp_path, rgb):
    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010F: "maker", 0x011A: 72.0, 0x0132: "2026:01:01 00:00:00"})
    exif.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
    Image.fromarray(rgb).save(tmp_path / "a.jpg", exif=exif, quality=98)
    whole = (tmp_path / "a.jpg").read_bytes()
    start, end, generator = whole.index(b"Exif"), whole.index(b"\xff\xdb"), np.random.default_rng(0)
    turned = 0
    for _ in range(300):
        corrupted = bytearray(whole)
        for place in generator.integers(start + 6, end, 4):
            corrupted[place] = generator.integers(256)
        (tmp_path / "b.jpg").write_bytes(corrupted)
        image = read_image(tmp_path / "b.jpg")
        turned += image.shape == rgb.transpose(1, 0, 2).shape
        assert sorted(image.shape) == sorted(rgb.shape)
    assert turned > 50  # many files still have a valid orientation


@pytest.mark.parametrize("form", ["gif", "tif", "webp", "png"])
def test_files_of_several_pages_or_frames_are_refused(tmp_path, form):
    frames = [Image.new("RGB", (8, 6), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / f"a.{form}", save_all=True, append_images=frames[1:])
    for read in (read_image, read_mask):
        with pytest.raises(DataError, match=f"a.{form}: holds 2 pages or frames"):
            read(tmp_path / f"a.{form}")


def test_smaller_copies_in_a_tiff_are_not_pages(tmp_path, rgb):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(rgb, photometric="rgb")
        file.write(rgb[::2, ::2], photometric="rgb", subfiletype=1)
    assert_close(read_image(tmp_path / "a.tif"), rgb)


@pytest.mark.parametrize("suffix", ["tif", "png"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_values_of_fewer_than_16_bits_are_scaled_by_their_range(tmp_path, rgb, bits, suffix):
    stored = (rgb.astype(np.uint32) * ((1 << bits) - 1) // 255).astype(np.uint16)
    stored[0, 0] = (1 << bits) - 1
    expected = rgb.copy()
    expected[0, 0] = 255
    for name, values, target in (("rgb", stored, expected), ("grey", stored[:, :, 0], repeated(expected[:, :, 0]))):
        file = tmp_path / f"{name}.{suffix}"
        cv2.imwrite(str(file), values[:, :, ::-1] if name == "rgb" else values)
        assert_close(read_image(file), target, 1)
        assert_close(read_image(file, bits=16), (values // 257 if name == "rgb" else repeated(values // 257)), 1)
    if bits > 8:
        with pytest.raises(DataError, match="do not fit into 8 bits"):
            read_image(file, bits=8)


def test_sixteen_bit_colors_with_transparency(tmp_path):
    values = np.full((4, 4, 4), (50 * 257, 100 * 257, 65535, 65535), np.uint16)  # blue, green, red, alpha
    values[0, :, 3] = 0
    cv2.imwrite(str(tmp_path / "a.png"), values)
    image = read_image(tmp_path / "a.png")
    assert image[0, 0].tolist() == [255, 255, 255] and image[1, 0].tolist() == [255, 100, 50]


@pytest.mark.parametrize("kind, count", [(None, 4), (0, 4), (None, 5), (None, 2)])
def test_bands_beyond_the_colors_are_never_mixed_in(tmp_path, rgb, kind, count):
    bands = np.concatenate([rgb, 255 - rgb], 2)[:, :, :count]
    extra = {} if kind is None else {"extrasamples": [kind]}
    photometric = "rgb" if count == 4 and kind is not None else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", bands, photometric=photometric, planarconfig="contig", **extra)
    with pytest.raises(DataError, match=rf"a.tif: {count} bands, .*choose one or three with --bands"):
        read_image(tmp_path / "a.tif")
    assert_close(read_image(tmp_path / "a.tif", bands=[2]), repeated(bands[:, :, 1]))
    if count > 3:
        assert_close(read_image(tmp_path / "a.tif", bands=[4, 1, 2]), bands[:, :, [3, 0, 1]])
    with pytest.raises(DataError, match=rf"has {count} bands, not the chosen \[9\]"):
        read_image(tmp_path / "a.tif", bands=[9])


def test_a_transparent_tiff_is_blended_with_white(tmp_path, rgb):
    alpha = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    values = np.concatenate([rgb, alpha], 2)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["unassalpha"])
    assert_close(read_image(tmp_path / "a.tif"), np.full_like(rgb, 255))


@pytest.mark.parametrize("kind", ["minisblack", "rgb", "16-bit rgb"])
def test_colors_premultiplied_by_alpha_are_blended_with_white(tmp_path, kind):
    full = 65535 if "16" in kind else 255
    pixel = [full // 5] * (3 if "rgb" in kind else 1) + [full * 3 // 5]  # a third of full brightness, 60% opaque
    values = np.full((4, 4, len(pixel)), pixel, np.uint16 if "16" in kind else np.uint8)
    photometric = "rgb" if "rgb" in kind else kind
    tifffile.imwrite(
        tmp_path / "a.tif", values, photometric=photometric, extrasamples=["assocalpha"], planarconfig="contig"
    )
    assert_close(read_image(tmp_path / "a.tif"), np.full((4, 4, 3), 153, np.uint8), 1)  # 255 * (0.2 + 0.4)


def test_colors_of_an_embedded_profile_are_converted_to_srgb(tmp_path):
    image = Image.new("RGB", (8, 6), (60, 200, 60))
    image.save(tmp_path / "wide.png", icc_profile=wide_gamut_profile())
    assert_close(read_image(tmp_path / "wide.png"), np.full((6, 8, 3), (0, 201, 37), np.uint8), 1)
    for name, profile in (
        ("damaged", b"no profile"),
        ("srgb", ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()),
    ):
        image.save(tmp_path / f"{name}.png", icc_profile=profile)
        assert_close(read_image(tmp_path / f"{name}.png"), np.asarray(image))
    image.convert("L").save(tmp_path / "grey.png", icc_profile=wide_gamut_profile())  # of another mode: not used
    assert_close(read_image(tmp_path / "grey.png"), np.asarray(image.convert("L").convert("RGB")))


@pytest.mark.parametrize("mode", ["LA", "L with a transparent value"])
def test_a_gray_profile_is_used_with_and_without_transparency(tmp_path, mode):
    profile = wide_gamut_profile().replace(b"mntrRGB ", b"mntrGRAY").replace(b"rTRC", b"kTRC")
    image = Image.new("L", (8, 6), 20)
    image.save(tmp_path / "a.png", icc_profile=profile)
    other = {"transparency": 99} if " " in mode else {}
    image.convert(mode.split()[0]).save(tmp_path / "b.png", icc_profile=profile, **other)
    assert read_image(tmp_path / "a.png").max() < 15
    assert_close(read_image(tmp_path / "b.png"), read_image(tmp_path / "a.png"))


def test_lab_colors(tmp_path):
    Image.new("LAB", (4, 4), (255, 128, 128)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif").min() >= 250


@pytest.mark.parametrize("suffix", [".jp2", ".avif", ".tga", ".pcx", ".jfif"])
def test_more_formats_of_pillow(tmp_path, rgb, suffix):
    if suffix not in Image.registered_extensions():
        pytest.skip(f"this version of Pillow does not write {suffix}")
    Image.fromarray(rgb).save(tmp_path / f"a{suffix}", quality=95)
    assert_close(read_image(tmp_path / f"a{suffix}"), rgb, 16)
    assert suffix in SUFFIXES


def test_formats_that_run_programs_or_are_no_images_are_not_read():
    assert not SUFFIXES & {".eps", ".ps", ".mpg", ".h5", ".wmf"}


def test_heic(tmp_path, rgb, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(b"")
    with pytest.raises(DataError, match="a.heic: HEIC needs one more package .*: python -m pip install pillow-heif"):
        read_image(tmp_path / "a.heic")
    monkeypatch.undo()
    pytest.importorskip("pillow_heif").from_pillow(Image.fromarray(rgb)).save(tmp_path / "a.heic", quality=95)
    assert_close(read_image(tmp_path / "a.heic"), rgb, 24)


def test_webp(tmp_path, rgb):
    Image.fromarray(rgb).save(tmp_path / "a.webp", lossless=True)
    assert_close(read_image(tmp_path / "a.webp"), rgb)


def test_one_pixel(tmp_path):
    Image.new("L", (1, 1), 7).save(tmp_path / "a.png")
    assert_close(read_image(tmp_path / "a.png"), np.full((1, 1, 3), 7, np.uint8))


def test_float_image_is_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a\.tif: floating-point"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_a_file_cut_anywhere_is_refused_by_name(tmp_path, rgb, form):
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, form)
    data = buffer.getvalue()
    file = tmp_path / "cut.img"
    # The last bytes of a format may be padding that no decoder needs.
    for length in sorted({*range(0, 40), *range(40, len(data) - 24, max(1, len(data) // 40))}):
        file.write_bytes(data[:length])
        for read in (read_image, read_mask):
            with pytest.raises(DataError, match="cut.img") as excinfo:
                read(file)
            assert "\n" not in str(excinfo.value)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP"])
def test_flipped_bytes_give_an_image_or_a_data_error(tmp_path, rgb, form):
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, form)
    rng = np.random.default_rng(0)
    file = tmp_path / "bent.img"
    for _ in range(60):
        data = np.frombuffer(buffer.getvalue(), np.uint8).copy()
        data[rng.integers(len(data), size=3)] = rng.integers(256, size=3)
        file.write_bytes(data.tobytes())
        try:
            image = read_image(file)
        except DataError as error:
            assert "bent.img" in str(error)
        else:
            assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3


@pytest.mark.parametrize("read", [read_image, read_mask])
def test_not_an_image(tmp_path, read):
    (tmp_path / "text.png").write_text("this is no image")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    for name, reason in (("text", "not an"), ("empty", "not an"), ("folder", "is a directory"), ("none", "no such")):
        with pytest.raises(DataError, match=f"{name}.png: .*{reason}"):
            read(tmp_path / f"{name}.png")


def test_an_image_that_claims_too_many_pixels_is_refused_unread(tmp_path):
    Image.new("L", (1, 1)).save(tmp_path / "bomb.bmp")
    data = bytearray((tmp_path / "bomb.bmp").read_bytes())
    data[18:26] = (40_000).to_bytes(4, "little") * 2
    (tmp_path / "bomb.bmp").write_bytes(data)
    with pytest.raises(DataError, match="bomb.bmp: .*pixels"):
        read_image(tmp_path / "bomb.bmp")


def test_masks_of_every_kind(tmp_path):
    labels = np.array([[0, 1], [2, 255]], np.uint8)
    palette = Image.fromarray(labels)
    palette.putpalette(list(range(256)) * 3)
    cases = {
        "grey": Image.fromarray(labels),
        "palette": palette,
        "rgb": Image.fromarray(repeated(labels)),
        "rgba": Image.fromarray(np.concatenate([repeated(labels), np.full((2, 2, 1), 9, np.uint8)], 2)),
        "la": Image.fromarray(np.stack([labels, labels], 2)),
        "sixteen": Image.fromarray(labels.astype(np.uint16)),
    }
    for name, image in cases.items():
        image.save(tmp_path / f"{name}.png")
        assert_close(read_mask(tmp_path / f"{name}.png"), labels)
    Image.fromarray(labels > 0).save(tmp_path / "bit.png")
    assert_close(read_mask(tmp_path / "bit.png"), (labels > 0).astype(np.uint8))


@pytest.mark.parametrize("factor", [1, 257])
def test_masks_with_16_bit_colors(tmp_path, factor):
    """Pillow would drop the lower bytes, so that all ids would be 0."""
    labels = np.array([[0, 1], [2, 255]], np.uint16)
    colors = np.stack([labels, labels // 2, labels], 2)
    for name, values in (("ids", repeated(labels)), ("colors", colors)):
        for suffix in ("png", "tif"):
            cv2.imwrite(str(tmp_path / f"{name}.{suffix}"), values[:, :, ::-1] * factor)
            assert_close(
                read_mask(tmp_path / f"{name}.{suffix}"), (labels if name == "ids" else values).astype(np.uint8)
            )
    cv2.imwrite(str(tmp_path / "a.png"), repeated(labels) * 256)
    with pytest.raises(DataError, match=r"a\.png: .*65280.*0\.\.255"):
        read_mask(tmp_path / "a.png")


def test_mask_with_ids_beyond_a_byte_is_refused(tmp_path):
    Image.fromarray(np.full((2, 2), 300, np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: .*300.*0\.\.255"):
        read_mask(tmp_path / "a.png")


def test_coloured_mask_and_its_palette(tmp_path):
    colours = np.array([(0, 0, 0), (220, 20, 60)], np.uint8)
    indices = np.array([[1, 0], [0, 1]], np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(colours.ravel().tolist())
    image.save(tmp_path / "p.png", transparency=bytes([0, 255]))
    Image.fromarray(colours[indices]).save(tmp_path / "c.png")
    assert_close(read_mask(tmp_path / "p.png", "colors"), colours[indices])
    assert_close(read_mask(tmp_path / "c.png"), colours[indices])
    assert_close(read_mask(tmp_path / "p.png"), indices)


def test_labels_by_id_takes_the_first_table_that_fits():
    tables = ({0: 0, 1: 1}, {0: 0, 255: 1})
    assert labels_by_id(np.array([[0, 1]], np.uint8), "m.png", *tables).tolist() == [[0, 1]]
    assert labels_by_id(np.array([[0, 255]], np.uint8), "m.png", *tables).tolist() == [[0, 1]]
    with pytest.raises(DataError, match="m.png: unknown label 7, 9 "):
        labels_by_id(np.array([[0, 1, 9, 7]], np.uint8), "m.png", *tables)
    with pytest.raises(DataError, match="m.png: unknown label 0, 1, 255 "):  # each known, but never together
        labels_by_id(np.array([[0, 1, 255]], np.uint8), "m.png", *tables)


@pytest.mark.parametrize("name", ["m.jpg", "M.JPEG"])
def test_unknown_values_of_a_jpeg_mask_are_explained(name):
    with pytest.raises(DataError, match=f"{name}: unknown label 7 .*save masks as PNG"):
        labels_by_id(np.array([[0, 7]], np.uint8), name, {0: 0})
    with pytest.raises(DataError, match=f"{name}: color .*save masks as PNG"):
        labels_by_color(np.array([[(1, 0, 0)]], np.uint8), name, {(0, 0, 0): 0})


def test_labels_by_color():
    table = {(0, 0, 0): 0, (255, 0, 0): 1, (0, 0, 255): 2, (255, 255, 255): 255}
    colours = np.array(list(table), np.uint8)[None]
    assert labels_by_color(colours, "m.png", table).tolist() == [[0, 1, 2, 255]]
    with pytest.raises(DataError, match=r"m.png: color \(1, 0, 0\) .*add it to the classes file"):
        labels_by_color(np.array([[(1, 0, 0)]], np.uint8), "m.png", table)


@pytest.mark.parametrize("factor, bits", [(16, 12), (257, 16)])
def test_zero_is_white_in_16_bits_as_in_8(tmp_path, factor, bits):
    tifffile = pytest.importorskip("tifffile")
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    tifffile.imwrite(tmp_path / "8.tif", gray, photometric="miniswhite")
    tifffile.imwrite(tmp_path / "16.tif", gray.astype(np.uint16) * factor, photometric="miniswhite")
    expected = read_image(tmp_path / "8.tif").astype(int)
    assert (expected[:, :, 0] == 255 - gray).all()
    assert np.abs(read_image(tmp_path / "16.tif", bits) - expected).max() <= 1
