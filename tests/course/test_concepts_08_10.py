"""The concept figures of notebooks 08 and 10 fit the page, say in words what they show, and have the right numbers."""

import pytest

from course.figures.concepts import own_data, transfer
from seglib.visualize.style import WIDTH

from ..figure_helpers import pixels, texts

FIGURES = [
    own_data.path_of_data,
    own_data.polygon_to_mask,
    own_data.alpha_blending,
    transfer.transfer_diagram,
    transfer.learning_rates,
    transfer.distillation_diagram,
]


@pytest.mark.parametrize("draw", FIGURES, ids=lambda draw: draw.__name__)
def test_it_fits_the_page_and_has_an_alternative_text(draw):
    figure = draw()
    assert figure.get_figwidth() <= WIDTH and len(figure.alt) > 80
    height, width = figure.get_size_inches()[::-1]
    for text in figure.axes[0].texts:
        x, y = text.get_position()
        assert 0 <= x <= width and 0 <= y <= height, text.get_text()
    pixels(figure)


def test_blended_pixels_are_opacity_times_image_and_the_rest_of_the_background():
    written = texts(own_data.alpha_blending())
    assert [number for number in ("175", "125") if number in written] == ["175", "125"]


def test_a_pixel_is_in_the_mask_where_the_even_odd_rule_says_so():
    corners = own_data.CORNERS.tolist()
    inside = 0
    for row in range(6):
        for column in range(8):
            x, y = column + 0.5, row + 0.5
            edges = zip(corners, corners[1:] + corners[:1], strict=True)
            crossed = sum(
                (y1 > y) != (y2 > y) and x1 + (y - y1) * (x2 - x1) / (y2 - y1) > x for (x1, y1), (x2, y2) in edges
            )
            inside += crossed % 2
    numbers = [text.get_text() for text in own_data.polygon_to_mask().axes[0].texts]
    assert numbers.count("1") == inside == 19
    assert numbers.count("0") == 48 - inside
