"""Figures: they stay in their size, differ in more than colour, never interpret a text, and have the same bytes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from mmeval.errors import UserError
from mmeval.metrics.outcomes import Outcomes
from mmeval.metrics.row import Interval
from mmeval.report.analysis import Bin, Reliability, Value
from mmeval.report.confusion import confusion_matrix
from mmeval.report.content import Content
from mmeval.report.figures.confusion import confusion, most_classes
from mmeval.report.figures.languages import languages
from mmeval.report.figures.learning import learning
from mmeval.report.figures.reliability import reliability
from mmeval.report.figures.style import COLOURS, LINES, MARKERS, MM, Drawn, label, save, styled

Make = Callable[..., Content]
HOSTILE = r"$\input{a}^2$ <script>alert(1)</script> =cmd()" + "\x1b[2J\u202e"
SVG = "{http://www.w3.org/2000/svg}"


def texts(path: Path) -> list[str]:
    """Return the texts of an SVG file, which must be well-formed XML."""
    return ["".join(element.itertext()).strip() for element in ET.parse(path).iter(f"{SVG}text")]


def written(path: Path, draw: Callable[[], Drawn], names: tuple[str, ...] = ()) -> Drawn:
    with styled(names):
        drawn = draw()
        save(drawn, path)
    return drawn


def history(epochs: int) -> list[dict[str, float]]:
    return [{"epoch": n, "loss": 1 / n, "validation": 1 - 1 / n} for n in range(1, epochs + 1)]


def curve(confidences: tuple[float, ...] = (0.3, 0.9)) -> Reliability:
    bins = [
        Bin(c - 0.05, c + 0.05, 40, c, Value(c - 0.1, Interval(c - 0.2, c, "wilson", c > 0.5))) for c in confidences
    ]
    return Reliability("as predicted", tuple(bins), 0.1)


@pytest.mark.parametrize("count", [1, 4, 14])
def test_each_language_has_a_row_with_its_name(count: int, content: Make, tmp_path: Path) -> None:
    codes = ("ar", "bg", "cs", "de", "en", "es", "et", "fi", "fr", "ja", "ko", "ru", "tr", "zh")[:count]
    sample = content({code: (0.5 + n / 50, 0.4 + n / 50, 0.6 + n / 50) for n, code in enumerate(codes)})
    drawn = written(tmp_path / "f.svg", lambda: languages({"clip": sample}, "colour", "top1", 84))
    shown = texts(tmp_path / "f.svg")
    assert sum(f"({code})" in text for text in shown for code in codes) == count
    assert ("mean" in shown) == (count > 1)
    assert drawn.figure.get_figwidth() == pytest.approx(84 * MM)
    assert "95 % intervals" in drawn.caption


def test_several_runs_differ_in_marker_as_well_as_in_colour(content: Make, tmp_path: Path) -> None:
    contents = {f"model {n}": content() for n in range(len(COLOURS))}
    drawn = written(tmp_path / "f.svg", lambda: languages(contents, "colour", "top1", 84))
    lines = drawn.figure.axes[0].get_lines()
    assert {line.get_marker() for line in lines} >= set(MARKERS)
    assert set(contents) <= set(texts(tmp_path / "f.svg"))
    assert len({str(line) for line in LINES}) == len(COLOURS) == len(MARKERS)


def test_colours_differ_in_lightness_or_the_markers_tell_them_apart() -> None:
    """No two of the palette are the same; yellow, which vanishes on white, is not among them."""
    assert len(set(COLOURS)) == len(COLOURS)
    for colour in COLOURS:
        red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
        assert 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.75


def test_unreliable_intervals_are_hollow_and_the_caption_tells_it(content: Make, tmp_path: Path) -> None:
    drawn = written(tmp_path / "f.png", lambda: languages({"clip": content(n=7)}, "colour", "top1", 84))
    assert "Hollow:" in drawn.caption
    drawn = written(tmp_path / "g.png", lambda: languages({"clip": content()}, "colour", "top1", 84))
    assert "Hollow:" not in drawn.caption


def test_names_are_texts_and_never_formulas(content: Make, tmp_path: Path) -> None:
    contents = {HOSTILE[:20]: content(), HOSTILE[20:]: content({HOSTILE: (0.5, 0.4, 0.6)})}
    written(tmp_path / "f.svg", lambda: languages(contents, "colour", "top1", 84), (HOSTILE,))
    raw = (tmp_path / "f.svg").read_text(encoding="utf-8")
    assert "<script" not in raw
    assert "\x1b" not in raw
    assert "\u202e" not in raw
    assert label(HOSTILE[:20]) in texts(tmp_path / "f.svg")


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_the_same_figure_has_the_same_bytes(
    suffix: str, content: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, time in (("a", "1"), ("b", "1700000000")):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", time)
        written(tmp_path / f"{name}{suffix}", lambda: languages({"clip": content()}, "colour", "top1", 84))
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_the_users_settings_of_matplotlib_do_not_change_a_figure(content: Make, tmp_path: Path) -> None:
    import matplotlib as mpl

    written(tmp_path / "a.svg", lambda: languages({"clip": content()}, "colour", "top1", 84))
    with mpl.rc_context({"text.usetex": True, "font.size": 30, "axes.facecolor": "black"}):
        written(tmp_path / "b.svg", lambda: languages({"clip": content()}, "colour", "top1", 84))
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_letters_that_no_font_has_are_named_and_cause_no_warning(tmp_path: Path) -> None:
    unassigned = "\U000e01f5"
    sample = Outcomes(np.array([0, 1], np.int32), np.array([0, 0], np.int32), {}, 2)
    matrix = confusion_matrix([sample], (f"a{unassigned}", "日本"), 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with styled(matrix.classes) as missing:
            save(confusion(matrix, "m", 84), tmp_path / "f.png")
    assert unassigned in missing
    assert "a" not in missing


def test_191_classes_become_the_most_confused_ones_and_the_caption_tells_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    true, wrong = (rng.integers(0, 191, 3000).astype(np.int32) for _ in range(2))
    predicted = np.where(rng.random(3000) < 0.6, true, wrong)
    names = tuple(f"class {n} with a name that is far too long for any cell" for n in range(191))
    matrix = confusion_matrix([Outcomes(true, predicted, {}, 191)], names, most_classes(84))
    drawn = written(tmp_path / "f.png", lambda: confusion(matrix, "clip (item of shop)", 84))
    assert f"The {len(matrix.classes)} of 191 classes with the most frequent confusions" in drawn.caption
    assert "“others”" in drawn.caption
    with Image.open(tmp_path / "f.png") as image:
        assert image.width == pytest.approx(84 * MM * 300, abs=2)
        pixels = np.asarray(image.convert("L"))
    # Nothing is cut: the outermost pixels are empty.
    assert pixels[:, [0, -1]].min() == 255
    assert pixels[[0, -1]].min() == 255


def test_a_wider_figure_shows_more_classes() -> None:
    assert most_classes(50) < most_classes(84) < most_classes(174)


def test_reliability_has_a_line_per_curve_and_its_error(tmp_path: Path) -> None:
    curves = {"as predicted": curve(), "after temperature scaling": curve((0.5, 0.7, 0.95))}
    drawn = written(tmp_path / "f.svg", lambda: reliability(curves, "clip", 84))
    shown = texts(tmp_path / "f.svg")
    assert "as predicted: error 0.100" in shown
    assert "perfect calibration" in shown
    assert "Hollow" in drawn.caption


@pytest.mark.parametrize("epochs", [1, 12])
def test_learning_curves_mark_the_selected_epoch_of_each_seed(epochs: int, content: Make, tmp_path: Path) -> None:
    facts: dict[str, Any] = {"seconds": 1.0, "epochs": epochs, "best_epoch": epochs, "history": history(epochs)}
    record = content().record.model_copy(update={"seeds": {"0": facts, "1": facts}})
    drawn = written(tmp_path / "f.svg", lambda: learning({"clip": record}, 84))
    shown = texts(tmp_path / "f.svg")
    assert {"seed 0", "seed 1", "validation score", "training loss", "epoch"} <= set(shown)
    markers = [line for line in drawn.figure.axes[0].get_lines() if line.get_marker() in MARKERS[:2]]
    assert {tuple(line.get_xdata()) for line in markers} == {(epochs,)}


def test_a_history_without_loss_has_one_panel(content: Make, tmp_path: Path) -> None:
    epochs = [{"epoch": 1, "validation": 0.5}, {"epoch": 2, "validation": 0.6}]
    record = content().record.model_copy(update={"seeds": {"0": {"seconds": 1.0, "history": epochs}}})
    drawn = written(tmp_path / "f.svg", lambda: learning({"clip": record}, 84))
    assert len(drawn.figure.axes) == 1


def test_a_file_that_can_not_be_written_is_refused_in_a_sentence(content: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--output .* can't be written"):
        written(tmp_path / "file" / "f.png", lambda: languages({"clip": content()}, "colour", "top1", 84))
    with pytest.raises(UserError, match=r"must end in \.svg, \.png or \.pdf"):
        written(tmp_path / "f.gif", lambda: languages({"clip": content()}, "colour", "top1", 84))
