"""Scores in the formats of the Hub: ``model-index`` in the model card, and ``.eval_results/*.yaml``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mmeval.escaping import one_line
from mmeval.metrics.row import MACRO
from mmeval.protocol import Inputs
from mmeval.publish.tree import Tree
from mmeval.report.content import Content, Estimate

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, EvalResultEntry

REPORT = "report.html"
METRICS = {
    "top1": ("accuracy", "Accuracy", None),
    "macro_f1": ("f1", "Macro-F1", "macro"),
    "map": ("map", "Mean average precision", None),
    "micro_f1": ("f1", "Micro-F1", "micro"),
    "subset_accuracy": ("accuracy", "Subset accuracy", None),
}
"""The Hub's name, the title and the average of the metrics that are published."""


def model_index(content: Content, repo: str, dataset_repo: str) -> list[EvalResult]:
    """Return the results of the model card: per task and language (``dataset.config``), and the mean over languages."""
    from huggingface_hub import EvalResult

    protocol = content.record.plan.protocol
    text_only = protocol.inputs is Inputs.TEXT
    source, revision = _report_url(repo), dataset_revision(content, dataset_repo)
    results = []
    for task in content.tasks:
        for language, label in [(MACRO, "mean over languages"), *((code, code) for code in content.languages)]:
            for metric in (name for name in content.metrics(task) if name in METRICS):
                estimate = content.estimate(task, language, metric)
                if not estimate.defined:
                    continue
                kind, title, average = METRICS[metric]
                results.append(
                    EvalResult(
                        task_type="text-classification" if text_only else "image-classification",
                        task_name=one_line(f"{protocol.inputs.value} classification"),
                        dataset_type=dataset_repo or one_line(protocol.dataset),
                        dataset_name=one_line(f"{protocol.dataset} ({label})"),
                        dataset_config=None if language == MACRO else one_line(language),
                        dataset_split=one_line(protocol.split),
                        dataset_revision=revision,
                        dataset_args={"fingerprint": protocol.fingerprint},
                        metric_type=kind,
                        metric_value=round(estimate.value, 6),
                        metric_name=one_line(f"{title} ({task})"),
                        metric_args={"average": average} if average else None,
                        source_name="mmeval report" if source else None,
                        source_url=source or None,
                    )
                )
    return results


def results_files(content: Content, repo: str, dataset_repo: str) -> Tree:
    """Return ``.eval_results/DATASET.yaml`` with the first task, and ``DATASET_TASK.yaml`` with each other one.

    An entry holds one number, in percent: accuracy, or mean average precision of a multi-label task. Its task id is
    ``DATASET_LANGUAGE_SPLIT``, and ``DATASET_SPLIT`` for the mean over languages.
    """
    import yaml
    from huggingface_hub import eval_result_entries_to_yaml

    tree: Tree = {}
    for number, task in enumerate(content.tasks):
        dataset = file_name(content.record.plan.protocol.dataset)
        name = f"{dataset}_{file_name(task)}" if number else dataset
        entries = list(_entries(content, task, name, repo, dataset_repo))
        if entries:
            lines = yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True, width=120)
            tree[f".eval_results/{name}.yaml"] = lines.encode()
    return tree


def dataset_revision(content: Content, dataset_repo: str) -> str | None:
    """Return the commit of a table that was read from this repository; None for other data."""
    record = content.record
    identity = record.data.get("identity")
    if not (dataset_repo and record.dataset.startswith(f"table:hub:{dataset_repo}") and isinstance(identity, dict)):
        return None
    revision = str(identity.get("revision", ""))
    return revision if re.fullmatch("[0-9a-f]{40}", revision) else None


def file_name(name: str) -> str:
    """Return a name as a part of a file name and of a task id: ``food101:title-masked`` -> ``food101_title-masked``."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("_.") or "data"


def task_ids(dataset: str, tasks: Sequence[str], languages: Sequence[str], split: str) -> Iterator[tuple[str, str]]:
    """Yield the task ids of a data set's ``eval.yaml``, each with its language; empty for the mean over languages."""
    for number, task in enumerate(tasks):
        name = f"{file_name(dataset)}_{file_name(task)}" if number else file_name(dataset)
        for language in ("", *languages):
            yield "_".join(part for part in (name, file_name(language) if language else "", split) if part), language


def _entries(content: Content, task: str, name: str, repo: str, dataset_repo: str) -> Iterator[EvalResultEntry]:
    from huggingface_hub import EvalResultEntry

    record, metric = content.record, content.first_metric(task)
    split, source = file_name(record.plan.protocol.split), _report_url(repo)
    revision = dataset_revision(content, dataset_repo)
    for language in (MACRO, *content.languages):
        estimate = content.estimate(task, language, metric)
        if not estimate.defined:
            continue
        of = "mean over languages" if language == MACRO else one_line(language)
        yield EvalResultEntry(
            dataset_id=dataset_repo or one_line(record.plan.protocol.dataset),
            task_id=f"{name}_{split}" if language == MACRO else f"{name}_{file_name(language)}_{split}",
            value=round(100 * estimate.value, 4),
            dataset_revision=revision,
            date=record.started,
            source_url=source or None,
            source_name="mmeval report" if source else None,
            notes=(
                f"{one_line(content.metric_title(metric))} of {one_line(task)} in percent, {of}; "
                f"{_interval(estimate)}n = {estimate.n}; {one_line(record.plan.signature)}"
            ),
        )


def _interval(estimate: Estimate) -> str:
    if estimate.low != estimate.low:
        return ""
    star = "" if estimate.reliable else " (not reliable)"
    return f"95 % interval {100 * estimate.low:.2f} to {100 * estimate.high:.2f}{star}; "


def _report_url(repo: str) -> str:
    """Return the address of the report in the repository; empty if there is none."""
    if not repo:
        return ""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{repo}/blob/main/{REPORT}"
