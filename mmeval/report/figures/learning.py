"""Figure: learning curves, the validation score and the training loss of each epoch."""

from __future__ import annotations

from collections.abc import Mapping

from mmeval.record import Record, SeedFacts
from mmeval.report.figures.style import COLOURS, LINES, MARKERS, Drawn, grid, label, legend_columns, new_figure


def learning(records: Mapping[str, Record], width_mm: float) -> Drawn:
    """Draw the curves of each run and training seed; a marker shows the epoch that was selected on validation.

    Args:
        records: the records of runs with a history, by label.
        width_mm: width of the figure in millimetres.
    """
    from matplotlib.ticker import MaxNLocator

    seeds = [
        (run, name, seed, SeedFacts.model_validate(facts))
        for run, (name, record) in enumerate(records.items())
        for seed, facts in record.seeds.items()
    ]
    has_loss = any(epoch.loss is not None for *_, facts in seeds for epoch in facts.history)
    panels = 2 if has_loss else 1
    figure = new_figure(width_mm, (38 if panels == 2 else 46) * panels + 12 + 5 * min(len(seeds), len(COLOURS)))
    all_axes = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
    one_run = len(records) == 1
    for at, (run, name, seed, facts) in enumerate(seeds):
        # Seeds of one run, or else runs, have their own colour, marker and dashes.
        number = (at if one_run else run) % len(COLOURS)
        colour, dashes = COLOURS[number], LINES[number]
        text = f"seed {seed}" if one_run else label(name)
        first = one_run or seed == next(iter(records[name].seeds))
        for axes, values in zip(all_axes, _curves(facts), strict=False):
            known = [(epoch, value) for epoch, value in values if value is not None]
            if not known:
                continue
            x, y = zip(*known, strict=True)
            alone = "o" if len(known) == 1 else None
            axes.plot(x, y, color=colour, linestyle=dashes, marker=alone, label=text if first else None)
            best = [(epoch, value) for epoch, value in known if epoch == facts.best_epoch]
            if best:
                axes.plot(*best[0], MARKERS[number], color=colour, markersize=5.5, zorder=3)
    all_axes[0].set_ylabel("validation score")
    if has_loss:
        all_axes[1].set_ylabel("training loss")
    all_axes[-1].set_xlabel("epoch")
    last = max(epoch.epoch for *_, facts in seeds for epoch in facts.history)
    margin = max(0.03 * last, 0.2)
    all_axes[-1].set_xlim(1 - margin, last + margin)
    all_axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    for axes in all_axes:
        grid(axes, "both")
    if len(seeds) > 1:
        handles, labels = all_axes[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper center", ncols=legend_columns(labels, width_mm), handlelength=2.6
        )
    caption = (
        f"Learning curves of {', '.join(records)}: the validation score that selects the epoch, a mean over languages"
        f"{', and the training loss' if has_loss else ''}. A marker shows the selected epoch."
    )
    return Drawn(figure, caption, "Learning curves")


def _curves(facts: SeedFacts) -> tuple[list[tuple[int, float | None]], list[tuple[int, float | None]]]:
    return (
        [(epoch.epoch, epoch.validation) for epoch in facts.history],
        [(epoch.epoch, epoch.loss) for epoch in facts.history],
    )
