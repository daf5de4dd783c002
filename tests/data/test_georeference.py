"""The georeference of an image is copied to its mask as a world file."""

import numpy as np
import pytest
from PIL import Image

from seglib.data.georeference import write_world_file

UPRIGHT, ROTATED = (0.5, 0, 1000, 0, -0.25, 2000), (0.4, 0.3, 1000, 0.3, -0.4, 2000)


@pytest.mark.parametrize("transform", [UPRIGHT, ROTATED])
@pytest.mark.parametrize("point", [False, True])
def test_world_file_of_a_geotiff(tmp_path, transform, point):
    rasterio = pytest.importorskip("rasterio")
    options = {"driver": "GTiff", "height": 4, "width": 6, "count": 1, "dtype": "uint8", "crs": "EPSG:25832"}
    with rasterio.open(tmp_path / "a.tif", "w", transform=rasterio.Affine(*transform), **options) as file:
        file.write(np.zeros((4, 6), np.uint8), 1)
        if point:
            file.update_tags(AREA_OR_POINT="Point")
    write_world_file(tmp_path / "a.tif", tmp_path / "a_mask.png")
    a, b, c, d, e, f = transform
    numbers = list(map(float, (tmp_path / "a_mask.pgw").read_text().split()))
    assert numbers == pytest.approx([a, d, b, e, c + (a + b) / 2, f + (d + e) / 2])


@pytest.mark.parametrize("name", ["a.jgw", "a.jpgw", "a.wld"])
def test_world_file_beside_an_image(tmp_path, name):
    Image.new("L", (6, 4)).save(tmp_path / "a.jpg")
    write_world_file(tmp_path / "a.jpg", tmp_path / "a_mask.png")
    assert not (tmp_path / "a_mask.pgw").exists()
    (tmp_path / name).write_text("0.5\n0\n0\n-0.25\n1000\n2000\n")
    write_world_file(tmp_path / "a.jpg", tmp_path / "a_mask.png")
    assert (tmp_path / "a_mask.pgw").read_text().split() == ["0.5", "0", "0", "-0.25", "1000", "2000"]


@pytest.mark.parametrize(
    "image, name", [("a.JPG", "a.JGW"), ("a.JPG", "a.jgw"), ("a.jpg", "a.JGW"), ("a.TIF", "a.TFW")]
)
def test_world_file_with_a_suffix_in_upper_case(tmp_path, image, name):
    Image.new("L", (6, 4)).save(tmp_path / image)
    (tmp_path / name).write_text("0.5\n0\n0\n-0.25\n1000\n2000\n")
    write_world_file(tmp_path / image, tmp_path / "a_mask.png")
    assert (tmp_path / "a_mask.pgw").read_text().split() == ["0.5", "0", "0", "-0.25", "1000", "2000"]
