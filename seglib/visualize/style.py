"""One look for every figure: type, colours, and a figure class that shows itself once in a notebook."""

import base64
import contextlib
import functools
import io

import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure

from ..errors import SeglibError

# Okabe and Ito's colours, which stay apart for colour-blind readers; BLUE against ORANGE is the safest pair.
BLUE, ORANGE, AMBER = "#0072B2", "#D55E00", "#E69F00"
INK, QUIET, FAINT, RULE = "#20262E", "#69727D", "#B8BFC7", "#E3E6EA"

WIDTH = 9.0  # inches: a notebook column
DPI = 130  # finer than a plain screen's 96, at which the figures are shown

_FONT = "DejaVu Sans"  # comes with matplotlib, so that a figure looks the same on every machine
_STYLE = {
    "figure.dpi": DPI,
    "figure.facecolor": "white",
    "font.family": _FONT,
    "font.size": 8.5,
    "text.color": INK,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelcolor": QUIET,
    "axes.labelsize": 8.5,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 1.1,
    "legend.handleheight": 1.1,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.6,
    "legend.borderpad": 0.0,
    "legend.borderaxespad": 0.0,
    "figure.constrained_layout.h_pad": 0.07,
    "figure.constrained_layout.w_pad": 0.07,
    "image.interpolation": "antialiased",
}


class VisualizeError(SeglibError, ValueError):
    """A picture cannot be drawn from what was given; the message says what to change."""


@contextlib.contextmanager
def drawing_style():
    """Our settings while a figure is made or saved; the caller's come back afterwards. Also a decorator."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # so that a reader's own style does not leak into half of a figure
        matplotlib.rcParams.update(_STYLE)
        yield


class Picture(Figure):
    """A matplotlib Figure that pyplot does not know of, so it is shown once: as the last value of a cell.

    `photographic` figures are embedded as JPEG, a quarter of the bytes of PNG; charts stay PNG.
    """

    photographic = False

    def savefig(self, fname, **options):
        """As Figure.savefig, but in the figure's own style whatever the current one is."""
        with drawing_style():
            super().savefig(fname, **options)

    def _ipython_display_(self):
        from IPython.display import display

        kind = "image/jpeg" if self.photographic else "image/png"
        options = {"quality": 82} if self.photographic else {"optimize": True}
        buffer = io.BytesIO()
        self.savefig(buffer, format=kind[6:], pil_kwargs=options)
        data = {kind: base64.b64encode(buffer.getvalue()).decode(), "text/plain": repr(self)}
        display(data, metadata={kind: {"width": round(self.get_figwidth() * 96)}}, raw=True)


def head(axes, title: str, detail: str = "") -> None:
    """A bold title and, between it and the axes, a quiet line; a detail of " " only keeps that line free."""
    axes.set_title(plain(title), pad=18 if detail else 5)
    axes.annotate(
        plain(detail.strip()),
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 4),
        textcoords="offset points",
        color=QUIET,
        fontsize=8,
        annotation_clip=False,
    )


def plain(text: object) -> str:
    """Any name as matplotlib can draw it: no formulas from "$", a box for a letter that the font lacks."""
    letters = "".join(letter if ord(letter) in _letters() else "\u25a1" for letter in str(text))
    letters = letters.replace("$", r"\$")
    return "\u200a" + letters if letters.startswith("_") else letters  # legends skip names that begin with "_"


def three(score: float | None) -> str:
    """A score with three decimals, or a dash where there is none."""
    return "\u2013" if score is None or score != score else f"{score:.3f}"


@functools.lru_cache(maxsize=1)
def _letters() -> frozenset:
    return frozenset(font_manager.get_font(font_manager.findfont(_FONT)).get_charmap())
