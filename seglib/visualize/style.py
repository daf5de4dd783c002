"""The style of all figures, with fonts, colors, and a figure class that a notebook displays only once."""

import base64
import functools
import io
from pathlib import Path

import matplotlib.style
from matplotlib import font_manager
from matplotlib.figure import Figure

# Colors by Okabe and Ito, which color-blind readers can distinguish. BLUE and ORANGE are the easiest to distinguish.
BLUE, ORANGE, AMBER = "#0072B2", "#D55E00", "#E69F00"
INK, GRAY, LIGHT_GRAY, GRID = "#20262E", "#69727D", "#B8BFC7", "#E3E6EA"

WIDTH = 9.0  # the width of a figure in a notebook, in inches

_STYLE = Path(__file__).with_name("seglib.mplstyle")


def figure_style():
    """Apply seglib's matplotlib settings in a `with` block or, as a decorator, in a function.

    The caller's settings are restored at the end.
    """
    return matplotlib.style.context(_STYLE, after_reset=True)


class NotebookFigure(Figure):
    """A matplotlib figure that is not registered with pyplot, so that a notebook displays it only once.

    Attributes:
        has_images: Whether to embed the figure in the notebook as JPEG, which takes a quarter of the space of PNG.
        alt: The alternative text for screen readers. If empty, the titles in the figure are used.
    """

    has_images = False
    alt = ""

    def savefig(self, fname, **options):
        """Save the figure in seglib's style. The arguments are the same as for `matplotlib.figure.Figure.savefig`."""
        with figure_style():
            super().savefig(fname, **options)

    def _ipython_display_(self):
        from IPython.display import display

        kind = "image/jpeg" if self.has_images else "image/png"
        options = {"quality": 82} if self.has_images else {"optimize": True}
        buffer = io.BytesIO()
        self.savefig(buffer, format=kind[6:], pil_kwargs=options)
        data = {kind: base64.b64encode(buffer.getvalue()).decode(), "text/plain": repr(self)}
        titles = [axes.get_title(place) for axes in self.axes for place in ("left", "center")]
        alt = self.alt or ", ".join(dict.fromkeys(title.strip() for title in titles if title.strip()))
        display(data, metadata={kind: {"width": round(self.get_figwidth() * 96), "alt": alt}}, raw=True)


def add_title(axes, title: str, detail: str = "") -> None:
    """Write a bold title above the axes, and `detail` in gray below the title. A detail of " " gives an empty line."""
    axes.set_title(printable(title), pad=18 if detail else 5)
    options = {"xycoords": "axes fraction", "textcoords": "offset points", "annotation_clip": False}
    axes.annotate(printable(detail.strip()), (0, 1), xytext=(0, 4), color=GRAY, fontsize=8, **options)


def printable(text: object) -> str:
    """Convert `text` so that matplotlib prints it literally.

    "$" is escaped, because it would start a formula, and characters that are not in the font are replaced by a box.
    """
    letters = "".join(letter if ord(letter) in _font_letters() else "\u25a1" for letter in str(text))
    letters = letters.replace("$", r"\$")
    return "\u200a" + letters if letters.startswith("_") else letters  # legends ignore labels that begin with "_"


def format_score(score: float | None) -> str:
    """Format a score with three decimals, or return a dash for None and NaN."""
    return "\u2013" if score is None or score != score else f"{score:.3f}"


@functools.lru_cache(maxsize=1)
def _font_letters() -> frozenset:
    return frozenset(font_manager.get_font(font_manager.findfont("DejaVu Sans")).get_charmap())
