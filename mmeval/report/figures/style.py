"""The look of all figures: sizes for the columns of a paper, colours and markers, fonts, and files that never vary."""

from __future__ import annotations

import contextlib
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmeval.errors import UserError
from mmeval.escaping import one_line
from mmeval.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN_MM = 84.0
"""Width of a column of most two-column papers."""
MM = 1 / 25.4
"""A millimetre in inches, which matplotlib counts in."""
FONT_POINTS, SMALL_POINTS = 8.0, 7.0
"""Size of texts, and of the labels of ticks, at the size that a figure is printed in."""
DPI = 300
ROW_MM = 4.2
"""Height of a row with a text."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#7F7F7F")
"""The palette of Okabe and Ito (2008) for all kinds of colour vision, without yellow, which is too light on white."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))
"""Runs differ in marker and dashes too, so that a figure is legible in grey."""
MOST_RUNS = len(COLOURS)
GREY = "#595959"
LABEL_LETTERS = 28
"""Longer names are cut."""
BASE_FONT = "DejaVu Sans"
FORMATS = ("svg", "png", "pdf")

_SETTINGS: dict[str, Any] = {
    "font.size": FONT_POINTS,
    "axes.labelsize": FONT_POINTS,
    "axes.titlesize": FONT_POINTS,
    "xtick.labelsize": SMALL_POINTS,
    "ytick.labelsize": SMALL_POINTS,
    "legend.fontsize": SMALL_POINTS,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.1,
    "lines.markersize": 4.0,
    "axes.axisbelow": True,
    "figure.dpi": DPI,
    # Text stays text: it can be searched, copied and edited.
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    # The same figure has the same bytes.
    "svg.hashsalt": "mmeval",
    # A class name is a name, not a formula.
    "text.usetex": False,
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Drawn:
    """A figure, and a sentence or two that a paper can print below it."""

    figure: Figure
    caption: str
    title: str


@contextlib.contextmanager
def styled(texts: Iterable[str] = ()) -> Iterator[list[str]]:
    """Set the look of figures for the block, whatever the user's ``matplotlibrc`` says.

    Args:
        texts: texts of the figure that may be in any script.

    Yields:
        The letters that no installed font has; SVG keeps them as text, PNG and PDF show an empty box.
    """
    import matplotlib.style

    families, missing = _fonts("".join(map(label, texts)))
    with matplotlib.style.context(["default", _SETTINGS | {"font.family": families}]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        yield missing


def _fonts(text: str) -> tuple[list[str], list[str]]:
    """Return families of installed fonts that have the letters of a text, and the letters that none has."""
    from matplotlib import font_manager

    letters = {letter for letter in text if not letter.isspace() and unicodedata.category(letter) not in ("Cf", "Mn")}
    missing = {ord(letter) for letter in letters} - _letters_of(font_manager.findfont(BASE_FONT))
    families = [BASE_FONT]
    if missing:
        fonts = font_manager.fontManager.ttflist
        regular = [font for font in fonts if font.style == "normal" and font.weight in (400, "normal", "regular")]
        # The font of last resort draws a box with the name of the script for every letter.
        regular = [font for font in regular if not font.name.startswith("Last Resort")]
        for font in sorted(regular, key=lambda font: ("Noto Sans" not in font.name, font.name)):
            if font.name not in families and (own := missing & _letters_of(font.fname)):
                families.append(font.name)
                missing -= own
            if not missing:
                break
    return families, sorted(map(chr, missing))


def _letters_of(path: str) -> set[int]:
    from matplotlib.ft2font import FT2Font

    try:
        return set(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):
        return set()


def label(text: str) -> str:
    """Return a name on one line, without control characters, cut if it is long."""
    text = one_line(text)
    return text if len(text) <= LABEL_LETTERS else f"{text[: LABEL_LETTERS - 1]}…"


def new_figure(width_mm: float, height_mm: float) -> Figure:
    """Return an empty figure of this size, whose parts are laid out so that no text is cut."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_mm * MM, height_mm * MM), layout="constrained")


def legend_columns(names: Iterable[str], width_mm: float) -> int:
    """Return the number of columns of a legend that a figure of this width has room for, at most four."""
    longest = max(len(label(name)) for name in names)
    return max(1, min(4, int(width_mm / (11 + 1.4 * longest))))


def grid(axes: Axes, axis: Literal["both", "x", "y"]) -> None:
    """Draw thin lines at the ticks of an axis, behind everything else."""
    axes.grid(axis=axis, color="#D9D9D9", linewidth=0.5)


def figure_format(output: Path) -> str:
    """Return the format of a figure by the ending of its file.

    Raises:
        UserError: it is none of ``FORMATS``.
    """
    ending = output.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise UserError(f"--output {output}: the name must end in .svg, .png or .pdf.")
    return ending


def save(drawn: Drawn, output: Path) -> None:
    """Write a figure atomically; call it inside :func:`styled`. The same figure always has the same bytes.

    Raises:
        UserError: the ending of the file names no format, or the file can't be written.
    """
    kind = figure_format(output)
    title, caption = one_line(drawn.title), one_line(drawn.caption)
    metadata: dict[str, dict[str, str | None]] = {
        "svg": {"Date": None, "Creator": None, "Title": title, "Description": caption},
        "png": {"Software": None, "Title": _latin(title), "Description": _latin(caption)},
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None, "Title": title, "Subject": caption},
    }
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(output) as temporary:
            drawn.figure.savefig(str(temporary), format=kind, dpi=DPI, metadata=metadata[kind])
    except OSError as error:
        raise UserError(f"--output {output} can't be written: {error.strerror}.") from None


def _latin(text: str) -> str:
    """Return a text with ``?`` for letters that the metadata of PNG can't have."""
    return text.encode("latin-1", "replace").decode("latin-1")
