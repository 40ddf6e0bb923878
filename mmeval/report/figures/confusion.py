"""Figure: a confusion matrix."""

from __future__ import annotations

from mmeval.report.confusion import ConfusionMatrix
from mmeval.report.figures.style import MM, Drawn, label, new_figure

CELL_MM = 5.6
"""Width of a cell with a number that can be read."""
LABELS_MM = 26.0
"""Width of the labels of the rows."""


def most_classes(width_mm: float) -> int:
    """Return how many classes a matrix of this width has room for."""
    return max(4, int((width_mm - LABELS_MM) / CELL_MM) - 1)


def confusion(matrix: ConfusionMatrix, title: str, width_mm: float) -> Drawn:
    """Draw the share of each true class (a row) that is predicted as each class (a column), in percent.

    Args:
        matrix: the matrix.
        title: the model, task and data, for the caption.
        width_mm: width of the figure in millimetres.
    """
    size = len(matrix.classes)
    shares = matrix.shares if not matrix.is_complete else matrix.shares[:, :-1]
    columns = [*map(label, matrix.classes), *([] if matrix.is_complete else ["others"])]
    cell = min((width_mm - LABELS_MM) / len(columns), 9.0)
    figure = new_figure(width_mm, LABELS_MM + cell * size + 8)
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Greys", vmin=0, vmax=1, aspect="equal")
    for row in range(size):
        for column in range(shares.shape[1]):
            share = float(shares[row, column])
            if share >= 0.005:
                colour = "white" if share > 0.5 else "black"
                axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=6.0, color=colour)
    axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.set_yticks(range(size), map(label, matrix.classes))
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.tick_params(length=0)
    axes.set_xticks([edge - 0.5 for edge in range(1, len(columns))], minor=True)
    axes.set_yticks([edge - 0.5 for edge in range(1, size)], minor=True)
    axes.grid(which="minor", color="#D9D9D9", linewidth=0.4)
    axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set_visible(True)
    # The cells are squares, so that the width and the length of the class names determine the height.
    figure.draw_without_rendering()
    figure.set_size_inches(width_mm * MM, figure.get_tightbbox().height + 2 * MM)
    caption = f"Confusion matrix of {title}: per cent of the rows of each true class, rounded; below 0.5 is empty."
    if not matrix.is_complete:
        caption += f" The {size} of {matrix.total_classes} classes with the most frequent confusions"
        covered = f", with {100 * matrix.mistakes:.0f} % of all mistakes" if matrix.mistakes == matrix.mistakes else ""
        caption += f"{covered}; “others” are predictions of the remaining classes."
    if not matrix.n.all():
        caption += " A row is empty if the class has no rows."
    return Drawn(figure, caption, "Confusion matrix")
