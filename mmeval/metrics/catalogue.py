"""The built-in metrics: titles, explanations, sources, and the direction that is better."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Metric:
    """The description of a built-in metric."""

    name: str
    """The name in Scores."""
    title: str
    """The name in reports, as people of the field write it."""
    explanation: str
    """One sentence for readers of a report."""
    source: str
    """The publication of the formula."""
    higher_is_better: bool | None = True
    """None where neither direction is better, as of the coverage of conformal sets, which shall be 90 %."""
    needs_probabilities: bool = False
    """Whether predicted labels are not enough."""
    needs_validation: bool = False
    """Whether the metric needs predictions of the validation split."""
    per_class: bool = False
    """Whether Scores has a row for each class instead of one for all classes together."""
    by_data: bool = False
    """Whether it exists for some data only: paths of classes, or classes that every language has."""
    multilabel: bool = False
    """Whether it exists for multi-label tasks only."""
    proportion: bool = False
    """Whether it is the share of the examples for which something holds, so that its interval is a proportion's."""


_GUO = "Guo et al. 2017, arXiv 1706.04599, equation 3"
_LAC = "Sadinle, Lei and Wasserman 2019, arXiv 1609.00451"
_KIRITCHENKO = "Kiritchenko, Matwin, Nock and Famili 2006"

_METRICS = (
    Metric(
        "top1", "top-1", "Share of the rows whose most probable class is the true class.", "accuracy", proportion=True
    ),
    Metric(
        "top1_standardized",
        "top-1, same class mix",
        "Top-1 that a language would have if its classes were as frequent as in all languages pooled.",
        "direct standardisation",
        by_data=True,
    ),
    Metric(
        "top1_standardized_support",
        "share of rows in the class mix",
        "Share of the rows whose class every language has; the top-1 with the same class mix rests on them.",
        "direct standardisation",
        higher_is_better=None,
        by_data=True,
    ),
    Metric(
        "top1_standardized_rows",
        "effective rows of the class mix",
        "Number of rows of equal weight that would determine the top-1 with the same class mix as exactly.",
        "Kish 1965",
        higher_is_better=None,
        by_data=True,
    ),
    Metric(
        "macro_f1",
        "macro-F1",
        "Mean over classes of F1, the harmonic mean of precision and recall: a rare class counts as much as any.",
        "scikit-learn, f1_score(average='macro')",
    ),
    Metric(
        "macro_f1_listed",
        "macro-F1, frequent classes",
        "Macro-F1 over the classes with at least 10 test rows, the same for all languages: its interval can hold.",
        "scikit-learn, f1_score(average='macro', labels=...)",
        by_data=True,
    ),
    Metric(
        "weighted_f1",
        "weighted-F1",
        "Mean over classes of F1, weighted by the number of rows of each class.",
        "scikit-learn, f1_score(average='weighted')",
    ),
    Metric(
        "map",
        "mAP",
        "Mean over classes of the average precision, the mean of the precision at the ranks of their rows.",
        "scikit-learn, average_precision_score(average='macro')",
        needs_probabilities=True,
        multilabel=True,
    ),
    Metric(
        "micro_f1",
        "micro-F1",
        "F1 of all pairs of row and class together, so that frequent classes count most.",
        "scikit-learn, f1_score(average='micro')",
        multilabel=True,
    ),
    Metric(
        "subset_accuracy",
        "exact match",
        "Share of the rows whose predicted classes are exactly the true ones.",
        "scikit-learn, accuracy_score",
        multilabel=True,
        proportion=True,
    ),
    Metric(
        "balanced_accuracy",
        "balanced accuracy",
        "Mean over classes of the share of their rows that are recognised: every class counts the same.",
        "Brodersen et al. 2010; scikit-learn, balanced_accuracy_score",
    ),
    Metric(
        "precision",
        "precision",
        "Of the rows that are predicted as this class, the share that belongs to it.",
        "scikit-learn, precision_recall_fscore_support",
        per_class=True,
    ),
    Metric(
        "recall",
        "recall",
        "Of the rows of this class, the share that is predicted as it.",
        "scikit-learn, precision_recall_fscore_support",
        per_class=True,
    ),
    Metric(
        "f1",
        "F1",
        "Harmonic mean of precision and recall of this class.",
        "scikit-learn, precision_recall_fscore_support",
        per_class=True,
    ),
    Metric(
        "recall_at_90_precision",
        "recall at 90 % precision",
        "Share of a class's rows that can be decided automatically if nine of ten such decisions shall be right, mean "
        "over classes; the threshold of each class is chosen on validation.",
        "the precision-recall curve; threshold from validation",
        needs_probabilities=True,
        needs_validation=True,
    ),
    Metric(
        "log_loss",
        "log loss",
        "Mean of -log of the probability of the true class: confident mistakes cost most. Probabilities below 1e-12 "
        "count as 1e-12.",
        "Good 1952; scikit-learn, log_loss",
        higher_is_better=False,
        needs_probabilities=True,
    ),
    Metric(
        "brier",
        "Brier score",
        "Mean squared distance between the probabilities and the truth, summed over classes: 0 is perfect, 2 is worst.",
        "Brier 1950",
        higher_is_better=False,
        needs_probabilities=True,
    ),
    Metric(
        "ece",
        "calibration error",
        "How far confidence and accuracy lie apart, on average over 15 bins of equal width: 0.05 means that a "
        "confidence of 80 % is right in some 75 or 85 % of the cases.",
        _GUO,
        higher_is_better=False,
        needs_probabilities=True,
    ),
    Metric(
        "ece_equal_mass",
        "calibration error, equal bins",
        "How far confidence and accuracy lie apart, on average over 15 bins with the same number of rows.",
        "Nguyen and O'Connor 2015, arXiv 1508.05154",
        higher_is_better=False,
        needs_probabilities=True,
    ),
    Metric(
        "smooth_ece",
        "calibration error, smooth",
        "How far confidence and accuracy lie apart, without bins: smoothed by a kernel whose width the data chooses.",
        "Błasiok and Nakkiran 2023, arXiv 2309.12236",
        higher_is_better=False,
        needs_probabilities=True,
    ),
    Metric(
        "confidence_auroc",
        "AUROC of confidence",
        "Whether the model knows when it is wrong: the probability that a correct prediction is more confident than a "
        "wrong one. 0.5 is chance.",
        "Hendrycks and Gimpel 2017, arXiv 1610.02136",
        needs_probabilities=True,
    ),
    Metric(
        "risk_coverage",
        "risk-coverage area",
        "Mean share of mistakes if only the most confident rows are decided, over all shares of rows: 0 is best.",
        "Geifman, Uziel and El-Yaniv 2019, arXiv 1805.08206",
        higher_is_better=False,
        needs_probabilities=True,
    ),
    Metric(
        "conformal_coverage",
        "coverage of 90 % sets",
        "Share of the rows whose set of classes holds the true class: 90 % is the aim.",
        _LAC,
        higher_is_better=None,
        proportion=True,
        needs_probabilities=True,
        needs_validation=True,
    ),
    Metric(
        "conformal_size",
        "size of 90 % sets",
        "Mean number of classes in a set that holds the true class with 90 % probability: 1 is best.",
        _LAC,
        higher_is_better=False,
        needs_probabilities=True,
        needs_validation=True,
    ),
    Metric(
        "conformal_empty",
        "empty 90 % sets",
        "Share of the rows for which no class is probable enough for the set.",
        _LAC,
        higher_is_better=None,
        proportion=True,
        needs_probabilities=True,
        needs_validation=True,
    ),
    Metric(
        "hierarchical_precision",
        "hierarchical precision",
        "Share of the levels of the predicted paths that are right.",
        _KIRITCHENKO,
        by_data=True,
    ),
    Metric(
        "hierarchical_recall",
        "hierarchical recall",
        "Share of the levels of the true paths that are predicted.",
        _KIRITCHENKO,
        by_data=True,
    ),
    Metric(
        "hierarchical_f1",
        "hierarchical F1",
        "Harmonic mean of hierarchical precision and recall: a mistake within the right branch costs less.",
        _KIRITCHENKO,
        by_data=True,
    ),
    Metric(
        "tree_distance",
        "tree distance of mistakes",
        "Mean number of steps in the tree of classes from the predicted to the true class, over the wrong rows.",
        "steps through the lowest common ancestor",
        higher_is_better=False,
        by_data=True,
    ),
)
CATALOGUE = {metric.name: metric for metric in _METRICS}
"""The built-in metrics by name, in the order of reports. Names with a number are described by :func:`describe`."""
_TOP_K, _LEVEL, _OWN = re.compile(r"top([235])"), re.compile(r"accuracy_level_([1-9][0-9]*)"), "_own"


def describe(name: str) -> Metric | None:
    """Return the description of a built-in metric; None for a metric of a plugin.

    Beside the names in ``CATALOGUE`` it knows ``top5``, ``top3`` and ``top2``, ``accuracy_level_1`` and so on, and
    ``conformal_coverage_own`` and so on.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    if match := _TOP_K.fullmatch(name):
        k = match[1]
        text = f"Share of the rows whose true class is among the {k} most probable classes."
        return Metric(name, f"top-{k}", text, "accuracy", needs_probabilities=True, proportion=True)
    if match := _LEVEL.fullmatch(name):
        level = match[1]
        text = f"Share of the rows whose predicted path agrees with the true one down to level {level}."
        return Metric(name, f"accuracy at level {level}", text, "accuracy", by_data=True, proportion=True)
    base = CATALOGUE.get(name.removesuffix(_OWN))
    if name.endswith(_OWN) and base is not None and base.name.startswith("conformal_"):
        text = f"{base.explanation} The threshold comes from the language's own validation rows."
        return replace(base, name=name, title=f"{base.title}, own threshold", explanation=text)
    return None


def is_proportion(name: str) -> bool:
    """Return whether a built-in metric is the share of the examples for which something holds."""
    metric = describe(name)
    return metric is not None and metric.proportion


def is_built_in(name: str) -> bool:
    """Return whether a metric's name belongs to mmeval, so that no plugin may register it."""
    return describe(name) is not None


def title(name: str) -> str:
    """Return the usual spelling of a metric, ``top-1`` for ``top1``; the name itself for a metric of a plugin."""
    metric = describe(name)
    return metric.title if metric else name


def lower_is_better(name: str) -> bool:
    """Return whether lower values of a built-in metric are better."""
    metric = describe(name)
    return metric is not None and metric.higher_is_better is False
